"""The two explorers of notebook 08, driven without a browser."""

import itertools

import numpy as np
import pytest
from written import check_readable, is_shown, written

from vivit_lab.data import LongVideos
from vivit_lab.training import Evaluation, ViewScores
from vivit_lab.training.results import Origin
from vivit_lab.widgets import ConfusionExplorer, EvaluationExplorer
from vivit_lab.widgets.evaluation_explorer import LISTS, Answers


def an_evaluation(clips=4, crops=3, videos=60, names=True, **heads) -> Evaluation:
    """Views that are often right, and of which some are very sure."""
    random, logits, labels = np.random.default_rng(0), {}, {}
    heads = heads or {"class": 6}
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


BOTH = an_evaluation(verb=8, noun=5, videos=200)


def words_of(explorer) -> list[str]:
    with written() as texts:
        explorer.refresh()
    check_readable(texts, explorer.width, explorer.height)
    return [text.words for text in texts]


def test_own_evaluations_can_be_looked_at_and_everything_can_be_read():
    results = [an_evaluation().with_views(views) for views in ([3, 4, 5, 9, 10, 11], [2], [4, 10])]
    for options in (
        {},
        {"clips": 1, "crops": 1},
        {"clips": 2, "crops": 1, "names": False},
        {"clips": 3, "verb": 2},
        {"verb": 12, "noun": 11},
        {"left": 3, "right": 2, "videos": 1},
    ):
        results.append(an_evaluation(**options))
    for result in results:
        for make in (EvaluationExplorer, ConfusionExplorer):
            explorer = make(result)
            assert max(explorer.count.options) == result.scores.views
            for head in explorer.head.options:
                for count in {1, result.scores.views}:
                    for average in explorer.average.options:
                        explorer.head.value, explorer.average.value = head, average
                        explorer.count.value = count
                        assert is_shown(explorer), result
                    words_of(explorer)


def said(explorer, *names: str) -> dict[tuple, str]:
    """What a hover says of the cells of the first region with these coordinates, by values."""
    for region in explorer.picture.scene["regions"]:
        down, across = region.get("down", ("", [None])), region.get("across", ("", [None]))
        at = region["at"]
        if {*at, down[0], across[0]} - {""} == set(names):
            cells = itertools.product(down[1], across[1])
            named = [at | {down[0]: row, across[0]: column} for row, column in cells]
            return {
                tuple(each[name] for name in names): words
                for each, words in zip(named, region["values"], strict=True)
            }


def press(explorer, **at) -> None:
    explorer._on_touch({"press": at})


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
    for place in (explorer.answers.named[last], {"crop": "left", "views": (last,)}):
        press(explorer, **place)
        assert explorer.state().views == (last,)  # the last view stays on
    assert is_shown(explorer)


def test_a_press_puts_a_view_in_or_out_and_a_name_all_of_its_views():
    """The reference: sets of the places that a press names; a part that is in goes out."""
    explorer, random = EvaluationExplorer(), np.random.default_rng(0)
    names = {"clip": [1, 2, 3, 4], "crop": ["left", "centre", "right"]}
    every = set(itertools.product(*names.values()))
    places = [(clip + 1, names["crop"][crop]) for clip, crop in explorer.answers.scores.places]
    on = every
    for _ in range(40):
        chosen = random.permutation(list(names))[: random.integers(1, 3)]
        at = {name: names[name][random.integers(len(names[name]))] for name in chosen}
        part = {p for p in every if all(p[list(names).index(n)] == at[n] for n in at)}
        press(explorer, **at, **{"class verb": 3})  # a press on a bar is one on its view
        if part < on or not part <= on:
            on = on - part if part <= on else on | part
            assert {places[view] for view in explorer.state().views} == on
            assert [button.value for button in explorer.views] == [p in on for p in places]
            assert explorer.count.value == len(on)
        else:  # all that was on
            (view,) = explorer.state().views
            on = {places[view]}
    for region in explorer.picture.scene["regions"]:
        known = {*region["at"], *(region[axis][0] for axis in ("across", "down") if axis in region)}
        assert region["press"] == bool(known & {"clip", "crop", "count"})
        assert region["once"] == bool(known & {"clip", "crop"})
    press(explorer, views=(3, 5, 6, 8))
    assert explorer.state().views == (3, 5, 6, 8)
    press(explorer, count=7)
    assert explorer.state().views == tuple(explorer.answers.scores.spread(7))
    for axis, steps, control in ((0, -2, "count"), (1, 5, "video"), (2, 1, "which")):
        before = getattr(explorer, control).value
        explorer._on_touch({"key": [axis, steps]})
        assert getattr(explorer, control).value != before


