"""Which pixels: one draw a clip, the values of the paper, and the errors."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as F

from vivit_lab.video import TestTransform as Views
from vivit_lab.video import TrainTransform, denormalise, flip_pairs, normalise, transforms
from vivit_lab.video.transforms import Colours, flipped_label

SIDES = st.integers(8, 70)
LEAVE = {"colour": 0, "grey": 0}  # the colours alone


def noise(frames=4, height=40, width=56, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (frames, 3, height, width), generator=generator).to(torch.uint8)


def plain(crop, least, most, flip=0.0):
    """Scale, crop and flip only."""
    return TrainTransform(crop, least, most, flip=flip, **LEAVE)


def even(value, *size):
    return torch.full(size, value, dtype=torch.uint8)


def one_pixel(*colour):
    return torch.tensor(colour, dtype=torch.uint8).view(1, 3, 1, 1)


def coordinates(height, width, frames=2):
    """A clip whose red is the row and whose green is the column."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    picture = torch.stack([rows, columns, 0 * rows]).to(torch.uint8)
    return picture.expand(frames, 3, height, width)


def draws(count=800, height=256, width=340, **settings):
    transform = TrainTransform(**settings)
    return [transform.draw(height, width, seed) for seed in range(count)]


# --- training ---


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), SIDES, SIDES, st.integers(4, 24), st.integers(0, 99))
def test_any_clip_becomes_a_square_uint8_clip(frames, height, width, crop, seed):
    clip = noise(frames, height, width)
    strided = clip.contiguous(memory_format=torch.channels_last)  # as the reader gives it
    transform, before = TrainTransform(crop, crop + 2, crop + 9), clip.clone()
    out = transform(clip, seed)
    assert out.shape == (frames, 3, crop, crop) and out.dtype == torch.uint8
    assert torch.equal(transform(strided, seed), out) and transform(strided, seed).is_contiguous()
    assert torch.equal(clip, before)


def test_all_frames_share_one_draw():
    still = noise(1).expand(5, -1, -1, -1)
    for setting in ({"colour": 1, "grey": 0.5}, {"rand_augment": (2, 15)}):
        transform = TrainTransform(24, 28, 36, **setting)
        outs = [transform(still, seed) for seed in range(12)]
        assert all((out == out[:1]).all() for out in outs)
        uncoloured = plain(24, 28, 36, flip=0.5)
        changed = [not torch.equal(out, uncoloured(still, i)) for i, out in enumerate(outs)]
        assert sum(changed) > 6


def test_a_seed_decides_alone_and_without_one_the_global_state():
    clip = noise()
    for transform in (TrainTransform(24, 28, 36), TrainTransform(24, 28, 36, rand_augment=(2, 15))):
        torch.manual_seed(1)
        state = torch.get_rng_state()
        seeded = [transform(clip, seed) for seed in range(12)]
        assert torch.equal(torch.get_rng_state(), state)
        assert not torch.equal(seeded[0], seeded[1])
        first, second = transform(clip), transform(clip)
        assert not torch.equal(first, second)
        assert all(torch.equal(transform(clip, seed), out) for seed, out in enumerate(seeded))
        torch.manual_seed(1)
        assert torch.equal(transform(clip), first)
    assert len({draw.operations_seed for draw in draws(12)}) == 12


def test_every_short_side_every_corner_of_the_crop_and_both_sides_of_the_mirror_are_drawn():
    drawn = {plain(8, 10, 13).draw(12, 20, seed).short_side for seed in range(60)}
    assert drawn == {10, 11, 12, 13}
    clip, corners, flipped = coordinates(6, 9), set(), 0
    for seed in range(400):
        draw = plain(5, 6, 6, flip=0.5).draw(6, 9, seed)
        cut = clip[..., draw.top : draw.top + 5, draw.left : draw.left + 5]
        out = plain(5, 6, 6, flip=0.5)(clip, seed)
        assert torch.equal(out, cut.flip(-1) if draw.flip else cut)
        corners.add((draw.top, draw.left))
        flipped += draw.flip
    assert corners == {(top, left) for top in range(2) for left in range(5)}
    assert 160 < flipped < 240


@settings(max_examples=60, deadline=None)
@given(
    st.integers(12, 60), st.integers(12, 60), st.sampled_from(transforms.SCALES), st.integers(0, 99)
)
def test_two_steps_are_one(height, width, scale, seed):
    """A clip read at the drawn size becomes what the whole clip becomes."""
    clip = noise(2, height, width)
    for transform in (TrainTransform(8, 10, 14, scale), plain(8, 10, 14)):
        draw = transform.draw(height, width, seed)
        read = transforms._scaled(clip, draw.short_side)  # as the reader does
        top, left, box_height, box_width = draw.box
        assert top >= 0 and top + box_height <= read.shape[-2]
        assert left >= 0 and left + box_width <= read.shape[-1]
        part, whole = (
            read[..., top : top + box_height, left : left + box_width],
            transform(clip, seed),
        )
        assert whole.shape == (2, 3, 8, 8)
        assert torch.equal(transform.apply(read, draw), whole)
        assert torch.equal(transform.finish(part, draw), whole)
    assert torch.equal(part, whole)  # the last one does nothing but cut


