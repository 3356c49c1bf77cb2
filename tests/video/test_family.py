"""VideoReader does with every file of the family what it may do; and the judge is not blind."""

import os
import time
from dataclasses import replace
from functools import partial

import av
import numpy as np
import pytest
import torch
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
                wrong.append(f"{entry.name} ({entry.kind}: {entry.note}), {what}: {verdict}")
    assert not wrong, "\n".join(wrong)


# --- the family ---


def test_names_and_sizes_of_the_family():
    assert len({entry.name for entry in FAMILY}) == len(FAMILY) >= 350
    assert {entry.kind for entry in FAMILY} == {"good", "bad", "either", "damaged"}
    assert all(entry.note for entry in FAMILY)


def test_what_is_damaged_was_sound(workshop):
    """Decoded by PyAV alone, from beginning to end."""
    for ending in SOUND:
        with av.open(str(workshop[f"sound.{ending}"])) as container:
            pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert [READ["colour"](picture) for picture in pictures] == list(range(FRAMES)), ending


def test_writing_a_clip_leaves_the_scheduling_alone(tmp_path):
    """SVT-AV1 makes its caller a real-time process where root runs it, and all that it starts."""
    scheduling = getattr(os, "sched_getscheduler", lambda process: None)  # Linux alone has it
    before = scheduling(0)
    clip(tmp_path / "av1.mkv", **AV1)
    assert scheduling(0) == before


def test_a_number_is_read_only_from_a_whole_upright_picture():
    pictures = [numbered(number, 64, 112) for number in range(FRAMES)]
    read = READ["colour"]
    assert [read(picture) for picture in pictures] == list(range(FRAMES))
    for one, other in zip(pictures, pictures[1:], strict=False):
        patched = np.concatenate([one[:, :56], other[:, 56:]], axis=1)
        assert read(patched) in (-1, read(one), read(other))  # all of what differs is on one side
        for broken in (
            np.concatenate([one[:32], other[32:]]),
            np.maximum(one, other),
            np.minimum(one, other),
            (one.astype(int) + other) // 2,
            one[::-1],
            one[:, ::-1],
            one[..., ::-1],
            one * 0,
        ):
            assert read(broken) == -1


# --- the judge, with readers that do wrong ---


