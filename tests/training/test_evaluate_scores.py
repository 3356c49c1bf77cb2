"""Scores kept in a file: fewer views, another average and the rest of an evaluation from there."""

import json

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from known_answers import Table, Views, random_table

from vivit_lab.data import ArrowOfTime
from vivit_lab.training import Evaluation, evaluate, load_evaluation, load_scores, score_views
from vivit_lab.training.results import Origin, ViewScores

TRUTH = [0, 3, 2, 1, 1, 4, 2]


def example(clips=4, crops=3, **options):
    table = random_table(7, clips * crops, 6)
    return evaluate(Table(table), Views(TRUTH, clips, crops), progress=False, **options), table


def test_a_file_gives_the_same_evaluation_either_way(tmp_path):
    result, _ = example()
    result.save(tmp_path / "scores.npz")
    for average in ("softmax", "logits"):
        again = load_evaluation(tmp_path / "scores.npz", average)
        assert str(again) == str(Evaluation(result.scores, average))
        assert again.to_dict() == Evaluation(result.scores, average).to_dict()
        assert (again.scores.logits["class"] == result.scores.logits["class"]).all()
        assert again.scores.names == result.scores.names
        assert again.scores.origin == result.scores.origin


def test_two_heads_and_no_labels_are_kept_too(tmp_path):
    tables = {"verb": random_table(2, 2, 3), "noun": random_table(2, 2, 4)}
    truth = [{"verb": 0, "noun": 3}, {"verb": 2, "noun": 1}]
    for labels in (truth, [None, None]):
        scores = score_views(Table(tables), Views(labels, 2, 1), progress=False)
        scores.save(tmp_path / "s.npz")
        again = load_scores(tmp_path / "s.npz")
        assert list(again.logits) == ["verb", "noun"]
        if labels is truth:
            assert {h: each.tolist() for h, each in again.labels.items()} == {
                "verb": [0, 2], "noun": [3, 1],
            }  # fmt: skip
        else:
            assert again.labels is None


def test_fewer_views_are_the_average_over_those():
    result, table = example()
    fewer = result.with_views([1, 7, 4])
    expected = table.double().softmax(-1)[:, [1, 7, 4]].mean(1)
    assert np.allclose(fewer.scores.average()["class"], expected)
    assert fewer.top1 == np.mean((expected.argmax(1) == torch.tensor(TRUTH)).tolist())
    assert fewer.scores.places == ((0, 1), (2, 1), (1, 1))
    assert "3 clips x 1 crop = 3 views" in str(fewer)
    assert "= 2 views" not in str(result.with_views([0, 5]))  # no grid of clips and crops


@pytest.mark.parametrize("views", [[], [0, 0], [12], [-1]])
def test_views_that_are_not_there_are_refused(views):
    result, _ = example()
    with pytest.raises(ValueError, match="one or more of 0 to 11"):
        result.with_views(views)


