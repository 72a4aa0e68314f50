"""The features of a fixed random network, for KID: no download, no pictures of anything else, and no pretence.

It is not the KID of other papers, whose network is Inception trained on ImageNet: compare values of this one alone.
"""

import torch
from torch import Tensor, nn

SEED = 0


class RandomFeatures(nn.Module):
    """Three layers of random convolutions, the same everywhere: means over places of what they give, (B, 128)."""

    name = "random features"
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
