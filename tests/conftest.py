"""For all tests: Ctrl-C works, though a shell that starts them in the background turns it off."""

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
