"""Presets: what their names stand for, and that what is stated beside them wins."""

from itertools import pairwise

import numpy as np
import pytest

from dmix_core import Ddim, HardMask, Spec, TailResampling, from_models
from dmix_core.edits import RecipeEdit
from dmix_core.errors import RecipeError
from dmix_core.hookspecs import hookimpl
from dmix_core.images import write_png
from dmix_core.loading import Loader
from dmix_core.recipe import Choice, Recipe
from dmix_core.registry import Registry
from dmix_core.rule_presets import PRESETS
from dmix_core.run import Run
from dmix_core.testing import GaussianDenoiser

CALLS = {"paper": (270, 270), "recommended": (105, 32), "fast": (53, 21)}
"""Of each network, for one composite: with a background that is painted, and in a photograph."""
BOX = (0, 0, 4, 4)


class Plugin:
    @staticmethod
    @hookimpl
    def dmix_denoisers():
        def scene(argument: str | None = None, *, device: str = "cpu", dtype: str = "float32"):
            return GaussianDenoiser(Spec((8, 8), 3))

        def thing(argument: str | None = None, *, device: str = "cpu", dtype: str = "float32"):
            return GaussianDenoiser(Spec((4, 4), 3, 1))

        return {"scene": scene, "thing": thing}


@pytest.fixture(scope="module")
def registry():
    registry = Registry.load()
    registry.register(Plugin, "toys")
    return registry


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    from PIL import Image

    path = tmp_path_factory.mktemp("photographs") / "wall.png"
    write_png(path, Image.fromarray(np.full((8, 8, 3), 90, np.uint8)))
    return str(path)


@pytest.fixture
def recipe(registry):
    """recipe(**fields): what an edit with a preset makes of no recipe."""
    return lambda **fields: RecipeEdit(objects=(("thing", BOX),), **fields).apply(None, Loader(registry))


def listening(recipe):
    return [region.listen_from for region in recipe.regions]


def calls(composer):
    return sum(s < t for t, s in pairwise(composer.walk))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_costs_what_is_said_of_it(name, recipe, registry, photograph):
    backgrounds = "scene", photograph
    assert tuple(calls(recipe(background=each, preset=name).composer(registry)) for each in backgrounds) == CALLS[name]


def test_the_paper_is_the_default(recipe):
    assert recipe(background="scene", preset="paper") == recipe(background="scene")


def test_the_papers_settings_hold_in_photographs_too(recipe, photograph):
    made = recipe(background=photograph, preset="paper")
    assert made == recipe(background=photograph)
    assert (made.merge.settings, listening(made)) == ({"threshold": 0.5}, [None, None])


@pytest.mark.parametrize("name", ["recommended", "fast"])
def test_objects_take_in_photographs_early_and_other_backgrounds_late(name, recipe, photograph):
    within, elsewhere = recipe(background=photograph, preset=name), recipe(background="scene", preset=name)
    assert (within.merge.settings, listening(within)) == ({"threshold": 0.4}, [None, 0.3])
    assert (elsewhere.merge.settings, listening(elsewhere)) == ({"threshold": 0.5}, [None, None])
    assert within.stepper == Choice(use="ddim", settings={"ancestral_from": 1.0})
    assert elsewhere.stepper == Choice(use="ancestral")


def test_what_is_stated_wins(recipe, photograph):
    made = recipe(
        background=photograph,
        preset="recommended",
        steps=40,
        timesteps={"resamples": 3},
        merge_from=0.8,
        listen_from=(("thing", 0.6),),
        settings=((None, "threshold", 0.2),),
    )
    assert (made.steps, made.merge_from, listening(made)) == (40, 0.8, [None, 0.6])
    assert made.timesteps.settings == {"jump_length": 2, "resamples": 3}
    assert made.merge.settings == {"threshold": 0.2}
    assert recipe(background=photograph, preset="recommended", plugins=("descent",)).timesteps == Choice(use="descent")


def test_a_preset_takes_the_place_of_every_rule_of_a_recipe(registry, photograph, recipe):
    odd = recipe(background=photograph, steps=7, others="noisy", seams="literal", listen_from=(("thing", 0.1),), seed=9)
    made = RecipeEdit(preset="paper").apply(odd, Loader(registry))
    assert made == recipe(background=photograph, preset="paper", seed=9)


def test_the_recipe_states_the_values_and_makes_the_same_picture(registry, photograph, recipe):
    made = recipe(background=photograph, preset="fast")
    assert "preset" not in made.text()
    again = Recipe.from_text(made.text())
    (one,), (other,) = ([*Run(each, Loader(registry)).samples()] for each in (made, again))
    assert bool((one.image == other.image).all())


def test_python_takes_presets_too(registry, photograph, recipe):
    objects = [("thing", BOX)]
    composer = from_models(photograph, objects, registry=registry, preset="recommended")
    assert (composer.T, composer.timesteps, composer.merge) == (30, TailResampling(2, 1), HardMask(0.4))
    assert composer.stepper == Ddim(ancestral_from=1.0)
    assert [region.listen_from for region in composer.regions] == [None, 0.3]
    own = from_models(photograph, objects, registry=registry, preset="recommended", steps=20, merge=HardMask(0.6))
    assert (own.T, own.merge, own.timesteps) == (20, HardMask(0.6), TailResampling(2, 1))
    assert from_models("scene", objects, registry=registry, preset="fast").regions[1].listen_from is None


def test_a_preset_that_is_none_is_named(registry):
    with pytest.raises(RecipeError, match="Did you mean 'recommended'"):
        from_models("scene", registry=registry, preset="recomended")
    with pytest.raises(RecipeError, match="preset"):
        RecipeEdit.from_data({"preset": "best"})
