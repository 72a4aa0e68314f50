"""Edits of recipes: what is left out stays, what is given is placed, and nothing that was given is changed."""

import pytest

from dmix_core import Composer, Run, Spec
from dmix_core.edits import RecipeEdit, SettingEdit
from dmix_core.errors import GeometryError, PluginError, RecipeError
from dmix_core.hookspecs import hookimpl
from dmix_core.loading import Loader
from dmix_core.recipe import Choice, Recipe
from dmix_core.registry import Registry
from dmix_core.testing import GaussianDenoiser

REGIONS = [
    {"name": "below", "model": "scene"},
    {"name": "above", "model": "thing", "settings": {"mean": 0.5}, "wrap": [{"use": "same"}], "z": 1},
]
RECIPE = Recipe.from_data({"regions": REGIONS, "steps": 20, "exporters": [{"use": "listing"}], "seed": 5})


class Same:
    """A wrapper that changes nothing."""

    def __init__(self, denoiser, share: float = 0.5):
        self.denoiser, self.share = denoiser, share
        self.spec, self.noise = denoiser.spec, denoiser.noise

    def __call__(self, x_t, t):
        return self.denoiser(x_t, t)


class Listing:
    """Stands for an exporter."""


class Plugin:
    loaded: list = []  # noqa: RUF012

    @staticmethod
    @hookimpl
    def dmix_denoisers():
        def scene(argument: str | None = None, *, device: str = "cpu", dtype: str = "float32"):
            Plugin.loaded.append("scene")
            return GaussianDenoiser(Spec((20, 30), 3))

        def thing(argument: str | None = None, *, device: str = "cpu", dtype: str = "float32", mean: float = 0.0):
            Plugin.loaded.append("thing")
            return GaussianDenoiser(Spec((8, 6), 3, 1), mean)

        return {"scene": scene, "thing": thing}

    @staticmethod
    @hookimpl
    def dmix_wrappers():
        return {"same": Same}

    @staticmethod
    @hookimpl
    def dmix_exporters():
        return {"listing": Listing, "counting": Listing}


@pytest.fixture(scope="module")
def registry():
    registry = Registry.load()
    registry.register(Plugin, "toys")
    return registry


@pytest.fixture
def edited(registry):
    """edited(**fields): the recipe with this edit."""
    return lambda **fields: RecipeEdit(**fields).apply(RECIPE, Loader(registry))


def changed(recipe):
    return {field for field in Recipe.model_fields if getattr(recipe, field) != getattr(RECIPE, field)}


def test_an_empty_edit_changes_nothing(edited):
    assert edited() == RECIPE


@pytest.mark.parametrize(
    "fields",
    [
        {"steps": 7},
        {"seed": 9, "samples": (3, 1)},
        {"merge_from": 0.5, "others": "noisy", "seams": "literal"},
        {"batch_size": 2, "device": "cpu", "dtype": "bfloat16"},
    ],
)
def test_plain_fields_replace_those_of_the_recipe_and_no_others(edited, fields):
    recipe = edited(**fields)
    assert {field: getattr(recipe, field) for field in fields} == fields
    assert changed(recipe) <= fields.keys()


def test_the_recipe_that_is_given_stays_as_it_is(edited):
    before = RECIPE.text()
    edited(settings=[SettingEdit("above", "mean", 0.25), SettingEdit("same", "share", 1)], timesteps={"resamples": 0})
    assert RECIPE.text() == before


def test_objects_replace_the_recipes_and_stand_in_the_centre_without_a_box(edited):
    recipe = edited(objects=[("thing", None), ("thing", (1, 2, 6, 8))])
    assert [region.name for region in recipe.regions] == ["below", "thing", "thing-2"]
    assert [region.box for region in recipe.regions] == [None, (12, 6, 6, 8), (1, 2, 6, 8)]
    assert [region.z for region in recipe.regions] == [0, 1, 2]


