"""Files that are damaged, foreign or hostile: one kind of error, no harm, an unchanged model."""

import contextlib
import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile

import msgpack
import numpy as np
import pytest
import torch
from flax_like import nested, official, packed
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from shared import equal, refused

from vivit_lab import ViViTConfig, build_model
from vivit_lab.io import write_safetensors
from vivit_lab.weights import (
    WeightsError,
    load_checkpoint,
    load_flax_image_vit,
    load_huggingface,
    load_scenic,
    read_checkpoint_info,
    save_checkpoint,
    save_huggingface,
    scenic_config,
)
from vivit_lab.weights.files import read_safetensors, read_tensors

TINY = ViViTConfig(
    frames=2, image_size=8, tubelet=(2, 4, 4), dim=6, depth=1, heads=2, mlp_dim=4, num_classes=3
)
KERNEL = "Transformer/encoderblock_0/MlpBlock_0/Dense_0/kernel"
MB = 2**20
RULE = "nothing but arrays of numbers: anything else could run any program"


def tiny_model():
    torch.manual_seed(0)
    model = build_model(TINY)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model


def written(write, *args, **kwargs) -> bytes:
    file = io.BytesIO()
    write(file, *args, **kwargs)
    return file.getvalue()


def torch_saved(content, modern=True):
    def write(file):
        torch.save(content, file, _use_new_zipfile_serialization=modern)

    return written(write)


MODEL = tiny_model()
LEAVES = official(MODEL.state_dict(), TINY.heads)
MSGPACK = packed({"optimizer": {"target": nested(LEAVES), "state": {"step": 1}}, "step": 1})
NPZ = written(np.savez, **LEAVES)
COMPRESSED = written(np.savez_compressed, **LEAVES)


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    path = tmp_path_factory.mktemp("ours") / "whole.safetensors"
    save_checkpoint(path, MODEL, class_names=["a", "b", "c"])
    return path.read_bytes()


def try_scenic(source):
    """load_scenic into a model that must stay as it is, bit by bit, unless it succeeds."""
    model = tiny_model()
    try:
        load_scenic(model, source)
    except WeightsError:
        assert equal(model, MODEL)
        raise
    return model


LOADERS = (
    *(try_scenic, load_flax_image_vit, load_checkpoint, read_checkpoint_info),
    lambda path: scenic_config(path, frames=2),
    read_tensors,  # as load_timm and load_huggingface have them
)


def refuse(data, folder, words=None, name="file", loaders=(try_scenic,)):
    path = folder / name
    path.write_bytes(data)
    for load in loaders:
        refused(words or name, load, path)


def test_the_files_that_the_others_are_made_from_are_sound(ours, tmp_path):
    path = tmp_path / "file"
    for data in (MSGPACK, NPZ, COMPRESSED, ours):
        path.write_bytes(data)
        model = load_checkpoint(path)[0] if data is ours else try_scenic(path)
        assert equal(model, MODEL)
    for header in (640, 27688):  # lengths that look like a pickle
        write_safetensors(path, {"w": torch.ones(1)}, {"pad": "x" * (header - 96)})
        assert int.from_bytes(path.read_bytes()[:8], "little") == header
        assert read_tensors(path)[0]["w"].item() == read_safetensors(path)[0]["w"].item() == 1


# ---- not a file of weights at all


def test_nothing_there_a_folder_and_other_files(tmp_path):
    for load in LOADERS:
        refused("no file", load, tmp_path / "nothing", error=FileNotFoundError)
        refused("is a folder", load, tmp_path)
    for data in (b"", b"hello, world", b"\xff\xd8\xff\xe0 a photo", bytes(99), b"{" * 99, b"PK"):
        for name in ("notes.txt", "model.npz", "x.safetensors"):
            refuse(data, tmp_path, name=name, loaders=LOADERS)


