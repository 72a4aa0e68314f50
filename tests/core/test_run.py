"""The run: finished samples one by one, the same ones however they are made, and nothing that is kept."""

import gc
import json
import tracemalloc
import weakref
from dataclasses import dataclass, field

import pytest
import torch
from PIL import Image

from dmix_core import Composition, ExportWriter, Run, Spec
from dmix_core.errors import CompositionError, PluginError, WriteError
from dmix_core.hookspecs import hookimpl
from dmix_core.images import to_picture
from dmix_core.loading import Loader
from dmix_core.recipe import Recipe
from dmix_core.registry import Registry
from dmix_core.testing import GaussianDenoiser

REGIONS = [
    {"name": "below", "model": "scene"},
    {"name": "above", "model": "thing", "box": [2, 1, 6, 5], "z": 1},
]
RECIPE = {"regions": REGIONS, "steps": 12, "samples": [4, 0, 7], "batch_size": 2, "seed": 3}


@dataclass
class Listing(ExportWriter):
    """Counts what it is given; the numbers go into list.json."""

    path: object = None
    numbers: list = field(default_factory=list)
    discarded: bool = False

    def add(self, sample):
        self.numbers.append(sample.number)
        return []

    def close(self):
        self.path.write_text(json.dumps(self.numbers))
        return [self.path]

    def discard(self):
        self.discarded = True


class Exporting:
    opened: list = []  # noqa: RUF012

    def open(self, folder, run):
        self.opened.append(Listing(folder / "list.json"))
        return self.opened[-1]


class Plugin:
    loaded: list = []  # noqa: RUF012

    @staticmethod
    @hookimpl
    def dmix_denoisers():
        def scene(argument: str | None = None, *, device: str = "cpu", dtype: str = "float32"):
            Plugin.loaded.append("scene")
            return GaussianDenoiser(Spec((8, 9), 3), 0.2, 0.6)

        def thing(argument: str | None = None, *, device: str = "cpu", dtype: str = "float32"):
            return GaussianDenoiser(Spec((4, 4), 3, 1), -0.1, 0.7)

        return {"scene": scene, "thing": thing}

    @staticmethod
    @hookimpl
    def dmix_exporters():
        return {"listing": Exporting, "masks": Exporting}


@pytest.fixture(scope="module")
def registry():
    registry = Registry.load()
    registry.register(Plugin, "toys")
    return registry


def run_of(registry, **changes):
    return Run(Recipe.from_data(RECIPE | changes), registry)


def test_samples_come_in_the_recipes_order_with_what_compose_gives(registry):
    run = run_of(registry)
    composition = run.composer.compose([4, 0, 7], seed=3, batch_size=2)
    samples = list(run)
    assert [sample.number for sample in samples] == [4, 0, 7]
    assert len(run) == 3
    for row, sample in enumerate(samples):
        assert torch.equal(sample.image, composition.image[row])
        assert torch.equal(sample.index, composition.index[row])
        (thing,) = sample.objects
        above = composition.regions[1]
        assert torch.equal(thing.visible, above.visible[row, 0])
        assert torch.equal(thing.amodal, above.amodal[row, 0])
        assert thing.box == above.boxes[row]


def test_a_sample_does_not_depend_on_the_batch_that_it_is_made_in(registry):
    alone, together = ({sample.number: sample.image for sample in run_of(registry, batch_size=size)} for size in (1, 3))
    assert alone.keys() == together.keys()
    assert all(torch.allclose(alone[number], together[number], atol=1e-5) for number in alone)


