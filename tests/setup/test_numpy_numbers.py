"""numpy's numbers wherever a number is asked for: the result is that of Python's, in files too."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch

from vivit_lab import ViViTConfig, analysis, build_model, data, models, training, video, weights
from vivit_lab.data.long_videos import LongVideos
from vivit_lab.data.shards import ShardDataset, write_shards

CONFIG = ViViTConfig(
    frames=4, image_size=16, tubelet=(2, 8, 8), dim=16, heads=2, depth=1, mlp_dim=16, num_classes=8
)
TIMES = np.arange(60) / 30
CLIP = torch.arange(4 * 3 * 24 * 32).reshape(4, 3, 24, 32).to(torch.uint8)


def model():
    torch.manual_seed(0)
    return build_model(CONFIG)


def loaded(i, r, folder):
    loader = data.ClipLoader(
        data.ArrowOfTime(i(8), i(4), i(16), i(3)), batch_size=i(4), workers=i(0), shuffle=True,
        seed=i(1), rank=i(0), world_size=i(2), prefetch=i(3), timeout=r(5),
    )  # fmt: skip
    loader.set_epoch(i(2))
    batches = [(batch.labels.tolist(), batch.clips.sum().item()) for batch in loader]
    return batches, loader.epoch, loader.state_dict(), len(loader)


def catalog(i, r):
    label = {"verb": i(0), "noun": i(1)}
    segments = [data.Segment(data.sample("counter"), label, start=r(0.5), end=r(4), line=i(3))]
    return data.Catalog(segments, {"verb": ["a"], "noun": ["b", "c"]}, source="here")


def written(i, r, folder):
    """A catalogue, shards of it and clips of ours, as files; and what their readers draw."""
    report = write_shards(catalog(i, r), folder / "shards", i(5), i(9), seed=i(3))
    how = video.ByFrame(i(2), i(2)), video.TrainTransform(i(16), i(20), i(24))
    shards = ShardDataset(folder / "shards", *how, seed=i(3), max_bad=i(1), buffer=i(2))
    shards.set_epoch(i(1))
    clips = data.ClipDataset(catalog(i, r), *how, seed=i(3), max_bad=r(0.25))
    clips.set_epoch(i(1))
    views = data.ViewDataset(catalog(i, r), how[0], i(2), video.TestTransform(i(16), i(20), i(1)))
    found = [(clip.sum().item(), label) for clip, label in (clips[i(0)], views[i(0)], *shards)]
    made = data.write_arrow_of_time(folder / "made", i(2), i(4), i(16), i(1), progress=False)
    data.write_arrow_of_time(made, 2, 4, 16, 1, progress=False)
    checked = data.check(catalog(i, r), frames=i(8), stride=i(2), workers=i(1), timeout=r(60),
                         report=folder / "checked").videos  # fmt: skip
    index = (folder / "shards" / "index.json").read_text()
    return str(report.samples), index, found, checked[0]["frames"]


def recipe(i, r, **fields):
    return training.Recipe(
        size="tiny", classes=i(8), frames=i(4), stride=i(1), crop=i(16), min_short_side=i(16),
        max_short_side=i(16), flip=r(0), colour=r(0), grey=r(0), mixup=r(0.5), drop_path=r(0),
        label_smoothing=r(0.125), optimiser="adamw", lr=r(0.0078125), lr_batch=i(4), batch=i(4),
        epochs=i(1), warmup_epochs=r(0.5), betas=(r(0.5), r(0.75)), weight_decay=r(0.25),
        layer_decay=r(0.5), max_grad_norm=r(2), ema=r(0.5), seed=i(3), accumulate=i(2), **fields
    )  # fmt: skip


def trained(i, r, folder):
    """Run, its files, its scores; the model's history as a checkpoint."""
    clips = data.ArrowOfTime(i(8), i(4), i(16), i(3))
    how = {"recipe": recipe(i, r), "device": "cpu", "progress": False, "workers": i(0)}
    run = training.fit(model(), clips, clips, folder=folder / "run", save_every=i(1), keep=i(1),
                       **how)  # fmt: skip
    how |= {"resume": True, "recipe": recipe(int, float)}
    training.fit(model(), clips, clips, folder=folder / "run", **how)
    result = training.evaluate(run.model, clips, batch_size=i(4), workers=i(0), seed=i(1),
                               file=folder / "scores.npz", progress=False)  # fmt: skip
    training.evaluate(run.model, data.ArrowOfTime(8, 4, 16, 3), batch_size=4, seed=1,
                      file=folder / "scores.npz", progress=False)  # fmt: skip
    result.save_report(folder / "report.json")
    history = [{"epoch": i(1), "loss": r(0.5), "validation": {"top1": r(0.25)}}]
    weights.save_checkpoint(folder / "m.safetensors", run.model, history=history)
    info = weights.read_checkpoint_info(folder / "m.safetensors")
    other, _ = weights.load_checkpoint(folder / "m.safetensors", drop_path=r(0.25))
    recipe_file = (folder / "run" / "recipe.json").read_text()
    return (
        run.history, recipe_file, (folder / "report.json").read_text(), info.history, other.config,
        result.most_confused(i(2)), result.with_views([i(0)]).top1, result.scores.spread(i(1)),
        training.overfit_one_batch(model(), clips, clips=i(4), steps=i(2), lr=r(0.25), seed=i(1),
                                   device="cpu").losses,
    )  # fmt: skip


