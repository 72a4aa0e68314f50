"""Walks over the levels."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmix_core.errors import ScheduleError
from dmix_core.timesteps import Descent, TailResampling, check_walk


@st.composite
def tails(draw):
    """(T, tau, r) with 1 <= tau <= T, 0 <= r."""
    steps = draw(st.integers(1, 60))
    return steps, draw(st.integers(1, steps)), draw(st.integers(0, 6))


@given(tails())
def test_tail_resampling_is_a_walk(tail):
    steps, tau, resamples = tail
    walk = list(TailResampling(tau, resamples)(steps))
    assert (walk[0], walk[-1]) == (steps, 0)
    assert {abs(t - s) for t, s in pairwise(walk)} == {1}
    assert all(0 <= level <= steps for level in walk)
    assert check_walk(walk, steps) == walk


@given(tails())
def test_tail_resampling_by_its_closed_forms(tail):
    steps, tau, resamples = tail
    walk = list(TailResampling(tau, resamples)(steps))
    moves = list(pairwise(walk))
    assert len(walk) == steps + 1 + 2 * tau * resamples
    assert sum(walk) == steps * (steps + 1) // 2 + resamples * tau**2
    assert sum(s < t for t, s in moves) == steps + tau * resamples
    assert sum(s > t for t, s in moves) == tau * resamples
    assert walk.count(0) == 1 + resamples
    assert max(walk[steps:]) == (tau if resamples else 0)


@given(st.integers(1, 100))
def test_the_descent_visits_every_level_once(steps):
    assert list(Descent()(steps)) == list(range(steps, -1, -1)) == list(TailResampling(1, 0)(steps))


def test_no_resampling_asks_nothing_of_the_jump():
    assert list(TailResampling(jump_length=10, resamples=0)(5)) == [5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize("length", [0, -2])
def test_a_jump_has_a_length(length):
    with pytest.raises(ScheduleError, match=rf"jump_length is {length}; expected at least 1.*resamples=0"):
        TailResampling(jump_length=length)


def test_resamples_are_not_negative():
    with pytest.raises(ScheduleError, match=r"resamples is -1; expected 0 \(no resampling\) or more"):
        TailResampling(resamples=-1)


def test_a_jump_is_not_longer_than_the_walk():
    with pytest.raises(
        ScheduleError, match=r"jump_length is 11, but there are only 10 levels.*shorter jump or more steps"
    ):
        TailResampling(11, 1)(10)


@pytest.mark.parametrize(
    ("walk", "message"),
    [
        ([], r"starts at 3 and ends at 0; this one is \[\]"),
        ([2, 1, 0], r"starts at 3 and ends at 0; this one is \[2, 1, 0\]"),
        ([3, 2, 1], r"ends at 0; this one is \[3, 2, 1\]"),
        ([3, 2, 1, 2, 1, 2, 1, 2, 1], r"this one is \[3, 2, \.\.\., 2, 1\]"),
        ([3, 2, 2, 1, 0], "goes from 2 to 2"),
        ([3, 4, 3, 2, 1, 0], r"within 0\.\.3; this one goes from 3 to 4"),
        ([3, 2, 1, 0, -1, 0], "goes from 0 to -1"),
        ([3, 0, 5, 0], "goes from 0 to 5"),
        ([3.0, 1.5, 0.0], r"over whole numbers; this one holds 3\.0\. Round it"),
    ],
)
def test_walks_that_are_none(walk, message):
    with pytest.raises(ScheduleError, match=message):
        check_walk(walk, 3)


@pytest.mark.parametrize("walk", [[3, 0], [3, 1, 0], [3, 0, 2, 0], [3, 1, 3, 2, 0, 1, 0]])
def test_walks_may_leave_levels_out(walk):
    assert check_walk(walk, 3) == walk


def test_a_walk_of_numpys_whole_numbers_is_one_of_ints():
    walk = check_walk(np.array([3, 1, 0]), 3)
    assert [type(level) for level in walk] == [int] * 3
