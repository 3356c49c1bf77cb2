"""`python -m vivit_lab evaluate` on real small files: reading, views, saving, exit status."""

import copy
import functools
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "video"))
from clips import write_clip

from vivit_lab import ViViTConfig, build_model
from vivit_lab.cli import main
from vivit_lab.data import read_folder
from vivit_lab.data.dataset import ViewDataset
from vivit_lab.training import evaluate, load_evaluation
from vivit_lab.video import ByFrame, BySegment, Preprocessing, TestTransform
from vivit_lab.weights import save_checkpoint, save_huggingface

ONE_VIEW = "--clips", 1, "--crops", 1
COLOURS = {"dive": (40, 60, 200), "jump": (60, 200, 60), "run": (200, 60, 40)}


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """videos/<class>/<number>.mp4: two small files of each class, a colour with a moving bar."""
    root = tmp_path_factory.mktemp("data") / "videos"
    for name, colour in COLOURS.items():
        (root / name).mkdir(parents=True)

        def picture(i, height, width, colour=colour):
            image = np.full((height, width, 3), colour, np.uint8)
            image[:, (5 * i) % width :][:, :10] = 240
            return image

        for number in range(2):
            write_clip(root / name / f"{number}.mp4", frames=20 + 4 * number, height=48, width=80,
                       drawn=picture)  # fmt: skip
    return root


@pytest.fixture(scope="module")
def model(videos):
    """A head fitted by least squares, so that the model tells the colours apart."""
    torch.manual_seed(0)
    config = ViViTConfig(frames=8, image_size=32, tubelet=(2, 8, 8), dim=24, heads=2, depth=1,
                         mlp_dim=16, num_classes=3)  # fmt: skip
    model = build_model(config).eval()
    model.class_names = ("run", "dive", "jump")  # not the order of the folders
    catalog = read_folder(videos, classes=model.class_names)
    data = ViewDataset(catalog, ByFrame(8, 2), 2, TestTransform(32, 37, 3))
    with torch.no_grad():
        features = torch.cat([model.encode(views / 127.5 - 1, False)[0] for views, _ in data])
        targets = 20 * torch.eye(3)[[label for _, label in data]].repeat_interleave(6, 0)
        model.head.weight.copy_(torch.linalg.lstsq(features, targets).solution.T)
        model.head.bias.zero_()
    return model


@pytest.fixture
def folder(tmp_path, monkeypatch, model):
    monkeypatch.chdir(tmp_path)
    save_checkpoint("m.safetensors", model)
    return tmp_path


def run(*words):
    return main(["evaluate", *map(str, words), "--workers", "0"])


def test_files_through_the_view_data_set_give_the_forwards_logits(videos, model):
    data = ViewDataset(read_folder(videos), ByFrame(8, 2), 2, TestTransform(32, 36, 3))
    result = evaluate(model, data, workers=1, batch_size=4, progress=False)
    with torch.inference_mode():
        expected = np.stack([model(views / 127.5 - 1).numpy() for views, _ in data])
    assert np.allclose(result.scores.logits["class"], expected, atol=1e-5)
    assert result.top1 == 1.0  # although the data number the classes otherwise
    assert "renumbered by name" in str(result)
    assert "ByFrame(clip_frames=8, stride=2" in str(result)
    assert result.scores.names[0] == "dive/0.mp4"
    assert result.scores.view_text == "2 clips x 3 crops = 6 views"


def test_a_folder_of_classes_goes_on_and_restarts(folder, videos, capsys):
    words = ["m.safetensors", videos, "--clips", 2]
    assert run(*words) == 0
    text = capsys.readouterr().out
    for part in ("2 clips x 3 crops = 6 views", "100.0 %", "6 videos", "MACs (6 x", "all 6"):
        assert part in text
    report = json.loads(Path("m-on-videos-2x3.json").read_text())
    assert report["top1"] == 1.0 and report["videos"]["evaluated"] == 6
    kept = load_evaluation("m-on-videos-2x3.npz")
    assert str(kept) in text and kept.scores.class_names["class"] == ("run", "dive", "jump")

    before = Path("m-on-videos-2x3.npz").stat().st_mtime_ns
    assert run(*words, "--average", "logits") == 0  # no model needed: the scores are known
    capsys.readouterr()
    again = *words, "--out", "m-on-videos-2x3"
    assert run(*again, "--stride", 3) == 2
    assert "scores of another evaluation: clips" in capsys.readouterr().err
    assert run(*again, "--stride", 3, "--restart") == 0
    assert Path("m-on-videos-2x3.npz").stat().st_mtime_ns > before