def drawn(i, r, folder):
    transform = video.TrainTransform(
        i(16), i(20), i(24), flip=r(0.5), colour=r(0.25), grey=r(0.125),
        flip_labels={i(0): i(1), i(1): i(0)},
    )  # fmt: skip
    layers = video.TrainTransform(i(16), i(20), i(24), rand_augment=(i(2), i(9)))
    clip, label = transform.with_label(CLIP, i(1), seed=i(4))
    test = video.TestTransform(i(16), i(20), i(1))
    tensors = clip, layers(CLIP, seed=i(3)), test(CLIP)
    draw = transform.draw(i(24), i(32), seed=i(1))
    return transform, layers, test, label, draw, [x.sum().item() for x in tensors]


def sampled(i, r, folder):
    ways = (
        video.ByFrame(i(4), i(2)), video.ByTime(i(4), r(12.5)), video.BySegment(i(4)),
        video.BySpan(i(4), i(2), r(15), r(0.5)),
    )  # fmt: skip
    clips = [way.test(TIMES, i(2)).tolist() for way in ways]
    clips += [way.train(TIMES, np.random.default_rng(0)).tolist() for way in ways]
    with video.VideoReader(data.sample("counter"), time_limit=r(50)) as reader:
        frames = reader.read([i(3)], short_side=i(32), crop=(i(0), i(1), i(16), i(16)))
    return (
        ways, clips, frames.sum().item(), video.span_frames(i(4), i(2)),
        video.span_seconds(i(4), i(2), r(25)), video.resized_size(i(720), i(1280), i(256)),
        video.three_crops(i(256), i(340), i(224)), video.frames_between(TIMES, r(0.5), r(1.5)),
        video.test_clips(i(60), i(2), i(4), i(2)).tolist(),
        video.train_clip(i(60), i(4), i(2), i(3)).tolist(),
    )  # fmt: skip


def configured(i, r, folder):
    big = ViViTConfig.preset("B/16x2", num_classes={"verb": i(97), "noun": i(300)})
    config = ViViTConfig(
        model="factorised_encoder", frames=i(8), image_size=(i(24), i(32)), in_channels=i(3),
        tokenizer="uniform_frames", tubelet=[i(1), i(8), i(8)], sampled_frames=i(4), dim=i(48),
        depth=i(2), heads=i(4), mlp_dim=i(96), temporal_depth=i(1), num_classes=i(5),
        drop_path=r(0.25), dropout=r(0.5), attention_dropout=r(0.125), layer_scale=r(0.5),
    )  # fmt: skip
    found = build_model(config)
    found.reset_classifier(i(3))
    return (
        asdict(big), asdict(config), found.config,
        models.uniform_frame_indices(i(32), i(8)).tolist(),
        models.token_voxels(big, i(3135)), models.voxel_token(big, i(31), i(223), i(223)),
        models.attention_bytes(found, i(2**20)),
    )  # fmt: skip


def counted(i, r, folder):
    cost = analysis.cost(CONFIG, batch=i(64), views=i(12), training=True)
    counts = analysis.count_flops(CONFIG, batch=i(2)), analysis.closed_form(CONFIG, batch=i(2**20))
    times = analysis.measure_time(CONFIG, batch=i(1), repeats=i(1))
    clip = torch.zeros(1, *CONFIG.clip_shape)
    maps = analysis.attention_maps(model().eval(), clip, layers=[i(0)])
    rows = [maps.at(i(0)).row(query, i(1)).weights.tolist() for query in (i(7), (i(1), i(1), i(1)))]
    return cost, counts, len(times), rows


def filled(i, r, folder):
    table = torch.arange(17.0 * 2).reshape(1, 17, 2)
    return (
        weights.inflate_kernel(torch.ones(2, 3, 4, 4), i(2)).tolist(),
        weights.repeat_positions(table, i(2), cls=True).tolist(),
        weights.resize_positions(table, (i(4), i(4)), (i(2), i(3)), cls=True).tolist(),
    )


def longer(i, r, folder):
    videos = LongVideos(i(8), i(80), i(16), i(2))
    return (
        vars(videos),
        videos.label(i(3)),
        videos.action(i(3)),
        videos.video(i(3)).sum().item(),
    )


CALLS = [configured, sampled, drawn, counted, filled, longer, loaded, written, trained]


@pytest.mark.parametrize("call", CALLS)
def test_numpys_numbers_give_what_pythons_give(call, tmp_path):
    """As JSON, in which another kind of number would be refused, and its repr would differ."""
    found = []
    for kinds in ((int, float), (np.int64, np.float32), (np.int32, np.float64)):
        folder = tmp_path / kinds[0].__name__
        folder.mkdir()
        text = json.dumps(call(*kinds, folder), default=repr)
        found.append(text.replace(str(folder), "folder"))
    assert found[1] == found[0]
    assert found[2] == found[0]