class Evil:
    """Unpickling it creates a folder."""

    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return os.mkdir, (self.target,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_pickles_are_never_run(tmp_path):
    target = tmp_path / "was here"
    evil = Evil(target)
    pickles = [pickle.dumps(x, protocol) for x in (evil, {"w": evil}) for protocol in range(6)]
    pickles += [torch_saved({"w": evil}, modern) for modern in (True, False)]
    for prefix in ("", "params/"):
        objects = {prefix + "embedding/kernel": np.array([evil], dtype=object), "a": np.ones(2)}
        pickles.append(written(np.savez, **objects))
    for data in pickles:
        for name in ("m.pt", "m.npz", "m.safetensors"):
            words = rf"'{name}' cannot be read (as .safetensors|\(.*{RULE})"
            refuse(data, tmp_path, words, name, LOADERS)
        for name in ("model.safetensors", "pytorch_model.bin"):  # in a folder of transformers
            folder = tmp_path / name
            save_huggingface(MODEL, folder)
            (folder / "model.safetensors").unlink()
            refuse(data, folder, None, name, [lambda path: load_huggingface(path.parent)])
        assert not target.exists()
    pickle.loads(pickle.dumps(evil))  # it would have worked
    assert target.exists()


def test_formats_are_not_mixed_up(ours, tmp_path):
    refuse(ours, tmp_path, r"no ViT or ViViT.*'blocks.0.attn")
    for data in (MSGPACK, NPZ):
        refuse(data, tmp_path, "'file' cannot be read as .safetensors", loaders=[load_checkpoint])
    refuse(written(np.save, np.ones(3)), tmp_path, "NUMPY")
    save_huggingface(MODEL, tmp_path / "folder")
    theirs = tmp_path / "folder" / "model.safetensors"
    refused("not a checkpoint of this package", load_checkpoint, theirs)
    for tree, words in (({"weights": np.ones(3)}, r"no ViT.*'weights'"), ({}, "holds nothing")):
        refused(words, load_scenic, MODEL, tree)


# ---- cut short, or wrong in one place


def test_cut_at_every_place(ours, tmp_path):
    for whole in (MSGPACK, NPZ, COMPRESSED, ours, torch_saved(MODEL.state_dict())):
        for end in (*range(1, len(whole), 1 + len(whole) // 30), len(whole) - 1):
            refuse(whole[:end], tmp_path, loaders=[read_tensors])
    for whole in (MSGPACK, ours):
        refuse(whole + b"\0", tmp_path, loaders=[read_tensors])


def test_wrong_numbers_in_an_official_file(tmp_path):
    kernel = LEAVES[KERNEL]
    for value, words in (
        (np.ones(kernel.shape, np.int64), "int64"),
        (np.ones(kernel.shape, np.complex64), "complex64"),
        (np.full(kernel.shape, np.nan, np.float32), "not finite"),
        (np.full(kernel.shape, 1e300), "not finite"),  # too large for float32
        (kernel.T, "mlp_dim is 6 in the source"),
        (kernel[None], "must have the axes inputs outputs"),
        (np.float32(1), "must have the axes inputs outputs"),
        (np.zeros((6, 0), np.float32), "mlp_dim is 0 in the source|must not be 0"),
    ):
        leaves = LEAVES | {KERNEL: value}
        refuse(written(np.savez, **leaves), tmp_path, words)
        refuse(packed(nested(leaves)), tmp_path, words)
        refused(words, try_scenic, leaves)
    for value in ("text", None, [[1], [2, 3]], object(), b"bytes"):
        refused("Dense_0/kernel", try_scenic, LEAVES | {KERNEL: value})


def test_wrong_tensors_in_our_own_and_in_theirs(ours, tmp_path):
    path, folder = tmp_path / "m.safetensors", tmp_path / "folder"
    path.write_bytes(ours)
    save_huggingface(MODEL, folder)
    block = "vivit.encoder.layer.0."
    key, value = (f"{block}attention.attention.{part}.weight" for part in ("key", "value"))
    for load, source, name in (
        (load_checkpoint, path, "blocks.0.mlp.fc1.weight"),
        (load_huggingface, folder, f"{block}intermediate.dense.weight"),
        (load_huggingface, folder, key),
    ):
        file = path if source == path else folder / "model.safetensors"
        good, texts = read_safetensors(file)
        nan = torch.full_like(good[name], torch.nan)
        changed = [good | {name: x} for x in (nan, good[name][:2], good[name][0, 0])]
        if name != key:  # which becomes a float where it is joined with floats
            changed += [good | {name: nan.long()}, good | {name: nan.to(torch.complex64)}]
        else:  # what the keys lack, the values have too much
            more = torch.cat([good[value], good[key][2:]])
            changed.append(good | {key: good[key][:2], value: more})
        changed += [good | {"more": torch.ones(2)}, {k: x for k, x in good.items() if k != name}]
        for tensors in changed:
            save_file(tensors, file, metadata=texts)
            refused(None, load, source)
        save_file(good, file, metadata=texts)


# ---- archives that lie, and bombs


def zipped(members):
    """A zip of {name: data}."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def npy(shape, dtype="<f4", data=b""):
    header = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def refuse_in(megabytes, *args, **options):
    """As refuse, in little memory."""
    tracemalloc.start()
    try:
        refuse(*args, **options)
        assert tracemalloc.get_traced_memory()[1] < megabytes * MB
    finally:
        tracemalloc.stop()


def test_a_zip_bomb_is_seen_before_it_is_unpacked(tmp_path):
    one = {"embedding/kernel.npy": npy((20 * MB,), data=bytes(80 * MB))}
    many = {f"params/{i}.npy": npy((4 * MB,), data=bytes(18 * MB)) for i in range(4)}
    for members in (one, many | {"params/embedding/kernel.npy": npy((1,), data=bytes(4))}):
        data = zipped(members)
        assert len(data) < MB
        refuse_in(10, data, tmp_path, "would unpack to")


def test_arrays_that_lie_or_are_none(tmp_path):
    for member in (
        npy((10**12,), data=bytes(2 * MB)),
        npy((-1, -4), data=bytes(16)),
        npy("abc"),
        npy((2,), "|O", bytes(16)),
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b"[" * 5000,
        b"not an array",
    ):
        refuse(zipped({"embedding/kernel.npy": member}), tmp_path, loaders=[read_tensors])


# ---- msgpack and safetensors that lie


def deep(levels):
    return b"\x81\xa1a" * levels + b"\xc0"


def ext(code, data):
    return b"\xc9" + struct.pack(">IB", len(data), code) + data


def array(shape, dtype=b"float32", data=b""):
    return ext(1, msgpack.packb((shape, dtype, data)))


def test_msgpack_that_lies(tmp_path):
    for leaf in (
        b"\x91" * 5000 + b"\xc0",
        b"\xdd\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        ext(1, b"\x91" * 5000),
        ext(2, b"\x01"),
        array((-1, -4), data=bytes(16)),
        array((2,), b"save", bytes(16)),
        msgpack.packb({"__msgpack_chunked_array__": 1, "shape": {"0": 5}, "chunks": {}}),
    ):
        refuse_in(20, b"\x81\xa1a" + leaf, tmp_path)
    # each list claims a million entries; believed, each takes 8 MB before the first is read
    lists = (b"\xdd" + struct.pack(">I", 10**6)) * 30 + b"\xc0" * 10**6
    refuse(b"\x81\xa1a" + lists, tmp_path, "max_array_len")
    for data in (
        deep(5000),
        b"\x81\xa9opt_state" + deep(5000),  # the part that is passed over
        b"\x81" + b"\x91" * 5000 + b"\xc0",  # as a key
        b"\xdf\xff\xff\xff\xff",
    ):
        refuse_in(20, data, tmp_path, loaders=[read_tensors])


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_safetensors_that_lie(tmp_path):
    tensors = {"dtype": "F32", "shape": [2**62, 4]}, {"dtype": "PICKLE", "shape": [4]}
    for data in (
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 10**8) + b"{" + b" " * 100,
        safetensors(b'{"a":' * 5000),
        safetensors({"__metadata__": {"vivit_lab": 7}}),
        *(safetensors({"w": x | {"data_offsets": [0, 16]}}, bytes(16)) for x in tensors),
    ):
        refuse(data, tmp_path, loaders=(load_checkpoint, read_checkpoint_info))


# ---- whatever else: random damage gives success or a WeightsError, nothing else

places = st.floats(0, 1, exclude_max=True)
cuts = st.sampled_from([0, 1, 2, 4, 40, 240])
damage = st.lists(st.tuples(places, cuts, st.binary(max_size=6)), min_size=1, max_size=6)


def damaged(data, steps):
    for place, cut, content in steps:
        at = int(place * (len(data) + 1))
        data = data[:at] + content + data[at + cut :]
    return data


def test_random_damage(ours, tmp_path):
    path = tmp_path / "file"

    def survive(load, data):
        path.write_bytes(data)
        with contextlib.suppress(WeightsError):
            load(path)

    @settings(max_examples=50, deadline=None, derandomize=True)
    @given(damage, st.binary(max_size=300))
    def check(steps, noise):
        for data in (MSGPACK, NPZ, COMPRESSED, ours):
            load = load_checkpoint if data is ours else try_scenic
            survive(load, damaged(data, steps))
            # the names and lengths at the start are hit far more often than in the whole file
            survive(load, damaged(data[:400], steps) + data[400:])
        for load in LOADERS:
            survive(load, noise)
            survive(load, b"\x81\xa1a" + noise)

    check()
