"""Evaluation of a model whose answers are known: every figure can be worked out by hand."""

import dataclasses
import random

import numpy as np
import pytest
import torch
from known_answers import FRAMES, SingleViews, Table, Views, random_table
from torch import nn

from vivit_lab import ViViTConfig, build_model
from vivit_lab.data import ArrowOfTime
from vivit_lab.training import evaluate, evaluation, score_views

LOG = torch.log


def labels(videos, classes, seed=1):
    return np.random.default_rng(seed).integers(classes, size=videos).tolist()


def test_softmax_and_logits_averages_differ_as_by_hand():
    """Two views lean to class 1, one is very sure of class 0: sureness decides among logits."""
    views = LOG(torch.tensor([[[0.4, 0.6], [0.4, 0.6], [0.999, 0.001]]]))
    # softmax: class 0 has (0.4 + 0.4 + 0.999) / 3 = 0.5997; logits: class 0 leads by far
    sure = LOG(torch.tensor([[[0.1, 0.9], [0.1, 0.9], [0.99999, 0.00001]]]))
    # softmax: class 1 has (0.9 + 0.9 + 0.00001) / 3 = 0.6; logits: class 0: -1.54 against -3.9
    table = torch.cat([views, sure])
    data = Views([0, 1], clips=3, crops=1)
    by_softmax = evaluate(Table(table), data, "softmax", progress=False)
    by_logits = evaluate(Table(table), data, "logits", progress=False)
    assert by_softmax.top1 == 1.0
    assert by_logits.top1 == 0.5
    assert by_softmax.scores.average()["class"][1] == pytest.approx([0.4, 0.6], abs=1e-5)
    assert by_logits.scores.average("logits")["class"][0] == pytest.approx(
        views[0].mean(0).numpy(), abs=1e-6
    )
    assert by_softmax.view_top1 == by_logits.view_top1 == 0.5  # views 2 and 0, 1 of 3 each


@pytest.mark.parametrize("average", ["softmax", "logits"])
def test_accuracies_are_those_of_the_definition(average):
    table, truth = random_table(40, 6, 9), labels(40, 9)
    result = evaluate(Table(table), Views(truth, 3, 2), average, progress=False)
    averaged = (table.double().softmax(-1) if average == "softmax" else table.double()).mean(1)
    order = averaged.argsort(dim=-1, descending=True).tolist()
    each = table.flatten(0, 1).argsort(dim=-1, descending=True).tolist()
    of_views = np.repeat(truth, 6)
    assert result.top1 == np.mean([row[0] == t for row, t in zip(order, truth, strict=True)])
    assert result.top5 == np.mean([t in row[:5] for row, t in zip(order, truth, strict=True)])
    assert result.view_top1 == np.mean([r[0] == t for r, t in zip(each, of_views, strict=True)])
    assert result["class"].view_top5 == np.mean(
        [t in row[:5] for row, t in zip(each, of_views, strict=True)]
    )
    loss = nn.functional.cross_entropy(table.flatten(0, 1), torch.tensor(of_views))
    assert result.loss == pytest.approx(loss.item(), rel=1e-5)
    assert result.confusion.sum() == 40
    assert [row[0] for row in order] == result.scores.average(average)["class"].argmax(1).tolist()


@pytest.mark.parametrize("batch_size", [1, 2, 5, 6, 7, 13, 1000, None])
@pytest.mark.parametrize("workers", [0, 2])
def test_nothing_depends_on_batches_or_workers(batch_size, workers):
    table, truth = random_table(11, 6, 4), labels(11, 4)
    model = Table(table)
    scores = score_views(
        model, Views(truth, 2, 3), batch_size=batch_size, workers=workers, progress=False
    )
    assert (scores.logits["class"] == table.numpy()).all()
    assert scores.labels["class"].tolist() == truth
    assert scores.numbers.tolist() == list(range(11))
    assert sum(model.batches) == 66 and max(model.batches) <= (batch_size or 8)


def test_views_of_a_video_are_split_evenly_over_batches():
    model = Table(random_table(2, 12, 4))
    score_views(model, Views([0, 1], 4, 3), batch_size=8, progress=False)
    assert model.batches == [6, 6, 6, 6]  # not 8, 4, 8, 4


def test_order_of_the_videos_changes_nothing():
    table, truth = random_table(30, 2, 7), np.array(labels(30, 7))
    order = np.random.default_rng(3).permutation(30)
    one = evaluate(Table(table), Views(truth.tolist(), 2, 1), progress=False)
    other = evaluate(Table(table[order]), Views(truth[order].tolist(), 2, 1), progress=False)
    for figure in ("top1", "top5", "view_top1", "interval"):
        assert getattr(one, figure) == getattr(other, figure)
    assert one.loss == pytest.approx(other.loss, rel=1e-12)
    assert (one.confusion == other.confusion).all()
    assert one.most_confused() == other.most_confused()


