"""Looking at every video before a run rather than during it: `check`, and its command.

`command.py` is `python -m vivit_lab check`, `scan.py` the function behind it; `subject.py` and
`tasks.py` say what has to be looked at. Videos are looked at (`examine.py`) in processes of their
own (`worker.py`), because a bad one may hang or crash them; `pool.py` keeps those going.
`records.py` is the report file, `report.py` what is printed.
"""

from vivit_lab.data.checking.report import CheckReport, Finding
from vivit_lab.data.checking.scan import CheckInterrupted, check

__all__ = ["CheckInterrupted", "CheckReport", "Finding", "check"]
