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


def test_swapped_every_tile_is_held_out_once(split, script):
    tile_of = {str(name): tile for name, tile in tiles([Path(n) for ns in split["parts"].values() for n in ns]).items()}
    swapped = script["swapped"](split["parts"], tile_of)
    assert swapped["train"] == sorted(split["parts"]["validation"] + split["parts"]["test"])
    assert sorted(swapped["validation"] + swapped["test"]) == split["parts"]["train"]
    shown = [{tile_of[name] for name in names} for names in swapped.values()]
    assert not any(one & other for one, other in combinations(shown, 2))
    for part in ("validation", "test"):
        assert {name.split("/")[0] for name in swapped[part]} == {"MT_Free", "MT_Blowhole", "MT_Break"}


@pytest.fixture
def published(repo, monkeypatch):
    monkeypatch.syspath_prepend(str(repo / "benchmarks/magnetic-tile"))
    return runpy.run_path(str(repo / "benchmarks/magnetic-tile/published.py"))


def test_the_published_training_part_is_kept_and_its_tiles_are_told_apart(published):
    training = [f"{kind}/{stem}" for kind, stems in published["TRAINING"].items() for stem in stems]
    held_out = ["MT_Break/exp1_num_271361", "MT_Break/exp1_num_1", "MT_Free/exp2_num_2", "MT_Free/exp6_num_3"]
    tile_of = {name: name for name in [*training[1:], *held_out]} | {held_out[0]: "MT_Break/exp2_num_271384"}
    parts = published["divided"](tile_of, {held_out[3]})
    assert parts == {"train": sorted(training[1:]), "same-tiles": held_out[:1], "other-tiles": held_out[1:3]}
