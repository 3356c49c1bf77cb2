"""What `predict` and `timeline` say of videos: names, views, bad files, boundaries, memory."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vivit_lab import ViViTConfig, build_model
from vivit_lab.cli import main
from vivit_lab.data import Catalog, Segment, ViewDataset
from vivit_lab.data.arrow_drawing import LEVELS, NUMBERS, render, scenes_of
from vivit_lab.data.arrow_of_time import CLASSES, encode
from vivit_lab.data.samples import ASSETS
from vivit_lab.training import evaluate, predict, prediction, timeline
from vivit_lab.training.prediction import _Windows, find_videos
from vivit_lab.video import ByFrame, BySegment, ByTime, Preprocessing, VideoError, VideoReader
from vivit_lab.weights import load_checkpoint, save_checkpoint, save_huggingface

EXPECTED = Preprocessing(ByFrame(4, 2), crop=16, short_side=20)
PARTS = 0, 2, 5  # classes of the three parts of a video
ROUND = 16  # frames, after which a part begins again without a seam


def small_model(classes=3, names=("dive", "jump", "run"), expected=EXPECTED, **changes):
    torch.manual_seed(0)
    config = ViViTConfig(frames=4, image_size=16, tubelet=(2, 8, 8), dim=12, heads=2, depth=1,
                         mlp_dim=8, num_classes=classes, **changes)  # fmt: skip
    model = build_model(config)
    with torch.no_grad():
        for parameter in model.parameters():  # the head too, so that videos differ
            parameter.add_(0.3 * torch.randn_like(parameter))
    model.class_names, model.preprocessing = names, expected
    return model


def three_parts(rounds: int, size: int) -> np.ndarray:
    """A video of three parts, each of a class of Arrow of Time, as many rounds long."""
    numbers = np.random.default_rng(0).random((3, NUMBERS))
    numbers[:, -5] = 1  # two whole rounds: the end meets the beginning
    scenes = scenes_of(LEVELS["easy"], np.array(PARTS), numbers, ROUND)
    return np.concatenate([np.tile(part, (rounds, 1, 1, 1)) for part in render(scenes, size)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three videos at different depths, a page that is called a video, and a list."""
    root = tmp_path_factory.mktemp("videos")
    (root / "more" / "deep").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (3, 30, 3, 24, 40), np.uint8)
    for name, clip in zip(("a.mp4", "more/b[1].MP4", "more/deep/c.mp4"), noise, strict=True):
        (root / name).write_bytes(encode(clip))
    (root / "more" / "page.mp4").write_text("<html>gone</html>")
    (root / "list.txt").write_text("a.mp4 0")
    return root


@pytest.fixture(scope="module")
def trained():
    model, _ = load_checkpoint(ASSETS / "weights" / "factorised_encoder.safetensors")
    model.preprocessing = Preprocessing(ByFrame(8, 2), 48, 48)
    return model


def test_probabilities_are_those_that_evaluate_averages(folder):
    model, files = small_model(), [folder / "a.mp4", folder / "more/deep/c.mp4"]
    catalog = Catalog([Segment(file, 1) for file in files], list(model.class_names), folder)
    views = ViewDataset(catalog, EXPECTED.sampling, 2, EXPECTED.test_transform(3))
    averaged = evaluate(model, views, progress=False).main.averaged
    found = predict(model, files, clips=2)
    other = predict(model, files, clips=2, crops=1).probabilities["class"]
    assert np.allclose(found.probabilities["class"], averaged, atol=1e-7)
    assert not np.allclose(other, averaged, atol=1e-4)
    assert not found.notes  # nothing is out of the ordinary
    for row, each in zip(averaged, found, strict=True):
        best = np.argsort(-row)
        assert list(each.answers["class"]) == [model.class_names[number] for number in best]
        assert np.allclose(list(each.answers["class"].values()), row[best])


def test_several_heads_classes_without_names_and_a_limit(folder):
    heads = {"verb": 4, "noun": 2}
    names = {"verb": tuple("abcd"), "noun": ("x", "y")}
    found = predict(small_model(heads, names), folder / "a.mp4", top=3, clips=1)
    answers = found[0].answers
    assert {head: len(each) for head, each in answers.items()} == {"verb": 3, "noun": 2}
    assert sum(answers["noun"].values()) == pytest.approx(1)
    assert str(found).splitlines()[0].split() == ["video", "head", "class", "probability"]
    unnamed = predict(small_model(names=None), folder / "a.mp4", top=1, clips=1)
    assert [*unnamed[0].answers["class"]][0] in ("class 0", "class 1", "class 2")
    assert "head" not in str(unnamed) and not unnamed.notes
    parts = timeline(small_model(heads, names), folder / "a.mp4").parts
    assert {head: {p.name for p in each} <= set(names[head]) for head, each in parts.items()}


