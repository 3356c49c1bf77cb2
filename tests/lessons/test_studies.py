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


@pytest.fixture
def trained(monkeypatch):
    """(arm, seed) of every run that is really trained, instead of training it."""
    runs = []

    def pretend(arm, seed, folder=None, progress=False, device="cpu"):
        runs.append((arm.name, seed))
        return made_up(arm, seed, 0.5)

    monkeypatch.setattr(study, "train_arm", pretend)
    return runs


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


def test_bags_hold_the_same_frames_in_another_order():
    clips = ArrowOfTime(24, frames=8)
    bags = study.InRandomOrder(clips)
    moved = 0
    for number, (bag, label) in enumerate(bags.__getitems__(range(24))):
        clip, right = clips[number]
        assert label == right
        assert sorted(f.numpy().tobytes() for f in bag) == sorted(f.numpy().tobytes() for f in clip)
        assert torch.equal(bag, bags[number][0])
        moved += not torch.equal(bag, clip)
    assert moved > 20


def test_clips_drawn_once_are_the_same_clips():
    clips = ArrowOfTime(12, frames=4, image_size=16)
    kept = study.DrawnOnce(clips)
    kept.__getitems__([1, 7])  # so that some of the next ones are there
    for numbers in ([7, 3, 1, 11], range(12)):
        found, wanted = kept.__getitems__(numbers), clips.__getitems__(numbers)
        assert [label for _, label in found] == [label for _, label in wanted]
        assert all(torch.equal(a, b) for (a, _), (b, _) in zip(found, wanted, strict=True))
    assert len(kept) == 12 and kept.classes == clips.classes


def test_clips_are_those_that_the_arm_wants():
    bag = find_arm("four_models", "bag_of_frames")
    assert isinstance(study.clips_of(bag, 5, 8), study.InRandomOrder)
    large = study.clips_of(find_arm("crop", "crop_48"), 5, 8)
    assert large[0][0].shape == (8, 3, 48, 48)
    assert study.clips_of(find_arm("frames", "frames_4"), 5, 8)[0][0].shape[0] == 4
    wanted = Arm(name="x", title="x", level="medium")
    right = ArrowOfTime(8, frames=8, seed=5, level="medium")[3][0]
    assert torch.equal(study.clips_of(wanted, 5, 8)[3][0], right)
    assert not torch.equal(study.clips_of(wanted, 6, 8)[3][0], right)


def test_models_start_from_the_image_vit_or_from_the_seed():
    source = small_image_vit().state
    kernel = source["patch_embed.proj.weight"]
    central, half, new, sampled = (
        study.start_model(find_arm("initialisation", arm), seed=0)
        for arm in ("central_frame", "filter_inflation", "tubelet_random", "uniform_frames")
    )
    weight = central.patch_embed.proj.weight
    assert torch.equal(weight[:, :, 1], kernel) and not weight[:, :, 0].any()
    assert torch.allclose(half.patch_embed.proj.weight[:, :, 0], kernel / 2)
    assert not torch.equal(new.patch_embed.proj.weight[:, :, 1], kernel)
    assert torch.equal(sampled.patch_embed.proj.weight, kernel)
    name = "blocks.0.attn.qkv.weight"
    for model in (central, half, new, sampled):
        assert torch.equal(model.state_dict()[name], source[name])
    random = study.start_model(find_arm("initialisation", "all_random"), seed=0)
    assert not torch.equal(random.state_dict()[name], source[name])


def test_the_image_vit_knows_colours_and_shapes_of_single_frames():
    model, report = load_checkpoint(FILE)
    clips = ArrowOfTime(200, frames=2, seed=77)
    frames = clips.batch(range(200))[0][:, :1].float() / 127.5 - 1
    with torch.no_grad():
        logits = model.eval()(frames)
    right = {"shape": 0, "colour": 0}
    for number in range(200):
        scene = clips.scene(number)
        shape = report.class_names["shape"][logits["shape"][number].argmax()]
        right["shape"] += shape == scene.shape
        right["colour"] += logits["colour"][number].argmax().item() == scene.colour[0]
    assert right["colour"] > 190
    assert right["shape"] > 160


