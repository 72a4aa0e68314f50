"""What is asked back where an edit leaves open what is meant."""

from .errors import DmixError, RecipeError
from .loading import Loader
from .offers import listed
from .recipe import Recipe

PAPER = {"T": "steps", "tau": "jump_length", "r": "resamples"}
"""The paper's symbols, and the fields or settings that they are here."""


def check_objects_asked_for(background: str, recipe: Recipe, loader: Loader) -> None:
    """A photograph needs objects; which, nobody but the user knows.

    Args:
        background: the bottom region's model as it was typed.

    Raises:
        RecipeError: the bottom region is a photograph.
    """
    if not recipe.regions[0].region(loader, recipe.compute(loader.registry)).denoiser.spec.still:
        return
    models = object_models(loader)
    example = models[0] if models else "FOLDER"
    raise RecipeError(
        f"`background` {background}: a photograph alone would come out as it is. What is to be put into it? Give an "
        f"object model: `objects` {example} for the middle, or `objects` {example}@X,Y,WIDTH,HEIGHT for a box. "
        f"Installed object models: {listed(models)}; the folder of one that you trained will do, too."
    )


def object_models(loader: Loader) -> list[str]:
    """All installed models that predict a mask with their picture, as they are typed; none that need a path."""
    return [reference for reference in loader.registry.references() if _is_object_model(reference, loader)]


def _is_object_model(reference: str, loader: Loader) -> bool:
    try:
        spec = loader.denoiser(reference).spec
    except DmixError:  # it needs an argument, or a library that is missing
        return False
    return bool(spec.mask_channels) and not spec.still
