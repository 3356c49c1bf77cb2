"""Image ViTs by timm's name, with timm's weights or a file of your own."""

import contextlib
import difflib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from vivit_lab.models.layers import LAYER_NORM_EPS
from vivit_lab.weights.files import read_safetensors, read_torch_pickle
from vivit_lab.weights.image_vit import ImageViT, refuse_foreign, unused_because
from vivit_lab.weights.report import WeightsError


def load_timm(
    name: str,
    file: str | Path | None = None,
    *,
    pretrained: bool = True,
    grid: tuple[int, int] | None = None,
) -> ImageViT:
    """An image ViT as a source for `inflate`.

    What the shapes of a file cannot tell (heads, GELU) comes from timm's model of that name.

    Args:
        name: of a plain ViT in timm, `vit_base_patch16_224` or with a tag
            `vit_base_patch16_224.augreg_in21k`; `timm.list_models("vit_*")` lists them.
        file: weights on this machine, for work without a network: .safetensors, .pth or .bin under
            timm's names, or .npz from the official code or big_vision. None asks timm.
        pretrained: without `file`: the pretrained weights, over the network or from timm's cache;
            False gives random ones, drawn from torch's global generator.
        grid: (rows, columns) of the file's patches, if they are neither the model's nor a square.

    Raises:
        WeightsError: not a name of timm's (the closest are named); not a plain ViT (register
            tokens, a norm after pooling, rotary positions and so on: the message says what); no
            network; a file that cannot be read or is for another model.
        FileNotFoundError: there is no such file.

    Example:
        >>> source = load_timm("vit_tiny_patch16_224", pretrained=False)
        >>> source.dim, source.patch, source.has_cls
        (192, (16, 16), True)
    """
    plan = _plain_vit(name)
    if file is not None:
        state = _read(Path(file), grid, plan.blocks[0].attn.num_heads)
        shown = f"{name} ({Path(file).name})"
        _check_same_model(shown, state, plan)
    else:
        state = _from_timm(name, pretrained)
        shown = name if pretrained else f"{name} (random weights)"
    return ImageViT(
        name=shown,
        state=state,
        heads=plan.blocks[0].attn.num_heads,
        grid=grid or _own_grid(plan, state),
        gelu="exact" if plan.blocks[0].mlp.act.approximate == "none" else "tanh",
    )


def _plain_vit(name: str) -> nn.Module:
    """timm's model without its numbers, if a ViViT can compute the same."""
    import timm

    if not timm.is_model(name):
        close = difflib.get_close_matches(name.split(".")[0], timm.list_models(), n=3)
        hint = f" The closest are {', '.join(map(repr, close))}." if close else ""
        raise WeightsError(f"timm has no model {name!r}.{hint}")
    with torch.device("meta"):
        try:
            plan = timm.create_model(name, pretrained=False)
        except RuntimeError as reason:  # an unknown tag
            raise WeightsError(f"timm cannot make {name!r}: {reason}") from None
    different = _foreign_parts(plan)
    if not different:
        refuse_foreign(name, plan.state_dict())
        different = _foreign_norms(plan)
    if different:
        raise WeightsError(
            f"{name} is not a plain ViT: it has {different}, which a ViViT has no place for."
        )
    return plan


def _foreign_parts(plan: nn.Module) -> str:
    """What changes a timm model's numbers without showing in the names of its parameters."""
    from timm.layers import Mlp, PatchEmbed
    from timm.models.vision_transformer import Attention, Block, VisionTransformer

    if type(plan) is not VisionTransformer:
        return f"the architecture {type(plan).__name__}"
    if plan.pos_embed is None:
        return "no learned positions"
    if type(plan.patch_embed) is not PatchEmbed:
        return f"the patch embedding {type(plan.patch_embed).__name__}"
    for block in plan.blocks:
        if type(block) is not Block:
            return f"blocks of the kind {type(block).__name__}"
        for part, kind in ((block.attn, Attention), (block.mlp, Mlp), (block.mlp.act, nn.GELU)):
            if type(part) is not kind:
                return f"{type(part).__name__} in place of {kind.__name__}"
    return ""


