"""A record of the plan becomes what the set holds of it: composed, cleaned, checked, and drawn again where it fails."""

from collections import deque
from collections.abc import Iterator

from dmix_core.checks import check_objects
from dmix_core.composer import Composer
from dmix_core.edits import ObjectEdit, RecipeEdit
from dmix_core.geometry import Size
from dmix_core.loading import Loader
from dmix_core.naming import free_name
from dmix_core.protocols import Denoiser
from dmix_core.recipe import Choice, Recipe, RegionRecipe
from dmix_core.sample import Sample
from dmix_core.walker import Begun

from .generate_config import GenerateConfig, class_of
from .labels import Cleaning
from .measured import LONGEST, usual_traits
from .plan_draws import Draws
from .planning import PlannedObject, PlanRecord, plan
from .sample_checks import flags_of
from .shots import Shot
from .sources import Background, Sources
from .units import Take, Unit, unit_of

MARGIN = 2
"""Pixels of a model's grid along the inner sides of a box that objects keep free."""


class Maker:
    """Makes what the records of a plan state; models are loaded once, photographs when they are needed and not kept.

    Attributes:
        rules: the recipe that all samples follow, with the first background and a region for each model of objects.

    Raises:
        DmixError: what the config names is not there or does not fit.
    """

    def __init__(self, config: GenerateConfig, sources: Sources, loader: Loader) -> None:
        self.config, self.sources, self.loader = config.completed(sources.real), sources, loader
        self.rules = rules_of(config, sources, loader)
        compute = self.rules.compute(loader.registry)
        painting = self.rules.regions[sources.real :]
        made = [region.region(loader, compute) for region in painting]  # kept, so that no sample loads them again
        check_objects(made[not sources.real :])
        self._usual = [usual_traits(sources.measured, class_of(each)) for each in config.objects]
        self._states = _States()
        self._cleaning = Cleaning(config.min_piece, config.fill_holes)

    @property
    def digest(self) -> str:
        """Of the rules, wherever photographs lie."""
        return _named(self.rules, self.sources.backgrounds[0]).digest()

    @property
    def models(self) -> dict[str, Denoiser]:
        """The denoisers of the set by their references, without photographs."""
        painting = () if self.sources.real else (self.config.backgrounds,)
        references = (*painting, *(each.model for each in self.config.objects))
        return {model: self.loader.denoiser(model) for model in references}

    @property
    def makes_twins(self) -> bool:
        """Whether each composite's background is composed alone, too."""
        return self.sources.real or self.config.wants_twin

    def make(self, record: PlanRecord) -> Unit:
        """The finished samples of a record.

        Raises:
            DmixError: its photograph cannot be read any more, or a model fails.
        """
        takes: list[Take] = []
        for attempt in range(self.config.attempts):
            takes.append(self.take(self._drawn_again(record, attempt) if attempt else record, attempt))
            if self.config.reject and not takes[-1].reasons:
                break
        return unit_of(self.config, self.sources.real, takes)

    def take(self, record: PlanRecord, attempt: int = 0) -> Take:
        """One composition of a record."""
        recipe = self.recipe(record)
        shot = self._shot(recipe, record)
        draws = Draws(self.config.seed, record.number, "strength", attempt)
        strength = draws.uniform(*self.config.strength) if self.config.strength else 1.0
        faint = draws.uniform(*self.config.near_miss) if self.config.near_miss else None
        stronger = shot.at_strength(strength)
        painted = self._clean(stronger)
        least = self.config.visible_change
        shown = self._clean(stronger.with_visible_labels(least, self.sources.real)) if least else painted
        flags = tuple(self._flags(painted, shown, record))
        near_miss = None if faint is None else self._clean(shot).at_strength(faint).image
        return Take(record, attempt, _named(recipe, record.background).digest(), shown, strength, flags, near_miss)

    def _flags(self, painted: Shot, shown: Shot, record: PlanRecord) -> Iterator[tuple[str, ...]]:
        """Of each object as its model painted it, and whether anything of it shows.

        Not of its label: what shows of a faint object may be in pieces, for which it should not be turned down.
        """
        for value, each in enumerate(record.objects, 1):
            hidden = not shown.shown(value).any()
            usual = self._usual[each.choice]
            yield ("empty",) if hidden else flags_of(painted, value, self.config.min_contrast, usual)

    def _clean(self, shot: Shot) -> Shot:
        return shot.with_clean_masks(self._cleaning, self.sources.real)

    def recipe(self, record: PlanRecord) -> Recipe:
        """The recipe of a record, which makes its picture alone, with `dmix compose` too.

        Noise derives from the seed and the names of regions: those of a shared state have the same ones.
        """
        bottom, *models = self.rules.regions
        of_background, of_objects = (f"-{state}" for state in record.states) if record.states else ("", "")
        size = record.background.size
        regions = [bottom.model_copy(update={"name": bottom.name + of_background, "model": record.background.model})]
        for z, each in enumerate(record.objects, 1):
            name = class_of(self.config.objects[each.choice]) + of_objects
            name = free_name(name, [region.name for region in regions])
            model = models[each.choice]
            changes = {"name": name, "box": tuple(each.box), "z": bottom.z + z}
            changes |= self._grid(each, model) | self._kept_inside(each, model, size)
            regions.append(model.model_copy(update=changes))
        return self.rules.model_copy(update={"regions": tuple(regions), "size": size, "seed": record.seed})

    def _grid(self, planned: PlannedObject, model: RegionRecipe) -> dict[str, object]:
        """A model that can paint its box at its own scale does so."""
        multiple, size = self.sources.multiples[planned.choice], planned.box.size
        own = self.loader.denoiser(self.config.objects[planned.choice].model).spec.picture.size
        longer = all(mine <= side <= LONGEST * mine for side, mine in zip(size, own, strict=True))
        if self.config.share or not multiple or not longer or size == own or any(side % multiple for side in size):
            return {}
        return {"settings": model.settings | {"grid": f"{planned.box.width}x{planned.box.height}"}}

    def _kept_inside(self, planned: PlannedObject, model: RegionRecipe, canvas: Size) -> dict[str, object]:
        """A wrapper by which no object crosses a side of its box, but where the canvas ends.

        What is shared does not depend on where the box lies, so that it crosses none.
        """
        if not self.sources.masked[planned.choice]:
            return {}
        (height, width), box = canvas, planned.box
        inner = box.x > 0, box.y > 0, box.x + box.width < width, box.y + box.height < height
        sides = zip(("left", "top", "right", "bottom"), inner, strict=True)
        margins = {side: MARGIN * (free or self.config.share is not None) for side, free in sides}
        return {"wrap": (*model.wrap, Choice(use="inside", settings=margins))}

    def _shot(self, recipe: Recipe, record: PlanRecord) -> Shot:
        loader = self.loader.branch()
        composer = recipe.composer(loader)
        alone = _background_of(recipe) if record.states else recipe.model_copy(update={"regions": recipe.regions[:1]})
        begun = self._states.begun(record, alone.composer(loader), composer) if record.states else None
        sample = _finished(composer, recipe.seed, begun)
        boxes = tuple(each.box for each in record.objects)
        shot = Shot(sample.image, sample.index, boxes, composer.grey)
        if not self.makes_twins:
            return shot
        return shot.beside(_finished(alone.composer(loader), recipe.seed, begun).image)

    def _drawn_again(self, record: PlanRecord, attempt: int) -> PlanRecord:
        return next(plan(self.config, self.sources, range(record.number, record.number + 1), attempt))


