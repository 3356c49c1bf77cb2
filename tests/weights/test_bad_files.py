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


def tiny_model():
    torch.manual_seed(0)
    model = build_model(TINY)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model


MODEL = tiny_model()
LEAVES = official(MODEL.state_dict(), TINY.heads)


def written(write, *args, **kwargs) -> bytes:
    file = io.BytesIO()
    write(file, *args, **kwargs)
    return file.getvalue()


def npz(leaves=LEAVES, save=np.savez):
    return written(save, **leaves)


MSGPACK = packed({"optimizer": {"target": nested(LEAVES), "state": {"step": 1}}, "step": 1})


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
        after = model.state_dict()
        assert all(torch.equal(v, after[k]) for k, v in MODEL.state_dict().items())
        raise


LOADERS = {
    "load_scenic": try_scenic,
    "scenic_config": lambda path: scenic_config(path, frames=2),
    "load_flax_image_vit": load_flax_image_vit,
    "load_checkpoint": load_checkpoint,
    "read_checkpoint_info": read_checkpoint_info,
    "read_tensors": read_tensors,  # as load_timm and load_huggingface have them
}
loaders = pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)


def refused(data, tmp_path, match=None, name="file", load=try_scenic):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=match or name):
        load(path)


def test_the_files_that_the_others_are_made_from_are_sound(ours, tmp_path):
    for data in (MSGPACK, npz(), npz(save=np.savez_compressed)):
        (tmp_path / "file").write_bytes(data)
        model = build_model(TINY)
        load_scenic(model, tmp_path / "file")
        assert all(torch.equal(v, model.state_dict()[k]) for k, v in MODEL.state_dict().items())
    (tmp_path / "file").write_bytes(ours)
    load_checkpoint(tmp_path / "file")


# ---- not a file of weights at all


