"""Small networks, and guided-diffusion's reference networks."""

import json
import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from dmix_models import ModelCard, ModelConfig, UNet, UNetConfig


class Reference(NamedTuple):
    """A network of guided-diffusion: its config, the shapes in its state dict, an input and its output."""

    config: UNetConfig
    shapes: dict[str, tuple[int, ...]]
    tensors: dict[str, Tensor]

    def weights(self) -> dict[str, Tensor]:
        """The weights that the output was computed with; shared/reference/README.md has how they were drawn."""
        draw = np.random.RandomState(0)
        weights = {}
        for key in sorted(self.shapes):
            z = draw.standard_normal(self.shapes[key])
            matrix, around = z.ndim > 1, 1 if key.endswith("weight") else 0
            z = z / math.sqrt(math.prod(z.shape[1:])) if matrix else 0.1 * z + around
            weights[key] = torch.tensor(z, dtype=torch.float32)
        return weights

    def network(self, **changes) -> UNet:
        network = UNet(self.config.model_copy(update=changes)).eval()
        network.load_state_dict(self.weights())
        return network


REFERENCES = ["class_conditional", "rgb_additive_neworder", "rgb_updown_headch", "rgba_plain_heads"]


@pytest.fixture(params=REFERENCES)
def reference(request, repo) -> Reference:
    path = repo / "tests" / "reference" / f"guided_unet_{request.param}.safetensors"
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    guided = json.loads(metadata["config"])
    shapes = {key: tuple(shape) for key, shape in json.loads(metadata["state_dict_shapes"]).items()}
    return Reference(translated(guided), shapes, load_file(path))


def translated(guided: dict) -> UNetConfig:
    """Guided-diffusion's constructor arguments in our words; its attention_resolutions are downsampling factors."""
    return UNetConfig(
        in_channels=guided["in_channels"],
        out_channels=guided["out_channels"],
        model_channels=guided["model_channels"],
        num_res_blocks=guided["num_res_blocks"],
        attention_downsamples=guided["attention_resolutions"],
        channel_mult=guided["channel_mult"],
        num_heads=guided.get("num_heads", 1),
        num_head_channels=guided.get("num_head_channels"),
        scale_shift_norm=guided.get("use_scale_shift_norm", False),
        resblock_updown=guided.get("resblock_updown", False),
        qkv_order="new" if guided.get("use_new_attention_order") else "legacy",
        num_classes=guided.get("num_classes"),
    )


@pytest.fixture
def tiny() -> ModelConfig:
    """An object model of 16 x 16 pixels with a mask and a learned variance."""
    return ModelConfig(
        name="tiny",
        role="object",
        size=(16, 16),
        mask_channels=1,
        variance="learned-range",
        network=UNetConfig(
            in_channels=4, out_channels=8, model_channels=16, num_res_blocks=1, channel_mult=(1, 2), norm_groups=8
        ),
    )


@pytest.fixture
def network(tiny) -> UNet:
    """Its network, with weights that are not zero anywhere."""
    return random_network(tiny.network)


def random_network(config: UNetConfig) -> UNet:
    torch.manual_seed(0)
    network = UNet(config).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    return network


@pytest.fixture
def make_network():
    return random_network


@pytest.fixture
def card() -> ModelCard:
    return ModelCard(data="squares", steps=7, command="dmix train tiny.toml", licence="CC0", settings={"seed": 3})
