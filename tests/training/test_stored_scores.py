"""assets/scores: the file, its log, the model behind it, and the script that made them."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from vivit_lab.analysis import count_flops
from vivit_lab.data import LongVideos
from vivit_lab.data.samples import ASSETS
from vivit_lab.training import load_evaluation, load_scores
from vivit_lab.training.results import Evaluation
from vivit_lab.weights import load_checkpoint, read_checkpoint_info

FOLDER = ASSETS / "scores"


def load_script():
    spec = importlib.util.spec_from_file_location("score_views", ASSETS / "score_views.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = load_script()


@pytest.fixture(scope="module")
def scores():
    return load_scores(FOLDER / "long_videos.npz")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> tuple[Path, Evaluation]:
    """What the script makes of a tiny example."""
    folder = tmp_path_factory.mktemp("scores") / "new"
    recipe = script.RECIPE.change(epochs=2, batch=8)
    videos = LongVideos(videos=24, frames=24, seed=5)
    return folder, script.make(folder, videos, LongVideos(videos=8), recipe)


def test_the_file_is_small_and_of_the_videos_that_it_names(scores):
    assert (FOLDER / "long_videos.npz").stat().st_size < 600_000
    assert (scores.videos, scores.views) == (len(script.TEST), 12)
    made_of = f"LongVideos(videos={len(script.TEST)}, seed={script.TEST.seed})"
    assert scores.origin.data == made_of
    assert not scores.origin.absent and not scores.origin.unreadable
    labels = [script.TEST.label(number) for number in scores.numbers]
    for head, names in LongVideos.classes.items():
        assert scores.labels[head].tolist() == [label[head] for label in labels]
        assert scores.class_names[head] == tuple(names)


def test_the_log_matches_the_file_and_the_model(scores):
    log = json.loads((FOLDER / "log.json").read_text())
    result = load_evaluation(FOLDER / "long_videos.npz").to_dict()
    assert log["result"] == json.loads(json.dumps(result))
    for field in ("classes", "epochs", "batch", "lr", "seed"):
        assert log["recipe"][field] == getattr(script.RECIPE, field)
    assert log["training videos"] == len(script.TRAIN) and script.TRAIN.seed != script.TEST.seed
    assert [epoch["epoch"] for epoch in log["epochs"]] == list(range(1, script.RECIPE.epochs + 1))
    info = read_checkpoint_info(FOLDER / "two_heads.safetensors")
    assert info.history == log["epochs"]
    assert info.config.clip_shape == (8, 3, 32, 32)
    assert scores.origin.macs == log["result"]["macs"]["view"] == count_flops(info.config).macs


def test_the_model_still_says_what_was_stored(scores):
    model, _ = load_checkpoint(FOLDER / "two_heads.safetensors")
    again = script.score(model, LongVideos(videos=3)).scores
    for head, logits in again.logits.items():
        assert np.abs(logits - scores.logits[head][:3]).max() < 0.05  # another decoder may round


def test_accuracy_is_neither_chance_nor_perfect_and_rises_with_views():
    result = load_evaluation(FOLDER / "long_videos.npz")
    assert not result.warnings
    for head in ("verb", "noun", "action"):
        low, high = result[head].interval
        assert 1.5 * result[head].chance < low and high < 0.95
    one, all_ = result.by_views()[0], result.by_views()[-1]
    assert one.interval[1] < all_.interval[0]


def test_the_script_makes_the_same_kind_of_files(tiny, scores):
    folder, result = tiny
    assert {path.name for path in folder.iterdir()} == {path.name for path in FOLDER.iterdir()}
    new = load_scores(folder / "long_videos.npz")
    assert new.places == scores.places and new.class_names == scores.class_names
    assert new.origin.model == scores.origin.model and new.origin.macs == scores.origin.macs
    assert new.origin.clips == scores.origin.clips
    log, stored = (json.loads((each / "log.json").read_text()) for each in (folder, FOLDER))
    assert log.keys() == stored.keys()
    assert log["result"] == json.loads(json.dumps(result.to_dict()))
    for head in new.logits:
        assert np.isfinite(new.logits[head]).all()
        assert new.labels[head].tolist() == [LongVideos().label(n)[head] for n in range(8)]


# ---- the training clips


def test_half_of_the_clips_are_turned_over_and_have_the_verb_that_they_show():
    """A mirror, upside down, backwards: who moves or turns the other way has the other label."""
    names = LongVideos.classes["verb"]
    moves, turns = {"moves right", "moves left"}, {"turns clockwise", "turns anticlockwise"}
    ways = (  # axis of a clip (T, C, H, W), what becomes of the verbs, which are changed
        (3, script.MIRRORED, moves | turns),
        (2, script.UPSIDE_DOWN, turns),
        (0, script.BACKWARDS, set(names)),
        (None, range(8), set()),
    )
    clips = script.RandomClips(LongVideos(videos=400, frames=40, seed=3), seed=0)
    found = [clips[number] for number in range(400)]
    assert all(label["noun"] == clips.labels[n]["noun"] for n, (_, label) in enumerate(found))
    for axis, verbs, changed in ways:
        assert list(verbs) == [k ^ 1 if name in changed else k for k, name in enumerate(names)]
        only = [
            (number, label)
            for number, ((clip, label), kept) in enumerate(zip(found, clips.clips, strict=True))
            if np.array_equal(clip.numpy(), kept if axis is None else np.flip(kept, axis))
        ]
        assert 0.07 < len(only) / 400 < 0.19  # turned over in this way alone: 1 in 8
        assert all(label["verb"] == verbs[number % 8] for number, label in only)
    again = [clips[number][0].numpy() for number in range(20)]
    assert all(np.array_equal(a, b[0].numpy()) for a, b in zip(again, found, strict=False))
    clips.set_epoch(1)
    later = [clips[number][0].numpy() for number in range(20)]
    assert not all(np.array_equal(a, b) for a, b in zip(again, later, strict=True))