def test_accuracy_against_views_ends_with_all_of_them():
    result, _ = example()
    curve = result.by_views()
    assert [point.count for point in curve] == list(range(1, 13))
    assert curve[-1].top1 == result.top1 and curve[-1].views == tuple(range(12))
    for point in curve:
        assert point.top1 == result.with_views(point.views).top1
    for fewer, more in zip(curve, curve[1:], strict=False):
        assert set(fewer.views) < set(more.views)


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.integers(1, 10), st.sampled_from([1, 3]), st.data())
def test_spread_views_are_middle_crops_of_clips_far_apart(clips, crops, data):
    places = tuple((clip, crop) for clip in range(clips) for crop in range(crops))
    n = data.draw(st.integers(1, len(places)))
    scores = ViewScores({"class": np.zeros((1, len(places), 2), np.float32)}, None, np.arange(1),
                        ("a",), {"class": None}, places, Origin("", "", None, "", 1))  # fmt: skip
    chosen = [places[view] for view in scores.spread(n)]
    assert len(set(chosen)) == n
    if n <= clips:
        assert {crop for _, crop in chosen} == {crops // 2}
    if n == 1:
        assert chosen[0][0] == (clips - 1) // 2
    if n == 3 and clips >= 3:
        assert max(clip for clip, _ in chosen) == clips - 1 and min(chosen)[0] == 0


def counted(model, data, file, **options):
    """The result, and how many views the model was asked for."""
    before = sum(model.batches)
    result = evaluate(model, data, file=file, progress=False, **options)
    return result, sum(model.batches) - before


def test_known_scores_are_not_computed_again(tmp_path):
    model, data = Table(random_table(7, 6, 6)), Views(TRUTH, 2, 3)
    first, views = counted(model, data, tmp_path / "s.npz")
    assert views == 42
    again, views = counted(model, data, tmp_path / "s.npz", average="logits")
    assert views == 0
    assert again.to_dict() == Evaluation(first.scores, "logits").to_dict()


class Stops(Views):
    """Ctrl-C, or an error, when video 4 is due."""

    error = KeyboardInterrupt

    def __getitem__(self, number):
        if number == 4 and self.error is not None:
            raise self.error("stop")
        return super().__getitem__(number)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_stopped_evaluation_goes_on_where_it_was(tmp_path, error):
    file, model, data = tmp_path / "s.npz", Table(random_table(7, 6, 6)), Stops(TRUTH, 2, 3)
    data.error = error
    with pytest.raises((KeyboardInterrupt, RuntimeError)):
        evaluate(model, data, batch_size=6, file=file, progress=False)
    assert load_scores(file).numbers.tolist() == [0, 1, 2, 3]
    assert "not yet evaluated" in str(load_evaluation(file))
    data.error = None
    result, views = counted(model, data, file)
    assert views == 18
    assert str(result) == str(counted(model, data, None)[0])
    assert (result.scores.logits["class"] == model.table.numpy()).all()


def test_scores_are_kept_every_so_often(tmp_path, monkeypatch):
    """A killed process leaves what was saved last."""
    monkeypatch.setattr("vivit_lab.training.evaluation.SAVE_EVERY", 0)
    sizes = []

    class Watching(Views):
        def __getitem__(self, number):
            file = tmp_path / "s.npz"
            sizes.append(load_scores(file).videos if file.exists() else 0)
            return super().__getitem__(number)

    evaluate(Table(random_table(7, 6, 6)), Watching(TRUTH, 2, 3), batch_size=6,
             file=tmp_path / "s.npz", progress=False)  # fmt: skip
    assert sizes == list(range(7))


@pytest.mark.parametrize("what", ["weights", "frames", "seed", "views", "clips", "names", "data"])
def test_scores_of_another_evaluation_are_refused(tmp_path, what):
    file, options = tmp_path / "s.npz", {"frames": "shuffled", "progress": False}
    model, data = Table(random_table(7, 6, 6)), Views(TRUTH, 2, 3)
    evaluate(model, data, file=file, **options)
    before = file.read_bytes()
    if what == "weights":
        model.register_buffer("other", torch.ones(1))
    elif what == "frames":
        options["frames"] = "reversed"
    elif what == "seed":
        options["seed"] = 1
    elif what == "views":
        data = Views(TRUTH, 3, 2)
    elif what == "clips":
        data.sampling = ("other frames",)
    elif what == "names":
        data.name_of = lambda number: f"video {number}"
    else:
        data = ArrowOfTime(8, 6, 16)
    with pytest.raises(ValueError, match="another evaluation.*[Gg]ive another file"):
        evaluate(model, data, file=file, **options)
    assert file.read_bytes() == before


def test_files_that_hold_no_scores_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_scores(tmp_path / "nowhere.npz")
    np.savez(tmp_path / "other.npz", a=np.ones(1))
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "text.npz").write_text("scores")
    for name in ("other", "empty", "text"):
        with pytest.raises(ValueError, match=f"{name}.npz' holds no scores, or is damaged"):
            load_scores(tmp_path / f"{name}.npz")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_damaged_files_are_named(tmp_path, share):
    result, _ = example()
    result.save(tmp_path / "whole.npz")
    content = bytearray((tmp_path / "whole.npz").read_bytes())
    place = int(share * len(content))
    (tmp_path / "cut.npz").write_bytes(content[:place])
    with pytest.raises(ValueError, match="cut.npz.*damaged"):
        load_scores(tmp_path / "cut.npz")
    logits = result.scores.logits["class"].tobytes()
    place = content.find(logits) + int(share * len(logits))
    content[place] ^= 16  # one bit, somewhere in the scores
    (tmp_path / "flipped.npz").write_bytes(content)
    with pytest.raises(ValueError, match="flipped.npz.*damaged"):
        load_scores(tmp_path / "flipped.npz")


