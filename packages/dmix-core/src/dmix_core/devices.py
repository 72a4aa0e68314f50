"""Where denoisers compute, and in which arithmetic."""

from collections.abc import Iterator

import torch

from .protocols import Denoiser


def move(denoiser: Denoiser, device: torch.device | str | None, dtype: torch.dtype | None) -> None:
    """Move a denoiser in place, and all that it wraps; one without a method `to` follows the tensors it is given."""
    for part in parts(denoiser):
        if to := getattr(part, "to", None):
            to(device=device, dtype=dtype)


def dtype_of(denoiser: Denoiser) -> torch.dtype:
    """The arithmetic of its network: its attribute `dtype`, or that of a denoiser inside; float32 without one."""
    stated = (getattr(part, "dtype", None) for part in parts(denoiser))
    dtype = next(filter(None, stated), torch.float32)
    return dtype if isinstance(dtype, torch.dtype) else getattr(torch, dtype)


def parts(denoiser: Denoiser) -> Iterator[Denoiser]:
    """A denoiser and every denoiser among its attributes, such as the one that a wrapper wraps."""
    yield denoiser
    for value in vars(denoiser).values() if hasattr(denoiser, "__dict__") else ():
        if isinstance(value, Denoiser):
            yield from parts(value)