def test_the_clips_that_play_are_those_that_the_model_saw():
    explorer = EvaluationExplorer()
    explorer.video.value = 6
    videos, films = LongVideos(height=48), explorer.picture.scene["films"]
    clips = np.array([[*range(start, start + 15, 2)] for start in (0, 21, 42, 64)])
    wide = videos.draw([5], clips.reshape(1, -1))[0].transpose(0, 2, 3, 1).reshape(4, 8, 48, 96, 3)
    assert len(films) == 12
    for film, (clip, crop) in zip(films, explorer.answers.scores.places, strict=True):
        shown = [explorer.picture.canvas.pictures[key].pixels for key in film["keys"]]
        assert np.array_equal(shown, wide[clip]) and film["crop"] == [24 * crop, 0, 48, 48]


def test_the_accuracy_drawn_is_that_of_the_package():
    explorer = EvaluationExplorer(BOTH)
    for views in ((0,), (3, 7, 11), tuple(range(12))):
        with explorer.quiet():
            for number, button in enumerate(explorer.views):
                button.value = number in views
        for average in ("softmax", "logits"):
            for head in ("verb", "noun", "action"):
                explorer.average.value, explorer.head.value = average, head
                right = Evaluation(BOTH.scores.select(views), average)[head]
                low, high = (f"{100 * end:.1f}" for end in right.interval)
                title = f"{len(views)} view{'s' * (len(views) > 1)}: {100 * right.top1:.1f} %"
                interval = f"95 % interval {low} to {high} %, over 200 videos"
                assert {title, interval} <= set(words_of(explorer))
    answers = explorer.answers
    for head in answers.heads:
        explorer.head.value = head
        alone = [answers.of((n,), "softmax", head).top1 for n in range(12)]
        hovered = said(explorer, "clip", "crop")
        for place, share in zip(answers.named, alone, strict=True):
            assert f"{100 * share:.1f} %" in hovered[place["clip"], place["crop"]]
        for (count,), words in said(explorer, "count").items():
            right = Evaluation(BOTH.scores.select(BOTH.scores.spread(count)), "logits")[head]
            assert words.startswith(f"{100 * right.top1:.1f} %")
            assert words.endswith(f"{2 * count:.2f} MMACs")


# ---- lists of videos


def test_the_lists_hold_the_videos_that_they_promise():
    answers, views = Answers(BOTH), (0, 4, 5, 9)

    def right(views, average, head):
        chosen = Evaluation(BOTH.scores.select(views), average)
        parts = [chosen[name] for name in ((head,) if head != "action" else ("verb", "noun"))]
        return np.all([part.averaged.argmax(axis=1) == part.labels for part in parts], axis=0)

    for head in ("verb", "noun", "action"):
        softmax, logits = right(views, "softmax", head), right(views, "logits", head)
        for average, now in (("softmax", softmax), ("logits", logits)):
            one = right((4,), average, head)
            promised = [now | True, now & ~one, ~now & one, ~now]
            promised += [softmax & ~logits, ~softmax & logits]
            lists = answers.lists(views, average, head)
            assert tuple(lists) == LISTS
            for found, mask in zip(lists.values(), promised, strict=True):
                assert found.tolist() == np.flatnonzero(mask).tolist()
                assert mask.any()


def test_the_video_in_view_stays_while_its_list_allows():
    explorer = EvaluationExplorer()
    explorer.video.value, explorer.count.value = 301, 1
    explorer.average.value = "logits"
    assert explorer.state().video == 300
    for which in LISTS[1:4]:
        for count in (12, 3, 7):
            explorer.which.value, explorer.count.value = which, count
            videos = explorer.state().videos
            assert explorer.video.max == max(len(videos), 1)
            assert 1 <= explorer.video.value <= explorer.video.max
            title = f"Video {explorer.video.value} of {explorer.video.max}: "  # all say the same
            assert any(words.startswith(title) for words in words_of(explorer)) == bool(videos)
            assert is_shown(explorer)

    explorer.count.value, explorer.which.value = 1, LISTS[1]  # one view mends nothing of one view
    assert "No video" in words_of(explorer)  # an empty list is said, and left
    assert explorer.video.disabled and explorer.state().video is None
    explorer.count.value = 12
    assert not explorer.video.disabled and explorer.state().video in explorer.listed


# ---- confusion


