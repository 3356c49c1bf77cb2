"""Notebook 10: the checks of its exercises, and the mistakes that they name."""

import torch
from einops import rearrange
from torch import Tensor, nn

from vivit_lab.lessons.checking import (
    Wrong,
    call,
    drawn,
    exercise,
    expect,
    expect_tensor,
    like,
    refuse,
    true_or_false,
)
from vivit_lab.lessons.exercises.four_models import MixingModel2, small_clips, small_model_2
from vivit_lab.models.vivit import FactorisedEncoder


def seeded(module: type[nn.Module], *sizes, **options) -> nn.Module:
    """A module with random weights, the same ones every time, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return module(*sizes, **options).eval()


@exercise("One clip alone and the same clip among others: the test that finds this in a second.")
def attention_over_the_batch(attend) -> None:
    attention, x = seeded(nn.MultiheadAttention, 8, 2), drawn(3, 5, 8)
    with torch.no_grad():
        answer = expect_tensor(call(attend, attention, x), (3, 5, 8), "(B, N, D), as x.")
        right, same_as_before = attention(*[x.transpose(0, 1)] * 3)[0], attention(x, x, x)[0]
    mistakes = {
        "Nothing has changed: each token still looks at the tokens of other clips.": same_as_before,
        "The tokens look at the right ones, but come back as (N, B, D): turn them back.": (
            right.reshape(3, 5, 8)
        ),
    }
    expect(answer, right.transpose(0, 1), mistakes=mistakes)


@exercise("Shapes cannot find it: t · h · w is h · w · t. Only a test of values can.")
def positions_in_order(add) -> None:
    t, h, w, d = 4, 2, 3, 5
    x, space, time = drawn(2, t * h * w, d), drawn(h, w, d, seed=1), drawn(t, d, seed=2)
    answer = expect_tensor(call(add, x, space, time), tuple(x.shape), "(B, t · h · w, D), as x.")
    table = space[None] + time[:, None, None]  # (t, h, w, d)
    mistakes = {
        "The table is still (h w t), while the tokens are (t h w).": x
        + rearrange(table, "t h w d -> (h w t) d"),
        "Rows and columns are exchanged: (t h w).": x + rearrange(table, "t h w d -> (t w h) d"),
        "The positions in time are missing.": x + space.flatten(0, 1).repeat(t, 1),
        "The positions in space are missing.": x + time.repeat_interleave(h * w, dim=0),
    }
    expect(answer, x + table.flatten(0, 2), mistakes=mistakes)


class Mlp(nn.Module):
    """What the exercise on dropout writes the forward pass of."""

    def __init__(self):
        super().__init__()
        self.fc, self.rate = nn.Linear(16, 64), 0.5

    def __repr__(self) -> str:
        return "mlp"


@exercise("Asked twice, the same answer: the cheapest of all tests of a model.")
def dropout_in_eval(forward) -> None:
    mlp, x = seeded(Mlp), drawn(6, 16)
    with torch.no_grad():
        right = mlp.fc(x)
        answer, again = (
            expect_tensor(call(forward, mlp, x), (6, 64), "(6, 64).") for _ in range(2)
        )
        mlp.train()
        dropped = expect_tensor(call(forward, mlp, x), (6, 64), "(6, 64).")
    share = float((dropped == 0).float().mean())
    mistakes = {
        "Asked twice it says two things: numbers are still dropped in eval mode.": not torch.equal(
            answer, again
        ),
        "In training nothing is dropped any more. Only in eval mode it must not be.": share == 0,
        f"In training {share:.0%} of the numbers are dropped; mlp.rate says half.": not 0.3
        < share
        < 0.7,
    }
    refuse(mistakes)
    expect(answer, right)
    kept = dropped != 0
    grown = "In training what is kept must grow by 1 / (1 - rate), as F.dropout does."
    expect(dropped[kept], 2 * right[kept], otherwise=grown)


@exercise("0 is -1, 255 is 1. The weights were made for contrasts twice as large as [0, 1] gives.")
def pixel_range(prepare) -> None:
    clip = torch.arange(256, dtype=torch.uint8).repeat(6).view(2, 3, 16, 16)
    answer = expect_tensor(call(prepare, clip), tuple(clip.shape), "the shape of the clip.")
    share = clip / 255
    mistakes = {
        "This is [0, 1]: half the contrast, and no black below 0.": share,
        "This is [-0.5, 0.5]: centred, but half the contrast.": share - 0.5,
        "These are bytes that have gone round: convert to float before you subtract.": (
            clip - 127
        ).float()
        / 128,
        "These are bytes that have gone round: convert to float before you multiply.": (
            clip * 2
        ).float()
        / 255
        - 1,
        "This is [0, 2]: take 1 away.": 2 * share,
        "Divide by 127.5: with 128 the brightest pixel is below 1.": clip.float() / 128 - 1,
    }
    otherwise = "The black pixel must give -1 and the brightest 1, with a straight line between."
    expect(answer, 2 * share - 1, mistakes=mistakes, otherwise=otherwise)


@exercise("One list of classes, written down with the weights, and never made a second time.")
def labels_in_order(labels) -> None:
    train, videos = ["walk", "jump", "run", "sit"], ["sit", "run", "sit", "walk"]
    answer = call(labels, list(train), list(videos))
    order = sorted(train)
    own = sorted(set(videos))
    right = [order.index(name) for name in videos]
    mistakes = {
        "the numbers follow the order in which the folders were found. That is another one on "
        "every machine: sort the names.": [train.index(name) for name in videos],
        "the classes are numbered anew from these videos. One class has no video here, and all "
        "behind it move up: take the list of the training.": [own.index(name) for name in videos],
        "the numbers begin at 1; a classifier's first logit is number 0.": [n + 1 for n in right],
    }
    expect(like(answer, right), right, f"folders {train} and videos of {videos}", mistakes)


@exercise("Mirrored twice, all is as before: clip and label.")
def mirrored_labels(mirror) -> None:
    partner, clip = {0: 1, 1: 0, 4: 5, 5: 4}, drawn(2, 3, 4, 6)  # moves right, moves left, ...
    for label in (0, 5, 2):
        answer = call(mirror, clip.clone(), label, dict(partner))
        if not isinstance(answer, (tuple, list)) or len(answer) != 2:
            raise Wrong("This asks for two things: the mirrored clip and its label.")
        pixels = expect_tensor(answer[0], tuple(clip.shape), "(T, C, H, W), as the clip.")
        mistakes = {
            "Nothing is mirrored. The width is the last axis.": clip,
            "The clip stands on its head: height is the last axis but one, width the last.": (
                clip.flip(-2)
            ),
            "The clip runs backwards: time is the first axis, width the last.": clip.flip(0),
        }
        expect(pixels, clip.flip(-1), mistakes=mistakes)
        wanted = partner.get(label, label)
        mistakes = {
            "the label has stayed, but what moved right moves left now.": label in partner
            and answer[1] == label,
            "the class has no partner, so it stays as it is.": label not in partner,
        }
        expect(answer[1], wanted, f"class {label}", mistakes)


class Projection(nn.Module):
    """What the exercise on calling writes the forward pass of."""

    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(6, 4)

    def __repr__(self) -> str:
        return "layer"


class _Adapted(nn.Module):
    """A linear layer with a low-rank addition, as LoRA puts one in its place."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.linear, self.weight, self.bias = linear, linear.weight, linear.bias
        self.more = drawn(6, 4, seed=3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + x @ self.more


@exercise("Whoever wants to look into a model, or to add to it, can only do so where it is called.")
def module_is_called(forward) -> None:
    layer, x, seen = seeded(Projection), drawn(5, 6), []
    with torch.no_grad():
        right = layer.proj(x)
        layer.proj.register_forward_hook(lambda *_: seen.append(1))
        answer = expect_tensor(call(forward, layer, x), (5, 4), "(5, 4).")
        expect(answer, right)
        refuse(
            {"A hook on proj hears nothing: its weights are read, but it is not called.": not seen}
        )
        layer.proj = _Adapted(layer.proj)
        answer = expect_tensor(call(forward, layer, x), (5, 4), "(5, 4).")
        expect(answer, layer.proj(x), otherwise="An adapter in the place of proj is not used.")


@exercise("Equal answers prove nothing where all answers are equal. Look at what comes before.")
def leak_behind_zeros(leaks) -> None:
    for kind in (MixingModel2, FactorisedEncoder):
        for zero in (True, False):
            model = small_model_2(kind).requires_grad_(False)
            if zero:
                model.head.weight.zero_(), model.head.bias.zero_()
            found = true_or_false(call(leaks, model, small_clips(3)))
            sound = kind is FactorisedEncoder
            missed = not sound and not found
            mistakes = {
                "It misses the leak behind a classifier of zeros, whose logits are all 0. Look at "
                "the features: model.encode(clips, False)[0].": missed and zero,
                "It finds the leak only where the classifier is zero.": missed,
                "It accuses a sound model. Allow for rounding: atol=1e-5.": found and sound,
            }
            refuse(mistakes)
