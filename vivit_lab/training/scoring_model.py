"""The model under test: left as it was found, called in pieces that fit into memory."""

import contextlib
import hashlib
import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from vivit_lab.analysis.cost import cost, in_bytes
from vivit_lab.analysis.flops import count_flops
from vivit_lab.models import MODELS, ViViTConfig
from vivit_lab.models.inference import InferenceModel
from vivit_lab.training.view_scores import ONLY

CPU_BYTES = 10**9  # of activations: more views at once than that gain nothing
GPU_SHARE = 0.5  # of the free memory
MOST_VIEWS = 64  # at once; more gain nothing
UNKNOWN_VIEWS = 8  # at once, of a model whose memory we cannot count


class Subject:
    """A model that answers for views: the same to call, whatever it is wrapped in.

    model: a ViViT, an InferenceModel, or any module that takes clips (B,T,C,H,W) in [-1, 1] and
    returns logits (B,K), or a dict of them; bare, compiled, or prepared by Accelerate. batch_size:
    views at once, None for as many as fit. Out of memory on a GPU, it goes on with half as many.

    >>> from vivit_lab import ViViTConfig, build_model
    >>> config = ViViTConfig(frames=4, image_size=32, dim=48, heads=4, depth=2, mlp_dim=96)
    >>> Subject(build_model(config), None).answer(torch.zeros(3, 4, 3, 32, 32))["class"].shape
    torch.Size([3, 400])
    """

    def __init__(self, model: nn.Module, batch_size: int | None):
        if not isinstance(model, nn.Module):
            raise TypeError(f"model is a {type(model).__name__}, but must be a torch.nn.Module.")
        self.model = _without_parallel(model)
        self.bare = getattr(self.model, "_orig_mod", self.model)  # of torch.compile
        self.config: ViViTConfig | None = getattr(self.bare, "config", None)
        if not isinstance(self.config, ViViTConfig):
            self.config = None
        sample = next(self.bare.parameters(), torch.empty(0))
        self.device, self.dtype = sample.device, sample.dtype
        self.batch_size = batch_size or self._fitting()
        self.notes: list[str] = []

    @property
    def classes(self) -> dict[str, int] | None:
        """How many classes each head has; None if only its answer will tell."""
        if self.config is None:
            return None
        count = self.config.num_classes
        return dict(count) if isinstance(count, Mapping) else {ONLY: count}

    @property
    def title(self) -> str:
        """What reports call it."""
        if self.config is None:
            return type(self.bare).__name__
        height, width = self.config.image_size
        words = [MODELS[self.config.model], f"{self.config.frames} x {height} x {width}"]
        if isinstance(self.bare, InferenceModel):
            words.append(self.bare.precision)
        return " · ".join(words)

    @property
    def macs(self) -> int | None:
        """Multiply-accumulates of one view, as the paper counts them; None if unknown."""
        if self.config is None:
            return None
        return count_flops(self.config, counter="closed_form").macs

    def checksum(self) -> str:
        """Of all weights: other weights have another."""
        digest = hashlib.sha256()
        for name, tensor in self.bare.state_dict().items():
            digest.update(name.encode())
            flat = tensor.detach().cpu().contiguous().flatten()
            digest.update(flat.view(torch.uint8).numpy().data)
        return digest.hexdigest()

    @contextlib.contextmanager
    def at_rest(self) -> Iterator[None]:
        """Evaluation mode inside the block; afterwards each part is in the mode that it was in."""
        modes = [(module, module.training) for module in self.bare.modules()]
        self.bare.eval()
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training

    def answer(self, clips: Tensor) -> dict[str, Tensor]:
        """Logits of views (N,T,C,H,W), in pieces of equal size: head -> float32 (N,K) on the CPU.

        Raises MemoryError, with what would help, if not even one view fits; TypeError for an
        answer that is no logits.
        """
        pieces, start = [], 0
        while start < len(clips):
            left = len(clips) - start
            size = math.ceil(left / math.ceil(left / self.batch_size))
            try:
                pieces.append(self._logits(clips[start : start + size]))
            except torch.OutOfMemoryError as error:
                self._halve(size, error)
            else:
                start += size
        return {head: torch.cat([piece[head] for piece in pieces]) for head in pieces[0]}

    def _logits(self, clips: Tensor) -> dict[str, Tensor]:
        with torch.inference_mode():
            found = self.model(clips)
            if not isinstance(found, Mapping):
                found = {ONLY: found}
            for head, logits in found.items():
                if not isinstance(logits, Tensor) or logits.shape[:-1] != clips.shape[:1]:
                    shape = getattr(logits, "shape", type(logits).__name__)
                    raise TypeError(
                        f"For {len(clips)} clips the model gave {shape} as {head!r}, but must give "
                        "logits (B, classes), or a dict of them."
                    )
            return {head: logits.float().cpu() for head, logits in found.items()}

    def _halve(self, size: int, error: Exception) -> None:
        if size == 1:
            raise MemoryError(
                f"One view alone does not fit into the memory of {self.device}. Try "
                'model.for_inference("bfloat16"), or the CPU.'
            ) from error
        self.batch_size = size // 2
        self.notes.append(f"{size} views at once did not fit: went on with {self.batch_size}")
        torch.cuda.empty_cache()

    def _fitting(self) -> int:
        """As many views as fit into memory beside what is there."""
        if self.config is None:
            return UNKNOWN_VIEWS
        kind = "bfloat16" if self.dtype in (torch.bfloat16, torch.float16) else "float32"
        one = cost(self.config, dtype=kind).activation_bytes
        space = CPU_BYTES
        if self.device.type == "cuda":
            space = GPU_SHARE * torch.cuda.mem_get_info(self.device)[0]
        return int(min(max(space // one, 1), MOST_VIEWS))

    def __repr__(self) -> str:
        size = ""
        if self.config is not None:
            size = f", {in_bytes(cost(self.config).activation_bytes)} a view"
        return f"{self.title} on {self.device}, {self.batch_size} views at once{size}"


def _without_parallel(model: nn.Module) -> nn.Module:
    """The module inside DistributedDataParallel or DataParallel: testing needs no exchange."""
    while isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        model = model.module
    return model