def test_order_of_the_views_changes_nothing():
    table, truth = random_table(30, 4, 7), labels(30, 7)
    one = evaluate(Table(table), Views(truth, 4, 1), progress=False)
    other = evaluate(Table(table.flip(1)), Views(truth, 4, 1), progress=False)
    assert np.allclose(one.scores.average()["class"], other.scores.average()["class"])
    assert (one.top1, one.view_top1) == (other.top1, other.view_top1)


def test_any_data_set_of_clips_counts_one_view():
    table = random_table(9, 1, 3)
    scores = score_views(Table(table), SingleViews(labels(9, 3)), batch_size=4, progress=False)
    assert scores.places == ((0, 0),)
    assert (scores.logits["class"] == table.numpy()).all()


@pytest.mark.parametrize("average", ["softmax", "logits"])
def test_action_is_verb_and_noun(average):
    verb, noun = random_table(60, 3, 4, seed=5), random_table(60, 3, 6, seed=6)
    truth = [{"verb": v, "noun": n} for v, n in zip(labels(60, 4), labels(60, 6, 2), strict=True)]
    result = evaluate(Table({"verb": verb, "noun": noun}), Views(truth, 3, 1), average,
                      progress=False)  # fmt: skip
    heads = []
    for each in (verb.double(), noun.double()):
        averaged = (each.softmax(-1) if average == "softmax" else each).mean(1)
        heads.append(averaged if average == "softmax" else averaged.softmax(-1))
    products = torch.einsum("nv,nm->nvm", *heads).flatten(1)
    right = torch.tensor([6 * t["verb"] + t["noun"] for t in truth])
    order = products.argsort(dim=-1, descending=True)
    both = [
        v.argmax() == t["verb"] and n.argmax() == t["noun"]
        for v, n, t in zip(*heads, truth, strict=True)
    ]
    assert result.top1 == result["action"].top1 == np.mean(both)
    assert result.top5 == (order[:, :5] == right[:, None]).any(1).double().mean().item()
    assert result["verb"].top1 > result.top1 and result["noun"].top1 > result.top1
    assert set(result.confusion) == {"verb", "noun"}
    for words in ("verb, video", "noun, clip", "action, video"):
        assert words in str(result)
    assert set(result.to_dict()["heads"]) == {"verb", "noun", "action"}


