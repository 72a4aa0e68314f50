"""Tiny pipelines, randomly initialised: nothing is downloaded."""

from pathlib import Path

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

REFERENCE = Path(__file__).parent / "reference" / "diffusers_ddpm"


@pytest.fixture
def reference():
    """A pipeline and what diffusers 0.42.1 makes of it."""
    return REFERENCE


@pytest.fixture
def pipeline(tmp_path):
    """Writes a tiny pipeline, with these changes of the network's and the scheduler's configs, and gives its folder."""

    def write(folder="pipeline", scheduler=DDPMScheduler, noise=(), safe=True, **unet):
        torch.manual_seed(0)
        tiny = {
            "sample_size": 8,
            "block_out_channels": (8, 16),
            "layers_per_block": 1,
            "norm_num_groups": 4,
            "attention_head_dim": 8,
            "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
            "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        }
        made = DDPMPipeline(UNet2DModel(**{**tiny, **unet}), scheduler(**dict(noise)))
        made.save_pretrained(tmp_path / folder, safe_serialization=safe)
        return tmp_path / folder

    return write
