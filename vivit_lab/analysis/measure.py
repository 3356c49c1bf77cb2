"""Time and memory measured on this machine, to set beside what was counted."""

import contextlib
import copy
import platform
import statistics
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vivit_lab.analysis.cost import BYTES, Machine, in_bytes
from vivit_lab.analysis.flops import configuration
from vivit_lab.errors import one_of, whole
from vivit_lab.models import ViViT, ViViTConfig, build_model
from vivit_lab.models.layers import Attention, Block


def measure_time(
    *configs_or_models: ViViTConfig | ViViT, batch: int = 1, repeats: int = 5
) -> list[float]:
    """Median seconds of a forward pass on this machine, one number a model.

    The models take turns, so that the machine's load meets all alike; the first turn does not
    count. A model runs in evaluation mode, where its parameters are. batch: clips in a pass, of
    random numbers. repeats: turns that count.

    Example:
        >>> small = ViViTConfig(frames=4, image_size=32, dim=48, heads=4, depth=2, mlp_dim=96)
        >>> len(measure_time(small, small, repeats=1))
        2
    """
    whole("batch", batch)
    whole("repeats", repeats)
    models = [
        item if isinstance(item, ViViT) else build_model(configuration(item))
        for item in configs_or_models
    ]
    clips = []
    for model in models:
        like = next(model.parameters())
        clip = torch.rand(batch, *model.config.clip_shape, device=like.device, dtype=like.dtype)
        clips.append(clip * 2 - 1)
    modes = [model.training for model in models]
    seconds = [[] for _ in models]
    try:
        with torch.inference_mode():
            for _ in range(repeats + 1):
                for model, clip, times in zip(models, clips, seconds, strict=True):
                    times.append(_time(model.eval(), clip))
    finally:
        for model, mode in zip(models, modes, strict=True):
            model.train(mode)
    return [statistics.median(times[1:]) for times in seconds]


def _time(call: Callable, *arguments: object) -> float:
    start = time.perf_counter()
    call(*arguments)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def calibrate(dtype: str = "float32") -> Machine:
    """How fast this machine does each kind of work, with torch's threads: 2 seconds of short runs.

    Example:
        >>> calibrate().linear > 0
        True
    """
    one_of("dtype", dtype, BYTES)
    options = {"dtype": getattr(torch, dtype)}
    tokens, weight = torch.rand(1568, 768, **options), torch.rand(3072, 768, **options)
    qkv = torch.rand(8, 196, 3, 12, 64, **options)  # 8 time steps of 14 x 14 tokens, as in Model 2
    norm = nn.LayerNorm(768, **options)
    block = Block(ViViTConfig(dim=8, heads=1, mlp_dim=8)).to(**options).eval()
    few, hidden = torch.rand(1, 2, 8, **options), torch.rand(1568, 3072, **options)

    def elementwise():  # what a block of ViViT-B does: 18 times the bytes of `tokens`
        x = tokens + norm(tokens)
        x = x + norm(x)
        F.gelu(hidden, approximate="tanh")

    runs = {
        "linear": lambda: F.linear(tokens, weight),
        "attention": lambda: F.scaled_dot_product_attention(*qkv.permute(2, 0, 3, 1, 4)),
        "elementwise": elementwise,
        "block": lambda: block(few),
    }
    with torch.inference_mode():
        seconds = {name: _median_time(run) for name, run in runs.items()}
    threads = torch.get_num_threads()
    return Machine(
        name=f"this machine ({platform.machine()}, {threads} thread{'s'[: threads > 1]}, {dtype})",
        linear=tokens.numel() * 3072 / seconds["linear"],
        attention=2 * 8 * 196 * 196 * 768 / seconds["attention"],
        elementwise=18 * tokens.numel() * BYTES[dtype] / seconds["elementwise"],
        block=seconds["block"],
    )


def _median_time(run: Callable) -> float:
    """Median seconds of a run, from as many as fit in 0.4 seconds, but at least 3."""
    run()
    times = []
    while len(times) < 3 or sum(times) < 0.4:
        times.append(_time(run))
    return statistics.median(times)


@dataclass(frozen=True)
class MeasuredMemory:
    """Bytes of tensors that a pass held, besides the parameters; the clips are included."""

    kept: int  # at the end of the forward pass: in training, what the way back needs
    peak: int  # at the worst moment, the gradients of the parameters included

    def __str__(self) -> str:
        return f"kept {in_bytes(self.kept)}, peak {in_bytes(self.peak)}"


def measure_memory(
    config_or_model: ViViTConfig | ViViT,
    *,
    batch: int = 1,
    training: bool = False,
    explicit_attention: bool = False,
    checkpointing: bool = False,
) -> MeasuredMemory:
    """Run a forward pass, or a forward and a backward pass, and watch every tensor come and go.

    A model really runs. A configuration runs dry, with tensors that have a shape and no memory: so
    ViViT-L can be measured on a small machine.

    Args: as `cost` has them; float32, on the CPU. What a kernel uses inside itself is not seen.

    Example:
        >>> config = ViViTConfig.preset("B/16x2", model="factorised_dot_product")
        >>> print(measure_memory(config))
        kept 19.27 MB, peak 134.87 MB
    """
    whole("batch", batch)
    if isinstance(config_or_model, ViViT):
        model, dry = copy.deepcopy(config_or_model), contextlib.nullcontext()
    else:
        from torch._subclasses.fake_tensor import FakeTensorMode

        with torch.device("meta"):
            model = build_model(configuration(config_or_model))
        dry = FakeTensorMode()
        with dry:
            memo = {id(p): nn.Parameter(torch.empty(p.shape)) for p in model.parameters()}
            model = copy.deepcopy(model, memo)
    model.train(training)
    model.set_grad_checkpointing(checkpointing)
    for module in model.modules():
        if isinstance(module, Attention):
            module.fused = not explicit_attention
    watch = LiveTensors(model.parameters())
    with dry, watch, torch.set_grad_enabled(training):
        clip = torch.empty(batch, *model.config.clip_shape)
        features, _ = model.encode(clip, False)  # forward would look at the pixels first
        heads = model.head.values() if isinstance(model.head, nn.ModuleDict) else [model.head]
        loss = sum(head(features).sum() for head in heads)
        del features
        kept = watch.live
        if training:
            loss.backward()
    return MeasuredMemory(kept, watch.peak)


class LiveTensors(TorchDispatchMode):
    """Adds up the memory of all tensors that are made inside it, while they live."""

    def __init__(self, known: Iterator[Tensor]):
        super().__init__()
        self.live = self.peak = 0
        self.known = {tensor.untyped_storage()._cdata for tensor in known}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            storage = tensor.untyped_storage() if isinstance(tensor, Tensor) else None
            if storage is None or storage._cdata in self.known:  # no tensor, or a view
                continue
            self.known.add(storage._cdata)
            self.live += storage.nbytes()
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())
        return result

    def _gone(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.live -= size
