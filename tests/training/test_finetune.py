"""The command: from files to a model that `evaluate` takes; what it refuses, and how it says so."""

import argparse
import functools
import json
import os
import shlex
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "video"))
from clips import write_clip

from vivit_lab import ViViTConfig, build_model
from vivit_lab.cli import COMMANDS, _views, evaluate_line, main
from vivit_lab.data.dataset import BadVideoWarning
from vivit_lab.training import Recipe, Run, load_evaluation, loop, read_log
from vivit_lab.training.presets import PRESETS
from vivit_lab.video import ByFrame, Preprocessing
from vivit_lab.weights import WeightsError, load_checkpoint, save_checkpoint

FAST = ["batch=4", "epochs=2", "frames=4", "stride=1"]


def plain_picture(colour):
    def drawn(number, height, width):
        picture = np.full((height, width, 3), colour, np.uint8)
        picture[:, number % width] = 128  # it moves a little
        return picture

    return drawn


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """videos/{train,val}/{red,blue}/*.mp4, four and two of each."""
    root = tmp_path_factory.mktemp("videos")
    for split, count in (("train", 4), ("val", 2)):
        for name, colour in (("red", (200, 30, 30)), ("blue", (30, 30, 200))):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                write_clip(folder / f"{i}.mp4", 8, 48, 64, drawn=plain_picture(colour))
    return root


def finetune(*arguments, settings=()):
    changes = ["--set", *FAST, *settings]
    return main(["finetune", *map(str, arguments), "--device", "cpu", "--workers", "0", *changes])


def test_from_files_to_a_checkpoint(videos, tmp_path, capsys):
    run = tmp_path / "run"
    tiny = ("--recipe", "cpu_tiny", "--validation", videos / "val", "--folder", run)
    settings = ("epochs=8", "lr_batch=null", "lr=3e-3")
    assert finetune(videos / "train", *tiny, settings=settings) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    _, epochs = read_log(run)
    loss = epochs[-1]["validation"].pop("loss")
    assert epochs[-1]["validation"] == {"top1": 1.0, "top5": 1.0, "videos": 4}
    assert 0 < loss < epochs[0]["validation"]["loss"]
    model, report = load_checkpoint(run / "best.safetensors")
    assert report.class_names == ("blue", "red") and model.config.num_classes == 2
    about = json.loads((run / "run.json").read_text())
    assert about["training set"]["source"] == str(videos / "train")

    # the run knows its frames and pixels, so that the line that it ended with names only the data
    usual = Preprocessing(ByFrame(4, 1), 32, 32)
    assert model.preprocessing == report.preprocessing == usual
    assert shlex.split(line)[4:] == [str(run), str(videos / "val")]
    view = ["--clips", "1", "--crops", "1", "--device", "cpu", "--out", str(tmp_path / "scores")]
    assert main([*shlex.split(line)[3:], *view]) in (0, 1)  # 1: four videos prove little
    result = load_evaluation(tmp_path / "scores.npz")
    assert result.top1 == 1.0 and "made for" not in str(result)
    assert result.scores.origin.clips == f"{usual.sampling}, {usual.test_transform()}"

    # the same command again is refused; with --resume, and no recipe, it takes its own: finished
    assert finetune(videos / "train", *tiny, settings=settings) == 2
    assert "--resume" in capsys.readouterr().err
    again = ["finetune", str(videos / "train"), "--validation", str(videos / "val"), "--resume"]
    assert main([*again, "--folder", str(run), "--device", "cpu", "--workers", "0"]) == 1
    assert (
        f"finished, after 8 epochs. For more start a new run, in another folder, from its "
        f"weights: --init {run} " in capsys.readouterr().err
    )

    # from this checkpoint: same classes, the head is kept, and one epoch at no rate keeps it right
    tiny = ("--recipe", "cpu_tiny", "--validation", videos / "val", "--folder", tmp_path / "next")
    start = ("--init", run / "best.safetensors")
    assert finetune(videos / "train", *tiny, *start, settings=["epochs=1", "lr=1e-9",
                    "warmup_epochs=0"]) == 0  # fmt: skip
    assert read_log(tmp_path / "next")[1][-1]["validation"]["top1"] == 1


