"""The four ViViT models: configuration, tokenisation, layers, and the models themselves."""

from vivit_lab.models.config import MODELS, ViViTConfig
from vivit_lab.models.layers import dot_product_attention
from vivit_lab.models.tokens import (
    TubeletEmbedding,
    UniformFrameEmbedding,
    token_voxels,
    uniform_frame_indices,
    voxel_token,
)
from vivit_lab.models.vivit import (
    FactorisedDotProduct,
    FactorisedEncoder,
    FactorisedSelfAttention,
    JointSpaceTime,
    ViViT,
    attention_bytes,
    build_model,
)

__all__ = [
    "MODELS",
    "FactorisedDotProduct",
    "FactorisedEncoder",
    "FactorisedSelfAttention",
    "JointSpaceTime",
    "TubeletEmbedding",
    "UniformFrameEmbedding",
    "ViViT",
    "ViViTConfig",
    "attention_bytes",
    "build_model",
    "dot_product_attention",
    "token_voxels",
    "uniform_frame_indices",
    "voxel_token",
]
