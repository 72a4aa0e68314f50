"""An experiment from its file to its tables."""

import json
import lzma
import os
import re
import runpy
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from sklearn.metrics import average_precision_score

from dmix_cli.main import main
from dmix_data.exceptions import DataError
from dmix_eval import experiment_results
from dmix_eval.detector import Detector
from dmix_eval.detector_training import by_windows, whole
from dmix_eval.experiment_config import Experiment, ExperimentError, Row, read_experiment
from dmix_eval.experiment_results import Result, Results
from dmix_eval.experiment_run import ExperimentRun, check_apart, highest_alarm, pictures_to_test
from dmix_eval.experiment_table import Resampled, gains, markdown, summary
from dmix_eval.histograms import BINS, Seen, counts
from dmix_eval.photographs import photograph, real_photographs
from dmix_eval.scores import Scores

REPO = Path(__file__).resolve().parents[2]
FILE = """
name = "discs"
train = "real/train"
validation = "real/validation"
test = "real/test"
classes = ["blowhole"]
seeds = [0]
stride = 32
training = {steps = 40, side = 32, defects = 2, elsewhere = 2, learning_rate = 0.01}
rows = [
  {name = "real only"},
  {name = "with set", add = [{use = "set", folder = "set", ratio = 1, negatives = 0.5}]},
]
"""


@pytest.fixture
def file(tmp_path, real, generated):
    (tmp_path / "real").symlink_to(real)
    (tmp_path / "set").symlink_to(generated)
    path = tmp_path / "discs.toml"
    path.write_text(FILE)
    return path


def dmix(*words):
    done = CliRunner().invoke(main, list(map(str, words)))
    return done.exit_code, done.output


def test_a_file_states_paths_beside_itself(file, real):
    planned = read_experiment(file)
    assert planned.train.resolve() == (real / "train").resolve()
    assert planned.rows[1].add[0].folder == file.parent / "set"
    assert planned.baselines(planned.rows[1]) == ["real only"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "no TOML"),
        (FILE.replace("ratio = 1,", "ratios = 1,"), "rows.1.add.0.ratios"),
        (FILE.replace('use = "set", folder = "set",', 'use = "set",'), "a folder belongs to"),
        (FILE.replace("with set", "real only"), "two rows have the same name"),
        (FILE.replace("stride = 32", "stride = 33"), "leaves gaps"),
        (FILE.partition("rows")[0] + "rows = 7", "rows: "),
        (FILE.replace("steps = 40", "steps = inf"), "training.steps"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(file, text, message):
    file.write_text(text)
    with pytest.raises(ExperimentError, match=message):
        read_experiment(file)


EXPERIMENTS = ["blowholes", "blowholes-swapped", "breaks", "breaks-swapped", "published"]


@pytest.mark.parametrize(("name", "least"), [*zip(EXPERIMENTS, (5, 2, 5, 2, 2), strict=True)])
def test_published_experiments_can_be_read(repo, name, least):
    assert len(read_experiment(repo / f"benchmarks/magnetic-tile/{name}.toml").rows) > least


@pytest.mark.skipif(shutil.which("bash") is None, reason="a script of bash makes the sets")
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_published_sets_are_made_by_commands_that_are_understood(repo, tmp_path, monkeypatch, name):
    folder = repo / "benchmarks/magnetic-tile"
    script = Path(shutil.copy(folder / "sets.sh", tmp_path))
    for train in ("data/train", "swapped/train", "published/train"):
        (tmp_path / train / "MT_Free").mkdir(parents=True)
    for kind in ("MT_Blowhole", "MT_Break"):
        pictures = tmp_path / "data/train" / kind / "Imgs"
        pictures.mkdir(parents=True)
        for picture in re.findall(r"exp\d_num_\d+", script.read_text()):
            (pictures / f"{picture}.jpg").touch()
    stand_in = tmp_path / "bin/dmix"
    stand_in.parent.mkdir()
    stand_in.write_text('#!/bin/sh\necho "$*"\n')
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stand_in.parent}{os.pathsep}{os.environ['PATH']}")
    done = subprocess.run(["bash", script, name], capture_output=True, text=True, check=True)
    monkeypatch.chdir(tmp_path)
    made = [understood(shlex.split(line)) for line in done.stdout.splitlines()]
    sets = {str(context.params["out"]) for context in made if context.info_name == "generate"}
    assert sets == {*re.findall('folder = "(.*?)"', (folder / f"{name}.toml").read_text(encoding="utf-8"))}