def test_the_line_for_evaluation_names_what_the_data_were_opened_with():
    parser = argparse.ArgumentParser(epilog="")
    COMMANDS["finetune"][1](parser)
    opened = ["b.csv", "--root", "my videos", "--format", "ssv2"]
    for words, expected in (
        (["arrow-of-time:hard"], ["arrow-of-time:hard"]),
        (["arrow_of_time"], ["arrow_of_time"]),
        (["arrow-of-times.csv"], ["DATA"]),
        (["a.csv", "--segments", "--validation", *opened], opened),
    ):
        line = evaluate_line(parser.parse_args(words), Path("my runs/a"))
        assert shlex.split(line)[4:] == ["my runs/a", *expected]


def test_rendered_clips_need_no_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("vivit_lab.cli.VALIDATION_CLIPS", 24)
    start = ("--init", "small_image_vit", "--folder", tmp_path / "run")  # nor does its start
    assert finetune("arrow-of-time", "--clips", 16, *start) == 0
    captured = capsys.readouterr()
    assert "image_vit.safetensors" in captured.err and "central frame" in captured.err
    steps, epochs = read_log(tmp_path / "run")
    assert len(steps) == 8 and epochs[-1]["validation"]["videos"] == 24
    assert len(load_checkpoint(tmp_path / "run" / "best.safetensors")[1].class_names) == 8


