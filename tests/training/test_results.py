"""Scores kept in a file: fewer views, another average, warnings and reports follow from there."""

import dataclasses
import json
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from known_answers import Table, Views, evaluate, random_table, score_views

from vivit_lab.data import ArrowOfTime
from vivit_lab.training import Evaluation, ViewScores, load_evaluation, load_scores
from vivit_lab.training.results import Origin

TRUTH = [0, 3, 2, 1, 1, 4, 2]


@pytest.fixture(scope="module")
def result():
    return evaluate(Table(random_table(7, 12, 6)), Views(TRUTH, 4, 3))


def made_up(logits, labels=None, places=((0, 0),), **origin):
    """Scores of a toy."""
    origin = {"model": "toy", "weights": "", "macs": None, "data": "made up"} | origin
    count = len(logits)
    return ViewScores({"class": logits}, labels and {"class": np.array(labels)}, np.arange(count),
                      tuple(map(str, range(count))), {"class": None}, places,
                      Origin(listed=count, **origin))  # fmt: skip


# ---- fewer views


def test_fewer_views_are_the_average_over_those(result, monkeypatch):
    fewer = result.with_views([1, 7, 4])
    expected = random_table(7, 12, 6).double().softmax(-1)[:, [1, 7, 4]].mean(1)
    assert np.allclose(fewer.scores.average()["class"], expected)
    assert fewer.top1 == np.mean((expected.argmax(1) == torch.tensor(TRUTH)).tolist())
    assert fewer.scores.places == ((0, 1), (2, 1), (1, 1))
    assert "3 clips x 1 crop = 3 views" in str(fewer)
    assert "= 2 views" not in str(result.with_views([0, 5]))  # no grid of clips and crops
    monkeypatch.setattr("vivit_lab.training.metrics.AT_ONCE", 2 * 18)  # in pieces as in one
    assert np.allclose(fewer.scores.average()["class"], expected)
    for views in ([], [0, 0], [12], [-1]):
        with pytest.raises(ValueError, match="one or more of 0 to 11"):
            result.with_views(views)


