"""The walk is coarse, then fine, then the paper's; and costs what it states."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmix_core import TailResampling
from dmix_core.errors import DmixError
from dmix_core.registry import Registry
from dmix_core.testing import check_timestep_schedule
from dmix_fewsteps import FewSteps

levels_of = pytest.importorskip("dmix_models.distillation").levels_of


def calls(walk):
    return sum(s < t for t, s in pairwise(walk))


@pytest.mark.parametrize("levels", [50, 100, 250, 1000])
@pytest.mark.parametrize("moves", [4, 8, 16, 32])
def test_distilled_models_are_walked_through_the_levels_that_they_have_learned(levels, moves):
    assert list(FewSteps(calls=moves)(levels))[: moves + 1] == levels_of(levels, 0.9, moves)


def test_it_is_a_timestep_schedule():
    check_timestep_schedule(FewSteps())


def test_thirty_and_forty_five_calls_against_two_hundred_and_seventy():
    walk = list(FewSteps(calls=30)(250))
    assert walk[:5] == [250, 242, 235, 228, 220]
    assert calls(walk[:31]) == 30
    assert walk[30:] == [*range(25, -1, -1), *(2 * [*range(1, 11), *range(9, -1, -1)])]
    assert calls(walk) == 75
    assert calls(TailResampling(10, 2)(250)) == 270


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 60), st.sampled_from([0, 0.3, 0.5, 0.9, 1]), st.integers(0, 3))
def test_what_it_costs(steps, coarse, fine_from, resamples):
    walk = list(FewSteps(coarse, fine_from, 1, resamples)(steps))
    window = int((1 - fine_from) * steps + 1e-9)
    assert calls(walk) == min(coarse, steps - window) + window + resamples
    assert walk[-1 - window - 2 * resamples :] == list(TailResampling(1, resamples)(steps))[steps - window :]
    moves = [t - s for t, s in pairwise(walk[: -window - 2 * resamples or None])]
    assert not moves or max(moves) - min(moves) <= 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"calls": 0}, "calls is 0; expected at least 1"),
        ({"fine_from": 1.5}, r"fine_from is 1.5; expected a fraction"),
        ({"jump_length": 0}, "jump_length is 0; expected at least 1"),
        ({"resamples": -1}, "resamples is -1; expected 0"),
    ],
)
def test_wrong_settings_are_refused_at_once(settings, message):
    with pytest.raises(DmixError, match=message):
        FewSteps(**settings)


def test_it_is_found_by_name_where_it_is_installed():
    assert Registry.load().create("timestep schedule", "few-steps", {"calls": "20"}) == FewSteps(20)


def test_the_readme_composes():
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    names = {}
    exec(block, names)
    assert calls(names["composer"].walk) == 75
    assert next(names["composer"].steps()).s == 242