def test_cpu_small_starts_from_our_video_vit(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("vivit_lab.cli.VALIDATION_CLIPS", 8)
    run = ("--recipe", "cpu_small", "--clips", 8, "--folder", tmp_path / "run")
    assert finetune("arrow-of-time", *run, settings=["warmup_epochs=0"]) == 0
    assert "From small_video_vit: 55 copied, 1 resized" in capsys.readouterr().err  # the head too


def test_other_classes_get_a_new_head(tmp_path, capsys):
    config = Recipe.preset("cpu_tiny").config(num_classes=3, frames=4)
    torch.manual_seed(1)
    save_checkpoint(tmp_path / "three.safetensors", build_model(config), class_names=list("abc"))
    start = ("--init", tmp_path / "three.safetensors", "--folder", tmp_path / "run")
    assert finetune("arrow-of-time", "--clips", 4, *start) == 0
    assert "its classes are not the model's" in capsys.readouterr().err


def test_from_an_image_model(tmp_path, capsys):
    import timm
    from safetensors.torch import save_file

    source = timm.create_model("vit_tiny_patch16_224", pretrained=False)
    save_file(source.state_dict(), tmp_path / "vit.safetensors")
    start = ("--init", "vit_tiny_patch16_224", "--file", tmp_path / "vit.safetensors")
    settings = ["crop=32", "min_short_side=32", "max_short_side=32", "epochs=1", "warmup_epochs=0"]
    data = ("arrow-of-time", "--clips", 8, "--recipe", "small_data", "--folder", tmp_path / "r")
    assert finetune(*data, *start, settings=settings) == 0
    assert "1 inflated" in capsys.readouterr().err
    model, _ = load_checkpoint(tmp_path / "r" / "best.safetensors")
    assert model.config.dim == 192 and model.config.tubelet == (2, 16, 16)


def test_videos_start_from_the_recipes_image_vit(videos, tmp_path, monkeypatch, capsys):
    """Nothing is trained from random weights without a word; --show needs no weights at all."""

    def offline(name):
        raise WeightsError(f"no network for {name}")

    monkeypatch.setattr("vivit_lab.weights.image_vit._pretrained", offline)
    data = (videos / "train", "--validation", videos / "val", "--folder", tmp_path / "run")
    settings = ["warmup_epochs=0", "crop=32"]
    assert finetune(*data, settings=settings) == 2
    assert "no network for vit_base_patch16_224.augreg_in21k" in capsys.readouterr().err
    assert finetune(*data, "--show", settings=settings) == 0
    text = " ".join(capsys.readouterr().out.split())
    for words in (
        "init vit_base_patch16_224.augreg_in21k",
        "min_short_side 37 ",  # of 256, as 32 of 224
        "classes 2: blue, red",
        "training set 8 clips validation set 4 clips model Model 2: factorised encoder",
        "starts from vit_base_patch16_224.augreg_in21k steps 4: 2 epochs of 2 x 4 clips",
        "peak learning rate 7.81e-06",
        "for a step on one device Estimates of the time",
    ):
        assert words in text, words
    assert finetune(*data, "--show", settings=[*settings, "batch=9"]) == 2
    assert "8 clips, too few for a batch of 9" in capsys.readouterr().err
    monkeypatch.setattr("vivit_lab.training.sanity.free_bytes", lambda device: 10**6)
    assert finetune(*data, "--show", settings=settings) == 2
    assert "Not enough memory" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_check_learns_one_batch_by_heart(tmp_path, capsys):
    assert finetune("arrow-of-time", "--clips", 16, "--check") == 0
    assert "Memorised" in capsys.readouterr().out


SMALL = "arrow-of-time", "--show", "--init", "small_image_vit"
LARGE = "arrow-of-time", "--recipe", "small_data", "--show", "--init"
BAD_INPUT = [
    (["nowhere/", "--recipe", "cpu_tiny"], [], "There is no 'nowhere/'"),
    (["arrow-of-time", "--recipe", "cpu_tinny"], [], "Did you mean 'cpu_tiny'"),
    (["arrow-of-time"], ["lr"], "must be FIELD=VALUE"),
    (["arrow-of-time"], ["lrr=3"], "Did you mean 'lr'"),
    (["arrow-of-time"], ["lr=fast"], "lr is 'fast', but must be a number"),
    (["arrow-of-time", "--init", "vit_tinny_patch16_224"], [], "vit_tinny_patch16_224"),
    (["arrow-of-time", "--init", "no.safetensors"], [], "no.safetensors"),
    ([*SMALL, "--file", "x"], [], "leave out --file x"),
    (["arrow-of-time", "--init", "small_video_vit", "--file", "x"], [], "leave out --file x"),
    (["arrow-of-time", "--show", "--file", "x"], [], "starts from 'random': leave out --file x"),
    (
        ["arrow-of-time", "--show", "--init", "runs/y", "--file", "x"],
        [],
        "'runs/y': leave out --file x",
    ),
    (["arrow-of-time", "--init", "runs/y"], [], "no file 'runs/y'"),
    (["arrow-of-time"], ["init=null"], "or ask for random weights with --init random"),
    (
        [*LARGE, "vit_small_patch14_dinov2"],
        ["crop=100", "warmup_epochs=0"],
        "the 14 pixels of a patch of vit_small_patch14_dinov2: the nearest is 98 or 112",
    ),
    (
        [*LARGE, "vit_tiny_patch16_224"],
        ["size=S/16x2", "warmup_epochs=0"],
        "size is S/16x2, but vit_tiny_patch16_224 has 12 blocks of width 192",
    ),
    (["arrow-of-time", "--clips", "2"], [], "2 clips, too few for a batch of 4: lower it to 2"),
    (["arrow-of-time", "--root", "x"], [], "--root is for videos"),
    (["arrow-of-time", "--save-every", "0"], [], "save_every is 0, but must be at least 1"),
    (["arrow-of-time", "--recipe", "gone.json"], [], "gone.json"),
]


def test_bad_input_is_told_in_a_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for arguments, settings, message in BAD_INPUT:
        assert finetune(*arguments, settings=settings) == 2, message
        error = capsys.readouterr().err
        assert message in error and "Traceback" not in error
    assert not (tmp_path / "runs").exists()


def test_ctrl_c_stops_after_the_step_saves_and_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("vivit_lab.cli.VALIDATION_CLIPS", 8)
    run = ("arrow-of-time", "--clips", 8, "--init", "small_image_vit", "--folder", tmp_path / "run")
    straight = loop.train_step
    for step, number in ((1, signal.SIGINT), (3, signal.SIGTERM)):

        def interrupted(state, *rest, step=step, number=number):
            figures = straight(state, *rest)
            if state.step == step:
                os.kill(os.getpid(), number)
            return figures

        monkeypatch.setattr(loop, "train_step", interrupted)
        before = signal.getsignal(number)
        with monkeypatch.context() as patch:
            if step > 1:  # its weights are in its state
                patch.setattr("vivit_lab.weights.small_image_vit", None)
            assert finetune(*run, *["--resume"] * (step > 1)) == 130
        said = capsys.readouterr()
        assert "after this step" in said.err and f"after step {step}, and saved" in said.out
        assert signal.getsignal(number) == before
        assert len(read_log(tmp_path / "run")[0]) == step
    monkeypatch.setattr(loop, "train_step", straight)
    assert finetune(*run, "--resume") == 0
    assert finetune(*run[:-1], tmp_path / "whole") == 0
    ends = [load_checkpoint(tmp_path / name / "epoch-0002.safetensors")[0].state_dict()
            for name in ("run", "whole")]  # fmt: skip
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_files_that_cannot_be_read(videos, tmp_path, capsys):
    for split in ("train", "val"):
        shutil.copytree(videos / split, tmp_path / split)
        (tmp_path / split / "red" / "junk.mp4").write_bytes(b"no video")
    data = (tmp_path / "train", "--validation", tmp_path / "val", "--recipe", "cpu_tiny")
    assert finetune(*data, "--max-bad", 0, "--folder", tmp_path / "a") == 1
    error = capsys.readouterr().err
    assert "junk.mp4" in error and "Traceback" not in error
    with pytest.warns(BadVideoWarning, match=r"junk\.mp4"):
        assert finetune(*data, "--max-bad", 1, "--folder", tmp_path / "b") == 0
    epochs = read_log(tmp_path / "b")[1]
    assert epochs[-1]["validation"]["videos"] == 4  # of five
    named = [line for entry in epochs for line in entry.get("unreadable", ())]
    assert len(named) == 2  # each once, however many the epochs
    assert all(str(tmp_path / split) in named[i] for i, split in enumerate(("train", "val")))
    assert json.loads((tmp_path / "b" / "run.json").read_text())["unreadable"] == named

    # a run's folder is a start as well: its best weights, and its recipe unless another is named
    start = ("--init", tmp_path / "b", "--folder", tmp_path / "c")
    assert finetune(videos / "train", *start) == 0
    recipe = Recipe.load(tmp_path / "c" / "recipe.json")
    assert (recipe.name, recipe.init) == ("cpu_tiny", str(tmp_path / "b"))


@pytest.fixture
def begun(monkeypatch, tmp_path):
    """What `finetune` hands to `fit`, which is not run: folder, training set, validation set."""
    seen = []

    @functools.wraps(loop.fit)  # with its signature, from which the command makes options
    def noted(_, train, *, folder, validation=None, **__):
        seen.append((folder, train, validation))
        return Run(folder, None, 0, [], False)

    monkeypatch.setattr(loop, "fit", noted)
    monkeypatch.chdir(tmp_path)
    return seen


def test_the_folder_of_a_run_is_named_by_the_data(videos, begun, monkeypatch):
    monkeypatch.chdir(videos / "train")
    finetune(".", "--recipe", "cpu_tiny")
    finetune("../train/", "--recipe", "cpu_tiny")
    assert [folder for folder, *_ in begun] == [Path("runs", "train")] * 2


# --- which videos are trained on, and which validated on


def touched(*names):
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def listed(name, text):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text)