def test_inverse_scales_favour_the_small():
    # 285.6 is where 1 / short side is drawn evenly: ln(320 / 256) / (1 / 256 - 1 / 320)
    for scale, mean in (("inverse", 285.6), ("uniform", 288)):
        sides = [draw.short_side for draw in draws(2000, scale=scale)]
        assert (min(sides), max(sides)) == (256, 320) and abs(sum(sides) / 2000 - mean) < 0.9
    assert set(sides) == set(range(256, 321))


def test_stretch_changes_the_shape_within_its_factors():
    drawn = draws(scale="stretch")
    factors = torch.tensor([[224 / d.height, 224 / d.width] for d in drawn])
    assert {d.short_side for d in drawn} == {256}
    assert 0.895 < factors.min() < 0.91 and 1.31 < factors.max() < 1.335
    assert abs(torch.corrcoef(factors.T)[0, 1]) < 0.15


def test_area_takes_boxes_of_every_size_and_reads_no_more_than_it_needs():
    drawn = draws(height=720, width=1280, scale="area")
    for d in drawn:
        assert d.short_side <= 720
        assert d.short_side == 720 or 224 <= min(d.height, d.width) <= 226
        assert d.short_side < 720 or min(d.height, d.width) <= 224  # a larger box is read smaller
        assert 0.7 < d.width / d.height < 1.4
    parts = [d.height * d.width / (d.short_side**2 * 16 / 9) for d in drawn]
    assert min(parts) < 0.1 and max(parts) > 0.55
    assert TrainTransform(crop=400, scale="area").crop == 400  # no short side to be above it


def test_grey_takes_the_colours_out_and_jitter_stays_within_its_strengths():
    out = TrainTransform(24, 24, 24, colour=0, grey=1)(noise(), 0)
    assert (out[:, :1] == out).all() and out.float().std() > 5
    transform = TrainTransform(8, 8, 8, flip=0, colour=1, grey=0)
    plain = even(100, 1, 3, 8, 8)  # no colour, no contrast to change
    shifts = [transform(plain, seed).float().mean() - 100 for seed in range(200)]
    assert -34 <= min(shifts) < -26 and 26 < max(shifts) <= 34  # 32, and rounding
    white = even(255, 1, 3, 8, 8)
    assert all(transform(white, seed).min() >= 255 - 32 for seed in range(40))  # not wrapped
    transform = TrainTransform(24, 28, 36, colour=1, grey=1, rand_augment=(1, 9))  # in their place
    outs = [transform(noise(), seed) for seed in range(8)]
    assert any((out[:, :1] != out).any() for out in outs)
    assert all(transform.draw(30, 30, seed).colours == Colours() for seed in range(8))


# --- colours ---


def test_equal_colours_stay_equal_in_all_frames():
    """A clip whose light changes: frames measured one by one would be changed differently."""
    dark, light = noise(1) // 4, noise(1, seed=1) // 4 + 190
    dark[0, :, :2, :], light[0, :, :2, :] = 100, 100  # two rows that the frames share
    clip, colours = torch.cat([dark, light]), Colours(10, 1.2, 1.4, 0.1)
    apply = transforms.clip_rand_augment(2, 9)._apply_image_or_video_transform
    outs = [
        apply(clip, operation, 0.5, F.InterpolationMode.NEAREST, {})
        for operation in ("AutoContrast", "Equalize", "Contrast")
    ]
    for out in (*outs, colours(clip)):
        assert torch.equal(out[0, :, 0], out[1, :, 0]) and not torch.equal(out, clip)
    assert torch.equal(colours(clip.flip(0)).flip(0), out)  # the mean is that of all frames


def test_each_colour_step_is_torchvisions_and_steps_in_one_are_the_steps_one_by_one():
    clip = noise(1)
    muted = 60 + noise() // 3  # so that nothing is clamped on the way
    one_by_one = muted
    for step in (Colours(20), Colours(saturation=1.2), Colours(contrast=0.8), Colours(hue=0.05)):
        one_by_one = step(one_by_one)
    for ours, theirs, most in (
        (Colours(saturation=0.7)(clip), F.adjust_saturation(clip, 0.7), 1),
        (Colours(saturation=1.3)(clip), F.adjust_saturation(clip, 1.3), 1),
        (Colours(contrast=0.6)(clip), F.adjust_contrast(clip, 0.6), 1),
        (Colours(contrast=1.4)(clip), F.adjust_contrast(clip, 1.4), 1),
        (Colours(grey=True)(clip), F.rgb_to_grayscale(clip, 3), 1),
        (Colours(20, 1.2, 0.8, 0.05)(muted), one_by_one, 3),
    ):
        assert (ours.int() - theirs.int()).abs().max() <= most
    red = one_pixel(200, 60, 61)  # luma 101.974: 150.99 80.99 81.49 are rounded, not cut off
    assert Colours(saturation=0.5)(red).flatten().tolist() == [151, 81, 81]