def understood(words):
    """The context of the command that these words name."""
    command = main
    while isinstance(command, click.Group):
        command = command.get_command(click.Context(command), words.pop(0))
    return command.make_context(command.name, words)


@pytest.mark.parametrize(
    "path",
    sorted((REPO / "benchmarks/magnetic-tile/results").glob("*/*.xz")),
    ids=lambda path: f"{path.parent.name} {path.stem}",
)
def test_published_results_belong_to_their_experiments(repo, tmp_path, path):
    folder = repo / "benchmarks/magnetic-tile"
    experiment = read_experiment(folder / f"{path.parent.name}.toml")
    script = runpy.run_path(str(folder / "results.py"))
    file, found = next(script["unpacked"](path))
    results = Results(tmp_path, experiment)
    assert results.path(experiment.row(found.row), found.seed).name == file
    results.write(experiment.row(found.row), found)
    assert results.read(experiment.row(found.row), found.seed) is not None  # of this state of the experiment
    assert script["row_of"](tmp_path / file) == path.stem
    assert script["line"](tmp_path / file) == lzma.decompress(path.read_bytes()).decode().partition("\n")[0]


def test_an_unknown_row_is_wrong_use(file):
    code, output = dmix("experiment", file, "--row", "with sat")
    assert code == 2
    assert "Did you mean 'with set'?" in output


def test_a_stopped_experiment_goes_on_and_writes_its_tables(file, tmp_path, monkeypatch):
    monkeypatch.setattr("dmix_eval.experiment_table.RESAMPLES", 20)
    out = tmp_path / "out"
    common = ("experiment", file, "-o", out, "--threads", "1", "--precision", "no")
    assert dmix(*common, "--row", "real only")[0] == 0
    (first,) = (out / "results").iterdir()
    written = first.stat().st_mtime_ns
    code, output = dmix(*common)
    assert (code, output.count("seed 0")) == (0, 1)
    assert first.stat().st_mtime_ns == written
    records = json.loads((out / "table.json").read_text())
    assert len(records) == 12  # parts and both as one, ways, rows
    found, pooled = (
        each
        for each in records
        if each["part"] in ("test", "both") and (each["way"], each["row"]) == ("windows", "with set")
    )
    assert found["figures"]["pixel AP"]["mean"] > 0.5  # dark discs are easy
    assert found["pictures"] == {"defects": 6, "normal": 6, "defects_groups": 6, "normal_groups": 6}
    assert pooled["pictures"] == {"defects": 12, "normal": 12, "defects_groups": 12, "normal_groups": 12}
    assert {each["part"] for each in records if each["for_choosing"]} == {"validation"}
    for each in (found, pooled):
        assert set(each["differences"]["real only"]) == set(each["figures"])
    table = (out / "table.md").read_text()
    assert table.count("| with set | 1 |") == 6
    assert table.count("pooled (for the report, not for choosing settings)") == 2
    assert Image.open(out / "false-alarms.png").height > 2 * 128


def test_results_of_another_state_of_the_experiment_are_refused(file, tmp_path):
    planned = read_experiment(file)
    run = ExperimentRun(planned, tmp_path, ["real only"], "no")
    run.results.write(planned.rows[0], run.result(planned.rows[0], 0))
    assert run.due() == []
    file.write_text(FILE.replace("steps = 40", "steps = 41"))
    changed = read_experiment(file)
    with pytest.raises(ExperimentError, match="another state"):
        Results(tmp_path, changed).read(changed.rows[0], 0)


