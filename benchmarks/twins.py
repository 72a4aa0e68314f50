"""A UNet of ours, diffusers' UNet2DModel with the same weights, and their matrix products alone."""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch
from diffusers import UNet2DModel
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from dmix_diffusers.unet2d import to_unet2d, unet2d_config
from dmix_models import UNet, UNetConfig, doubling
from dmix_models.checkpoint import find, read_config
from dmix_models.transfer import transferred

CONFIGS = {  # of 7 and 25 million parameters
    "32x32, 64 x (1, 2, 2)": (
        UNetConfig(
            in_channels=4,
            out_channels=8,
            model_channels=64,
            attention_downsamples=(4,),
            num_head_channels=32,
            resblock_updown=False,
        ),
        32,
    ),
    "64x64, 64 x (1, 2, 3, 4)": (
        UNetConfig(
            in_channels=3,
            out_channels=6,
            model_channels=64,
            channel_mult=(1, 2, 3, 4),
            attention_downsamples=(4, 8),
            num_head_channels=32,
        ),
        64,
    ),
}
BUNDLED = ("defects", "tiles")


def ours(name: str) -> tuple[UNet, int]:
    """A network with weights that are nowhere zero, and the side of its images."""
    if name in BUNDLED:
        config = read_config(find(name))
        unet = config.network.model_copy(update={"num_classes": None})
        config = config.model_copy(update={"classes": (), "network": unet})
        return transferred(name, config).eval().requires_grad_(False), config.size[0]  # what labels add, in the mean
    config, side = CONFIGS[name]
    torch.manual_seed(0)
    network = UNet(config).eval()
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    return network, side


def theirs(network: UNet, side: int) -> UNet2DModel:
    """The same network as diffusers has it."""
    twin = UNet2DModel(**unet2d_config(network.config, (side, side))).eval()
    twin.load_state_dict(to_unet2d(network.state_dict(), network.config), strict=True)
    return twin


class Recorder(TorchDispatchMode):
    """Keeps the convolutions and the attention's products that are called under it; inputs of one shape are one."""

    KEPT = frozenset(("convolution", "mkldnn_convolution", "_scaled_dot_product_flash_attention_for_cpu"))

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Callable[[], Tensor]] = []
        self._shared: dict[tuple[Any, ...], Tensor] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.overloadpacket.__name__ in self.KEPT:
            x, *rest = args
            x = self._shared.setdefault((x.shape, x.stride()), x.detach().clone())
            self.calls.append(lambda: func(x, *rest, **kwargs))
        return func(*args, **kwargs)


def products(network: UNet, x: Tensor, times: Tensor) -> Callable[[], None]:
    """What does the convolutions and the attention's products of a forward pass, and nothing else.

    Images are enlarged before they are convolved, as elsewhere, so that the floor is of all implementations.
    """
    enlarged_first = patch.object(doubling, "transposes", return_value=False)
    # inference mode hides what a call is of
    with torch.inference_mode(False), torch.no_grad(), enlarged_first, Recorder() as recorder:
        network(x.clone(), times.clone())
    if not recorder.calls:
        raise RuntimeError("no convolution of the network was seen; torch calls them by another name")

    def run() -> None:
        for call in recorder.calls:
            call()

    return run
