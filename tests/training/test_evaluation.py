"""Evaluation of a model whose answers are known: every figure can be worked out by hand."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from known_answers import (
    SingleViews,
    Table,
    Views,
    evaluate,
    random_labels,
    random_table,
    score_views,
    views_of,
)
from tiny_training import Glows, at_another_scale, tiny_model
from torch import nn

from vivit_lab import ViViTConfig, build_model
from vivit_lab.data import ArrowOfTime
from vivit_lab.data.catalog import Catalog, Segment
from vivit_lab.data.dataset import BadVideo, BadVideoWarning, Fetched
from vivit_lab.training import evaluation, load_scores

NAMES = ("clap", "high jump", "run")
quiet = pytest.mark.filterwarnings("ignore::vivit_lab.data.dataset.BadVideoWarning")


def right_answers(truth, views=2):
    """A table in which every view has its label's class in front, of three."""
    return 5 * torch.eye(3)[truth][:, None].expand(-1, views, -1).contiguous()


def test_softmax_and_logits_averages_differ_as_by_hand():
    """Two views lean to class 1, one is very sure of class 0: sureness decides among logits."""
    # softmax: class 1 has (0.9 + 0.9 + 0.00001) / 3 = 0.6; logits: class 0: -1.54 against -3.9
    table = torch.tensor([[[0.1, 0.9], [0.1, 0.9], [0.99999, 0.00001]]]).log()
    data = Views([1], clips=3, crops=1)
    results = [evaluate(Table(table), data, average) for average in ("softmax", "logits")]
    assert [result.top1 for result in results] == [1, 0]
    assert results[0].scores.average()["class"][0] == pytest.approx([0.4, 0.6], abs=1e-5)
    assert [result.view_top1 for result in results] == [2 / 3, 2 / 3]


def test_accuracies_are_those_of_the_definition():
    table, truth = random_table(40, 6, 9), torch.tensor(random_labels(40, 9))
    each, right = table.argsort(dim=-1, descending=True), truth[:, None]  # best class first
    loss = nn.functional.cross_entropy(table.flatten(0, 1), truth.repeat_interleave(6))
    for average in ("softmax", "logits"):
        result = evaluate(Table(table), Views(truth.tolist(), 3, 2), average)
        averaged = (table.double().softmax(-1) if average == "softmax" else table.double()).mean(1)
        order = averaged.argsort(dim=-1, descending=True)
        assert result.top1 == (order[:, 0] == truth).double().mean()
        assert result.top5 == (order[:, :5] == right).any(-1).double().mean()
        assert result.view_top1 == (each[..., 0] == right).double().mean()
        top5 = (each[..., :5] == right[..., None]).any(-1).double().mean().item()
        assert result["class"].view_top5 == pytest.approx(top5)
        assert result.loss == pytest.approx(loss.item(), rel=1e-5)
        assert result.confusion.sum() == 40
        answers = result.scores.average(average)["class"].argmax(1)
        assert order[:, 0].tolist() == answers.tolist()


def test_pixels_get_the_scale_of_the_model():
    model = tiny_model().eval()
    scaled, data = at_another_scale(model), Glows(8)
    expected = score_views(model, data).logits["class"]
    for each in (scaled, scaled.for_inference()):
        assert np.allclose(score_views(each, data).logits["class"], expected, atol=1e-5)
    scaled.preprocessing = None
    assert not np.allclose(score_views(scaled, data).logits["class"], expected, atol=1e-3)


def test_nothing_depends_on_batches_or_workers():
    table, truth = random_table(11, 6, 4), random_labels(11, 4)
    yours = random.getstate(), torch.get_rng_state()
    np.random.seed(0)
    for size, workers in [(1, 0), (5, 2), (6, 0), (7, 0), (13, 1), (1000, 0), (None, 0)]:
        model = Table(table)
        scores = score_views(model, Views(truth, 2, 3), batch_size=size, workers=workers)
        assert (scores.logits["class"] == table.numpy()).all()
        assert scores.labels["class"].tolist() == truth
        assert scores.numbers.tolist() == list(range(11))
        assert sum(model.batches) == 66 and max(model.batches) <= (size or 8)
    model = Table(random_table(2, 12, 4))
    score_views(model, Views([0, 1], 4, 3), batch_size=8)
    assert model.batches == [6, 6, 6, 6]  # split evenly: not 8, 4, 8, 4
    assert random.getstate() == yours[0] and torch.get_rng_state().equal(yours[1])
    assert np.random.rand() == np.random.RandomState(0).rand()  # yours go on as if nothing had been
    scores = score_views(Table(table), SingleViews(truth), batch_size=4)  # any data set of clips
    assert scores.places == ((0, 0),)
    assert (scores.logits["class"] == table[:, :1].numpy()).all()


