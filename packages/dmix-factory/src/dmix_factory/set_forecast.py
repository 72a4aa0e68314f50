"""What a set will hold and cost, before anything of it is written: `dmix generate --dry-run`."""

import time
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import NamedTuple

import torch

from dmix_core.loading import Loader

from .generate_config import GenerateConfig, class_of
from .generating import Shard, numbers_of
from .licences import origins_of
from .making import Maker
from .planning import PlanRecord, plan
from .sources import sources_of


@dataclass
class Forecast:
    """What is planned; the plan is gone through record by record, and only counts are kept.

    Attributes:
        composites, samples: how many; twins and near-misses are samples too.
        splits, backgrounds: composites by their side, and by their background.
        classes: planned objects by their class; where samples are drawn several times, those of the first draw.
        groups: how many there are that must not be divided.
        calls: network calls for one region of one sample each, in one process; where rejected samples are drawn again,
            these come on top.
        seconds: of one process for all of it, by one sample that was made.
    """

    composites: int = 0
    samples: int = 0
    splits: Counter[str] = field(default_factory=Counter)
    backgrounds: Counter[str] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)
    groups: int = 0
    calls: int = 0
    seconds: float = 0.0


def forecast(config: GenerateConfig, shard: Shard = (1, 1), loader: Loader | None = None) -> Forecast:
    """Go through a plan, and make one sample of it, which is not kept.

    Raises:
        DmixError: as `generate` would, before it composes anything.
    """
    loader = loader or Loader()
    maker = Maker(config, sources_of(config, loader), loader)
    origins_of(config, maker.sources, maker.models)
    found, groups, first = Forecast(), set[str](), None
    counter: _Calls | None = None
    for record in plan(config, maker.sources, numbers_of(config, shard)):
        first = first or record
        counter = counter or _Calls(maker, record)
        found.composites += 1
        found.samples += config.per_record
        found.splits[record.split] += 1
        found.backgrounds[record.background.name] += 1
        found.classes.update(class_of(config.objects[each.choice]) for each in record.objects)
        found.calls += counter.of(record)
        groups.add(record.group)
    found.groups = len(groups)
    if first and counter:
        alone = replace(first, states=())
        per_call = _seconds(maker, alone) / max(1, counter.of_one_draw(alone))
        found.seconds = per_call * max(found.calls, found.composites)
    return found


def _seconds(maker: Maker, record: PlanRecord) -> float:
    """For one sample in one process, once it has warmed up."""
    before = torch.get_num_threads()
    torch.set_num_threads(maker.config.threads)
    try:
        maker.take(record)
        start = time.perf_counter()
        maker.take(record)
        return time.perf_counter() - start
    finally:
        torch.set_num_threads(before)


class _Steps(NamedTuple):
    """Network calls of a region: before it looks at others, and from then on."""

    alone: int
    together: int


class _Calls:
    """Counts the network calls of records in the order of the plan, of which those of a block share states."""

    def __init__(self, maker: Maker, record: PlanRecord) -> None:
        self.config = maker.config
        composer = maker.recipe(record).composer(maker.loader.branch())
        down = [later < earlier for earlier, later in pairwise(composer.walk)]
        self.steps = _Steps(sum(down[: composer.meets_at]), sum(down[composer.meets_at :]))
        self.background = not composer.regions[0].denoiser.spec.still
        self.twins = self.background and maker.makes_twins
        models = (maker.loader.denoiser(each.model) for each in maker.config.objects)
        self.moving = [not model.spec.still for model in models]
        self._block, self._known = -1, set[str]()

    def of(self, record: PlanRecord) -> int:
        """Of a record, with all draws of which the best is kept."""
        again = replace(record, states=(*record.states[:1], "again")) if record.states else record
        return self.of_one_draw(record) + (self.config.best_of - 1) * self.of_one_draw(again)

    def of_one_draw(self, record: PlanRecord) -> int:
        """Of one composition of a record, and of its twin."""
        objects = sum(self.moving[each.choice] for each in record.objects)
        regions = objects + self.background + self.twins
        if not record.states:
            return regions * sum(self.steps)
        new = self._is_new(record.block, f"below {record.states[0]}") * self.background
        new += self._is_new(record.block, record.states[1]) * objects
        return new * self.steps.alone + regions * self.steps.together

    def _is_new(self, block: int, state: str) -> bool:
        if block != self._block:
            self._block, self._known = block, set()
        known = state in self._known
        self._known |= {state} - {"again"}
        return not known
