"""Right answers to every exercise, each written another way than the notebook's own solution."""

import math
import statistics
from fractions import Fraction

import numpy as np
import torch
from einops import rearrange, reduce, repeat
from torch.nn.functional import interpolate, one_hot, pad, scaled_dot_product_attention, unfold

from vivit_lab.models import ViViTConfig, build_model, dot_product_attention
from vivit_lab.models.layers import Block

# ---- 01


def _crops(h, w, s):
    rest = np.array([h - s, w - s])
    along = rest.argmax()
    return [
        [int(rest[i] * k / 2) if i == along else int(rest[i]) // 2 for i in (0, 1)]
        for k in range(3)
    ]


def _square_as_portrait(h, w, s):
    if h >= w:
        return [(0, (w - s) // 2), ((h - s) // 2, (w - s) // 2), (h - s, (w - s) // 2)]
    return [((h - s) // 2, x) for x in (0, (w - s) // 2, w - s)]


def _even(n, t):
    stride = 1
    while (stride + 1) * (t - 1) < n:
        stride += 1
    left = n - 1 - stride * (t - 1)
    return range(left // 2, n, stride)[:t]


def _shown(times, seconds):
    found = []
    for second in seconds:
        number = 0
        while number + 1 < len(times) and times[number + 1] <= second:
            number += 1
        found.append(number)
    return found


clip_sampling = {
    "clip_seconds": (
        lambda t, s, fps: np.float32(t * s / fps),
        lambda t, s, fps: sum(s / fps for _ in range(t)),
        lambda t, s, fps: Fraction(t * s) / Fraction(fps),
    ),
    "even_clip": (
        _even,
        lambda n, t: np.arange(t) * ((n - 1) // (t - 1)) + (n - 1) % (t - 1) // 2,
        lambda n, t: torch.arange(n)[(n - 1) % (t - 1) // 2 :: (n - 1) // (t - 1)][:t],
    ),
    "portrait_crops": (_crops, _square_as_portrait, lambda *s: np.array(_crops(*s))),
    "view_starts": (
        lambda n, c, s: torch.arange(c) * max(0, n - s) // (c - 1),
        lambda n, c, s: np.linspace(0, max(n - s, 0), c).astype(int).tolist(),
        lambda n, c, s: [int(Fraction(max(0, n - s), c - 1) * k) for k in range(c)],
    ),
    "on_show": (
        _shown,
        lambda times, seconds: [sum(t <= s for t in times) - 1 for s in seconds],
        lambda times, seconds: np.searchsorted(times, seconds, side="right") - 1,
    ),
}

# ---- 02


def _unfolded(clip, weight, bias):
    (d, c, t, h, w), (b, frames, _, height, width) = weight.shape, clip.shape
    boxes = clip.transpose(1, 2).reshape(b * c, frames, height, width).flatten(0, 1)[:, None]
    boxes = unfold(boxes, (h, w), stride=(h, w))  # (b c frames, h w, places)
    boxes = rearrange(boxes, "(b c nt t) v s -> b (nt s) (c t v)", b=b, c=c, t=t)
    return boxes @ weight.reshape(d, -1).T + bias


def _cut_out(clip, weight, bias):
    _, _, t, h, w = weight.shape
    (_, frames, _, height, width), tokens = clip.shape, []
    for f in range(0, frames, t):
        for y in range(0, height, h):
            for x in range(0, width, w):
                box = clip[:, f : f + t, :, y : y + h, x : x + w]  # (B, t, C, h, w)
                tokens.append(torch.einsum("btchw,dcthw->bd", box, weight) + bias)
    return torch.stack(tokens, dim=1)


def _half_up(frames, n):
    return [math.floor(k * frames / (n + 1) + 0.5) for k in range(1, n + 1)]


def _counted(frames, size, tubelet):
    return ViViTConfig(frames=frames, image_size=size, tubelet=tubelet).tokens


tokenisation = {
    "token_count": (
        lambda f, s, t: int(f / t[0] * (s / t[1]) * (s / t[2])),
        lambda f, s, t: np.prod(np.array([f, s, s]) // np.array(t)),
        _counted,
    ),
    "tubelet_embedding": (
        _unfolded,
        _cut_out,
        lambda x, w, b: _unfolded(x.double(), w.double(), b.double()),
    ),
    "uniform_frames": (
        _half_up,
        lambda t, n: np.linspace(0, t, n + 2)[1:-1].round().astype(int),
        lambda t, n: [round(Fraction(k * t, n + 1)) for k in range(1, n + 1)],
    ),
    "mended_order": (
        lambda x, g: x.unflatten(1, (g[1], g[2], g[0])).permute(0, 3, 1, 2, 4).flatten(1, 3),
        lambda x, g: torch.cat([x[:, step :: g[0]] for step in range(g[0])], dim=1),
        lambda x, g: x[:, torch.arange(x.shape[1]).view(-1, g[0]).T.flatten()].float(),
    ),
}

# ---- 03


def _in_place(block, x):
    x += block.attn(block.norm1(x))[0]
    x += rearrange(
        block.attn_time(rearrange(block.norm_time(x), "b t s d -> b s t d"))[0],
        "b s t d -> b t s d",
    )
    x += block.mlp(block.norm2(x))
    return x


def _each_alone(block, x):
    """A frame at a time over space, a place at a time over time."""
    frames = [block.attn(block.norm1(x[:, i]))[0] for i in range(x.shape[1])]
    x = x + torch.stack(frames, dim=1)
    places = [block.attn_time(block.norm_time(x[:, :, i]))[0] for i in range(x.shape[2])]
    x = x + torch.stack(places, dim=2)
    return block.mlp(block.norm2(x)) + x


def _by_names(block, x):
    for name, norm, turn in (("attn", "norm1", (1, 1)), ("attn_time", "norm_time", (1, 2))):
        y, _ = getattr(block, name)(getattr(block, norm)(x).transpose(*turn))
        x = y.transpose(*turn) + x
    return torch.add(x, block.mlp(block.norm2(x)))


def _einsum_heads(q, k, v):
    h, d = q.shape[2] // 2, q.shape[-1]
    time = torch.einsum("bihsd,bjhsd->bshij", q[:, :, :h], k[:, :, :h]) / d**0.5
    space = torch.einsum("bthid,bthjd->bthij", q[:, :, h:], k[:, :, h:]) / d**0.5
    y_t = torch.einsum("bshij,bjhsd->bishd", time.softmax(-1), v[:, :, :h])
    y_s = torch.einsum("bthij,bthjd->btihd", space.softmax(-1), v[:, :, h:])
    return torch.cat([y_t.flatten(-2), y_s.flatten(-2)], dim=-1)


def _fused_heads(q, k, v):
    (q_t, q_s), (k_t, k_s), (v_t, v_s) = (x.chunk(2, dim=2) for x in (q, k, v))
    turned = (x.transpose(1, 3) for x in (q_t, k_t, v_t))
    y_t = scaled_dot_product_attention(*turned).transpose(1, 3)
    y_s = scaled_dot_product_attention(q_s, k_s, v_s)
    return torch.cat([y_t, y_s], dim=2).transpose(2, 3).flatten(-2)


def _head_by_head(q, k, v):
    heads = []
    for i in range(q.shape[2]):
        parts = [x[:, :, i] for x in (q, k, v)]  # (b, t, s, d)
        if i < q.shape[2] // 2:
            parts = [x.transpose(1, 2) for x in parts]
        y = dot_product_attention(*parts)[0]
        heads.append(y.transpose(1, 2) if i < q.shape[2] // 2 else y)
    return torch.cat(heads, dim=-1)


def _by_gradient(model, clips):
    """Whether a clip's answer has a gradient to another clip; asked twice, for what is kept."""
    clips = clips.clone().requires_grad_()
    answer = model(clips)
    others = ~torch.eye(len(clips), dtype=torch.bool)
    gradients = (
        torch.autograd.grad(row.square().sum(), clips, retain_graph=True) for row in answer
    )
    reach = torch.stack([gradient.abs().amax((1, 2, 3, 4)) for (gradient,) in gradients])
    found = (reach[others] > 1e-12).any()
    return bool(found or (model(clips) - answer).abs().max() > 1e-5)


def _by_numpy(model, clips):
    alone = torch.cat([model(clip[None]) for clip in clips])
    return (abs(model(clips) - alone).numpy() > 1e-5).any()


def _in_other_company(model, clips):
    """Each clip among others, shuffled and alone."""
    alone, turned = [model(clip[None])[0] for clip in clips], model(clips.flip(0)).flip(0)
    pairs = zip(alone, turned, model(clips), strict=True)
    return any((a - b).abs().max() > 1e-5 or (a - c).abs().max() > 1e-5 for a, b, c in pairs)


def _careful(mixes):
    """The same test, which refuses a model whose answers are all equal."""

    def test(model, clips):
        found = mixes(model, clips)
        if (model(clips).std(dim=0) < 1e-6).all():
            raise ValueError("The classifier is zero.")
        return found

    return test


four_models = {
    "model_3_block": (_in_place, _each_alone, _by_names),
    "half_heads": (_einsum_heads, _fused_heads, _head_by_head),
    "batch_independence": (
        _careful(_by_gradient),
        _careful(_by_numpy),
        _careful(lambda model, clips: bool(_in_other_company(model, clips))),
    ),
    "frame_tokens": (
        lambda x, b: x.view(b, -1, x.shape[-1]),
        lambda x, b: torch.stack(x.chunk(b)),
        lambda x, b: x.unflatten(0, (b, -1)),
    ),
}

# ---- 04


def _flipped(maps):
    row = torch.nn.functional.one_hot(torch.tensor(0), len(maps[0])).float()
    for a in torch.stack(maps).flip(0):
        row = (row + row @ a) / 2
    return row


def _halved_before(maps):
    """With A + I made first, which is as large as A."""
    row = torch.eye(len(maps[0]))[:1]
    for a in maps[::-1]:
        row = torch.matmul(row, 0.5 * a + 0.5 * torch.eye(len(a)))
    return row[0]


def _in_numpy(maps):
    row = np.eye(len(maps[0]))[0]
    for a in reversed([each.numpy() for each in maps]):
        row = 0.5 * row + 0.5 * np.einsum("i,ij->j", row, a)
    return row


def _features(x, pooling):
    return x[..., 0, :] if pooling == "cls" else x.mean(dim=-2)


def _block_by_block(left, norm, classifier, pooling):
    rows = []
    for tokens in left:
        logits = classifier(norm(tokens))  # of every token; the mean may as well come last
        rows.append(logits[0] if pooling == "cls" else logits.mean(dim=0))
    return rows


def _by_hand(left, norm, classifier, pooling):
    x = torch.stack(left)
    x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + norm.eps).sqrt()
    x = _features(x * norm.weight + norm.bias, pooling)
    return (x @ classifier.weight.T + classifier.bias).numpy()


attention = {
    "map_bytes": (
        lambda n, h, d: 4.0 * d * h * (n + 1) ** 2,
        lambda n, h, d: np.int64(d) * h * (n * n + 2 * n + 1) * 4,
        lambda n, h, d: sum(4 * h * (n + 1) * (n + 1) for _ in range(d)),
    ),
    "mended_map": (
        lambda a, g: a[:, 0, 1:].mean(dim=0).view(g),
        lambda a, g: reduce(a[:, 0, 1:], "n (t h w) -> t h w", "mean", h=g[1], w=g[2]),
        lambda a, g: a.double().sum(0)[0, 1:].reshape(*g) / len(a),
    ),
    "rollout_row": (_flipped, _halved_before, _in_numpy),
    "lens_rows": (
        lambda left, norm, classifier, how: classifier(_features(norm(torch.stack(left)), how)),
        _block_by_block,
        _by_hand,
    ),
}

# ---- 05

_T = {1: (1, 0), 2: (1, 0), 3: (1, 1), 4: (0.5, 0.5)}


def _by_sequences(model, t, s, d):
    """Sequences times length squared times width, twice."""
    cls = model < 3
    if model == 1:
        return 2 * (t * s + cls) ** 2 * d
    space, time = _T[model]
    return 2 * d * (space * t * (s + cls) ** 2 + time * s * t**2)


flops = {
    "linear_cost": (
        lambda n, i, o: [n * i * o, 2 * n * i * o],
        lambda n, i, o: np.array([1, 2]) * n * i * o,
        lambda n, i, o: (float(n * i * o), n * i * (o + o)),
    ),
    "attention_macs": (
        _by_sequences,
        lambda *given: float(_by_sequences(*given)),
        lambda *given: np.int64(_by_sequences(*given)),
    ),
    "attention_overtakes_mlp": (
        lambda d, mlp: next(n for n in range(mlp, 9 * mlp) if 2 * n * n * d > 2 * n * d * mlp),
        lambda d, mlp: mlp + 1.0,
        lambda d, mlp: np.int32(mlp) + 1,
    ),
    "model_1_overtakes": (24.0, np.int64(24), torch.tensor(24)),
}

# ---- 06


def _around(kernel, t):
    return pad(kernel[:, :, None], (0, 0, 0, 0, t // 2, t - 1 - t // 2))


def _chosen(kernel, t):
    one = (torch.arange(t) == t // 2).to(kernel)
    return torch.einsum("dchw,t->dcthw", kernel, one)


def _copied(kernel, t):
    inflated = kernel.unsqueeze(2).expand(-1, -1, t, -1, -1).clone()
    inflated[:, :, [i for i in range(t) if i != t // 2]] = 0
    return inflated


def _by_einops(table, grid, new_grid):
    picture = rearrange(table[0, 1:], "(h w) d -> 1 d h w", h=grid[0])
    picture = interpolate(picture, size=new_grid, mode="bilinear", align_corners=True)
    return torch.cat([table[0, :1], rearrange(picture, "1 d h w -> (h w) d")])[None]


def _by_axes(table, grid, new_grid):
    """First along the rows, then along the columns."""
    found = table[:, 1:].unflatten(1, grid)  # (1, h, w, D)
    for axis, count in ((1, new_grid[0]), (2, new_grid[1])):
        lines = found.movedim(axis, -1)
        shape = lines.shape[:-1]
        lines = interpolate(lines.flatten(0, -2)[None], count, mode="linear", align_corners=True)
        found = lines[0].unflatten(0, shape).movedim(-1, axis)
    return torch.cat([table[:, :1], found.flatten(1, 2)], dim=1)


inflation = {
    "central_frame": (_around, _chosen, _copied),
    "resized_positions": (
        _by_einops,
        _by_axes,
        lambda table, *grids: _by_einops(table.double(), *grids),
    ),
    "repeated_positions": (
        lambda x, t: torch.cat([x[:, :1], *[x[:, 1:]] * t], dim=1),
        lambda x, t: torch.cat([x[:, :1], repeat(x[:, 1:], "b s d -> b (t s) d", t=t)], dim=1),
        lambda x, t: np.concatenate([x[:, :1], np.tile(x[:, 1:], (1, t, 1))], axis=1),
    ),
}

# ---- 07


def _cosine(step, peak, warm, total):
    if step <= warm:
        return peak * min(1.0, step / warm)
    return peak * math.cos(0.5 * math.pi * (step - warm) / (total - warm)) ** 2


def _one_hot(own, partner, share, smoothing, classes):
    labels = one_hot(torch.tensor([own, partner]), classes).float()
    hard = share * labels[0] + (1 - share) * labels[1]
    return (hard * (1 - smoothing) + smoothing / classes).tolist()


def _by_rows(own, partner, share, smoothing, classes):
    eye = np.eye(classes)
    return (1 - smoothing) * (eye[own] * share + eye[partner] * (1 - share)) + smoothing / classes


def _counted_up(own, partner, share, smoothing, classes):
    found = []
    for label in range(classes):
        hard = share * (label == own) + (1 - share) * (label == partner)
        found.append(hard + smoothing * (1 / classes - hard))
    return found


def _drop_by_where(x, branch, block, depth, rate, kept):
    if kept is None:
        return x + branch
    chance = 1 - rate * block / (depth - 1)
    return torch.where(kept.view(-1, 1, 1), x + branch / chance, x)


def _drop_clip_by_clip(x, branch, block, depth, rate, kept):
    chance, found = 1 - np.linspace(0, rate, depth)[block], []
    for i in range(len(x)):
        if kept is None:
            found.append(x[i] + branch[i])
        else:
            found.append(x[i] + branch[i] / chance if kept[i] else x[i])
    return torch.stack(found)


def _drop_in_place(x, branch, block, depth, rate, kept):
    if kept is not None:
        branch /= 1 - block * rate / (depth - 1)
        branch[~kept] = 0
    x += branch
    return x


fine_tuning = {
    "target": (_one_hot, _by_rows, _counted_up),
    "drop_branch": (_drop_by_where, _drop_clip_by_clip, _drop_in_place),
    "scaled_lr": (
        lambda lr, batch, n, clips, k: lr / batch * n * clips * k,
        lambda lr, batch, n, clips, k: np.float64(lr) * math.prod((n, clips, k)) / batch,
        lambda lr, batch, n, clips, k: torch.tensor(lr).double() * n * clips * k / batch,
    ),
    "schedule": (
        _cosine,
        lambda *given: np.float64(_cosine(*given)),
        lambda *given: torch.tensor(_cosine(*given), dtype=torch.float64),
    ),
    "diagnosis": (
        {
            "F": "classes in another order", "E": "learning rate too low", "D": "too few clips",
            "C": "learning rate too high", "B": "nothing", "A": "labels shuffled",
        },
    ),
}  # fmt: skip

# ---- 08


def _by_loops(logits, average):
    found = []
    for video in logits:
        rows = (
            torch.as_tensor(video).softmax(-1) if average == "softmax" else torch.as_tensor(video)
        )
        found.append(rows.mean(dim=0).numpy())
    return np.stack(found)


def _logsumexp(logits, average):
    if average == "softmax":
        most = logits.max(-1, keepdims=True)
        logits = np.exp(logits - most - np.log(np.exp(logits - most).sum(-1, keepdims=True)))
    return logits.sum(1) / logits.shape[1]


def _by_sorting(verb, noun, verb_labels, noun_labels, k):
    hits = []
    for v, n, a, b in zip(verb, noun, verb_labels, noun_labels, strict=True):
        best = np.outer(v, n).ravel().argsort()[::-1][:k]
        hits.append(a * len(n) + b in best)
    return statistics.fmean(hits)


def _by_topk(verb, noun, verb_labels, noun_labels, k):
    pairs = torch.einsum("iv,in->ivn", torch.as_tensor(verb), torch.as_tensor(noun)).flatten(1)
    labels = torch.as_tensor(verb_labels * noun.shape[1] + noun_labels)
    return (pairs.topk(k).indices == labels[:, None]).any(dim=1).double().mean()


evaluation = {
    "average_views": (
        _by_loops,
        _logsumexp,
        lambda logits, average: torch.as_tensor(_logsumexp(logits, average)),
    ),
    "action_accuracy": (
        _by_sorting,
        _by_topk,
        lambda v, n, a, b, k: np.mean(
            [
                (np.outer(x, y) > x[i] * y[j]).sum() < k
                for x, y, i, j in zip(v, n, a, b, strict=True)
            ]
        ),
    ),
    "videos_needed": (
        lambda p, half: np.float32(p * (1 - p) * (1.96 / half) ** 2),
        lambda p, half: math.ceil(3.8416 * (p - p * p) / half**2),
        lambda p, half: (1.96 * math.sqrt(p * (1 - p)) / half) ** 2,
    ),
}

# ---- 09


def _prices(points, cost):
    found = []
    for step in range(1, len(points)):
        gain = points[step] - points[step - 1]
        found.append((cost[step] - cost[step - 1]) / gain if gain > 0 else None)
    return found


def _fields(part, start=""):
    if not isinstance(part, dict):
        return {start: part}
    found = {}
    for key, value in part.items():
        found |= _fields(value, f"{start}.{key}" if start else key)
    return found


ablations = {
    "better": (
        lambda a, b: "a" if min(a) > max(b) else "b" if min(b) > max(a) else "open",
        lambda a, b: {(True, False): "a", (False, True): "b"}.get(
            (all(x > y for x in a for y in b), all(y > x for x in a for y in b)), "open"
        ),
        lambda a, b: ["open", "a", "b"][
            (sorted(a)[0] > sorted(b)[-1]) - (sorted(b)[0] > sorted(a)[-1])
        ],
    ),
    "by_luck": (
        lambda n: Fraction(2, math.comb(2 * n, n)),
        lambda n: 2 * math.factorial(n) ** 2 / math.factorial(2 * n),
        lambda n: np.float64(2) / math.comb(2 * n, n),
    ),
    "price": (
        _prices,
        lambda points, cost: tuple(_prices(points, cost)),
        lambda points, cost: [each and np.float64(each) for each in _prices(points, cost)],
    ),
    "differs": (
        lambda a, b: {key for key in _fields(a) if _fields(a)[key] != _fields(b)[key]},
        lambda a, b: frozenset(dict(_fields(a).items() ^ _fields(b).items())),
        lambda a, b: {key for key, _ in set(_fields(a).items()) - set(_fields(b).items())},
    ),
}

# ---- 10


def _batch_first(attention, x):
    attention.batch_first = True
    return attention(x, x, x)[0]


def _clip_by_clip(attention, x):
    return torch.stack([attention(y, y, y)[0][:, 0] for y in (clip[:, None] for clip in x)])


def _with_generator(mlp, x):
    y = mlp.fc(x)
    if not mlp.training:
        return y
    return y * (torch.rand_like(y) >= mlp.rate) / (1 - mlp.rate)


def _by_swapping(model, clips):
    """Whether a clip's features change with the order of the batch, or its size."""
    features = [model.encode(x, False)[0] for x in (clips, clips.flip(0), clips[:1])]
    return bool(
        (features[0] - features[1].flip(0)).abs().max() > 1e-5
        or (features[0][:1] - features[2]).abs().max() > 1e-5
    )


bug_zoo = {
    "attention_over_the_batch": (
        _batch_first,
        _clip_by_clip,
        lambda attention, x: rearrange(
            attention(*[rearrange(x, "b n d -> n b d")] * 3)[0], "n b d -> b n d"
        ),
    ),
    "positions_in_order": (
        lambda x, s, t: (x.view(-1, *t.shape[:1], *s.shape) + s + t[:, None, None]).flatten(1, 3),
        lambda x, s, t: x + s.flatten(0, 1).repeat(len(t), 1) + t.repeat_interleave(6, dim=0),
        lambda x, s, t: x + torch.stack([s + step for step in t]).flatten(0, 2),
    ),
    "dropout_in_eval": (
        _with_generator,
        lambda mlp, x: torch.nn.Dropout(mlp.rate).train(mlp.training)(mlp.fc(x)),
        lambda mlp, x: torch.dropout(mlp.fc(x), mlp.rate, mlp.training),
    ),
    "pixel_range": (
        lambda clip: clip / 127.5 - 1,
        lambda clip: (clip.double() - 127.5) / 127.5,
        lambda clip: clip.numpy().astype(np.float32) / 255 * 2 - 1,
    ),
    "labels_in_order": (
        lambda train, videos: list(map(sorted(train).index, videos)),
        lambda train, videos: np.searchsorted(sorted(train), videos),
        lambda train, videos: [sum(other < name for other in train) for name in videos],
    ),
    "mirrored_labels": (
        lambda clip, label, partner: [clip.flip(3), partner.get(label, label)],
        lambda clip, label, partner: (
            clip[..., torch.arange(5, -1, -1)],
            ({label: label} | partner)[label],
        ),
        lambda clip, label, partner: (
            torch.fliplr(clip.flatten(0, 2)).view(clip.shape),
            dict(partner).setdefault(label, label),
        ),
    ),
    "module_is_called": (
        lambda layer, x: layer.proj(x),
        lambda layer, x: layer.get_submodule("proj")(x),
        lambda layer, x: torch.stack([layer.proj(row) for row in x]),
    ),
    "leak_behind_zeros": (
        _by_swapping,
        lambda m, c: not torch.allclose(
            m.encode(c, False)[0],
            torch.cat([m.encode(each[None], False)[0] for each in c]),
            atol=1e-5,
        ),
        lambda m, c: any(
            (m.encode(c, False)[0][i] - m.encode(each[None], False)[0][0]).abs().max().item() > 1e-5
            for i, each in enumerate(c)
        ),
    ),
}  # fmt: skip

# ---- 11


def _by_conv(clip, p, tubelet):
    weight, bias = p["patch_embed.proj.weight"], p["patch_embed.proj.bias"]
    return torch.conv3d(clip.transpose(1, 2), weight, bias, tubelet).flatten(3).permute(0, 2, 3, 1)


def _by_module(x, p, name, heads):
    layer = build_block(heads)
    layer.load_state_dict({key: p[f"{name}.{key}"] for key in layer.state_dict()})
    return layer(x)[0]


def build_block(heads):
    return Block(ViViTConfig(dim=64, heads=heads, mlp_dim=256)).eval().requires_grad_(False)


def _loaded(clip, p, config):
    model = build_model(config).eval().requires_grad_(False)
    model.load_state_dict(p)
    return model(clip)


def _stateless(clip, p, config):
    return torch.func.functional_call(build_model(config).eval(), p, (clip,))


def _one_by_one(clip, p, config):
    return torch.cat([_loaded(each[None], p, config) for each in clip])


your_vivit = {
    "embedding": (
        _by_conv,
        lambda clip, p, tubelet: _by_conv(clip.flip(0), p, tubelet).flip(0).double(),
        lambda clip, p, tubelet: torch.stack([_by_conv(x[None], p, tubelet)[0] for x in clip]),
    ),
    "block": (
        _by_module,
        lambda x, p, name, heads: torch.stack([_by_module(each, p, name, heads) for each in x]),
        lambda x, *rest: _by_module(x.flip(-2), *rest).flip(-2),
    ),
} | {f"model_{k}": (_loaded, _stateless, _one_by_one) for k in (1, 2, 3, 4)}  # fmt: skip
