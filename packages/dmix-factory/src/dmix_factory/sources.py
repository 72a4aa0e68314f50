"""What a set is made from: backgrounds with their sizes, and the sizes of objects."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dmix_core.geometry import Box, Size
from dmix_core.image_files import read_pixels
from dmix_core.loading import Loader
from dmix_core.protocols import Denoiser
from dmix_data.options import DataOptions
from dmix_data.readers import read_images

from .bundles import Bundles, bundles_of
from .foreground import foreground_of
from .generate_config import ConfigError, GenerateConfig, ObjectChoice
from .listed import Arrangements, arrangements
from .measured import RealObject, real_objects
from .plan_draws import Draws

FOLDER, ALONE = "folder", "none"
"""Rules of groups: photographs of one folder show one thing, or each stands alone."""
PHOTO = "photo:"
"""With the path of a photograph it is the reference of a model that shows it."""


@dataclass(frozen=True)
class Background:
    """A photograph, or what a model paints.

    Attributes:
        name: the model's reference, or the photograph's path within the folder, with forward slashes.
        model: the reference with which it is composed.
        size: (H, W).
        thing: what it shows, as other photographs may; "": it stands alone.
    """

    name: str
    model: str
    size: Size
    thing: str = ""

    @property
    def path(self) -> str:
        """Of a photograph's file."""
        return self.model.removeprefix(PHOTO)

    @property
    def group(self) -> str:
        """What must not be divided."""
        return self.thing or self.name


@dataclass(frozen=True)
class Sources:
    """What is known of backgrounds and objects before anything is composed.

    Attributes:
        backgrounds: every photograph, or one model.
        real: whether these are photographs.
        sizes: (H, W) of the boxes of each of the config's objects.
        masked: for each of the config's objects, whether its model paints masks.
        multiples: for each of the config's objects, of what its model's grids may be multiples; None: it has one grid.
        roi: (H, W) bool, where boxes may lie; None: everywhere.
        measured: the real objects, where there is data of them.
        listed: the boxes of each background, where they are listed.
    """

    backgrounds: tuple[Background, ...]
    real: bool
    sizes: tuple[Size, ...]
    masked: tuple[bool, ...]
    multiples: tuple[int | None, ...]
    roi: NDArray[np.bool_] | None = None
    measured: tuple[RealObject, ...] = ()
    listed: Arrangements = field(default_factory=dict)

    def facts(self) -> dict[str, object]:
        """What of it decides the set, as JSON has it."""
        return {
            "photographs": [(each.name, *each.size, each.group) for each in self.backgrounds],
            "sizes": self.sizes,
            "multiples": self.multiples,
            "measured": self.measured,
            "listed": {name: [(*each.box, each.class_name) for each in some] for name, some in self.listed.items()},
            "roi": None if self.roi is None else np.packbits(self.roi).tobytes().hex(),
        }


def sources_of(config: GenerateConfig, loader: Loader) -> Sources:
    """Look at what a config names.

    Raises:
        DmixError: a folder without photographs, one that cannot be read, a model that is not there, or boxes that do
            not fit on the backgrounds.
    """
    folder = Path(config.backgrounds)
    real = folder.is_dir() and not (folder / "config.json").is_file()
    backgrounds = _photographs(folder, config.groups) if real else (_model(config, loader),)
    listed = arrangements(config, [each.name for each in backgrounds] if real else ())
    if real and listed:
        backgrounds = tuple(each for each in backgrounds if each.name in listed)
    denoisers = [loader.denoiser(each.model) for each in config.objects]
    models = [*zip(config.objects, denoisers, strict=True)]
    sizes = tuple(_size(*each) for each in models)
    masked = tuple(denoiser.spec.mask_channels > 0 for denoiser in denoisers)
    multiples = tuple(_multiple(*each) for each in models)
    roi = None if config.roi is None else read_pixels(config.roi, 1)[..., 0] > 127
    measured = real_objects(config.real) if config.real else ()
    sources = Sources(backgrounds, real, sizes, masked, multiples, roi, measured, listed)
    _check_shares(config, sources)
    _check_room(config, sources)
    _check_boxes(config, sources)
    for each in backgrounds if config.place == "foreground" else ():
        foreground_of(each.path)
    return sources


def _size(choice: ObjectChoice, denoiser: Denoiser) -> Size:
    if choice.box:
        return Box(*choice.box).size
    return choice.size or denoiser.spec.picture.size


def _multiple(choice: ObjectChoice, denoiser: Denoiser) -> int | None:
    """Of what the sides of a model's grids are multiples, where no size is stated and it has several grids."""
    return None if choice.box or choice.size else getattr(denoiser, "multiple", None)


