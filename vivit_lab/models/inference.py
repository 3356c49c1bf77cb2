"""A model made ready to answer: precision and attention kernel, and a note of what was done."""

import contextlib
import copy
import statistics
import time
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivit_lab.errors import one_of
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

    Example:
        >>> from vivit_lab import build_model
        >>> config = ViViTConfig(frames=4, image_size=32, dim=48, heads=4, depth=2, mlp_dim=96)
        >>> ready = build_model(config).for_inference("bfloat16")
        >>> ready(torch.zeros(1, 4, 3, 32, 32)).dtype
        torch.float32
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
        self.fast_products = False
        with torch.inference_mode():
            if precision == "fast_float32":
                self.fast_products, note = try_fast_products(self.model)
                self.notes.append(note)
            with self._products():
                self.notes += choose_attention(self.model)
        if compile:
            self.model.compile(fullgraph=True)
            self.notes.append("torch.compile, one graph: the first call takes a minute or more")
        self.eval()

    def forward(self, clip: Tensor, return_attention: bool = False):
        if isinstance(clip, Tensor) and clip.is_floating_point():  # the model refuses all else
            clip = clip.to(next(self.model.parameters()).dtype)
        with torch.inference_mode(), self._products():
            result = self.model(clip, return_attention)
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

    def __repr__(self) -> str:
        return "\n  ".join([f"{type(self.model).__name__} for inference:", *self.notes])

    def _products(self):
        return fast_products() if self.fast_products else contextlib.nullcontext()


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

        def trial(fused: bool, module=modules[0], x=x) -> float:
            module.fused = fused
            return _seconds(module, x)

        medians = _medians(fused=lambda: trial(True), explicit=lambda: trial(False))
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


def try_fast_products(model: nn.Module) -> tuple[bool, str]:
    """Time the model's first block with and without `fast_products`; is it worth its rounding?

    Returns:
        whether the block is at least 5 % faster with it, and a line that says what was measured,
        the rounding of one matrix product included.

    Example:
        >>> from vivit_lab import build_model
        >>> config = ViViTConfig(frames=4, image_size=32, dim=48, heads=4, depth=2, mlp_dim=96)
        >>> "a block" in try_fast_products(build_model(config).eval())[1]
        True
    """
    block, x = model.blocks[0], _input_of_first_block(model)

    def fast_trial() -> float:
        with fast_products():
            return _seconds(block, x)

    exact, fast = _medians(exact=lambda: _seconds(block, x), fast=fast_trial).values()
    layer = block.mlp.fc1
    rows = torch.randn(512, layer.in_features, device=x.device)
    right = F.linear(rows.double(), layer.weight.double(), layer.bias.double())
    with fast_products():
        error = ((layer(rows) - right).norm() / right.norm()).item()
    pays = fast < 0.95 * exact
    chosen = "used" if pays else "not used: nothing gained"
    return pays, (
        f"fast products {chosen} (a block {exact:.1f} ms exact, {fast:.1f} ms fast, measured here; "
        f"relative error of a fast product {error:.0e})"
    )


def _input_of_first_block(model: nn.Module) -> Tensor:
    """Random tokens of one clip, as the first block gets them."""
    _, shape = next(iter(attention_kinds(model).values()))
    sample = next(model.parameters())
    return torch.randn(shape, dtype=sample.dtype, device=sample.device)


def _medians(**trials: Callable[[], float]) -> dict[str, float]:
    """Median milliseconds of each trial; they take turns, three each."""
    seconds = {name: [] for name in trials}
    for _ in range(3):
        for name, trial in trials.items():
            seconds[name].append(trial())
    return {name: 1000 * statistics.median(values) for name, values in seconds.items()}


def _seconds(module: nn.Module, x: Tensor) -> float:
    """Time of one call: of the processor, or by the clock where a GPU does the work."""
    if x.device.type != "cuda":
        start = time.process_time()
        module(x)
        return time.process_time() - start
    torch.cuda.synchronize(x.device)
    start = time.perf_counter()
    module(x)
    torch.cuda.synchronize(x.device)
    return time.perf_counter() - start
