"""A run: the one loop over the samples of a recipe.

    run = Run(Recipe.read("recipe.json"))
    for sample in run:
        print(sample.number, [each.box for each in sample.objects])

A run composes batch by batch and keeps nothing: memory does not grow with the number of samples.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from .composer import Composer
from .exporters import Exporter, ExportWriter, RunInfo
from .files import remove_all_temporaries, writable_folder
from .journal import JOURNAL, Journal, resumed
from .loading import Loader
from .output import FOLDERS, SHEET, Pictures
from .recipe import SELECTION, Recipe, changes, made_with
from .registry import Registry
from .returned import paths_of, writer_of
from .sample import Provenance, Sample
from .step import Step

StepHook = Callable[[Step, Sequence[int]], object]
"""Called after every step of a batch with the step and the numbers of the batch's samples."""

RECIPE = "recipe.json"
_OURS = (*FOLDERS, SHEET, RECIPE, JOURNAL, "strip.png", "denoising.gif")


class Run:
    """Composes the samples of a recipe, in its order and in batches of its batch_size.

    An iterable that can be gone through several times; each time it composes anew.

    Args:
        recipe: what to compose.
        registry: where its names come from; None: everything that is installed. A Loader shares its denoisers with
            other runs.

    Attributes:
        recipe: the recipe, with `made_with` as it is now.
        changes: what the given recipe was made with that is different now, in words.
        composer: what composes.
        exporters: the recipe's, by their names.

    Raises:
        DmixError: what cannot be made or does not fit, before any network is called.
    """

    def __init__(self, recipe: Recipe, registry: Registry | Loader | None = None) -> None:
        loader = registry if isinstance(registry, Loader) else Loader(registry)
        recipe = recipe.completed(loader.registry)
        self.composer = recipe.composer(loader)
        self.exporters: dict[str, Exporter] = {
            each.use: loader.registry.create("exporter", each.use, each.settings) for each in recipe.exporters
        }
        now = made_with(loader.registry, recipe.models(loader))
        self.changes = changes(recipe.made_with, now)
        self.recipe = recipe.model_copy(update={"made_with": now})

    def __len__(self) -> int:
        """How many samples it gives."""
        return len(self.recipe.kept)

    def __repr__(self) -> str:
        return f"<Run of {len(self)} samples: {self.composer!r}>"

    def __iter__(self) -> Iterator[Sample]:
        return self.samples()

    @property
    def steps(self) -> int:
        """How many steps all of its batches take together; a hook is called so often."""
        return len(self.recipe.batches()) * self.batch_steps

    @property
    def batch_steps(self) -> int:
        """How many steps a batch takes."""
        return len(self.composer.walk) - 1

    @property
    def info(self) -> RunInfo:
        """What exporters know of it beforehand."""
        names = tuple(region.name for region in self.composer.regions)
        data = self.recipe.model_dump(mode="json", exclude={*SELECTION})  # which are not known beforehand
        return RunInfo(self.composer.size, names, self.recipe.samples, self.composer.grey, data)

    @property
    def provenance(self) -> Provenance:
        """What all of its samples were made from."""
        return Provenance(self.recipe.seed, self.recipe.digest(), self.recipe.made_with)

    def samples(self, on_step: StepHook | None = None) -> Iterator[Sample]:
        """The finished samples, in the recipe's order.

        Args:
            on_step: called after every step, for progress bars and pictures of the denoising.
        """
        for batch in self.recipe.batches():
            yield from self.batch(batch, on_step)

    def batch(self, batch: Sequence[int], on_step: StepHook | None = None) -> list[Sample]:
        """Compose a batch of the recipe's, less the samples that it leaves out."""
        recipe, dropped = self.recipe, {*self.recipe.dropped}
        made = samples_of(self.composer, [batch], recipe.seed, on_step, self.provenance, recipe.draws)
        return [sample for sample in made if sample.number not in dropped]

    def folder(self, path: str | Path, *, resume: bool = False) -> "RunFolder":
        """A folder that is ready to take its samples: recipe.json is written.

        Args:
            resume: keep the samples that an earlier run of the same recipe has finished there.

        Raises:
            WriteError: the folder cannot be written to.
            RecipeError: what is there to be resumed was made from another recipe, or with other versions.
        """
        return RunFolder(Path(path), self, resume)

    def save(self, path: str | Path, on_step: StepHook | None = None, *, resume: bool = False) -> Path:
        """Compose all samples and write them with the recipe's exporters; returns the folder.

        Args:
            resume: compose only what an earlier run of the same recipe has not finished in this folder. What lies there
                at the end has the bytes of a run that was not interrupted.

        Raises:
            WriteError: the folder cannot be written to; known before anything is computed.
            RecipeError: what is there to be resumed was made from another recipe, or with other versions.
        """
        with self.folder(path, resume=resume) as folder:
            for sample in folder.samples(on_step):
                folder.add(sample)
        return folder.path


