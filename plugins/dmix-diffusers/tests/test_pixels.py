"""An unconditional pipeline predicts what diffusers predicts, or an error names the key that stands in the way."""

import json
import shutil

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
)
from safetensors.torch import load_file, save_file

from dmix_core import Composer, NoiseSchedule
from dmix_core.backends import Inputs
from dmix_core.errors import DenoiserError, PluginError
from dmix_core.recipe import Recipe
from dmix_core.registry import Registry
from dmix_core.testing import check_denoiser
from dmix_diffusers import PipelineError, PixelDenoiser, diffusers
from dmix_diffusers.schedulers import Scheduling

# ---- agreement ------------------------------------------------------------------------------------------------


def test_the_reference_network_agrees(reference):
    denoiser, numbers = PixelDenoiser.load(reference), load_file(reference / "expected.safetensors")
    x, out = numbers["x"], numbers["out"]
    for i, t in enumerate(numbers["t"].tolist()):
        clean = denoiser(x[i : i + 1], t + 1).clean
        expected = denoiser.noise.clean_from("epsilon", out[i : i + 1], x[i : i + 1], t + 1).clamp(-1, 1)
        assert torch.allclose(clean, expected, atol=1e-4)


def test_the_reference_ddim_step_agrees(reference):
    numbers = load_file(reference / "expected.safetensors")
    noise, x, eps = PixelDenoiser.load(reference).noise, numbers["x"], numbers["eps"]
    times = numbers["ddim.timesteps"].tolist()
    t = int(numbers["ddim.t"])
    s = times[times.index(t) + 1]
    clean = noise.clean_from("epsilon", eps, x, t + 1).clamp(-1, 1)
    assert torch.allclose(noise.diffuse(clean, 0, s + 1, eps), numbers["ddim.prev"], atol=1e-5)


def test_it_is_a_denoiser(reference):
    check_denoiser(PixelDenoiser.load(reference), examples=3)