def test_frames_can_be_put_into_another_order():
    data, views = Views(labels(5, 3), 2, 1), {(n, v) for n in range(5) for v in range(2)}

    def orders(frames, **options):
        model = Table(random_table(5, 2, 3))
        score_views(model, data, frames=frames, progress=False, **options)
        assert set(model.orders) == views
        return model.orders

    straight = list(range(FRAMES))
    assert all(order == straight for order in orders("in_order").values())
    assert all(order == straight[::-1] for order in orders("reversed").values())
    assert all(order == [FRAMES // 2] * FRAMES for order in orders("middle").values())
    shuffled = orders("shuffled")
    assert all(sorted(order) == straight for order in shuffled.values())
    assert len({tuple(order) for order in shuffled.values()}) >= 8  # each view in its own way
    assert shuffled == orders("shuffled", batch_size=3) == orders("shuffled", workers=1)
    assert shuffled != orders("shuffled", seed=1)


def test_the_report_says_which_order_and_which_average():
    for frames, words in [("shuffled", "shuffled"), ("reversed", "backwards"), ("middle", "alone")]:
        text = str(evaluate(Table(random_table(5, 2, 3)), Views(labels(5, 3), 2, 1), "logits",
                            frames=frames, progress=False))  # fmt: skip
        assert words in text and "logits averaged" in text
    text = str(evaluate(Table(random_table(5, 2, 3)), Views(labels(5, 3), 2, 1), progress=False))
    assert "frames in order" in text and "softmax averaged" in text


def test_the_model_is_asked_in_evaluation_mode_and_left_as_it_was():
    model = Table(random_table(4, 2, 3))
    model.train()
    model.dropout.eval()  # a part that was frozen
    evaluate(model, Views(labels(4, 3), 2, 1), progress=False)
    assert set(model.modes) == {(False, False)} and not any(model.grads)
    assert model.training and not model.dropout.training


def test_the_mode_is_restored_after_an_error_too():
    model = Table(random_table(4, 2, 3) * torch.nan)
    with pytest.raises(ValueError, match="sample 0 are not finite"):
        evaluate(model, Views(labels(4, 3), 2, 1), progress=False)
    assert model.training and model.dropout.training


def test_random_numbers_go_on_as_if_nothing_had_been():
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    expected = random.random(), np.random.rand(), torch.rand(()).item()
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    for workers in (0, 1):
        score_views(Table(random_table(4, 2, 3)), Views(labels(4, 3), 2, 1), workers=workers,
                    frames="shuffled", progress=False)  # fmt: skip
    assert (random.random(), np.random.rand(), torch.rand(()).item()) == expected


def tiny(**changes):
    torch.manual_seed(0)
    config = {"frames": 8, "image_size": 32, "tubelet": (2, 8, 8), "dim": 24, "heads": 2}
    config |= {"depth": 1, "mlp_dim": 16, "num_classes": 8, **changes}
    model = build_model(ViViTConfig(**config))
    nn.init.normal_(model.head.weight)
    return model


@pytest.mark.parametrize("workers", [0, 1])
def test_a_real_model_gives_what_its_forward_gives(workers):
    data, model = ArrowOfTime(24, 8, 32), tiny()
    scores = score_views(model, data, batch_size=5, workers=workers, progress=False)
    with torch.inference_mode():
        clips = torch.stack([data[i][0] for i in range(24)]) / 127.5 - 1
        expected = model.eval()(clips)
    assert np.allclose(scores.logits["class"][:, 0], expected.numpy(), atol=1e-5)
    assert scores.labels["class"].tolist() == [data[i][1] for i in range(24)]


def test_a_data_set_that_makes_many_at_once_is_asked_for_many(tmp_path):
    class AtOnce(Views):
        def __getitems__(self, numbers):
            self.asked.append(list(numbers))
            return [self[number] for number in numbers]

    data, table = AtOnce(labels(9, 4), 2, 1), random_table(9, 2, 4)
    first = score_views(Table(table), data, batch_size=8, progress=False)
    assert [each for each in data.asked if isinstance(each, list)] == [
        [0, 1, 2, 3], [4, 5, 6, 7], [8],
    ]  # fmt: skip
    assert (first.logits["class"] == table.numpy()).all()
    known = dataclasses.replace(
        first.select([0, 1]),
        logits={"class": first.logits["class"][[1, 4]]}, labels=None,
        numbers=np.array([1, 4]), names=("sample 1", "sample 4"),
        origin=dataclasses.replace(first.origin, weights=evaluation._checksum(Table(table))),
    )  # fmt: skip
    known.save(tmp_path / "s.npz")
    rest = score_views(Table(table), data, batch_size=8, file=tmp_path / "s.npz", progress=False)
    assert (rest.logits["class"] == table.numpy()).all()


def test_batch_size_changes_logits_by_rounding_only():
    data, model = ArrowOfTime(16, 8, 32), tiny()
    scores = [
        score_views(model, data, batch_size=size, progress=False).logits["class"]
        for size in (1, 3, 16, None)
    ]
    for other in scores[1:]:
        assert np.abs(other - scores[0]).max() <= 1e-5


def test_a_model_made_for_inference_is_evaluated_too():
    data, model = ArrowOfTime(16, 8, 32), tiny()
    plain = evaluate(model, data, progress=False)
    for precision, tolerance in (("float32", 1e-5), ("bfloat16", 0.1)):
        ready = model.for_inference(precision)
        result = evaluate(ready, data, progress=False)
        expected = plain.scores.logits["class"]
        difference = np.abs(result.scores.logits["class"] - expected).max()
        assert difference <= tolerance * np.abs(expected).max()
        assert result.macs == plain.macs
        assert precision in str(result)
        assert not ready.training


def test_data_used_in_an_evaluation_can_be_trained_on():
    """Nothing of the data may have become an inference tensor."""
    data, model = ArrowOfTime(8, 8, 32), tiny()
    evaluate(model, data, progress=False)
    logits = model(torch.stack([data[i][0] for i in range(4)]) / 127.5 - 1)
    logits.sum().backward()
    assert model.head.weight.grad is not None


class OutOfMemory(Table):
    """As a GPU that holds no more than `room` views."""

    room = 3

    def forward(self, clips):
        if len(clips) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().forward(clips)


def test_out_of_memory_goes_on_with_fewer_views():
    table = random_table(3, 12, 4)
    model = OutOfMemory(table)
    scores = score_views(model, Views([0, 1, 2], 4, 3), batch_size=12, progress=False)
    assert (scores.logits["class"] == table.numpy()).all()
    assert set(model.batches) == {3}
    assert any("did not fit: went on with 3" in note for note in scores.origin.notes)


def test_out_of_memory_for_one_view_says_what_would_help():
    model = OutOfMemory(random_table(3, 12, 4))
    model.room = 0
    with pytest.raises(MemoryError, match="One view alone.*bfloat16"):
        score_views(model, Views([0, 1, 2], 4, 3), progress=False)


def test_larger_models_get_fewer_views_at_once():
    with torch.device("meta"):
        large = build_model(ViViTConfig.preset("B/16x2"))
    assert evaluation.views_that_fit(tiny()) > 8 >= evaluation.views_that_fit(large) >= 1
