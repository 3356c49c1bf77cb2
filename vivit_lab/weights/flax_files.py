"""Reading Flax parameters without flax or jax: msgpack checkpoints, .npz files, dicts."""

import math
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vivit_lab.weights.files import first_bytes
from vivit_lab.weights.report import WeightsError

# Where the parameters lie: old Scenic, new Scenic, big_vision, or the parameters alone.
PREFIXES = ("optimizer/target/", "opt/target/", "params/params/", "params/img/", "params/", "")
# Momentum and the like: larger than the parameters, and of no use here.
OPTIMISER_STATE = ("optimizer/state", "opt/state", "opt_state")
ANCHOR = "embedding/kernel"  # every Flax ViT and ViViT has it

MOST_DEPTH = 24  # nested dicts in a checkpoint; the official ones have 8
MOST_LEAVES = 100_000
MOST_EXPANSION = 20  # an .npz of trained weights is at most this many times larger when unpacked
FREE_BYTES = 64 * 2**20  # any .npz may unpack to this much


@dataclass(frozen=True)
class FlaxParameters:
    """The parameters found in one source, by their official names 'a/b/c'.

    Example:
        >>> FlaxParameters("vit.npz", {"cls": torch.zeros(1, 1, 48)}, others=0).source
        'vit.npz'
    """

    source: str  # for reports and errors
    leaves: dict[str, Tensor]
    others: int  # arrays that lay elsewhere in the source: step counters, example inputs


def read_flax(source: str | Path | Mapping, most_numbers: int | None = None) -> FlaxParameters:
    """The parameters of a Flax checkpoint (msgpack), an .npz file, or a nested or flat dict.

    Args:
        source: a file, or arrays by name: {"a": {"b": ...}} or {"a/b": ...}.
        most_numbers: how many the model has; an .npz that would unpack to far more is refused
            before anything is unpacked.

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: none of these, damaged, a pickle, or without the parameters of a ViT.

    Example:
        >>> tree = {"params": {"embedding": {"kernel": np.ones((2, 8, 8, 3, 48))}}, "step": 7}
        >>> found = read_flax(tree)
        >>> found.source, list(found.leaves), found.others
        ('the given dict', ['embedding/kernel'], 1)
    """
    if isinstance(source, Mapping):
        return _select("the given dict", _flat(source))
    path = Path(source)
    start = first_bytes(path)
    if start.startswith(b"PK"):
        return _read_npz(path, most_numbers)
    if _is_map(start[:1]):
        return _select(path.name, _read_msgpack(path))
    hint = ""
    if start[8:9] == b"{":
        hint = " It looks like .safetensors: load_checkpoint opens ours, load_huggingface theirs."
    raise WeightsError(
        f"{path.name!r} is neither a Flax checkpoint (msgpack) nor an .npz file.{hint}"
    )


def as_tensor(name: str, value: object) -> Tensor:
    """An array of any library as a tensor of the same dtype, bfloat16 included.

    Example:
        >>> as_tensor("bias", np.zeros(3, np.float16))
        tensor([0., 0., 0.], dtype=torch.float16)
    """
    if isinstance(value, Tensor):
        return value.detach()
    try:
        array = np.asarray(value)
        if array.dtype.name == "bfloat16" or array.dtype == np.dtype("V2"):  # V2: as .npz has it
            return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
        return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), order="C"))
    except (TypeError, ValueError):
        raise WeightsError(f"{name!r} is not an array of numbers, but {_kind(value)}.") from None


def _kind(value: object) -> str:
    dtype = getattr(value, "dtype", None)
    return f"an array of {dtype}" if dtype is not None else f"a {type(value).__name__}"


def _select(source: str, flat: Mapping[str, object]) -> FlaxParameters:
    prefix = _prefix(source, flat)
    leaves = {
        name.removeprefix(prefix): as_tensor(name, value)
        for name, value in flat.items()
        if name.startswith(prefix)
    }
    return FlaxParameters(source, leaves, len(flat) - len(leaves))


