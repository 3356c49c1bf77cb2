"""Wrong answers to the exercises of bug_zoo, by words of the message that they get."""

import torch
import torch.nn.functional as F
from einops import rearrange


def _positions(pattern):
    return lambda x, s, t: x + rearrange(s + t[:, None, None], pattern)


def _alone(model, clips):
    return torch.cat([model(clip[None]) for clip in clips])


def _differ(a, b):
    return not torch.allclose(a, b, atol=1e-5)


def _features(model, clips):
    return model.encode(clips, False)[0]


attention_over_the_batch = {
    "Nothing has changed": lambda attention, x: attention(x, x, x)[0],
    "looks at itself alone": lambda attention, x: torch.cat(
        [attention(*[x[i : i + 1]] * 3)[0] for i in range(3)]
    ),
    "still (N, B, D)": lambda attention, x: attention(*[x.transpose(0, 1)] * 3)[0].reshape(3, 5, 8),
    "(B, N, D), as x": lambda attention, x: attention(*[x.transpose(0, 1)] * 3)[0],
    "all tokens of all clips": lambda attention, x: attention(*[x.reshape(-1, 1, 8)] * 3)[0].view(
        x.shape
    ),
    "tokens of other clips come in": lambda attention, x: attention(*[x.reshape(5, 3, 8)] * 3)[
        0
    ].reshape(3, 5, 8),
    "after the attention only": lambda attention, x: attention(*[x.reshape(5, 3, 8)] * 3)[
        0
    ].transpose(0, 1),
    "the numbers are not": lambda attention, x: x,
}


positions_in_order = {
    "still in the order (h w t)": _positions("t h w d -> (h w t) d"),
    "Rows and columns are exchanged": _positions("t h w d -> (t w h) d"),
    "positions in time are missing": lambda x, s, t: x + s.flatten(0, 1).repeat(len(t), 1),
    "positions in space are missing": lambda x, s, t: x + t.repeat_interleave(6, dim=0),
    "Time is right": lambda x, s, t: (
        x + t.repeat_interleave(6, dim=0) + s.flatten(0, 1).repeat_interleave(4, dim=0)
    ),
    "Space is right": lambda x, s, t: x + s.flatten(0, 1).repeat(4, 1) + t.repeat(6, 1),
    "(B, t · h · w, D)": lambda x, s, t: x[:, :3],
    "x itself has changed": lambda x, s, t: x.add_((s + t[:, None, None]).flatten(0, 2)),
}


dropout_in_eval = {
    "Two calls give two answers": lambda mlp, x: F.dropout(mlp.fc(x), mlp.rate),
    "no number becomes 0": lambda mlp, x: mlp.fc(x),
    "first mlp.fc, then dropout": lambda mlp, x: mlp.fc(F.dropout(x, mlp.rate, mlp.training)),
    "of the numbers become 0, but": lambda mlp, x: F.dropout(mlp.fc(x), 0.5, mlp.training),
    "the wrong way round": lambda mlp, x: F.dropout(mlp.fc(x), mlp.rate, not mlp.training),
    "must grow by": lambda mlp, x: (
        mlp.fc(x) * ((torch.rand(6, 64) > mlp.rate) if mlp.training else 1)
    ),
    "the numbers are not": lambda mlp, x: F.dropout(2 * mlp.fc(x), mlp.rate, mlp.training),
}


pixel_range = {
    "This is [0, 1]": lambda clip: clip / 255,
    "This is [-0.5, 0.5]": lambda clip: clip / 255 - 0.5,
    "before you subtract": lambda clip: (clip - 127) / 128,
    "before you multiply": lambda clip: clip * 2 / 255 - 1,
    "This is [-1, 0]": lambda clip: clip / 255 - 1,
    "This is [0, 2]": lambda clip: clip / 127.5,
    "with 128 the brightest": lambda clip: clip / 128 - 1,
    "stretches each clip": lambda clip: (
        2 * ((clip.float() - clip.min()) / (clip.max() - clip.min()).float()) - 1
    ),
    "Black must be -1": lambda clip: (clip / 255 - 0.485) / 0.229,
}


labels_in_order = {
    "order in which this disk": lambda train, videos: [*map(train.index, videos)],
    "the order of the videos": lambda train, videos: [
        [*dict.fromkeys(videos)].index(name) for name in videos
    ],
    "numbered anew": lambda train, videos: [sorted(set(videos)).index(name) for name in videos],
    "begin at 1": lambda train, videos: [1 + sorted(train).index(name) for name in videos],
    "Use sorted": lambda train, videos: [sorted(train)[::-1].index(name) for name in videos],
    "which is not right": lambda train, videos: videos,
}


mirrored_labels = {
    "is not mirrored": lambda clip, label, partner: (clip, partner.get(label, label)),
    "Mirror every clip": lambda clip, label, partner: (
        (clip.flip(-1), partner[label]) if label in partner else (clip, label)
    ),
    "upside down": lambda clip, label, partner: (clip.flip(-2), partner.get(label, label)),
    "runs backwards": lambda clip, label, partner: (clip.flip(0), partner.get(label, label)),
    "class 5 and partner = {0: 1, 1: 0, 4: 5, 5: 4} you have": lambda clip, label, partner: (
        clip.flip(-1),
        1 - label,
    ),
    "the label is the old one": lambda clip, label, partner: (clip.flip(-1), label),
    "this class has no mirror image": lambda clip, label, partner: (
        clip.flip(-1),
        partner.get(label, 0),
    ),
    "two things": lambda clip, label, partner: clip.flip(-1),
    "class 2 has no mirror image": lambda clip, label, partner: (clip.flip(-1), partner[label]),
}


def _after_a_hook(layer, x):
    """It calls the layer, and then computes with its weights."""
    layer.proj(x)
    return F.linear(x, layer.proj.weight, layer.proj.bias)


module_is_called = {
    "You call its method forward": lambda layer, x: layer.proj.forward(x),
    "its weights are read": lambda layer, x: F.linear(x, layer.proj.weight, layer.proj.bias),
    "adapter in the place of layer.proj": _after_a_hook,
    "the numbers are not": lambda layer, x: 2 * layer.proj(x),
}


def _with_new_classifier(model, clips):
    model.head.weight.normal_()
    return _differ(model(clips), _alone(model, clips))


def _left_in_training(model, clips):
    model.train()
    return _differ(_features(model, clips), torch.cat([_features(model, c[None]) for c in clips]))


def _leaks(model, clips, tolerance):
    alone = torch.cat([_features(model, clip[None]) for clip in clips])
    return not torch.allclose(_features(model, clips), alone, atol=tolerance)


leak_behind_zeros = {
    "in training mode": _left_in_training,
    "if the classifier is zero, because": lambda m, c: _differ(m(c), _alone(m, c)),
    "only if the classifier is zero": lambda m, c: (
        bool((m(c) == 0).all()) and _differ(_features(m, c), _features(m, c.flip(0)).flip(0))
    ),
    "only one clip of the batch": lambda m, c: _differ(_features(m, c)[:1], _features(m, c[:1])),
    "changes the weights": _with_new_classifier,
    "the wrong way round": lambda m, c: not _leaks(m, c, 1e-5),
    "False for every model": lambda m, c: _leaks(m, c, 1),
    "for a sound model": lambda m, c: True,
    "True or False": lambda m, c: "yes",
}
