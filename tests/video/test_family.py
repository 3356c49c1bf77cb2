"""VideoReader does with every file of the family what it may do; and the judge is not blind."""

import contextlib
import os
import time

import av
import numpy as np
import pytest
import torch
from family import FAMILY
from family_codecs import AV1
from family_damage import SOURCES, source
from family_entry import FRAMES, Entry, numbered
from family_judge import (
    CRASHED,
    EXACT,
    GREEDY,
    HUNG,
    READ,
    REFUSED,
    UNNAMED,
    WRONG,
    Judge,
    Verdict,
)
from family_writing import Workshop, clip

from vivit_lab.video import VideoError, VideoReader


@pytest.fixture(scope="session")
def workshop(tmp_path_factory):
    return Workshop(tmp_path_factory.mktemp("family"))


@pytest.fixture(scope="session")
def built(workshop):
    """built(entry) is its path; written when first asked for."""
    paths = {}

    def path_of(entry):
        if entry.name not in paths:
            paths[entry.name] = entry.write(workshop)
        return paths[entry.name]

    return path_of


@pytest.fixture(scope="module")  # its process must be gone when other tests count theirs
def court():
    judge = Judge()
    yield judge
    judge.close()


def named(entries):
    return [pytest.param(entry, id=entry.name) for entry in entries]


def ruling(verdict: Verdict, entry: Entry) -> str:
    return f"{entry.name} ({entry.kind}: {entry.note}): {verdict.outcome}. {verdict.words}"


# --- the reader ---


@pytest.mark.parametrize("entry", named(FAMILY))
def test_from_its_path(entry, built, court):
    verdict = court.try_file(VideoReader, built(entry), entry)
    assert verdict.is_allowed(entry), ruling(verdict, entry)


@pytest.mark.parametrize("entry", named(entry for entry in FAMILY if entry.is_file))
def test_from_its_bytes(entry, built, court):
    verdict = court.try_file(VideoReader, built(entry), entry, as_bytes=True)
    assert verdict.is_allowed(entry), ruling(verdict, entry)


# --- the family ---


def test_names_and_sizes_of_the_family():
    assert len({entry.name for entry in FAMILY}) == len(FAMILY) >= 100
    assert {entry.kind for entry in FAMILY} == {"good", "bad", "either", "damaged"}
    assert all(entry.note for entry in FAMILY)


@pytest.mark.parametrize("ending", SOURCES)
def test_what_is_damaged_was_sound(workshop, ending):
    """Decoded by PyAV alone, from beginning to end."""
    with av.open(str(source(workshop, ending))) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [READ["colour"](picture) for picture in pictures] == list(range(FRAMES))


def test_writing_a_clip_leaves_the_scheduling_alone(tmp_path):
    """SVT-AV1 makes its caller a real-time process where root runs it, and all that it starts."""
    scheduling = getattr(os, "sched_getscheduler", lambda process: None)  # Linux alone has it
    before = scheduling(0)
    clip(tmp_path / "av1.mkv", codec="libsvtav1", options=AV1)
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


class Neighbours(Honest):
    """Off by one, but only alone: a sloppy seek."""

    def read(self, indices, short_side=None):
        near = [max(index - 1, 0) for index in indices] if len(indices) == 1 else indices
        return super().read(near, short_side)


class Repeats(Honest):
    """The last pictures are missing; the one before them is shown again."""

    def shown(self, index):
        return min(index, 20)


