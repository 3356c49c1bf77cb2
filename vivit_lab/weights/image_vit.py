"""Image ViTs as sources of weights: from timm, from Google's files, and our own small one."""

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from vivit_lab.data.samples import ASSETS
from vivit_lab.errors import whole
from vivit_lab.models import ViViTConfig
from vivit_lab.models.layers import LAYER_NORM_EPS
from vivit_lab.weights.checkpoint import read_checkpoint_info
from vivit_lab.weights.files import read_tensors
from vivit_lab.weights.report import WeightsError, by, listed, refuse_differences
from vivit_lab.weights.scenic import (
    number_of_blocks,
    number_of_heads,
    official_parameters,
    timm_names,
)

SMALL_IMAGE_VIT = ASSETS / "weights" / "image_vit.safetensors"

PLAIN = re.compile(
    r"patch_embed\.proj\.(weight|bias)|cls_token|pos_embed|norm\.(weight|bias)|blocks\.\d+\."
    r"((norm[12]|attn\.qkv|attn\.proj|mlp\.fc[12])\.(weight|bias)|ls[12]\.gamma)"
)
OF_ANOTHER = "Is the file for another model?"
# Parts of a plain ViT behind its features, or for pre-training only, and why a ViViT leaves them.
UNUSED = {
    r"head(_drop|\.|$)": "the image model's own classes",
    r"pre_logits\.": "a layer of the image model's classifier",
    r"mask_token$": "stood for hidden patches in pre-training",
}


@dataclass(frozen=True)
class ImageViT:
    """What inflation needs to know of an image ViT (arXiv 2010.11929); checked when it is made.

    `state` holds tensors under timm's names: `patch_embed.proj.weight` (D, C, h, w), perhaps
    `cls_token` (1, 1, D), `pos_embed` (1, [1 +] h * w, D), `blocks.0.norm1.weight` and so on. After
    the check it is float32, missing biases are zeros, and `pos_embed` has a first row exactly if
    there is a class token. `notes` says what was filled in or inferred.

    Raises:
        WeightsError: a parameter that a plain ViT does not have, or a missing one; heads that do
            not divide the width; a position table that does not fit `grid`, or is not a square.

    Example:
        >>> source = small_image_vit()
        >>> source.grid, source.heads, source.gelu, source.depth
        ((4, 4), 4, 'tanh', 3)
    """

    name: str  # for reports: a timm name or a file name
    state: Mapping[str, Tensor] = field(repr=False)
    heads: int  # cannot be seen from the shapes
    grid: tuple[int, int] | None = None  # (rows, columns) of patches; None: square, and noted
    gelu: str = "exact"  # "exact" (timm) | "tanh" (the official code)
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        refuse_foreign(self.name, self.state)
        for name, x in self.state.items():
            if not isinstance(x, Tensor) or not x.is_floating_point():
                kind = f"{name!r} of {self.name} is {getattr(x, 'dtype', type(x).__name__)}"
                raise WeightsError(f"{kind}, but must be a torch.Tensor of floats.")
        state = {name: x.detach().float() for name, x in self.state.items()}
        object.__setattr__(self, "state", state)  # the one way to complete a frozen dataclass
        self._check_parts()
        notes = [*self.notes, *self._fill_biases(), *self._fit_grid()]
        object.__setattr__(self, "notes", tuple(notes))

    # ---- what the tensors imply

    @property
    def dim(self) -> int:
        return self.state["patch_embed.proj.weight"].shape[0]

    @property
    def in_channels(self) -> int:
        return self.state["patch_embed.proj.weight"].shape[1]

    @property
    def patch(self) -> tuple[int, int]:
        """(h, w) of a patch, in pixels."""
        return tuple(self.state["patch_embed.proj.weight"].shape[2:])

    @property
    def depth(self) -> int:
        return number_of_blocks(self.state)

    @property
    def mlp_dim(self) -> int:
        return self.state["blocks.0.mlp.fc1.weight"].shape[0]

    @property
    def has_cls(self) -> bool:
        return "cls_token" in self.state

    @property
    def has_layer_scale(self) -> bool:
        """Whether every branch has a learned factor (`blocks.0.ls1.gamma`)."""
        return "blocks.0.ls1.gamma" in self.state

    def config(self, **fields) -> ViViTConfig:
        """A ViViT that it fits: of its sizes, with tubelets of 2 frames, unless `fields` differ."""
        height, width = self.patch
        implied = {
            "dim": self.dim,
            "depth": self.depth,
            "heads": self.heads,
            "mlp_dim": self.mlp_dim,
            "in_channels": self.in_channels,
            "image_size": (self.grid[0] * height, self.grid[1] * width),
            "tubelet": (1 if fields.get("tokenizer") == "uniform_frames" else 2, height, width),
            "gelu": self.gelu,
            "layer_scale": 1e-5 if self.has_layer_scale else None,
        }
        return ViViTConfig(**(implied | fields))

    # ---- checks

    def _check_parts(self) -> None:
        axes = {"patch_embed.proj.weight": 4, "pos_embed": 3, "blocks.0.mlp.fc1.weight": 2}
        for name, count in axes.items():
            if name not in self.state or self.state[name].ndim != count:
                what = f"no {name!r} of {count} axes"
                raise WeightsError(f"{self.name} has {what}, so it is not an image ViT.")
        whole("heads", self.heads)
        if self.dim % self.heads:
            wrong = f"heads is {self.heads}, but must divide {self.name}'s dim {self.dim}."
            raise WeightsError(wrong)

    def _fill_biases(self) -> list[str]:
        """A linear layer without bias is one whose bias is zero; notes of it."""
        without = {}
        for name in list(self.state):
            layer = re.fullmatch(r"(?:blocks\.\d+\.)?(.*(?:proj|qkv|fc[12]))\.weight", name)
            bias = name.removesuffix("weight") + "bias"
            if layer and bias not in self.state:
                self.state[bias] = torch.zeros(len(self.state[name]))
                without[layer[1]] = True
        note = f"The source has no bias in {', '.join(without)}: zeros are the same."
        return [note] if without else []

    def _fit_grid(self) -> list[str]:
        """The grid, if it was not given, and a position for every token; notes of both."""
        table, cls = self.state["pos_embed"], self.has_cls
        rows, grid = table.shape[1], self.grid or (math.isqrt(table.shape[1] - cls),) * 2
        patches, shown = math.prod(grid), by(grid)
        if len(grid) != 2 or patches < 1 or rows - patches not in (0, cls):
            what = "a class token and " if cls else ""
            raise WeightsError(
                f"The {rows} rows of {self.name}'s pos_embed are not {what}{shown} patches. Give "
                "grid = (rows, columns) of its patches."
            )
        notes, where = [], f"The grid of the source's patches, {shown},"
        if self.grid is None:
            advice = "if it is another one, give grid = (rows, columns)."
            notes.append(f"{where} is inferred from their number; {advice}")
        if rows < patches + cls:  # timm's no_embed_class
            self.state["pos_embed"] = torch.cat([torch.zeros_like(table[:, :1]), table], dim=1)
            row = "a row of zeros is the same."
            notes.append(f"The source adds no position to its class token: {row}")
        object.__setattr__(self, "grid", tuple(grid))
        return notes


