"""The contract about pixels: uint8 0..255 (T,C,H,W) up to the device, float -1..1 in the models."""

import torch


def normalise(clip: torch.Tensor) -> torch.Tensor:
    """Pixels as the models take them: uint8 0..255 -> float32 -1..1 (x / 127.5 - 1), any shape.

    No mean and standard deviation: the official code has none. Run it on the device, after the
    uint8 clip has travelled there. Raises TypeError for anything but uint8: float pixels have
    usually been normalised already. Source: official code, zero_centering.

    >>> normalise(torch.tensor([0, 255], dtype=torch.uint8))
    tensor([-1.,  1.])
    """
    if not isinstance(clip, torch.Tensor) or clip.dtype != torch.uint8:
        raise TypeError(
            f"normalise takes a uint8 tensor with values 0..255, not {kind_of(clip)}. Was the clip "
            "normalised already? Values 0..1 become uint8 by (clip * 255).round().to(torch.uint8)."
        )
    return clip.to(torch.float32) / 127.5 - 1


def denormalise(clip: torch.Tensor) -> torch.Tensor:
    """Pixels to look at: float -1..1 -> uint8 0..255, any shape; undoes `normalise` exactly.

    Values beyond -1..1 are clamped. Raises TypeError for anything but a float tensor.
    Source: official code, zero_centering.

    >>> denormalise(torch.tensor([-1.0, 0.0, 1.0, 1.5]))
    tensor([  0, 128, 255, 255], dtype=torch.uint8)
    """
    if not isinstance(clip, torch.Tensor) or not clip.is_floating_point():
        raise TypeError(
            f"denormalise takes a float tensor with values -1..1, not {kind_of(clip)}. uint8 "
            "pixels can be shown as they are."
        )
    return ((clip.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def check_clip(clip: torch.Tensor) -> None:
    """Raise TypeError or ValueError unless the clip is uint8 (T,C=3,H,W) with something in it.

    >>> check_clip(torch.zeros(8, 3, 40, 60, dtype=torch.uint8))
    """
    if not isinstance(clip, torch.Tensor) or clip.dtype != torch.uint8:
        raise TypeError(
            f"The clip is {kind_of(clip)}, but must be a uint8 tensor (T,C,H,W) with values "
            "0..255; normalise it after the transform, not before."
        )
    if clip.ndim != 4:
        raise ValueError(
            f"The clip has shape {tuple(clip.shape)}, but must have the 4 axes (T,C,H,W). "
            "Transform the clips of a batch one by one; write clip[None] for a single picture."
        )
    if clip.shape[1] != 3:
        hint = ""
        if clip.shape[0] == 3:
            hint = " If this is (C,T,H,W), use clip.permute(1, 0, 2, 3)."
        elif clip.shape[3] == 3:
            hint = " If this is (T,H,W,C), use clip.permute(0, 3, 1, 2)."
        raise ValueError(
            f"The clip has shape {tuple(clip.shape)}, but axis C of (T,C,H,W) must be 3 (RGB), not "
            f"{clip.shape[1]}.{hint}"
        )
    if 0 in clip.shape:
        raise ValueError(
            f"The clip has shape {tuple(clip.shape)}, but each axis of (T,C,H,W) needs at least 1."
        )


def kind_of(value: object) -> str:
    """What something is, in words: its type, and of a tensor its dtype.

    >>> kind_of(torch.zeros(2))
    'a float32 tensor'
    """
    if not isinstance(value, torch.Tensor):
        return f"a {type(value).__name__}"
    return f"a {str(value.dtype).removeprefix('torch.')} tensor"
