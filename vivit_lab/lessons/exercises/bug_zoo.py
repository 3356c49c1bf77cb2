"""Notebook 10: the checks of its exercises, and the mistakes that they name."""

import copy
import itertools

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
    same,
    true_or_false,
)
from vivit_lab.lessons.exercises.four_models import (
    MixingModel2,
    NeighbourModel2,
    ThirdClipModel2,
    small_clips,
    small_model_2,
)
from vivit_lab.models.vivit import FactorisedEncoder
from vivit_lab.video import transforms


def seeded(module: type[nn.Module], *sizes, **options) -> nn.Module:
    """A module with random weights, the same ones every time, in eval mode."""
    with transforms.seeded(0):
        return module(*sizes, **options).eval()


@exercise("Change the other clips of the batch: this test finds the defect in a second.")
def attention_over_the_batch(attend) -> None:
    attention, x = seeded(nn.MultiheadAttention, 8, 2), drawn(3, 5, 8)
    turned = x.transpose(0, 1)
    with torch.no_grad():
        right, unchanged = attention(*[turned] * 3)[0], attention(x, x, x)[0]
        by_itself = torch.cat([attention(*[x[i : i + 1]] * 3)[0] for i in range(3)])
        reshaped = attention(*[x.reshape(5, 3, 8)] * 3)[0]
        of_all = attention(*[x.reshape(15, 1, 8)] * 3)[0].reshape(3, 5, 8)
        answer = expect_tensor(call(attend, attention, x), (3, 5, 8), "(B, N, D), as x.")
    mistakes = {
        "Nothing has changed: each token still looks at the tokens of other clips.": unchanged,
        "Each token looks at itself alone. A batch of one clip is (1, N, D), and torch takes its "
        "first axis as the sequence.": by_itself,
        "Each token looks at all tokens of all clips. The clips must be an axis of their own.": (
            of_all
        ),
        "A reshape makes x (N, B, D). It keeps the order in memory, so tokens of other clips come "
        "in. Exchange the axes.": reshaped.reshape(3, 5, 8),
        "A reshape makes x (N, B, D), and the axes are exchanged after the attention only. Do it "
        "before, too.": reshaped.transpose(0, 1),
        "Each token looks at its own clip, but the result is still (N, B, D). Exchange the axes "
        "once more; a reshape does not do that.": right.reshape(3, 5, 8),
    }
    expect(answer, right.transpose(0, 1), mistakes=mistakes)


@exercise("Shapes cannot show it: t · h · w is h · w · t. Only a test of values can.")
def positions_in_order(add) -> None:
    t, h, w, d = 4, 2, 3, 5
    x, space, time = drawn(2, t * h * w, d), drawn(h, w, d, seed=1), drawn(t, d, seed=2)
    before = x.clone()
    answer = expect_tensor(call(add, x, space, time), tuple(x.shape), "(B, t · h · w, D), as x.")
    refuse({"x itself has changed. Make a new tensor: x + ..., not x += ...": (x != before).any()})
    table = space[None] + time[:, None, None]  # (t, h, w, d)
    over_space, over_time = space.flatten(0, 1).repeat(t, 1), time.repeat_interleave(h * w, dim=0)
    mistakes = {
        "The table is still in the order (h w t), but the tokens are in the order (t h w).": x
        + rearrange(table, "t h w d -> (h w t) d"),
        "Rows and columns are exchanged: the order of the tokens is (t h w).": x
        + rearrange(table, "t h w d -> (t w h) d"),
        "The positions in time are missing.": x + over_space,
        "The positions in space are missing.": x + over_time,
        "Time is right. In space each position comes t times in a row, but the places must run "
        "from first to last in every time step.": x
        + over_time
        + space.flatten(0, 1).repeat_interleave(t, dim=0),
        "Space is right. In time the steps change with every token, but all h · w tokens of a time "
        "step must get the same one.": x + over_space + time.repeat(h * w, 1),
    }
    expect(answer, x + table.flatten(0, 2), mistakes=mistakes)


class Mlp(nn.Module):
    """What the exercise on dropout writes the forward pass of."""

    def __init__(self):
        super().__init__()
        self.fc, self.rate = nn.Linear(16, 64), 0.5

    def __repr__(self) -> str:
        return "mlp"


