"""Classes in another order, missing and bad videos, bad input: nothing silent, nothing twice."""

from pathlib import Path

import numpy as np
import pytest
import torch
from known_answers import SingleViews, Table, Views, random_table, views_of

from vivit_lab.data.catalog import Catalog, Segment
from vivit_lab.data.dataset import BadVideo, BadVideoWarning, Fetched
from vivit_lab.training import Evaluation, ViewScores, evaluate, load_scores, score_views
from vivit_lab.training.results import Origin
from vivit_lab.video import VideoError

NAMES = ("clap", "high jump", "run")


def right_answers(truth, views=2, classes=3):
    """A table in which every view has its label's class in front."""
    return 5 * torch.eye(classes)[truth][:, None].expand(-1, views, -1).contiguous()


def test_classes_in_another_order_are_renumbered_by_name():
    truth = [0, 1, 2, 2, 1]  # in the model's order
    theirs = ("run", "clap", "high_jump")  # with the spelling of a folder
    numbers = [(1, 2, 0)[label] for label in truth]  # what the data call them
    model = Table(right_answers(truth), NAMES)
    result = evaluate(model, Views(numbers, 2, 1, theirs), progress=False)
    assert result.top1 == 1.0
    assert result.scores.labels["class"].tolist() == truth
    assert result.confusion.tolist() == [[1, 0, 0], [0, 2, 0], [0, 0, 2]]
    assert result["class"].class_names[1] == "high jump"
    assert "renumbered by name" in str(result)


def test_the_same_order_is_not_spoken_of():
    truth = [0, 1, 2]
    for theirs in (NAMES, list(NAMES), ("clap", "high_jump", "run")):
        text = str(evaluate(Table(right_answers(truth), NAMES), Views(truth, 2, 1, theirs),
                            progress=False))  # fmt: skip
        assert "renumbered" not in text and "not checked" not in text


def test_other_classes_are_refused_naming_both():
    model = Table(right_answers([0]), NAMES)
    with pytest.raises(ValueError, match="only the data have 'swim'") as error:
        evaluate(model, Views([0], 2, 1, ("clap", "high jump", "swim")), progress=False)
    assert "Only the model has 'run'" in str(error.value)


def test_another_number_of_classes_is_refused_naming_both():
    model = Table(right_answers([0]), NAMES)
    with pytest.raises(ValueError, match="model has 3 classes, but the data have 2.*classes=model"):
        evaluate(model, Views([0], 2, 1, ("clap", "run")), progress=False)


@pytest.mark.parametrize(("model", "data"), [(None, NAMES), (NAMES, None)])
def test_an_order_that_cannot_be_checked_is_said(model, data):
    result = evaluate(Table(right_answers([0, 1]), model), Views([0, 1], 2, 1, data),
                      progress=False)  # fmt: skip
    assert "was not checked" in str(result)
    assert result["class"].class_names[2] == "run"  # whoever knows the names


@pytest.mark.parametrize("label", [3, -1, 400])
def test_labels_out_of_range_name_the_video(label):
    with pytest.raises(ValueError, match=f"sample 2 has the label {label}.*from 0 to 2"):
        evaluate(Table(right_answers([0] * 3)), Views([0, 1, label], 2, 1), progress=False)


def test_heads_that_the_data_lack_are_named():
    table = {"verb": random_table(2, 2, 3), "noun": random_table(2, 2, 4)}
    with pytest.raises(ValueError, match="model answers verb, noun.*labels of the data are class"):
        evaluate(Table(table), Views([0, 1], 2, 1), progress=False)
    with pytest.raises(ValueError, match="noun would have nothing"):
        evaluate(Table(table), Views([{"verb": 0}, {"verb": 1}], 2, 1), progress=False)


def test_data_without_labels_can_be_scored_not_evaluated():
    table = random_table(3, 2, 4)
    scores = score_views(Table(table), Views([None] * 3, 2, 1), progress=False)
    assert np.allclose(scores.average("logits")["class"], table.double().mean(1))
    with pytest.raises(ValueError, match="has no labels|have no labels|no labels"):
        Evaluation(scores)


def test_a_catalogue_without_labels_is_refused_before_any_work(tmp_path):
    data = Views([None] * 3, 2, 1)
    data.catalog = Catalog([Segment(tmp_path / "a.mp4", None)] * 3, ["a"], "test.csv")
    with pytest.raises(ValueError, match="test.csv has no labels"):
        evaluate(Table(random_table(3, 2, 4)), data, progress=False)
    assert not data.asked


