"""Hostile recipes and edits of recipes: each is planned, or refused with a DmixError, before anything is composed."""

import json
import os

import pytest

from dmix_core import Run, Spec
from dmix_core.edits import RecipeEdit
from dmix_core.errors import RecipeError
from dmix_core.hookspecs import hookimpl
from dmix_core.loading import Loader
from dmix_core.recipe import Recipe
from dmix_core.registry import Registry
from dmix_core.testing import GaussianDenoiser

RECIPE = {
    "version": 1,
    "regions": [
        {"name": "below", "model": "scene", "settings": {"mean": 0.1}},
        {"name": "above", "model": "thing", "box": [2, 1, 4, 4], "z": 1, "listen_from": 0.5, "wrap": []},
    ],
    "size": [8, 9],
    "steps": 12,
    "timesteps": {"use": "tail-resampling", "settings": {"jump_length": 4, "resamples": 1}},
    "stepper": {"use": "ancestral", "settings": {}},
    "merge": {"use": "hard-mask", "settings": {"threshold": 0.5}},
    "merge_from": 0.9,
    "others": "clean",
    "seams": "keep-variance",
    "seed": 0,
    "samples": [0, 3],
    "batch_size": 2,
    "device": "cpu",
    "dtype": "float32",
    "backend": {"use": "torch", "settings": {}},
    "exporters": [],
    "made_with": {"torch": "2"},
}
EDIT = {
    "background": "scene",
    "objects": [["thing", [2, 1, 4, 4]], ["thing", None]],
    "plugins": ["hard-mask"],
    "wraps": [],
    "settings": [["hard-mask", "threshold", 0.4], [None, "mean", 0.3]],
    "timesteps": {"jump_length": 2},
    "listen_from": [["above", 0.5]],
    **{key: RECIPE[key] for key in ("size", "steps", "seed", "samples", "batch_size", "device", "dtype", "merge_from")},
}
VALUES = [
    *(0, -1, 1, 7, 100_000, 2**31, 2**63 - 1, 2**63, 10**400, 0.5, -0.0, 1e308, 1e-320, float("nan"), float("inf")),
    *(
        True,
        None,
        "",
        "x",
        "clean",
        "\0",
        "\x1b[2J\n",
        "\ud800",
        "a" * 5000,
        "..",
        "/dev/zero",
        "photo:",
        "photo:/dev/zero",
    ),
    *(
        "photo:/dev/zero",
        "scene",
        "thing:",
        "checkpoint:.",
        "tail-resampling",
        "hard-mask",
        "coco",
        "cuda",
        "meta",
        "mps",
        "float16",
    ),
    *([], [0], [1, 1], [[[]]], [0] * 3000, {}, {"use": "coco"}, {"": {}}, {"use": "x", "settings": {"a": 1}}),
]
KEYS = ["x", "", "settings", "use", "wrap", "threshold", "mean", "\0", "feather"]


class Plugin:
    """Closed-form denoisers: a scene, and a thing with a mask."""

    @staticmethod
    @hookimpl
    def dmix_denoisers():
        def scene(argument: str | None = None, *, mean: float = 0.2, device: str = "cpu", dtype: str = "float32"):
            return GaussianDenoiser(Spec((8, 9), 3), mean, 0.6)

        def thing(argument: str | None = None, *, device: str = "cpu", dtype: str = "float32"):
            return GaussianDenoiser(Spec((4, 4), 3, 1), -0.1, 0.7)

        return {"scene": scene, "thing": thing}


@pytest.fixture(scope="module")
def registry():
    registry = Registry.load()
    registry.register(Plugin(), "fuzzed-denoisers")
    return registry


def plan(text, registry):
    """All that is done before the first network is called; what was understood can be written and read again."""
    recipe = Recipe.from_text(text)
    assert Recipe.from_text(recipe.text()) == recipe
    run = Run(recipe, registry)
    json.dumps(run.info.recipe)
    recipe.digest()


def edit(data, registry):
    RecipeEdit.from_data(data).apply(Recipe.from_data(RECIPE), Loader(registry))


def test_recipes_are_planned_or_refused(inputs, mutated, registry):
    with inputs("recipes", few=300, of=3) as recipes:
        for draw in recipes:
            text = json.dumps(mutated(RECIPE, VALUES, KEYS, draw))
            recipes.attempt(plan, text, registry, shown=text)
    assert recipes.refused > recipes.count / 4
    assert recipes.read > recipes.count / 50


def test_bytes_of_recipes(inputs, damaged, tmp_path):
    path, whole = tmp_path / "recipe.json", json.dumps(RECIPE).encode()
    with inputs("recipes", few=300, of=3) as recipes:
        for draw in recipes:
            path.write_bytes(damaged(whole, draw))
            recipes.attempt(Recipe.read, path, shown=path.read_bytes())
    assert recipes.refused > recipes.count / 4


def test_edits_of_recipes(inputs, mutated, registry):
    with inputs("recipes", few=100, of=3) as edits:
        for draw in edits:
            data = mutated(EDIT, VALUES, [*RECIPE], draw)
            edits.attempt(edit, data, registry, shown=data)
    assert edits.refused > edits.count / 4


@pytest.mark.skipif(os.name == "nt", reason="there are no such files")
@pytest.mark.parametrize("kind", ["pipe", "/dev/zero", "/dev/null", "folder"])
def test_what_is_no_regular_file_is_refused(tmp_path, kind):
    path = tmp_path / "recipe.json"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case _:
            path.symlink_to(kind)
    with pytest.raises(RecipeError, match="Cannot read the recipe"):
        Recipe.read(path)
