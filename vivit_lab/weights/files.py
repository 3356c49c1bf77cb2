"""Files of weights, read so that nothing in them can run."""

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vivit_lab.weights.report import WeightsError, listed

# Keys under which trainers keep parameters, the best first: averaged before raw ones, as timm does
AVERAGED = ("state_dict_ema", "model_ema")
CONTAINERS = (*AVERAGED, "state_dict", "model", "model_state_dict", "model_state", "module")
CONTAINERS += ("net", "network", "teacher", "ema")
WRAPPERS = (*CONTAINERS, "_orig_mod", "backbone")  # the first part of all names, or such a key
BESIDE = ("head", "n_averaged")  # names that may lack the wrapper's: DINO's, AveragedModel's
CONVERT = """
If you trust who wrote it, convert it once (the second line runs what is in it):
    import torch
    found = torch.load({old!r}, map_location="cpu", weights_only=False)
    torch.save({{k: v for k, v in found.items() if k in {keys} or torch.is_tensor(v)}}, {new!r})
and load {new!r}. Where found is a whole model, save found.state_dict()."""
MOST_EXPANSION = 20  # an .npz of trained weights is at most this many times larger when unpacked
FREE_BYTES = 64 * 2**20  # any .npz may unpack to this much


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """(tensors by name, notes) of a file of weights; what a trainer put around them is gone.

    Its first bytes tell the kind: .safetensors, .npz, PyTorch's .pt, .pth and .bin, or Flax's
    msgpack, where {'a': {'b': x}} becomes 'a/b'. Everything else raises WeightsError.
    """
    path, advice = _existing(path), ""
    with open(path, "rb") as file:
        start = file.read(9)
    if start[8:9] == b"{":
        return unwrapped(read_safetensors(path)[0])
    try:
        found, notes = unwrapped(_read(path, start))
        _check_tensors(found)
        return found, notes
    except pickle.UnpicklingError as reason:  # whose text advises to run it
        why = "it is damaged, or a pickle of other things than tensors"
        if foreign := re.search(r"Unsupported global: GLOBAL (\S+)", str(reason)):
            why, new = f"it holds {foreign[1]}", path.name.partition(".")[0] + ".tensors.pt"
            advice = CONVERT.format(old=str(path), keys=CONTAINERS, new=new)
    except Exception as reason:  # a damaged file can raise anything
        why = str(reason) or type(reason).__name__
    raise WeightsError(
        f"{path.name!r} cannot be read ({why}). A file of weights must be complete, of the kind "
        ".safetensors, .npz, PyTorch or Flax, and hold nothing but arrays of numbers: anything "
        f"else could run any program.{advice}"
    )


def _read(path: Path, start: bytes) -> object:
    if start.startswith(b"PK"):
        names = zipfile.ZipFile(path).namelist()
        if not any(name.endswith("data.pkl") for name in names):
            return _read_npz(path)
    elif b"\x81" <= start[:1] <= b"\x8f" or start[:1] in (b"\xde", b"\xdf"):  # a map
        return _read_msgpack(path)
    elif not start.startswith(b"\x80"):
        raise ValueError(f"it begins with {start!r}")
    return torch.load(path, map_location="cpu", weights_only=True)


def _check_tensors(found: object) -> None:
    kind, odd = f"a {type(found).__name__}", []
    if isinstance(found, Mapping):
        odd = [k for k, v in found.items() if not (isinstance(k, str) and isinstance(v, Tensor))]
        kind = f"{listed(odd, 12)}; it looks for them under {listed(CONTAINERS, 99)}"
    if odd or not isinstance(found, Mapping):
        raise ValueError(f"it does not hold tensors by name, but {kind}")


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    if not path.is_file():
        raise WeightsError(f"{path.name!r} is a folder, but must be a file of weights.")
    return path


# ---- what trainers and wrappers put around the parameters


def unwrapped(found: object) -> tuple[object, tuple[str, ...]]:
    """The parameters among what a trainer keeps, without a wrapper's prefix; a note of both.

    >>> unwrapped({"model": {"module.w": 1}, "model_ema": {"module.w": 2}})[0]
    {'w': 2}
    """
    way, beside = [], []
    for _ in range(6):  # wrappers in wrappers; a hostile file may hold itself
        if not isinstance(found, Mapping):
            break
        is_flat = not any(isinstance(value, Mapping) for value in found.values())
        groups = _by_prefix(found) if is_flat else found
        key = next((k for k in WRAPPERS if isinstance(groups.get(k), Mapping) and groups[k]), None)
        if key is None:
            break
        way.append(key)
        beside += [name for name in groups if name != key]
        found = groups[key]
    if not way:
        return found, ()
    is_average = "n_averaged" in beside or not {*AVERAGED, "ema"}.isdisjoint(way)
    average = ", averaged over training (EMA)" if is_average else ""
    rest = f"; beside them, not read: {listed(beside, 12)}" if beside else ""
    return found, (f"The weights are those under {'.'.join(way)!r}{average}{rest}.",)