def everything():
    """Small data sets of each kind, with empty files for videos."""
    touched(
        *(f"ds/{split}/{c}/{n}.mp4" for split in ("train", "val") for c in "ab" for n in range(4))
    )
    touched(*(f"v/{c}/{n}.mp4" for c in "ab" for n in range(10)), "f/a/v1/1.jpg", "f/b/v2/1.jpg")
    touched(*(f"c/v_{c}_g{s}_c{n}.mp4" for c in "ab" for s in range(5) for n in range(4)))
    listed("hmdb/a_test_split1.txt", "0.mp4 1\n1.mp4 2\n2.mp4 0\n")
    listed("hmdb/a_test_split2.txt", "0.mp4 2\n1.mp4 1\n2.mp4 1\n")
    listed("hmdb/a_test_split3.txt", "0.mp4 1\n")
    listed("folds.csv", "path,label,split\na/0.mp4,a,0\na/1.mp4,a,1\nb/0.mp4,b,0\n")
    listed("ucf/classInd.txt", "1 a\n2 b\n")
    listed("ucf/trainlist01.txt", "a/0.mp4 1\nb/0.mp4 2\n")
    listed("ucf/testlist01.txt", "a/1.mp4\n")
    listed("all.csv", "path;label;split\na/0.mp4;a;train\na/1.mp4;a;val\nb/2.mp4;b;train\n")
    listed("away.csv", f"{Path('v').resolve()}/a/0.mp4,a\n1.mp4,b\n")
    listed(
        "c.csv", "".join(f"{path.name},{path.name[2]}\n" for path in sorted(Path("c").iterdir()))
    )
    listed("twice.csv", "a/0.mp4 0\n./a/0.mp4 1\n")
    listed("k.csv", "label,youtube_id,time_start,time_end\na,0,5,6\n")
    listed("names.txt", "b\na\n")


