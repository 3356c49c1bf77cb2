"""Notebook 04: the checks of its exercises, and the mistakes that they name."""

import torch
from einops import rearrange
from torch import Tensor, nn
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
            "this leaves the class token out. It has a query and a key like any other token: a map "
            "has (tokens + 1)² weights.": 4 * depth * heads * tokens**2,
            "this is for one head. Every head has a map of its own.": right // heads,
            "this is for one block. Every block has its own maps.": right // depth,
            "this grows with the tokens. Every token has a weight for every token, so it must grow "
            "with their square.": 4 * depth * heads * (tokens + 1),
            "one side lacks the class token. It is a query, and it is a key: (tokens + 1)² "
            "weights.": 4 * depth * heads * tokens * (tokens + 1),
        }
        expect(answer, right, f"{tokens} tokens, {heads} heads, {depth} blocks", mistakes)


@exercise("Rows are queries, column 0 is the class token, and time is the slowest axis.")
def mended_map(mend) -> None:
    grid = t, h, w = 2, 3, 5
    weights = drawn(4, 31, 31).mul(2).softmax(dim=-1)
    answer = call(mend, weights, grid)
    every_head = {"You have a map for every head; the answer is their mean.": (4, *grid)}
    answer = expect_tensor(answer, grid, "the grid (t, h, w).", every_head)
    mean = weights.mean(dim=0)

    def arranged(row: Tensor, pattern: str = "(t h w) -> t h w") -> Tensor:
        return rearrange(row, pattern, t=t, h=h, w=w)

    mistakes = {
        "This is still the scrambled map. It reads the row as (h w t), as if time were the "
        "fastest axis. The pattern must give the order of the tokens.": arranged(
            mean[0, 1:], "(h w t) -> t h w"
        ),
        "Rows and columns are swapped. The order is (t h w).": arranged(
            mean[0, 1:], "(t w h) -> t h w"
        ),
        "You dropped the last patch. Drop the class token instead: it is column 0. If it stays, "
        "every patch is one place too late.": arranged(mean[0, :-1]),
        "You divided by the sum, so that the map sums to 1. Leave the weights as they are: the "
        "class token has its share, too.": arranged(mean[0, 1:] / mean[0, 1:].sum()),
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
                "The answer may be right, but you multiply two N x N matrices on the way. One row "
                "is enough: start with a row vector and multiply it by one map at a time."
            )
        return result


def _rolled(maps: list[Tensor], residual: float = 0.5, attention: float = 0.5) -> Tensor:
    row = torch.eye(len(maps[0]))[0]
    for weights in reversed(maps):
        row = residual * row + attention * row @ weights
    return row


@exercise("A row is multiplied L times, and no two matrices: N times less work.")
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
        "You multiply the attentions alone. Half of every block is its residual, which leaves each "
        "token as it is: 0.5 A + 0.5 I.": _rolled(maps, residual=0, attention=1),
        f"The weights sum to {answer.sum():.0f}, not to 1: A + I has rows that sum to 2. Take half "
        "of each.": _rolled(maps, residual=1, attention=1),
        "You go from the first block to the last. The row starts at the output, so the last block "
        "comes first.": _rolled(maps[::-1]),
        "You multiply from the wrong side. A @ v says what every token takes from the class token; "
        "row @ A says what the class token takes.": _rolled(turned),
        "That is column 0 of the whole product; the answer is row 0.": _rolled(turned[::-1]),
        "That is the last block alone. Use the other blocks, too.": _rolled(maps[-1:]),
    }
    otherwise = (
        f"The weights sum to {answer.sum():.3f}, and they are not those of the rollout. Compute "
        "one block by hand: 0.5 times the row that you have, plus 0.5 times row @ A."
    )
    expect(answer, _rolled(maps), "", mistakes, otherwise)


@exercise("The last row is the model's answer. The other rows are the lens.")
def lens_rows(lens) -> None:
    tokens, norm, classifier = drawn(3, 7, 6), nn.LayerNorm(6), nn.Linear(6, 4)
    with torch.no_grad():
        for seed, each in enumerate((*norm.parameters(), *classifier.parameters())):
            each.copy_(drawn(*each.shape, seed=seed + 1))
        normed = norm(tokens)
        for pooling in ("cls", "mean"):
            answer = call(lens, [*tokens.clone()], norm, classifier, pooling)
            shapes = {
                "You have one row; there must be a row for each block.": (4,),
                "You have logits for every token. Pool the tokens first.": (3, 7, 4),
            }
            answer = expect_tensor(answer, (3, 4), "3 blocks, 4 classes.", shapes)
            first, mean = normed[:, 0], normed.mean(dim=1)
            pooled, other = (first, mean) if pooling == "cls" else (mean, first)
            features = {
                "you left out the norm. The classifier was trained on tokens after it.": (
                    tokens[:, 0] if pooling == "cls" else tokens.mean(dim=1)
                ),
                "you took the mean first. The norm comes before it.": norm(tokens.mean(dim=1)),
                "you pooled the other way. 'cls' is token 0, 'mean' is the mean of all.": other,
                "that is the last token. The class token is token 0.": normed[:, -1],
                "that is token 1. The class token is token 0.": normed[:, 1],
                "every row is the last block's. Row i is of outputs[i].": pooled[-1:].expand(3, -1),
                "the blocks are in reverse order. The first row is block 0.": pooled.flip(0),
            }
            if pooling == "mean":
                words = "you left token 0 out. With 'mean' there is no class token."
                features[words] = normed[:, 1:].mean(dim=1)
            mistakes = {words: classifier(wrong) for words, wrong in features.items()}
            right = classifier(pooled)
            mistakes["these are probabilities. Return the logits."] = right.softmax(dim=-1)
            expect(answer, right, f"pooling {pooling!r}", mistakes)