def test_action_is_verb_and_noun():
    verb, noun = random_table(60, 3, 4, seed=5), random_table(60, 3, 6, seed=6)
    labels = torch.tensor([random_labels(60, 4), random_labels(60, 6, 2)])
    truth, right = [{"verb": v, "noun": n} for v, n in labels.T.tolist()], 6 * labels[0] + labels[1]
    both = torch.stack([verb.argmax(-1), noun.argmax(-1)]) == labels[:, :, None]
    for average in ("softmax", "logits"):
        result = evaluate(Table({"verb": verb, "noun": noun}), Views(truth, 3, 1), average)
        heads = [each.double().mean(1).softmax(-1) for each in (verb, noun)]
        if average == "softmax":
            heads = [each.double().softmax(-1).mean(1) for each in (verb, noun)]
        order = torch.einsum("nv,nm->nvm", *heads).flatten(1).argsort(dim=-1, descending=True)
        assert result.top1 == result["action"].top1 == (order[:, 0] == right).double().mean()
        assert result.top5 == (order[:, :5] == right[:, None]).any(1).double().mean()
        assert result.view_top1 == pytest.approx(both.all(0).double().mean().item())
        assert result["verb"].top1 > result.top1 and result["noun"].top1 > result.top1
        assert set(result.confusion) == {"verb", "noun"}
        assert all(f"{words}, video" in str(result) for words in ("verb", "noun", "action"))
        assert set(result.to_dict()["heads"]) == {"verb", "noun", "action"}


def test_frames_can_be_put_into_another_order():
    data, views = Views(random_labels(5, 3), 2, 1), {(n, v) for n in range(5) for v in range(2)}

    def orders(frames, **options):
        model = Table(random_table(5, 2, 3)).train()
        model.dropout.eval()  # a part that was frozen
        score_views(model, data, frames=frames, **options)
        assert set(model.orders) == views
        assert set(model.modes) == {(False, False, False)}  # of model, of part; no gradients
        assert model.training and not model.dropout.training  # as it was
        return model.orders

    straight = list(range(6))
    assert all(order == straight for order in orders("in_order").values())
    assert all(order == straight[::-1] for order in orders("reversed").values())
    assert all(order == [3] * 6 for order in orders("middle").values())
    shuffled = orders("shuffled")
    assert all(sorted(order) == straight for order in shuffled.values())
    assert len({tuple(order) for order in shuffled.values()}) >= 8  # each view in its own way
    assert shuffled == orders("shuffled", batch_size=3) == orders("shuffled", workers=1)
    assert shuffled != orders("shuffled", seed=1)


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    model = build_model(ViViTConfig(frames=8, image_size=32, tubelet=(2, 8, 8), dim=24, heads=2,
                                    depth=1, mlp_dim=16, num_classes=8))  # fmt: skip
    nn.init.normal_(model.head.weight)
    return model


def test_one_reader_serves_many_evaluations_and_every_process(tiny):
    data = ArrowOfTime(5, frames=8)
    with evaluation.reader_of(data, workers=0) as reader:
        once, again, own = (evaluate(tiny, data, workers=each) for each in (reader, reader, 0))
    logits = own.scores.logits["class"]
    assert all(np.array_equal(each.scores.logits["class"], logits) for each in (once, again))
    shares = [evaluation.reader_of(data, 0, rank, processes=7) for rank in range(7)]  # not empty
    numbers = {number for share in shares for batch in share for number in batch.numbers.tolist()}
    assert numbers == set(range(5))


def test_a_real_model_gives_what_its_forward_gives(tiny):
    data = ArrowOfTime(24, 8, 32)
    clips = torch.stack([data[i][0] for i in range(24)]) / 127.5 - 1
    with torch.inference_mode():
        expected = tiny.eval()(clips).numpy()
    large = nn.Linear(1, 1)
    large.config = ViViTConfig.preset("B/16x2")  # of large models fewer views at once
    assert evaluation.views_that_fit(tiny) > 8 >= evaluation.views_that_fit(large) >= 1
    for size, workers in ((5, 1), (1, 0), (16, 0), (None, 0)):
        scores = score_views(tiny, data, batch_size=size, workers=workers)
        assert np.abs(scores.logits["class"][:, 0] - expected).max() <= 1e-5
        assert scores.labels["class"].tolist() == [data[i][1] for i in range(24)]
    tiny(clips[:4]).sum().backward()  # nothing of it has become an inference tensor
    assert tiny.head.weight.grad is not None
    for precision, tolerance in (("float32", 1e-5), ("bfloat16", 0.1)):
        ready = tiny.for_inference(precision)
        result = evaluate(ready, data)
        difference = np.abs(result.scores.logits["class"][:, 0] - expected).max()
        assert difference <= tolerance * np.abs(expected).max()
        assert result.macs == evaluate(tiny, data).macs
        assert precision in str(result) and not ready.training