SETS = [  # words -> names of the training videos, and of those to validate on
    ("ds/train --validation ds/val", "train/* 8", "val/* 8"),
    ("ds --split train --validation-split val", "train/* 8", "val/* 8"),
    ("ds --split train --validation ds --validation-split val", "train/* 8", "val/* 8"),
    ("ds --split train --validation ds/val", "train/* 8", "val/* 8"),
    ("hmdb --root v", "v/a/0 1", None),
    ("hmdb --root v --validation-subset test", "v/a/0 1", "v/a/1 1"),
    ("hmdb --root v --split 2 --subset test --validation-split 1 --validation-subset train",
     "v/a/0 1", "v/a/0 1"),
    ("hmdb --root v --split 2 --validation hmdb --validation-subset test", "v/a/* 2", "v/a/0 1"),
    ("ucf --root v --validation-subset test", "v/* 2", "v/a/1 1"),
    ("ucf/trainlist01.txt --root v --validation ucf/testlist01.txt --format ucf101",
     "v/* 2", "v/a/1 1"),
    ("all.csv --root v --split train --validation-split val", "v/* 2", "v/a/1 1"),
    ("all.csv --root v --split all", "v/* 3", None),
    ("folds.csv --root v --split 0 --validation-split 1", "v/* 2", "v/a/1 1"),
    ("folds.csv --root v --split 1 --validation k.csv", "v/a/1 1", "v/a/0 1"),
    ("away.csv --root v/b --allow-outside", "v/* 2", None),
    ("twice.csv --root v --allow-duplicates", "v/a/0 2", None),
    ("k.csv --root v --trimmed", "v/a/0 1", None),
    ("f --frame-rate 12", "f/* 2", None),
    ("v --classes names.txt", "v/* 20", None),
    ("v --validation-share 0.2", "v/* 16", "v/* 4"),
    ("c.csv --root c --validation-share 0.2 --group _g(.)_c", "c/* 32", "c/* 8"),
]  # fmt: skip
REFUSED = [
    ("ds", "these folders are splits: choose one, split='train' (--split, --validation-split)"),
    ("ds --split train --validation ds", "--validation-split"),
    ("hmdb --root v --validation hmdb", "--validation-subset"),
    ("ucf --root v --validation ucf", "--validation-subset"),
    ("hmdb --root v --split 3 --validation-subset test", "the test set of split 3 is empty"),
    ("all.csv --root v", "splits train, val: choose one"),
    ("all.csv --root v --split train --validation all.csv", "splits train, val: choose one"),
    ("v --subset test", "unexpected keyword argument 'subset'"),
    ("v --split val", "val"),
    ("ds/train --validation ds/val --root v", "is a folder of classes: leave out root"),
    ("v --validation-share 0.2 --validation ds/val", "leave --validation out"),
    ("v --validation-share 20", "must be a share between 0 and 1"),
    ("v --group x", "--group does nothing without --validation-share"),
    ("c.csv --root c --validation-share 0.2 --group x", "group is 'x', but nothing matches"),
    ("arrow-of-time --validation-share 0.2", "--validation-share is for videos"),
    ("arrow-of-time --validation-split val", "--validation-split is for videos"),
    ("arrow-of-time --frame-rate 5", "--frame-rate is for videos"),
    ("f", "f/a/v1 is a folder of frames: give their rate, fps=25 (--frame-rate 25)"),
    ("twice.csv --root v", "--allow-duplicates"),
    ("away.csv --root v/b", "--allow-outside"),
]


def shown(dataset):
    """In short the files of a data set, and how many samples it has."""
    here = os.getcwd() + "/"
    files = {str(s.path).removeprefix(here).removesuffix(".mp4") for s in dataset.catalog}
    common = os.path.commonprefix(sorted(files))
    name = files.pop() if len(files) == 1 else common[: common.rfind("/") + 1] + "*"
    return f"{name.removeprefix('ds/')} {len(dataset)}"


