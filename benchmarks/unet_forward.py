"""How close the UNet's forward pass comes to its own convolutions.

    OMP_NUM_THREADS=1 python benchmarks/unet_forward.py

Prints ms per image and the share of it that the same convolutions take alone. Both are timed in turn in one process,
so that the share holds on a busy machine, where the milliseconds do not.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from dmix_models import UNet, UNetConfig

SMALL = UNetConfig(in_channels=4, out_channels=4, model_channels=32, norm_groups=8)
LARGE = UNetConfig(
    in_channels=3,
    out_channels=6,
    model_channels=64,
    channel_mult=(1, 2, 3, 4),
    attention_downsamples=(4, 8),
    num_head_channels=32,
)
ROUNDS = 10


def recorded_convolutions(network: UNet, x: Tensor, times: Tensor) -> list[Callable[[], Tensor]]:
    """Every convolution of a forward pass, with the input that it had."""
    calls: list[Callable[[], Tensor]] = []
    layers = [module for module in network.modules() if isinstance(module, nn.Conv1d | nn.Conv2d)]
    hooks = [
        layer.register_forward_hook(lambda layer, args, _: calls.append(partial(layer.forward, args[0].clone())))
        for layer in layers
    ]
    network(x, times)
    for hook in hooks:
        hook.remove()
    return calls


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


@torch.inference_mode()
def measure(config: UNetConfig, size: int, batch: int) -> tuple[float, float]:
    """Median seconds of the forward pass and of its convolutions alone."""
    network = UNet(config).eval()
    x, times = torch.randn(batch, config.in_channels, size, size), torch.tensor([500])
    calls = recorded_convolutions(network, x, times)
    rounds = [
        (seconds(lambda: network(x, times)), seconds(lambda: [call() for call in calls])) for _ in range(ROUNDS + 1)
    ]
    forward, convolutions = zip(*rounds[1:], strict=True)
    return statistics.median(forward), statistics.median(convolutions)


def main() -> None:
    print("| network | batch | ms per image | convolutions alone |")
    print("|---|---|---|---|")
    for config, size in [(SMALL, 32), (LARGE, 64)]:
        for batch in (1, 4):
            forward, convolutions = measure(config, size, batch)
            name = f"{size} x {size}, {config.model_channels} channels x {config.channel_mult}"
            print(f"| {name} | {batch} | {1000 * forward / batch:.1f} | {convolutions / forward:.0%} |")


if __name__ == "__main__":
    main()