def test_a_data_set_that_makes_many_at_once_is_asked_for_many(tmp_path):
    class AtOnce(Views):
        together = []

        def __getitems__(self, numbers):
            self.together.append(list(numbers))
            if 8 in numbers and len(self.together) == 3:
                raise RuntimeError("stop")
            return [self[number] for number in numbers]

    data, model = AtOnce(random_labels(9, 4), 2, 1), Table(random_table(9, 2, 4))
    options = {"batch_size": 8, "file": tmp_path / "s.npz"}
    with pytest.raises(RuntimeError, match="stop"):
        score_views(model, data, **options)
    assert data.together == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]
    scores = score_views(model, data, **options)  # the rest, under its own number
    assert data.together[3:] == [[8]]
    assert (scores.logits["class"] == model.table.numpy()).all()
    assert scores.labels["class"].tolist() == random_labels(9, 4)


class OutOfMemory(Table):
    """As a GPU that holds no more than `room` views."""

    room = 3

    def forward(self, clips):
        if len(clips) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().forward(clips)


def test_out_of_memory_goes_on_with_fewer_views():
    model, data = OutOfMemory(random_table(3, 12, 4)), Views([0, 1, 2], 4, 3)
    scores = score_views(model, data, batch_size=12)
    assert (scores.logits["class"] == model.table.numpy()).all()
    assert set(model.batches) == {3}
    assert any("did not fit: continued with 3" in note for note in scores.origin.notes)
    model.room = 0
    with pytest.raises(MemoryError, match="One view alone.*bfloat16"):
        score_views(model, data)


# ---- classes and labels


def test_classes_are_matched_by_name():
    truth = [0, 1, 2, 2, 1]  # in the model's order
    folder = ("run", "clap", "high_jump")  # another order, with the spelling of a folder
    for ours, theirs, numbers, said in (
        (NAMES, folder, [1, 2, 0, 0, 2], "renumbered by name"),
        (NAMES, NAMES, truth, None),
        (NAMES, list(NAMES), truth, None),
        (NAMES, ("clap", "high_jump", "run"), truth, None),
        (None, NAMES, truth, "was not checked: the model carries no names"),
        (NAMES, None, truth, "was not checked: the data carry no names"),
    ):
        result = evaluate(Table(right_answers(truth), ours), Views(numbers, 2, 1, theirs))
        assert result.top1 == 1.0 and result.scores.labels["class"].tolist() == truth
        assert result.confusion.tolist() == [[1, 0, 0], [0, 2, 0], [0, 0, 2]]
        assert tuple(result["class"].class_names) == NAMES  # of whoever knows them
        text = str(result)
        assert said in text if said else "renumbered" not in text and "not checked" not in text


class Giving(SingleViews):
    """One sample, made by a function."""

    def __init__(self, make):
        super().__init__([0])
        self.make = make

    def __getitem__(self, number):
        return self.make(), 0


@quiet
def test_bad_input_is_named():
    one, two = Table(right_answers([0, 0, 0])), Views([0, 1], 2, 1)
    named, unlabelled = Table(right_answers([0, 0]), NAMES), WithBad([None] * 3)
    heads = Table({"verb": random_table(2, 2, 3), "noun": random_table(2, 2, 4)})
    for model, data, options, error, words in (
        (one, Views([], 2, 1), {}, ValueError, "data is empty"),
        (one, 7, {}, TypeError, "data is int.*numbered samples"),
        (one, WithBad([0], bad=(0,)), {}, ValueError, r"No video of val.csv.*\n.*0.mp4: "),
        (one, Views([None, None], 2, 1), {}, ValueError, "has no labels"),
        (one, unlabelled, {}, ValueError, "val.csv has no labels"),
        (Table(right_answers([0, 0]) * torch.nan), two, {}, ValueError, "sample 0 are not finite"),
        (one, Giving(lambda: views_of(0, 1)[0] / 255), {}, TypeError, "uint8.*normalised already"),
        (one, Giving(lambda: views_of(0, 3)), {}, ValueError, r"\(3, 6, 3, 4, 4\)"),
        (lambda clips: clips, two, {}, TypeError, "model is a function"),
        (nn.Identity(), two, {}, TypeError, r"must give logits \(B, classes\)"),
        (one, two, {"average": "sofmax"}, ValueError, "Did you mean 'softmax'"),
        (one, two, {"frames": "shufled"}, ValueError, "Did you mean 'shuffled'"),
        (one, two, {"batch_size": 0}, ValueError, "batch_size is 0"),
        (one, two, {"seed": -1}, ValueError, "seed is -1"),
        (one, two, {"file": "scores.json"}, ValueError, "scores.npz"),
        (one, Views([0, 1, 3], 2, 1), {}, ValueError, "sample 2 has the label 3.*from 0 to 2"),
        (one, Views([0, -1], 2, 1), {}, ValueError, "sample 1 has the label -1.*from 0 to 2"),
        (named, Views([0], 2, 1, ("clap", "high jump", "swim")), {}, ValueError,
         "Only the model has 'run'; only the data have 'swim'"),
        (named, Views([0], 2, 1, ("clap", "run")), {}, ValueError,
         "model has 3 classes, but the data have 2.*classes=model"),
        (heads, two, {}, ValueError, "classifiers are verb, noun.*labels of the data are class"),
        (heads, Views([{"verb": 0}] * 2, 2, 1), {}, ValueError, "classifier .noun. has no labels"),
    ):  # fmt: skip
        with pytest.raises(error, match=words):
            evaluate(model, data, **options)
    assert one.training and not unlabelled.asked  # as it was; refused before any work
    table = random_table(3, 2, 4)
    scores = score_views(Table(table), Views([None] * 3, 2, 1))  # labels are not needed for these
    assert np.allclose(scores.average("logits")["class"], table.double().mean(1))


