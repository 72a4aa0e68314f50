"""Generating a set: the plan, the processes and the folder together."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dmix_core.loading import Loader
from dmix_core.recipe import made_with
from dmix_core.registry import Registry
from dmix_data.generated_set import SampleEntry, SetInfo

from .generate_config import GenerateConfig
from .making import Maker
from .planning import plan
from .pool import written
from .set_folder import SetFolder
from .sources import sources_of

OnSample = Callable[[SampleEntry], object]
"""Called with each sample once it is committed."""


@dataclass
class Report:
    """What became of a set.

    Attributes:
        path: its folder.
        samples: how many it has.
        made: how many of them were made now.
        flags: how often the checks found what, by its name.
    """

    path: Path
    samples: int = 0
    made: int = 0
    flags: Counter[str] = field(default_factory=Counter)


def generate(
    config: GenerateConfig | None = None,
    *,
    out: str | Path,
    workers: int = 1,
    resume: bool = False,
    registry: Registry | Loader | None = None,
    on_sample: OnSample | None = None,
    **settings: Any,
) -> Report:
    """Generate a set.

        generate(backgrounds="normal", objects=["blowhole"], n=300, out="set")

    Args:
        config: what to generate; None: made of `settings`, which are the fields of a GenerateConfig.
        out: the folder, new or empty, or with `resume` one of the same settings.
        workers: processes; with more than 1 a script guards its start by `if __name__ == "__main__"`.
        registry: where names come from in this process; workers use everything that is installed.

    Raises:
        DmixError: what is wrong, before anything is composed where that can be known.
    """
    config = config or GenerateConfig.from_data(settings)
    loader = registry if isinstance(registry, Loader) else Loader(registry)
    sources = sources_of(config, loader)
    maker = Maker(config, sources, loader)
    report = Report(Path(out))
    with SetFolder(out, info_of(maker), resume) as folder:
        report.samples = folder.last + 1
        records = plan(config, sources, range(folder.last + 1, config.n))
        for entry in written(maker, records, folder.path, workers):
            folder.commit(entry)
            report.samples += 1
            report.made += 1
            report.flags.update(entry.flags)
            if on_sample:
                on_sample(entry)
    return report


def info_of(maker: Maker) -> SetInfo:
    """What set.json states of the set."""
    config, sources, loader = maker.config, maker.sources, maker.loader
    models = {each.model: loader.denoiser(each.model) for each in config.objects}
    made = made_with(loader.registry, models) | {"threads": str(config.threads)}
    return SetInfo(
        name=config.name,
        classes=config.classes,
        recipe=config.digest(sources=sources.facts(), rules=maker.rules.digest()),
        made_with=made,
        source=config.model_dump(mode="json"),
        real=sources.real,
    )
