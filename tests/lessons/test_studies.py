"""Studies: what a run depends on, that a study goes on where it stopped, and what is stored."""

import json

import pytest
import torch
from run_studies import main

from vivit_lab.analysis import count_flops
from vivit_lab.data import ArrowOfTime
from vivit_lab.lessons import studies as study
from vivit_lab.lessons.studies import STUDIES, Arm, Result, find_arm, load_results, settings
from vivit_lab.weights import load_checkpoint, small_image_vit
from vivit_lab.weights.image_vit import SMALL_IMAGE_VIT as FILE

QUICK = {"batch": 8, "epochs": 2, "warmup_epochs": 0.5}
FIRST = Arm(name="first", title="The first", changes=QUICK, clips=16)
SECOND = Arm(name="second", title="The second", changes=QUICK, config={"depth": 1}, clips=16)


@pytest.fixture
def tiny(monkeypatch):
    """A study of two arms that take a second each."""
    monkeypatch.setitem(STUDIES, "tiny", (FIRST, SECOND))
    monkeypatch.setattr(study, "TEST_CLIPS", 16)
    monkeypatch.setattr(study, "VALIDATION_CLIPS", 16)


def made_up(arm: Arm, seed: int, top1: float) -> Result:
    return Result(
        arm=arm.name, seed=seed, top1=top1, shuffled=0.1, reversed=0.1, per_class=(top1,) * 8,
        macs=1, params=1, seconds=1.0, cpu_seconds=1.0, history=[], curve=[],
        settings=settings(arm), versions={},
    )  # fmt: skip


# ---- one run


def test_a_run_again_is_the_same_and_another_seed_is_not(tiny, tmp_path, monkeypatch, capsys):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    torch.manual_seed(1)
    one = study.train_arm(FIRST, seed=0)
    assert not list((tmp_path / "empty").iterdir())  # without a folder nothing stays behind
    torch.manual_seed(2)
    assert main(["tiny", "--seeds", "1", "--arms", "first", "--folder", str(tmp_path)]) == 0
    assert "The first, seed 0" in capsys.readouterr().out
    (two,) = load_results("tiny", tmp_path)
    for name in ("top1", "shuffled", "reversed", "per_class", "history", "curve", "settings"):
        assert getattr(one, name) == getattr(two, name), name
    assert two.settings == settings(FIRST) and two.model is None

    other = study.train_arm(FIRST, seed=3, folder=tmp_path / "run")
    assert (tmp_path / "run" / "log.jsonl").exists()
    states = [run.model.state_dict()["head.weight"] for run in (one, other)]
    assert not torch.equal(*states) and other.curve != one.curve
    assert (other.arm, other.seed, other.settings) == ("first", 3, settings(FIRST))
    assert other.curve[-1]["clips"] == 2 * 16
    assert [epoch["epoch"] for epoch in other.history] == [1, 2]
    assert other.macs == count_flops(FIRST.model_config()).macs
    assert other.params == sum(p.numel() for p in other.model.parameters())
    assert other.versions["torch"]
    assert Result.from_dict(json.loads(json.dumps(other.to_dict()))) == other


def test_clips_are_those_that_the_arm_wants_and_bags_hold_the_same_in_another_order():
    for arm, shape in (
        (("crop", "crop_48"), (8, 3, 48, 48)),
        (("frames", "frames_4"), (4, 3, 32, 32)),
    ):
        assert study.clips_of(find_arm(*arm), 5, 8)[0][0].shape == shape
    wanted = Arm(name="x", title="x", level="medium")
    right = ArrowOfTime(8, frames=8, seed=5, level="medium")
    for seed in (5, 6):
        for (clip, label), (same, again) in zip(
            study.clips_of(wanted, seed, 8), right, strict=True
        ):
            assert (torch.equal(clip, same) and label == again) == (seed == 5)
    moved, right = 0, ArrowOfTime(24, frames=8, seed=5)
    bags = study.clips_of(find_arm("four_models", "bag_of_frames"), 5, 24)
    for (clip, label), (bag, same) in zip(right, bags, strict=True):
        assert label == same
        assert sorted(f.numpy().tobytes() for f in bag) == sorted(f.numpy().tobytes() for f in clip)
        moved += not torch.equal(bag, clip)
    assert moved > 20


