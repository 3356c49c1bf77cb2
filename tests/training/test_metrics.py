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
@given(scored(), st.integers(1, 8))
def test_ranks_and_top_k_are_places_in_the_sorted_list(case, k):
    scores, labels = case
    expected = [best_first(row).index(label) for row, label in zip(scores, labels, strict=True)]
    found = metrics.ranks(scores, labels)
    assert found.tolist() == expected
    assert metrics.accuracy(found, k) == pytest.approx(np.mean([rank < k for rank in expected]))


@calm
@given(scored(), st.integers(1, 10))
def test_confusion_counts_each_video_in_its_row_and_column(case, n):
    scores, labels = case
    expected = np.zeros((scores.shape[1],) * 2, int)
    for row, label in zip(scores, labels, strict=True):
        expected[label, best_first(row)[0]] += 1
    found = metrics.confusion(scores, labels)
    hits = metrics.ranks(scores, labels) == 0
    assert found.tolist() == expected.tolist()
    assert np.trace(found) == hits.sum()

    shares = {label: np.mean(hits[labels == label]) for label in set(labels.tolist())}
    assert metrics.mean_per_class(found) == pytest.approx(np.mean(list(shares.values())))
    for label, share in enumerate(metrics.per_class(found)):
        assert math.isnan(share) if label not in shares else share == pytest.approx(shares[label])

    pairs, beside = metrics.most_confused(found, n), found - np.diag(np.diag(found))
    assert [pair[2] for pair in pairs] == sorted(beside[beside > 0].tolist(), reverse=True)[:n]
    for truth, prediction, count, share in pairs:
        assert truth != prediction and count == found[truth, prediction]
        assert share == count / found[truth].sum()


def test_the_figures_of_a_small_case_by_hand():
    assert metrics.mean_per_class(np.array([[9, 0], [1, 0]])) == 0.5  # accuracy is 0.9
    assert metrics.most_confused(np.array([[5, 1, 0], [1, 2, 1], [0, 0, 1]])) == [
        (1, 0, 1, 0.25), (1, 2, 1, 0.25), (0, 1, 1, 1 / 6),
    ]  # fmt: skip
    assert metrics.cross_entropy(np.zeros((3, 2, 4)), np.arange(3)) == pytest.approx(math.log(4))


@calm
@given(scored(), st.integers(0, 2**32 - 1), st.floats(0, 60))
def test_pair_rank_is_the_place_among_all_products(case, seed, spread):
    first, labels = case
    random = np.random.default_rng(seed)
    second = (spread * random.standard_normal((len(first), 3))).round()  # with ties
    others = random.integers(3, size=len(first))
    first, second = metrics.softmax(spread * first), metrics.softmax(second)
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
    both = (first.argmax(1) == labels) & (second.argmax(1) == others)
    assert ((found == 0) == both).all()


def test_figures_are_made_in_pieces_as_in_one(monkeypatch):
    random = np.random.default_rng(0)
    heads = metrics.softmax(random.standard_normal((50, 6))), random.dirichlet(np.ones(5), 50)
    labels = random.integers(6, size=50), random.integers(5, size=50)
    views = random.standard_normal((50, 3, 6))
    whole = metrics.pair_ranks(*heads, *labels), metrics.cross_entropy(views, labels[0])
    monkeypatch.setattr(metrics, "AT_ONCE", 7 * 30)  # 7 rows of pairs, 11 of views
    assert (metrics.pair_ranks(*heads, *labels) == whole[0]).all()
    assert metrics.cross_entropy(views, labels[0]) == pytest.approx(whole[1], rel=1e-12)


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


@calm
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8), st.floats(-1e5, 1e5))
def test_softmax_sums_to_one_and_ignores_a_shift(logits, shift):
    found = metrics.softmax(np.array(logits))
    assert found.sum() == pytest.approx(1)
    assert metrics.softmax(np.array(logits) + shift) == pytest.approx(found, abs=1e-8)


def test_bad_input_is_named():
    zeros, none = np.zeros, np.zeros(1, int)
    for call, arguments, words in (
        (metrics.ranks, (zeros((2, 3)), np.array([0, 3])), "row 1 is 3.*0 to 2"),
        (metrics.ranks, (zeros((2, 3)), np.array([-1, 0])), "row 0 is -1"),
        (metrics.ranks, (zeros((2, 3)), none), r"\(2, 3\) and labels \(1,\)"),
        (metrics.ranks, (zeros(3), none), r"\(N, K\)"),
        (metrics.ranks, (zeros((1, 3)), np.array([0.0])), "whole numbers"),
        (metrics.ranks, (np.array([[0, np.nan]]), none), "row 0 are not finite"),
        (metrics.interval, (3, 2), "hits is 3.*0 to count = 2"),
        (metrics.interval, (0, 0), "count is 0"),
        (metrics.most_confused, (np.eye(2, dtype=int), 0), "n is 0"),
    ):
        with pytest.raises(ValueError, match=words):
            call(*arguments)
