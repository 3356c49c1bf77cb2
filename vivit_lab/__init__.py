"""ViViT Lab: understand, run and fine-tune video transformers (ViViT, arXiv 2103.15691).

    from vivit_lab import ViViTConfig, build_model
    model = build_model(ViViTConfig.preset("B/16x2", model="factorised_encoder", num_classes=400))

Importing the package is free; the models bring in torch and einops when they are first asked for,
so that `vivit_lab.doctor()` can still speak where torch is missing or broken.
"""

from vivit_lab.doctor import doctor

__version__ = "0.1.0"
__all__ = ["ViViTConfig", "build_model", "doctor"]


def __getattr__(name: str) -> object:
    if name in ("ViViTConfig", "build_model"):
        from vivit_lab import models

        return getattr(models, name)
    raise AttributeError(f"module 'vivit_lab' has no attribute {name!r}")