def samples_of(
    composer: Composer,
    batches: Sequence[Sequence[int]],
    seed: int = 0,
    on_step: StepHook | None = None,
    provenance: Provenance | None = None,
    draws: Mapping[int, int] = MappingProxyType({}),
) -> Iterator[Sample]:
    """The loop of a run, for a composer without a recipe too: the samples of these numbers, batch by batch.

    Args:
        draws: the numbers whose noise some samples have in the place of their own.
    """
    for batch in batches:
        for step in composer.steps([draws.get(number, number) for number in batch], seed):
            if on_step:
                on_step(step, batch)
        for sample in composer.finish(step).samples(batch, provenance or Provenance(seed)):
            yield replace(sample, draw=draws.get(sample.number))


class RunFolder:
    """The folder of a run: recipe.json, the pictures, samples.jsonl, and a folder for each exporter.

    Attributes:
        path: the folder.
        recipe: the path of recipe.json.
        pictures: the writer of the pictures, which knows where each sample's lie.
        exports: the folder of each exporter, by its name.
        finished: the numbers of the samples that were there already.
        sheet: the path of sheet.png, once it is closed; None where a run has one sample.
    """

    def __init__(self, path: Path, run: Run, resume: bool = False) -> None:
        self.path, self.run, info = path, run, run.info
        if resume and (path / RECIPE).is_file():
            run.recipe = resumed(path, Recipe.read(path / RECIPE), run.recipe)
        self.pictures = Pictures().open(path, info)
        self.exports = {name: writable_folder(path / folder_of(name)) for name in run.exporters}
        for folder in self.exports.values():
            remove_all_temporaries(folder)
        self._journal = Journal(self.pictures, run.recipe.samples)
        self._journal.start(resume)  # before the recipe: samples of another one must never seem to be of this one
        self.recipe, self._stated = run.recipe.write(path / RECIPE), run.recipe
        self.finished = frozenset(self._journal.finished)
        self.sheet: Path | None = None
        self._closed = False
        self._writers: dict[str, ExportWriter] = {}
        try:
            for name, exporter in run.exporters.items():
                self._writers[name] = writer_of(exporter, exporter.open(self.exports[name], info))
        except BaseException:
            self.discard()
            raise

    @property
    def steps(self) -> int:
        """How many steps the batches that are not finished take together."""
        return sum(not self.is_finished(batch) for batch in self.run.recipe.batches()) * self.run.batch_steps

    def is_finished(self, batch: Sequence[int]) -> bool:
        """Whether all samples of a batch were there already, but for those that the recipe leaves out."""
        return self.finished.issuperset({*batch} - {*self.run.recipe.dropped})

    def samples(self, on_step: StepHook | None = None) -> Iterator[Sample]:
        """All samples of the run in its order: finished ones are read from their files, the others composed."""
        for batch in self.run.recipe.batches():
            yield from self.batch(batch, on_step)

    def batch(self, batch: Sequence[int], on_step: StepHook | None = None) -> list[Sample]:
        """The samples of a batch of the recipe's, read from their files if all of them are finished.

        Otherwise it is composed as a whole, since a network's last bit may depend on its batch.
        """
        if not self.is_finished(batch):
            return self.run.batch(batch, on_step)
        recipe, made = self.run.recipe, self.run.provenance
        kept = [number for number in batch if number not in recipe.dropped]
        return [replace(self._journal.sample(number, made), draw=recipe.draws.get(number)) for number in kept]

    def add(self, sample: Sample) -> list[Path]:
        """Write a sample that is not finished, and give it to the exporters; returns the files that these finished."""
        self._state_draws()
        if sample.number in self.finished:
            self.pictures.keep(sample)
        else:
            self.pictures.add(sample)
        exported = [path for writer in self._writers.values() for path in paths_of(writer, writer.add(sample))]
        if sample.number not in self.finished:
            self._journal.add(sample)
        return exported

    def close(self) -> list[Path]:
        """Write the sheet and finish the exporters; returns the files that these wrote. Repeated, it does nothing.

        Pictures that an earlier run has left of samples which this one leaves out are removed.
        """
        if self._closed:
            return []
        self._closed = True
        self._state_draws()
        for number in self.run.recipe.dropped:
            self.pictures.remove(number)
        self.sheet = next(iter(self.pictures.close()), None)
        exported = [path for writer in self._writers.values() for path in paths_of(writer, writer.close())]
        self._journal.close()
        return exported

    def _state_draws(self) -> None:
        """Write recipe.json again where samples were drawn again or left out since."""
        if self.run.recipe is not self._stated:
            self.run.recipe.write(self.recipe)
            self._stated = self.run.recipe

    def discard(self) -> None:
        """Let the exporters release what is open, after a failure."""
        for writer in self._writers.values():
            writer.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


def folder_of(exporter: str) -> str:
    """Its own name, unless what we write ourselves is called so, on file systems that ignore case too."""
    return f"{exporter}-export" if exporter.lower() in _OURS else exporter
