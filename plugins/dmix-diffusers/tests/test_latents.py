"""A latent text-to-image pipeline predicts what diffusers predicts; it meets pictures by decoding and encoding."""

import gc
import sys
from collections import Counter

import pytest
import torch
from click.testing import CliRunner
from diffusers import DDPMScheduler, StableDiffusionPipeline

from dmix_cli.main import main
from dmix_core import BoxRegion, Composer, Spec, TailResampling, Wrapper
from dmix_core.recipe import Recipe
from dmix_core.region import encoded
from dmix_core.registry import Registry
from dmix_core.testing import ConstantDenoiser, GaussianDenoiser, check_denoiser, check_region
from dmix_diffusers import LatentDenoiser, LatentModel, PipelineError, PixelDenoiser
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
    prompts = {"prompt": ["a rusty nail"] * 2, "negative_prompt": ["blue"] * 2, "guidance_scale": 3.0}
    draw = torch.Generator().manual_seed(0)
    images = theirs(**prompts, num_inference_steps=4, generator=draw, output_type="pt").images

    ours, draw = LatentDenoiser(model, "a rusty nail", "blue", 3.0), torch.Generator().manual_seed(0)
    noise = ours.noise.respace(4)
    x = torch.randn(2, *ours.spec.shape, generator=draw)
    for t in range(4, 0, -1):
        x, log_variance = noise.posterior(x, ours(x, noise.levels[t]).clean, t)
        if t > 1:
            x = x + (log_variance / 2).exp() * torch.randn(x.shape, generator=draw)
    assert torch.allclose(model.decode(x) / 2 + 0.5, images, atol=1e-4)


def test_it_is_a_denoiser(model):
    check_denoiser(LatentDenoiser(model, "a cat"), examples=3, limit=1000)  # untrained, it predicts anything


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
    assert torch.allclose(denoiser.model.encode(shown), (mean - 0.25) * 0.5, atol=1e-6)
    assert torch.allclose(denoiser.model.decode(denoiser.model.encode(shown)), picture, atol=1e-5)


# ---- regions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("box", [None, (4, 2, 16, 16), (4, 2, 10, 12)])
def test_it_meets_the_canvas_in_a_box(model, box):
    check_region(BoxRegion(LatentDenoiser(model), box), examples=2)


def test_its_region_decodes_into_the_box_and_encodes_out_of_it(model):
    denoiser = LatentDenoiser(model)
    region = BoxRegion(denoiser, (4, 2, 16, 16), "cat", 1, 0.5)
    latents, shown = torch.randn(2, 4, 8, 8), pictures(2, 3, 16, 16)
    image, matte = region.lay(denoiser.spec.decoded(latents))
    assert torch.equal(image, model.decode(latents))
    assert (matte == 1).all()
    assert torch.equal(encoded(region, shown), model.encode(shown))


def test_a_box_of_another_size_meets_resized_pictures(model):
    denoiser = LatentDenoiser(model)
    region = BoxRegion(denoiser, (0, 0, 32, 8))
    assert region.lay(denoiser.spec.decoded(torch.randn(1, 4, 8, 8))).image.shape == (1, 3, 8, 32)
    assert encoded(region, pictures(1, 3, 8, 32)).shape == (1, 4, 8, 8)


def test_without_a_box_it_is_as_large_as_its_picture(model):
    wide = LatentDenoiser(model, height=8, width=24)
    assert (wide.spec.size, wide.spec.picture.size) == ((4, 12), (8, 24))
    assert tuple(BoxRegion(wide).place) == (0, 0, 24, 8)
    assert wide.model.decode(torch.randn(1, 4, 4, 12)).shape == (1, 3, 8, 24)
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


def test_a_backend_runs_its_network(model):
    cat, dog = (LatentDenoiser(model, words, "red", 3) for words in ("a cat", "a dog"))
    called, made = [], []

    def backend(network, inputs):
        made.append(inputs)
        return lambda *given: called.append(given) or network(*given)

    x = torch.randn(2, 4, 8, 8)
    other = cat.with_backend(backend)
    assert other.family != cat.family
    assert torch.equal(other(x, 900).clean, cat(x, 900).clean)
    together, expected = other.joined([other, dog.with_backend(backend)]), cat.joined([cat, dog])
    assert torch.equal(together(x, 900).clean, expected(x, 900).clean)
    assert {inputs.classes for inputs in made} == {2, 4}  # texts, of which a label is the number
    assert [(times.tolist(), labels.tolist()) for _, times, labels in called] == [
        ([899], [0, 0, 1, 1]),
        ([899], [0, 1, 2, 3]),
    ]


def test_it_is_moved_as_torch_moves(latent_pipeline):
    folder, x = latent_pipeline(), torch.randn(1, 4, 8, 8)
    model = LatentModel.load(folder)
    denoiser = LatentDenoiser(model, "a cat")
    full = denoiser(x, 900).clean
    assert not torch.equal(denoiser.to(dtype=torch.bfloat16)(x, 900).clean, full)
    assert torch.equal(denoiser.to("cpu", "float32")(x, 900).clean, full)
    assert denoiser.to("meta").device == model.device == torch.device("meta")
    plain = denoiser.with_backend(lambda network, inputs: network)  # autocast knows no meta tensors
    assert plain(x.to("meta"), 900).clean.device == torch.device("meta")
    assert LatentModel.load(folder).device == torch.device("cpu")  # not the one that has moved away


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


