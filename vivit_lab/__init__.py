"""ViViT Lab: understand, run and fine-tune video transformers (ViViT, arXiv 2103.15691).

    from vivit_lab import ViViTConfig, build_model
    model = build_model(ViViTConfig.preset("B/16x2", model="factorised_encoder", num_classes=400))

The models bring in torch and einops when they are first asked for, so that `vivit_lab.doctor()`
can still speak where torch is missing or broken.
"""

import os
import sys

if "torch" not in sys.modules:  # whose threads read it once, when they are loaded: see Makefile
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

from vivit_lab.doctor import doctor
from vivit_lab.lazy import fetching

__version__ = "0.1.0"
__all__ = ["ViViTConfig", "build_model", "doctor"]
__getattr__, __dir__ = fetching(__name__, dict.fromkeys(__all__[:2], "models"), __all__)