SCHEDULES = [
    {"beta_schedule": "linear", "num_train_timesteps": 500, "beta_start": 2e-4, "beta_end": 0.03},
    {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    {"beta_schedule": "squaredcos_cap_v2", "num_train_timesteps": 300},
    {"beta_schedule": "sigmoid"},
    {"trained_betas": torch.linspace(0.01, 0.2, 60).tolist(), "num_train_timesteps": 60},
]


@pytest.mark.parametrize("variance", ["fixed_small", "fixed_small_log", "fixed_large", "learned_range"])
@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_step_is_that_of_the_scheduler(schedule, prediction, variance):
    """One ancestral step from the same state, network output and noise, with all levels and with ten."""
    scheduler = DDPMScheduler(**schedule, prediction_type=prediction, variance_type=variance)
    scheduling = Scheduling.read(scheduler)
    generator = torch.Generator().manual_seed(0)
    x, output = torch.randn(2, 1, 3, 4, 4, generator=generator)
    v = torch.tanh(torch.randn(1, 3, 4, 4, generator=generator))
    predicted = torch.cat([output, v], 1) if variance == "learned_range" else output
    spread = {"learned_range": (v + 1) / 2, "fixed_large": torch.ones(())}.get(variance)

    noise = scheduling.noise.respace(10)
    times = [level - 1 for level in noise.levels[1:]]
    scheduler.set_timesteps(timesteps=times[::-1])
    for level in range(1, 11):
        theirs = scheduler.step(predicted, times[level - 1], x, generator=torch.Generator().manual_seed(1)).prev_sample
        clean = scheduling.limited(noise.clean_from(scheduling.prediction, output, x, level))
        mean, log_variance = noise.posterior(x, clean, level, spread=spread)
        z = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
        ours = mean + (log_variance / 2).exp() * z if level > 1 else mean
        assert torch.allclose(ours, theirs, atol=1e-4), level


LIMITS = [{}, {"clip_sample": False}, {"clip_sample_range": 2.5}, {"thresholding": True, "sample_max_value": 1.7}]


@pytest.mark.parametrize("settings", LIMITS)
def test_clean_predictions_are_limited_as_the_scheduler_limits_them(settings):
    scheduler = DDPMScheduler(**settings, prediction_type="sample")
    clean = 2 * torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    theirs = scheduler.step(clean, 5, clean, torch.Generator()).pred_original_sample
    assert torch.allclose(Scheduling.read(scheduler).limited(clean), theirs)


def test_the_tables_are_in_float64():
    assert torch.equal(Scheduling.read(DDPMScheduler()).noise.alpha_bar, NoiseSchedule.linear(1000).alpha_bar)
    cosine = Scheduling.read(DDIMScheduler(beta_schedule="squaredcos_cap_v2")).noise
    assert torch.equal(cosine.alpha_bar, NoiseSchedule.cosine(1000).alpha_bar)


def test_a_learned_variance_is_told_as_a_spread(pipeline):
    denoiser = PixelDenoiser.load(pipeline(out_channels=6, noise={"variance_type": "learned_range"}))
    x = torch.randn(2, 3, 8, 8)
    v = denoiser.unet(x, 41).sample[:, 3:]
    clean, spread = denoiser(x, 42)
    assert clean.shape == x.shape
    assert torch.allclose(spread, (v + 1) / 2)


def test_a_fixed_large_variance_is_a_spread_of_one(pipeline):
    denoiser, x = PixelDenoiser.load(pipeline(noise={"variance_type": "fixed_large"})), torch.randn(2, 3, 8, 8)
    assert denoiser(x, 42).spread == 1
    with pytest.raises(DenoiserError, match=r"Level 0 is outside 1\.\.1000"):
        denoiser(x, 0)
    with pytest.raises(DenoiserError, match=r"given \(2, 1, 8, 8\); expected"):
        denoiser(x[:, :1], 42)


# ---- what a pipeline may be -----------------------------------------------------------------------------------


def test_a_scheduler_of_another_sampler_has_the_same_noise(pipeline):
    denoiser = PixelDenoiser.load(pipeline(scheduler=EulerDiscreteScheduler))
    assert torch.equal(denoiser.noise.alpha_bar, NoiseSchedule.linear(1000).alpha_bar)


def test_its_last_channel_may_be_a_mask(pipeline):
    folder = pipeline(in_channels=4, out_channels=4)
    spec = PixelDenoiser.load(folder, mask_channels=1).spec
    assert (spec.image_channels, spec.mask_channels) == (3, 1)
    with pytest.raises(PipelineError, match=r"in_channels = 4; expected 1 or 3.*mask_channels=1"):
        PixelDenoiser.load(folder)


def test_its_grid_is_given_where_the_config_does_not_say(pipeline):
    assert PixelDenoiser.load(pipeline(sample_size=(8, 16))).spec.size == (8, 16)
    folder = pipeline("free", sample_size=None)
    assert PixelDenoiser.load(folder, height=12, width=8).spec.size == (12, 8)
    with pytest.raises(PipelineError, match=r"sample_size = None.*REGION\.height"):
        PixelDenoiser.load(folder, height=12)


def test_a_class_conditional_network_paints_the_label(pipeline):
    folder, x = pipeline(num_class_embeds=3), torch.randn(2, 3, 8, 8)
    one, two = (PixelDenoiser.load(folder, label=label) for label in (1, 2))
    labels = torch.full((2,), 2)
    expected = two.noise.clean_from("epsilon", two.unet(x, 500, labels).sample, x, 501).clamp(-1, 1)
    assert torch.allclose(two(x, 501).clean, expected)
    assert not torch.allclose(one(x, 501).clean, expected)
    for label in (None, 3):
        with pytest.raises(PipelineError, match=rf"num_class_embeds = 3.*got label={label}"):
            PixelDenoiser.load(folder, label=label)


def test_bfloat16_is_a_matter_of_the_network(pipeline):
    folder, x = pipeline(), torch.randn(1, 3, 8, 8)
    full, short = (PixelDenoiser.load(folder, dtype=dtype)(x, 900).clean for dtype in ("float32", "bfloat16"))
    assert short.dtype == torch.float32
    assert 0 < (full - short).abs().max() < 0.5


def test_a_backend_runs_its_network(pipeline):
    denoiser, x = PixelDenoiser.load(pipeline(num_class_embeds=3), label=1), torch.randn(2, 3, 8, 8)
    called, made = [], []

    def backend(network, inputs):
        made.append(inputs)
        return lambda *given: called.append(given) or network(*given)

    other = denoiser.with_backend(backend)
    assert torch.equal(other(x, 900).clean, denoiser(x, 900).clean)
    assert made == [Inputs(3, (8, 8), 3, torch.device("cpu"), "float32")]
    ((_, times, labels),) = called
    assert (times.tolist(), labels.tolist()) == ([899], [1])


def test_it_is_moved_as_torch_moves(pipeline):
    denoiser, x = PixelDenoiser.load(pipeline(num_class_embeds=3), label=1), torch.randn(1, 3, 8, 8)
    full = denoiser(x, 900).clean
    assert not torch.equal(denoiser.to(dtype=torch.bfloat16)(x, 900).clean, full)
    assert torch.equal(denoiser.to("cpu", "float32")(x, 900).clean, full)
    assert denoiser.to("meta").device == torch.device("meta")
    plain = denoiser.with_backend(lambda network, inputs: network)  # autocast knows no meta tensors
    assert plain(x.to("meta"), 900).clean.device == torch.device("meta")


def test_old_pipelines_keep_all_files_in_one_folder(pipeline):
    folder, x = pipeline(), torch.randn(1, 3, 8, 8)
    expected = PixelDenoiser.load(folder)(x, 7).clean
    for part in ("unet", "scheduler"):
        for file in (folder / part).iterdir():
            file.rename(folder / file.name)
        (folder / part).rmdir()
    assert torch.equal(PixelDenoiser.load(folder)(x, 7).clean, expected)


def test_an_id_of_the_hub_is_left_to_the_library(reference, monkeypatch):
    asked = []
    monkeypatch.setattr(DiffusionPipeline, "download", lambda *a, **k: asked.append((a, k)) or str(reference))
    assert PixelDenoiser.load("google/ddpm-cat-256").spec.size == (16, 16)
    assert asked == [(("google/ddpm-cat-256",), {"use_safetensors": True})]


# ---- what it may not ------------------------------------------------------------------------------------------

NETWORKS = {
    "out_channels": ({"out_channels": 6}, {}),
    "time_embedding_type": ({"time_embedding_type": "fourier"}, {}),
    "class_embed_type": ({"class_embed_type": "timestep"}, {}),
}
SCHEDULERS = {
    "variance_type": (DDPMScheduler, {"variance_type": "learned"}),
    "rescale_betas_zero_snr": (DDIMScheduler, {"rescale_betas_zero_snr": True}),
    "beta_schedule": (FlowMatchEulerDiscreteScheduler, {}),
    "timestep_type": (EulerDiscreteScheduler, {"timestep_type": "continuous"}),
    "prediction_type": (DDPMScheduler, {"prediction_type": "flow"}),
}


@pytest.mark.parametrize("key", NETWORKS)
def test_a_network_that_does_not_fit_is_refused_by_key(pipeline, key):
    unet, noise = NETWORKS[key]
    with pytest.raises(PipelineError, match=rf"network's config has {key} = .*; expected"):
        PixelDenoiser.load(pipeline(noise=noise, **unet))


@pytest.mark.parametrize("key", SCHEDULERS)
def test_a_scheduler_that_does_not_fit_is_refused_by_key(key):
    kind, settings = SCHEDULERS[key]
    with pytest.raises(PipelineError, match=rf"{kind.__name__}'s config has {key} = .*; expected"):
        Scheduling.read(kind(**settings))


def test_pickled_weights_are_never_read(pipeline, monkeypatch):
    folder = pipeline(safe=False)
    assert list(folder.glob("unet/*.bin"))
    monkeypatch.setattr(torch, "load", pytest.fail)
    with pytest.raises(PipelineError, match=r"Cannot load unet .*safetensors.*save_pretrained"):
        PixelDenoiser.load(folder)


def test_code_that_comes_with_a_model_is_never_run(pipeline):
    folder = pipeline()
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"unet": ["my_unet", "MyUNet"]}))
    with pytest.raises(PipelineError, match=r"parts of my_unet.*never run"):
        PixelDenoiser.load(folder)


