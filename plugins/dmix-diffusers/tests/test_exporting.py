"""A dmix model inside diffusers predicts what it predicts in dmix, and comes back as it went."""

import json
import os
import re
from pathlib import Path

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from safetensors.torch import load_file

from dmix_core import StillImage
from dmix_core.noise import spaced_indices
from dmix_diffusers import PipelineError, PixelDenoiser, export_pipeline, import_pipeline
from dmix_diffusers.__main__ import main
from dmix_diffusers.exporting import scheduler_config
from dmix_diffusers.schedulers import Scheduling
from dmix_diffusers.unet2d import from_unet2d, to_unet2d, unet2d_config
from dmix_models.checkpoint import ModelCard, find, load, read_config, read_weights, save
from dmix_models.config import ModelConfig, NoiseConfig
from dmix_models.denoiser import NetworkDenoiser
from dmix_models.importers import PRESETS
from dmix_models.unet import UNet, UNetConfig
from dmix_models.weights import shapes_of

WEIGHTS = "diffusion_pytorch_model.safetensors"
TINY = {
    "in_channels": 3,
    "out_channels": 6,
    "model_channels": 16,
    "num_res_blocks": 1,
    "channel_mult": (1, 2),
    "attention_downsamples": (2,),
    "num_head_channels": 8,
    "norm_groups": 4,
}
NETWORKS = {
    "as the presets": {"resblock_updown": False},
    "resblock_updown": {"resblock_updown": True, "num_res_blocks": 2},
    "legacy qkv": {"qkv_order": "legacy"},
    "time added": {"scale_shift_norm": False, "resblock_updown": False},
    "one head at every width": {"num_head_channels": None, "num_heads": 1, "attention_downsamples": (1,)},
    "heads at one width": {"num_head_channels": None, "num_heads": 4, "channel_mult": (1, 1)},
    "attention everywhere": {"attention_downsamples": (1, 2)},
    "attention in the middle alone": {"attention_downsamples": ()},
    "one level": {"channel_mult": (1,), "attention_downsamples": (1,)},
    "classes": {"num_classes": 3},
    "object": {"in_channels": 4, "out_channels": 8, "norm_groups": 16},
}


def network(config):
    """Random weights, with which no layer is silent."""
    draw, unet = torch.Generator().manual_seed(0), UNet(config).eval()
    for name, weight in unet.named_parameters():
        z = torch.randn(weight.shape, generator=draw)
        scale = max(1, z[0].numel()) ** -0.5 if z.ndim > 1 else 0.1
        weight.data = scale * z + (z.ndim == 1 and name.endswith("weight"))
    return unet.requires_grad_(False)


def model(classes=(), variance="learned-range", prediction="epsilon", masks=0, **changes):
    """A denoiser with random weights."""
    channels = 3 + masks
    outputs = 2 * channels if variance == "learned-range" else channels
    fits = {"in_channels": channels, "out_channels": outputs, "num_classes": len(classes) or None}
    config = ModelConfig(
        name="tiny",
        role="object" if masks else "background",
        size=(8, 12),
        mask_channels=masks,
        classes=classes,
        prediction=prediction,
        variance=variance,
        network=UNetConfig(**{**TINY, **fits, **changes}),
    )
    return NetworkDenoiser(config, network(config.network))


# ---- networks and weights -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_the_network_agrees_and_its_weights_come_back(name):
    config = UNetConfig(**{**TINY, **NETWORKS[name]})
    ours = network(config)
    theirs = UNet2DModel(**unet2d_config(config, (8, 8))).eval()
    theirs.load_state_dict(to_unet2d(ours.state_dict(), config), strict=True)
    x = torch.randn(2, config.in_channels, 8, 8, generator=torch.Generator().manual_seed(1))
    times, labels = torch.tensor([3, 871]), torch.tensor([0, 2]) if config.num_classes else None
    with torch.no_grad():
        assert torch.allclose(theirs(x, times, labels).sample, ours(x, times, labels), atol=1e-5)

    back = from_unet2d(theirs.state_dict(), config)
    assert back.keys() == ours.state_dict().keys()
    assert all(torch.equal(back[key], weight) for key, weight in ours.state_dict().items())


@pytest.mark.parametrize("name", ["256x256_diffusion_uncond", "64x64_diffusion"])
def test_the_public_networks_have_their_like(name):
    config = PRESETS[name].network
    with torch.device("meta"):
        theirs = UNet2DModel(**unet2d_config(config, PRESETS[name].size)).state_dict()
        ours = to_unet2d({key: torch.empty(shape) for key, shape in shapes_of(config).items()}, config)
    assert {key: weight.shape for key, weight in ours.items()} == {key: weight.shape for key, weight in theirs.items()}


def test_networks_that_unet2dmodel_does_not_have():
    with pytest.raises(PipelineError, match=r"channel_mult starts with 0\.5.*128 channels and its time embedding 256"):
        unet2d_config(PRESETS["512x512_diffusion"].network, (512, 512))
    with pytest.raises(PipelineError, match=r"512, 768, 1024 channels into 4 heads.*needs num_head_channels"):
        unet2d_config(PRESETS["128x128_diffusion"].network, (128, 128))


