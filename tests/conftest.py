"""For all tests: Ctrl-C works, and no clock decides."""

import signal

from hypothesis import HealthCheck, settings

import vivit_lab  # noqa: F401  before torch: see Makefile

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")  # the machine's time is no fault of the code

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell does for what runs behind it
    signal.signal(signal.SIGINT, signal.default_int_handler)