def test_a_network_of_latents_is_no_network_of_pixels(pipeline):
    folder = pipeline()
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"vqvae": ["diffusers", "VQModel"]}))
    with pytest.raises(PipelineError, match=r"has vqvae beside unet and scheduler"):
        PixelDenoiser.load(folder)


def test_weights_that_are_missing_are_told(pipeline):
    folder = pipeline()
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    save_file({key: value.clone() for key, value in weights.items() if "mid_block" not in key}, path)
    with pytest.raises(PipelineError, match=r"no weights for mid_block.* others"):
        PixelDenoiser.load(folder)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(PipelineError, match=r"Cannot load unet of the pipeline"):
        PixelDenoiser.load(folder)


def test_what_is_no_pipeline_is_told(tmp_path, pipeline, monkeypatch):
    monkeypatch.setattr(DiffusionPipeline, "download", offline)
    with pytest.raises(PipelineError, match=r"no folder 'nowhere/at-all'.*OSError: no network"):
        PixelDenoiser.load("nowhere/at-all")
    with pytest.raises(PipelineError, match=r"needs a pipeline; expected diffusers:FOLDER"):
        PixelDenoiser.load(None)
    with pytest.raises(PipelineError, match=r"model_index\.json.*save_pretrained writes it"):
        PixelDenoiser.load(tmp_path)
    folder = pipeline()
    (folder / "model_index.json").write_text('{"scheduler": ["diffusers", "DDPMScheduler"]}')
    with pytest.raises(PipelineError, match=r"has nothing as 'unet' .* expected UNet2DModel"):
        PixelDenoiser.load(folder)
    (folder / "model_index.json").write_text('{"scheduler": ["diffusers", "UNet2DModel"]}')
    with pytest.raises(PipelineError, match=r"has UNet2DModel as its scheduler; expected one of diffusers' own"):
        PixelDenoiser.load(folder)
    shutil.rmtree(folder / "scheduler")
    (folder / "model_index.json").write_text('{"scheduler": ["diffusers", "DDPMScheduler"]}')
    with pytest.raises(PipelineError, match=r"Cannot load scheduler"):
        PixelDenoiser.load(folder)


