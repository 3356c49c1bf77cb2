"""A process that looks at videos: a line of JSON comes in for each, a line goes out.

Started by `pool.py`. A plain process, not one of `multiprocessing`, so that `check` works from any
script or notebook, on every system.
"""

import faulthandler
import json
import os
import signal
import sys

READY = "ready"
SPARE = 30  # seconds after which a worker ends itself, should nobody have done so


def main() -> None:
    """Answer until the input ends. The argument is the seconds for one video, which the parent
    watches over."""
    limit = float(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # a library that prints must not print into the answers
    from vivit_lab.data.checking.examine import examine

    print(READY, file=answers, flush=True)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)  # FFmpeg's complaints come back as errors, too
        os.dup2(nowhere.fileno(), 2)
        for line in sys.stdin:
            faulthandler.dump_traceback_later(limit + SPARE, exit=True, file=nowhere)
            print(json.dumps(examine(**json.loads(line))), file=answers, flush=True)
            faulthandler.cancel_dump_traceback_later()