def test_the_hook_sees_every_step_of_every_batch(registry):
    run, seen = run_of(registry), []
    list(run.samples(lambda step, batch: seen.append((step.t, step.s, batch))))
    assert len(seen) == run.steps == 2 * (len(run.composer.walk) - 1)
    assert [batch for *_, batch in seen if batch == (4, 0)] == [(4, 0)] * (run.steps // 2)


def test_samples_know_what_they_were_made_from(registry):
    run = run_of(registry)
    provenance = next(iter(run)).provenance
    assert (provenance.seed, provenance.made_with) == (3, run.recipe.made_with)
    other = run_of(registry, samples=[1], exporters=[{"use": "listing"}])
    assert provenance.recipe == other.recipe.digest()
    assert provenance.recipe != run_of(registry, steps=13).recipe.digest()


def test_a_run_knows_what_changed_since_its_recipe_was_made(registry):
    assert run_of(registry).changes == []
    assert run_of(registry, made_with={"torch": "1.0"}).changes == [f"torch was 1.0, is {torch.__version__}"]


def test_runs_with_one_loader_load_each_model_once(registry):
    Plugin.loaded.clear()
    loader = Loader(registry)
    first, second = (Run(Recipe.from_data(RECIPE | {"seed": seed}), loader) for seed in (0, 1))
    assert Plugin.loaded == ["scene"]
    assert first.composer.regions[0].denoiser is second.composer.regions[0].denoiser


def test_compositions_are_let_go(registry, tmp_path):
    """With an exporter: of the samples before the last batch nothing is left."""
    run = run_of(registry, samples=range(8), exporters=[{"use": "listing"}])
    alive = []
    with run.folder(tmp_path) as folder:
        for sample in run:
            alive.append(weakref.ref(sample.image))
            folder.add(sample)
            del sample
            gc.collect()
            assert sum(ref() is not None for ref in alive) <= run.recipe.batch_size
    gc.collect()
    assert not any(ref() is not None for ref in alive)


@pytest.mark.parametrize("exporters", [[], [{"use": "listing"}]])
def test_memory_does_not_grow_with_the_number_of_samples(registry, tmp_path, exporters):
    def held(count):
        """Bytes of Python objects that are in use when the last sample has been written."""
        short = {"batch_size": 4, "steps": 4, "timesteps": {"use": "descent"}}
        run = run_of(registry, samples=range(count), exporters=exporters, **short)
        tracemalloc.start()
        with run.folder(tmp_path / str(count)) as folder:
            for sample in run.samples():
                folder.add(sample)
            gc.collect()
            held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return held

    held(4)  # what is imported and cached once
    assert held(240) < held(80) + 100_000  # the sheet is full with 64; 160 samples, once kept, take 300,000


def test_it_saves_pictures_recipe_and_exports(registry, tmp_path):
    run = run_of(registry, exporters=[{"use": "listing"}, {"use": "masks"}])
    folder = run.save(tmp_path / "out")
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    stems = ("0000", "0004", "0007")
    expected = {f"{kind}/{stem}.png" for kind in ("images", "masks", "overlays") for stem in stems}
    expected |= {f"amodal/{stem}-1-above.png" for stem in stems}
    assert files == expected | {
        "recipe.json",
        "samples.jsonl",
        "sheet.png",
        "listing/list.json",
        "masks-export/list.json",
    }
    assert json.loads((folder / "listing/list.json").read_text()) == [4, 0, 7]
    assert Recipe.read(folder / "recipe.json") == run.recipe


def test_a_run_removes_what_a_killed_one_left_half_written_and_nothing_else(registry, tmp_path):
    left = [tmp_path / ".recipe.json.0123abcd.dmix-part", tmp_path / "images/.0000.png.0123abcd.dmix-part"]
    others = [tmp_path / ".env", tmp_path / "images/.0000.png.0123abcd", tmp_path / "mine/.a.0123abcd.dmix-part"]
    for path in [*left, *others]:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    run_of(registry).save(tmp_path)
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in others)


def test_a_failure_discards_what_exporters_have_open(registry, tmp_path):
    run = run_of(registry, exporters=[{"use": "listing"}])
    with pytest.raises(RuntimeError, match="power"), run.folder(tmp_path):
        raise RuntimeError("power")
    assert Exporting.opened[-1].discarded
    assert not (tmp_path / "listing/list.json").exists()


def test_what_does_not_fit_is_refused_beforehand(registry, tmp_path):
    with pytest.raises(PluginError, match="No exporter 'lsting'"):
        run_of(registry, exporters=[{"use": "lsting"}])
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="Cannot write to the output folder"):
        run_of(registry).save(tmp_path / "file")


# ---- compositions in Python -----------------------------------------------------------------------------------


def test_many_samples_run_through_the_networks_in_batches(registry):
    composer = run_of(registry).composer
    seen = []
    inner = composer.regions[0].denoiser
    composer.regions[0] = type(composer.regions[0])(Watching(inner, seen), name="below")
    composition = composer.compose(19, batch_size=8)
    assert max(seen) == 8
    assert len(composition) == 19
    assert len(composition.regions[1].boxes) == 19
    with pytest.raises(CompositionError, match="batch_size is 0; expected 1 or more"):
        composer.compose(2, batch_size=0)


@dataclass
class Watching:
    denoiser: object
    seen: list

    spec = property(lambda self: self.denoiser.spec)
    noise = property(lambda self: self.denoiser.noise)

    def __call__(self, x_t, t):
        self.seen.append(len(x_t))
        return self.denoiser(x_t, t)


def test_a_composition_gives_pictures_and_saves_them(registry, tmp_path):
    composition = run_of(registry).composer.compose(2, seed=3)
    assert isinstance(composition, Composition)
    assert [picture.tobytes() for picture in composition.images] == [to_picture(i).tobytes() for i in composition.image]
    assert [(mask.mode, mask.size) for mask in composition.masks] == [("P", (9, 8))] * 2
    folder = composition.save(tmp_path / "out")
    assert Image.open(folder / "images/0001.png").tobytes() == composition.images[1].tobytes()
    assert {path.name for path in folder.iterdir()} == {"images", "masks", "overlays", "amodal", "sheet.png"}


def test_short_words_for_long_things(registry):
    run = run_of(registry)
    steps = len(run.composer.walk) - 1
    assert repr(run.composer) == f"<Composer of a 9x8 canvas in {steps} steps: below, above>"
    assert repr(run) == f"<Run of 3 samples: {run.composer!r}>"
    assert repr(run.composer.compose(2)) == "<Composition of 2 9x8 images: below, above>"