def _by_prefix(found: Mapping) -> dict[str, dict]:
    """{'module.w': x} -> {'module': {'w': x}}; {} unless all names begin with a wrapper's."""
    groups = {}
    for name, value in found.items():
        first, dot, rest = str(name).partition(".")
        if first not in BESIDE and not (dot and first in WRAPPERS):
            return {}
        groups.setdefault(first, {})[rest] = value
    return groups


# ---- .safetensors


def read_safetensors(path: str | Path, header_only: bool = False) -> tuple[dict, dict]:
    """All tensors of a .safetensors file, and the text fields of its header."""
    from safetensors import safe_open

    path = _existing(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names = [] if header_only else file.keys()
            return {name: file.get_tensor(name) for name in names}, dict(file.metadata() or {})
    except Exception as reason:  # its own, and whatever else a damaged file can raise
        raise WeightsError(f"{path.name!r} cannot be read as .safetensors: {reason}") from None


# ---- NumPy's .npz


def _read_npz(path: Path) -> dict[str, Tensor]:
    with np.load(path, allow_pickle=False) as arrays:
        unpacked = sum(member.file_size for member in arrays.zip.infolist())
        if unpacked > MOST_EXPANSION * path.stat().st_size + FREE_BYTES:
            raise ValueError(f"it would unpack to {unpacked:,} bytes, far more than its size")
        return {name: as_tensor(name, arrays[name]) for name in arrays.files}


def as_tensor(name: str, value: object) -> Tensor:
    """An array of any library as a tensor of the same dtype, bfloat16 included."""
    if isinstance(value, Tensor):
        return value.detach()
    try:
        array = np.asarray(value)
        if array.dtype.name == "bfloat16" or array.dtype == np.dtype("V2"):  # V2: as .npz has it
            return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
        return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), order="C"))
    except (TypeError, ValueError):
        kind = type(value).__name__
        raise WeightsError(f"{name!r} is not an array of numbers, but a {kind}.") from None


# ---- msgpack, as flax writes it


def _read_msgpack(path: Path) -> dict[str, Tensor]:
    import msgpack

    size = path.stat().st_size
    with open(path, "rb") as file:
        unpacker = msgpack.Unpacker(
            file,
            ext_hook=_flax_array,
            max_buffer_size=max(size, 2**20),
            max_array_len=64,  # flax writes lists as maps
            max_map_len=100_000,
        )
        leaves = flat(_without_optimiser(unpacker))
        if unpacker.tell() != size:
            raise ValueError("there are more bytes after its end")
    numbers = (Tensor, int, float)
    return {name: as_tensor(name, x) for name, x in leaves.items() if isinstance(x, numbers)}


def _without_optimiser(unpacker) -> dict:
    """The tree of a checkpoint; momentum and the like, as large as the parameters, is skipped."""
    tree = {}
    for _ in range(unpacker.read_map_header()):
        key = unpacker.unpack()
        if key in ("opt_state", "state"):
            unpacker.skip()
        elif key in ("optimizer", "opt"):  # maps of the parameters ("target") and the state
            tree[key] = _without_optimiser(unpacker)
        else:
            tree[key] = unpacker.unpack()
    return tree


def _flax_array(code: int, data: bytes) -> Tensor:
    """flax's ext types: 1 an array, 3 a scalar."""
    import msgpack

    if code not in (1, 3):
        raise ValueError(f"it holds a value of the kind {code}, which is no array")
    shape, dtype, buffer = msgpack.unpackb(data, raw=True)
    numbers = torch.frombuffer(bytearray(buffer), dtype=getattr(torch, dtype.decode()))
    return numbers.reshape(tuple(shape))


def flat(tree: Mapping, path: str = "") -> dict[str, object]:
    """{'a': {'b': x}} -> {'a/b': x}; an array over 1 GB, which flax writes in pieces, is joined."""
    found = {}
    for key, value in tree.items():
        name = f"{path}{key}"
        if not isinstance(value, Mapping):
            found[name] = value
        elif "__msgpack_chunked_array__" in value:
            shape, pieces = value["shape"], value["chunks"]  # {"0": ..., "1": ...}
            pieces = [as_tensor(name, pieces[str(i)]).flatten() for i in range(len(pieces))]
            found[name] = torch.cat(pieces).reshape([int(shape[str(i)]) for i in range(len(shape))])
        else:
            found |= flat(value, f"{name}/")
    return found