def test_hue_turns_the_colours_and_keeps_their_brightness():
    clip = 100 + noise() // 8
    luma = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    for hue in (-0.2, 0.1, 0.5):
        out = Colours(hue=hue)(clip)
        assert ((out - clip.float()) * luma).sum(1).abs().max() < 1.01
        assert (Colours(hue=-hue)(out).int() - clip.int()).abs().max() <= 3
    red = one_pixel(200, 60, 60)  # turns to green, as in HSV
    assert Colours(hue=1 / 3)(red).argmax(1) == F.adjust_hue(red, 1 / 3).argmax(1) == 1
    grey = torch.arange(256, dtype=torch.uint8).expand(1, 3, 1, 256)
    assert torch.equal(Colours(hue=0.3)(grey), grey)


def test_repr_is_the_recipe():
    flips = TrainTransform(scale="stretch", flip_labels={0: 1, 1: 0}, rand_augment=(2, 15))
    for transform in (TrainTransform(), flips, Views(crops=1)):
        written = repr(transform).replace("TestTransform", "Views")
        assert repr(eval(written)) == repr(transform)
    assert "min_short_side=256, max_short_side=320" in repr(TrainTransform())


# --- testing ---


def test_three_views_lie_along_the_long_side():
    for size, along, across in (((6, 11), 1, 0), ((11, 6), 0, 1)):
        views = Views(crop=4, short_side=6)(coordinates(*size))
        assert views[:, 0, across, 0, 0].tolist() == [1, 1, 1]  # centred
        assert views[:, 0, along, 0, 0].tolist() == [0, 4, 7]  # one end, 3.5 up, the other


@settings(max_examples=25, deadline=None)
@given(st.integers(5, 60), st.integers(5, 60), st.integers(2, 20), st.integers(0, 20))
def test_one_view_is_the_middle_of_three_and_an_even_clip_stays_even(height, width, crop, more):
    clip = noise(2, height, width)
    three = Views(crop, crop + more)(clip)
    assert three.shape == (3, 2, 3, crop, crop)
    assert torch.equal(Views(crop, crop + more, crops=1)(clip), three[1:2])
    clip = even(77, 2, 3, height, width)
    assert (Views(crop, crop + more)(clip) == 77).all()
    assert (plain(crop, crop + more, crop + more + 9)(clip, 0) == 77).all()


def test_normalise_and_back_is_exact():
    pixels = torch.arange(256, dtype=torch.uint8)
    out = normalise(pixels)
    assert out.dtype == torch.float32 and (out.min(), out.max()) == (-1, 1)
    assert torch.equal(denormalise(out), pixels)
    assert torch.allclose(out, pixels.double().mul(2 / 255).sub(1).float(), atol=1e-6)
    clip = noise()
    assert normalise(clip[None]).shape == (1, 4, 3, 40, 56)
    assert torch.equal(clip, noise())
    assert denormalise(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]


# --- what a mirror does to labels ---

SSV2 = [
    "Pushing [something] from left to right",
    "Turning the camera right while filming [something]",
    "Approaching [something] with your camera",
    "Pushing [something] from right to left",
    "Taking the leftovers, upright",
    "Turning the camera left while filming [something]",
]


def test_partners_are_found_by_their_words():
    assert flip_pairs(SSV2) == {0: 3, 3: 0, 1: 5, 5: 1}
    assert flip_pairs(["Left turn", "Right turn", "LEFT", "RIGHT"]) == {0: 1, 1: 0, 2: 3, 3: 2}
    assert flip_pairs(["move_left", "move_right"]) == {0: 1, 1: 0}
    heads = flip_pairs({"verb": ["left", "right"], "noun": ["cup"]})
    assert heads == {"verb": {0: 1, 1: 0}, "noun": {}}
    assert flipped_label({"verb": 1, "noun": 0}, heads) == {"verb": 0, "noun": 0}
    assert flipped_label(None, heads) is None


@given(st.permutations(SSV2))
def test_flipping_twice_changes_nothing(names):
    pairs = flip_pairs(names)
    for label, name in enumerate(names):
        mirrored = flipped_label(label, pairs)
        assert flipped_label(mirrored, pairs) == label
        assert (mirrored != label) == ("left" in name.split() or "right" in name.split())