def test_accuracy_against_views_ends_with_all_of_them(result):
    curve = result.by_views()
    assert [point.count for point in curve] == list(range(1, 13))
    assert curve[-1].top1 == result.top1 and curve[-1].views == tuple(range(12))
    for point in curve:
        assert point.top1 == result.with_views(point.views).top1
    for fewer, more in zip(curve, curve[1:], strict=False):
        assert set(fewer.views) < set(more.views)
    nine = made_up(np.zeros((1, 9, 2)), places=[(clip, 0) for clip in range(9)])
    assert nine.spread(5) == [0, 2, 4, 6, 8]
    for n in (0, 13):
        with pytest.raises(ValueError, match=f"n is {n}, but"):
            result.scores.spread(n)


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.integers(1, 10), st.sampled_from([1, 3]), st.data())
def test_spread_views_are_middle_crops_of_clips_far_apart(clips, crops, data):
    places = tuple((clip, crop) for clip in range(clips) for crop in range(crops))
    n = data.draw(st.integers(1, len(places)))
    scores = made_up(np.zeros((1, len(places), 2), np.float32), places=places)
    chosen = [places[view] for view in scores.spread(n)]
    assert len(set(chosen)) == n
    if n <= clips:
        assert {crop for _, crop in chosen} == {crops // 2}
    if n == 1:
        assert chosen[0][0] == (clips - 1) // 2
    if n == 3 and clips >= 3:
        assert max(clip for clip, _ in chosen) == clips - 1 and min(chosen)[0] == 0


# ---- an evaluation that goes on


class Stops(Views):
    """Ctrl-C, or an error, when video 4 is due."""

    error = None

    def __getitem__(self, number):
        if number == 4 and self.error is not None:
            raise self.error("stop")
        return super().__getitem__(number)


def test_a_stopped_evaluation_goes_on_where_it_was(tmp_path):
    for error in (KeyboardInterrupt, RuntimeError):
        file, model = tmp_path / f"{error.__name__}.npz", Table(random_table(7, 6, 6))
        data = Stops(TRUTH, 2, 3)
        data.error = error
        with pytest.raises((KeyboardInterrupt, RuntimeError)):
            evaluate(model, data, batch_size=6, file=file)
        assert load_scores(file).numbers.tolist() == [0, 1, 2, 3]
        assert "3 not yet evaluated" in str(load_evaluation(file))
        data.error = None
        for average, asked in (("softmax", 18), ("logits", 0)):
            before = sum(model.batches)
            again = evaluate(model, data, average, file=file)
            assert sum(model.batches) - before == asked  # what is known is not computed again
            assert (again.scores.logits["class"] == model.table.numpy()).all()
            assert str(again) == str(evaluate(model, data, average))


def test_scores_are_kept_every_so_often(tmp_path, monkeypatch):
    """A killed process leaves what was saved last."""
    monkeypatch.setattr("vivit_lab.training.evaluation.SAVE_EVERY", 0)
    sizes, file = [], tmp_path / "s.npz"

    class Watching(Views):
        def __getitem__(self, number):
            sizes.append(load_scores(file).videos if file.exists() else 0)
            return super().__getitem__(number)

    data = Watching(TRUTH, 2, 3)
    evaluate(Table(random_table(7, 6, 6)), data, batch_size=6, file=file)
    assert sizes == list(range(7))


def test_scores_of_another_evaluation_are_refused(tmp_path):
    file, table = tmp_path / "s.npz", random_table(7, 6, 6)
    evaluate(Table(table), Views(TRUTH, 2, 3), file=file, frames="shuffled")
    before = file.read_bytes()
    other, clips, named = Table(table), Views(TRUTH, 2, 3), Views(TRUTH, 2, 3)
    other.register_buffer("other", torch.ones(1))
    clips.sampling = ("other frames",)
    named.name_of = lambda number: f"video {number}"
    for words, model, data, options in (
        ("weights", other, Views(TRUTH, 2, 3), {}),
        ("frames", Table(table), Views(TRUTH, 2, 3), {"frames": "reversed"}),
        ("seed", Table(table), Views(TRUTH, 2, 3), {"seed": 1}),
        ("views", Table(table), Views(TRUTH, 3, 2), {}),
        ("clips", Table(table), clips, {}),
        ("video 0 is 'sample 0' there", Table(table), named, {}),
        ("data", Table(table), ArrowOfTime(8, 6, 16), {}),
        ("video 6 is", Table(table), Views(TRUTH[:6], 2, 3), {}),
    ):
        options = {"frames": "shuffled", "file": file} | options
        with pytest.raises(ValueError, match=f"another evaluation.*{words}.*Give another file"):
            evaluate(model, data, **options)
    assert file.read_bytes() == before


# ---- the file


def test_a_file_gives_the_same_evaluation_either_way(tmp_path, result):
    heads = Table({"verb": random_table(2, 2, 3), "noun": random_table(2, 2, 4)})
    truth = [{"verb": 0, "noun": 3}, {"verb": 2, "noun": 1}]
    both, none = (score_views(heads, Views(labels, 2, 1)) for labels in (truth, [None, None]))
    for scores in (result.scores, both, none):
        scores.save(tmp_path / "scores.npz")
        again = load_scores(tmp_path / "scores.npz")
        assert (
            again.labels is None
            if scores.labels is None
            else again.labels.keys() == scores.labels.keys()
        )
        for kind in ("logits", "labels"):
            for head, values in (getattr(scores, kind) or {}).items():
                assert (getattr(again, kind)[head] == values).all()
        for name in ("names", "class_names", "places", "origin"):
            assert getattr(again, name) == getattr(scores, name)
    result.save(tmp_path / "scores.npz")
    for average in ("softmax", "logits"):
        again = load_evaluation(tmp_path / "scores.npz", average)
        assert again.to_dict() == Evaluation(result.scores, average).to_dict()
        assert str(again) == str(Evaluation(result.scores, average)) and f"{average} av" in str(
            again
        )


def test_files_that_are_damaged_or_hold_something_else_are_named(tmp_path, result):
    result.save(tmp_path / "whole.npz")
    whole = (tmp_path / "whole.npz").read_bytes()
    logits = result.scores.logits["class"].tobytes()
    flipped = bytearray(whole)
    flipped[whole.find(logits) + len(logits) // 2] ^= 16  # one bit, somewhere in the scores
    contents = {"empty": b"", "text": b"scores", "cut": whole[:-9], "flipped": bytes(flipped)}
    for name, content in contents.items():
        (tmp_path / f"{name}.npz").write_bytes(content)
    np.savez(tmp_path / "other.npz", a=np.ones(1))
    np.savez(tmp_path / "pickle.npz", vivit_lab_scores=np.array([print], dtype=object))
    for name in (*contents, "other", "pickle"):
        with pytest.raises(ValueError, match=f"{name}.npz' holds no scores, or is damaged"):
            load_scores(tmp_path / f"{name}.npz")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_scores(tmp_path / "nowhere.npz")


def test_scores_that_do_not_fit_together_are_refused(tmp_path, result):
    result.save(tmp_path / "s.npz")
    with np.load(tmp_path / "s.npz") as stored:
        arrays = dict(stored)
    about = json.loads(str(arrays["vivit_lab_scores"]))
    ones = np.ones(7, np.int64)
    with pytest.raises(ValueError, match="do not fit each other"):
        dataclasses.replace(result.scores, labels={"verb": ones})
    for change, words in (
        ({"format_version": 7}, "format version 7.*newer"),
        ({"heads": ["verb"]}, "do not fit together"),
        ({"origin": {"colour": "red"}}, "do not fit together"),
        ({"numbers": ones}, "no two the same.*do not fit"),
        ({"labels.class": ones[:6]}, "do not fit each other"),
        ({"logits.class": np.ones((7, 12))}, "do not fit each other"),
    ):
        text = {name: value for name, value in change.items() if name in ("format_version", *about)}
        changed = {"vivit_lab_scores": np.array(json.dumps(about | text))}
        changed |= {name: value for name, value in change.items() if name in arrays}
        np.savez(tmp_path / "s.npz", **(arrays | changed))
        with pytest.raises(ValueError, match=words):
            load_scores(tmp_path / "s.npz")


def test_a_full_disk_leaves_the_old_scores(tmp_path, monkeypatch, result):
    result.save(tmp_path / "s.npz")
    before = (tmp_path / "s.npz").read_bytes()
    monkeypatch.setattr("os.replace", Mock(side_effect=OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        result.with_views([0]).save(tmp_path / "s.npz")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


# ---- the report


def test_the_report_is_json_that_anyone_can_read(tmp_path, result):
    result.save_report(tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report == json.loads(json.dumps(result.to_dict()))
    assert report["top1"] == result.top1 and report["average"] == "softmax"
    assert report["views"] == {"count": 12, "text": "4 clips x 3 crops = 12 views"}
    rows = report["heads"]["class"]["per_class"]
    assert [row["videos"] for row in rows] == [1, 2, 2, 1, 1, 0]
    assert rows[5]["top1"] is None  # no video of that class; nan is no JSON
    assert "NaN" not in (tmp_path / "report.json").read_text()
    assert "1 of the 6 classes have no video" in str(result)
    with pytest.raises(ValueError, match="head is 'verb'"):
        result["verb"]


def test_cost_stands_beside_every_accuracy():
    logits = np.eye(2, dtype=np.float32)[:, None].repeat(3, 1)
    places = ((0, 0), (1, 0), (2, 0))
    result = Evaluation(made_up(logits, [0, 1], places, macs=2 * 10**9, clips="<b>bold</b>"))
    video, clip = (line for line in str(result).splitlines() if "%" in line and "MACs" in line)
    assert "6.00 GMACs (3 x 2.00 G)" in video and "2 videos" in video
    assert "2.00 GMACs" in clip and "6 views" in clip
    assert [point.macs for point in result.by_views()] == [2e9, 4e9, 6e9]
    assert result.to_dict()["macs"] == {"view": 2e9, "video": 6e9}
    html = result._repr_html_()
    assert "6.00 GMACs" in html and "&lt;b&gt;bold" in html and "<b>bold" not in html


def test_classes_are_told_worst_first_with_what_they_are_taken_for():
    confusion = [[1, 3, 0, 0], [0, 0, 0, 0], [2, 0, 2, 4], [0, 0, 0, 5]]  # "class 1" has no video
    table = of_confusion(confusion)["class"].by_class(2)
    assert str(table).splitlines() == [
        "class    videos   top-1",
        "class 2       8  25.0 %",
        "class 0       4  25.0 %",
        "... and 1 class more, of at least 100.0 %",
        "Most often confused:",
        "  class 2 answered as class 3: 4 videos, 50.0 % of the class",
        "  class 0 answered as class 1: 3 videos, 75.0 % of the class",
        "  ... and 1 pair more",
    ]
    html = table._repr_html_()
    assert "<td" in html and "class 0 answered as class 1: 3 videos" in html
    assert "confused" not in str(of_confusion(np.eye(3, dtype=int))["class"].by_class())
    two = of_confusion(confusion).heads["class"]
    assert "verb class" in str(dataclasses.replace(two, name="verb").by_class())


# ---- warnings


def of_confusion(confusion, frames="in_order"):
    """An evaluation with this confusion matrix."""
    confusion = np.array(confusion)
    truth, answers = (
        np.repeat(each.ravel(), confusion.ravel()) for each in np.indices(confusion.shape)
    )
    logits = 5 * np.eye(len(confusion), dtype=np.float32)[answers][:, None]
    return Evaluation(made_up(logits, truth.tolist(), frames=frames))


def test_what_is_suspicious_is_said_and_nothing_of_a_good_model():
    for confusion, words in (
        ([[10] * 4] * 4, "from chance (25.0 %). Usual reasons: the classifier"),
        (np.eye(4, dtype=int)[[2, 3, 0, 1]], "with 4 videos cannot be distinguished from chance"),
        (20 * np.eye(4, dtype=int)[[1, 2, 3, 0]],
         "below chance (25.0 %). If classes were renamed, it would be 100.0 %: 'class 0'"),
        ([[0, 0, 19, 1], [1, 0, 0, 19], [19, 1, 0, 0], [0, 20, 0, 0]], "classes in another order"),
        ([[20, 0], [20, 0]], "every video got the answer 'class 0'"),
        ([[85, 5, 0], [9, 0, 0], [1, 0, 0]], "always answering 'class 0' (90.0 %"),
        ([[3]], "only one class"),
    ):  # fmt: skip
        result = of_confusion(confusion)
        assert words in "\n".join(result.warnings)
        assert all(f"WARNING: {line}" in str(result) for line in result.warnings)
        assert result.to_dict()["warnings"] == result.warnings
    orders = {"shuffled": "frames shuffled", "reversed": "backwards", "middle": "frame alone"}
    for frames, words in orders.items():
        result = of_confusion([[10] * 4] * 4, frames=frames)
        assert words in str(result) and "Usual reasons" not in str(result)
        assert "a model that needs their order cannot work" in "\n".join(result.warnings)
    for confusion in (
        [[20, 2], [3, 25]],
        np.eye(4, dtype=int) * 9,
        [[30, 0], [2, 3]],
        np.diag([30, 2, 2]),
        [[9, 1], [0, 0]],
    ):
        result = of_confusion(confusion)
        assert result.warnings == [] and "frames in order" in str(result)