# ---- pipelines ------------------------------------------------------------------------------------------------


def test_a_bundled_model_goes_and_comes_back(tmp_path):
    ours = load("tiles")
    folder = export_pipeline("tiles", tmp_path / "pipeline")
    theirs = PixelDenoiser.load(folder)
    assert theirs.spec == ours.spec
    assert theirs.config == ours.config
    assert torch.equal(theirs.noise.alpha_bar, ours.noise.alpha_bar)
    x = torch.randn(1, *ours.spec.shape, generator=torch.Generator().manual_seed(0))
    for t in (1, 400):
        for one, other in zip(ours(x, t), theirs(x, t), strict=True):
            assert torch.allclose(one, other, atol=3e-5)

    back = import_pipeline(folder, tmp_path / "back")
    assert read_config(back) == ours.config
    weights = ours.network.state_dict()
    assert all(torch.equal(weights[key], weight) for key, weight in read_weights(back).items())


@pytest.mark.parametrize(
    ("variance", "prediction"),
    [("learned-range", "v"), ("fixed-small", "epsilon"), ("fixed-large", "x0"), ("learned-range", "epsilon")],
)
def test_ddpm_pipeline_runs_it_as_dmix_does(tmp_path, variance, prediction):
    """The same states from the same draws, on the same five levels."""
    ours = model(variance=variance, prediction=prediction)
    pipeline = DDPMPipeline.from_pretrained(export_pipeline(ours, tmp_path / "pipeline"))
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(2, torch.Generator().manual_seed(0), num_inference_steps=5, output_type="pt").images

    draw = torch.Generator().manual_seed(0)
    noise = ours.noise.respace(5)
    x = torch.randn(2, *ours.spec.shape, generator=draw)
    for t in range(5, 0, -1):
        clean, spread = ours(x, noise.levels[t])
        x, log_variance = noise.posterior(x, clean, t, spread=spread)
        if t > 1:
            x = x + (log_variance / 2).exp() * torch.randn(x.shape, generator=draw)
    assert torch.allclose(images, (x / 2 + 0.5).clamp(0, 1), atol=1e-4)


def test_the_pictures_of_an_object_have_their_mask_as_alpha(tmp_path):
    pipeline = DDPMPipeline.from_pretrained(export_pipeline(model(masks=1, num_res_blocks=1), tmp_path / "pipeline"))
    pipeline.set_progress_bar_config(disable=True)
    (picture,) = pipeline(num_inference_steps=2).images
    assert (picture.mode, picture.size) == ("RGBA", (12, 8))


def test_a_chosen_class_becomes_a_pipeline_of_its_own(tmp_path):
    ours = model(classes=("crack", "break", "fray")).with_label("break")
    theirs = PixelDenoiser.load(export_pipeline(ours, tmp_path / "pipeline"))
    x = torch.randn(2, *ours.spec.shape)
    assert torch.allclose(theirs(x, 500).clean, ours(x, 500).clean, atol=1e-4)
    assert theirs.config.name == "tiny-break"
    with pytest.raises(PipelineError, match=r"class-conditional.*with_label.*crack, break, fray"):
        export_pipeline(model(classes=("crack", "break", "fray")), tmp_path / "other")


@pytest.mark.parametrize(("kind", "steps"), [("linear", 1000), ("linear", 500), ("cosine", 60)])
def test_tables_of_any_length_are_written_as_they_are(kind, steps):
    noise = NoiseConfig(kind=kind, steps=steps)
    config = read_config(find("tiles")).model_copy(update={"noise": noise})
    assert torch.equal(
        Scheduling.read(DDPMScheduler(**scheduler_config(config))).noise.alpha_bar, noise.schedule().alpha_bar
    )


def test_a_pipeline_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    tiny, taken = model(), tmp_path / "taken"
    taken.mkdir()
    (taken / "file").touch()
    with pytest.raises(PipelineError, match=r"Cannot write a pipeline to .*there is something"):
        export_pipeline(tiny, taken)
    with pytest.raises(PipelineError, match=r"Only dmix' own models.*StillImage"):
        export_pipeline(StillImage(torch.zeros(3, 8, 8)), tmp_path / "still")
    monkeypatch.setattr(DDPMPipeline, "save_pretrained", broken)
    with pytest.raises(OSError, match="disk full"):
        export_pipeline(tiny, tmp_path / "new")
    assert os.listdir(tmp_path) == ["taken"]


def broken(pipeline, folder, **settings):
    (Path(folder) / "half").touch()
    raise OSError("disk full")


# ---- checkpoints of foreign pipelines -------------------------------------------------------------------------