@loaders
def test_nothing_there_a_folder_and_other_files(load, tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        load(tmp_path / "nothing")
    with pytest.raises(WeightsError, match="is a folder"):
        load(tmp_path)
    others = (b"", b"hello, world", b"\xff\xd8\xff\xe0 a photo", bytes(99), b"{" * 99, b"PK", b"P")
    for data in others:
        for name in ("notes.txt", "model.npz", "checkpoint", "x.safetensors"):
            refused(data, tmp_path, name=name, load=load)


class Evil:
    """Unpickling it creates a folder."""

    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return os.mkdir, (self.target,)


def evil_pickles(target):
    evil = Evil(target)
    for protocol in range(6):
        yield from (pickle.dumps({"w": evil}, protocol), pickle.dumps(evil, protocol))
    for modern in (True, False):
        yield written(
            lambda file, new: torch.save({"w": evil}, file, _use_new_zipfile_serialization=new),
            modern,
        )
    for prefix in ("", "params/"):
        yield npz({prefix + "embedding/kernel": np.array([evil], dtype=object), "a": np.ones(2)})


@loaders
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_pickles_are_never_run(load, tmp_path):
    target = tmp_path / "was here"
    for name in ("m.pt", "m.npz", "m.safetensors", "m"):
        for data in evil_pickles(target):
            refused(data, tmp_path, name=name, load=load)
            assert not target.exists()
    pickle.loads(pickle.dumps(Evil(target)))  # it would have worked
    assert target.exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_pickles_in_a_folder_of_transformers(tmp_path):
    target = tmp_path / "was here"
    for name in ("model.safetensors", "pytorch_model.bin"):
        save_huggingface(MODEL, tmp_path / name)
        (tmp_path / name / "model.safetensors").unlink()
        for data in evil_pickles(target):
            refused(
                data, tmp_path / name, name=name, load=lambda path: load_huggingface(path.parent)
            )
            assert not target.exists()


def test_what_is_refused_is_said_with_the_rule(tmp_path):
    pickled, objects = list(evil_pickles(tmp_path / "was here"))[12], np.array([1], dtype=object)
    rule = "nothing but arrays of numbers: anything else could run any program"
    refused(pickled, tmp_path, rf"'m\.pt' cannot be read \(.*other things than.*{rule}", "m.pt")
    refused(
        npz({"embedding/kernel": objects}), tmp_path, rf"'m\.npz' .*llow_pickle.*{rule}", "m.npz"
    )


def test_a_header_whose_length_looks_like_a_pickle_is_none(tmp_path):
    path = tmp_path / "padded.safetensors"
    for header in (640, 896, 1152, 1408, 25640, 27688):
        write_safetensors(path, {"w": torch.ones(1)}, {"pad": "x" * (header - 96)})
        assert int.from_bytes(path.read_bytes()[:8], "little") == header
        assert read_tensors(path)["w"].item() == read_safetensors(path)[0]["w"].item() == 1


def test_formats_are_not_mixed_up(ours, tmp_path):
    refused(ours, tmp_path, r"no ViT or ViViT.*'blocks.0.attn")
    for data in (MSGPACK, npz()):
        refused(data, tmp_path, "'file' cannot be read as .safetensors", load=load_checkpoint)
    refused(written(np.save, np.ones(3)), tmp_path, "NUMPY")
    save_huggingface(MODEL, tmp_path / "folder")
    with pytest.raises(WeightsError, match="not a checkpoint of this package"):
        load_checkpoint(tmp_path / "folder" / "model.safetensors")
    for tree, words in (({"weights": np.ones(3)}, r"no ViT.*'weights'"), ({}, "holds nothing")):
        with pytest.raises(WeightsError, match=words):
            load_scenic(MODEL, tree)


# ---- cut short, or wrong in one place


def test_cut_at_every_place(ours, tmp_path):
    pickled = written(lambda file: torch.save(MODEL.state_dict(), file))
    wholes = [MSGPACK, npz(), npz(save=np.savez_compressed), ours, pickled]
    for whole in wholes:
        for end in (*range(1, len(whole), 1 + len(whole) // 60), len(whole) - 1):
            refused(whole[:end], tmp_path, load=read_tensors)
    for whole in (MSGPACK, ours):
        refused(whole + b"\0", tmp_path, load=read_tensors)


SHAPE = LEAVES[KERNEL].shape
WRONG_LEAVES = (
    (np.ones(SHAPE, np.int64), "int64"),
    (np.ones(SHAPE, np.complex64), "complex64"),
    (np.full(SHAPE, np.nan, np.float32), "not finite"),
    (np.full(SHAPE, 1e300), "not finite"),  # too large for float32
    (LEAVES[KERNEL].T, "mlp_dim is 6 in the source"),
    (LEAVES[KERNEL][None], "must have the axes inputs outputs"),
    (np.float32(1), "must have the axes inputs outputs"),
    (np.zeros((6, 0), np.float32), "mlp_dim is 0 in the source|must not be 0"),
)


def test_wrong_numbers_in_an_official_file(tmp_path):
    for value, message in WRONG_LEAVES:
        leaves = LEAVES | {KERNEL: value}
        refused(npz(leaves), tmp_path, message)
        refused(packed(nested(leaves)), tmp_path, message)
        with pytest.raises(WeightsError, match=message):
            try_scenic(leaves)
    for value in ("text", None, [[1], [2, 3]], object(), b"bytes"):
        with pytest.raises(WeightsError, match="Dense_0/kernel"):
            try_scenic(LEAVES | {KERNEL: value})


def test_wrong_tensors_in_our_own_and_in_theirs(ours, tmp_path):
    (tmp_path / "m.safetensors").write_bytes(ours)
    save_huggingface(MODEL, tmp_path / "folder")
    theirs = tmp_path / "folder" / "model.safetensors"
    for path, load, name in (
        (tmp_path / "m.safetensors", load_checkpoint, "blocks.0.mlp.fc1.weight"),
        (theirs, load_huggingface, "vivit.encoder.layer.0.intermediate.dense.weight"),
        (theirs, load_huggingface, "vivit.encoder.layer.0.attention.attention.key.weight"),
    ):
        good, texts = read_safetensors(path)
        wrong = good[name].clone()
        wrong[0, 0] = torch.nan
        others = [wrong, wrong.long(), wrong.to(torch.complex64), good[name][:2], wrong[0, 0]]
        others = others[3:] if "key" in name else others  # joined with floats they become floats
        changed = [good | {name: tensor} for tensor in others] + [good | {"more": torch.ones(2)}]
        for tensors in (*changed, {k: v for k, v in good.items() if k != name}):
            save_file(tensors, path, metadata=texts)
            with pytest.raises(WeightsError):
                load(path if load is load_checkpoint else path.parent)
        save_file(good, path, metadata=texts)
    key = good[name][:2]  # what it lacks, the values have too much
    value = torch.cat([good[name.replace("key", "value")], good[name][2:]])
    changes = {name: key, name.replace("key", "value"): value}
    save_file(good | changes, theirs, metadata=texts)
    with pytest.raises(WeightsError, match="have different shapes"):
        load_huggingface(theirs.parent)


# ---- archives that lie, and bombs


def zipped(members, lie=None):
    """A zip of {name: data}; `lie` is the unpacked size that the archive claims for each."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        if lie is not None:
            for info in archive.infolist():
                info.file_size = lie
    data = bytearray(file.getvalue())
    if lie is not None:  # the same in front of the data
        struct.pack_into("<I", data, 22, lie)
    return bytes(data)


def npy(shape, dtype="<f4", data=b""):
    header = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def peak_memory(function, *args):
    tracemalloc.start()
    try:
        function(*args)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_zip_bomb_is_seen_before_it_is_unpacked(tmp_path):
    one = {"embedding/kernel.npy": npy((20 * MB,), data=bytes(80 * MB))}
    many = {f"params/{i}.npy": npy((4 * MB,), data=bytes(18 * MB)) for i in range(4)}
    for members in (one, many | {"params/embedding/kernel.npy": npy((1,), data=bytes(4))}):
        data = zipped(members)
        assert len(data) < MB
        assert peak_memory(refused, data, tmp_path, "would unpack to", "m.npz") < 10 * MB


LYING_ARRAYS = (
    npy((-1, -4), data=bytes(16)),
    npy((2, 2), data=bytes(12)),
    npy("abc"),
    npy((2,), "|O", bytes(16)),
    npy((2,), "<f4", bytes(8)).replace(b"\x01\x00", b"\x09\x00", 1),
    b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535,
    b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b"[" * 5000,
    b"not an array",
)


def test_arrays_that_lie_or_are_none(tmp_path):
    for member in LYING_ARRAYS:
        refused(zipped({"embedding/kernel.npy": member}), tmp_path, load=read_tensors)
    inside = {"embedding/kernel.npy": npy((10**12,), data=bytes(2 * MB))}
    for lie in (None, 0, 100, 132, 5000):
        refused(zipped(inside, lie), tmp_path, load=read_tensors)


# ---- msgpack and safetensors that lie


def deep(levels):
    return b"\x81\xa1a" * levels + b"\xc0"


def ext(code, data):
    return b"\xc9" + struct.pack(">IB", len(data), code) + data


def array(shape, dtype=b"float32", data=b""):
    return ext(1, msgpack.packb((shape, dtype, data)))


LYING_LEAVES = (
    b"\x91" * 5000 + b"\xc0",
    b"\xdd\xff\xff\xff\xff",
    b"\xc9\xff\xff\xff\xff\x01",
    ext(1, b""),
    ext(1, b"\x91" * 5000),
    ext(2, b"\x01"),
    ext(9, b"data"),
    array((-1, -4), data=bytes(16)),
    array((3,), data=bytes(8)),
    array((2,), b"save", bytes(16)),
    msgpack.packb({"__msgpack_chunked_array__": True}),
    msgpack.packb({"__msgpack_chunked_array__": 1, "shape": {"0": 5}, "chunks": {}}),
)
LYING_MAPS = (
    deep(5000),
    b"\x81\xa9opt_state" + deep(5000),  # the part that is passed over
    b"\x81" + b"\x91" * 5000 + b"\xc0",  # as a key
    b"\xdf\xff\xff\xff\xff",
    b"\xde\xff\xff" + b"\xa1a\xc0" * 10,
    b"\x81\xa2\xff\xfe\xc0",
)


def test_msgpack_that_lies(tmp_path):
    for leaf in LYING_LEAVES:
        assert peak_memory(refused, b"\x81\xa1a" + leaf, tmp_path) < 20 * MB
    # each list claims a million entries; believed, each takes 8 MB before the first is read
    lists = (b"\xdd" + struct.pack(">I", 10**6)) * 30 + b"\xc0" * 10**6
    refused(b"\x81\xa1a" + lists, tmp_path, "max_array_len")
    for data in LYING_MAPS:
        assert peak_memory(refused, data, tmp_path, None, "file", read_tensors) < 20 * MB


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(shape, offsets, dtype="F32"):
    return safetensors({"w": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}, bytes(16))


def test_safetensors_that_lie(tmp_path):
    for data in (
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 10**8) + b"{" + b" " * 100,
        safetensors(b'{"a":' * 5000),
        safetensors({}),
        safetensors({"__metadata__": {"vivit_lab": 7}}),
        entry([4], [0, 16])[:-16],
        entry([4], [0, 8]),
        entry([2**62, 4], [0, 16]),
        entry([4], [0, 16], "PICKLE"),
    ):
        for load in (load_checkpoint, read_checkpoint_info):
            refused(data, tmp_path, load=load)


# ---- whatever else: random damage gives success or a WeightsError, nothing else


damage = st.lists(
    st.tuples(
        st.sampled_from(["set", "cut", "insert", "repeat"]),
        st.floats(0, 1, exclude_max=True),
        st.binary(min_size=1, max_size=6),
    ),
    min_size=1,
    max_size=6,
)


def damaged(data, steps):
    data = bytearray(data)
    for kind, place, content in steps:
        at = int(place * (len(data) + 1))
        if kind == "set":
            data[at : at + len(content)] = content
        elif kind == "cut":
            del data[at : at + 1 + 40 * len(content)]
        elif kind == "insert":
            data[at:at] = content
        else:
            data[at:at] = data[max(0, at - 200) : at]
    return bytes(data)


def survive(load, path, data):
    path.write_bytes(data)
    with contextlib.suppress(WeightsError):
        load(path)


KINDS = ("msgpack", "npz", "compressed npz", "safetensors")


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files(kind, ours, tmp_path_factory):
    path = tmp_path_factory.mktemp("damaged") / "file"
    packed_npz = npz(save=np.savez_compressed)
    data = dict(zip(KINDS, (MSGPACK, npz(), packed_npz, ours), strict=True))[kind]
    load = load_checkpoint if kind == "safetensors" else try_scenic

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(damage)
    def check(steps):
        survive(load, path, damaged(data, steps))
        # the names and lengths at the start are hit far more often than in the whole file
        survive(load, path, damaged(data[:400], steps) + data[400:])

    check()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.binary(max_size=300))
def test_random_bytes(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "random bytes"
    for load in (*LOADERS.values(), read_tensors):
        survive(load, path, data)
        survive(load, path, b"\x81\xa1a" + data)
