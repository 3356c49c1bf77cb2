"""A model made ready to answer: precision and attention kernel, and a note of what was done."""

import contextlib
import copy
import statistics
import time
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivit_lab.legal import one_of
from vivit_lab.models.config import ViViTConfig

PRECISIONS = {
    "float32": "exact",
    "fast_float32": "float32 outside, matrix products may round to bfloat16 (CPU) or TF32 (NVIDIA)",
    "bfloat16": "weights and activations in bfloat16",
}


class InferenceModel(nn.Module):
    """A ViViT that only answers: evaluation mode, no gradients, the fastest exact kernels.

    forward: as the model's own; a clip (B, T, C, H, W), float in [-1, 1], of any float type.
    Returns float32 logits (and maps, if asked for). `notes` says line by line what was done, and so
    does printing it. Made by `ViViT.for_inference`; the model it was made from is left as it is.
    """

    def __init__(self, model: nn.Module, precision: str = "float32", compile: bool = False):
        super().__init__()
        one_of("precision", precision, PRECISIONS)
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.config, self.class_names = model.config, model.class_names
        self.precision = precision
        self.notes = [
            "a copy in evaluation mode: no dropout, no stochastic depth, no gradients",
            f"precision {precision}: {PRECISIONS[precision]}",
        ]
        if precision == "bfloat16":
            self.model.to(torch.bfloat16)
        with torch.inference_mode(), self._products():
            if precision == "fast_float32":
                self.notes.append(_measure_products(self.model))
            self.notes += choose_attention(self.model)
        self.call: Callable = self.model
        if compile:
            self.call = torch.compile(self.model, fullgraph=True)
            self.notes.append("torch.compile, one graph: the first call takes a minute or more")
        self.eval()

    def forward(self, clip: Tensor, return_attention: bool = False):
        dtype = next(self.model.parameters()).dtype
        with torch.inference_mode(), self._products():
            result = self.call(clip.to(dtype), return_attention)
        logits, maps = result if return_attention else (result, None)
        if isinstance(logits, dict):
            logits = {name: each.float() for name, each in logits.items()}
        else:
            logits = logits.float()
        return (logits, maps) if return_attention else logits

    def train(self, mode: bool = True) -> "InferenceModel":
        if mode:
            raise RuntimeError("This copy only answers; train the model that it was made from.")
        return super().train(False)

    def extra_repr(self) -> str:
        return "\n".join(self.notes)

    def __repr__(self) -> str:
        return "\n  ".join([f"{type(self.model).__name__} for inference:", *self.notes])

    def _products(self):
        return fast_products() if self.precision == "fast_float32" else contextlib.nullcontext()


@contextlib.contextmanager
def fast_products() -> Iterator[None]:
    """Inside the block float32 matrix products may round their inputs, where that is faster.

    To bfloat16 in oneDNN on a CPU, to TF32 in cuBLAS on an NVIDIA GPU. torch keeps both settings
    for the whole process; they are as before when the block ends.

    Example:
        >>> with fast_products():
        ...     product = torch.ones(2, 3) @ torch.ones(3, 2)
        >>> product.tolist()
        [[3.0, 3.0], [3.0, 3.0]]
    """
    settings = [
        (torch.backends.mkldnn.matmul, "bf16"),
        (torch.backends.cuda.matmul, "tf32"),
    ]
    before = [place.fp32_precision for place, _ in settings]
    try:
        for place, value in settings:
            place.fp32_precision = value
        yield
    finally:
        for (place, _), value in zip(settings, before, strict=True):
            place.fp32_precision = value


def choose_attention(model: nn.Module) -> list[str]:
    """Time the fused and the explicit attention at the model's own shapes, and set the faster one.

    Both are exact. Which is faster depends on the processor, the precision and the number of
    tokens. One clip's first block is timed, and its attention modules of one kind are set alike.

    Returns:
        a line for each kind of attention: what was measured, and what was chosen.

    Example:
        >>> from vivit_lab import build_model
        >>> config = ViViTConfig(frames=4, image_size=32, dim=48, heads=4, depth=2, mlp_dim=96)
        >>> len(choose_attention(build_model(config).eval()))
        1
    """
    sample = next(model.parameters())
    if sample.device.type != "cpu":
        for module in model.modules():
            if hasattr(module, "fused"):
                module.fused = True
        return [f"fused attention: on {sample.device.type} it is always the faster one"]
    notes = []
    for kind, (modules, shape) in attention_kinds(model).items():
        x = torch.randn(shape, dtype=sample.dtype)
        seconds = {"fused": [], "explicit": []}
        for _ in range(3):
            for name, values in seconds.items():
                modules[0].fused = name == "fused"
                start = time.process_time()
                modules[0](x)
                values.append(time.process_time() - start)
        medians = {name: 1000 * statistics.median(values) for name, values in seconds.items()}
        best = min(medians, key=medians.get)
        for module in modules:
            module.fused = best == "fused"
        notes.append(
            f"{best} attention for {kind} ({shape[-2]} tokens): fused {medians['fused']:.1f} ms, "
            f"explicit {medians['explicit']:.1f} ms a block, measured here"
        )
    return notes


def attention_kinds(model: nn.Module) -> dict[str, tuple[list[nn.Module], tuple[int, ...]]]:
    """The attention modules by what they attend over, and the shape of their input for one clip."""
    config: ViViTConfig = model.config
    t, s, d = config.temporal_tokens, config.spatial_tokens, config.dim
    cls = config.pooling == "cls"
    first = [block.attn for block in model.blocks]
    if config.model == "joint":
        return {"space and time": (first, (1, t * s + cls, d))}
    if config.model == "factorised_dot_product":
        return {"space beside time": (first, (1, t, s, d))}
    kinds = {"space": (first, (1, t, s + cls, d))}
    if config.model == "factorised_self_attention":
        kinds["time"] = ([block.attn_time for block in model.blocks], (1, s, t, d))
    elif config.temporal_depth:
        kinds["time"] = ([block.attn for block in model.temporal_blocks], (1, t + cls, d))
    return kinds


def _measure_products(model: nn.Module) -> str:
    """What rounding inside products gains and costs here, on the model's own first MLP layer."""
    layer = model.blocks[0].mlp.fc1
    x = torch.randn(512, layer.in_features, device=layer.weight.device)
    exact = F.linear(x.double(), layer.weight.double(), layer.bias.double())
    error = ((layer(x) - exact).norm() / exact.norm()).item()
    return f"relative error of one such product: {error:.0e} (exact float32: about 4e-07)"