class Broken(Honest):
    """Two pictures mixed."""

    def read(self, indices, short_side=None):
        clip = super().read(indices, short_side)
        clip[-1, :, : clip.shape[2] // 2] = clip[0, :, : clip.shape[2] // 2] // 2
        return clip


class SwapsColours(Honest):
    def read(self, indices, short_side=None):
        return super().read(indices, short_side).flip(1)


class Shuffles(Honest):
    """The order of the request is lost."""

    def read(self, indices, short_side=None):
        return super().read(sorted(indices), short_side)


class Miscounts(Honest):
    num_frames = FRAMES - 1


class Mismeasures(Honest):
    height, width = 112, 64


class Stretches(Honest):
    pixel_aspect = 2.0


class Delays(Honest):
    times = np.arange(FRAMES) / 24


class Floats(Honest):
    def read(self, indices, short_side=None):
        return super().read(indices, short_side).float()


class Refuses(Honest):
    def __init__(self, source, name=None):
        super().__init__(source, name)
        raise VideoError(f"{self.name}: this is no video that can be read here.")


class RefusesLater(Honest):
    def read(self, indices, short_side=None):
        raise VideoError(f"{self.name}: frame {indices[0]} cannot be decoded.")


class RefusesNameless(Honest):
    def read(self, indices, short_side=None):
        raise VideoError("this frame cannot be decoded.")


class RefusesWordless(Honest):
    def read(self, indices, short_side=None):
        raise VideoError(f"{self.name}: bad")


class RaisesValueError(Honest):
    def read(self, indices, short_side=None):
        raise ValueError(f"{self.name}: this frame cannot be decoded.")


class Hangs(Honest):
    def read(self, indices, short_side=None):
        time.sleep(600)


class Crashes(Honest):
    def read(self, indices, short_side=None):
        os.abort()


class Feasts(Honest):
    def read(self, indices, short_side=None):
        np.ones(10**9, np.uint8)
        return super().read(indices, short_side)


@pytest.mark.parametrize(
    ("reader", "outcome"),
    [
        (Honest, EXACT),
        (Refuses, REFUSED),
        (RefusesLater, REFUSED),
        (RefusesNameless, UNNAMED),
        (RefusesWordless, UNNAMED),
        (RaisesValueError, UNNAMED),
        *(
            (reader, WRONG)
            for reader in (
                *(Neighbours, Repeats, Broken, SwapsColours, Shuffles, Floats),
                *(Miscounts, Mismeasures, Stretches, Delays),
            )
        ),
        (Crashes, CRASHED),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
@pytest.mark.parametrize("as_bytes", [False, True], ids=["path", "bytes"])
def test_the_judge_sees_what_a_reader_does(reader, outcome, as_bytes, court, workshop):
    entry = Entry("h264.mp4", "good", "the base", clip, seconds=[n / 25 for n in range(FRAMES)])
    verdict = court.try_file(reader, workshop.h264, entry, as_bytes)
    assert verdict.outcome == outcome, verdict


def test_the_judge_ends_readers_that_hang_or_feast_and_goes_on(workshop):
    entry = Entry("h264.mp4", "good", "the base", clip)
    held = np.ones(2 * 10**9, np.uint8)  # what this process takes is not the reader's
    with contextlib.closing(Judge(seconds=1, memory=200)) as strict:
        assert strict.try_file(Hangs, workshop.h264, entry).outcome == HUNG
        strict.seconds = 60  # a busy machine is no reason to be judged
        assert strict.try_file(Feasts, workshop.h264, entry).outcome == GREEDY
        assert strict.try_file(Honest, workshop.h264, entry).outcome == EXACT
    assert len(held)


@pytest.mark.parametrize(
    ("kind", "allowed"),
    [
        ("good", {Honest}),
        ("bad", {Refuses, RefusesLater}),
        ("either", {Honest, Refuses, RefusesLater}),
        ("damaged", {Honest, Refuses, RefusesLater, Miscounts}),
    ],
)
def test_what_a_kind_allows(kind, allowed, court, workshop):
    """A damaged file may have fewer frames than were once written, but no wrong ones."""
    entry = Entry("h264.mp4", kind, "the base", clip)
    for reader in (
        *(Honest, Refuses, RefusesLater, RefusesNameless, RaisesValueError),
        *(Neighbours, Repeats, Broken, Miscounts, Mismeasures),
    ):
        verdict = court.try_file(reader, workshop.h264, entry)
        assert verdict.is_allowed(entry) == (reader in allowed), (reader.__name__, verdict)


def test_garbled_pictures_pass_only_where_nothing_could_tell(court, workshop):
    honest = Entry("h264.mp4", "damaged", "the base", clip)
    garbled = Entry("h264.mp4", "damaged", "the base", clip, garbles=True)
    assert court.try_file(SwapsColours, workshop.h264, honest).outcome == WRONG
    assert court.try_file(SwapsColours, workshop.h264, garbled).outcome == EXACT
    assert court.try_file(Repeats, workshop.h264, garbled).outcome == WRONG