# ---- a study, stopped and gone on with


def test_what_is_stored_is_not_run_again(tiny, trained, tmp_path):
    command = ["tiny", "--seeds", "2", "--folder", str(tmp_path)]
    assert main(command) == 0
    assert trained == [("first", 0), ("second", 0), ("first", 1), ("second", 1)]
    assert main(command) == 0
    assert len(trained) == 4
    assert main(["tiny", "--seeds", "3", *command[3:], "--arms", "second"]) == 0
    assert trained[4:] == [("second", 2)]
    stored = [(result.arm, result.seed) for result in load_results("tiny", tmp_path)]
    assert stored == [("first", 0), ("first", 1), ("second", 0), ("second", 1), ("second", 2)]


def test_after_an_interruption_it_goes_on(tiny, trained, tmp_path, monkeypatch, capsys):
    pretend = study.train_arm

    def interrupted(arm, seed, **rest):
        if arm.name == "second":
            raise KeyboardInterrupt
        return pretend(arm, seed, **rest)

    command = ["tiny", "--seeds", "1", "--folder", str(tmp_path)]
    monkeypatch.setattr(study, "train_arm", interrupted)
    assert main(command) == 130
    assert "goes on from here" in capsys.readouterr().err
    assert [result.arm for result in load_results("tiny", tmp_path)] == ["first"]
    monkeypatch.setattr(study, "train_arm", pretend)
    assert main(command) == 0
    assert trained == [("first", 0), ("second", 0)]


def test_another_recipe_is_run_again_and_takes_the_place_of_the_old(
    tiny, trained, tmp_path, monkeypatch
):
    command = ["tiny", "--seeds", "1", "--folder", str(tmp_path)]
    assert main(command) == 0
    longer = Arm(name="first", title="The first", changes=QUICK | {"epochs": 3}, clips=16)
    monkeypatch.setitem(STUDIES, "tiny", (longer, SECOND))
    assert main(command) == 0
    assert trained == [("first", 0), ("second", 0), ("first", 0)]
    stored = load_results("tiny", tmp_path)
    assert [result.arm for result in stored] == ["first", "second"]
    assert stored[0].settings["recipe"]["epochs"] == 3


def test_the_same_run_of_another_study_is_taken_over(tiny, trained, tmp_path, monkeypatch):
    again = Arm(name="again", title="The first, again", changes=QUICK, clips=16)
    monkeypatch.setitem(STUDIES, "echo", (again,))
    rest = ["--seeds", "2", "--folder", str(tmp_path)]
    assert main(["tiny", "echo", *rest]) == 0
    assert ("again", 0) not in trained
    assert [result.arm for result in load_results("echo", tmp_path)] == ["again", "again"]


def test_bad_input_is_named(tiny, tmp_path, capsys):
    folder = ["--folder", str(tmp_path)]
    for command, words in (
        (["tinny", *folder], "Did you mean 'tiny'?"),
        (["tiny", "--arms", "frist", *folder], "Did you mean 'first'?"),
        (["tiny", "--seeds", "0", *folder], "at least 1"),
    ):
        assert main(command) == 2
        assert words in capsys.readouterr().err
    with pytest.raises(FileNotFoundError, match="python assets/run_studies.py tiny"):
        load_results("tiny", tmp_path)
    (tmp_path / "tiny.json").write_text('{"results": [{"arm": "first"}]}')
    with pytest.raises(ValueError, match="damaged"):
        load_results("tiny", tmp_path)
    assert main(["tiny", *folder]) == 2
    assert (tmp_path / "tiny.json").read_text() == '{"results": [{"arm": "first"}]}'
    with pytest.raises(ValueError, match="start is"):
        Arm(name="x", title="x", start="imagenet")
    with pytest.raises(ValueError, match="field of Recipe"):
        Arm(name="x", title="x", changes={"epoch": 3})


