"""Our own small image ViT, which needs no network: a source for `inflate`."""

from vivit_lab.data.samples import ASSETS
from vivit_lab.weights.checkpoint import read_checkpoint_info
from vivit_lab.weights.files import read_safetensors
from vivit_lab.weights.image_vit import ImageViT

FILE = ASSETS / "weights" / "image_vit.safetensors"


def small_image_vit() -> ImageViT:
    """An image ViT that knows single frames of Arrow of Time: 64 wide, 3 blocks, 32 x 32 pixels.

    It was trained to tell shape, colour, place, angle and size in one frame
    (`assets/train_image_vit.py`), so it has seen all that a clip shows but the order. `.config()`
    of it has the sizes of the recipe cpu_tiny, in patches of 8 x 8.

    Raises FileNotFoundError where the repository's assets are missing.

    Example:
        >>> source = small_image_vit()
        >>> source.dim, source.depth, source.patch, source.grid
        (64, 3, (8, 8), (4, 4))
    """
    config = read_checkpoint_info(FILE).config
    state, _ = read_safetensors(FILE)
    return ImageViT(
        name=FILE.name, state=state, heads=config.heads, grid=config.grid[1:], gelu=config.gelu
    )
