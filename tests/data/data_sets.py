"""Small data sets as their owners publish them, for the tests: empty files stand for videos."""

import os
import signal
import time
from pathlib import Path


def touch(root: Path, *names: str) -> Path:
    """Empty files below a folder."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def write(path: Path, text: str | bytes) -> Path:
    """A file, its folders with it; text as UTF-8 with its line ends as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


KINETICS_HEADER = "label,youtube_id,time_start,time_end,split\n"


def kinetics(folder: Path, *rows: str, header: str = KINETICS_HEADER, name="train.csv") -> Path:
    return write(folder / name, header + "".join(f"{row}\n" for row in rows))


SSV2_LABELS = '{"Pushing something": "1", "Approaching something": "0", "Dropping it": "2"}'


def ssv2(folder: Path, text: str, labels: str = SSV2_LABELS) -> Path:
    write(folder / "something-something-v2-labels.json", labels)
    return write(folder / "something-something-v2-train.json", text)


EPIC_HEADER = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,"
    "start_frame,stop_frame,narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes\n"
)
EPIC_ROW = (
    'P01_101_0,P01,P01_101,00:00:01.000,00:00:00.5,00:00:02.25,26,112,"take, then put",take,1,cup,2'
    ",\"['cup', 'lid']\",\"[2, 0]\""
)
VERBS = "id,key,instances,category\n0,put,\"['put', 'lay']\",leave\n1,take,\"['take']\",retrieve\n"
NOUNS = "id,key,instances,category\n0,lid,[],a\n1,pan,[],b\n2,cup,[],c\n"


def epic(folder: Path, *rows: str, header: str = EPIC_HEADER) -> Path:
    write(folder / "EPIC_100_verb_classes.csv", VERBS)
    write(folder / "EPIC_100_noun_classes.csv", NOUNS)
    return write(folder / "EPIC_100_train.csv", header + "".join(f"{row}\n" for row in rows))


def moments(folder: Path, text: str, categories: str = "baking,1\nasking,0\n") -> Path:
    write(folder / "moments_categories.txt", categories)
    return write(folder / "trainingSet.csv", text)


def ucf101(folder: Path, text: str, classes: str = "1 Archery\n2 Diving\n3 Typing\n") -> Path:
    write(folder / "classInd.txt", classes)
    return write(folder / "trainlist01.txt", text)


# Stand-ins for `vivit_lab.data.checking.examine`, for the processes that look at videos; without
# torch they start fast.


def hurt(task: dict, timeout: float) -> dict:
    """1.mp4 kills its process, 3.mp4 ends it."""
    name = os.path.basename(task["path"])
    if name == "1.mp4":
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "3.mp4":
        os._exit(7)
    return facts(task)


def slow(task: dict, timeout: float) -> dict:
    """Leaves a line beside the videos; 05.mp4 waits until go.txt is there."""
    folder, name = os.path.split(task["path"])
    with open(os.path.join(folder, "opened.log"), "a") as log:
        log.write(f"{task['path']}\n")
    while name == "05.mp4" and not os.path.exists(os.path.join(folder, "go.txt")):
        time.sleep(0.05)
    return facts(task)


def facts(task: dict) -> dict:
    size = {"height": 96, "width": 168}
    return {"frames": 40, "fps": 25.0, "seconds": 1.6, **size, "segments": [40]}
