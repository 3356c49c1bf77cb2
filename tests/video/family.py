"""A family of video files that trip readers, written anew for the tests, and what may be done with
each. It is also a list of what goes wrong with video files.

    family_coded.py      how pictures are coded
    family_wrapped.py    how they are wrapped, timed and turned
    family_broken.py     what is wrong with files, and where they lie
    family_making.py     the tools with which they are made
    family_judge.py      whether a reader does what it may do

Every picture carries its own number, so that a wrong one gives itself away.
"""

from family_broken import DAMAGE, FORGED, NO_VIDEO, PLACES
from family_coded import CODED
from family_making import Entry
from family_wrapped import CONTAINERS, TIMES, TRACKS

GROUPS: dict[str, list[Entry]] = {"coded": CODED, "containers": CONTAINERS, "times": TIMES}
GROUPS |= {"tracks": TRACKS, "places": PLACES, "no video": NO_VIDEO, "forged": FORGED}
GROUPS |= {"damage": DAMAGE}
FAMILY = [entry for group in GROUPS.values() for entry in group]
