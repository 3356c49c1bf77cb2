"""Catalogues: annotation files, as their owners publish them, become lists of labelled segments.

One file a format. `segments.py` is what all of them make; `text.py`, `tables.py`, `json_files.py`
read the files, `classes.py` numbers the classes, `files.py` finds the videos, `collecting.py` keeps
count of what is missing or there twice; `reading.py` tells a format by looking.
"""

from vivit_lab.data.catalog.epic import read_epic
from vivit_lab.data.catalog.folder import read_folder
from vivit_lab.data.catalog.hmdb51 import read_hmdb51
from vivit_lab.data.catalog.kinetics import read_kinetics
from vivit_lab.data.catalog.moments import read_moments
from vivit_lab.data.catalog.plain import read_csv
from vivit_lab.data.catalog.reading import FORMATS, format_of, read_annotations
from vivit_lab.data.catalog.segments import AnnotationError, Catalog, Segment
from vivit_lab.data.catalog.ssv2 import read_ssv2
from vivit_lab.data.catalog.ucf101 import read_ucf101

__all__ = [
    "FORMATS",
    "AnnotationError",
    "Catalog",
    "Segment",
    "format_of",
    "read_annotations",
    "read_csv",
    "read_epic",
    "read_folder",
    "read_hmdb51",
    "read_kinetics",
    "read_moments",
    "read_ssv2",
    "read_ucf101",
]