def test_label_and_pixels_are_flipped_together_or_not_at_all():
    clip = coordinates(8, 8)
    transform, seen = TrainTransform(8, 8, 8, flip_labels={4: 5, 5: 4}, **LEAVE), set()
    for seed in range(40):
        out, label = transform.with_label(clip, 4, seed)
        assert torch.equal(out, clip.flip(-1) if label == 5 else clip)
        assert transform.with_label(clip, 9, seed)[1] == 9
        seen.add(label)
    assert seen == {4, 5}


# --- bad input ---

CALLS = (TrainTransform(16, 20, 24), Views(16, 20))


def test_wrong_clips_are_named():
    for clip, error, words in (
        (noise().float(), TypeError, r"float32 tensor.*uint8.*\(T,C,H,W\).*normalise it after"),
        (noise().numpy(), TypeError, "a ndarray.*uint8 tensor"),
        (noise()[0], ValueError, r"\(3, 40, 56\).*\(T,C,H,W\).*single picture"),
        (noise()[None], ValueError, r"\(T,C,H,W\).*one by one"),
        (noise().permute(1, 0, 2, 3), ValueError, r"C is 3.*1, 0, 2, 3.*\(C,T,H,W\)"),
        (noise().permute(0, 2, 3, 1), ValueError, r"C is 3.*0, 3, 1, 2.*\(T,H,W,C\)"),
        (noise()[:, :1], ValueError, r"\(4, 1, 40, 56\), but must be.*C is 3 \(RGB\)"),
        (noise()[:0], ValueError, "no axis is empty"),
    ):
        for transform in CALLS:
            with pytest.raises(error, match=words):
                transform(clip)


def test_bad_settings_are_named():
    train, heads = TrainTransform(8, 10, 10), {"verb": {0: 1, 1: 0}}
    far = max((train.draw(20, 80, seed) for seed in range(20)), key=lambda draw: draw.left)
    for call, error, words in (
        (lambda: TrainTransform(crop=0), ValueError, "crop is 0"),
        (lambda: TrainTransform(crop=288), ValueError, "min_short_side is 256.*at least 288"),
        (lambda: TrainTransform(max_short_side=200), ValueError, "max_short_side is 200.*256"),
        (lambda: TrainTransform(crop=2.5), TypeError, "crop is 2.5"),
        (lambda: TrainTransform(scale="inverce"), ValueError, "Did you mean 'inverse'"),
        (lambda: TrainTransform(flip=1.5), ValueError, "flip is 1.5.*0 .never. to 1"),
        (lambda: TrainTransform(colour="yes"), ValueError, "colour is 'yes'"),
        (lambda: TrainTransform(grey=-1), ValueError, "grey is -1"),
        (lambda: TrainTransform(rand_augment=2), TypeError, r"rand_augment is 2.*\(2, 15\)"),
        (lambda: TrainTransform(rand_augment=(0, 9)), ValueError, "number of layers is 0"),
        (lambda: TrainTransform(rand_augment=(2, 31)), ValueError, "31.*at most 30"),
        (lambda: train(noise(), seed=-2), ValueError, "seed is -2"),
        (lambda: train.draw(0, 9, seed=1), ValueError, "height is 0"),
        (lambda: train(noise(), seed=1.5), TypeError, "seed is 1.5"),
        # a draw for another shape, a part of another size
        (lambda: train.apply(noise(1, 20, 20), far), ValueError, "drawn is.*for its own size"),
        (lambda: train.finish(noise(1, 10, 10), far), ValueError, "has 10 x 10.* is 8 x 8"),
        (lambda: Views(short_side=200), ValueError, "short_side is 200.*at least 224"),
        (lambda: Views(crops=2), ValueError, "crops is 2.*1, 3"),
        (lambda: normalise(torch.zeros(2)), TypeError, "float32 tensor.*already"),
        (lambda: normalise([0, 255]), TypeError, "a list"),
        (lambda: denormalise(noise()), TypeError, "uint8 tensor.*as they are"),
        # labels: no partner, other heads, forgotten
        (lambda: flip_pairs(["go", "turn left", "right arm", "left arm"]), ValueError,
         r"'turn left' \(label 1; no class 'turn right'\).*flip=0"),
        (lambda: flipped_label(3, heads), TypeError, "label is 3 and flip_labels .*verb.*neither"),
        (lambda: flipped_label({"verb": 1}, {0: 1, 1: 0}), TypeError, "name the same classifiers"),
        (lambda: flipped_label({"action": 1}, heads), TypeError, "name the same classifiers"),
        (lambda: TrainTransform(flip_labels=heads)(noise()), ValueError, "flip_labels.*with_label"),
    ):  # fmt: skip
        with pytest.raises(error, match=words):
            call()