class Honest:
    """Reads one file of 24 pictures rightly, without any decoding: the numbers are drawn."""

    num_frames, height, width, pixel_aspect = FRAMES, 64, 112, 1.0
    times = np.arange(FRAMES) / 25

    def __init__(self, source, name=None):
        self.name = name or os.fspath(source)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def shown(self, index):
        return index

    def read(self, indices, short_side=None):
        size = (64, 112) if short_side is None else (short_side, short_side * 112 // 64)
        pictures = [numbered(self.shown(index), *size) for index in indices]
        return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


class Faulty(Honest):
    """Does one thing wrong."""

    def __init__(self, fault, source, name=None):
        super().__init__(source, name)
        self.fault = fault
        if fault == "refuses":
            raise VideoError(f"{self.name}: this is no video that can be read here.")
        vars(self).update(WRONG_FACTS.get(fault, {}))

    def shown(self, index):
        return min(index, 20) if self.fault == "repeats the last" else index

    def read(self, indices, short_side=None):
        if self.fault in WRONG_ERRORS:
            error, words = WRONG_ERRORS[self.fault]
            raise error(words.format(self.name))
        if self.fault == "neighbour where one is asked for" and len(indices) == 1:
            indices = [max(indices[0] - 1, 0)]
        if self.fault == "order lost":
            indices = sorted(indices)
        clip = super().read(indices, short_side)
        if self.fault == "two mixed":
            clip[-1, :, : clip.shape[2] // 2] = clip[0, :, : clip.shape[2] // 2] // 2
        if self.fault == "colours swapped":
            return clip.flip(1)
        return clip.float() if self.fault == "floats" else clip


WRONG_FACTS = {
    "miscounts": {"num_frames": FRAMES - 1},
    "size turned": {"height": 112, "width": 64},
    "aspect": {"pixel_aspect": 2.0},
    "times": {"times": np.arange(FRAMES) / 24},
}
WRONG_ERRORS = {
    "refuses later": (VideoError, "{}: this frame cannot be decoded."),
    "without the name": (VideoError, "this frame cannot be decoded."),
    "without words": (VideoError, "{}: bad"),
    "another error": (ValueError, "{}: this frame cannot be decoded."),
}
WRONG_PICTURES = (
    *("neighbour where one is asked for", "repeats the last", "two mixed"),
    *("colours swapped", "floats", "order lost"),  # the last is not seen one by one
)
REFUSALS, UNCLEAR = ("refuses", "refuses later"), list(WRONG_ERRORS)[1:]
MISCOUNTS = list(WRONG_FACTS)[:2]


class Hangs(Honest):
    def read(self, indices, short_side=None):
        time.sleep(600)


class Crashes(Honest):
    def read(self, indices, short_side=None):
        os.abort()


class Feasts(Honest):
    def read(self, indices, short_side=None):
        np.ones(4 * 10**8, np.uint8)
        return super().read(indices, short_side)


BASE = good("h264.mp4", "the base", of(), seconds=[n / 25 for n in range(FRAMES)])
OUTCOMES = {REFUSED: REFUSALS, UNNAMED: UNCLEAR, WRONG: (*WRONG_PICTURES, *WRONG_FACTS)}


def test_the_judge_sees_what_a_reader_does(court, workshop):
    readers = [(EXACT, Honest)]
    readers += [(o, partial(Faulty, fault)) for o, faults in OUTCOMES.items() for fault in faults]
    for outcome, reader in readers:
        for upload in (False, True):
            verdict = court.try_file(reader, workshop["h264.mp4"], BASE, upload)
            assert verdict.outcome == outcome, (reader, verdict)


def test_the_judge_ends_readers_that_crash_hang_or_feast_and_goes_on(court, workshop, monkeypatch):
    def outcome(reader):
        return court.try_file(reader, workshop["h264.mp4"], BASE).outcome

    assert outcome(Crashes) == CRASHED
    monkeypatch.setattr(court, "memory", 200)
    held = np.ones(4 * 10**8, np.uint8)  # what this process takes is not the reader's
    assert outcome(Honest) == EXACT
    monkeypatch.setattr(court, "seconds", 1)
    assert outcome(Hangs) == HUNG
    monkeypatch.setattr(court, "seconds", 60)  # a busy machine is no reason to be judged
    assert outcome(Feasts) == GREEDY
    assert outcome(Honest) == EXACT
    assert len(held)


def test_what_a_kind_allows(court, workshop):
    """A damaged file may have fewer frames than were once written, but no wrong ones; a refusal
    must say what it should, and garbled pictures pass only where nothing could tell."""
    path = workshop["h264.mp4"]
    for kind, allowed in {
        "good": {"none"},
        "bad": {*REFUSALS},
        "either": {"none", *REFUSALS},
        "damaged": {"none", *REFUSALS, "miscounts"},
    }.items():
        entry = Entry(kind, "h264.mp4", "the base", of())
        for fault in ("none", *REFUSALS, *UNCLEAR, *WRONG_PICTURES[:-1], *MISCOUNTS):
            verdict = court.try_file(partial(Faulty, fault), path, entry)
            assert verdict.is_allowed(entry) == (fault in allowed), (fault, verdict)
            silent = verdict.is_allowed(replace(entry, says="this was never said"))
            assert silent == (fault in allowed and verdict.outcome == EXACT)
    honest, garbled = (damaged("h264.mp4", "", of(), garbles=garbles) for garbles in (False, True))
    swapped, repeats = partial(Faulty, "colours swapped"), partial(Faulty, "repeats the last")
    assert court.try_file(swapped, path, honest).outcome == WRONG
    assert court.try_file(swapped, path, garbled).outcome == EXACT
    assert court.try_file(repeats, path, garbled).outcome == WRONG
