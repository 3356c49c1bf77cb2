"""The two explorers of notebook 08, driven without a browser."""

import numpy as np
import pytest
from written import check_readable, is_shown, written

from vivit_lab.training import Evaluation, ViewScores
from vivit_lab.training.results import Origin
from vivit_lab.widgets import ConfusionExplorer, EvaluationExplorer
from vivit_lab.widgets.evaluation_explorer import LISTS, Answers


def an_evaluation(heads=None, clips=4, crops=3, videos=60, names=True, seed=0) -> Evaluation:
    """Views that are often right, and of which some are very sure."""
    random = np.random.default_rng(seed)
    heads = {"class": 6} if heads is None else heads
    logits, labels = {}, {}
    for head, classes in heads.items():
        labels[head] = random.integers(0, classes, videos)
        each = random.normal(0, 1.5, (videos, clips * crops, classes))
        each[np.arange(videos), :, labels[head]] += 1
        each *= random.choice([0.3, 4], (videos, clips * crops, 1))
        logits[head] = each.astype(np.float32)
    called = tuple(f"somewhere/in a folder/clip_{number:04}.mp4" for number in range(videos))
    longer = {head: [f"a longer name {i}" for i in range(k)] for head, k in heads.items()}
    class_names = longer if names else dict.fromkeys(heads)
    places = tuple((clip, crop) for clip in range(clips) for crop in range(crops))
    origin = Origin("a toy", "", 2_000_000, "made up", videos)
    return Evaluation(
        ViewScores(logits, labels, np.arange(videos), called, class_names, places, origin)
    )


def test_own_evaluations_can_be_looked_at_and_everything_can_be_read():
    for options in (
        {},
        {"clips": 1, "crops": 1},
        {"clips": 2, "crops": 1, "names": False},
        {"clips": 3, "heads": {"class": 2}},
        {"heads": {"verb": 12, "noun": 11}},
        {"heads": {"left": 3, "right": 2}, "videos": 1},
    ):
        for make in (EvaluationExplorer, ConfusionExplorer):
            explorer = make(an_evaluation(**options))
            for head in explorer.head.options:
                for count in {1, max(explorer.count.options)}:
                    for average in explorer.average.options:
                        explorer.head.value, explorer.average.value = head, average
                        explorer.count.value = count
                        assert is_shown(explorer), options
                    with written() as texts:
                        explorer.refresh()
                    check_readable(texts, explorer.width, explorer.height)


# ---- views


def test_slider_and_grid_follow_each_other():
    explorer = EvaluationExplorer()
    for count in (1, 4, 9, 12, 2):
        explorer.count.value = count
        on = [number for number, button in enumerate(explorer.views) if button.value]
        assert on == explorer.answers.scores.spread(count) == list(explorer.state().views)
    explorer.views[0].value = True
    assert explorer.count.value == 3 and 0 in explorer.state().views
    explorer.count.value = 1
    (last,) = explorer.state().views
    explorer.views[last].value = False
    assert explorer.state().views == (last,)  # the last view stays on
    assert is_shown(explorer)


def test_the_accuracy_drawn_is_that_of_the_package():
    result = an_evaluation({"verb": 8, "noun": 5}, videos=90)
    explorer = EvaluationExplorer(result)
    for views in ((0,), (3, 7, 11), tuple(range(12))):
        for average in ("softmax", "logits"):
            for head in ("verb", "noun", "action"):
                explorer.head.value, explorer.average.value = head, average
                with explorer.quiet():
                    for number, button in enumerate(explorer.views):
                        button.value = number in views
                with written() as texts:
                    explorer.refresh()
                right = Evaluation(result.scores.select(views), average)[head]
                words = {text.words for text in texts}
                low, high = right.interval
                plural = "s" * (len(views) > 1)
                assert f"{len(views)} view{plural}: {100 * right.top1:.1f} %" in words
                assert (
                    f"95 % interval {100 * low:.1f} to {100 * high:.1f} %, over 90 videos" in words
                )


def test_what_each_view_says_alone_is_what_it_would_say_as_the_only_one():
    answers = Answers(an_evaluation({"verb": 8, "noun": 5}))
    for head in answers.heads:
        alone = answers.alone(head)
        assert alone.tolist() == [answers.of((n,), "softmax", head).top1 for n in range(12)]
        every = answers.of(range(12), "softmax", head)
        assert answers.curve("softmax", head)[-1].top1 == every.top1