def test_models_start_from_the_image_vit_or_from_the_seed():
    source = small_image_vit().state
    kernel, name = source["patch_embed.proj.weight"], "blocks.0.attn.qkv.weight"
    models = {
        arm.name: study.start_model(arm, seed=0).state_dict() for arm in STUDIES["initialisation"]
    }
    central, half, new, sampled = (
        models[arm]["patch_embed.proj.weight"]
        for arm in ("central_frame", "filter_inflation", "tubelet_random", "uniform_frames")
    )
    assert torch.equal(central[:, :, 1], kernel) and not central[:, :, 0].any()
    assert torch.allclose(half[:, :, 0], kernel / 2) and torch.equal(sampled, kernel)
    assert not torch.equal(new[:, :, 1], kernel)
    for arm, state in models.items():
        assert torch.equal(state[name], source[name]) == (arm != "all_random")


def test_the_image_vit_knows_colours_and_shapes_of_single_frames():
    model, report = load_checkpoint(FILE)
    clips = ArrowOfTime(200, frames=2, seed=77)
    scenes = [clips.scene(number) for number in range(200)]
    with torch.no_grad():
        logits = model.eval()(clips.batch(range(200))[0][:, :1].float() / 127.5 - 1)
    found = {head: scores.argmax(dim=1).tolist() for head, scores in logits.items()}
    shapes = [report.class_names["shape"][number] for number in found["shape"]]
    assert sum(shape == scene.shape for shape, scene in zip(shapes, scenes, strict=True)) > 160
    right = [scene.colour[0] for scene in scenes]
    assert sum(a == b for a, b in zip(found["colour"], right, strict=True)) > 190


# ---- a study, stopped and gone on with


def test_a_study_goes_on_and_runs_only_what_is_not_stored(tiny, tmp_path, monkeypatch, capsys):
    trained, stop = [], {("second", 0)}

    def pretend(arm, seed, **rest):
        if (arm.name, seed) in stop:
            raise KeyboardInterrupt
        trained.append((arm.name, seed))
        return made_up(arm, seed, 0.5)

    def run(status, new, stored, *words, study="tiny"):
        before = len(trained)
        assert main([*words, "--folder", str(tmp_path)]) == status
        assert trained[before:] == new
        assert [(r.arm, r.seed) for r in load_results(study, tmp_path)] == stored

    monkeypatch.setattr(study, "train_arm", pretend)
    one, two = [("first", 0), ("first", 1)], [("second", 0), ("second", 1)]
    run(130, one[:1], one[:1], "tiny", "--seeds", "2")
    assert "continues from here" in capsys.readouterr().err
    stop.clear()
    run(0, [two[0], one[1], two[1]], one + two, "tiny", "--seeds", "2")
    run(0, [], one + two, "tiny", "--seeds", "2")
    third = [("second", 2)]
    run(0, third, one + two + third, "tiny", "--seeds", "3", "--arms", "second")
    # the same run of another study is taken over
    monkeypatch.setitem(STUDIES, "echo", (Arm("again", "The first, again", QUICK, clips=16),))
    run(0, [], [("again", 0), ("again", 1)], "echo", "--seeds", "2", study="echo")
    # another recipe is run again, and takes the place of the old
    longer = Arm(name="first", title="The first", changes=QUICK | {"epochs": 3}, clips=16)
    monkeypatch.setitem(STUDIES, "tiny", (longer, SECOND))
    run(0, one[:1], one + two + third, "tiny", "--seeds", "1")
    assert load_results("tiny", tmp_path)[0].settings["recipe"]["epochs"] == 3


