"""A run that was cut off goes on, and leaves what an uninterrupted one leaves, byte for byte."""

import os
import random
import shutil

import pytest
import torch

from dmix_core import Run, Spec
from dmix_core.errors import RecipeError
from dmix_core.exporters import ExportWriter
from dmix_core.files import write_atomically
from dmix_core.hookspecs import hookimpl
from dmix_core.images import to_picture
from dmix_core.journal import JOURNAL, read_lines
from dmix_core.recipe import Recipe
from dmix_core.registry import Registry
from dmix_core.testing import GaussianDenoiser

REGIONS = [
    {"name": "below", "model": "scene"},
    {"name": "above", "model": "thing", "box": [2, 1, 6, 5], "z": 1},
]
RECIPE = {"regions": REGIONS, "steps": 10, "samples": [4, 0, 7, 2, 9], "batch_size": 2, "seed": 3}
RECIPE |= {"exporters": [{"use": "boxes"}]}


class Boxes(ExportWriter):
    """One file with the sizes and boxes of all samples, and each picture once more."""

    def __init__(self, folder):
        self.folder, self.lines = folder, []

    def add(self, sample):
        picture = to_picture(sample.image)
        self.lines.append(f"{sample.number} {picture.tobytes().hex()} {sample.facts()} {sample.objects[0].whole.sum()}")
        return [write_atomically(self.folder / f"{sample.number}.txt", self.lines[-1].encode())]

    def close(self):
        return [write_atomically(self.folder / "all.txt", "\n".join(self.lines).encode())]


class Plugin:
    calls = 0

    @staticmethod
    @hookimpl
    def dmix_denoisers():
        def scene(argument: str | None = None, *, device: str = "cpu", dtype: str = "float32"):
            return GaussianDenoiser(Spec((8, 9), 3), 0.2, 0.6)

        def thing(argument: str | None = None, *, device: str = "cpu", dtype: str = "float32"):
            return GaussianDenoiser(Spec((4, 4), 3, 1), -0.1, 0.7)

        return {"scene": scene, "thing": thing}

    @staticmethod
    @hookimpl
    def dmix_exporters():
        class Exporter:
            def open(self, folder, run):
                return Boxes(folder)

        return {"boxes": Exporter}


@pytest.fixture(scope="module")
def registry():
    registry = Registry.load()
    registry.register(Plugin, "toys")
    return registry


@pytest.fixture
def run(registry):
    return Run(Recipe.from_data(RECIPE), registry)


@pytest.fixture
def whole(run, tmp_path, tree):
    return tree(run.save(tmp_path / "whole"))


def test_wherever_a_run_is_cut_off_the_resumed_one_leaves_the_same_files(run, whole, tmp_path, killed_at, tree):
    with killed_at(None) as operations:
        run.save(tmp_path / "counted")
    every = range(1, len(operations) + 1)
    for number in every if "DMIX_FUZZ" in os.environ else random.Random(0).sample(every, 12):
        out = tmp_path / "cut-off"
        with killed_at(number):
            run.save(out)
        run.save(out, resume=True)
        assert tree(out) == whole, f"killed at {number}: {operations[number - 1]}"
        shutil.rmtree(out)


def test_only_batches_with_a_missing_sample_are_composed(run, whole, tmp_path, tree):
    out = run.save(tmp_path / "out")
    (out / "images/0002.png").unlink()
    folder = run.folder(out, resume=True)
    assert folder.finished == {4, 0, 7, 9}
    assert folder.steps == run.batch_steps
    composed = []
    samples = list(folder.samples(lambda step, batch: composed.append(batch)))
    assert {*composed} == {(7, 2)}
    for sample in samples:
        folder.add(sample)
    folder.close()
    assert tree(out) == whole


@pytest.mark.parametrize("name", ["images/0007.png", "masks/0007.png", "overlays/0007.png", "amodal/0007-1-above.png"])
def test_a_file_that_was_changed_is_made_again(run, whole, tmp_path, name, tree):
    out = run.save(tmp_path / "out")
    (out / name).write_bytes((out / name).read_bytes()[:-1] + b"?")
    assert run.folder(out, resume=True).finished == {4, 0, 2, 9}
    run.save(out, resume=True)
    assert tree(out) == whole


def test_a_finished_sample_comes_back_as_it_was_written(run, tmp_path):
    made = {sample.number: sample for sample in run}
    for sample in run.folder(run.save(tmp_path), resume=True).samples():
        other = made[sample.number]
        assert sample.facts() == other.facts()
        assert torch.equal(sample.index, other.index)
        assert torch.equal(sample.objects[0].visible, other.objects[0].visible)
        assert torch.equal(sample.objects[0].amodal, other.objects[0].amodal)
        assert torch.allclose(sample.image, other.image.clamp(-1, 1), atol=0.5 / 127.5 + 1e-6)


@pytest.mark.parametrize("line", ["", "{", "[]", '{"sample": 4, "objects": [], "sha256": {"../secret": ""}}', "\x00"])
def test_a_torn_line_is_no_finished_sample(run, whole, tmp_path, line, tree):
    out = run.save(tmp_path / "out")
    lines = (out / JOURNAL).read_text().splitlines()
    (out / JOURNAL).write_text("\n".join([line, *lines[1:]]))
    assert [each.sample for each in read_lines(out / JOURNAL)][-4:] == [0, 7, 2, 9]
    assert run.folder(out, resume=True).finished == {0, 7, 2, 9}
    run.save(out, resume=True)
    assert tree(out) == whole


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"seed": 4}, "seed differs"),
        ({"samples": [4, 0]}, "samples differs"),
        ({"exporters": []}, "exporters differs"),
        ({"made_with": {"torch": "1.0"}}, "torch was 1.0, is "),
    ],
)
def test_another_recipe_is_refused_and_nothing_is_touched(run, whole, registry, tmp_path, change, expected, tree):
    out = run.save(tmp_path / "out")
    then = Recipe.read(out / "recipe.json")
    if "made_with" in change:
        then.model_copy(update=change).write(out / "recipe.json")
        other = run
    else:
        other = Run(Recipe.from_data(RECIPE | change), registry)
    before = tree(out)
    with pytest.raises(RecipeError, match=rf"Cannot go on with the run in .*{expected}.*write into another folder"):
        other.save(out, resume=True)
    assert tree(out) == before


def test_without_resume_everything_is_made_anew(run, whole, tmp_path, tree):
    out = run.save(tmp_path / "out")
    assert run.folder(out).finished == frozenset()
    assert read_lines(out / JOURNAL) == []
    run.save(out)
    assert tree(out) == whole


def test_there_is_nothing_to_resume_in_an_empty_folder(run, whole, tmp_path, tree):
    assert tree(run.save(tmp_path / "new", resume=True)) == whole
