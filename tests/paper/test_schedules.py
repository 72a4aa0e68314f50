"""The paper's walk over the levels, by its worked examples and by numbers of an independent implementation."""

import json
from hashlib import sha256
from itertools import pairwise

import pytest

from dmix_core import Descent, NoiseSchedule, TailResampling
from dmix_core.timesteps import check_walk


def walk(steps, jump_length, resamples):
    return list(TailResampling(jump_length, resamples)(steps))


def test_the_first_worked_example():
    """(250, 249, ..., 0, 1, ..., 10, 9, ..., 0)"""
    assert walk(250, 10, 1) == [*range(250, 0, -1), *range(0, 10), *range(10, -1, -1)]


def test_the_second_worked_example():
    """(250, 249, ..., 0, 1, ..., 10, 9, ..., 0, 1, ..., 10, 9, ..., 0): the same tail, twice"""
    tail = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert walk(250, 10, 2) == [*range(250, -1, -1), *tail, *tail]


def test_small_walks_literally():
    assert walk(8, 3, 2) == [8, 7, 6, 5, 4, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0]
    assert walk(5, 2, 1) == [5, 4, 3, 2, 1, 0, 1, 2, 1, 0]
    assert list(Descent()(4)) == [4, 3, 2, 1, 0]


@pytest.mark.parametrize(
    ("steps", "tau", "resamples", "length", "total", "down", "up", "digest"),
    [
        (250, 10, 0, 251, 31375, 250, 0, "6a034f4a83521e49"),
        (250, 10, 1, 271, 31475, 260, 10, "768b6e70baaa0d9e"),
        (250, 10, 2, 291, 31575, 270, 20, "8cda07b68ef70f9d"),
        (250, 10, 10, 451, 32375, 350, 100, "d68326afc24589a1"),
        (250, 20, 5, 451, 33375, 350, 100, "9a7f9e178a767cd7"),
        (1000, 10, 2, 1041, 500700, 1020, 20, "07e0589e5392e107"),
        (100, 5, 3, 131, 5125, 115, 15, "bed0e39a9f35968c"),
        (8, 3, 2, 21, 54, 14, 6, "b8f1f82845d7ec44"),
        (5, 2, 1, 10, 19, 7, 2, "1e3881690c83157b"),
    ],
)
def test_rows_of_the_notes(steps, tau, resamples, length, total, down, up, digest):
    levels = walk(steps, tau, resamples)
    moves = list(pairwise(levels))
    assert (len(levels), sum(levels)) == (length, total)
    assert (sum(s < t for t, s in moves), sum(s > t for t, s in moves)) == (down, up)
    assert sha256(",".join(map(str, levels)).encode()).hexdigest()[:16] == digest
    assert length == steps + 1 + 2 * tau * resamples
    assert total == steps * (steps + 1) // 2 + resamples * tau**2
    assert down == steps + tau * resamples


def test_the_papers_settings_cost_270_calls_of_each_network():
    assert sum(s < t for t, s in pairwise(TailResampling()(250))) == 270
    assert NoiseSchedule.linear().respace(250).steps == 250


@pytest.fixture
def repaint(repo):
    """RePaint's walks, with its levels T-1 .. 0, -1 named as ours, T .. 0."""
    rows = json.loads((repo / "tests/reference/repaint_schedules.json").read_text())
    return {
        (row["steps"], row["jump_length"], row["jump_n_sample"], row["start_resampling"]): [
            level + 1 for level in row["times"]
        ]
        for row in rows
    }


def test_repaints_walks_are_walks(repaint):
    assert len(repaint) > 3
    for (steps, *_), levels in repaint.items():
        check_walk(levels, steps)


def test_the_papers_walk_is_not_repaints(repaint):
    """RePaint jumps at many places, and never from the clean image; its r counts passes, ours the extra ones."""
    for (steps, tau, passes, _), levels in repaint.items():
        climbs = [t for t, s in pairwise(levels) if s > t]
        assert not climbs or min(climbs) == 1
        if passes > 1 and tau < steps:
            ours = walk(steps, tau, passes - 1)
            assert levels != ours
            assert min(t for t, s in pairwise(ours) if s > t) == 0


def test_without_jumps_both_are_the_descent(repaint):
    for (steps, tau, passes, _), levels in repaint.items():
        if passes == 1:
            assert levels == walk(steps, tau, 0)
