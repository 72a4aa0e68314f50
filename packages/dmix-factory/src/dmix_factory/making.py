"""A record of the plan becomes what the set holds of it: composed, cleaned, checked, and drawn again where it fails."""

from dmix_core.edits import ObjectEdit, RecipeEdit
from dmix_core.loading import Loader
from dmix_core.naming import free_name
from dmix_core.recipe import Recipe
from dmix_core.run import samples_of

from .generate_config import GenerateConfig, class_of
from .labels import Cleaning
from .plan_draws import Draws
from .planning import PlanRecord, plan
from .sample_checks import flags_of
from .shots import Shot
from .sources import Sources
from .units import Take, Unit, unit_of


class Maker:
    """Makes what the records of a plan state; models are loaded once, photographs when they are needed and not kept.

    Attributes:
        rules: the recipe that all samples follow, with the first background and a region for each model of objects.

    Raises:
        DmixError: what the config names is not there or does not fit.
    """

    def __init__(self, config: GenerateConfig, sources: Sources, loader: Loader) -> None:
        self.config, self.sources, self.loader = config, sources, loader
        self.rules = rules_of(config, sources, loader)
        self._cleaning = Cleaning(config.min_piece, config.fill_holes)

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
        shot = self._shot(recipe, record).with_clean_masks(self._cleaning, self.sources.real)
        draws = Draws(self.config.seed, record.number, "strength", attempt)
        strength = draws.uniform(*self.config.strength) if self.config.strength else 1.0
        faint = draws.uniform(*self.config.near_miss) if self.config.near_miss else None
        shown = shot.at_strength(strength)
        numbers = range(1, len(record.objects) + 1)
        flags = tuple(flags_of(shown, value, self.config.min_contrast) for value in numbers)
        near_miss = None if faint is None else shot.at_strength(faint).image
        return Take(record, attempt, _portable(recipe, record).digest(), shown, strength, flags, near_miss)

    def recipe(self, record: PlanRecord) -> Recipe:
        """The recipe of a record, which makes its picture alone, with `dmix compose` too."""
        bottom, *models = self.rules.regions
        regions = [bottom.model_copy(update={"model": record.background.model})]
        for z, each in enumerate(record.objects, 1):
            name = free_name(class_of(self.config.objects[each.choice]), [region.name for region in regions])
            changes = {"name": name, "box": tuple(each.box), "z": bottom.z + z}
            regions.append(models[each.choice].model_copy(update=changes))
        size = record.background.size
        return self.rules.model_copy(update={"regions": tuple(regions), "size": size, "seed": record.seed})

    def _shot(self, recipe: Recipe, record: PlanRecord) -> Shot:
        loader = self.loader.branch()
        composer = recipe.composer(loader)
        (sample,) = samples_of(composer, [(0,)], recipe.seed)
        boxes = tuple(each.box for each in record.objects)
        shot = Shot(sample.image, sample.index, boxes, composer.grey)
        if not (self.sources.real or self.config.wants_twin):
            return shot
        alone = recipe.model_copy(update={"regions": recipe.regions[:1]}).composer(loader)
        (twin,) = samples_of(alone, [(0,)], recipe.seed)
        return shot.beside(twin.image)

    def _drawn_again(self, record: PlanRecord, attempt: int) -> PlanRecord:
        return next(plan(self.config, self.sources, range(record.number, record.number + 1), attempt))


def rules_of(config: GenerateConfig, sources: Sources, loader: Loader) -> Recipe:
    """The recipe that all samples follow, with the first background and one region for each model of objects."""
    first, size = sources.backgrounds[0], sources.sizes[0]
    edit = RecipeEdit(
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
    return edit.apply(base, loader.branch(), "the settings of the set").model_copy(update={"exporters": ()})


def _portable(recipe: Recipe, record: PlanRecord) -> Recipe:
    """The recipe with the background by its name, so that its digest does not depend on where photographs lie."""
    bottom, *above = recipe.regions
    named = bottom.model_copy(update={"model": record.background.name})
    return recipe.model_copy(update={"regions": (named, *above)})
