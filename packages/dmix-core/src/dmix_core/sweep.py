"""Sweeps: one recipe composed under every combination of some settings, from the same noise.

    sweep = Sweep(recipe, [Axis("resamples", (0, 2, 5)), Axis("merge_from", (0.8, 0.9))])
    for cell in sweep:
        print(cell.values, cell.figures()["contrast"])

What differs between two cells is what was swept, since every cell has the recipe's seed and sample numbers.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from statistics import fmean, pstdev
from typing import Any, NamedTuple

from .edits import PLAIN, RecipeEdit
from .errors import RecipeError
from .loading import Loader
from .recipe import Recipe
from .registry import Registry
from .run import Run, StepHook
from .sample import Figures, Sample

MOST_CELLS, MOST_IMAGES = 200, 20_000
"""The most cells of a sweep, and the most images in all of them."""
WALK = ("jump_length", "resamples")
"""Names that are settings of the timestep schedule, whichever is in use."""
NOISE = ("seed", "samples", "batch_size")
"""What is the same in every cell, so that all start from the same noise."""


class Axis(NamedTuple):
    """One thing that a sweep varies.

    Attributes:
        name: a field of a recipe such as "merge_from"; "jump_length" or "resamples"; "merge" for merge rules by name;
            "listen_from.REGION"; or [OWNER.]KEY, a setting of a plugin in use or of a region's model.
        values: from first to last.
    """

    name: str
    values: tuple[Any, ...]

    @property
    def title(self) -> str:
        """The name in plain words, as "merge from" or "listening of blowhole"."""
        before, _, region = self.name.partition(".")
        return f"listening of {region}" if before == "listen_from" else self.name.replace("_", " ")

    def label(self, value: Any) -> str:
        """The name and a value, as "resamples 2"."""
        return f"{self.title} {value}"

    def fields(self, value: Any) -> dict[str, Any]:
        """The fields of a RecipeEdit that set this value."""
        before, dot, rest = self.name.partition(".")
        if self.name == "merge":
            return {"plugins": (value,)}
        if before == "listen_from" and dot:
            return {"listen_from": ((rest, value),)}
        if self.name in WALK:
            return {"timesteps": {self.name: value}}
        if self.name in PLAIN:
            return {self.name: value}
        owner, _, key = self.name.rpartition(".")
        return {"settings": ((owner or None, key, value),)}


class Spread(NamedTuple):
    """A figure over the objects of several samples.

    Attributes:
        mean: None where no object has the figure, as of masks that came out empty.
        deviation: the standard deviation.
        number: how many values these are of.
    """

    mean: float | None
    deviation: float | None
    number: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        if not values:
            return cls(None, None, 0)
        return cls(round(fmean(values), 4), round(pstdev(values), 4), len(values))


@dataclass(frozen=True, eq=False)
class Cell:
    """One combination of values, and what was composed with it.

    Attributes:
        values: by the axes' names.
        recipe: makes the same samples again.
        samples: in the recipe's order.
        seconds: for a sample, of each batch: its time divided by its samples.
    """

    values: Mapping[str, Any]
    recipe: Recipe
    samples: tuple[Sample, ...] = field(repr=False)
    seconds: tuple[float, ...] = field(repr=False)

    def figures(self) -> dict[str, Spread]:
        """Contrast, edge and grain over the objects of all samples, and seconds for a sample over the batches."""
        found = [each.figures for sample in self.samples for each in sample.objects]
        shown = {name: [value for each in found if (value := getattr(each, name)) is not None] for name in _FIGURES}
        return {name: Spread.of(values) for name, values in (shown | {"seconds": [*self.seconds]}).items()}

    def record(self) -> dict[str, Any]:
        """Everything but the images, as JSON has it."""
        return {
            "values": dict(self.values),
            "figures": {name: spread._asdict() for name, spread in self.figures().items()},
            "samples": [sample.facts() for sample in self.samples],
            "recipe": self.recipe.model_dump(mode="json"),
        }


_FIGURES = Figures._fields


class Sweep:
    """Composes a recipe under every combination of the axes' values; the last axis varies fastest.

    An iterable that can be gone through several times; each time it composes anew, and keeps nothing.

    Args:
        recipe: what the axes change; its seed, samples and batch_size are those of every cell, its draws of none.
        axes: with a merge rule among them, each rule has its own defaults unless its settings are swept, too.
        registry: where names come from; None: everything that is installed. Each model is loaded once.

    Raises:
        RecipeError: no axes, an axis without values, two of one name, values that come twice, or too many cells.
        DmixError: a cell that cannot be made or does not fit; all of them are tried before any network is called.
    """

    def __init__(self, recipe: Recipe, axes: Sequence[Axis], registry: Registry | Loader | None = None) -> None:
        self.axes = tuple(Axis(name, tuple(values)) for name, values in axes)
        _check(self.axes, len(recipe.samples))
        loader = registry if isinstance(registry, Loader) else Loader(registry)
        recipe = recipe.model_copy(update={"draws": {}, "dropped": ()})
        self.runs = [self._run(recipe, values, loader) for values in product(*(axis.values for axis in self.axes))]

    def _run(self, recipe: Recipe, values: Sequence[Any], loader: Loader) -> tuple[dict[str, Any], Run]:
        chosen = list(zip(self.axes, values, strict=True))
        where = ", ".join(axis.label(value) for axis, value in chosen)
        edit = RecipeEdit.from_data(_joined([axis.fields(value) for axis, value in chosen]), where)
        return {axis.name: value for axis, value in chosen}, Run(edit.apply(recipe, loader, where), loader)

    def __len__(self) -> int:
        """How many cells it has."""
        return len(self.runs)

    def __iter__(self) -> Iterator[Cell]:
        return self.cells()

    @property
    def steps(self) -> int:
        """How many steps all of its cells take together; a hook is called so often."""
        return sum(run.steps for _, run in self.runs)

    def cells(self, on_step: StepHook | None = None) -> Iterator[Cell]:
        """Compose cell by cell; one step is taken beforehand, so that the first cell's time has no starting up in it.

        Args:
            on_step: called after every step of a cell, as by a Run.
        """
        _, first = self.runs[0]
        next(iter(first.composer.steps(first.recipe.batches()[0], first.recipe.seed)))
        for values, run in self.runs:
            yield _cell(values, run, on_step)


def _cell(values: Mapping[str, Any], run: Run, on_step: StepHook | None) -> Cell:
    samples: list[Sample] = []
    seconds: list[float] = []
    made = run.samples(on_step)
    for batch in run.recipe.batches():
        start = time.perf_counter()
        samples += [next(made) for _ in batch]
        seconds.append((time.perf_counter() - start) / len(batch))
    return Cell(values, run.recipe, tuple(samples), tuple(seconds))


def _joined(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The fields of several edits as those of one: tuples are put together, and so are mappings."""
    joined: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            before = joined.get(name)
            joined[name] = before | value if isinstance(before, dict) else (before or ()) + value if before else value
    return joined


def _check(axes: Sequence[Axis], samples: int) -> None:
    if not axes:
        raise RecipeError("A sweep needs an axis, such as `resamples` with the values 0, 2, 5.")
    for name, values in axes:
        if not values:
            raise RecipeError(f"`{name}` has no values; expected at least one.")
        if any(value in values[:i] for i, value in enumerate(values)):
            raise RecipeError(f"`{name}` has a value twice: {', '.join(map(str, values))}. Expected different ones.")
        if name in NOISE:
            raise RecipeError(f"`{name}` cannot be swept: all cells start from the same noise. Set it in the recipe.")
    names = [axis.name for axis in axes]
    if len({*names}) < len(names):
        raise RecipeError(f"Two axes have one name: {', '.join(names)}. Expected different ones.")
    cells = math.prod(len(axis.values) for axis in axes)
    if cells > MOST_CELLS or cells * samples > MOST_IMAGES:
        raise RecipeError(
            f"{' x '.join(str(len(axis.values)) for axis in axes)} values are {cells} cells, {cells * samples} images; "
            f"expected at most {MOST_CELLS} cells and {MOST_IMAGES} images. Sweep fewer values, or fewer samples."
        )