def test_a_file_cannot_run_anything(tmp_path):
    np.savez(tmp_path / "pickle.npz", vivit_lab_scores=np.array([print], dtype=object))
    with pytest.raises(ValueError, match="pickle.npz' holds no scores"):
        load_scores(tmp_path / "pickle.npz")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format_version": 7}, "format version 7.*newer"),
        ({"names": ["a"]}, "do not fit together"),
        ({"heads": ["verb"]}, "do not fit together"),
        ({"places": [[0, 0]]}, "do not fit together"),
        ({"origin": {"colour": "red"}}, "do not fit together"),
    ],
)
def test_scores_that_do_not_fit_together_are_refused(tmp_path, change, words):
    result, _ = example()
    result.save(tmp_path / "s.npz")
    with np.load(tmp_path / "s.npz") as stored:
        arrays = dict(stored)
    about = json.loads(str(arrays["vivit_lab_scores"])) | change
    arrays["vivit_lab_scores"] = np.array(json.dumps(about))
    np.savez(tmp_path / "s.npz", **arrays)
    with pytest.raises(ValueError, match=words):
        load_scores(tmp_path / "s.npz")


def test_a_full_disk_leaves_the_old_scores(tmp_path, monkeypatch):
    result, _ = example()
    file = tmp_path / "s.npz"
    result.save(file)
    before = file.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        result.with_views([0]).save(file)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["s.npz"]


def test_the_report_is_json_that_anyone_can_read(tmp_path):
    result, _ = example()
    result.save_report(tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report == json.loads(json.dumps(result.to_dict()))
    assert report["top1"] == result.top1 and report["average"] == "softmax"
    assert report["views"] == {"count": 12, "text": "4 clips x 3 crops = 12 views"}
    rows = report["heads"]["class"]["per_class"]
    assert [row["videos"] for row in rows] == [1, 2, 2, 1, 1, 0]
    assert rows[5]["top1"] is None  # no video of that class; nan is no JSON
    assert "NaN" not in (tmp_path / "report.json").read_text()


def test_cost_stands_beside_every_accuracy():
    origin = Origin("toy", "", 2_000_000_000, "made up", 2)
    scores = ViewScores({"class": np.eye(2, dtype=np.float32)[:, None].repeat(3, 1)},
                        {"class": np.arange(2)}, np.arange(2), ("a", "b"), {"class": None},
                        ((0, 0), (1, 0), (2, 0)), origin)  # fmt: skip
    result = Evaluation(scores)
    video, clip = (line for line in str(result).splitlines() if "%" in line and "MACs" in line)
    assert "6.00 GMACs (3 x 2.00 G)" in video and "2 videos" in video
    assert "2.00 GMACs" in clip and "6 views" in clip
    assert [point.macs for point in result.by_views()] == [2e9, 4e9, 6e9]
    assert "6.00 GMACs" in result._repr_html_()
    assert result.to_dict()["macs"] == {"view": 2e9, "video": 6e9}


def test_html_escapes_names():
    table = random_table(7, 2, 6)
    data = Views(TRUTH, 2, 1)
    data.sampling = ("<b>bold</b>",)
    shown = evaluate(Table(table), data, progress=False)._repr_html_()
    assert "&lt;b&gt;bold" in shown and "<b>bold" not in shown
