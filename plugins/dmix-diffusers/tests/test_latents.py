"""A latent text-to-image pipeline: what it says is what diffusers says; it meets pictures by decoding and encoding."""

import gc
import sys

import pytest
import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline

from dmix_core.registry import Registry
from dmix_core.testing import check_denoiser
from dmix_diffusers import LatentDenoiser, LatentModel, LatentRegion, PipelineError, PixelDenoiser
from dmix_diffusers.latents import _MODELS

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def folder(latent_pipeline):
    return latent_pipeline()


@pytest.fixture(scope="module")
def model(folder):
    return LatentModel.load(folder)


def pictures(*size, seed=0):
    return torch.rand(size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


# ---- agreement ------------------------------------------------------------------------------------------------


def test_a_whole_run_is_that_of_stable_diffusion_pipeline(folder, model):
    """The same states from the same draws, on the same four levels, with guidance, decoded."""
    theirs = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    theirs.scheduler = DDPMScheduler.from_config(theirs.scheduler.config, timestep_spacing="linspace")
    theirs.set_progress_bar_config(disable=True)
    said = {"prompt": ["a rusty nail"] * 2, "negative_prompt": ["blue"] * 2, "guidance_scale": 3.0}
    draw = torch.Generator().manual_seed(0)
    images = theirs(**said, num_inference_steps=4, generator=draw, output_type="pt").images

    ours, draw = LatentDenoiser(model, "a rusty nail", "blue", 3.0), torch.Generator().manual_seed(0)
    noise = ours.noise.respace(4)
    x = torch.randn(2, *ours.spec.shape, generator=draw)
    for t in range(4, 0, -1):
        x, log_variance = noise.posterior(x, ours(x, noise.levels[t]).clean, t)
        if t > 1:
            x = x + (log_variance / 2).exp() * torch.randn(x.shape, generator=draw)
    assert torch.allclose(ours.decode(x) / 2 + 0.5, images, atol=1e-4)


def test_it_is_a_denoiser(model):
    check_denoiser(LatentDenoiser(model, "a cat"), examples=3, limit=1000)  # untrained, it says anything


def test_guidance_leads_from_the_negative_prompt_to_the_prompt_and_beyond(model):
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with_prompt, without = (LatentDenoiser(model, words, guidance_scale=1)(x, 700).clean for words in ("cat", "dog"))
    assert not torch.allclose(with_prompt, without)
    for scale in (0.0, 2.0):
        guided = LatentDenoiser(model, "cat", "dog", scale)(x, 700).clean
        assert torch.allclose(guided, without + scale * (with_prompt - without), atol=1e-4)


def test_a_guidance_of_one_takes_one_call_of_the_network(model, monkeypatch):
    batches, forward = [], model.unet.forward
    monkeypatch.setattr(model.unet, "forward", lambda x, *a, **k: batches.append(len(x)) or forward(x, *a, **k))
    for scale in (1, 7.5):
        LatentDenoiser(model, "cat", guidance_scale=scale)(torch.randn(3, 4, 8, 8), 700)
    assert batches == [3, 6]


def test_encoding_is_the_mean_and_decoding_its_way_back(latent_pipeline):
    model = LatentModel.load(latent_pipeline(vae={"scaling_factor": 0.5, "shift_factor": 0.25}))
    denoiser, shown = LatentDenoiser(model), pictures(2, 3, 16, 16)
    with torch.no_grad():
        mean = model.vae.encode(shown).latent_dist.mean
        picture = model.vae.decode(mean).sample.clamp(-1, 1)
    assert torch.allclose(denoiser.encode(shown), (mean - 0.25) * 0.5, atol=1e-6)
    assert torch.allclose(denoiser.decode(denoiser.encode(shown)), picture, atol=1e-5)


# ---- regions --------------------------------------------------------------------------------------------------


def test_its_region_decodes_into_the_box_and_encodes_out_of_it(model):
    denoiser = LatentDenoiser(model)
    region = denoiser.region_type(denoiser, (4, 2, 16, 16), "cat", 1, 0.5)
    assert isinstance(region, LatentRegion)
    assert (region.name, region.z, region.listen_from) == ("cat", 1, 0.5)
    latents, canvas = torch.randn(2, 4, 8, 8), pictures(2, 3, 20, 24)
    image, matte = region.lay(latents, (20, 24))
    assert torch.equal(image[..., 2:18, 4:20], denoiser.decode(latents))
    assert matte[..., 2:18, 4:20].all()
    assert matte.sum() == 2 * 16 * 16
    assert image.abs().sum() == pytest.approx(float(image[..., 2:18, 4:20].abs().sum()))
    assert torch.equal(region.encode(canvas), denoiser.encode(canvas[..., 2:18, 4:20]))
    assert region.view(canvas[:, :1]).shape == (2, 1, 8, 8)


def test_a_box_of_another_size_meets_resized_pictures(model):
    denoiser = LatentDenoiser(model)
    region, canvas = LatentRegion(denoiser, (0, 0, 32, 8)), pictures(1, 3, 8, 32)
    assert region.lay(torch.randn(1, 4, 8, 8), (8, 32)).image.shape == (1, 3, 8, 32)
    assert region.encode(canvas).shape == (1, 4, 8, 8)


def test_without_a_box_it_is_as_large_as_its_picture(model):
    wide = LatentDenoiser(model, height=8, width=24)
    assert (wide.spec.size, wide.picture_size) == ((4, 12), (8, 24))
    assert tuple(LatentRegion(wide).place) == (0, 0, 24, 8)
    assert wide.decode(torch.randn(1, 4, 4, 12)).shape == (1, 3, 8, 24)
    with pytest.raises(PipelineError, match=r"15 x 24 pixels; expected multiples of 2"):
        LatentDenoiser(model, height=15, width=24)


def test_regions_with_prompts_of_their_own_share_one_model(folder):
    registry = Registry.load()
    cat, dog = (registry.denoiser(f"latent-diffusion:{folder}", settings={"prompt": p}) for p in ("a cat", "a dog"))
    assert cat.model is dog.model
    x = torch.randn(1, 4, 8, 8)
    assert not torch.allclose(cat(x, 900).clean, dog(x, 900).clean)


def test_regions_with_prompts_of_their_own_run_as_one_batch(model):
    cat, dog = (LatentDenoiser(model, words, "red", 3) for words in ("a cat", "a dog"))
    assert cat.family == dog.family != LatentDenoiser(model, "a cat", "red", 4).family
    x = torch.randn(4, 4, 8, 8)
    together = cat.joined([cat, dog])(x, 900).clean
    assert torch.allclose(together, torch.cat([cat(x[:2], 900).clean, dog(x[2:], 900).clean]), atol=1e-4)


def test_a_model_that_nobody_has_any_more_is_let_go(latent_pipeline):
    folder = latent_pipeline()
    held = LatentModel.load(folder)
    assert (folder.resolve(), "cpu") in _MODELS
    del held
    gc.collect()
    assert (folder.resolve(), "cpu") not in _MODELS


# ---- what does not fit ----------------------------------------------------------------------------------------

PARTS = {
    "in_channels": {"unet": {"in_channels": 9}},
    "cross_attention_dim": {"unet": {"cross_attention_dim": 24}},
    "num_class_embeds": {"unet": {"num_class_embeds": 2}},
    "time_cond_proj_dim": {"unet": {"time_cond_proj_dim": 8}},
    "prediction_type": {"noise": {"prediction_type": "flow"}},
}


@pytest.mark.parametrize("key", PARTS)
def test_a_pipeline_that_does_not_fit_is_refused_by_key(latent_pipeline, key):
    with pytest.raises(PipelineError, match=rf"config has {key} = .*; expected"):
        LatentModel.load(latent_pipeline(**PARTS[key]))


def test_a_prompt_is_never_cut(model):
    LatentDenoiser(model, "abcdefghij")
    with pytest.raises(PipelineError, match=r"'abcdefghijk'\.\.\. has 13 tokens; expected at most 12: shorten it"):
        LatentDenoiser(model, "abcdefghijk")


def test_the_other_kind_of_pipeline_is_told_where_it_belongs(folder, reference):
    with pytest.raises(PipelineError, match=r"has UNet2DConditionModel.*write latent-diffusion:FOLDER"):
        PixelDenoiser.load(folder)
    with pytest.raises(PipelineError, match=r"has UNet2DModel.*write diffusers:FOLDER"):
        LatentModel.load(reference)


def test_transformers_is_asked_for_where_it_is_missing(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(PipelineError, match=r"pip install 'dmix-diffusers\[latent\]'"):
        LatentModel.load(folder)