def offline(*given, **settings):
    raise OSError("no network\nand a page of advice")


# ---- in dmix --------------------------------------------------------------------------------------------------


def test_it_is_found_by_name_and_its_settings_are_checked(pipeline):
    registry, folder = Registry.load(), pipeline(in_channels=4, out_channels=4)
    assert registry.denoiser(f"diffusers:{folder}", settings={"mask_channels": "1"}).spec.mask_channels == 1
    with pytest.raises(PluginError, match=r"mask_channel.*Did you mean 'mask_channels'"):
        registry.denoiser(f"diffusers:{folder}", settings={"mask_channel": "1"})


def test_a_relative_folder_holds_wherever_the_recipe_is_read(pipeline, monkeypatch):
    folder = pipeline()
    monkeypatch.chdir(folder.parent)
    assert Registry.load().absolute("diffusers:pipeline") == f"diffusers:{folder.resolve()}"


def test_it_composes(reference):
    regions = [
        {"name": "scene", "model": f"diffusers:{reference}"},
        {"name": "blowhole", "model": "defects:blowhole", "z": 1},
    ]
    regions[1]["box"] = (0, 0, 16, 16)
    recipe = Recipe.from_data({"regions": regions, "steps": 4, "timesteps": {"use": "descent"}})
    composition = recipe.composer(Registry.load()).compose(2)
    assert composition.image.shape == (2, 3, 16, 16)
    assert composition.image.isfinite().all()
    assert isinstance(recipe.composer(Registry.load()), Composer)


def test_weights_are_known_by_one_checksum(pipeline):
    one, same, other = (
        diffusers(pipeline(name, layers_per_block=n)).sha256 for name, n in (("a", 1), ("b", 1), ("c", 2))
    )
    assert one == same != other