def test_the_matrix_drawn_is_the_confusion_matrix():
    result = an_evaluation(verb=3, videos=500)
    explorer = ConfusionExplorer(result)
    words, names = words_of(explorer), result.heads["verb"].class_names
    shown = [int(word) for word in words if word.isdigit()][:-3]  # before the names of the columns
    assert shown == result.confusion.flatten().tolist()
    for name, share, row in zip(names, result.per_class, result.confusion, strict=True):
        assert f"{100 * share:.1f} %" in words
        for other, count in zip(names, row, strict=True):
            figures = f"{count} of {row.sum()} videos, {100 * count / row.sum():.1f} %"
            assert said(explorer, "truth", "answer")[name, other] == figures
        right = f"{row.max()} of {row.sum()} videos, {100 * share:.1f} %"
        assert said(explorer, "truth")[name,].startswith(right)


@pytest.mark.parametrize("result", [None, an_evaluation(verb=3, noun=4)])
def test_a_press_on_a_cell_shows_its_videos(result):
    explorer, random = ConfusionExplorer(result), np.random.default_rng(0)
    scores = explorer.answers.scores
    every, seen = Evaluation(scores), set()
    for head in explorer.head.options:
        explorer.head.value = head
        first = second = every.heads.get(head)
        if first is None:  # the pair
            first, second = every.heads.values()
        truths, answers = first.labels, second.labels
        if first is second:
            answers = second.averaged.argmax(axis=1)
        for _ in range(3):
            row, column = random.integers(first.classes), random.integers(second.classes)
            press(explorer, truth=first.class_names[row], answer=second.class_names[column])
            found = np.flatnonzero((truths == row) & (answers == column)).tolist()
            title = f"The cell's {len(found)} video{'s' * (len(found) != 1)}"
            assert title in words_of(explorer)
            last = max(1, -(-len(found) // 4)) - 1
            for page in {0, last}:
                explorer.page.value = page + 1
                regions, films = (explorer.picture.scene[part] for part in ("regions", "films"))
                shown = found[4 * page : 4 * page + 4]
                assert [each["at"].get("video") for each in regions][
                    -len(shown) :
                ] == shown or not shown
                assert len(films) == len(shown) * (result is None)
                for film, video in zip(films, shown, strict=False):
                    seen.add((film["keys"][0], video))
            assert explorer.page.max == last + 1
    if result is None:
        assert len({video for _, video in seen}) == len(seen) > 8  # each has a film of its own
        videos, number = LongVideos(height=48), int(scores.numbers[shown[-1]])
        first, stop = videos.action(number)
        action = np.arange(max(first - 4, 0), min(stop + 4, 80), 2)
        frames = videos.draw([number], action[None])
        pictures = [explorer.picture.canvas.pictures[key].pixels for key in film["keys"]]
        assert np.array_equal(pictures, frames[0].transpose(0, 2, 3, 1))


def test_the_first_cell_is_the_one_of_most_mistakes_and_arrows_leave_it():
    explorer = ConfusionExplorer()
    for head in ("noun", "verb"):
        explorer.head.value = head
        truth, answer, videos, _ = Evaluation(explorer.answers.scores)[head].most_confused(1)[0]
        state = explorer.state()
        assert (state.truth, state.answer, len(state.videos)) == (truth, answer, videos)
    names = explorer.answers.names["verb"]
    row, column = names.index(state.truth), names.index(state.answer)
    for axis, steps in ((0, 1), (1, -1), (0, -99), (1, 2)):
        explorer._on_touch({"key": [axis, steps]})
        row, column = (
            min(max(n + steps * (axis == way), 0), 7) for way, n in ((1, row), (0, column))
        )
        assert (explorer.truth.value, explorer.answer.value) == (names[row], names[column])


def test_of_two_heads_both_one_or_none_are_right():
    explorer = ConfusionExplorer(BOTH)
    explorer.head.value = "action"
    words = words_of(explorer)
    verb, noun = (BOTH[head].ranks == 0 for head in ("verb", "noun"))
    for share in (verb & noun, verb & ~noun, ~verb & noun, ~verb & ~noun):
        assert f"{100 * share.mean():.1f} %" in words
    assert f"action: {100 * BOTH['action'].top1:.1f} %" in words
    hits = [int(word.split()[0]) for word in words if " of " in word]  # the cells: 3 of 8
    assert sum(hits) == (verb & noun).sum()


def test_what_cannot_be_drawn_is_named():
    for make, result, words in (
        (EvaluationExplorer, an_evaluation(clips=5), "5 clips x 3 crops = 15 .* at most 4 clips"),
        (EvaluationExplorer, an_evaluation(crops=2), "4 clips x 2 crops = 8 .* 1 or 3 crops"),
        (EvaluationExplorer, an_evaluation().with_views([0, 1, 5]), "has 3 views, but"),
        (ConfusionExplorer, an_evaluation(verb=13), "13 classes, but at most 12"),
    ):
        with pytest.raises(ValueError, match=words):
            make(result)