# ---- videos that are missing or bad


class WithBad(Views):
    """As a ViewDataset with bad="leave_out": the videos in `bad` cannot be read."""

    def __init__(self, labels, bad=(), missing=(), classes=("0", "1", "2")):
        super().__init__(labels, 2, 1)
        self.bad = bad
        segments = [Segment(Path(f"/videos/{i}.mp4"), label) for i, label in enumerate(labels)]
        self.catalog = Catalog(segments, classes, "val.csv", missing)

    def fetch(self, number):
        if number in self.bad:
            reason = f"/videos/{number}.mp4: the file is empty (0 bytes)."
            return Fetched(None, self.labels[number], number, (BadVideo(0, number, reason, None),))
        return Fetched(*self[number], number, ())


def test_missing_and_bad_videos_are_counted_and_named():
    truth = [0, 1, 2, 0, 1, 2, 0, 1]
    table = right_answers(truth)
    table[7] = table[6]  # one mistake among the six that can be read
    missing = [Segment(Path("/videos/gone.mp4"), 0), Segment(Path("/videos/lost.mp4"), 1)]
    data = WithBad(truth, bad=(2, 5), missing=missing)
    for workers in (0, 2):
        with pytest.warns(BadVideoWarning):
            result = evaluate(Table(table), data, workers=workers, batch_size=4)
        assert result.scores.numbers.tolist() == [0, 1, 3, 4, 6, 7]
        assert result.top1 == 5 / 6
        listed, evaluated, *_, lost, share = result.to_dict()["videos"].values()
        assert (listed, evaluated, lost, share) == (10, 6, 4, pytest.approx(0.5))
        for words in ("10 listed, 6 evaluated; 2 not there, 2 unreadable", "top-1 is 50.0 %",
                      "/videos/gone.mp4", "/videos/5.mp4: the file is empty"):  # fmt: skip
            assert words in str(result)


@quiet
def test_a_video_in_place_of_another_counts_once():
    class Replacing(SingleViews):
        """As a ClipDataset: a bad video is replaced by another clip of one that is there."""

        testing = False

        def fetch(self, number):
            if number == 3:  # another clip of video 0, for which the table has another answer
                return Fetched(self[2][0], 0, 0, (BadVideo(0, 3, "3.mp4: empty.", 0),))
            return Fetched(*self[number], number, ())

    truth = [0, 1, 2, 1]
    result = evaluate(Table(right_answers(truth, 1)), Replacing(truth))
    assert result.scores.numbers.tolist() == [0, 1, 2] and result.top1 == 1  # the first clip counts
    assert result.to_dict()["videos"]["unreadable"] == ["3.mp4: empty."]
    assert "drawn at random, as in training" in str(result)


def test_stored_scores_go_with_the_labels_of_now(tmp_path):
    """Whoever has mended the annotations need not ask the model again, nor get the old figure."""
    truth = [0, 1, 2, 2]
    table = {"verb": right_answers(truth), "noun": right_answers([0] * 4)}
    for heads in (False, True):

        def labelled(numbers, heads=heads):
            labels = [{"verb": n, "noun": 0} for n in numbers] if heads else numbers
            return WithBad(labels, classes={"verb": NAMES, "noun": NAMES} if heads else NAMES)

        model, file = Table(table if heads else table["verb"]), tmp_path / f"{heads}.npz"
        right = labelled(truth)
        assert evaluate(model, labelled([1, 2, 0, 0]), file=file).top1 == 0.0
        assert evaluate(model, right, file=file).top1 == 1.0
        assert not right.asked
        assert load_scores(file).labels["verb" if heads else "class"].tolist() == truth
