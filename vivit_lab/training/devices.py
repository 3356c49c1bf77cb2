"""Where training runs: Accelerate's view of this process, and random numbers for each step."""

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import broadcast_object_list

from vivit_lab.errors import one_of
from vivit_lab.training.journal import Control
from vivit_lab.training.state import Training

DEVICES = ("auto", "cpu", "cuda", "mps")


def open_accelerator(device: str = "auto") -> Accelerator:
    """Accelerate for this process: one of several under `accelerate launch`, else alone.

    device: "auto" takes a GPU if there is one. Precision and accumulation are the recipe's affair,
    so that a run is the same however it was launched.

    Raises:
        ValueError: a device that is not here.

    Example:
        >>> open_accelerator("cpu").device.type
        'cpu'
    """
    one_of("device", device, DEVICES)
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "device is 'cuda', but torch sees no NVIDIA GPU here (python -m vivit_lab doctor says "
            "why). 'auto' takes whatever is there."
        )
    if device == "mps" and not torch.backends.mps.is_available():
        raise ValueError("device is 'mps', but torch sees no Apple GPU here; 'auto' takes the CPU.")
    if PartialState(cpu=device == "cpu").num_processes == 1:
        # Accelerate keeps the first choice for the whole process; a notebook may choose again
        AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(cpu=device == "cpu", mixed_precision="no", gradient_accumulation_steps=1)


def seed_step(seed: int, step: int, process: int, device: torch.device) -> None:
    """Make what this step draws (mixup, dropout, what is skipped) depend on these three alone.

    A run that was interrupted then draws the same in step 100 as one that was not, and whatever a
    callback draws in between changes nothing.

    Example:
        >>> cpu = torch.device("cpu")
        >>> seed_step(0, 100, 0, cpu)
        >>> first = torch.rand(1)
        >>> seed_step(0, 100, 0, cpu)
        >>> torch.equal(first, torch.rand(1))
        True
    """
    words = np.random.SeedSequence((seed, step, process)).generate_state(2)
    number = int(words[0]) << 32 | int(words[1])
    if device.type == "cpu":
        torch.default_generator.manual_seed(number)  # a fifth of the time of the next line
    else:
        torch.manual_seed(number)


def agree(accelerator: Accelerator, training: Training, control: Control, callback: object) -> bool:
    """Do in all processes what the callback said in the first: new learning rate, or stop?

    callback: whether there is one, which all processes know; without one there is nothing to tell.
    Returns whether to stop.
    """
    if callback is not None and accelerator.num_processes > 1:
        said = broadcast_object_list([control.lr_scale, control.stop], from_process=0)
        control.lr_scale, control.stop = said
    training.lr_scale = control.lr_scale
    return control.stop