def refuse_foreign(source: str, names: Mapping[str, object]) -> None:
    """Raise WeightsError if a name belongs to no plain ViT, or the final norm is missing."""
    foreign = [name for name in names if not (PLAIN.fullmatch(name) or unused_because(name))]
    if foreign:
        raise WeightsError(
            f"{source} has {listed(foreign)}. A plain ViT under timm's names has no such "
            "parameter, and a ViViT has no place for it."
        )
    if "norm.weight" not in names:
        what = "has no final norm ('norm.weight'), which every ViViT has"
        raise WeightsError(f"{source} {what}: its features would not be the same.")


def unused_because(name: str) -> str:
    """Why a ViViT leaves a parameter of a plain image ViT; empty if it does not."""
    return next((why for pattern, why in UNUSED.items() if re.match(pattern, name)), "")


# ---- where image ViTs come from


def small_image_vit() -> ImageViT:
    """An image ViT that knows single frames of Arrow of Time: 64 wide, 3 blocks, 32 x 32 pixels.

    It tells shape, colour, place, angle and size. It needs the repository's assets, no network.

    Example:
        >>> source = small_image_vit()
        >>> source.dim, source.depth, source.patch, source.grid
        (64, 3, (8, 8), (4, 4))
    """
    config = read_checkpoint_info(SMALL_IMAGE_VIT).config
    state, _ = read_tensors(SMALL_IMAGE_VIT)
    name, grid = SMALL_IMAGE_VIT.name, config.grid[1:]
    return ImageViT(name, state, heads=config.heads, grid=grid, gelu=config.gelu)


def load_flax_image_vit(file: str | Path, grid: tuple[int, int] | None = None) -> ImageViT:
    """An image ViT as Google publishes them, ready for `inflate`.

    Args:
        file: big_vision's .npz, the first ones (of "How to train your ViT") included, or a Scenic
            checkpoint of an image ViT. Their GELU is the tanh approximation.
        grid: (rows, columns) of patches; needed only where they are not a square.

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: not such a file, damaged, a video model, or a grid that does not fit.

    Example:
        >>> load_flax_image_vit("ViT-B_16.npz")
        Traceback (most recent call last):
        FileNotFoundError: There is no file 'ViT-B_16.npz'.
    """
    name, named, heads, notes = _read_flax(file)
    return ImageViT(name, named, heads, grid, "tanh", notes)


def _read_flax(file: str | Path) -> tuple[str, dict[str, Tensor], int, tuple[str, ...]]:
    """(name for reports, tensors under timm's names, heads, notes)"""
    name, leaves, _, notes = official_parameters(file)
    named = timm_names(leaves)
    is_video = getattr(named.get("patch_embed.proj.weight"), "ndim", 0) == 5
    if is_video or any(re.search(r"temporal_|_time\.", name) for name in named):
        raise WeightsError(f"{name} holds a video model, not an image model: use load_scenic.")
    return name, named, number_of_heads(name, leaves), notes


