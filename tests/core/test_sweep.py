"""A sweep composes every combination of some settings from the same noise."""

from itertools import product

import pytest
import torch

from dmix_core.edits import bundled_pair
from dmix_core.errors import DmixError
from dmix_core.loading import Loader
from dmix_core.pictures import LINE
from dmix_core.recipe import Choice
from dmix_core.run import Run
from dmix_core.sweep import Axis, Spread, Sweep
from dmix_core.sweep_sheet import SweepSheet

WALK = Choice(use="tail-resampling", settings={"jump_length": 2, "resamples": 1})
RECIPE = bundled_pair().model_copy(update={"steps": 6, "timesteps": WALK, "samples": (0, 3), "batch_size": 2})


@pytest.fixture(scope="module")
def loader():
    return Loader()


@pytest.fixture(scope="module")
def cells(loader):
    axes = [Axis("resamples", (0, 1)), Axis("merge_from", (0.5, 0.9)), Axis("jump_length", (2,))]
    return list(Sweep(RECIPE, axes, loader))


def test_each_cell_is_what_its_recipe_gives_alone(cells, loader):
    assert [tuple(cell.values.values()) for cell in cells] == [(0, 0.5, 2), (0, 0.9, 2), (1, 0.5, 2), (1, 0.9, 2)]
    for cell in cells:
        alone = list(Run(cell.recipe, loader))
        assert all(torch.equal(a.image, b.image) for a, b in zip(alone, cell.samples, strict=True))
    assert not torch.equal(cells[0].samples[0].image, cells[3].samples[0].image)
    assert cells[0].record()["figures"]["seconds"]["number"] == 1  # batches


def test_regions_rules_and_settings_can_be_swept(loader):
    axes = [Axis("listen_from.blowhole", (0.6,)), Axis("merge", ("hard-mask",)), Axis("threshold", (0.4, 0.6))]
    recipes = [run.recipe for _, run in Sweep(RECIPE, axes, loader).runs]
    assert [recipe.merge.settings["threshold"] for recipe in recipes] == [0.4, 0.6]
    assert {recipe.regions[1].listen_from for recipe in recipes} == {0.6}


def test_cells_start_from_the_same_noise(loader):
    one, other = Sweep(RECIPE, [Axis("seams", ("keep-variance", "literal"))], loader)  # alike under the hard mask
    assert all(torch.equal(a.image, b.image) for a, b in zip(one.samples, other.samples, strict=True))


def test_cells_share_their_models(loader):
    runs = [run for _, run in Sweep(RECIPE, [Axis("resamples", (0, 1, 2))], loader).runs]
    assert len({id(run.composer.regions[0].denoiser) for run in runs}) == 1


def test_a_hook_is_called_for_every_step_of_every_cell(loader):
    sweep, batches = Sweep(RECIPE, [Axis("resamples", (0, 1)), Axis("jump_length", (2,))], loader), []
    list(sweep.cells(lambda step, batch: batches.append(batch)))
    assert len(batches) == sweep.steps > 12


def test_the_sheet_has_rows_and_columns_of_what_varies_and_a_title_of_the_rest(cells):
    def size(*axes):
        sheet = SweepSheet(axes)
        for _ in product(*(axis.values for axis in axes)):
            sheet.add(cells[0])  # whatever it shows: all are as large
        return sheet.picture().size

    jump, merging = Axis("jump_length", (2,)), Axis("merge_from", (0.5, 0.7))
    row = size(merging)
    assert size(jump, merging) == size(merging, jump) == (row[0], row[1] + LINE)
    grid = size(Axis("resamples", (0, 1)), merging)
    assert grid[0] > row[0]
    assert grid[1] > 1.8 * row[1]


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ([], "A sweep needs an axis"),
        ([Axis("resamples", ())], "`resamples` has no values"),
        ([Axis("resamples", (1, 1))], "has a value twice"),
        ([Axis("resamples", (1,)), Axis("resamples", (2,))], "Two axes have one name"),
        ([Axis("seed", (1, 2))], "all cells start from the same noise"),
        ([Axis("resamples", tuple(range(201)))], "201 cells, 402 images; expected at most 200 cells"),
        ([Axis("thrashold", (1,))], "Did you mean 'threshold'"),
        ([Axis("listen_from.blowhol", (0.7,))], "no region 'blowhol'.*blowhole"),
        ([Axis("merge", ("hard-mask", "soft-msk"))], "soft-msk"),
        ([Axis("threshold", (0.5, 7))], "threshold is 7"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_step(loader, axes, message):
    with pytest.raises(DmixError, match=message):
        Sweep(RECIPE, axes, loader)


def test_a_spread_without_values_has_no_mean():
    assert Spread.of([]) == (None, None, 0)
    assert Spread.of([1.0, 3.0]) == (2.0, 1.0, 2)