def test_a_rows_digest_is_its_own(file):
    planned = read_experiment(file)
    more = Experiment(**{**planned.__dict__, "rows": (*planned.rows, Row(name="five", real=5)), "seeds": (0, 1)})
    assert [more.digest(row) for row in planned.rows] == [planned.digest(row) for row in planned.rows]
    assert len({more.digest(row) for row in more.rows}) == 3


def test_an_experiment_is_known_again_in_another_folder(file, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "discs.toml").write_text(FILE)
    one, other = read_experiment(file), read_experiment(elsewhere / "discs.toml")
    assert one.digest(one.rows[0]) == other.digest(other.rows[0])


def test_a_tile_in_two_parts_is_refused():
    with pytest.raises(DataError, match="'b' is in train and in test"):
        check_apart({"train": {"a", "b"}, "validation": {"c"}, "test": {"b"}})


def test_a_part_may_leak_where_the_experiment_states_it():
    groups = {"train": {"a", "b"}, "validation": {"b"}, "test": {"c"}}
    check_apart(groups, ["validation"])
    with pytest.raises(DataError, match="'b' is in train and in validation"):
        check_apart(groups, ["test"])


def test_an_alarm_lies_away_from_defects():
    mask = np.zeros((40, 40), bool)
    mask[5:10, 5:10] = True
    photo = photograph("a", np.zeros((40, 40), np.uint8), mask, "a")
    said = np.zeros((40, 40))
    said[7, 12], said[30, 31] = 0.9, 0.4
    assert highest_alarm(said, photo) == (30, 31, 0.4)
    assert highest_alarm(said, photograph("b", photo.image, np.ones((40, 40), bool), "b")) is None


def test_normal_pictures_can_be_fewer(real):
    photographs = real_photographs(real / "test", ("blowhole",))
    assert [each.normal for each in pictures_to_test(photographs, 2)] == [False] * 6 + [True] * 2
    assert len(pictures_to_test(photographs, 100)) == 12


@pytest.mark.parametrize("size", [(40, 70), (20, 33), (32, 32)])
def test_both_ways_of_testing_cover_pictures_of_any_size(size):
    torch.manual_seed(0)
    detector = Detector((8, 8, 8)).eval()
    random = np.random.default_rng(0)
    photo = photograph("a", random.integers(0, 255, size).astype(np.uint8), np.zeros(size, bool), "a")
    one, other = whole(detector, photo, "no"), by_windows(detector, photo, 32, 16, "no")
    assert one.shape == other.shape == size
    if size == (32, 32):  # one window is the whole picture
        assert torch.allclose(one, other, atol=1e-6)