def test_frames_and_pixels_are_those_of_the_checkpoint_unless_asked_for(
    folder, videos, model, capsys
):
    made_for = copy.deepcopy(model)
    made_for.preprocessing = Preprocessing(BySegment(8), 32, 40)
    save_checkpoint("made.safetensors", made_for)
    other = "8 frames at stride 3, short side 40, crop 32"
    for words, name, note in (
        ((), "made-on-videos-1x1", ""),
        (("--stride", 3), "made-on-videos-1x1-stride-3", other),
        (("--short-side", 36), "made-on-videos-1x1-short-side-36", "video, short side 36, crop 32"),
        (("--image-size", 16), "made-on-videos-1x1-image-size-16", ""),  # in proportion: no note
    ):
        assert run("made.safetensors", videos, *ONE_VIEW, *words) in (0, 1)
        text, kept = capsys.readouterr().out, load_evaluation(f"{name}.npz")
        assert ("Note: the model was made for 8 frames, the middle" in text) == bool(note)
        assert f"evaluated on {note}" in text or note in text
        size = (16, 20) if "16" in name else (32, 36 if "36" in name else 40)
        sampling = ByFrame(8, 3) if "stride" in name else BySegment(8)
        assert kept.scores.origin.clips == f"{sampling}, {TestTransform(*size, crops=1)}"


def test_a_folder_of_transformers_brings_its_frames_and_pixels(folder, videos, model):
    ours = copy.deepcopy(model)
    ours.preprocessing = Preprocessing(BySegment(8, "first"), 32, 40, std=(0.25, 0.5, 0.5))
    save_checkpoint("ours.safetensors", ours)
    save_huggingface(ours, "theirs")
    for name in ("ours.safetensors", "theirs"):
        assert run(name, videos, *ONE_VIEW, "--out", name[0]) in (0, 1)
    first, second = (load_evaluation(f"{name}.npz").scores for name in "ot")
    assert first.origin.clips == second.origin.clips
    assert np.allclose(first.logits["class"], second.logits["class"], atol=1e-5)


def test_an_annotation_file_with_missing_and_bad_videos(folder, videos, capsys):
    shutil.copytree(videos, folder / "v")
    (folder / "v/run/1.mp4").write_bytes(b"")
    (folder / "v/jump/0.mp4").unlink()
    rows = [f"{name}/{number}.mp4,{name}" for name in COLOURS for number in range(2)]
    Path("val.csv").write_text("path,label\n" + "\n".join(rows) + "\n")
    words = "--root", "v", *ONE_VIEW, "--average", "logits", "--out", "mine"
    assert run("m.safetensors", "val.csv", *words) == 1  # something to look at
    text = capsys.readouterr().out
    assert "6 listed, 4 evaluated; 1 not there, 1 unreadable" in text
    assert "logits averaged" in text and "run/1.mp4" in text
    assert Path("mine.json").exists() and Path("mine.npz").exists()


def test_slowfasts_way_at_another_size(folder, videos, capsys):
    size = "--image-size", 48, "--short-side", 48
    assert run("m.safetensors", videos, "--clips", 3, *size, "--segments") in (0, 1)
    text = capsys.readouterr().out
    assert "3 clips x 3 crops = 9 views" in text and "8 x 48 x 48" in text
    assert (
        "BySegment(clip_frames=8, frame='middle'), TestTransform(crop=48, short_side=48, crops=3)"
        in text
    )


def test_rendered_clips_in_another_order(folder, monkeypatch, capsys):
    torch.manual_seed(0)
    config = ViViTConfig(frames=4, image_size=16, tubelet=(2, 8, 8), dim=12, heads=2, depth=1,
                         mlp_dim=8, num_classes=8)  # fmt: skip
    save_checkpoint("a.safetensors", build_model(config))
    monkeypatch.setattr("vivit_lab.cli.TEST_CLIPS", 64)
    assert run("a.safetensors", "arrow-of-time:hard", "--order", "shuffled") == 1
    text = capsys.readouterr().out
    for words in ("frames shuffled", "level='hard'", "WARNING", "64 videos"):
        assert words in text
    assert Path("a-on-arrow-of-time-hard-shuffled.json").exists()


def test_the_folder_of_a_run(folder, videos, capsys):
    Path("run").mkdir()
    assert run("run", videos) == 2
    assert "neither best.safetensors nor epoch-" in capsys.readouterr().err
    for name in ("epoch-0002", "epoch-0010"):
        shutil.copy("m.safetensors", f"run/{name}.safetensors")
    Path("run/epoch-0002.safetensors").write_bytes(b"broken")
    assert run("run", videos, *ONE_VIEW) == 0  # the newest
    for source, words, count in (
        (str(videos), (), 1),
        (os.path.relpath(videos, ".."), (), 1),  # of the folder that it was started in
        (str(videos), ("--validation-share", "0.5"), 0),
        ("elsewhere", (), 0),
        (None, (), 0),
    ):
        about = {"working_folder": str(folder.parent), "training set": {"source": source}}
        Path("run/run.json").write_text(json.dumps(about))
        status = run("run", videos, *ONE_VIEW, *words)
        assert capsys.readouterr().err.count("WARNING: the model was trained on") == count
        assert status == 1 if count else status in (0, 1)  # 1: three videos prove little
    shutil.copy("run/epoch-0002.safetensors", "run/best.safetensors")
    assert run("run", videos, *ONE_VIEW) == 2  # the best
    assert "best.safetensors" in capsys.readouterr().err