def test_files_folders_patterns_and_lists_each_file_once(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(folder)
    a, b, c, page = "a.mp4", "more/b[1].MP4", "more/deep/c.mp4", "more/page.mp4"
    for given, meant in {
        a: [a],
        Path(a): [a],
        b: [b],  # a file of that name goes before a pattern
        "more": [b, page, c],
        "more/*.mp4": [page],
        "**/?.mp4": [a, c],
        "m*": [b, page, c],  # a pattern may name a folder
        "nothing*.mp4": ["nothing*.mp4"],  # and the reader says that it is not there
    }.items():
        assert find_videos(given) == meant, given
    assert find_videos([c, folder, str(folder / a)]) == [
        c,
        *map(str, (folder / a, folder / b, folder / page)),
    ]
    (folder / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="'empty' holds no video"):
        find_videos([a, "empty"])
    odd = [tmp_path / name for name in ("a1.mp4", "a[1].mp4")]
    for path in odd:
        path.touch()
    assert find_videos(odd[1]) == [str(odd[1])]  # of which the other would be a match
    with pytest.raises(ValueError, match="videos is empty"):
        find_videos([])


def test_what_cannot_be_read_is_named_once_and_the_rest_is_answered(folder, recwarn):
    found = predict(small_model(), [folder, folder / "lost.mp4"], clips=2, batch_size=1)
    assert [Path(each.video).name for each in found] == ["a.mp4", "b[1].MP4", "c.mp4"]
    told = str(found).splitlines()[-2:]
    assert [Path(line.split(": ")[1]).name for line in told] == ["lost.mp4", "page.mp4"]
    assert str(found).count("Not readable: ") == found._repr_html_().count("Not readable: ") == 2
    assert not recwarn.list
    with pytest.raises(ValueError, match=r"(?s)No video.*page\.mp4"):
        predict(small_model(), folder / "more" / "page.mp4")


def test_the_answers_travel_as_json(folder):
    found = predict(small_model(), folder)
    told = json.loads(json.dumps(found.to_dict()))
    assert told["videos"] == [each._asdict() for each in found]
    assert len(told["unreadable"]) == 1 and told["expects"] == str(EXPECTED)
    found = timeline(small_model(), folder / "a.mp4")
    part, told = found.parts["class"][0], json.loads(json.dumps(found.to_dict()))
    assert told["parts"]["class"][0] == part._asdict()


def test_the_model_says_what_clips_are_and_another_wish_is_told(folder):
    video = folder / "a.mp4"
    assert "4 frames at stride 2, short side 20" in str(predict(small_model(), video))
    silent = small_model(expected=None)
    paper = predict(silent, video)
    assert paper.expected == Preprocessing(ByFrame(4, 2), 16, 18)
    assert "has no preprocessing" in str(paper)
    other = Preprocessing(ByTime(4, 5.0), 16, 16)
    asked = predict(small_model(), video, preprocessing=other)
    assert "Note: the model was made for 4 frames at stride 2" in str(asked)
    assert not predict(silent, video, preprocessing=other).notes
    anything = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4 * 3 * 16 * 16, 2))
    with pytest.raises(ValueError, match="has no preprocessing"):
        predict(anything, video)
    answers = predict(anything, video, preprocessing=other)[0].answers
    assert set(answers["class"]) == {"class 0", "class 1"}


def test_a_model_by_any_name(folder, tmp_path):
    model, video = small_model(), folder / "a.mp4"
    (tmp_path / "run").mkdir()
    save_checkpoint(tmp_path / "run" / "best.safetensors", model)
    save_huggingface(model, tmp_path / "theirs")
    wanted = predict(model, video, clips=1).probabilities["class"]
    for source in ("run", "run/best.safetensors", "theirs"):
        found = predict(tmp_path / source, video, clips=1, preprocessing=EXPECTED, device="cpu")
        assert np.allclose(found.probabilities["class"], wanted, atol=1e-6), source
        assert set(found[0].answers["class"]) == set(model.class_names)


def test_without_a_network_the_message_says_how_to_bring_the_files(folder, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="hf download google/vivit-b-16x2-kinetics400"):
        predict("google/vivit-b-16x2-kinetics400", folder / "a.mp4")


@pytest.mark.parametrize("sampling", [ByFrame(8, 2), ByTime(8, 12.5)])
def test_boundaries_are_found_to_within_a_window(trained, tmp_path, sampling):
    (file := tmp_path / "three.mp4").write_bytes(encode(three_parts(5, 48)))
    found = timeline(trained, file, preprocessing=Preprocessing(sampling, 48, 48))
    parts, length = found.parts["class"], 5 * ROUND / 25
    assert found.window == 0.64 and found.step == 0.32
    assert [part.name for part in parts] == [CLASSES[label] for label in PARTS]
    for number, part in enumerate(parts):
        assert abs(part.start - number * length) <= found.window
        assert part.probability > 0.8
        assert part.end == (parts[number + 1].start if number < 2 else pytest.approx(3 * length))
    assert f"{CLASSES[2]}" in found._repr_html_()