class _States:
    """The states of a block that are denoised so far."""

    def __init__(self) -> None:
        self._block, self._known = -1, dict[str, Begun]()

    def begun(self, record: PlanRecord, alone: Composer, composer: Composer) -> dict[str, Begun]:
        """The states of a record's regions; the background goes first, so that it never shares a batch with objects."""
        if record.block != self._block:
            self._block, self._known = record.block, {}
        seed = record.seed
        begun = composer.begin([0], seed, alone.begin([0], seed, self._known))
        self._known = begun
        return begun


def _background_of(recipe: Recipe) -> Recipe:
    """The background alone; it is denoised as far as the composite's regions go before any of them listens."""
    starts = (recipe.merge_from if each.listen_from is None else each.listen_from for each in recipe.regions)
    bottom = recipe.regions[0].model_copy(update={"listen_from": min(starts)})
    return recipe.model_copy(update={"regions": (bottom,)})


def _finished(composer: Composer, seed: int, begun: dict[str, Begun] | None) -> Sample:
    last = deque(composer.steps([0], seed, begun), maxlen=1).pop()
    (sample,) = composer.finish(last).samples([0])
    return sample


def rules_of(config: GenerateConfig, sources: Sources, loader: Loader) -> Recipe:
    """The recipe that all samples follow, with the first background and one region for each model of objects."""
    first, size = sources.backgrounds[0], sources.sizes[0]
    edit = RecipeEdit(
        preset=config.followed,
        background=first.model,
        objects=tuple(ObjectEdit(each.model, (0, 0, size[1], size[0])) for each in config.objects),
        plugins=config.plugins,
        timesteps=config.timesteps,
        steps=config.steps,
        merge_from=config.merge_from,
        samples=(0,),
        batch_size=1,
        device=config.device,
    )
    base = Recipe.read(config.recipe) if config.recipe else None
    rules = edit.apply(base, loader.branch(), "the settings of the set").model_copy(update={"exporters": ()})
    return _listening(_cut_at(rules, config.threshold), config.listen_from)


def _cut_at(rules: Recipe, threshold: float | None) -> Recipe:
    """With the threshold of masks, where one is stated."""
    if threshold is None:
        return rules
    merge = rules.merge.model_copy(update={"settings": rules.merge.settings | {"threshold": threshold}})
    return rules.model_copy(update={"merge": merge})


def _listening(rules: Recipe, start: float | None) -> Recipe:
    """With when objects begin to take in what is around them, where it is stated."""
    if start is None:
        return rules
    bottom, *above = rules.regions
    heard = (region.model_copy(update={"listen_from": start}) for region in above)
    return rules.model_copy(update={"regions": (bottom, *heard)})


def stated_rules(rules: Recipe) -> dict[str, object]:
    """What the samples of a set follow, by its values."""
    heard = {region.listen_from for region in rules.regions[1:]}
    fields = {"steps", "timesteps", "stepper", "merge", "merge_from", "others", "seams", "dtype"}
    return rules.model_dump(mode="json", include=fields) | {"listen_from": next(iter(heard))}


def _named(recipe: Recipe, background: Background) -> Recipe:
    """The recipe with the background by its name, so that its digest does not depend on where photographs lie."""
    bottom, *above = recipe.regions
    named = bottom.model_copy(update={"model": background.name})
    return recipe.model_copy(update={"regions": (named, *above)})
