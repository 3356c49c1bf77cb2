"""Weights from elsewhere: image ViTs inflated, transformers, the official files, our own."""

from vivit_lab.weights.adapt import adapt, repeat_positions, resize_positions
from vivit_lab.weights.checkpoint import load_checkpoint, read_checkpoint_info, save_checkpoint
from vivit_lab.weights.huggingface import load_huggingface, save_huggingface
from vivit_lab.weights.image_vit import ImageViT, load_flax_image_vit, load_timm, small_image_vit
from vivit_lab.weights.inflate import inflate, inflate_kernel
from vivit_lab.weights.report import LoadReport, WeightsError
from vivit_lab.weights.scenic import load_scenic, scenic_config

__all__ = [
    "ImageViT",
    "LoadReport",
    "WeightsError",
    "adapt",
    "inflate",
    "inflate_kernel",
    "load_checkpoint",
    "load_flax_image_vit",
    "load_huggingface",
    "load_scenic",
    "load_timm",
    "read_checkpoint_info",
    "repeat_positions",
    "resize_positions",
    "save_checkpoint",
    "save_huggingface",
    "scenic_config",
    "small_image_vit",
]