def _model(config: GenerateConfig, loader: Loader) -> Background:
    reference = config.backgrounds
    for name, asked in (("place", config.place == "foreground"), ("groups", bool(config.groups))):
        if asked:
            raise ConfigError(
                f"{name} is {getattr(config, name)!r}, which is for photographs; {reference!r} is a model. "
                "Expected a folder of photographs as `backgrounds`."
            )
    return Background(reference, reference, loader.denoiser(reference).spec.picture.size)


def _photographs(folder: Path, groups: str | None) -> tuple[Background, ...]:
    """The pictures of a folder in any layout: without masks, and those without objects where the data names them.

    Each is decoded once, so that a damaged one is named before work begins.
    """
    found = []
    for picture in read_images(folder, DataOptions(split="all")):
        name = picture.path.relative_to(folder).as_posix()
        stated = picture.source.group if picture.source else None
        thing = thing_of(name, stated, groups)
        found.append(Background(name, f"{PHOTO}{picture.path.resolve()}", picture.size, thing))
    if groups and groups != ALONE and not any(each.thing for each in found):
        raise ConfigError(
            f"groups is {groups!r}, which is found in none of the {len(found)} photographs, such as {found[0].name!r}. "
            f"Expected {FOLDER!r}, {ALONE!r}, or a regular expression that is found in their paths."
        )
    return tuple(sorted(found, key=lambda background: background.name))


def thing_of(name: str, stated: str | None, groups: str | None) -> str:
    """What a photograph shows, by a rule of `groups`; "": it stands alone.

    Args:
        name: its path within the folder.
        stated: by the layout of the folder.

    Raises:
        ConfigError: the rule is no regular expression.
    """
    if groups is None:
        return stated or ""
    if groups in (ALONE, FOLDER):
        return name.rpartition("/")[0] if groups == FOLDER else ""
    try:
        match = re.search(groups, name)
    except re.error as error:
        raise ConfigError(
            f"groups is {groups!r}, which is no regular expression ({error}). Expected {FOLDER!r}, {ALONE!r} or such "
            "as 'num_([0-9]+)', whose parentheses hold what names the thing."
        ) from error
    return "" if match is None else " ".join(part or "" for part in match.groups()) or match[0]


def _check_room(config: GenerateConfig, sources: Sources) -> None:
    """Refuse a background that is smaller than a box that is to be drawn."""
    sizes = [sources.sizes[number] for number in config.drawn] if config.draws_boxes else [(1, 1)]
    height, width = (max(sides) for sides in zip(*sizes, strict=True))
    for each in sources.backgrounds:
        if each.size[0] < height or each.size[1] < width:
            raise ConfigError(
                f"The background {each.name!r} has {each.size[1]}x{each.size[0]} pixels; expected at least "
                f"{width}x{height}, the size of the objects. Leave it out, or state a smaller `size` of the objects."
            )


def _check_boxes(config: GenerateConfig, sources: Sources) -> None:
    """Refuse a stated box that leaves a background."""
    fixed = [(Box(*each.box), f"of the object {each.model!r}") for each in config.objects if each.box]
    for background in sources.backgrounds:
        lists = [sources.listed.get(background.name, ())] if sources.real else sources.listed.values()
        listed = [(each.box, f"in {config.boxes!r}") for some in lists for each in some]
        for box, where in (*fixed, *listed):
            (height, width), (x, y, w, h) = background.size, box
            if x + w > width or y + h > height:
                raise ConfigError(
                    f"The box {x},{y},{w},{h} {where} leaves the background {background.name!r} of {width}x{height} "
                    "pixels. Expected x, y, width and height of a box within it."
                )


def _check_shares(config: GenerateConfig, sources: Sources) -> None:
    rows, columns = config.share or (1, 1)
    groups = len(bundled(config, sources).sides) if sources.real else -(-config.n // (rows * columns))
    wanted = sum(share > 0 for share in (config.val, config.test)) + 1
    if groups < wanted:
        raise ConfigError(
            f"There are {groups} groups of backgrounds for {wanted} parts of a split; expected at least one for each, "
            "since nothing that is shared stands on two sides. Add photographs, share less, or set val and test to 0."
        )


def bundled(config: GenerateConfig, sources: Sources) -> Bundles:
    """The photographs in the order of their use."""
    order = Draws(config.seed, "backgrounds").shuffled(range(len(sources.backgrounds)))
    rows, _ = config.share or (1, 1)
    return bundles_of([each.group for each in sources.backgrounds], order, rows)