def test_a_foreign_pipeline_becomes_a_checkpoint(reference, tmp_path):
    ours = load(import_pipeline(reference, tmp_path / "checkpoint"))
    numbers = load_file(reference / "expected.safetensors")
    with torch.no_grad():
        out = ours.network(numbers["x"], numbers["t"])
    assert torch.allclose(out, numbers["out"], atol=1e-5)
    assert torch.equal(ours.noise.alpha_bar, PixelDenoiser.load(reference).noise.alpha_bar)
    exported = export_pipeline(ours, tmp_path / "pipeline")
    there, back = (
        load_file(folder / "unet" / "diffusion_pytorch_model.safetensors") for folder in (reference, exported)
    )
    assert there.keys() == back.keys()
    assert all(torch.equal(weight, back[key]) for key, weight in there.items())


def test_a_foreign_object_says_that_it_has_a_mask(pipeline, tmp_path):
    folder = pipeline(in_channels=4, out_channels=4)
    assert read_config(import_pipeline(folder, tmp_path / "object", mask_channels=1)).role == "object"


FOREIGN = {
    "norm_eps": ({"norm_eps": 1e-6}, {}),
    "freq_shift": ({"freq_shift": 1}, {}),
    "flip_sin_to_cos": ({"flip_sin_to_cos": False}, {}),
    "downsample_padding": ({"downsample_padding": 0}, {}),
    "attn_norm_num_groups": ({"resnet_time_scale_shift": "scale_shift"}, {}),
    "up_block_types": ({"up_block_types": ("UpBlock2D", "UpBlock2D")}, {}),
    "add_attention": ({"add_attention": False}, {}),
    "beta_schedule": ({}, {"beta_schedule": "scaled_linear"}),
    "clip_sample": ({}, {"clip_sample": False}),
}


@pytest.mark.parametrize("key", FOREIGN)
def test_a_foreign_pipeline_that_dmix_has_no_like_of_is_refused_by_key(pipeline, tmp_path, key):
    unet, noise = FOREIGN[key]
    with pytest.raises(PipelineError, match=rf"{key}\b.*diffusers:FOLDER"):
        import_pipeline(pipeline(**unet, noise=noise), tmp_path / "checkpoint")
    assert not (tmp_path / "checkpoint").exists()


def test_a_grid_that_dmix_would_not_halve_is_told(pipeline, tmp_path):
    with pytest.raises(PipelineError, match=r"no such model: .*9 x 9.*multiples of 2.*diffusers:FOLDER"):
        import_pipeline(pipeline(sample_size=9), tmp_path / "checkpoint")


def test_what_dmix_wrote_beside_a_pipeline_must_fit_it(tmp_path):
    folder = export_pipeline(model(), tmp_path / "pipeline")
    content = json.loads((folder / "dmix.json").read_text())
    content["network"]["norm_groups"] = 8
    (folder / "dmix.json").write_text(json.dumps(content))
    with pytest.raises(PipelineError, match=r"norm_num_groups = 4"):
        import_pipeline(folder, tmp_path / "checkpoint")
    (folder / "dmix.json").write_text("{}")
    with pytest.raises(PipelineError, match=r"dmix\.json' is damaged"):
        PixelDenoiser.load(folder)


# ---- the command ----------------------------------------------------------------------------------------------


def test_the_command_goes_both_ways(tmp_path, capsys):
    ours = model()
    card = ModelCard(data="none", command="none", licence="none")
    checkpoint = save(tmp_path / "tiny", ours.config, ours.network.state_dict(), card)
    main(["export", str(checkpoint), str(tmp_path / "pipeline")])
    main(["import", str(tmp_path / "pipeline"), str(tmp_path / "back")])
    assert capsys.readouterr().out.splitlines() == [f"Wrote {tmp_path / name}" for name in ("pipeline", "back")]
    assert read_config(tmp_path / "back") == ours.config
    with pytest.raises(SystemExit, match=re.escape(f"Error: Cannot write a pipeline to {str(tmp_path / 'tiny')!r}")):
        main(["export", str(checkpoint), str(checkpoint)])
    with pytest.raises(SystemExit, match="Error: "):
        main(["import", str(tmp_path / "pipeline"), str(tmp_path / "pipeline")])


def test_an_exported_scheduler_takes_the_levels_of_dmix_but_for_halves():
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(**scheduler_config(read_config(find("tiles"))))
    apart = {}
    for steps in range(1, 1001):
        scheduler.set_timesteps(steps)
        theirs, ours = scheduler.timesteps.tolist()[::-1], spaced_indices(1000, steps)
        apart[steps] = max(abs(a - b) for a, b in zip(theirs, ours, strict=True))
    assert sorted(set(apart.values())) == [0, 1]
    assert sum(apart.values()) == 278
    assert not any(apart[steps] for steps in (10, 20, 25, 50, 100, 200, 250, 500, 1000))


def test_a_network_with_other_heads_in_its_upward_half_is_refused():
    config = UNetConfig(**{**TINY, "num_heads": 1, "num_head_channels": None, "num_heads_upsample": 2})
    with pytest.raises(PipelineError, match="num_heads_upsample = 2 and num_heads = 1"):
        unet2d_config(config, (16, 16))
