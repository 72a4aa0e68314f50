"""Generating a set: the plan, the processes and the folder together."""

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from dmix_core.loading import Loader
from dmix_core.recipe import made_with
from dmix_core.registry import Registry
from dmix_data.generated_set import SampleEntry, SetInfo, entries

from .engines import Engine, Job
from .generate_config import ConfigError, GenerateConfig
from .licences import origins_of
from .making import Maker, stated_rules
from .planning import plan
from .pool import Processes
from .set_folder import SetError, SetFolder
from .sources import sources_of
from .units import Unit
from .verifying import damaged_files

OnUnit = Callable[[Unit], object]
"""Called with each composite, and what belongs to it, once it is committed."""
Shard = tuple[int, int]


@dataclass
class Report:
    """What became of a set.

    Attributes:
        path: its folder.
        samples: how many samples it has.
        made: how many composites were made now.
        repaired: how many files were damaged or missing, and made again.
        flags: how often the checks found what in the samples made now, by its name.
        rejected: how often draws were turned down now, by reason.
    """

    path: Path
    samples: int = 0
    made: int = 0
    repaired: int = 0
    flags: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)

    def add(self, unit: Unit) -> None:
        """Count a unit that was made."""
        self.samples += len(unit.entries)
        self.made += 1
        self.flags.update(flag for entry in unit.entries for flag in entry.flags)
        self.rejected.update(reason for each in unit.rejected for reason in each.reasons)


def generate(
    config: GenerateConfig | None = None,
    *,
    out: str | Path,
    workers: int | None = 1,
    engine: Engine | None = None,
    resume: bool = False,
    shard: Shard = (1, 1),
    registry: Registry | Loader | None = None,
    on_unit: OnUnit | None = None,
    **settings: Any,
) -> Report:
    """Generate a set.

        generate(backgrounds="normal", objects=["defects:blowhole"], n=300, out="set")

    Args:
        config: what to generate; None: made of `settings`, which are the fields of a GenerateConfig.
        out: the folder, new or empty, or with `resume` one of the same settings, whose files are checked first.
        workers: processes; with more than 1 a script guards its start by `if __name__ == "__main__"`. None: as many as
            are usual where the engine works.
        engine: what the workers are, such as `dmix_factory.slurm.Slurm()`; None: processes of this machine.
        shard: (i, n), 1 <= i <= n: make every n-th record from the i-th on; `merge` joins the shards.
        registry: where names come from in this process; workers use everything that is installed.

    Raises:
        DmixError: what is wrong, before anything is composed where that can be known.
    """
    config = config or GenerateConfig.from_data(settings)
    loader = registry if isinstance(registry, Loader) else Loader(registry)
    maker = Maker(config, sources_of(config, loader), loader)
    numbers = numbers_of(config, shard)
    report = Report(Path(out))
    _check_plan(maker, numbers)
    with SetFolder(out, info_of(maker), resume, config.per_record) as folder:
        job, engine = Job(config, maker.sources, folder.path, maker), engine or Processes()
        report.repaired = _repair(job, engine, workers)
        left = _from(numbers, (folder.last + 1) // config.per_record)
        report.samples = (len(numbers) - len(left)) * config.per_record
        with closing(engine.units(job, left, workers)) as units:
            for unit in units:
                folder.commit(unit)
                report.add(unit)
                if on_unit:
                    on_unit(unit)
    return report


def numbers_of(config: GenerateConfig, shard: Shard) -> range:
    """The numbers of a shard's records.

    Raises:
        ConfigError: there is no such shard.
    """
    place, count = shard
    if not 1 <= place <= count:
        raise ConfigError(f"The shard is {place}/{count}; expected I/N with I from 1 to N, such as 2/4.")
    return range(place - 1, config.n, count)


def _check_plan(maker: Maker, numbers: range) -> None:
    """Go through the plan once, which takes no time beside composing, so that boxes without a place are known first."""
    for _ in plan(maker.config, maker.sources, numbers):
        pass


def _from(numbers: range, first: int) -> range:
    """The numbers from `first` on."""
    return numbers[max(0, -((numbers.start - first) // numbers.step)) :]


def info_of(maker: Maker) -> SetInfo:
    """What set.json states of the set."""
    config, sources, loader = maker.config, maker.sources, maker.loader
    models = maker.models
    ours = {"dmix-factory": metadata.version("dmix-factory"), "threads": str(config.threads)}
    made = made_with(loader.registry, models) | ours
    weights = {what: digest for what, digest in made.items() if what.startswith("model ")}
    origins = origins_of(config, sources, models)
    return SetInfo(
        name=config.name,
        classes=config.classes,
        recipe=config.digest(sources=sources.facts(), rules=maker.digest, weights=weights),
        made_with=made,
        source=config.model_dump(mode="json") | {"rules": stated_rules(maker.rules)},
        sources=origins.sources,
        licences=origins.licences,
        real=sources.real,
        samples=config.n * config.per_record,
    )


def _repair(job: Job, engine: Engine, workers: int | None) -> int:
    """Make files again that are missing or damaged, and return how many."""
    damaged = {entry.number: entry for entry in entries(job.folder) if damaged_files(job.folder, entry)}
    files = sum(len(damaged_files(job.folder, entry)) for entry in damaged.values())
    records = dict.fromkeys(number // job.config.per_record for number in damaged)
    if records:
        with closing(engine.units(job, [*records], workers)) as units:
            for unit in units:
                _check_same(unit.entries, damaged)
    return files


def _check_same(made: Iterable[SampleEntry], stated: dict[int, SampleEntry]) -> None:
    for entry in made:
        if entry.number in stated and entry != stated[entry.number]:
            raise SetError(
                f"Sample {entry.number} cannot be made again as its line in the manifest states it: the set was made "
                "by other versions or another kind of machine. Generate it anew in another folder."
            )