def test_a_canvas_size_stretches_the_bottom_and_moves_the_centre(edited):
    recipe = edited(objects=[("thing", None)], size=(40, 60))
    assert [region.box for region in recipe.regions] == [(0, 0, 60, 40), (27, 16, 6, 8)]


def test_placing_loads_each_model_once_for_the_plan_and_its_run(registry):
    Plugin.loaded.clear()
    loader = Loader(registry)
    recipe = RecipeEdit(objects=[("thing", None), ("thing", None)], plugins=("descent",)).apply(
        Recipe.from_data({"regions": REGIONS[:1], "steps": 4}), loader
    )
    Run(recipe, loader)
    assert sorted(Plugin.loaded) == ["scene", "thing"]


def test_placing_makes_no_composer(edited, monkeypatch):
    monkeypatch.setattr(Composer, "__init__", None)
    assert edited(objects=[("thing", None)]).regions[1].box == (12, 6, 6, 8)


def test_plugins_go_to_their_places_and_exporters_replace_exporters(edited):
    recipe = edited(plugins=("descent", "hard-mask", "counting"))
    assert recipe.timesteps == Choice(use="descent")
    assert recipe.exporters == (Choice(use="counting"),)
    assert edited(plugins=("descent",)).exporters == RECIPE.exporters


def test_settings_find_their_owner(edited):
    settings = [(None, "mean", 0.25), ("above.same", "share", 1), ("hard-mask", "threshold", 0.7)]
    recipe = edited(settings=settings, timesteps={"jump_length": 3})
    above = recipe.regions[1]
    assert above.settings == {"mean": 0.25}
    assert above.wrap == (Choice(use="same", settings={"share": 1}),)
    assert recipe.merge.settings == {"threshold": 0.7}
    assert recipe.timesteps.settings == {"jump_length": 3, "resamples": 2}


def test_wrappers_and_fractions_go_to_the_region_of_their_name(edited):
    recipe = edited(wraps=[("below", "same"), ("below", "same")], listen_from=[("above", 0.25)])
    assert [len(region.wrap) for region in recipe.regions] == [2, 1]
    assert [region.listen_from for region in recipe.regions] == [None, 0.25]


def test_without_a_recipe_the_bundled_pair_is_edited():
    recipe = RecipeEdit(steps=9).apply()
    assert [region.model for region in recipe.regions] == ["tiles", "defects:blowhole"]
    left, top, width, height = recipe.regions[1].box
    assert (2 * left + width, 2 * top + height) == (64, 64)


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"wraps": [("abov", "same")]}, RecipeError, r"`wraps` abov=same: no region 'abov'\. Did you mean 'above'"),
        ({"plugins": ("same",)}, RecipeError, "`plugins` same: it is a wrapper; give it to `wraps`"),
        ({"plugins": ("hard-musk",)}, PluginError, "Did you mean 'hard-mask'"),
        ({"settings": [(None, "men", 1)]}, RecipeError, "`settings` men: nothing in use .* Did you mean 'mean'"),
        ({"listen_from": [("above", 2)]}, RecipeError, r"regions\.1\.listen_from: .*less than or equal to 1"),
        ({"objects": [("thin", None)]}, PluginError, "No denoiser 'thin'"),
    ],
)
def test_what_is_wrong_is_named_by_its_field(edited, fields, error, message):
    with pytest.raises(error, match=rf"(?s){message}"):
        edited(**fields)


def test_an_object_that_is_larger_than_the_canvas_is_refused_by_its_run(edited, registry):
    with pytest.raises(GeometryError, match="region 'scene' leaves the canvas of 6x8 pixels"):
        Run(edited(background="thing", objects=[("scene", None)]), registry)


def test_a_wrong_edit_is_explained_field_by_field():
    with pytest.raises(RecipeError, match=r"(?s)Cannot understand these options:.*steps: .*greater than 0; got 0"):
        RecipeEdit.from_data({"steps": 0}, "these options")