def test_without_a_name_it_lists_the_studies(tiny, tmp_path, capsys):
    assert main(["--folder", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(STUDIES)
    assert "2 arms, 0 results stored" in lines[-1]


# ---- what is stored


def test_every_arm_is_stored_with_three_seeds_of_the_present_recipe():
    for name, arms in STUDIES.items():
        stored = {(each.arm, each.seed): each for each in load_results(name)}
        again = f"python assets/run_studies.py {name}"
        for arm in arms:
            for seed in range(3):
                assert (arm.name, seed) in stored, f"{arm.name}, seed {seed} is missing: {again}"
                result = stored[arm.name, seed]
                assert result.settings == settings(arm), f"{arm.name} has changed since: {again}"
                assert result.macs == count_flops(arm.model_config(), counter="closed_form").macs
                assert len(result.history) == arm.recipe().epochs
                assert result.versions.keys() >= {"torch", "vivit_lab", "python"}
                assert min(result.top1, result.shuffled, result.reversed) >= 0
                assert max(result.top1, result.shuffled, result.reversed) <= 1
                assert sum(result.per_class) / 8 == pytest.approx(result.top1, abs=1e-3)


def test_seeds_are_different_runs():
    for name in STUDIES:
        results = load_results(name)
        for arm in STUDIES[name]:
            losses = [each.curve[-1]["loss"] for each in results if each.arm == arm.name]
            assert len(set(losses)) == len(losses), (name, arm.name)


def test_the_four_models_learn_the_order_and_the_baselines_keep_their_bounds():
    top1 = study.spread_by_arm(load_results("four_models"))
    shuffled = study.spread_by_arm(load_results("four_models"), "shuffled")
    models = ("joint", "factorised_encoder", "factorised_self_attention", "factorised_dot_product")
    for name in (*models, "average_pooling_tubelets"):
        assert top1[name].low >= 0.97, name
    for name in models:
        assert shuffled[name].high < 0.75, name
    noise = 3 * 0.5 / 1024**0.5  # three standard deviations of a share of 1,024 clips, at most
    assert top1["one_frame"].high <= 1 / 8 + noise
    assert top1["bag_of_frames"].high <= 1 / 2 + noise
    assert top1["average_pooling"].high <= 1 / 2 + noise


# ---- against the paper


def results_of(**seeds: list[float]) -> list[Result]:
    return [
        made_up(find_arm("temporal_depth", arm), seed, value)
        for arm, values in seeds.items()
        for seed, value in enumerate(values)
    ]


def test_agreement_counts_pairs_and_calls_overlap_open():
    for shares, counts in (
        (([0.1, 0.2], [0.3, 0.4], [0.5, 0.6]), (3, 0, 0)),
        (([0.5, 0.6], [0.3, 0.4], [0.1, 0.2]), (0, 3, 0)),
        (([0.1, 0.2], [0.2, 0.4], [0.3, 0.6]), (1, 0, 2)),
    ):
        results = results_of(**dict(zip(("depth_0", "depth_1", "depth_4"), shares, strict=True)))
        assert study.agreement("temporal_depth", results) == study.Agreement(*counts)


def test_the_papers_figures_are_of_arms_that_exist():
    assert set(study.REPORTED) == set(STUDIES)
    for name, paper in study.REPORTED.items():
        assert bool(paper.measure) == bool(paper.figures)
        pairs = len(paper.figures) * (len(paper.figures) - 1) // 2
        assert study.agreement(name, load_results(name)).pairs == pairs


def test_spread_is_mean_and_range():
    spread = study.Spread.of([0.5, 0.75, 0.625])
    assert (spread.mean, spread.low, spread.high) == (0.625, 0.5, 0.75)
    assert str(spread) == "62.5 % (50.0-75.0)"