class WithBad(Views):
    """As a ViewDataset with bad="leave_out": the videos in `bad` cannot be read."""

    def __init__(self, labels, bad, missing=()):
        super().__init__(labels, 2, 1)
        self.bad_ones = bad
        segments = [Segment(Path(f"/videos/{i}.mp4"), label) for i, label in enumerate(labels)]
        self.catalog = Catalog(segments, [str(i) for i in range(3)], "val.csv", missing)

    def fetch(self, number):
        if number in self.bad_ones:
            reason = f"/videos/{number}.mp4: the file is empty (0 bytes)."
            return Fetched(None, self.labels[number], number, (BadVideo(0, number, reason, None),))
        return Fetched(*self[number], number, ())


@pytest.mark.parametrize("workers", [0, 2])
def test_missing_and_bad_videos_are_counted_and_named(workers):
    truth = [0, 1, 2, 0, 1, 2, 0, 1]
    table = right_answers(truth)
    table[7] = table[6]  # one mistake among the six that can be read
    missing = [Segment(Path("/videos/gone.mp4"), 0), Segment(Path("/videos/lost.mp4"), 1)]
    data = WithBad(truth, bad=(2, 5), missing=missing)
    with pytest.warns(BadVideoWarning):
        result = evaluate(Table(table), data, workers=workers, batch_size=4, progress=False)
    assert result.scores.numbers.tolist() == [0, 1, 3, 4, 6, 7]
    assert result.top1 == 5 / 6
    videos = result.to_dict()["videos"]
    assert (videos["listed"], videos["evaluated"], videos["not_evaluated"]) == (10, 6, 4)
    assert videos["top1_if_others_are_wrong"] == pytest.approx(0.5)
    text = str(result)
    for words in ("10 listed, 6 evaluated; 2 not there, 2 unreadable", "top-1 is 50.0 %",
                  "/videos/gone.mp4", "/videos/5.mp4: the file is empty"):  # fmt: skip
        assert words in text


@pytest.mark.filterwarnings("ignore::vivit_lab.data.dataset.BadVideoWarning")
def test_no_video_at_all_is_an_error_with_the_reason():
    with pytest.raises(ValueError, match=r"Not one video of val.csv.*\n.*0.mp4: the file is empty"):
        evaluate(Table(right_answers([0])), WithBad([0], bad=(0,)), progress=False)


class Replacing(SingleViews):
    """As a ClipDataset: a bad video is replaced by another, which then comes twice."""

    def fetch(self, number):
        here = 0 if number == 3 else number
        bad = (BadVideo(0, 3, "3.mp4: empty.", 0),) if number == 3 else ()
        return Fetched(*self[here], here, bad)


@pytest.mark.filterwarnings("ignore::vivit_lab.data.dataset.BadVideoWarning")
def test_a_video_in_place_of_another_counts_once():
    truth = [0, 1, 2, 1]
    result = evaluate(Table(right_answers(truth, 1)), Replacing(truth), progress=False)
    assert result.scores.numbers.tolist() == [0, 1, 2]
    assert result.to_dict()["videos"]["unreadable"] == ["3.mp4: empty."]


def test_an_error_of_the_data_is_passed_on():
    class Broken(Views):
        def __getitem__(self, number):
            if number == 2:
                raise VideoError("2.mp4: the file is cut short.")
            return super().__getitem__(number)

    with pytest.raises(VideoError, match="2.mp4: the file is cut short"):
        evaluate(Table(right_answers([0] * 4)), Broken([0] * 4, 2, 1), progress=False)


class Floats(SingleViews):
    def __getitem__(self, number):
        return views_of(number, 1)[0] / 255, self.labels[number]


class WrongShape(SingleViews):
    def __getitem__(self, number):
        return views_of(number, 3), self.labels[number]