# ---- compositions ---------------------------------------------------------------------------------------------


@pytest.fixture
def seen(model, monkeypatch):
    """How often the network, the decoder and the encoder were called."""
    counts = Counter()
    for name, part in (("network", model.unet), ("decode", model.vae.decoder), ("encode", model.vae.encoder)):

        def counted(*given, name=name, forward=part.forward, **settings):
            counts[name] += 1
            return forward(*given, **settings)

        monkeypatch.setattr(part, "forward", counted)
    return counts


def thing(mean=0.8):
    """An object of 8x8 that owns the middle of its box."""
    mask = -torch.ones(1, 8, 8)
    mask[:, 2:6, 2:6] = 1
    means = torch.cat([torch.full((3, 8, 8), mean), mask])
    return GaussianDenoiser(Spec((8, 8), 3, 1), means, torch.tensor([0.1, 0.1, 0.1, 0]).view(4, 1, 1))


SHORT = {"steps": 10, "timesteps": TailResampling(2, 1), "merge_from": 0.7}  # 12 calls, of which 5 merge


def test_pictures_are_decoded_and_encoded_inside_the_merge_window_only(model, seen):
    regions = [BoxRegion(LatentDenoiser(model, "steel")), BoxRegion(thing(), (4, 4, 8, 8), "thing", z=1)]
    composer = Composer(regions, **SHORT)
    assert not seen
    composition = composer.compose(2, seed=0)
    assert seen == {"network": 12, "decode": 5, "encode": 5}
    assert composition.image.shape == (2, 3, 16, 16)
    assert composition.index[0, 6:10, 6:10].all()
    assert torch.allclose(composition.image[:, :, 6:10, 6:10], torch.tensor(0.8), atol=0.35)


def test_alone_it_is_its_own_chain_decoded(model):
    """One region of weight one everywhere: merging changes nothing."""
    denoiser = LatentDenoiser(model, "steel")
    *_, last = Composer([BoxRegion(denoiser)], **SHORT).steps(1, seed=3)
    *_, apart = Composer([BoxRegion(denoiser)], **SHORT | {"merge_from": 1.0}).steps(1, seed=3)
    assert torch.allclose(last.states[0], apart.states[0], atol=1e-4)
    assert torch.allclose(last.merged.canvas, denoiser.model.decode(last.states[0]), atol=1e-5)


def test_what_the_others_paint_is_what_the_latents_become(model):
    """An object that covers the whole canvas: the latents below end as the encoding of its picture."""
    white = ConstantDenoiser(torch.ones(4, 16, 16), mask_channels=1)
    denoiser = LatentDenoiser(model, "steel")
    regions = [BoxRegion(denoiser), BoxRegion(white, (0, 0, 16, 16), "white", z=1)]
    *_, last = Composer(regions, **SHORT).steps(1, seed=3)
    assert torch.equal(last.merged.canvas, torch.ones(1, 3, 16, 16))
    assert torch.allclose(last.states[0], denoiser.model.encode(torch.ones(1, 3, 16, 16)), atol=1e-4)


def test_prompts_and_guidance_belong_to_a_region_of_a_recipe(folder, seen):
    pair = [
        {"name": name, "model": f"latent-diffusion:{folder}", "box": box, "z": z, "settings": settings}
        for z, (name, box, settings) in enumerate(
            [
                ("scene", None, {"prompt": "steel", "height": 24, "width": 32}),
                ("cat", (8, 4, 16, 16), {"prompt": "a cat", "negative_prompt": "a dog", "guidance_scale": 3}),
            ]
        )
    ]
    recipe = Recipe.from_data({"regions": pair, "steps": 4, "timesteps": {"use": "descent"}})
    composer = recipe.composer(Registry.load())
    assert composer.size == (24, 32)
    scene, cat = (region.denoiser for region in composer.regions)
    assert scene.model is cat.model
    assert (scene.guidance_scale, cat.guidance_scale) == (7.5, 3)
    assert composer.compose(1).image.shape == (1, 3, 24, 32)


def test_a_wrapped_one_still_decodes(model):
    plain = LatentDenoiser(model, "steel")
    assert Wrapper(plain).spec.codec is plain.spec.codec is model


def test_the_command_line_takes_prompts(folder, tmp_path):
    words = f"--background latent-diffusion:{folder} --set background.prompt=steel --set background.guidance_scale=2"
    few = "--object defects:blowhole@0,0,16,16 --steps 4 --jump-length 1 -q"
    result = CliRunner().invoke(main, ["compose", *words.split(), *few.split(), "-o", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    scene = Recipe.read(tmp_path / "out" / "recipe.json").regions[0]
    assert scene.settings.items() >= {"prompt": "steel", "guidance_scale": 2}.items()
    assert (tmp_path / "out" / "strip.png").is_file()
