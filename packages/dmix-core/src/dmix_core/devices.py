"""Where denoisers compute, and in which arithmetic."""

from collections.abc import Iterable, Iterator

import torch

from .errors import DeviceError
from .protocols import Denoiser


def check_device(device: str) -> str:
    """The name of a device that makes tensors and gives their numbers back.

    Raises:
        DeviceError: there is no such device here, or it cannot do that.
    """
    try:
        torch.ones(1, device=device).item()  # the device "meta" makes tensors, but has no numbers to give back
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # what torch raises differs by device
        reason = str(error).partition("\n")[0]
        raise DeviceError(f"Cannot compute on the device {device!r} ({reason}). Try 'cpu'.") from error
    return device


def move(denoiser: Denoiser, device: torch.device | str | None, dtype: torch.dtype | None) -> None:
    """Move a denoiser in place, and all that it wraps; one without a method `to` follows the tensors it is given."""
    for part in parts(denoiser):
        if to := getattr(part, "to", None):
            to(device=device, dtype=dtype)


def device_of(denoisers: Iterable[Denoiser]) -> torch.device:
    """Where they compute: the attribute `device` of the first that has one, or of one inside it; else the CPU."""
    stated = (getattr(part, "device", None) for denoiser in denoisers for part in parts(denoiser))
    return torch.device(next(filter(None, stated), "cpu"))


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
