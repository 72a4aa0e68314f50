"""A composition that is called like a diffusers pipeline."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from diffusers.pipelines.pipeline_utils import ImagePipelineOutput
from PIL import Image

from dmix_core import BoxRegion, Composer, Spec, TailResampling
from dmix_core.images import to_picture
from dmix_core.recipe import Recipe
from dmix_core.registry import Registry
from dmix_core.testing import GaussianDenoiser
from dmix_diffusers import DmixPipeline, PipelineError


@pytest.fixture
def composer():
    scene = GaussianDenoiser(Spec((8, 12)), mean=0.4, sd=0.2)
    thing = GaussianDenoiser(Spec((4, 4), 3, 1), mean=0.5, sd=0.4)
    regions = [BoxRegion(scene), BoxRegion(thing, (2, 2, 4, 4), "thing", z=1)]
    return Composer(regions, steps=10, timesteps=TailResampling(2, 1))


@pytest.fixture
def pipeline(composer):
    made = DmixPipeline(composer)
    made.set_progress_bar_config(disable=True)
    return made


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_pictures_and_masks(pipeline, composer):
    output = pipeline(2, generator=3)
    expected = composer.compose(2, seed=3)
    assert isinstance(output, ImagePipelineOutput)
    assert [picture.tobytes() for picture in output.images] == [to_picture(i).tobytes() for i in expected.image]
    assert [(mask.mode, mask.size) for mask in output.masks] == [("P", (12, 8))] * 2
    assert all(
        np.array_equal(np.asarray(mask), index)
        for mask, index in zip(output.masks, expected.index.numpy(), strict=True)
    )


def test_numbers_and_tensors(pipeline, composer):
    expected = composer.compose(2, seed=3)
    images, masks = pipeline(2, generator=3, output_type="pt", return_dict=False)
    assert torch.equal(images, (expected.image / 2 + 0.5).clamp(0, 1))
    assert torch.equal(masks, expected.index)
    as_numpy = pipeline(2, generator=3, output_type="np")
    assert np.array_equal(as_numpy["images"], images.permute(0, 2, 3, 1).numpy())
    assert np.array_equal(as_numpy.masks, masks.numpy())
    with pytest.raises(PipelineError, match=r"output_type is 'latent'; expected"):
        pipeline(output_type="latent")


def test_a_generator_gives_the_seed_and_moves_on(pipeline):
    generator = seeded(0)
    first, second = (pipeline(generator=generator, output_type="pt").images for _ in range(2))
    assert not torch.equal(first, second)
    again = seeded(0)
    assert torch.equal(pipeline(generator=again, output_type="pt").images, first)
    assert torch.equal(pipeline(generator=again, output_type="pt").images, second)
    seed = int(torch.randint(2**63 - 1, (), generator=seeded(0)))
    assert torch.equal(pipeline(generator=seed, output_type="pt").images, first)


def test_without_a_generator_torchs_own_gives_the_seed(pipeline):
    with torch.random.fork_rng():
        torch.manual_seed(7)
        first = pipeline(output_type="pt").images
        assert not torch.equal(pipeline(output_type="pt").images, first)
    assert torch.equal(pipeline(generator=seeded(7), output_type="pt").images, first)


def test_with_a_generator_for_each_image_it_depends_on_that_alone(pipeline):
    both = pipeline(2, [seeded(1), seeded(2)], output_type="pt").images
    for image, seed in zip(both, (1, 2), strict=True):
        assert torch.equal(pipeline(1, seeded(seed), output_type="pt").images[0], image)
    with pytest.raises(PipelineError, match=r"2 generators for batch_size = 3"):
        pipeline(3, [seeded(1), seeded(2)])


def test_the_number_of_steps_is_that_of_the_levels(pipeline, composer):
    images = pipeline(num_inference_steps=6, generator=0, output_type="pt").images
    expected = composer.with_steps(6).compose(1, seed=0).image
    assert torch.equal(images, (expected / 2 + 0.5).clamp(0, 1))


def test_the_callback_sees_every_step(pipeline, composer):
    seen = []

    def watch(called, number, level, tensors):
        assert called is pipeline
        seen.append((number, level, tensors["step"].s))
        return {}

    pipeline(generator=0, callback_on_step_end=watch)
    assert seen == [(i, t, s) for i, (t, s) in enumerate(pairwise(composer.walk))]


def test_a_recipes_seed_gives_its_picture(tmp_path):
    path = tmp_path / "wall.png"
    Image.new("RGB", (8, 8), "teal").save(path)
    recipe = Recipe.from_data({"regions": [{"name": "wall", "model": str(path)}], "steps": 12, "seed": 4})
    images = DmixPipeline(recipe)(generator=recipe.seed).images
    expected = recipe.composer(Registry.load()).compose(1, recipe.seed)
    assert images[0].tobytes() == to_picture(expected.image[0]).tobytes()