@exercise("Call a model twice with the same clip: the cheapest test of all.")
def dropout_in_eval(forward) -> None:
    mlp, x = seeded(Mlp), drawn(6, 16)
    with torch.no_grad():
        right = mlp.fc(x)
        answer, again = (
            expect_tensor(call(forward, mlp, x), (6, 64), "(6, 64).") for _ in range(2)
        )
        mlp.train().rate = 0.25
        dropped = expect_tensor(call(forward, mlp, x), (6, 64), "(6, 64).")
    share = float((dropped == 0).float().mean())
    stays = torch.equal(dropped, right)
    mistakes = {
        "It is the wrong way round: numbers become 0 in eval mode, and none in training mode.": (
            stays and not torch.equal(answer, right)
        ),
        "Two calls give two answers: in eval mode some numbers still become 0.": not torch.equal(
            answer, again
        ),
        "In training mode no number becomes 0. Dropout must stop in eval mode only.": torch.equal(
            dropped, answer
        ),
        "In training mode the numbers that enter mlp.fc are dropped. Drop the numbers that leave "
        "it: first mlp.fc, then dropout.": share == 0,
        f"In training mode {share:.0%} of the numbers become 0, but mlp.rate is {mlp.rate} here. "
        "Take the rate from mlp.rate.": not 0.12 < share < 0.38,
    }
    refuse(mistakes)
    expect(answer, right)
    kept = dropped != 0
    grown = "In training mode the numbers that stay must grow by 1 / (1 - rate), as in F.dropout."
    expect(dropped[kept], right[kept] / (1 - mlp.rate), otherwise=grown)


@exercise(
    "0 becomes -1, and 255 becomes 1. The weights were trained on twice the contrast of [0, 1]."
)
def pixel_range(prepare) -> None:
    clips = torch.arange(256, dtype=torch.uint8).repeat(6).view(2, 3, 16, 16)
    for clip in (clips, clips[..., 4:9, :]):  # the second has neither black nor white
        answer = expect_tensor(call(prepare, clip), tuple(clip.shape), "the shape of the clip.")
        share = clip / 255
        full = (share - share.min()) / (share.max() - share.min())
        mistakes = {
            "This is [0, 1]: half of the contrast, and no number below 0.": share,
            "This is [-0.5, 0.5]: the middle is right, but the contrast is half.": share - 0.5,
            "A uint8 holds 0 to 255, so a result below 0 comes out wrong. Convert to float before "
            "you subtract.": (clip - 127).float() / 128,
            "A uint8 holds 0 to 255, so a larger result comes out wrong. Convert to float before "
            "you multiply.": (clip * 2).float() / 255 - 1,
            "This is [0, 2]: subtract 1.": 2 * share,
            "This is [-1, 0]: the contrast is half, and no number is above 0.": share - 1,
            "Divide by 127.5: with 128 the brightest pixel is below 1.": clip.float() / 128 - 1,
            "This stretches each clip to its own darkest and brightest pixel. A dark clip must "
            "stay dark: 0 is black in every clip.": 2 * full - 1,
        }
        otherwise = "Black must be -1 and white 1, with a straight line between them."
        expect(answer, 2 * share - 1, mistakes=mistakes, otherwise=otherwise)


@exercise("Make one list of classes, keep it with the weights, and never make it a second time.")
def labels_in_order(labels) -> None:
    train, videos = ["walk", "jump", "run", "sit"], ["sit", "run", "sit", "walk"]
    answer = like(call(labels, list(train), list(videos)), [0] * len(videos))
    order, own, met = sorted(train), sorted(set(videos)), list(dict.fromkeys(videos))
    right = [order.index(name) for name in videos]
    mistakes = {
        "the numbers follow the order in which this disk lists the folders, as before. On another "
        "disk it is another order: sort the names.": [train.index(name) for name in videos],
        "the numbers follow the order of the videos. Number the classes of the training.": [
            met.index(name) for name in videos
        ],
        "the classes of these videos are numbered anew. One class has no video here, so the later "
        "classes get smaller numbers: use the list of the training.": [*map(own.index, videos)],
        "the numbers begin at 1, but a classifier's first logit is number 0.": [
            n + 1 for n in right
        ],
        "each class has a number of its own, but not in the order of the alphabet. (A set has no "
        "order that stays.) Use sorted.": _are_numbers(answer, videos),
    }
    expect(answer, right, f"the folders {train} and the videos {videos}", mistakes)


def _are_numbers(answer: object, videos: list[str]) -> bool:
    """Whether each class has one whole number, and no other class has it."""
    if not isinstance(answer, list) or not all(type(number) is int for number in answer):
        return False
    return len({*zip(videos, answer, strict=False)}) == len({*videos}) == len({*answer})