def test_a_time_line_reads_each_frame_once_and_keeps_few(trained, monkeypatch):
    kept, decoded, read, read_window = [], [], VideoReader.read, _Windows.read

    def counted(video, numbers, *rest, **named):
        decoded.extend(numbers)
        return read(video, numbers, *rest, **named)

    def held(windows, *asked, **named):
        frames = read_window(windows, *asked, **named)
        kept.append(len(windows.frames))
        return frames

    monkeypatch.setattr(prediction, "AHEAD", 30)
    monkeypatch.setattr(VideoReader, "read", counted)
    monkeypatch.setattr(_Windows, "read", held)
    for rounds in (3, 12):
        decoded.clear(), kept.clear()
        found = timeline(trained, encode(three_parts(rounds, 48)), step=0.12)
        count = 3 * rounds * ROUND
        assert len(kept) == found.scores.videos > count / 3 - 6  # a window every 3 frames
        assert len(decoded) == len(set(decoded)) > count - 6
        assert max(kept) <= ROUND + 30


def test_a_damaged_stretch_is_named_and_what_lies_around_it_is_answered(trained, monkeypatch):
    read = VideoReader.read

    def broken(video, numbers, *rest, **named):
        if {100, 101} & set(map(int, numbers)):
            raise VideoError("frame 100 cannot be decoded.")
        return read(video, numbers, *rest, **named)

    monkeypatch.setattr(VideoReader, "read", broken)
    found = timeline(trained, encode(three_parts(5, 48)))
    (reason,), parts = found.unreadable, found.parts["class"]
    assert "frame 100" in reason and [part.name for part in parts] == [
        CLASSES[PARTS[number]] for number in (0, 1, 1, 2)
    ]
    assert np.isclose(parts[1].end, 96 / 25) and np.isclose(parts[2].start, 104 / 25)
    assert np.isnan(found.probabilities["class"]).any(axis=1).sum() == 1


def test_windows_that_cannot_be(trained):
    video = encode(three_parts(1, 48))
    whole = Preprocessing(BySegment(8), 48, 48)
    with pytest.raises(ValueError, match="give the window"):
        timeline(trained, video, preprocessing=whole)
    assert timeline(trained, video, preprocessing=whole, window=0.64).parts["class"]
    with pytest.raises(ValueError, match="step is 2 s, but must be at most the window, 0.64 s"):
        timeline(trained, video, step=2)
    with pytest.raises(ValueError, match="window is 0, but must be a number above 0"):
        timeline(trained, video, window=0)
    with pytest.raises(VideoError, match="upload"):
        timeline(trained, b"<html>")
    short = timeline(trained, video, window=60)  # longer than the video: one window
    assert short.edges.tolist() == [0, pytest.approx(48 / 25)]


def command(*words):
    return main(["predict", *map(str, words), "--device", "cpu"])


def test_the_command_answers_names_bad_files_and_ends_as_it_says(folder, trained, tmp_path, capsys):
    save_checkpoint(tmp_path / "m.safetensors", small_model())
    model, a = tmp_path / "m.safetensors", folder / "a.mp4"
    assert command(model, a, "--top", 1, "--clips", 1, "--crops", 1) == 0
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 3 and "1 clip x 1 crop" in told.out and not told.err
    assert command(model, folder, "--json", "--stride", 1) == 1  # one file is a page
    told = json.loads(capsys.readouterr().out)
    assert len(told["videos"]) == 3 and "page.mp4" in told["unreadable"][0]
    assert "at stride 1" in told["expects"] and "was made for" in told["notes"][0]
    assert command(model, folder / "more" / "page.mp4") == 2
    assert "page.mp4" in capsys.readouterr().err
    assert command(tmp_path, a) == 2 and "folder of a run" in capsys.readouterr().err


def test_the_command_draws_time_lines(folder, trained, tmp_path, capsys, monkeypatch):
    save_checkpoint(tmp_path / "m.safetensors", trained)
    (tmp_path / "three.mp4").write_bytes(encode(three_parts(3, 48)))
    model, page = tmp_path / "m.safetensors", folder / "more" / "page.mp4"
    words = model, tmp_path / "three.mp4", page, "--timeline"
    assert command(*words) == 1
    told = capsys.readouterr()
    assert all(CLASSES[label] in told.out for label in PARTS) and told.err.count("page.mp4") == 1
    assert command(*words, "--json", "--step", 0.16, "--crops", 3) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["videos"][0]["step"] == 0.16 and "3 crops" in told["videos"][0]["views"]
    assert len(told["unreadable"]) == 1
    assert command(model, page, "--timeline") == 2
    for idle in (("--timeline", "--top", 3), ("--window", 2)):
        capsys.readouterr()
        assert command(model, page, *idle) == 2
        assert "does nothing with" in capsys.readouterr().err

    def broken(video, *rest, read=VideoReader.read, **named):  # it opens, and that is all
        if video.name.endswith("a.mp4"):
            raise VideoError("frame 0 cannot be decoded.")
        return read(video, *rest, **named)

    monkeypatch.setattr(VideoReader, "read", broken)
    assert command(model, folder / "a.mp4", *words[1:]) == 1
    told = capsys.readouterr()
    assert CLASSES[0] in told.out and "frame 0" in told.err and "page.mp4" in told.err
