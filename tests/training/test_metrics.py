"""Metrics against their definitions, written out as slowly and plainly as can be."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vivit_lab.training import metrics

# a busy machine must not fail a test
calm = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))


@st.composite
def scored(draw):
    """Scores (N, K) full of ties, and labels (N,)."""
    n, k = draw(st.integers(1, 12)), draw(st.integers(1, 7))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return random.integers(4, size=(n, k)).astype(float), random.integers(k, size=n)


def best_first(scores):
    """Class numbers from the best to the worst; of equal ones the lower number first."""
    return sorted(range(len(scores)), key=lambda number: (-scores[number], number))


@calm
@given(scored())
def test_rank_is_the_place_in_the_sorted_list(case):
    scores, labels = case
    expected = [best_first(row).index(label) for row, label in zip(scores, labels, strict=True)]
    assert metrics.ranks(scores, labels).tolist() == expected


@calm
@given(scored(), st.integers(1, 8))
def test_top_k_counts_labels_among_the_first_k(case, k):
    scores, labels = case
    hits = [label in best_first(row)[:k] for row, label in zip(scores, labels, strict=True)]
    assert metrics.accuracy(metrics.ranks(scores, labels), k) == pytest.approx(np.mean(hits))


@calm
@given(scored())
def test_equal_scores_for_all_are_no_better_than_class_0(case):
    scores, labels = case
    ranks = metrics.ranks(np.zeros_like(scores), labels)
    assert ranks.tolist() == labels.tolist()


@calm
@given(scored())
def test_confusion_counts_each_video_in_its_row_and_column(case):
    scores, labels = case
    expected = np.zeros((scores.shape[1],) * 2, int)
    for row, label in zip(scores, labels, strict=True):
        expected[label, best_first(row)[0]] += 1
    found = metrics.confusion(scores, labels)
    assert found.tolist() == expected.tolist()
    assert found.sum(axis=1).tolist() == [(labels == k).sum() for k in range(scores.shape[1])]
    assert np.trace(found) / len(labels) == metrics.accuracy(metrics.ranks(scores, labels))


@calm
@given(scored())
def test_mean_per_class_leaves_absent_classes_out(case):
    scores, labels = case
    hits = metrics.ranks(scores, labels) == 0
    shares = {label: np.mean(hits[labels == label]) for label in set(labels.tolist())}
    confusion = metrics.confusion(scores, labels)
    assert metrics.mean_per_class(confusion) == pytest.approx(np.mean(list(shares.values())))
    for label, share in enumerate(metrics.per_class(confusion)):
        assert math.isnan(share) if label not in shares else share == pytest.approx(shares[label])


def test_mean_per_class_differs_from_accuracy_where_classes_are_uneven():
    confusion = np.array([[9, 0], [1, 0]])
    assert metrics.mean_per_class(confusion) == 0.5  # accuracy is 0.9


@calm
@given(scored(), st.integers(0, 2**32 - 1))
def test_pair_rank_is_the_place_among_all_products(case, seed):
    first, labels = case
    random = np.random.default_rng(seed)
    second, others = random.integers(4, size=(len(first), 3)), random.integers(3, size=len(first))
    first, second = metrics.softmax(first), metrics.softmax(second)
    found = metrics.pair_ranks(first, second, labels, others)
    for n in range(len(first)):
        orders = best_first(first[n]), best_first(second[n])
        pairs = [
            (-first[n, i] * second[n, j], orders[0].index(i), orders[1].index(j), i, j)
            for i in range(first.shape[1])
            for j in range(3)
        ]
        expected = [pair[3:] for pair in sorted(pairs)].index((labels[n], others[n]))
        assert found[n] == expected


@calm
@given(
    st.integers(1, 40),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 2**32 - 1),
    st.floats(0, 60),
)
def test_the_best_pair_is_both_heads_best(n, k, m, seed, spread):
    random = np.random.default_rng(seed)
    first = metrics.softmax(spread * random.standard_normal((n, k)))
    second = metrics.softmax(spread * random.standard_normal((n, m)).round())  # with ties
    labels, others = random.integers(k, size=n), random.integers(m, size=n)
    both = (first.argmax(1) == labels) & (second.argmax(1) == others)
    assert ((metrics.pair_ranks(first, second, labels, others) == 0) == both).all()


def test_pairs_are_ranked_in_pieces_as_in_one(monkeypatch):
    random = np.random.default_rng(0)
    heads = metrics.softmax(random.standard_normal((50, 6))), random.dirichlet(np.ones(5), 50)
    labels = random.integers(6, size=50), random.integers(5, size=50)
    whole = metrics.pair_ranks(*heads, *labels)
    monkeypatch.setattr(metrics, "PAIRS_AT_ONCE", 7 * 30)
    assert (metrics.pair_ranks(*heads, *labels) == whole).all()


@calm
@given(st.integers(1, 500), st.data())
def test_interval_ends_solve_wilsons_equation(count, data):
    """Its ends are the shares p from which the one observed is z standard errors (of p) away."""
    hits = data.draw(st.integers(0, count))
    low, high = metrics.interval(hits, count)
    z = NormalDist().inv_cdf(0.975)
    for end in (low, high):
        distance = abs(hits / count - end)
        assert distance == pytest.approx(z * math.sqrt(end * (1 - end) / count), abs=1e-9)
    assert low <= hits / count <= high
    assert (low == 0) == (hits == 0) and (high == 1) == (hits == count)


def test_interval_covers_the_truth_as_often_as_it_says():
    """Exactly, by the binomial distribution: on average over shares, 95 % within a hair."""
    count, covered = 60, []
    for share in np.linspace(0.05, 0.95, 91):
        chances = [math.comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(61)]
        ends = [metrics.interval(k, count) for k in range(61)]
        covered.append(
            sum(p for p, (low, high) in zip(chances, ends, strict=True) if low <= share <= high)
        )
    assert np.mean(covered) == pytest.approx(0.95, abs=0.005)


@calm
@given(scored(), st.integers(1, 10))
def test_most_confused_are_the_largest_cells_beside_the_diagonal(case, n):
    confusion = metrics.confusion(*case)
    found = metrics.most_confused(confusion, n)
    beside = confusion - np.diag(np.diag(confusion))
    assert [pair[2] for pair in found] == sorted(beside[beside > 0].tolist(), reverse=True)[:n]
    for truth, prediction, count, share in found:
        assert truth != prediction
        assert confusion[truth, prediction] == count
        assert share == count / confusion[truth].sum()


@calm
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8), st.floats(-1e5, 1e5))
def test_softmax_sums_to_one_and_ignores_a_shift(logits, shift):
    found = metrics.softmax(np.array(logits))
    assert found.sum() == pytest.approx(1)
    assert metrics.softmax(np.array(logits) + shift) == pytest.approx(found, abs=1e-8)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: metrics.ranks(np.zeros((2, 3)), np.array([0, 3])), "row 1 is 3.*0 to 2"),
        (lambda: metrics.ranks(np.zeros((2, 3)), np.array([-1, 0])), "row 0 is -1"),
        (lambda: metrics.ranks(np.zeros((2, 3)), np.array([0])), r"\(2, 3\) and labels \(1,\)"),
        (lambda: metrics.ranks(np.zeros(3), np.array([0])), r"\(N, K\)"),
        (lambda: metrics.ranks(np.zeros((1, 3)), np.array([0.0])), "whole numbers"),
        (lambda: metrics.ranks(np.array([[0, np.nan]]), np.array([0])), "row 0 are not finite"),
        (lambda: metrics.accuracy(np.array([], int)), "no rows"),
        (lambda: metrics.accuracy(np.array([0]), 0), "k is 0"),
        (lambda: metrics.interval(3, 2), "hits is 3.*at most count = 2"),
        (lambda: metrics.interval(0, 0), "count is 0"),
        (lambda: metrics.interval(1, 2, 95), "confidence is 95.*0.95"),
        (lambda: metrics.most_confused(np.eye(2, dtype=int), 0), "n is 0"),
        (
            lambda: metrics.pair_ranks(np.zeros((2, 2)), np.zeros((1, 2)), np.zeros(2, int),
                                       np.zeros(1, int)),
            "2 and 1 rows",
        ),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