def lists(videos):
    """Annotations in which there are videos to train on, too."""
    for name in ("hmdb/run_test_split1.txt", "ucf/trainlist01.txt", "splits/train/run/x.txt"):
        Path(name).parent.mkdir(parents=True)
    Path("splits/val").mkdir()
    for name in COLOURS:
        Path(f"hmdb/{name}_test_split1.txt").write_text("0.mp4 1\n1.mp4 2\n")
    Path("ucf/classInd.txt").write_text("1 run\n2 dive\n3 jump\n")
    Path("ucf/trainlist01.txt").write_text("run/0.mp4 1\ndive/0.mp4 2\n")
    Path("ucf/testlist01.txt").write_text("run/1.mp4\ndive/1.mp4\n")
    rows = [
        f"{name}/{n}.mp4,{name},{split}\n" for name in COLOURS for n, split in enumerate(SPLITS)
    ]
    Path("mixed.csv").write_text("path,label,split\n" + "".join(rows))
    Path("numbered.csv").write_text(f"{videos}/run/0.mp4,3\n")


SPLITS = "train", "val"


def test_only_the_videos_that_were_asked_for_are_evaluated(folder, videos, capsys):
    lists(videos)
    for words, count in (
        (("hmdb", "--subset", "test"), 3),
        (("ucf", "--subset", "test"), 2),
        (("mixed.csv", "--split", "val"), 3),
    ):
        run("m.safetensors", words[0], "--root", videos, *words[1:], *ONE_VIEW, "--out", "o")
        assert f"{count} videos" in capsys.readouterr().out
        names = load_evaluation("o.npz").scores.names
        assert len(names) == count and all("1.mp4" in name for name in names)
        Path("o.npz").unlink()
    run("m.safetensors", videos, "--validation-share", "0.5", *ONE_VIEW)
    assert list(Path().glob("m-on-videos-1x1-validation-share-0.5.npz"))
    assert "3 videos" in capsys.readouterr().out


def test_bad_input_is_said_with_status_2(folder, videos, capsys):
    shutil.copytree(videos / "run", folder / "other/swim")
    lists(videos)
    for words, said in (
        (("nowhere.safetensors", videos), "no file 'nowhere.safetensors'"),
        (("m.safetensors", "nowhere"), "There is no 'nowhere'"),
        (
            ("m.safetensors", "other"),
            "'swim' is not one of the 3 classes that the model knows (run, dive, jump)",
        ),
        (
            ("m.safetensors", "numbered.csv"),
            "must be 0 to 2, for the 3 classes that the model knows",
        ),
        (("m.safetensors", "hmdb", "--root", videos), "add --subset test"),
        (("m.safetensors", "hmdb", "--root", videos, "--split", "2"), "add --subset test"),
        (("m.safetensors", "ucf", "--root", videos), "add --subset test"),
        (
            ("m.safetensors", "mixed.csv", "--root", videos),
            "the rows are of the splits train, val: choose",
        ),
        (("m.safetensors", "splits"), "these folders are splits: choose one, split='train'"),
        (
            ("m.safetensors", videos, "--subset", "test"),
            "unexpected keyword argument 'subset'",
        ),
        (("m.safetensors", videos, "--frame-rate", "0"), "above 0"),
        (("m.safetensors", videos, "--validation-share", "2"), "must be a share between 0 and 1"),
        (("m.safetensors", videos, "--classes", "numbered.csv"), "leave out --classes"),
        (("m.safetensors", "arrow-of-time"), "model has 3 classes, but the data have 8"),
        (("m.safetensors", "arrow-of-time:heard"), "Did you mean 'hard'"),
        (("m.safetensors", "arrow-of-time", "--clips", "4"), "--clips is for videos"),
        (("m.safetensors", videos, "--device", "cuda"), "torch sees no NVIDIA GPU here"),
        (("m.safetensors", videos, "--stride", "0"), "stride is 0"),
        (("m.safetensors", videos, "--image-size", "30"), "30"),
        (("m.safetensors", videos, "--split", "val"), "val"),
    ):
        assert run(*words) == 2
        error = capsys.readouterr().err
        assert said in error and "Traceback" not in error
        assert not list(Path().glob("*.json"))


def test_a_part_of_the_classes_is_enough(folder, videos, capsys):
    shutil.copytree(videos / "run", folder / "part/run")
    run("m.safetensors", "part", "--clips", 1)
    text = capsys.readouterr().out
    assert "100.0 %" in text and "2 of the 3 classes have no video" in text
    assert "class  videos    top-1\nrun         2  100.0 %\n" in text


def test_interrupted(folder, videos, monkeypatch, capsys):
    @functools.wraps(evaluate)  # with its signature, from which the command makes options
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("vivit_lab.training.evaluation.evaluate", stop)
    assert run("m.safetensors", videos) == 130
    assert "Stopped. The same command continues from here." in capsys.readouterr().err


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as stopped:
        run("--help")
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    for words in ("4 clips", "SlowFast", "softmax", "logits", "shuffled", "Exit status",
                  "a folder with one folder for each class", "accelerate launch"):  # fmt: skip
        assert words in text
