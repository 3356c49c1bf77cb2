"""A model made ready to answer: precision and attention kernel, and a note of what was done."""

import contextlib
import copy
import statistics
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from vivit_lab.errors import one_of
from vivit_lab.models.layers import Attention

PRECISIONS = {
    "float32": "exact",
    "fast_float32": "float32 outside, matrix products may round to bfloat16 (CPU) or TF32 (NVIDIA)",
    "bfloat16": "weights and activations in bfloat16",
}


class InferenceModel(nn.Module):
    """A ViViT that only answers: evaluation mode, no gradients, the fastest exact kernels.

    forward: as the model's own; a clip (B, T, C, H, W), float in [-1, 1], of any float type.
    Returns float32 logits (and maps, if asked for). forward_features and forward_head: the same; a
    layer of yours learns on what they return. `notes` says line by line what was done, and so does
    printing it. Made by `ViViT.for_inference`; the model it was made from is left as it is.
    """

    def __init__(self, model: nn.Module, precision: str = "float32"):
        super().__init__()
        one_of("precision", precision, PRECISIONS)
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.config, self.class_names = model.config, model.class_names
        self.preprocessing = model.preprocessing
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
            with fast_products(self.fast_products):
                self.notes += choose_attention(self.model)
        self.eval()

    def forward(self, clip: Tensor, return_attention: bool = False):
        return self._answer(self.model, clip, return_attention)

    def forward_features(self, clip: Tensor) -> Tensor:
        return self._answer(self.model.forward_features, clip)

    def forward_head(self, tokens: Tensor, pre_logits: bool = False):
        return self._answer(self.model.forward_head, tokens, pre_logits)

    def _answer(self, call: Callable, x: Tensor, *options: bool):
        if isinstance(x, Tensor) and x.is_floating_point():  # the model refuses all else
            x = x.to(next(self.model.parameters()).dtype)
        # no_grad, for no layer could be trained on tensors of inference_mode
        with torch.no_grad(), fast_products(self.fast_products):
            return tree_map(Tensor.float, call(x, *options))

    def train(self, mode: bool = True) -> "InferenceModel":
        if mode:
            raise RuntimeError("This copy only answers; train the model that it was made from.")
        return super().train(False)

    def __repr__(self) -> str:
        return "\n  ".join([f"{type(self.model).__name__} for inference:", *self.notes])


@contextlib.contextmanager
def fast_products(wanted: bool = True) -> Iterator[None]:
    """Inside the block float32 matrix products may round their inputs, where that is faster.

    To bfloat16 in oneDNN on a CPU, to TF32 in cuBLAS on an NVIDIA GPU. torch keeps both settings
    for the whole process; they are as before when the block ends.
    """
    settings = {torch.backends.mkldnn.matmul: "bf16", torch.backends.cuda.matmul: "tf32"}
    before = {place: place.fp32_precision for place in settings} if wanted else {}
    try:
        for place in before:
            place.fp32_precision = settings[place]
        yield
    finally:
        for place, value in before.items():
            place.fp32_precision = value


def choose_attention(model: nn.Module) -> list[str]:
    """Time the fused and the explicit attention at the model's own shapes, and set the faster one.

    Both are exact. Which is faster depends on the processor, the precision and the number of
    tokens. Returns a line for each kind of attention: what was measured, and what was chosen.
    """
    shapes = {kind.axis: (1, *kind[1:3], model.config.dim) for kind in model.config.attentions()}
    modules: dict[tuple[str, ...], list[Attention]] = {}
    for module in model.modules():
        if isinstance(module, Attention):
            modules.setdefault(module.axes, []).append(module)
            module.fused = True
    sample = next(model.parameters())
    if sample.device.type != "cpu":
        return [f"fused attention: on {sample.device.type} it is always the faster one"]
    notes = []
    for axes, alike in modules.items():
        x = torch.randn(shapes[axes[-1]], dtype=sample.dtype)  # Model 4's is laid out for space

        def trial(fused: bool, module=alike[0], x=x) -> float:
            module.fused = fused
            return _seconds(module, x)

        fused, explicit = _medians(lambda: trial(True), lambda: trial(False))
        for module in alike:
            module.fused = fused <= explicit
        chosen = "fused" if fused <= explicit else "explicit"
        what = " beside ".join(axes).replace("_", " and ")
        notes.append(
            f"{chosen} attention for {what} ({x.shape[-2]} tokens): fused {fused:.1f} ms, "
            f"explicit {explicit:.1f} ms a block, measured here"
        )
    return notes


def try_fast_products(model: nn.Module) -> tuple[bool, str]:
    """Time the model's first block with and without `fast_products`; is it worth its rounding?

    Returns whether the block is at least 5 % faster with it, and a line that says what was
    measured, the rounding of one matrix product included.
    """
    block, sample = model.blocks[0], next(model.parameters())
    kind = next(kind for kind in model.config.attentions() if kind.axis != "time")
    x = torch.randn(1, kind.sequences, kind.length, model.config.dim, device=sample.device)

    def trial(wanted: bool) -> float:
        with fast_products(wanted):
            return _seconds(block, x)

    exact, fast = _medians(lambda: trial(False), lambda: trial(True))
    layer, rows = block.mlp.fc1, torch.randn(512, model.config.dim, device=x.device)
    right = layer(rows)
    with fast_products():
        error = ((layer(rows) - right).norm() / right.norm()).item()
    pays = fast < 0.95 * exact
    chosen = "used" if pays else "not used: nothing gained"
    return pays, (
        f"fast products {chosen} (a block {exact:.1f} ms exact, {fast:.1f} ms fast, measured here; "
        f"relative error of a fast product {error:.0e})"
    )


def _medians(*trials: Callable[[], float]) -> list[float]:
    """Median milliseconds of each trial; they take turns, three each."""
    turns = [[trial() for trial in trials] for _ in range(3)]
    return [1000 * statistics.median(seconds) for seconds in zip(*turns, strict=True)]


def _seconds(module: nn.Module, x: Tensor) -> float:
    """Time of one call: of the processor, or by the clock where a GPU does the work."""
    clock, finish = time.process_time, lambda: None
    if x.is_cuda:
        clock, finish = time.perf_counter, torch.cuda.synchronize
    finish()
    start = clock()
    module(x)
    finish()
    return clock() - start
