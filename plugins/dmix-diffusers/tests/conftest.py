"""Tiny pipelines, randomly initialised: nothing is downloaded."""

import json
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


@pytest.fixture(scope="session")
def latent_pipeline(tmp_path_factory):
    """Writes a tiny StableDiffusionPipeline, with these changes of its parts' configs, and gives its folder."""
    transformers = pytest.importorskip("transformers")
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel

    def write(unet=(), vae=(), noise=(), text=()):
        folder = tmp_path_factory.mktemp("latent")
        words = tokenizer_files(folder)
        torch.manual_seed(0)
        tiny_unet = {
            "sample_size": 8,
            "in_channels": 4,
            "out_channels": 4,
            "block_out_channels": (16, 32),
            "layers_per_block": 1,
            "norm_num_groups": 8,
            "cross_attention_dim": 16,
            "attention_head_dim": 8,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        }
        tiny_vae = {
            "block_out_channels": (8, 16),
            "norm_num_groups": 8,
            "down_block_types": ("DownEncoderBlock2D",) * 2,
            "up_block_types": ("UpDecoderBlock2D",) * 2,
        }
        tiny_text = {
            "vocab_size": words,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "max_position_embeddings": 12,
        }
        steps = {
            "beta_schedule": "scaled_linear",
            "beta_start": 0.00085,
            "beta_end": 0.012,
            "clip_sample": False,
            "steps_offset": 1,
        }
        StableDiffusionPipeline(
            vae=AutoencoderKL(**{**tiny_vae, **dict(vae)}),
            text_encoder=transformers.CLIPTextModel(transformers.CLIPTextConfig(**{**tiny_text, **dict(text)})),
            tokenizer=transformers.CLIPTokenizer.from_pretrained(folder / "words"),
            unet=UNet2DConditionModel(**{**tiny_unet, **dict(unet)}),
            scheduler=DDIMScheduler(**{**steps, **dict(noise)}),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        ).save_pretrained(folder / "pipeline")
        return folder / "pipeline"

    return write


def tokenizer_files(folder):
    """A CLIP tokenizer that spells; returns how many tokens it knows."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "words").mkdir()
    (folder / "words" / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "words" / "merges.txt").write_text("#version: 0.2\n")
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 12, "pad_token": "<|endoftext|>"}
    (folder / "words" / "tokenizer_config.json").write_text(json.dumps(settings))
    return len(tokens)
