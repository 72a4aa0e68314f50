"""A record of the plan becomes a sample: a recipe, a picture, a mask and a line of the manifest."""

import hashlib
from dataclasses import dataclass, field

from dmix_core.edits import ObjectEdit, RecipeEdit
from dmix_core.images import index_picture, png_bytes
from dmix_core.loading import Loader
from dmix_core.naming import free_name
from dmix_core.recipe import Recipe, RegionRecipe
from dmix_core.run import samples_of
from dmix_core.sample import Sample, SampleObject
from dmix_data.generated_set import ObjectEntry, SampleEntry

from .generate_config import GenerateConfig, class_of
from .planning import PlannedObject, PlanRecord
from .sources import Background, Sources


@dataclass(frozen=True)
class Made:
    """A finished sample: its line of the manifest, and the content of its files by their paths in the set."""

    entry: SampleEntry
    files: dict[str, bytes] = field(repr=False)


class Maker:
    """Makes the samples of a plan; models are loaded once, photographs when they are needed and not kept.

    Raises:
        DmixError: what the config names is not there or does not fit.
    """

    def __init__(self, config: GenerateConfig, sources: Sources, loader: Loader) -> None:
        self.config, self.sources, self.loader = config, sources, loader
        self.rules = rules_of(config, sources, loader)

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

    def make(self, record: PlanRecord) -> Made:
        """The finished sample of a record.

        Raises:
            DmixError: its photograph cannot be read any more, or a model fails.
        """
        recipe = self.recipe(record)
        composer = recipe.composer(self.loader.branch())
        (sample,) = samples_of(composer, [(0,)], recipe.seed)
        name = f"{record.number:06d}.png"
        files = {
            f"images/{name}": png_bytes(sample.image, grey=composer.grey),
            f"masks/{name}": png_bytes(index_picture(sample.index)),
        }
        return Made(self._entry(record, sample, _portable(recipe, record.background), files), files)

    def _entry(self, record: PlanRecord, sample: Sample, recipe: Recipe, files: dict[str, bytes]) -> SampleEntry:
        image, mask = files
        objects = zip(record.objects, sample.objects, strict=True)
        return SampleEntry(
            number=record.number,
            image=image,
            mask=mask,
            width=sample.size[1],
            height=sample.size[0],
            objects=tuple(self._object(value, *each) for value, each in enumerate(objects, 1)),
            background=record.background.name,
            group=record.group,
            split=record.split,
            seed=record.seed,
            recipe=recipe.digest(),
            sha256={path: hashlib.sha256(data).hexdigest() for path, data in files.items()},
        )

    def _object(self, value: int, planned: PlannedObject, shown: SampleObject) -> ObjectEntry:
        choice = self.config.objects[planned.choice]
        return ObjectEntry(
            class_name=class_of(choice),
            value=value,
            box=shown.box and tuple(shown.box),
            area=int(shown.shown.sum()),
            asked=tuple(planned.box),
            model=choice.model,
            **shown.figures._asdict(),
        )


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


def _portable(recipe: Recipe, background: Background) -> Recipe:
    """The recipe with the background by its name, so that its digest does not depend on where photographs lie."""
    bottom, *above = recipe.regions
    named: RegionRecipe = bottom.model_copy(update={"model": background.name})
    return recipe.model_copy(update={"regions": (named, *above)})
