"""The committed division of the magnetic tiles: every photograph in one part, every tile in one part."""

import json
import runpy
from itertools import combinations
from pathlib import Path

import pytest

from dmix_data.layouts.magnetic_tile import tiles


@pytest.fixture
def split(repo):
    return json.loads((repo / "benchmarks/magnetic-tile/split.json").read_text())


@pytest.fixture
def script(repo):
    return runpy.run_path(str(repo / "benchmarks/magnetic-tile/split.py"))


def test_no_tile_is_in_two_parts(split):
    tile_of = tiles([Path(name) for names in split["parts"].values() for name in names])
    shown = [{tile_of[Path(name)] for name in names} for names in split["parts"].values()]
    assert len(tile_of) == 806
    assert not any(one & other for one, other in combinations(shown, 2))


def test_each_part_has_every_kind(split):
    for names in split["parts"].values():
        assert {name.split("/")[0] for name in names} == {"MT_Free", "MT_Blowhole", "MT_Break"}


def test_it_is_what_the_script_draws(shared, split, script):
    root = shared / "data" / "magnetic-tile"
    if not root.is_dir():
        pytest.skip("there are no magnetic tiles in shared/")
    assert script["divided"](script["tiles_of"](root), split["seed"]) == split["parts"]


def test_another_seed_draws_other_tiles_and_keeps_each_whole(script):
    tile_of = {f"MT_Break/exp{i}_num_{tile}": str(tile) for tile in range(10) for i in range(6)}
    first, second = (script["divided"](tile_of, seed) for seed in (0, 1))
    assert first != second
    for parts in (first, second):
        assert [len(parts[part]) for part in ("train", "validation", "test")] == [36, 12, 12]
        assert sorted(name for names in parts.values() for name in names) == sorted(tile_of)
