"""What a composer will do that its user may not have meant, known before it runs.

Each notice states a fact and what to do instead. The fields of a RecipeEdit stand in `backticks`, as in its errors: a
command line puts its options in their places.
"""

from collections.abc import Iterator

import torch

from .composer import Composer
from .composition import alone
from .devices import dtype_of
from .geometry import Size
from .pace import seconds_of_calls
from .protocols import Layer, Region

WITHOUT_BFLOAT16 = ("NO AVX", "DEFAULT", "AVX2")
"""What torch.backends.cpu.get_cpu_capability() returns for processors that have no instructions for bfloat16."""

NOTICED = 1.1
"""So many times as long must steps take in bfloat16 before it is told; what is less may be chance."""


def notices(composer: Composer, samples: int = 1) -> list[str]:
    """One text for each thing to know beforehand; none where everything is drawn at its own scale, with masks.

    Args:
        samples: how many run together, with which the pace of bfloat16 is measured.
    """
    return [
        *_background(composer),
        *_enlarged(composer),
        *_without_masks(composer),
        *_listening(composer),
        *_arithmetic(composer, samples),
    ]


def _background(composer: Composer) -> Iterator[str]:
    """The bottom region, where the canvas is not of its size."""
    region = composer.regions[0]
    grid, size, spec = region.denoiser.spec.picture.size, region.place.size, region.denoiser.spec
    if spec.still and grid != size:
        yield (
            f"The photograph {region.name!r} of {_pixels(grid)} pixels is resized to {_pixels(size)}. Without `size` "
            "its pixels stay as they are."
        )
    elif factors := _enlargement(grid, size):
        remedy = "" if spec.codec else _panorama(region.name, grid, size)
        yield (
            f"{region.name!r} paints {_pixels(grid)} pixels and is stretched over {_pixels(size)}: "
            f"{factors}, and its texture with it.{remedy}"
        )


def _panorama(name: str, grid: Size, size: Size) -> str:
    """What paints a larger canvas at the model's own scale, where one that is no smaller in any direction is asked for.

    The wrapper is one of dmix-multidiffusion.
    """
    if size[0] < grid[0] or size[1] < grid[1]:
        return ""
    sides = zip(("height", "width"), grid, size, strict=True)
    settings = " ".join(f"`settings` panorama.{side}={wanted}" for side, own, wanted in sides if wanted != own)
    return (
        f" A panorama keeps its scale: `wraps` {name}=panorama {settings} in the place of `size` (with the plugin "
        "dmix-multidiffusion)."
    )


def _enlarged(composer: Composer) -> Iterator[str]:
    """Objects in boxes that are larger than what their models paint."""
    for region in composer.regions[1:]:
        grid, place = region.denoiser.spec.picture.size, region.place
        if factors := _enlargement(grid, place.size):
            yield (
                f"{region.name!r} paints {_pixels(grid)} pixels and is enlarged to its box of {_pixels(place.size)}: "
                f"{factors}, and so smoother than its surroundings. A box of {_pixels(grid)} keeps its scale, such as "
                f"{place.x},{place.y},{grid[1]},{grid[0]}."
            )


def _without_masks(composer: Composer) -> Iterator[str]:
    """Objects with masks that the merge rule would give no pixel, even if they filled their boxes."""
    rule = type(composer.merge).__name__
    for region in composer.regions[1:]:
        if region.denoiser.spec.mask_channels and not _owns_something(region, composer):
            yield (
                f"The masks of {region.name!r} will be empty: by the merge rule {rule} it has the larger share of no "
                "pixel, even where it fills its box. `plugins` hard-mask gives each pixel to one region."
            )


def _owns_something(region: Region, composer: Composer) -> bool:
    height, width = region.place.size
    image = torch.zeros(1, region.denoiser.spec.picture.image_channels, height, width, device=composer.device)
    filled = Layer(image, torch.ones_like(image[:, :1]))
    return bool((alone(filled, region.place, composer.size, composer.merge) > 0.5).any())


def _listening(composer: Composer) -> Iterator[str]:
    """Objects of one model of which some have a fraction of their own to listen from, and some have none."""
    heard = [region for region in composer.regions[1:] if region.listen_from is not None]
    for region in composer.regions[1:]:
        like = [other for other in heard if other.denoiser is region.denoiser]
        if region.listen_from is None and like:
            yield (
                f"{like[0].name!r} takes in the others from {like[0].listen_from:g} on, but {region.name!r}, of the "
                f"same model, from {composer.merge_from:g} on. Each is named by itself: `listen_from` "
                f"{region.name}={like[0].listen_from:g}."
            )


def _arithmetic(composer: Composer, samples: int) -> Iterator[str]:
    """bfloat16 on a processor that has no instructions for it, or is slower in it all the same."""
    denoisers = [region.denoiser for region in composer.regions if not region.denoiser.spec.still]
    coarse = [each for each in denoisers if dtype_of(each) is torch.bfloat16]
    if composer.device.type != "cpu" or not coarse:
        return
    capability = torch.backends.cpu.get_cpu_capability()
    if capability in WITHOUT_BFLOAT16:
        yield (
            f"This processor ({capability}) has no instructions for bfloat16, which is several times slower on it than "
            "`dtype` float32."
        )
    elif (seconds := seconds_of_calls(coarse, samples)) and (pace := seconds.float32 / seconds.bfloat16) < 1 / NOTICED:
        yield (
            f"bfloat16 is {pace:.2g} times as fast as float32 with these networks on this processor "
            f"({1000 * seconds.bfloat16:.3g} ms a step, and {1000 * seconds.float32:.3g}). Leave `dtype` out."
        )


def _enlargement(grid: Size, size: Size) -> str:
    """How many times larger a size is than the grid, in words; "" where no side is."""
    height, width = (side / own for side, own in zip(size, grid, strict=True))
    if height == width:
        return f"{width:.3g} times" if width > 1 else ""
    larger = [f"{times:.3g} times in {side}" for side, times in (("width", width), ("height", height)) if times > 1]
    return " and ".join(larger)


def _pixels(size: Size) -> str:
    return f"{size[1]}x{size[0]}"