@pytest.mark.parametrize(
    ("model", "data", "options", "error", "words"),
    [
        (Table(right_answers([0])), Views([], 2, 1), {}, ValueError, "data is empty"),
        (Table(right_answers([0])), 7, {}, TypeError, "data is int.*numbered samples"),
        (Table(right_answers([0])), Floats([0]), {}, TypeError, "uint8.*normalised already"),
        (Table(right_answers([0])), WrongShape([0]), {}, ValueError, r"\(3, 6, 3, 4, 4\)"),
        (lambda clips: clips, Views([0], 2, 1), {}, TypeError, "model is a function"),
        (torch.nn.Identity(), Views([0], 2, 1), {}, TypeError, r"must give logits \(B, classes\)"),
        (Table(right_answers([0])), Views([0], 2, 1), {"average": "sofmax"}, ValueError,
         "Did you mean 'softmax'"),
        (Table(right_answers([0])), Views([0], 2, 1), {"frames": "shufled"}, ValueError,
         "Did you mean 'shuffled'"),
        (Table(right_answers([0])), Views([0], 2, 1), {"batch_size": 0}, ValueError,
         "batch_size is 0"),
        (Table(right_answers([0])), Views([0], 2, 1), {"seed": -1}, ValueError, "seed is -1"),
        (Table(right_answers([0])), Views([0], 2, 1), {"file": "scores.json"}, ValueError,
         "scores.npz"),
    ],
)  # fmt: skip
def test_bad_input_is_named(model, data, options, error, words):
    with pytest.raises(error, match=words):
        evaluate(model, data, progress=False, **options)


def test_unknown_head_is_named():
    result = evaluate(Table(right_answers([0, 1])), Views([0, 1], 2, 1), progress=False)
    with pytest.raises(ValueError, match="head is 'verb'"):
        result["verb"]


def of_confusion(confusion, frames="in_order"):
    """An evaluation with this confusion matrix."""
    confusion = np.array(confusion)
    truth, answers = (
        np.repeat(np.indices(confusion.shape)[axis].ravel(), confusion.ravel()) for axis in (0, 1)
    )
    logits = 5 * np.eye(len(confusion), dtype=np.float32)[answers][:, None]
    origin = Origin("toy", "", None, "made up", len(truth), frames=frames)
    return Evaluation(
        ViewScores({"class": logits}, {"class": truth}, np.arange(len(truth)),
                   tuple(map(str, truth)), {"class": None}, ((0, 0),), origin)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("confusion", "words"),
    [
        ([[10] * 4] * 4, "cannot tell from chance (25.0 %). Usual reasons: the head"),
        ([[0, 20, 0, 0], [0, 0, 20, 0], [0, 0, 0, 20], [20, 0, 0, 0]], "the label + 1"),
        ([[0, 0, 0, 20], [20, 0, 0, 0], [0, 20, 0, 0], [0, 0, 20, 0]], "the label - 1"),
        ([[0, 0, 19, 1], [1, 0, 0, 19], [19, 1, 0, 0], [0, 20, 0, 0]], "classes in another order"),
        ([[20, 0], [20, 0]], "every video was taken for 'class 0'"),
        ([[85, 5, 0], [9, 0, 0], [1, 0, 0]], "always answering 'class 0' (90.0 %"),
        ([[3]], "but one class"),
    ],
)
def test_what_is_suspicious_is_said(confusion, words):
    result = of_confusion(confusion)
    assert words in "\n".join(result.warnings)
    assert all(f"WARNING: {line}" in str(result) for line in result.warnings)
    assert result.to_dict()["warnings"] == result.warnings


@pytest.mark.parametrize(
    "confusion", [[[20, 2], [3, 25]], np.eye(4, dtype=int) * 9, [[30, 0], [2, 3]], [[9, 1], [0, 0]]]
)
def test_nothing_is_suspicious_about_a_good_model(confusion):
    assert of_confusion(confusion).warnings == []


def test_chance_is_no_surprise_without_order():
    text = "\n".join(of_confusion([[10] * 4] * 4, frames="shuffled").warnings)
    assert "a model that needs their order is lost" in text and "Usual reasons" not in text


@pytest.mark.parametrize("heads", [False, True])
def test_stored_scores_go_with_the_labels_of_now(tmp_path, heads):
    """Whoever has mended the annotations need not ask the model again, nor get the old figure."""

    def labelled(numbers):
        labels = [{"verb": n, "noun": 0} for n in numbers] if heads else numbers
        return WithBad(labels, bad=())

    truth, file = [0, 1, 2, 2], tmp_path / "scores.npz"
    table = {"verb": right_answers(truth), "noun": right_answers([0] * 4)}
    model = Table(table if heads else table["verb"])
    wrong, right = labelled([1, 2, 0, 0]), labelled(truth)
    if heads:
        for data in (wrong, right):
            data.catalog = Catalog(list(data.catalog), {"verb": NAMES, "noun": NAMES}, "val.csv")
    assert evaluate(model, wrong, file=file, progress=False).top1 == 0.0
    again = evaluate(model, right, file=file, progress=False)
    assert again.top1 == 1.0 and not right.asked
    assert load_scores(file).labels["verb" if heads else "class"].tolist() == truth
