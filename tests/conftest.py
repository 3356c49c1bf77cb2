"""For all tests: two at a time, Ctrl-C, and no clock.

`make test` runs two workers. A file is one worker's (what it builds is built once); the browser's
files share one JupyterLab.
"""

import signal

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")  # the machine's time is no fault of the code

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell does for what runs behind it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items):
    for item in items:
        file = item.path.parent if item.path.parent.name == "browser" else item.path
        item.add_marker(pytest.mark.xdist_group(file.as_posix()))