def test_bad_input_is_named_and_without_a_name_studies_are_listed(tiny, tmp_path, capsys):
    folder = ["--folder", str(tmp_path)]
    for command, words in (
        (["tinny"], "Did you mean 'tiny'?"),
        (["tiny", "--arms", "frist"], "Did you mean 'first'?"),
        (["tiny", "--seeds", "0"], "at least 1"),
    ):
        assert main(command + folder) == 2
        assert words in capsys.readouterr().err
    assert main(folder) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(STUDIES)
    assert "2 arms, 0 results stored" in lines[-1]
    with pytest.raises(FileNotFoundError, match="python assets/run_studies.py tiny"):
        load_results("tiny", tmp_path)
    damaged = '{"results": [{"arm": "first"}]}'
    (tmp_path / "tiny.json").write_text(damaged)
    with pytest.raises(ValueError, match="damaged"):
        load_results("tiny", tmp_path)
    assert main(["tiny", *folder]) == 2 and (tmp_path / "tiny.json").read_text() == damaged
    for field, words in ({"start": "imagenet"}, "start is"), ({"changes": {"epoch": 3}}, "Recipe"):
        with pytest.raises(ValueError, match=words):
            Arm(name="x", title="x", **field)


# ---- what is stored


def test_every_arm_is_stored_with_three_seeds_of_the_present_recipe():
    for name, arms in STUDIES.items():
        stored = {(each.arm, each.seed): each for each in load_results(name)}
        again = f"python assets/run_studies.py {name}"
        for arm in arms:
            macs = count_flops(arm.model_config(), counter="closed_form").macs
            for seed in range(3):
                assert (arm.name, seed) in stored, f"{arm.name}, seed {seed} is missing: {again}"
                result = stored[arm.name, seed]
                assert result.settings == settings(arm), f"{arm.name} has changed since: {again}"
                assert result.macs == macs and len(result.history) == arm.recipe().epochs
                assert result.versions.keys() >= {"torch", "vivit_lab", "python"}
                assert all(0 <= x <= 1 for x in (result.top1, result.shuffled, result.reversed))
                assert sum(result.per_class) / 8 == pytest.approx(result.top1, abs=1e-3)
            losses = [each.curve[-1]["loss"] for (a, _), each in stored.items() if a == arm.name]
            assert len(set(losses)) == len(losses), (name, arm.name)


def test_the_four_models_learn_the_order_and_the_baselines_keep_their_bounds():
    top1 = study.spread_by_arm(load_results("four_models"))
    shuffled = study.spread_by_arm(load_results("four_models"), "shuffled")
    models = ("joint", "factorised_encoder", "factorised_self_attention", "factorised_dot_product")
    assert min(top1[name].low for name in (*models, "average_pooling_tubelets")) >= 0.97
    assert max(shuffled[name].high for name in models) < 0.75
    noise = 3 * 0.5 / 1024**0.5  # three standard deviations of a share of 1,024 clips, at most
    for name, bound in ("one_frame", 1 / 8), ("bag_of_frames", 1 / 2), ("average_pooling", 1 / 2):
        assert top1[name].high <= bound + noise, name


# ---- against the paper


def test_agreement_counts_the_pairs_that_the_paper_ranks_and_calls_overlap_open():
    for shares, counts in (
        (([0.1, 0.2], [0.3, 0.4], [0.5, 0.6]), (3, 0, 0)),
        (([0.5, 0.6], [0.3, 0.4], [0.1, 0.2]), (0, 3, 0)),
        (([0.1, 0.2], [0.2, 0.4], [0.3, 0.6]), (1, 0, 2)),
    ):
        names = (
            "tubelet_random",
            "uniform_frames",
            "central_frame",
        )  # the worst of the paper first
        arms = [find_arm("initialisation", name) for name in names]
        pairs = zip(arms, shares, strict=True)
        results = [made_up(arm, seed, x) for arm, each in pairs for seed, x in enumerate(each)]
        assert study.agreement("initialisation", results) == study.Agreement(*counts)
    assert set(study.REPORTED) == set(STUDIES)
    for name, paper in study.REPORTED.items():
        assert bool(paper.measure) == bool(paper.figures)
        pairs = len(paper.figures) * (len(paper.figures) - 1) // 2
        assert study.agreement(name, load_results(name)).pairs == pairs


def test_spread_is_mean_and_range():
    spread = study.Spread.of([0.5, 0.75, 0.625])
    assert (spread.mean, spread.low, spread.high) == (0.625, 0.5, 0.75)
    assert str(spread) == "62.5 % (50.0-75.0)"
