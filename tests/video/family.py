"""A family of video files that trip readers, written anew for the tests, and what may be done with
each. It is also a list of what goes wrong with video files, a few words each.

    family_codecs.py, family_old_codecs.py      how pictures are coded
    family_containers.py, family_times.py, family_tracks.py      how they are wrapped
    family_places.py      where they lie: file names, links, pipes, devices
    family_damage.py, family_forged.py, family_no_video.py      what is wrong with them

    family_entry.py, family_writing.py, family_bytes.py      the tools with which they are made
    family_judge.py      whether a reader does what it may do

Every picture carries its own number, so that a wrong one gives itself away.
"""

from family_codecs import CODECS
from family_containers import CONTAINERS
from family_damage import DAMAGE
from family_entry import Entry
from family_forged import FORGED
from family_no_video import NO_VIDEO
from family_old_codecs import OLD_CODECS
from family_places import PLACES
from family_times import TIMES
from family_tracks import TRACKS

CODED = [*CODECS, *OLD_CODECS]
WRAPPED = [*CONTAINERS, *TIMES, *TRACKS]
FAMILY: list[Entry] = [*CODED, *WRAPPED, *PLACES, *NO_VIDEO, *FORGED, *DAMAGE]