def _prefix(source: str, names: Iterable[str]) -> str:
    names = set(names)
    for prefix in PREFIXES:
        if prefix + ANCHOR in names:
            return prefix
    shown = ", ".join(map(repr, sorted(names)[:3])) or "nothing"
    raise WeightsError(
        f"{source} holds no ViT or ViViT of the official code: there is no {ANCHOR!r} (it may lie "
        f"in {', '.join(p for p in PREFIXES if p)}). It holds {shown} and so on."
    )


def _flat(tree: Mapping, path: str = "", depth: int = 0) -> dict[str, object]:
    """{'a': {'b': x}} -> {'a/b': x}; arrays that flax cut into chunks are joined."""
    if depth > MOST_DEPTH:
        raise WeightsError(f"The given dict is nested more than {MOST_DEPTH} deep.")
    found = {}
    for key, value in tree.items():
        name = f"{path}/{key}" if path else str(key)
        if not isinstance(value, Mapping):
            found[name] = value
        elif "__msgpack_chunked_array__" in value:
            found[name] = _joined(name, value)
        else:
            found |= _flat(value, name, depth + 1)
    return found


# ---- msgpack, as flax writes it: maps of ext type 1 (shape, dtype, bytes)


def _is_map(byte: bytes) -> bool:
    return bool(byte) and (0x80 <= byte[0] <= 0x8F or byte[0] in (0xDE, 0xDF))


def _read_msgpack(path: Path) -> dict[str, object]:
    """All arrays by name, except the optimiser's state, which is passed over unread."""
    import msgpack

    size = path.stat().st_size
    with open(path, "rb") as file, open(path, "rb") as ahead:
        unpacker = msgpack.Unpacker(
            file,
            read_size=2**20,
            max_buffer_size=max(size, 2**20),
            ext_hook=_array,
            max_str_len=4096,
            max_bin_len=size,
            max_ext_len=size,
            max_array_len=64,
            max_map_len=MOST_LEAVES,
        )

        def next_is_map() -> bool:
            ahead.seek(unpacker.tell())
            return _is_map(ahead.read(1))

        try:
            tree = _walk(unpacker, next_is_map, "", [0])
        except WeightsError as reason:
            raise WeightsError(f"{path.name!r}: {reason}") from None
        except msgpack.OutOfData:
            raise WeightsError(f"{path.name!r} ends too early: was it copied completely?") from None
        except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as reason:
            why = str(reason) or type(reason).__name__
            raise WeightsError(f"{path.name!r} is not a sound msgpack file: {why}") from None
        if unpacker.tell() != size:
            raise WeightsError(f"{path.name!r} goes on after its end: it is damaged.")
    return _flat(tree)


def _walk(unpacker, next_is_map: Callable[[], bool], path: str, leaves: list[int]) -> dict:
    if path.count("/") > MOST_DEPTH:
        raise WeightsError(f"it is nested more than {MOST_DEPTH} deep.")
    tree = {}
    for _ in range(unpacker.read_map_header()):
        key = unpacker.unpack()
        name = f"{path}/{key}" if path else str(key)
        if not isinstance(key, str) or key in tree:
            raise WeightsError(f"the name {name!r} is not text, or is there twice.")
        if name in OPTIMISER_STATE:
            unpacker.skip()
        elif next_is_map():
            tree[key] = _walk(unpacker, next_is_map, name, leaves)
        else:
            tree[key] = unpacker.unpack()
            leaves[0] += 1
            if leaves[0] > MOST_LEAVES:
                raise WeightsError(f"it holds more than {MOST_LEAVES} arrays.")
    return tree


def _array(code: int, data: bytes) -> Tensor | complex:
    """flax's ext types: 1 an array, 2 a complex number, 3 a scalar."""
    import msgpack

    if code == 2:
        real, imaginary = msgpack.unpackb(data)
        return complex(real, imaginary)
    if code not in (1, 3):
        raise WeightsError(f"it holds msgpack extension {code}, which flax does not write.")
    shape, dtype, buffer = msgpack.unpackb(data, raw=True, use_list=False, max_array_len=64)
    dtype = _dtype(bytes(dtype).decode("ascii", "replace"))
    _check_size(shape, dtype.itemsize, len(buffer))
    if not buffer:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(buffer), dtype=dtype).reshape(shape)