def _foreign_norms(plan: nn.Module) -> str:
    for norm in plan.modules():
        if isinstance(norm, nn.LayerNorm) and norm.eps != LAYER_NORM_EPS:
            return f"norms with eps {norm.eps:g} (a ViViT's have {LAYER_NORM_EPS:g})"
        if hasattr(norm, "eps") and not isinstance(norm, nn.LayerNorm):
            return f"{type(norm).__name__} in place of LayerNorm"
    return ""


def _from_timm(name: str, pretrained: bool) -> dict[str, Tensor]:
    import timm

    if not pretrained:
        return timm.create_model(name, pretrained=False).state_dict()
    try:
        with _cache_alone_if_the_hub_is_silent():
            return timm.create_model(name, pretrained=True).state_dict()
    except Exception as reason:  # whatever a network, a hub or a cache can raise
        first_line = str(reason).partition("\n")[0]
        raise WeightsError(
            f"timm could not get the weights of {name} ({type(reason).__name__}: {first_line}). "
            "Without a network: on a machine that has one run "
            f"timm.create_model({name!r}, pretrained=True) and save its state_dict() with "
            f"safetensors.torch.save_file, bring the file here, and call load_timm({name!r}, file)."
        ) from reason


@contextlib.contextmanager
def _cache_alone_if_the_hub_is_silent() -> Iterator[None]:
    """Without a network look for weights in the cache only: the hub's own tries take a minute."""
    from huggingface_hub import constants, get_session

    before = constants.HF_HUB_OFFLINE
    try:
        try:
            get_session().head(constants.ENDPOINT, timeout=5)
        except Exception:  # of whatever library makes the connection
            constants.HF_HUB_OFFLINE = True
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _own_grid(plan: nn.Module, state: Mapping[str, Tensor]) -> tuple[int, int] | None:
    """The model's grid, if the table is as long as the model's own; else None."""
    table = state.get("pos_embed")
    same = isinstance(table, Tensor) and table.shape[1:2] == plan.pos_embed.shape[1:2]
    return tuple(plan.patch_embed.grid_size) if same else None


# ---- files


def _read(file: Path, grid: tuple[int, int] | None, heads: int) -> dict[str, Tensor]:
    if not file.exists():
        raise FileNotFoundError(f"There is no file {str(file)!r}.")
    readers = {
        ".safetensors": _read_safetensors,
        ".pth": read_torch_pickle,
        ".pt": read_torch_pickle,
        ".bin": read_torch_pickle,
        ".npz": lambda file: _read_npz(file, grid, heads),
    }
    if file.suffix.lower() not in readers:
        raise WeightsError(
            f"{file.name} ends in {file.suffix!r}, but weights files end in {', '.join(readers)}."
        )
    return readers[file.suffix.lower()](file)


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    return read_safetensors(file)[0]


def _read_npz(file: Path, grid: tuple[int, int] | None, heads: int) -> dict[str, Tensor]:
    from vivit_lab.weights.scenic import load_flax_image_vit

    if not zipfile.is_zipfile(file):
        raise WeightsError(f"{file.name} is not a .npz file, or it is damaged.")
    image = load_flax_image_vit(file, grid)
    if image.heads != heads:
        raise WeightsError(
            f"heads is {image.heads} in {file.name}, {heads} in the model. Is it for another model?"
        )
    return dict(image.state)


def _check_same_model(source: str, state: Mapping[str, Tensor], plan: nn.Module) -> None:
    """All of the model's parameters, in its shapes; head and number of positions may differ."""
    refuse_foreign(source, state)
    wanted = {k: tuple(v.shape) for k, v in plan.state_dict().items() if not unused_because(k)}
    found = {k: tuple(v.shape) for k, v in state.items() if not unused_because(k)}
    missing, extra = wanted.keys() - found.keys(), found.keys() - wanted.keys()
    if missing or extra:
        what, which = ("lacks", missing) if missing else ("has, and the model has not,", extra)
        shown = ", ".join(repr(name) for name in sorted(which)[:3])
        more = f" and {len(which) - 3} more" if len(which) > 3 else ""
        raise WeightsError(f"{source}: the file {what} {shown}{more}. Is it for another model?")
    for name, shape in wanted.items():
        if found[name] != shape and name != "pos_embed":
            raise WeightsError(
                f"{source}: {name} is {found[name]} in the file, but {shape} in the model. Is it "
                "for another model?"
            )