class _Partners(dict):
    """A class without a mirror image is missing, and the error says what to do."""

    def __missing__(self, label: int):
        raise KeyError(f"class {label} has no mirror image, so it keeps its label")


@exercise("The picture and its label belong together: who changes one must change the other.")
def mirrored_labels(mirror) -> None:
    partner, clip = _Partners({0: 1, 1: 0, 4: 5, 5: 4}), drawn(2, 3, 4, 6)
    for label in (0, 5, 2):
        answer = call(mirror, clip.clone(), label, _Partners(partner))
        if not isinstance(answer, (tuple, list)) or len(answer) != 2:
            raise Wrong("Return two things: the mirrored clip and its label.")
        pixels = expect_tensor(answer[0], tuple(clip.shape), "(T, C, H, W), as the clip.")
        mistakes = {
            f"Mirror every clip, also one of a class without a mirror image (here {label}).": (
                label not in partner and same(pixels, clip)
            ),
            "The clip is not mirrored. Its width is the last axis.": clip,
            "The clip is upside down. Its height is the third axis, its width the last.": (
                clip.flip(-2)
            ),
            "The clip runs backwards. Time is the first axis, the width is the last.": clip.flip(0),
        }
        expect(pixels, clip.flip(-1), mistakes=mistakes)
        wanted = partner.get(label, label)
        mistakes = {
            "the label is the old one, but what moved right moves left now.": label in partner
            and answer[1] == label,
            "this class has no mirror image, so it keeps its label.": label not in partner,
        }
        expect(answer[1], wanted, f"class {label} and partner = {partner}", mistakes)


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


@exercise("Hooks, adapters and tools for pruning all need the call. So call the module.")
def module_is_called(forward) -> None:
    layer, x, hooked, ran = seeded(Projection), drawn(5, 6), [], []
    proj = layer.proj
    with torch.no_grad():
        right = proj(x)
        proj.register_forward_hook(lambda *_: hooked.append(1))
        proj.forward = lambda given: ran.append(1) or nn.Linear.forward(proj, given)
        answer = expect_tensor(call(forward, layer, x), (5, 4), "(5, 4).")
        expect(answer, right)
        mistakes = {
            "The hook of layer.proj does not run. You call its method forward; call the module "
            "itself, which runs the hooks and then forward.": ran and not hooked,
            "The hook of layer.proj does not run: its weights are read, but it is not called.": (
                not hooked
            ),
        }
        refuse(mistakes)
        layer.proj = _Adapted(seeded(Projection).proj)
        answer = expect_tensor(call(forward, layer, x), (5, 4), "(5, 4).")
        unused = "An adapter in the place of layer.proj is called, but what it returns is not used."
        expect(answer, layer.proj(x), otherwise=unused)


@exercise("Equal answers prove nothing where all answers are equal. Compare the features.")
def leak_behind_zeros(leaks) -> None:
    kinds = MixingModel2, NeighbourModel2, ThirdClipModel2, FactorisedEncoder
    answers = {True: [], False: []}  # whether the classifier is zero -> an answer for each kind
    for kind, zero in itertools.product(kinds, answers):
        model = small_model_2(kind).requires_grad_(False)
        if zero:
            model.head.weight.zero_(), model.head.bias.zero_()
        before = copy.deepcopy(model.state_dict())
        answers[zero].append(true_or_false(call(leaks, model, small_clips(3))))
        after = model.state_dict()
        mistakes = {
            "It changes the weights of the model. A test must leave the model as it is.": not (
                all(torch.equal(after[name], before[name]) for name in before)
            ),
            "It leaves the model in training mode. A test must leave the model as it is.": (
                any(part.training for part in model.modules())
            ),
        }
        refuse(mistakes)
    (*zero, zero_sound), (*random, random_sound) = answers.values()
    mistakes = {
        "It is the wrong way round: True must mean that the clips are mixed.": (
            not any(zero + random) and zero_sound and random_sound
        ),
        "It returns False for every model. If it compares, its tolerance is too large: "
        "atol=1e-5.": not any(zero + random),
        "It misses the leak if the classifier is zero, because then all logits are 0. "
        "Compare the features: model.encode(clips, False)[0].": random[0] and not zero[0],
        "It finds the leak only if the classifier is zero.": zero[0] and not random[0],
        "It misses a model where only one clip of the batch is wrong. Compare every clip.": not all(
            zero + random
        ),
        "It returns True for a sound model, too. If it compares, allow for rounding: "
        "atol=1e-5.": zero_sound or random_sound,
    }
    refuse(mistakes)
