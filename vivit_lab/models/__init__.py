"""The four ViViT models: configuration, tokenisation, layers, and the models themselves."""

from vivit_lab.lazy import fetching

_MODULES = {
    "config": "MODELS ViViTConfig",
    "layers": "dot_product_attention",
    "tokens": "TubeletEmbedding UniformFrameEmbedding token_voxels uniform_frame_indices "
    "voxel_token",
    "vivit": "FactorisedDotProduct FactorisedEncoder FactorisedSelfAttention JointSpaceTime ViViT "
    "attention_bytes build_model",
}
_FETCHED = {name: module for module, names in _MODULES.items() for name in names.split()}
__all__ = sorted(_FETCHED)
__getattr__, __dir__ = fetching(__name__, _FETCHED, __all__)
