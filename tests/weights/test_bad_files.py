"""Files that are damaged, foreign or hostile: one kind of error, no harm, an unchanged model."""

import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile
import zlib

import msgpack
import numpy as np
import pytest
import torch
from flax_like import nested, official, packed
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from vivit_lab import ViViTConfig, build_model
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
from vivit_lab.weights.files import read_safetensors, write_safetensors

TINY = ViViTConfig(
    frames=2, image_size=8, tubelet=(2, 4, 4), dim=6, depth=1, heads=2, mlp_dim=4, num_classes=3
)
KERNEL = "Transformer/encoderblock_0/MlpBlock_0/Dense_0/kernel"


def tiny_model():
    torch.manual_seed(0)
    model = build_model(TINY)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model


MODEL = tiny_model()
LEAVES = official(MODEL.state_dict(), TINY.heads)


def npz(leaves=LEAVES, save=np.savez):
    file = io.BytesIO()
    save(file, **leaves)
    return file.getvalue()


def checkpoint_bytes(folder):
    save_checkpoint(folder / "whole.safetensors", MODEL, class_names=["a", "b", "c"])
    return (folder / "whole.safetensors").read_bytes()


MSGPACK = packed({"optimizer": {"target": nested(LEAVES), "state": {"step": 1}}, "step": 1})


def try_scenic(path):
    """load_scenic into a model that must stay as it is, bit by bit, unless it succeeds."""
    model = tiny_model()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    try:
        load_scenic(model, path)
    except WeightsError:
        after = model.state_dict()
        assert all(torch.equal(v, after[k]) for k, v in before.items())
        raise


LOADERS = {
    "load_scenic": try_scenic,
    "scenic_config": lambda path: scenic_config(path, frames=2),
    "load_flax_image_vit": load_flax_image_vit,
    "load_checkpoint": load_checkpoint,
    "read_checkpoint_info": read_checkpoint_info,
}
loaders = pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)


def refused(data, tmp_path, match=None, name="file", load=try_scenic):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=match) as caught:
        load(path)
    return str(caught.value)


def test_the_files_that_the_others_are_made_from_are_sound(tmp_path):
    for name, data in (("checkpoint", MSGPACK), ("model.npz", npz())):
        (tmp_path / name).write_bytes(data)
        model = build_model(TINY)
        load_scenic(model, tmp_path / name)
        assert all(torch.equal(v, model.state_dict()[k]) for k, v in MODEL.state_dict().items())
    (tmp_path / "m.safetensors").write_bytes(checkpoint_bytes(tmp_path))
    load_checkpoint(tmp_path / "m.safetensors")


# ---- not a file of weights at all


