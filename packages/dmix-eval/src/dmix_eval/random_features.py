"""KID on the features of a fixed random network: no download, no pictures of anything else, and no pretence.

It is not the KID of other papers, whose network is Inception trained on ImageNet: compare values of this one alone.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics.image.kid import KernelInceptionDistance

from .set_distances import Estimate
from .specimens import Specimen, halves

NAME = "KID on random features"
SUBSETS = 100
SEED = 0


class RandomFeatures(nn.Module):
    """Three layers of random convolutions, the same everywhere: means over places of what they give, (B, 128)."""

    num_features = 128

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(SEED)
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 5, stride=2) for a, b in ((1, 32), (32, 64), (64, 128)))
        for parameter in self.parameters():
            fan_in = parameter[0].numel() if parameter.ndim > 1 else len(parameter)
            parameter.data = torch.randn(parameter.shape, generator=generator) / fan_in**0.5

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, h, w) uint8."""
        x = x.float() / 127.5 - 1
        for layer in self.layers:
            x = layer(x).relu()
        return x.mean((2, 3))


def kid(ours: Sequence[Specimen], real: Sequence[Specimen]) -> Estimate:
    """torchmetrics' kernel distance over random subsets of half of the smaller side; the interval is two deviations."""
    size = max(2, min(len(ours), len(real)) // 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of features kept in memory
        metric = KernelInceptionDistance(RandomFeatures(), subsets=SUBSETS, subset_size=size)
    metric.update(_batch(real), real=True)
    metric.update(_batch(ours), real=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        mean, deviation = (float(value) for value in metric.compute())
    return Estimate(mean, mean - 2 * deviation, mean + 2 * deviation)


def real_kid(real: Sequence[Specimen]) -> Estimate:
    """The same between halves of the real groups."""
    return kid(*halves(real, SEED))


def _batch(specimens: Sequence[Specimen]) -> Tensor:
    return torch.from_numpy(np.stack([each.image.round().astype(np.uint8) for each in specimens]))[:, None]
