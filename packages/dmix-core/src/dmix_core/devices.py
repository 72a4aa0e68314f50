"""Where to compute."""

import torch

from .errors import DeviceError


def check_device(device: str) -> str:
    """The name of a device that makes tensors and gives their numbers back.

    Raises:
        DeviceError: there is no such device here, or it cannot do that.
    """
    try:
        torch.ones(1, device=device).item()  # the device "meta" makes tensors, but has no numbers to give back
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch's ways to say no
        reason = str(error).partition("\n")[0]
        raise DeviceError(f"Cannot compute on the device {device!r} ({reason}). Try 'cpu'.") from error
    return device