def load_timm(
    name: str,
    file: str | Path | None = None,
    *,
    pretrained: bool = True,
    grid: tuple[int, int] | None = None,
) -> ImageViT:
    """An image ViT of timm's as a source for `inflate`.

    Args:
        name: of a plain ViT in timm, "vit_base_patch16_224", or with a tag after a dot; it tells
            what a file cannot (heads, GELU).
        file: weights on this machine: .safetensors, .pth or .bin under timm's names, or .npz from
            the official code or big_vision. None asks timm.
        pretrained: without `file`: the pretrained weights, over the network or from timm's cache;
            False gives random ones.
        grid: (rows, columns) of the file's patches, if they are neither the model's nor a square.

    Raises:
        WeightsError: not a name of timm's; not a plain ViT (register tokens, rotary positions and
            so on: the message says what); no network; a file that cannot be read or does not fit.
        FileNotFoundError: there is no such file.

    Example:
        >>> source = load_timm("vit_tiny_patch16_224", pretrained=False)
        >>> source.dim, source.patch, source.has_cls
        (192, (16, 16), True)
    """
    plan = _plain_vit(name)
    heads, shown, notes = plan.blocks[0].attn.num_heads, name, ()
    if file is not None:
        shown = f"{name} ({Path(file).name})"
        if Path(file).suffix == ".npz":
            _, state, their_heads, notes = _read_flax(file)
            refuse_differences(shown, {"heads": (their_heads, heads)}, OF_ANOTHER)
        else:
            state, notes = read_tensors(file)
        wanted, found = (
            {name: tuple(x.shape) for name, x in tensors.items() if not unused_because(name)}
            for tensors in (plan.state_dict(), state)
        )
        names = sorted((wanted | found).keys() - {"pos_embed"})  # of which there may be more
        refuse_differences(shown, {x: (found.get(x), wanted.get(x)) for x in names}, OF_ANOTHER)
    elif pretrained:
        state = _pretrained(name)
    else:
        import timm

        shown = f"{name} (random weights)"
        state = timm.create_model(name, pretrained=False).state_dict()
    rows = state["pos_embed"].shape[1:2] if "pos_embed" in state else None
    if grid is None and rows == plan.pos_embed.shape[1:2]:
        grid = tuple(plan.patch_embed.grid_size)
    gelu = "exact" if plan.blocks[0].mlp.act.approximate == "none" else "tanh"
    return ImageViT(shown, state, heads, grid, gelu, notes)


def _plain_vit(name: str) -> nn.Module:
    """timm's model without its numbers, if a ViViT can compute the same."""
    import timm

    if not timm.is_model(name):
        close = difflib.get_close_matches(name.split(".")[0], timm.list_models(), n=3)
        raise WeightsError(f"timm has no model {name!r}. The closest are {listed(close)}.")
    with torch.device("meta"):
        try:
            plan = timm.create_model(name, pretrained=False)
        except RuntimeError as reason:  # an unknown tag
            raise WeightsError(f"timm cannot make {name!r}: {reason}") from None
    from timm.layers import LayerNorm, Mlp, PatchEmbed
    from timm.models.vision_transformer import Attention, Block, LayerScale, VisionTransformer

    refuse_foreign(name, plan.state_dict())
    plain = (VisionTransformer, PatchEmbed, Block, Attention, Mlp, LayerScale, nn.GELU)
    plain += (LayerNorm, nn.LayerNorm, nn.Linear, nn.Conv2d, nn.Dropout, nn.Identity, nn.Sequential)
    for part in plan.modules():  # what changes the numbers need not show in the parameters' names
        eps = getattr(part, "eps", LAYER_NORM_EPS)
        if type(part) not in plain or eps != LAYER_NORM_EPS:
            has = type(part).__name__ + ("" if eps == LAYER_NORM_EPS else f" with eps {eps:g}")
            raise WeightsError(
                f"{name} is not a plain ViT: it has {has}, which a ViViT does not have."
            )
    return plan


def _pretrained(name: str) -> dict[str, Tensor]:
    import timm
    from huggingface_hub import constants, get_session

    before = constants.HF_HUB_OFFLINE
    try:
        try:
            get_session().head(constants.ENDPOINT, timeout=5)
        except Exception:  # no network: the cache alone, as the hub's own tries take a minute
            constants.HF_HUB_OFFLINE = True
        return timm.create_model(name, pretrained=True).state_dict()
    except Exception as reason:  # whatever a network, a hub or a cache can raise
        first = re.split(r"\.\s|\n", str(reason))[0]
        hub = timm.get_pretrained_cfg(name).hf_hub_id
        where = f"https://huggingface.co/{hub}/resolve/main/model.safetensors"
        raise WeightsError(
            f"timm could not get the weights of {name} ({type(reason).__name__}: {first}). "
            f"Without a network: copy {where if hub else 'a file of them'} here, and give it as "
            "file (on the command line: --file)."
        ) from reason
    finally:
        constants.HF_HUB_OFFLINE = before
