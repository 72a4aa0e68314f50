"""Samples in which an object does not show are found, drawn again or dropped, and the recipe makes the same again."""

import json
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmix_core import Box, Run, Spec
from dmix_core.edits import RecipeEdit
from dmix_core.hookspecs import hookimpl
from dmix_core.loading import Loader
from dmix_core.recipe import Recipe
from dmix_core.redraw import Redraw, Unseen, unseen
from dmix_core.registry import Registry
from dmix_core.sample import Figures, Sample, SampleObject
from dmix_core.sweep import Axis, Sweep
from dmix_core.testing import GaussianDenoiser

REGIONS = [
    {"name": "below", "model": "scene"},
    {"name": "above", "model": "fickle", "box": [2, 1, 3, 3], "z": 1},
]
RECIPE = {"regions": REGIONS, "steps": 10, "samples": [4, 0, 7, 2, 9], "batch_size": 2, "seed": 3}


class Plugin:
    """A scene, and an object of its light whose mask is empty now and then."""

    @staticmethod
    @hookimpl
    def dmix_denoisers():
        def scene(argument: str | None = None, *, device: str = "cpu", dtype: str = "float32"):
            return GaussianDenoiser(Spec((8, 9), 3), 0.2, 0.1)

        def fickle(argument: str | None = None, *, device: str = "cpu", dtype: str = "float32"):
            return GaussianDenoiser(Spec((3, 3), 3, 1), torch.cat([torch.full((3, 3, 3), 0.2), -torch.ones(1, 3, 3)]))

        return {"scene": scene, "fickle": fickle}


@pytest.fixture(scope="module")
def loader():
    registry = Registry.load()
    registry.register(Plugin, "fickle")
    return Loader(registry)


def run(loader, **changes):
    return Run(Recipe.from_data(RECIPE | changes), loader)


def images(samples):
    return {sample.number: sample.image for sample in samples}


def same(some, others):
    return [*some] == [*others] and all(torch.equal(image, others[number]) for number, image in some.items())


# ---- what does not show ---------------------------------------------------------------------------------------


def sample_of(shown, whole, contrast):
    masks = [torch.tensor([[each, False]]) for each in (shown, whole)]
    thing = SampleObject("thing", (4, 4), Box(0, 0, 2, 1), *masks, None, Figures(contrast))
    return Sample(0, torch.zeros(3, 4, 4), torch.zeros(4, 4, dtype=torch.uint8), (thing,))


def test_an_empty_mask_and_a_contrast_below_the_least_are_found():
    assert unseen(sample_of(False, False, None)) == [Unseen("thing", None)]
    assert unseen(sample_of(True, True, 5.9)) == [Unseen("thing", 5.9)]
    assert unseen(sample_of(True, True, 6.0)) == []
    assert unseen(sample_of(True, True, 6.0), least=7) == [Unseen("thing", 6.0)]


def test_an_object_that_others_hide_has_a_mask():
    assert unseen(sample_of(False, True, None)) == []


def test_what_fills_its_box_has_no_mask_and_may_be_as_its_surroundings():
    sample = sample_of(True, True, 0.0)
    sample.objects[0].whole.fill_(True)
    assert unseen(sample) == []


# ---- drawing again --------------------------------------------------------------------------------------------


def test_with_enough_tries_every_object_shows_under_its_sample_s_number(loader):
    redraw = Redraw(run(loader), tries=100)
    samples = [*redraw.samples()]
    assert [sample.number for sample in samples] == RECIPE["samples"]
    assert [found for sample in samples for found in unseen(sample)] == []
    assert redraw.redrawn
    assert redraw.unseen == {}
    assert redraw.run.recipe.draws == {number: number + tries * 1_000_000 for number, tries in redraw.redrawn.items()}
    assert {s.number: s.draw for s in samples if s.draw is not None} == redraw.run.recipe.draws


