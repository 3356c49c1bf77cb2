"""Notebook 04: the checks of its exercises, and the mistakes that they name."""

import torch
from einops import rearrange
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vivit_lab.lessons.exercises.checking import Exercise, Wrong, call, expect, expect_tensor

# ---- 1. How much memory do all maps take?


def _judge_map_bytes(count) -> None:
    def ask(tokens, heads, depth, what):
        answer = call(count, tokens, heads, depth)
        right = 4 * depth * heads * (tokens + 1) ** 2
        if answer == right // 4:
            raise Wrong(f"{what}: {answer:,} counts the weights. Each takes 4 bytes as a float32.")
        if answer == 4 * depth * heads * tokens**2:
            raise Wrong(
                f"{what}: {answer:,} leaves the class token out, which asks and is asked like any "
                "other: a map has (tokens + 1)² weights."
            )
        if answer == right // heads:
            raise Wrong(f"{what}: {answer:,} is for one head. Every head has a map of its own.")
        if answer == right // depth:
            raise Wrong(f"{what}: {answer:,} is for one block. All blocks are asked for.")
        if answer == 4 * depth * heads * (tokens + 1):
            raise Wrong(
                f"{what}: {answer:,} grows with the tokens. Every token has a weight for every "
                "token, so it must grow with their square."
            )
        expect(answer, right, what)

    ask(10, 3, 2, "10 tokens, 3 heads, 2 blocks")
    ask(3136, 12, 12, "ViViT-B/16x2 as Model 1")


map_bytes = Exercise(
    praise="Twice the frames, about four times the memory. Queries and keys alone only double.",
    judge=_judge_map_bytes,
)


# ---- 2. The map with bars


def _judge_mended_map(mend) -> None:
    grid = t, h, w = 2, 3, 5
    generator = torch.Generator().manual_seed(4)
    weights = torch.randn(4, 31, 31, generator=generator).mul(2).softmax(dim=-1)
    answer = call(mend, weights, grid)
    expect_tensor(answer)
    mean = weights.mean(dim=0)
    right = rearrange(mean[0, 1:], "(t h w) -> t h w", t=t, h=h)
    if answer.ndim == 4:
        raise Wrong("You have a map for every head; this asks for their mean.")
    if answer.shape != right.shape:
        raise Wrong(f"The shape is {tuple(answer.shape)}, but the grid is (t, h, w) = {grid}.")

    def same(row: Tensor, pattern: str = "(t h w) -> t h w") -> bool:
        return torch.allclose(answer, rearrange(row, pattern, t=t, h=h, w=w), atol=1e-6)

    if same(mean[0, 1:], "(h w t) -> t h w"):
        raise Wrong(
            "The bars are still there: this reads the row as (h w t), as if time were fastest. Say "
            "in the pattern what order the tokens have."
        )
    if same(mean[0, 1:], "(t w h) -> t h w"):
        raise Wrong("Time is mended, but rows and columns are swapped: (t h w), not (t w h).")
    if same(mean[0, :-1]):
        raise Wrong(
            "You dropped the last patch. The class token stands first: its column is number 0, and "
            "with it left in every patch moves on by one."
        )
    if same(mean[1:, 0]):
        raise Wrong(
            "That is a column: how much each token takes from the class token. What the class "
            "token takes is a row."
        )
    if same(weights[0, 0, 1:]):
        raise Wrong("That is the first head alone; this asks for the mean over heads.")
    if not torch.allclose(answer, right, atol=1e-6):
        raise Wrong("The shape is right, the weights are not. Start from the class token's row.")


mended_map = Exercise(
    praise="Rows are queries, column 0 is the class token, time is slowest. Then no bars.",
    judge=_judge_mended_map,
)


# ---- 3. Rollout, a vector at a time


class _NoMatrixProduct(TorchDispatchMode):
    """Raises Wrong when a product of tensors makes a result with as many numbers as a map."""

    def __init__(self, tokens: int):
        super().__init__()
        self.most = tokens * tokens

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        result = function(*arguments, **(named or {}))
        sizes = [x.numel() for x in tree_leaves(result) if isinstance(x, Tensor)]
        is_product = any(part in str(function) for part in ("mm", "matmul", "mv", "dot"))
        if max(sizes, default=0) >= self.most + (not is_product):  # A + I may be as large as A
            raise Wrong(
                "The answer may be right, but on the way you multiply two N x N matrices. Only one "
                "row is asked for: start with a row vector and multiply it by one map at a time."
            )
        return result


def _rolled(maps: list[Tensor], residual: float = 0.5, attention: float = 0.5) -> Tensor:
    row = torch.zeros(len(maps[0]))
    row[0] = 1
    for weights in reversed(maps):
        row = residual * row + attention * row @ weights
    return row


def _judge_rollout_row(rollout) -> None:
    generator = torch.Generator().manual_seed(5)
    maps = [torch.randn(9, 9, generator=generator).mul(2).softmax(dim=-1) for _ in range(4)]
    given = [weights.clone() for weights in maps]
    with _NoMatrixProduct(9):
        answer = _called(rollout, given)
    expect_tensor(answer)
    if not all(torch.equal(a, b) for a, b in zip(maps, given, strict=True)):
        raise Wrong("The maps that you were given have changed. Leave them as they are.")
    if answer.shape != (9,):
        raise Wrong(f"The shape is {tuple(answer.shape)}, but one row has 9 weights: (9,).")

    def same(other: Tensor) -> bool:
        return torch.allclose(answer, other, atol=1e-5)

    right = _rolled(maps)
    if same(_rolled(maps, residual=0, attention=1)):
        raise Wrong(
            "You multiply the attentions alone. Half of every block is its residual, which hands "
            "each token on as it is: 0.5 A + 0.5 I."
        )
    if same(_rolled(maps, residual=1, attention=1)):
        raise Wrong(
            f"The weights sum to {answer.sum():.0f}, not to 1: A + I has rows that sum to 2. Take "
            "half of each."
        )
    if same(_rolled(maps[::-1])):
        raise Wrong(
            "You go from the first block to the last. The row starts at the output, so the last "
            "block comes first."
        )
    if same(_rolled([weights.T for weights in maps])):
        raise Wrong(
            "You multiply from the wrong side: A @ v asks who takes from the class token. With "
            "row @ A the class token takes."
        )
    if same(_rolled([weights.T for weights in maps[::-1]])):
        raise Wrong("That is column 0 of the whole product; this asks for row 0.")
    if same(0.5 * maps[-1][0] + 0.5 * torch.eye(9)[0]):
        raise Wrong("That is the last block alone. Go on through the others.")
    if not same(right):
        raise Wrong(
            f"The weights sum to {answer.sum():.3f}, and they are not those of the rollout. Try "
            "one block by hand: 0.5 times the row you have, plus 0.5 times row @ A."
        )


def _called(rollout, maps: list[Tensor]) -> object:
    """As `call`, but what the watch over matrix products says is passed on as it is."""
    try:
        return call(rollout, maps)
    except Wrong as wrong:
        raise wrong.__cause__ if isinstance(wrong.__cause__, Wrong) else wrong from None


rollout_row = Exercise(
    praise="L vectors instead of L matrices: memory and work are down by a factor of N.",
    judge=_judge_rollout_row,
)