def test_each_set_has_its_own_videos(begun, capsys):
    everything()
    model = build_model(Recipe.preset("cpu_tiny").config(frames=4, num_classes=2))
    for words, train, validation in SETS:
        begun.clear()
        assert finetune(*words.split(), "--recipe", "cpu_tiny", "--folder", "r") == 0, words
        captured = capsys.readouterr()
        _, *sets = begun[0]
        assert [each and shown(each) for each in sets] == [train, validation], words
        # the last line evaluates what was validated on
        *_, line = captured.out.splitlines()
        parser = argparse.ArgumentParser(epilog="")
        COMMANDS["evaluate"][1](parser)
        if validation is not None and "DATA" not in line:
            options = parser.parse_args(shlex.split(line)[4:])
            model.class_names = sets[0].catalog.class_names
            again, _ = _views(options, model)
            assert list(again.catalog) == list(sets[1].catalog), line


def test_what_would_train_on_the_wrong_videos_is_refused(begun, capsys):
    everything()
    for words, says in REFUSED:
        assert finetune(*words.split(), "--recipe", "cpu_tiny", "--folder", "r") == 2, words
        error = capsys.readouterr().err
        assert says in error and "Traceback" not in error, f"{words}: {error}"
    assert not begun


def test_both_sets_are_reported_before_training(begun, capsys):
    everything()
    tiny = ("--recipe", "cpu_tiny", "--folder", "r")
    rows = "".join(f"a/{n}.mp4 0\nb/{n}.mp4 1\n" for n in range(12))  # 4 of 24 are missing
    listed("l.csv", rows)
    listed("val.csv", "a/0.mp4 0\nb/1.mp4 1\nb/77.mp4 1\n")
    data = ("l.csv", "--root", "v", "--validation", "val.csv")
    assert finetune(*data, *tiny) == 2 and not begun  # of the validation set a third
    error = capsys.readouterr().err
    assert "33.3% of the segments of val.csv are missing, and --max-missing allows 20.0%" in error
    assert finetune(*data, *tiny, "--max-missing", 0.34) == 0 and begun
    error = capsys.readouterr().err
    for says in ("training set: l.csv", "4 segments missing (16.7 %)", "missing: ",
                 "2 classes, 10 to 10 segments each", "validation set: val.csv",
                 "WARNING: 2 of 2 videos to validate on are in the training set"):  # fmt: skip
        assert says in error
    assert finetune(*data, *tiny, "--max-missing", 0.1) == 2
    assert "16.7% of the segments of l.csv" in capsys.readouterr().err
    # links, other spellings and the same folder do not hide it
    Path("linked").symlink_to("v")
    for other, count in (("v", 20), ("linked", 20), ("./v/../v", 20)):
        assert finetune("v", "--validation", other, *tiny) == 0
        assert f"WARNING: {count} of {count} videos" in capsys.readouterr().err
    finetune("v", "--validation-share", "0.2", *tiny)
    error = capsys.readouterr().err
    assert "WARNING" not in error and "the validation part of 80% and 20%" in error


def test_a_checkpoint_of_another_model_is_refused(tmp_path, capsys):
    config = ViViTConfig(frames=4, image_size=24, tubelet=(2, 12, 12), dim=12, heads=2, depth=1,
                         mlp_dim=8, num_classes=8)  # fmt: skip
    save_checkpoint(tmp_path / "wide.safetensors", build_model(config))
    # its clips may be cut to another size, but not to one that its tubelets do not divide
    start = ("--init", tmp_path / "wide.safetensors", "--folder", tmp_path / "run")
    assert finetune("arrow-of-time", *start) == 2
    error = capsys.readouterr().err
    assert "the 12 pixels of a patch of" in error and "the nearest is 24 or 36." in error


def test_help_lists_presets_fields_and_defaults_in_100_columns(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit):
        main(["finetune", "--help"])
    text = capsys.readouterr().out
    assert "accelerate launch" in text and "--resume" in text
    assert max(map(len, text.splitlines())) <= 100
    lines = [line.split() for line in text.splitlines()]
    for name in PRESETS:
        assert any(line[:1] == [name] and line[-1] == Recipe.preset(name).init for line in lines)
    for _, name, value, _ in Recipe.preset("small_data").rows():
        assert any(line[: 1 + len(value.split())] == [name, *value.split()] for line in lines), name
