"""VideoReader does with every file of the family what it may do; and the judge is not blind."""

import os
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from clips import decode_all, number_in, picture
from family import FAMILY, GROUPS
from family_judge import CRASHED, EXACT, GREEDY, HUNG, READ, REFUSED, UNNAMED, WRONG, Judge
from family_making import AV1, FRAMES, SOUND, Entry, Workshop, clip, damaged, good, numbered, of

from vivit_lab.video import VideoError, VideoReader


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    return Workshop(tmp_path_factory.mktemp("family"))


@pytest.fixture(scope="module")  # its process must be gone when other tests count theirs
def court():
    judge = Judge()
    yield judge
    judge.close()


# --- the reader ---


@pytest.mark.parametrize("group", GROUPS)
def test_every_file_from_its_path_and_one_of_each_kind_and_container_from_its_bytes(
    group, workshop, court
):
    wrong, seen = [], set()
    for entry in GROUPS[group]:
        path = entry.write(workshop)
        new = entry.is_file and (bool(entry.says) or (entry.kind, path.suffix) not in seen)
        seen.add((entry.kind, path.suffix))
        for upload in (False, True)[: 1 + new]:
            verdict = court.try_file(VideoReader, path, entry, upload)
            if not verdict.is_allowed(entry):
                what = "its bytes" if upload else "its path"
                wrong.append(f"{path} ({entry.kind}), {what}: {verdict}")
    assert not wrong, "\n".join(wrong)


# --- the family ---


def test_the_family_is_large_and_what_is_damaged_was_sound(workshop):
    assert len({entry.name for entry in FAMILY}) == len(FAMILY) >= 350
    for ending in SOUND:  # decoded by PyAV alone, from beginning to end
        pictures = decode_all(workshop[f"sound.{ending}"])
        assert [READ["colour"](picture) for picture in pictures] == list(range(FRAMES)), ending


def test_writing_a_clip_leaves_the_scheduling_alone(tmp_path):
    """SVT-AV1 makes its caller a real-time process where root runs it, and all that it starts."""
    scheduling = getattr(os, "sched_getscheduler", lambda process: None)  # Linux alone has it
    before = scheduling(0)
    clip(tmp_path / "av1.mkv", **AV1)
    assert scheduling(0) == before


def test_a_number_is_read_only_from_a_whole_upright_picture():
    for draw, read in ((picture, number_in), (numbered, READ["colour"])):
        for number in (37, 512, 1023):
            assert read(draw(number, 64, 112)) == number
        pictures = [draw(number, 64, 112) for number in range(FRAMES)]
        assert [read(picture) for picture in pictures] == list(range(FRAMES))
        for one, other in zip(pictures, pictures[1:], strict=False):
            patched = np.concatenate([one[:, :56], other[:, 56:]], axis=1)
            assert read(patched) in (-1, read(one), read(other))  # what differs is on one side
            mixed = np.maximum(one, other), np.minimum(one, other), (one.astype(int) + other) // 2
            turned = one[::-1], one[:, ::-1], one[::-1, ::-1], np.rot90(one), one[..., ::-1]
            for broken in (np.concatenate([one[:32], other[32:]]), *mixed, *turned, one * 0):
                assert read(broken) == -1


# --- the judge, with readers that do wrong ---

