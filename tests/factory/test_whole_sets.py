"""Sets that are checked, repaired and joined from shards."""

import errno
import json
import os

import pytest
from click.testing import CliRunner
from filelock import FileLock

from dmix_cli.main import main
from dmix_core.errors import DmixError
from dmix_factory import generate, merge, verify

from .conftest import tree


@pytest.fixture
def settings(installed, photographs):
    rules = {"steps": 4, "timesteps": {"resamples": 0}}
    return {"backgrounds": str(photographs), "objects": ["disc"], "n": 5, "twins": True, **rules}


def test_a_whole_set_has_no_problems(settings, tmp_path):
    generate(**settings, out=tmp_path / "set")
    assert verify(tmp_path / "set").samples == 10
    assert verify(tmp_path / "set").problems == ()


def test_what_is_damaged_is_found_and_made_again(settings, tmp_path):
    generate(**settings, out=tmp_path / "set")
    whole = tree(tmp_path / "set")
    (tmp_path / "set/images/000002.png").unlink()
    (tmp_path / "set/masks/000004.png").write_bytes(b"torn")
    (tmp_path / "set/images/stranger.png").write_bytes(b"")
    result = CliRunner().invoke(main, ["verify", str(tmp_path / "set"), "--json"])
    assert result.exit_code == 1
    problems = " ".join(json.loads(result.stdout)["problems"])
    assert "sample 2: images/000002.png is missing" in problems
    assert "sample 4: masks/000004.png is missing, or has other content" in problems
    assert "images/stranger.png: no sample of the manifest" in problems
    (tmp_path / "set/images/stranger.png").unlink()
    assert generate(**settings, out=tmp_path / "set", resume=True).repaired == 2
    assert tree(tmp_path / "set") == whole


def test_a_mask_that_its_line_does_not_describe_is_a_problem(settings, tmp_path):
    generate(**settings, out=tmp_path / "set")
    manifest = tmp_path / "set/manifest.jsonl"
    lines = manifest.read_text().splitlines()
    first = json.loads(lines[0])
    first["objects"][0]["area"] += 1
    manifest.write_text("\n".join([json.dumps(first), *lines[1:8]]) + "\n")
    problems = verify(tmp_path / "set").problems
    assert [problem for problem in problems if problem.startswith("sample 0: object 1 has the box")]
    assert problems[-1] == "8 of 10 samples; go on with --resume"


def test_a_full_disk_ends_a_run_which_goes_on_once_there_is_space(settings, tmp_path, monkeypatch):
    generate(**settings, out=tmp_path / "whole")
    flushes = iter(range(1000))
    flush = os.fsync

    def full(descriptor):
        if next(flushes) >= 14:
            raise OSError(errno.ENOSPC, "No space left on device")
        flush(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DmixError, match="No space left on device"):
            generate(**settings, out=tmp_path / "set")
    assert not [path for path in tree(tmp_path / "set") if "dmix-part" in path]
    assert generate(**settings, out=tmp_path / "set", resume=True).made < 5
    assert tree(tmp_path / "set") == tree(tmp_path / "whole")


def test_half_a_unit_is_taken_away_and_made_again(settings, tmp_path):
    generate(**settings, out=tmp_path / "set")
    whole = tree(tmp_path / "set")
    manifest = tmp_path / "set/manifest.jsonl"
    manifest.write_bytes(b"".join(manifest.read_bytes().splitlines(keepends=True)[:7]))
    assert generate(**settings, out=tmp_path / "set", resume=True).made == 2
    assert tree(tmp_path / "set") == whole


def test_shards_join_to_the_bytes_of_one_set(settings, tmp_path):
    settings |= {"reject": True, "min_contrast": 64, "tries": 3, "strength": "1"}  # so that something is turned down
    generate(**settings, out=tmp_path / "whole")
    shards = [tmp_path / f"shard-{i}" for i in (1, 2, 3)]
    for i, shard in enumerate(shards, 1):
        generate(**settings, out=shard, shard=(i, 3))
    assert merge(shards, tmp_path / "set") == 10
    assert tree(tmp_path / "set") == tree(tmp_path / "whole")
    assert "rejected.jsonl" in tree(tmp_path / "set")


def test_shards_that_lack_a_sample_or_are_of_other_sets_do_not_join(settings, tmp_path):
    for i in (1, 2):
        generate(**settings, out=tmp_path / str(i), shard=(i, 3))
    with pytest.raises(DmixError, match="No shard has sample 4"):
        merge([tmp_path / "1", tmp_path / "2"], tmp_path / "set")
    generate(**settings | {"seed": 1}, out=tmp_path / "other", shard=(3, 3))
    with pytest.raises(DmixError, match="no shards of one set"):
        merge([tmp_path / "1", tmp_path / "2", tmp_path / "other"], tmp_path / "joined")


def test_two_runs_in_one_folder_are_refused(settings, tmp_path):
    (tmp_path / "set").mkdir()
    with FileLock(tmp_path / "set" / ".lock"), pytest.raises(DmixError, match="Another process writes"):
        generate(**settings, out=tmp_path / "set")


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b"])
def test_a_shard_that_is_none_is_wrong_use(installed, tmp_path, shard):
    result = CliRunner().invoke(main, ["generate", "--shard", shard, "-o", str(tmp_path / "set")])
    assert result.exit_code == 2
    assert "expected I/N with I from 1 to N" in result.output
