"""Weights from elsewhere: image ViTs inflated, transformers, the official files, our own."""

from vivit_lab.weights.image_vit import ImageViT
from vivit_lab.weights.report import LoadReport, WeightsError

__all__ = ["ImageViT", "LoadReport", "WeightsError"]