FACTS = {
    "miscounts": {"num_frames": FRAMES - 1},
    "size turned": {"height": 112, "width": 64},
    "aspect": {"pixel_aspect": 2.0},
    "times": {"times": np.arange(FRAMES) / 24},
}
ERRORS = {
    "refuses later": (VideoError, "{}: this frame cannot be decoded."),
    "without the name": (VideoError, "this frame cannot be decoded."),
    "without words": (VideoError, "{}: bad"),
    "another error": (ValueError, "{}: this frame cannot be decoded."),
}
ASKED = {
    "neighbour of one": lambda all: [max(all[0] - 1, 0)] if len(all) == 1 else all,
    "repeats the last": lambda all: [min(number, 20) for number in all],
    "order lost": sorted,
}
GIVEN = {
    "two mixed": lambda clip: torch.cat([clip[:-1], clip[-1:] // 2 + clip[:1] // 2]),
    "colours swapped": lambda clip: clip.flip(1),
    "floats": torch.Tensor.float,
}
DONE = {
    "hangs": lambda: time.sleep(600),
    "crashes": os.abort,
    "feasts": lambda: np.ones(4 * 10**8, np.uint8),
}
REFUSALS, UNCLEAR = ["refuses", "refuses later"], list(ERRORS)[1:]
OUTCOMES = {EXACT: ["none"], REFUSED: REFUSALS, UNNAMED: UNCLEAR, WRONG: [*FACTS, *ASKED, *GIVEN]}


class Reader:
    """Reads one file of 24 pictures without any decoding: they are drawn. Does one thing wrong."""

    num_frames, height, width, pixel_aspect = FRAMES, 64, 112, 1.0
    times = np.arange(FRAMES) / 25

    def __init__(self, fault, source, name=None):
        self.fault, self.name = fault, name or os.fspath(source)
        vars(self).update(FACTS.get(fault, {}))
        if fault == "refuses":
            raise VideoError(f"{self.name}: this is not a video that can be read here.")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def read(self, indices, short_side=64):
        if self.fault in ERRORS:
            error, words = ERRORS[self.fault]
            raise error(words.format(self.name))
        DONE.get(self.fault, bool)()
        shown = ASKED.get(self.fault, list)(indices)
        pictures = [numbered(number, short_side, short_side * 112 // 64) for number in shown]
        clip = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
        return GIVEN.get(self.fault, torch.clone)(clip)


@pytest.fixture
def tried(court, workshop):
    """What a faulty reader does with an entry; by default a good one with its times."""
    base = good("h264.mp4", of(), seconds=[n / 25 for n in range(FRAMES)])

    def tried(fault, entry=base, upload=False):
        return court.try_file(partial(Reader, fault), workshop["h264.mp4"], entry, upload)

    return tried


def test_the_judge_sees_what_a_reader_does(tried):
    for outcome, faults in OUTCOMES.items():
        for fault in faults:
            for upload in (False, True):
                assert tried(fault, upload=upload).outcome == outcome, fault


def test_the_judge_ends_readers_that_crash_hang_or_feast_and_goes_on(court, tried, monkeypatch):
    assert tried("crashes").outcome == CRASHED
    monkeypatch.setattr(court, "memory", 200)
    held = np.ones(4 * 10**8, np.uint8)  # what this process takes is not the reader's
    assert tried("none").outcome == EXACT
    monkeypatch.setattr(court, "seconds", 1)
    assert tried("hangs").outcome == HUNG
    monkeypatch.setattr(court, "seconds", 300)  # a busy machine is no reason to be judged
    assert tried("feasts").outcome == GREEDY
    assert tried("none").outcome == EXACT
    assert len(held)


def test_what_a_kind_allows(tried):
    """A damaged file may have fewer frames than were once written, but no wrong ones; a refusal
    must say what it should, and garbled pictures pass only where nothing could tell."""
    faults = {"none", "miscounts", "size turned", *REFUSALS, *UNCLEAR, *ASKED, *GIVEN}
    faults.remove("order lost")  # is not seen one by one
    for kind, allowed in {
        "good": {"none"},
        "bad": {*REFUSALS},
        "either": {"none", *REFUSALS},
        "damaged": {"none", *REFUSALS, "miscounts"},
    }.items():
        entry = Entry(kind, "h264.mp4", of())
        for fault in faults:
            verdict = tried(fault, entry)
            assert verdict.is_allowed(entry) == (fault in allowed), (fault, verdict)
            silent = verdict.is_allowed(replace(entry, says="this was never said"))
            assert silent == (fault in allowed and verdict.outcome == EXACT)
    honest, garbled = (damaged("h264.mp4", of(), garbles=garbles) for garbles in (False, True))
    assert tried("colours swapped", honest).outcome == WRONG
    assert tried("colours swapped", garbled).outcome == EXACT
    assert tried("repeats the last", garbled).outcome == WRONG
