"""What a set is made from: backgrounds with their sizes, and the sizes of objects."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dmix_core.geometry import Size
from dmix_core.image_files import read_pixels
from dmix_core.loading import Loader
from dmix_data.options import DataOptions
from dmix_data.readers import read_images

from .generate_config import ConfigError, GenerateConfig
from .measured import RealObject, real_objects


@dataclass(frozen=True)
class Background:
    """A photograph, or what a model paints.

    Attributes:
        name: the model's reference, or the photograph's path within the folder, with forward slashes.
        model: the reference with which it is composed.
        size: (H, W).
    """

    name: str
    model: str
    size: Size


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
    """

    backgrounds: tuple[Background, ...]
    real: bool
    sizes: tuple[Size, ...]
    masked: tuple[bool, ...]
    multiples: tuple[int | None, ...]
    roi: NDArray[np.bool_] | None = None
    measured: tuple[RealObject, ...] = ()

    def facts(self) -> dict[str, object]:
        """What of it decides the set, as JSON has it."""
        return {
            "photographs": [(each.name, *each.size) for each in self.backgrounds],
            "sizes": self.sizes,
            "multiples": self.multiples,
            "measured": self.measured,
            "roi": None if self.roi is None else np.packbits(self.roi).tobytes().hex(),
        }


def sources_of(config: GenerateConfig, loader: Loader) -> Sources:
    """Look at what a config names.

    Raises:
        DmixError: a folder without photographs, one that cannot be read, or a model that is not there.
    """
    folder = Path(config.backgrounds)
    found = _photographs(folder) if folder.is_dir() and not (folder / "config.json").is_file() else None
    denoisers = [loader.denoiser(each.model) for each in config.objects]
    sizes = tuple(
        each.size or denoiser.spec.picture.size for each, denoiser in zip(config.objects, denoisers, strict=True)
    )
    masked = tuple(denoiser.spec.mask_channels > 0 for denoiser in denoisers)
    multiples = tuple(
        None if each.size else getattr(denoiser, "multiple", None)
        for each, denoiser in zip(config.objects, denoisers, strict=True)
    )
    roi = None if config.roi is None else read_pixels(config.roi, 1)[..., 0] > 127
    backgrounds = found or (_model(config.backgrounds, loader),)
    real = found is not None
    rows, columns = config.share or (1, 1)
    _check_shares(config, -(-len(backgrounds) // rows) if real else -(-config.n // (rows * columns)))
    _check_room(backgrounds, sizes)
    return Sources(backgrounds, real, sizes, masked, multiples, roi, real_objects(config.real) if config.real else ())


def _model(reference: str, loader: Loader) -> Background:
    return Background(reference, reference, loader.denoiser(reference).spec.picture.size)


def _photographs(folder: Path) -> tuple[Background, ...]:
    """The pictures of a folder in any layout: without masks, and those without objects where the data names them.

    Each is decoded once, so that a damaged one is named before work begins.
    """
    pictures = read_images(folder, DataOptions(split="all"))
    names = [each.path.relative_to(folder).as_posix() for each in pictures]
    found = (
        Background(name, f"photo:{each.path.resolve()}", each.size) for name, each in zip(names, pictures, strict=True)
    )
    return tuple(sorted(found, key=lambda background: background.name))


def _check_room(backgrounds: Sequence[Background], sizes: Sequence[Size]) -> None:
    """Refuse a background that is smaller than a box."""
    height, width = (max(sides) for sides in zip(*sizes, strict=True))
    for each in backgrounds:
        if each.size[0] < height or each.size[1] < width:
            raise ConfigError(
                f"The background {each.name!r} has {each.size[1]}x{each.size[0]} pixels; expected at least "
                f"{width}x{height}, the size of the objects. Leave it out, or state a smaller `size` of the objects."
            )


def _check_shares(config: GenerateConfig, groups: int) -> None:
    wanted = sum(share > 0 for share in (config.val, config.test)) + 1
    if groups < wanted:
        raise ConfigError(
            f"There are {groups} groups of backgrounds for {wanted} parts of a split; expected at least one for each, "
            "since nothing that is shared stands on two sides. Add photographs, share less, or set val and test to 0."
        )