# ---- lists of videos


def test_the_lists_hold_the_videos_that_they_promise():
    result = an_evaluation({"verb": 8, "noun": 5}, videos=200)
    answers, views = Answers(result), (0, 4, 5, 9)

    def hits(views, average, head):
        chosen = Evaluation(result.scores.select(views), average)
        parts = [chosen[name] for name in ((head,) if head != "action" else ("verb", "noun"))]
        return np.all([part.averaged.argmax(axis=1) == part.labels for part in parts], axis=0)

    for head in ("verb", "noun", "action"):
        softmax, logits = hits(views, "softmax", head), hits(views, "logits", head)
        for average, now in (("softmax", softmax), ("logits", logits)):
            one = hits((4,), average, head)
            promised = {
                "all videos": now | True,
                "mended": now & ~one,
                "spoilt": one & ~now,
                "wrong": ~now,
                "softmax": softmax & ~logits,
                "logits": logits & ~softmax,
            }
            assert set(promised) == set(LISTS.values())
            for which, mask in promised.items():
                found = answers.listed(which, views, average, head)
                assert found.tolist() == np.flatnonzero(mask).tolist()
            assert promised["mended"].any() and promised["spoilt"].any()


def test_the_video_in_view_stays_while_its_list_allows():
    explorer = EvaluationExplorer()
    explorer.video.value = 301
    assert explorer.state().video == 300
    explorer.count.value = 1
    explorer.average.value = "logits"
    assert explorer.state().video == 300
    for which in list(LISTS)[1:4]:
        for count in (12, 3, 7):
            explorer.which.value, explorer.count.value = which, count
            state = explorer.state()
            assert explorer.video.max == max(len(state.videos), 1)
            assert 1 <= explorer.video.value <= explorer.video.max
            assert is_shown(explorer)

    explorer.which.value, explorer.count.value = "all videos", 1  # an empty list is said, and left
    with written() as texts:
        explorer.which.value = list(LISTS)[1]  # one view mends nothing of one view
    assert "No video" in {text.words for text in texts}
    assert explorer.video.disabled and explorer.state().video is None
    explorer.count.value = 12
    assert not explorer.video.disabled
    assert explorer.state().video in explorer.listed


# ---- confusion


def test_the_matrix_drawn_is_the_confusion_matrix():
    result = an_evaluation({"class": 3}, videos=500)
    explorer = ConfusionExplorer(result)
    with written() as texts:
        explorer.refresh()
    words = [text.words for text in texts]
    shown = sorted(int(word) for word in words if word.isdigit())
    assert shown == sorted(result.confusion[result.confusion > 0].tolist())
    for share in result.per_class:
        assert f"{100 * share:.1f} %" in words


def test_of_two_heads_both_one_or_none_are_right():
    result = an_evaluation({"verb": 8, "noun": 5}, videos=333)
    explorer = ConfusionExplorer(result)
    with written() as texts:
        explorer.head.value = "action"
    words = [text.words for text in texts]
    verb, noun = (result[head].ranks == 0 for head in ("verb", "noun"))
    for share in ((verb & noun), (verb & ~noun), (~verb & noun), (~verb & ~noun)):
        assert f"{100 * share.mean():.1f} %" in words
    assert f"action: {100 * result['action'].top1:.1f} %" in words


# ---- other evaluations


def test_what_cannot_be_drawn_is_named():
    for make, result, words in (
        (
            EvaluationExplorer,
            an_evaluation(clips=5),
            "5 clips x 3 crops = 15 views, but .* at most 4 clips",
        ),
        (
            EvaluationExplorer,
            an_evaluation(crops=2),
            "4 clips x 2 crops = 8 views, but .* 1 or 3 crops",
        ),
        (EvaluationExplorer, an_evaluation().with_views([0, 1, 5]), "has 3 views, but"),
        (ConfusionExplorer, an_evaluation({"class": 13}), "13 classes, but at most 12"),
    ):
        with pytest.raises(ValueError, match=words):
            make(result)


def test_a_part_of_the_views_can_be_looked_at():
    for views in ([3, 4, 5, 9, 10, 11], [1, 4, 7, 10], [2], [9, 10, 11]):
        explorer = EvaluationExplorer(an_evaluation().with_views(views))
        assert is_shown(explorer)
        assert max(explorer.count.options) == len(views)
        explorer.count.value = 1
        assert is_shown(explorer)
