"""Notebook 04: the checks of its exercises, and the mistakes that they name."""

import torch
from einops import rearrange
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vivit_lab.lessons.checking import Wrong, call, drawn, exercise, expect, expect_tensor


@exercise("Twice the frames, about four times the memory. Queries and keys alone only double.")
def map_bytes(count) -> None:
    for tokens, heads, depth in ((10, 3, 5), (3136, 12, 12)):
        answer = call(count, tokens, heads, depth)
        right = 4 * depth * heads * (tokens + 1) ** 2
        mistakes = {
            "this counts the weights. Each takes 4 bytes as a float32.": right // 4,
            "each weight takes 2 bytes here, as in float16. These are float32.": right // 2,
            "this leaves the class token out, which asks and is asked like any other: a map has "
            "(tokens + 1)² weights.": 4 * depth * heads * tokens**2,
            "this is for one head. Every head has a map of its own.": right // heads,
            "this is for one block. All blocks are asked for.": right // depth,
            "this grows with the tokens. Every token has a weight for every token, so it must grow "
            "with their square.": 4 * depth * heads * (tokens + 1),
        }
        expect(answer, right, f"{tokens} tokens, {heads} heads, {depth} blocks", mistakes)


@exercise("Rows are queries, column 0 is the class token, time is slowest. Then no bars.")
def mended_map(mend) -> None:
    grid = t, h, w = 2, 3, 5
    weights = drawn(4, 31, 31).mul(2).softmax(dim=-1)
    answer = call(mend, weights, grid)
    every_head = {"You have a map for every head; this asks for their mean.": (4, *grid)}
    answer = expect_tensor(answer, grid, "the grid (t, h, w).", every_head)
    mean = weights.mean(dim=0)

    def arranged(row: Tensor, pattern: str = "(t h w) -> t h w") -> Tensor:
        return rearrange(row, pattern, t=t, h=h, w=w)

    mistakes = {
        "The bars are still there: this reads the row as (h w t), as if time were fastest. Say in "
        "the pattern what order the tokens have.": arranged(mean[0, 1:], "(h w t) -> t h w"),
        "Rows and columns are swapped: (t h w).": arranged(mean[0, 1:], "(t w h) -> t h w"),
        "You dropped the last patch. The class token stands first: its column is number 0, and "
        "with it left in every patch moves on by one.": arranged(mean[0, :-1]),
        "That is a column: how much each token takes from the class token. What the class token "
        "takes is a row.": arranged(mean[1:, 0]),
        "That is the first head alone; take the mean over heads.": arranged(weights[0, 0, 1:]),
    }
    otherwise = "The shape is right, the weights are not. Start from the class token's row."
    expect(answer, arranged(mean[0, 1:]), "", mistakes, otherwise)


class _NoMatrixProduct(TorchDispatchMode):
    """Raises Wrong when a product of tensors makes a result with as many numbers as a map."""

    def __init__(self, tokens: int):
        super().__init__()
        self.tokens = tokens

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        result = function(*arguments, **(named or {}))
        sizes = [x.numel() for x in tree_leaves(result) if isinstance(x, Tensor)]
        is_product = any(part in str(function) for part in ("mm", "matmul", "mv", "dot"))
        most = self.tokens ** (2 if is_product else 3)  # a product may be made of * and sum
        if max(sizes, default=0) >= most:
            raise Wrong(
                "The answer may be right, but on the way you multiply two N x N matrices. Only one "
                "row is asked for: start with a row vector and multiply it by one map at a time."
            )
        return result


def _rolled(maps: list[Tensor], residual: float = 0.5, attention: float = 0.5) -> Tensor:
    row = torch.eye(len(maps[0]))[0]
    for weights in reversed(maps):
        row = residual * row + attention * row @ weights
    return row


@exercise("L vectors instead of L matrices: memory and work are down by a factor of N.")
def rollout_row(rollout) -> None:
    maps = [drawn(9, 9, seed=seed).mul(2).softmax(dim=-1) for seed in range(4)]
    given = [weights.clone() for weights in maps]
    with _NoMatrixProduct(9):
        answer = call(rollout, given)
    if not all(torch.equal(a, b) for a, b in zip(maps, given, strict=True)):
        raise Wrong("The maps that you were given have changed. Leave them as they are.")
    answer = expect_tensor(answer, (9,), "one row has 9 weights.")
    turned = [weights.T for weights in maps]
    mistakes = {
        "You multiply the attentions alone. Half of every block is its residual, which hands each "
        "token on as it is: 0.5 A + 0.5 I.": _rolled(maps, residual=0, attention=1),
        f"The weights sum to {answer.sum():.0f}, not to 1: A + I has rows that sum to 2. Take half "
        "of each.": _rolled(maps, residual=1, attention=1),
        "You go from the first block to the last. The row starts at the output, so the last block "
        "comes first.": _rolled(maps[::-1]),
        "You multiply from the wrong side: A @ v asks who takes from the class token. With row @ A "
        "the class token takes.": _rolled(turned),
        "That is column 0 of the whole product; this asks for row 0.": _rolled(turned[::-1]),
        "That is the last block alone. Go on through the others.": _rolled(maps[-1:]),
    }
    otherwise = (
        f"The weights sum to {answer.sum():.3f}, and they are not those of the rollout. Try one "
        "block by hand: 0.5 times the row you have, plus 0.5 times row @ A."
    )
    expect(answer, _rolled(maps), "", mistakes, otherwise)