def test_what_is_no_better_after_all_tries_is_named_and_kept_or_dropped(loader):
    kept, left = Redraw(run(loader), tries=2, least_contrast=255), Redraw(run(loader), 2, True, 255)
    assert len([*kept.samples()]) == 5
    assert [*left.samples()] == []
    assert kept.redrawn == left.redrawn == dict.fromkeys(RECIPE["samples"], 2)
    assert kept.unseen == left.dropped
    assert {*kept.unseen} == {*left.run.recipe.dropped} == {*RECIPE["samples"]}
    assert len(left.run) == 0


@settings(max_examples=15)
@given(st.integers(0, 3), st.booleans(), st.sampled_from([0.0, 6.0, 12.0]), st.integers(1, 6))
def test_the_recipe_makes_the_same_samples_again(loader, tries, drop, least, batch_size):
    redraw = Redraw(run(loader, batch_size=batch_size), tries, drop, least)
    made = images(redraw.samples())
    again = Run(Recipe.from_text(redraw.run.recipe.text()), loader)
    assert same(made, images(again))
    assert len(again) == len(made)


def test_without_options_nothing_is_different(loader):
    plain, redraw = run(loader), Redraw(run(loader))
    before = redraw.run.recipe.text()
    assert same(images(plain), images(redraw.samples()))
    assert redraw.unseen
    assert redraw.run.recipe.text() == before
    assert '"draws"' not in before
    assert '"dropped"' not in before


def test_hooks_see_each_step_and_each_batch_that_is_drawn_again(loader):
    steps, batches = [], []
    redraw = Redraw(run(loader, samples=[4, 0], batch_size=1), tries=1, least_contrast=255)
    for _ in redraw.samples(lambda step, batch: steps.append(batch), batches.append):
        pass
    assert batches == [(4,), (0,)]
    assert len(steps) == 2 * redraw.run.steps


def test_recipe_json_states_a_draw_before_its_picture_is_written(loader, tmp_path):
    redraw = Redraw(run(loader), tries=1, drop=True, least_contrast=20)
    with redraw.run.folder(tmp_path) as folder:
        for sample in redraw.samples():
            folder.add(sample)
            assert Recipe.read(folder.recipe).draws.get(sample.number) == sample.draw
    assert Recipe.read(folder.recipe) == redraw.run.recipe
    assert redraw.run.recipe.dropped
    again = Run(Recipe.read(folder.recipe), loader).save(tmp_path / "again")
    for path in (tmp_path / "images").iterdir():
        assert path.read_bytes() == (again / "images" / path.name).read_bytes()


# ---- edits ----------------------------------------------------------------------------------------------------


def test_an_edit_keeps_draws_only_of_the_same_images(loader):
    recipe = Recipe.from_data(RECIPE | {"draws": {4: 1000004, 7: 1000007}, "dropped": [0, 9]})
    fewer = RecipeEdit(samples=(4, 0)).apply(recipe, loader)
    assert (fewer.draws, fewer.dropped) == ({4: 1000004}, (0,))
    other = RecipeEdit(seed=4).apply(recipe, loader)
    assert (other.draws, other.dropped) == ({}, ())


def test_a_sweep_composes_all_samples_of_a_recipe(loader):
    recipe = Recipe.from_data(RECIPE | {"draws": {4: 1000004}, "dropped": [0], "timesteps": {"use": "descent"}})
    (cell,) = Sweep(recipe, [Axis("merge_from", (0.9,))], loader)
    assert [(sample.number, sample.draw) for sample in cell.samples] == [(n, None) for n in RECIPE["samples"]]


@pytest.mark.parametrize("drop", [False, True])
def test_a_resumed_run_draws_again_and_drops_what_it_would_have(loader, tmp_path, killed_at, drop, tree):
    def save(out, resume=False):
        with run(loader).folder(out, resume=resume) as folder:
            for sample in Redraw(folder, tries=2, drop=drop, least_contrast=20).samples():
                folder.add(sample)

    with killed_at(None) as operations:
        save(tmp_path / "whole")
    whole = tree(tmp_path / "whole")
    assert json.loads(whole["recipe.json"])["draws"]
    for number in random.Random(1).sample(range(1, len(operations) + 1), 6):
        out = tmp_path / f"cut-off-{number}"
        with killed_at(number):
            save(out)
        save(out, resume=True)
        assert tree(out) == whole, f"killed at {number}: {operations[number - 1]}"