def detected(quality, seed):
    """Scores of a detector on four tiles of two pictures each, half of them normal."""
    random = np.random.default_rng(seed)
    seen = []
    for number in range(16):
        mask = np.zeros((20, 20), bool)
        mask[5:10, 5:10] = number < 8
        said = 1 / (1 + np.exp(-(random.normal(-2, 1, mask.shape) + quality * mask)))
        one = Seen(
            name=str(number),
            group=str(number // 2),
            score=said.max(),
            defects=counts(said[mask]),
            rest=counts(said[~mask]),
        )
        seen.append(one)
    return Scores(seen)


def test_both_parts_as_one_are_judged_by_all_their_pictures_at_the_threshold_of_validation():
    seen = {part: {"windows": detected(quality, quality).seen} for part, quality in (("validation", 3), ("test", 1))}
    result = Result(row="a", seed=0, digest="", seconds=0, made_with={}, tested=experiment_results.tested(seen))
    both = result.on("both", "windows")
    pixels = [(each.defects, each.rest) for ways in seen.values() for each in ways["windows"]]
    said = np.repeat([*range(BINS)] * 2, np.concatenate(np.sum(pixels, 0)))
    true = np.repeat([1, 0], np.sum(pixels, (0, 2)))
    assert both.figures["pixel AP"] == pytest.approx(average_precision_score(true, said))
    own = {part: Scores(ways["windows"]).threshold() for part, ways in seen.items()}
    assert both.threshold == own["validation"] != own["test"]
    assert len({each.name for each in both.seen}) == 32  # though both parts have pictures of the same names


def test_a_better_detector_is_surely_better_and_the_same_is_not():
    worse, better = ({seed: Resampled.of(detected(quality, seed).seen) for seed in range(2)} for quality in (1, 3))
    gained = gains("pixel AP", better, worse)
    assert gained is not None
    found = gained.difference
    assert found.sure
    assert found.by_group[0] > 0.2
    assert (found.wins, found.seeds) == (2, 2)
    same = gains("pixel AP", worse, worse)
    assert same is not None
    assert same.difference.mean == 0
    assert not same.difference.sure


def test_folds_count_alike_and_narrow_the_interval(repo, monkeypatch):
    monkeypatch.syspath_prepend(str(repo / "benchmarks/magnetic-tile"))
    of_folds = runpy.run_path(str(repo / "benchmarks/magnetic-tile/folds.py"))["of_folds"]
    fold = {"a": {0: Resampled.of(detected(3, 0).seen)}, "b": {0: Resampled.of(detected(1, 0).seen)}}
    more = {
        name: {seed: Resampled.of(detected(quality, seed).seen) for seed in range(3)}
        for name, quality in zip("ab", (4, 1), strict=True)
    }
    single, other, both = (of_folds("pixel AP", "a", "b", folds) for folds in ([fold], [more], [fold, more]))
    assert both.mean == pytest.approx((single.mean + other.mean) / 2)
    assert both.seeds == both.wins == 4
    width, *widths = (low_high[1] - low_high[0] for low_high in (both.by_picture, single.by_picture, other.by_picture))
    assert width < max(widths)
    with pytest.raises(ValueError, match="no seed has both"):
        of_folds("pixel AP", "a", "b", [fold, {"a": {1: fold["a"][0]}, "b": fold["b"]}])


def result(row, digest, quality):
    seen = {part: {way: detected(quality, 0).seen for way in ("windows", "whole")} for part in ("validation", "test")}
    return Result(row=row, seed=0, digest=digest, seconds=0, made_with={}, tested=experiment_results.tested(seen))


def test_tables_tell_that_a_part_leaks(file):
    leaking = read_experiment(file).model_copy(update={"leaking": ("validation",)})
    headings = [line for line in markdown([], leaking).splitlines() if line.startswith("## ")]
    assert [line for line in headings if "shows tiles that training shows" in line] == headings[:2]


def test_a_row_is_compared_with_each_row_that_it_states(file, tmp_path, monkeypatch):
    rows = '[{name = "real only"}, {name = "pasted"}, {name = "both", against = ["real only", "pasted"]}]'
    file.write_text(f"{FILE.partition('rows')[0]}rows = {rows}")
    planned = read_experiment(file)
    results = Results(tmp_path, planned)
    for row, quality in zip(planned.rows, (1, 2, 3), strict=True):
        results.write(row, result(row.name, planned.digest(row), quality))
    known = {}
    records = summary(results, known)
    assert [*records[2]["differences"]] == ["real only", "pasted"]
    gains = [each["pixel AP"]["mean"] for each in records[2]["differences"].values()]
    assert gains[0] > gains[1] > 0
    lines = markdown(records, planned).splitlines()
    assert sum(line.startswith("| ... against pasted |") for line in lines) == 6
    monkeypatch.setattr(Resampled, "of", None)  # results do not change, so nothing is resampled again
    assert summary(results, known) == records
