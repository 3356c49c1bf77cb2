"""Mixup and the loss, against the official rule written out with one-hot labels."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from vivit_lab.training.optim import in_range, loss_of, mixup

CLASSES = {"verb": 5, "noun": 7}


def batch(count=6):
    torch.manual_seed(0)
    clips = torch.rand(count, 2, 3, 4, 4) * 2 - 1
    labels = {head: torch.randint(0, k, (count,)) for head, k in CLASSES.items()}
    logits = {head: torch.randn(count, k, requires_grad=True) for head, k in CLASSES.items()}
    return clips, labels, logits


def mixed(one, share):
    """Scenic's dataset_utils.mixup: the partner is the batch in reverse."""
    return share * one + (1 - share) * one.flip(0)


def official_loss(logits, targets, smoothing):
    """Softmax cross entropy with smoothing y (1 - e) + e / K, mean over the batch."""
    targets = targets * (1 - smoothing) + smoothing / targets.shape[-1]
    return -(targets * logits.log_softmax(dim=-1)).sum(dim=-1).mean()


def test_mixup_and_loss_are_the_official_ones():
    for alpha, smoothing, count in itertools.product((0.0, 0.1, 1.0), (0.0, 0.3), (6, 5)):
        clips, labels, logits = batch(count)
        before = clips.clone()
        found, share = mixup(clips, alpha)
        assert (share == 1) == (alpha == 0)
        torch.testing.assert_close(found, mixed(clips, share))
        assert torch.equal(clips, before)
        losses = []
        for head, answer in logits.items():
            one_hot = F.one_hot(labels[head], CLASSES[head]).float()
            losses.append(official_loss(answer, mixed(one_hot, share), smoothing))
        expected = (losses[0] + losses[1]) / 2  # EPIC-Kitchens: mean of nouns and verbs
        loss, _ = loss_of(logits, labels, share, smoothing)
        torch.testing.assert_close(loss, expected)
        for head in CLASSES:
            gradients = (
                torch.autograd.grad(each, logits[head], retain_graph=True)[0]
                for each in (loss, expected)
            )
            torch.testing.assert_close(*gradients)


def test_shares_are_drawn_from_beta_and_no_mixup_draws_nothing():
    clips, _, _ = batch()
    torch.manual_seed(1)
    shares = torch.tensor([mixup(clips, 0.3)[1] for _ in range(4000)])
    assert abs(shares.mean() - 0.5) < 0.03
    assert abs(shares.var() - 1 / (4 * (2 * 0.3 + 1))) < 0.01  # of Beta(a, a)
    state = torch.get_rng_state()
    assert mixup(clips, 0.0)[0] is clips
    assert torch.equal(torch.get_rng_state(), state)


def test_a_clip_is_right_if_all_its_heads_have_the_class_of_the_larger_share():
    """As validation counts it: else one curve would be above the other for no reason."""
    labels = {"verb": torch.tensor([0, 1, 2, 3]), "noun": torch.tensor([0, 0, 1, 1])}
    answers = {"verb": torch.tensor([0, 1, 0, 0]), "noun": torch.tensor([0, 1, 1, 0])}
    logits = {head: 9.0 * F.one_hot(answers[head], CLASSES[head]) for head in CLASSES}
    assert loss_of(logits, labels)[1] == 0.25
    right = {head: 9.0 * F.one_hot(y, CLASSES[head]) for head, y in labels.items()}
    partner = {head: each.flip(0) for head, each in right.items()}
    for share, larger, smaller in ((0.8, right, partner), (0.2, partner, right)):
        assert loss_of(larger, labels, share)[1] == 1 > loss_of(smaller, labels, share)[1]


def test_labels_out_of_range_are_counted_and_harmless():
    labels = {"verb": torch.tensor([0, 4, 5, -1]), "noun": torch.tensor([6, 7, 0, 0])}
    safe, wrong = in_range(labels, CLASSES)
    assert wrong == 3
    assert all(y.min() >= 0 and y.max() < CLASSES[head] for head, y in safe.items())
    safe, wrong = in_range(torch.tensor([0, 4]), 5)
    assert wrong == 0 and safe[""].tolist() == [0, 4]
    del labels["noun"]
    with pytest.raises(
        ValueError, match="has the classifiers 'verb'.*has the classifiers 'verb', 'noun'"
    ):
        in_range(labels, CLASSES)
    with pytest.raises(ValueError, match="one classifier without a name"):
        in_range(labels, 5)