@loaders
def test_nothing_there_a_folder_and_an_empty_file(load, tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        load(tmp_path / "nothing")
    with pytest.raises(WeightsError, match="is a folder"):
        load(tmp_path)
    refused(b"", tmp_path, "'file' is empty", load=load)


@loaders
@pytest.mark.parametrize(
    "name", ["notes.txt", "photo.jpg", "model.npz", "checkpoint", "x.safetensors"]
)
@pytest.mark.parametrize(
    "data",
    [
        b"hello, world",
        b"\xff\xd8\xff\xe0 a photo",
        b"\0" * 100,
        b"{" * 100,
        b"\x7fELF",
        b"PK",
        b"P",
    ],
)
def test_other_files(data, name, load, tmp_path):
    assert name in refused(data, tmp_path, name=name, load=load)


class Evil:
    """Unpickling it creates a file."""

    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return os.mkdir, (self.target,)


def evil_pickles(target):
    yield from (pickle.dumps({"w": Evil(target)}, protocol) for protocol in range(6))
    yield from (pickle.dumps(Evil(target), protocol) for protocol in range(6))
    for modern in (True, False):
        file = io.BytesIO()
        torch.save({"w": Evil(target)}, file, _use_new_zipfile_serialization=modern)
        yield file.getvalue()
    yield npz({"params/embedding/kernel": np.array([Evil(target)], dtype=object)})
    yield npz({"embedding/kernel": np.array([Evil(target)], dtype=object)} | {"a": np.ones(2)})


@loaders
@pytest.mark.parametrize("name", ["m.pt", "m.pth", "m.bin", "m.pkl", "m.npz", "m.safetensors", "m"])
def test_pickles_are_never_opened(name, load, tmp_path):
    target = tmp_path / "was here"
    for data in evil_pickles(target):
        refused(data, tmp_path, name=name, load=load)
        assert not target.exists()
    pickle.loads(pickle.dumps(Evil(target)))  # it would have worked
    assert target.exists()


def test_arrays_of_objects_are_named_as_what_they_are(tmp_path):
    data = npz({"embedding/kernel": np.array([Evil(tmp_path / "was here")], dtype=object)})
    refused(data, tmp_path, "Python objects", name="m.npz")


@pytest.mark.parametrize("header", [640, 896, 1152, 1408, 25640, 27688])
def test_a_header_whose_length_looks_like_a_pickle_is_none(header, tmp_path):
    path = tmp_path / "padded.safetensors"
    write_safetensors(path, {"w": torch.ones(1)}, {"pad": "x" * (header - 96)})
    assert int.from_bytes(path.read_bytes()[:8], "little") == header
    tensors, _ = read_safetensors(path)
    assert tensors["w"].item() == 1


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_pickles_in_a_folder_of_transformers(name, tmp_path):
    target = tmp_path / "was here"
    for number, data in enumerate(evil_pickles(target)):
        folder = tmp_path / str(number)
        save_huggingface(MODEL, folder)
        (folder / "model.safetensors").unlink()
        (folder / name).write_bytes(data)
        with pytest.raises(WeightsError, match=name):
            load_huggingface(folder)
        assert not target.exists()


def test_formats_are_not_mixed_up(tmp_path):
    whole = checkpoint_bytes(tmp_path)
    refused(whole, tmp_path, "load_checkpoint", name="m.safetensors")
    refused(MSGPACK, tmp_path, "safetensors", load=load_checkpoint)
    refused(npz(), tmp_path, "safetensors", load=load_checkpoint)
    save_huggingface(MODEL, tmp_path / "folder")
    with pytest.raises(WeightsError, match="not a checkpoint of this package"):
        load_checkpoint(tmp_path / "folder" / "model.safetensors")
    np.save(tmp_path / "one.npy", np.ones(3))
    with pytest.raises(WeightsError, match="neither"):
        load_scenic(MODEL, tmp_path / "one.npy")
    with pytest.raises(WeightsError, match=r"no ViT or ViViT.*'weights'"):
        load_scenic(MODEL, {"weights": np.ones(3)})
    with pytest.raises(WeightsError, match="holds nothing"):
        load_scenic(MODEL, {})


# ---- cut short


def test_cut_at_every_place_of_a_checkpoint(tmp_path):
    path = tmp_path / "checkpoint"
    for end in (*range(1, len(MSGPACK), 41), len(MSGPACK) - 1):
        path.write_bytes(MSGPACK[:end])
        with pytest.raises(WeightsError, match="ends too early"):
            try_scenic(path)
    refused(MSGPACK + b"\x00", tmp_path, "goes on after its end")


def test_cut_at_every_place_of_an_npz(tmp_path):
    for save in (np.savez, np.savez_compressed):
        data = npz(save=save)
        for end in (*range(1, len(data), 97), len(data) - 1):
            refused(data[:end], tmp_path, name="model.npz")


def test_cut_at_every_place_of_our_own(tmp_path):
    data = checkpoint_bytes(tmp_path)
    for end in (*range(1, len(data), 41), len(data) - 1):
        refused(data[:end], tmp_path, name="model.safetensors", load=load_checkpoint)
    refused(data + b"\0", tmp_path, name="model.safetensors", load=load_checkpoint)


# ---- sound files with the wrong content


def with_leaf(value, name=KERNEL):
    return LEAVES | {name: value}


SHAPE = LEAVES[KERNEL].shape
WRONG_LEAVES = {
    "int64": (np.ones(SHAPE, np.int64), "int64"),
    "bool": (np.ones(SHAPE, bool), "bool"),
    "complex": (np.ones(SHAPE, np.complex64), "complex64"),
    "nan": (np.full(SHAPE, np.nan, np.float32), "not finite"),
    "inf": (np.full(SHAPE, np.inf, np.float64), "not finite"),
    "too large for float32": (np.full(SHAPE, 1e300), "not finite"),
    "transposed": (LEAVES[KERNEL].T, "mlp_dim is 6 in it"),
    "one axis more": (LEAVES[KERNEL][None], "must have 2 axes"),
    "one number": (np.float32(1), "must have 2 axes"),
    "empty": (np.zeros((6, 0), np.float32), "mlp_dim is 0 in it"),
}


@pytest.mark.parametrize("value, message", WRONG_LEAVES.values(), ids=WRONG_LEAVES)
def test_wrong_numbers_in_an_official_file(value, message, tmp_path):
    leaves = with_leaf(value)
    refused(npz(leaves), tmp_path, message, name="model.npz")
    refused(packed(nested(leaves)), tmp_path, message)
    model = tiny_model()
    with pytest.raises(WeightsError, match=message):
        load_scenic(model, leaves)
    assert all(torch.equal(v, MODEL.state_dict()[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize("value", ["text", None, [[1], [2, 3]], object(), b"bytes"])
def test_leaves_that_are_no_arrays(value):
    with pytest.raises(WeightsError, match="Dense_0/kernel"):
        load_scenic(MODEL, with_leaf(value))


@pytest.mark.parametrize("kind", ["int64", "complex64", "nan", "missing", "extra", "another shape"])
def test_wrong_tensors_in_our_own_and_in_theirs(kind, tmp_path):
    save_checkpoint(tmp_path / "m.safetensors", MODEL)
    save_huggingface(MODEL, tmp_path / "folder")
    theirs = "vivit.encoder.layer.0.intermediate.dense.weight"
    for path, load, name in (
        (tmp_path / "m.safetensors", load_checkpoint, "blocks.0.mlp.fc1.weight"),
        (tmp_path / "folder" / "model.safetensors", None, theirs),
    ):
        with safe_open(path, "pt") as file:
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
            metadata = file.metadata()
        match kind:
            case "missing":
                del tensors[name]
            case "extra":
                tensors["more"] = torch.ones(2)
            case "another shape":
                tensors[name] = tensors[name].T.contiguous()
            case "nan":
                tensors[name][0, 0] = float("nan")
            case _:
                tensors[name] = tensors[name].to(getattr(torch, kind))
        save_file(tensors, path, metadata=metadata)
        with pytest.raises(WeightsError):
            load(path) if load else load_huggingface(path.parent)


def test_another_size_is_named(tmp_path):
    other = build_model(ViViTConfig(**{
        f: getattr(TINY, f) for f in ("tubelet", "dim", "depth", "heads", "mlp_dim")
    } | {"frames": 4, "image_size": 8, "num_classes": 7}))  # fmt: skip
    leaves = official(other.state_dict(), 2)
    refused(npz(leaves), tmp_path, "num_classes is 7 in it, 3 in the model", name="m.npz")
    leaves = {k: v for k, v in leaves.items() if not k.startswith("output")}
    leaves |= {k: v for k, v in LEAVES.items() if k.startswith("output")}
    refused(npz(leaves), tmp_path, "8 tokens, the model for 4", name="m.npz")


# ---- zip archives that lie, and bombs


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


def npy(shape, dtype="<f4", data=b"", fortran=False):
    header = repr({"descr": dtype, "fortran_order": fortran, "shape": shape}).encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def peak_memory(function):
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


MB = 2**20


@pytest.fixture(scope="module")
def bomb():
    data = zipped({"embedding/kernel.npy": npy((40 * MB,), data=bytes(160 * MB))})
    assert len(data) < MB
    return data


@pytest.mark.parametrize("load", [try_scenic, load_flax_image_vit, scenic_config])
def test_a_zip_bomb_is_seen_before_it_is_unpacked(load, bomb, tmp_path):
    used = peak_memory(lambda: refused(bomb, tmp_path, "would unpack to", name="m.npz", load=load))
    assert used < 10 * MB


def test_many_small_bombs_count_together(tmp_path):
    members = {f"params/{i}.npy": npy((5 * MB,), data=bytes(20 * MB)) for i in range(4)}
    members["params/embedding/kernel.npy"] = npy((1,), data=bytes(4))
    refused(zipped(members), tmp_path, "would unpack to", name="m.npz")


@pytest.mark.parametrize("lie", [0, 100, 132, 5000])
def test_an_archive_that_lies_about_its_size(lie, tmp_path):
    """132 bytes are a header of 128 and one number: the lie that fits."""
    for shape in ((1,), (50 * MB,), (10**12,), (10**30,)):
        inside = npy(shape, data=bytes(20 * MB))
        data = zipped({"embedding/kernel.npy": inside}, lie)
        assert peak_memory(lambda d=data: refused(d, tmp_path, name="m.npz")) < 5 * MB


@pytest.mark.parametrize(
    "member",
    [
        npy((-1, -4), data=bytes(16)),
        npy((10**30, 0)),
        npy((2, 2), data=bytes(12)),
        npy((2, 2), data=bytes(20)),
        npy("abc"),
        npy((2.5,)),
        npy((True, 2), data=bytes(8)),
        npy((1,) * 40, data=bytes(4)),
        npy((2,), "|O", bytes(16)),
        npy((2,), "|S4", bytes(8)),
        npy((1,), "<M8[s]", bytes(8)),
        npy((2,), [("a", "<f4")], bytes(8)),
        npy((2,), "nonsense", bytes(8)),
        npy((2,), "<f4", bytes(8)).replace(b"\x01\x00", b"\x09\x00", 1),
        b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535,
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b"[" * 5000,
        b"\x93NUMPY",
        b"",
        b"not an array",
    ],
    ids=range(19),
)
def test_arrays_that_lie_or_are_none(member, tmp_path):
    refused(zipped({"embedding/kernel.npy": member}), tmp_path, name="m.npz")


def test_archives_in_other_ways_of_packing(tmp_path):
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            archive.writestr("embedding/kernel.npy", npy((1,), data=bytes(4)))
        refused(file.getvalue(), tmp_path, "compressed in a way", name="m.npz")
    data = bytearray(npz())
    flags = data.index(b"PK\x01\x02") + 8
    data[flags] |= 1  # says that it is encrypted
    refused(bytes(data), tmp_path, name="m.npz")


def test_a_name_that_is_there_twice(tmp_path):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        for name, value in [*LEAVES.items(), (KERNEL, LEAVES[KERNEL])]:
            member = io.BytesIO()
            np.save(member, value)
            archive.writestr(f"{name}.npy", member.getvalue())
    refused(file.getvalue(), tmp_path, "twice", name="m.npz")


# ---- msgpack that lies


def deep(levels):
    return b"\x81\xa1a" * levels + b"\xc0"


def ext(code, data):
    return b"\xc9" + struct.pack(">IB", len(data), code) + data


def array(shape, dtype=b"float32", data=b""):
    return ext(1, msgpack.packb((shape, dtype, data)))


@pytest.mark.parametrize(
    "data",
    [
        deep(10),
        deep(30),
        deep(5000),
        b"\x81\xa9opt_state" + deep(5000),  # the part that is passed over
        b"\x81\xa1a" + b"\x91" * 5000 + b"\xc0",
        b"\x81" + b"\x91" * 5000 + b"\xc0",  # as a key
        b"\xdf\xff\xff\xff\xff",
        b"\xde\xff\xff" + b"\xa1a\xc0" * 10,
        b"\x81\xa1a\xdd\xff\xff\xff\xff",
        b"\x81\xa1a\xdb\xff\xff\xff\xff",
        b"\x81\xa1a\xc6\xff\xff\xff\xff",
        b"\x81\xa1a\xc9\xff\xff\xff\xff\x01",
        b"\x81\xdb\xff\xff\xff\xff",
        b"\x81\xa1a\xc1",
        b"\x81\xa2\xff\xfe\xc0",
        b"\x81\x01\xc0",
        b"\x82\xa1a\xc0\xa1a\xc0",
        b"\x80",
        b"\x81\xa1a" + ext(1, b""),
        b"\x81\xa1a" + ext(1, b"\xc0"),
        b"\x81\xa1a" + ext(1, b"\x91" * 5000),
        b"\x81\xa1a" + ext(2, b"\x01"),
        b"\x81\xa1a" + ext(3, b"\x93\x01\x02"),
        b"\x81\xa1a" + ext(255, b"\x00" * 5),
        b"\x81\xa1a" + ext(9, b"data"),
        b"\x81\xa1a" + array((-1, -4), data=bytes(16)),
        b"\x81\xa1a" + array((2**40, 2**40)),
        b"\x81\xa1a" + array((2**40, 0)),
        b"\x81\xa1a" + array((2**70,)[:0] + (3,), data=bytes(8)),
        b"\x81\xa1a" + array((2.0,), data=bytes(8)),
        b"\x81\xa1a" + array("ab", data=bytes(8)),
        b"\x81\xa1a" + array((1,) * 60, data=bytes(4)),
        b"\x81\xa1a" + array((2,), b"object", bytes(16)),
        b"\x81\xa1a" + array((2,), b"save", bytes(16)),
        b"\x81\xa1a" + array((2,), 7, bytes(8)),
        b"\x81\xa1a" + array((2,), b"float32", 7),
        msgpack.packb({"embedding": {"__msgpack_chunked_array__": True}}),
        msgpack.packb({"a": {"__msgpack_chunked_array__": 1, "shape": {"0": 5}, "chunks": {}}}),
        msgpack.packb({"a": {"__msgpack_chunked_array__": 1, "shape": 5, "chunks": {"0": 1}}}),
    ],
    ids=range(39),
)
def test_msgpack_that_lies(data, tmp_path):
    assert peak_memory(lambda: refused(data, tmp_path)) < 20 * MB


def test_lists_are_not_believed(tmp_path):
    """Each list claims a million entries; believed, each takes 8 MB before the first is read."""
    lists = (b"\xdd" + struct.pack(">I", 10**6)) * 30
    data = b"\x81\xa1a" + lists + b"\xc0" * 10**6
    assert peak_memory(lambda: refused(data, tmp_path, "max_array_len")) < 20 * MB


def test_a_tree_that_is_there_twice(tmp_path):
    tree = msgpack.packb("params") + packed(nested(LEAVES))
    refused(b"\x82" + tree + tree, tmp_path, "'params' is not text, or is there twice")


def test_too_many_names(tmp_path):
    many = b"\xdf" + struct.pack(">I", 99_000)
    many += b"".join(b"\xa5" + b"%05d" % i + b"\xc0" for i in range(99_000))
    refused(b"\x82\xa1a" + many + b"\xa1b" + many, tmp_path, "more than 100000 arrays")


def test_dicts_that_are_too_deep():
    tree = {}
    for _ in range(5000):
        tree = {"a": tree}
    with pytest.raises(WeightsError, match="nested"):
        load_scenic(MODEL, tree)
    tree["a"] = tree
    with pytest.raises(WeightsError, match="nested"):
        load_scenic(MODEL, tree)


# ---- safetensors that lie


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(shape, offsets, dtype="F32"):
    return {"w": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


@pytest.mark.parametrize("load", [load_checkpoint, read_checkpoint_info])
@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 10**8) + b"{" + b" " * 100,
        struct.pack("<Q", 3) + b"{}",
        safetensors(b"{" * 5000),
        safetensors(b'{"a":' * 5000),
        safetensors({}),
        safetensors(entry([4], [0, 16])),
        safetensors(entry([4], [0, 8]), bytes(16)),
        safetensors(entry([2**62, 4], [0, 16]), bytes(16)),
        safetensors(entry([4], [16, 0]), bytes(16)),
        safetensors(entry([-4], [0, 16]), bytes(16)),
        safetensors(entry([4], [0, 16], "PICKLE"), bytes(16)),
        safetensors({"a": 1}),
        safetensors({"__metadata__": {"vivit_lab": 7}}),
    ],
    ids=range(14),
)
def test_safetensors_that_lie(data, load, tmp_path):
    refused(data, tmp_path, name="m.safetensors", load=load)


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
    try:
        load(path)
    except WeightsError:
        pass
    except FileNotFoundError:
        raise AssertionError("the file is there") from None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("damaged")


quick = settings(max_examples=150, deadline=None, derandomize=True)


@quick
@given(damage)
def test_damaged_checkpoints(folder, steps):
    survive(try_scenic, folder / "checkpoint", damaged(MSGPACK, steps))


@quick
@given(damage)
def test_damaged_starts_of_checkpoints(folder, steps):
    """The names and lengths at the start are hit far more often than in the whole file."""
    start = damaged(MSGPACK[:300], steps)
    survive(try_scenic, folder / "checkpoint", start + MSGPACK[300:])


@quick
@given(damage, st.booleans())
def test_damaged_npz(folder, steps, compressed):
    data = npz(save=np.savez_compressed if compressed else np.savez)
    survive(try_scenic, folder / "m.npz", damaged(data, steps))
    survive(load_flax_image_vit, folder / "m.npz", data[:200] + damaged(data[200:], steps))


@quick
@given(damage)
def test_damaged_checkpoints_of_ours(folder, steps):
    data = checkpoint_bytes(folder)
    survive(load_checkpoint, folder / "m.safetensors", damaged(data, steps))
    survive(load_checkpoint, folder / "m.safetensors", damaged(data[:900], steps) + data[900:])


@settings(quick, max_examples=60)
@given(st.binary(max_size=300))
def test_random_bytes(folder, data):
    for load in LOADERS.values():
        survive(load, folder / "file", data)
        survive(load, folder / "file", b"\x81\xa1a" + data)
    survive(try_scenic, folder / "file", zlib.compress(data))