def _dtype(name: str) -> torch.dtype:
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        raise WeightsError(f"it holds an array of {name!r}, which is not a number type.")
    return dtype


def _check_size(shape: tuple, itemsize: int, length: int) -> None:
    if not isinstance(shape, tuple) or any(type(n) is not int or n < 0 for n in shape):
        raise WeightsError(f"it holds an array of shape {shape!r}.")
    if math.prod(shape) * itemsize != length or len(shape) > 8:
        raise WeightsError(f"it holds an array of shape {shape} in {length} bytes: damaged.")


def _joined(name: str, chunked: Mapping) -> Tensor:
    """An array of over 1 GB, which flax writes as a dict of flat pieces."""
    try:
        shape, chunks = ([part[str(i)] for i in range(len(part))] for part in (
            chunked["shape"], chunked["chunks"],
        ))  # fmt: skip
        shape = tuple(int(n) for n in shape)
        whole = torch.cat([as_tensor(name, chunk).reshape(-1) for chunk in chunks])
        _check_size(shape, 1, whole.numel())
        return whole.reshape(shape)
    except (KeyError, TypeError, ValueError, RuntimeError) as reason:
        raise WeightsError(f"The pieces of {name!r} do not fit together: {reason}") from None


# ---- .npz: a zip archive of .npy files


def _read_npz(path: Path, most_numbers: int | None) -> FlaxParameters:
    """The parameters of an .npz; sizes are checked before anything is unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            if len(members) != len(archive.infolist()):
                raise WeightsError("a name is there twice.")
            prefix = _prefix(repr(path.name), members)
            wanted = {n: info for n, info in members.items() if n.startswith(prefix)}
            _check_declared(wanted.values(), path.stat().st_size, most_numbers)
            leaves = {
                name.removeprefix(prefix): _read_member(archive, info)
                for name, info in wanted.items()
            }
    except WeightsError as reason:
        text = str(reason)
        raise WeightsError(text if path.name in text else f"{path.name!r}: {text}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as reason:
        raise WeightsError(f"{path.name!r} is not a sound .npz file: {reason}") from None
    return FlaxParameters(path.name, leaves, len(members) - len(leaves))


def _check_declared(
    members: Iterable[zipfile.ZipInfo], file_bytes: int, most_numbers: int | None
) -> None:
    unpacked = sum(info.file_size for info in members)
    most = MOST_EXPANSION * file_bytes + FREE_BYTES
    if most_numbers is not None:
        most = min(most, 8 * most_numbers + FREE_BYTES)  # float64 at the widest
    if unpacked > most:
        raise WeightsError(
            f"it would unpack to {unpacked:,} bytes, but at most {most:,} can be needed here: "
            "it is for a larger model, or not to be trusted."
        )


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Tensor:
    name = info.filename
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise WeightsError(f"{name!r} is compressed in a way that NumPy does not write.")
    with archive.open(info) as file:
        shape, fortran, dtype = _npy_header(name, file)
        length = info.file_size - file.tell()
        _check_size(shape, dtype.itemsize, length)
        data = file.read(length)  # at most the declared size; checks the CRC at the end
    if len(data) != length:
        raise WeightsError(f"{name!r} ends too early.")
    array = np.ndarray(shape, dtype, data, order="F" if fortran else "C")
    return as_tensor(name, array)


def _npy_header(name: str, file) -> tuple[tuple[int, ...], bool, np.dtype]:
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        version = np.lib.format.read_magic(file)
        shape, fortran, dtype = readers[version](file, max_header_size=10_000)
    except Exception as reason:  # a Python literal from an unknown file: anything may go wrong
        raise WeightsError(f"{name!r} is not a sound .npy file: {reason}") from None
    if dtype.hasobject:
        raise WeightsError(f"{name!r} holds Python objects, that is a pickle: never opened.")
    return shape, fortran, dtype
