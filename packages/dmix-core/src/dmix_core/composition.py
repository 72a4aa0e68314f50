"""What a composition gives: the image, and for every region its own image, masks and boxes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from .exporters import RunInfo
from .geometry import Box
from .images import index_picture, to_picture
from .output import Pictures
from .protocols import Layer, Merged, MergeRule, Region
from .region import is_grey
from .sample import Provenance, Sample, SampleObject, figures


@dataclass(frozen=True, eq=False)
class RegionResult:
    """What became of one region.

    Attributes:
        name: the region's.
        image: (B, C, H, W), its own clean prediction laid on the canvas, hidden parts included.
        visible: (B, 1, H, W) bool, the pixels that it owns in the image.
        amodal: (B, 1, H, W) bool, the pixels that it would own if nothing lay above it.
        boxes: for each sample the tight box of `visible`, None where nothing of it shows.
    """

    name: str
    image: Tensor
    visible: Tensor
    amodal: Tensor
    boxes: tuple[Box | None, ...]

    def of_sample(self, row: int, image: Tensor) -> SampleObject:
        """What became of the region in one sample of the batch, whose image (C, H, W) is given."""
        height, width = image.shape[-2:]
        visible, amodal, box = self.visible[row, 0], self.amodal[row, 0], self.boxes[row]
        window = Box(0, 0, width, height)
        return SampleObject(self.name, window.size, window, visible, amodal, box, figures(image, visible, box))

    @staticmethod
    def joined(parts: "Sequence[RegionResult]") -> "RegionResult":
        """The batches of one region as one batch."""
        image, visible, amodal = map(torch.cat, zip(*((part.image, part.visible, part.amodal) for part in parts)))
        return RegionResult(parts[0].name, image, visible, amodal, tuple(box for part in parts for box in part.boxes))


@dataclass(frozen=True, eq=False)
class Composition:
    """A finished composition.

    Attributes:
        image: (B, C, H, W) in [-1, 1].
        index: (B, H, W) uint8, which region owns the pixel: 0 for the bottom one.
        regions: from bottom to top.
        grey: whether every region paints grey, so that pictures of the image are grey.
    """

    image: Tensor
    index: Tensor
    regions: tuple[RegionResult, ...]
    grey: bool = False

    def __len__(self) -> int:
        """B, the number of samples."""
        return len(self.index)

    def __repr__(self) -> str:
        height, width = self.index.shape[-2:]
        names = ", ".join(region.name for region in self.regions)
        return f"<Composition of {len(self)} {width}x{height} images: {names}>"

    @property
    def images(self) -> list[Image.Image]:
        """The images as pictures, RGB or grey."""
        return [to_picture(image, grey=self.grey) for image in self.image]

    @property
    def masks(self) -> list[Image.Image]:
        """The indices as palette pictures: a pixel holds the number of the region that owns it, 0 for the bottom."""
        return [index_picture(index) for index in self.index]

    def samples(self, numbers: Sequence[int] = (), provenance: Provenance | None = None) -> Iterator[Sample]:
        """The samples one by one; without numbers they are counted from 0."""
        for row, number in enumerate(numbers or range(len(self))):
            objects = tuple(region.of_sample(row, self.image[row]) for region in self.regions[1:])
            yield Sample(number, self.image[row], self.index[row], objects, provenance or Provenance())

    def save(self, folder: str | Path) -> Path:
        """Write images/, masks/, overlays/ and amodal/, and sheet.png for several samples; returns the folder.

        Raises:
            WriteError: the folder cannot be written to.
        """
        height, width = self.index.shape[-2:]
        names = tuple(region.name for region in self.regions)
        run = RunInfo((height, width), names, range(len(self)), self.grey)
        with Pictures().open(Path(folder), run) as writer:
            for sample in self.samples():
                writer.add(sample)
        return Path(folder)

    @staticmethod
    def joined(parts: "Sequence[Composition]") -> "Composition":
        """The batches of one composition as one batch."""
        first, *more = parts
        if not more:
            return first
        regions = tuple(map(RegionResult.joined, zip(*(part.regions for part in parts))))
        image, index = torch.cat([part.image for part in parts]), torch.cat([part.index for part in parts])
        return Composition(image, index, regions, first.grey)


def finish(regions: Sequence[Region], layers: Sequence[Layer], merged: Merged, merge: MergeRule) -> Composition:
    """Read off the last merge who owns what: at each pixel the region of largest weight."""
    index = merged.weights.argmax(0)[:, 0].to(torch.uint8)
    results = [_result(i, region.name, layer, index, merge) for i, (region, layer) in enumerate(zip(regions, layers))]
    return Composition(merged.canvas, index, tuple(results), all(map(is_grey, regions)))


def _result(i: int, name: str, layer: Layer, index: Tensor, merge: MergeRule) -> RegionResult:
    visible = (index == i)[:, None]
    empty = Layer(torch.zeros_like(layer.image), torch.ones_like(layer.matte))
    alone = merge([empty, layer], 1.0).weights[1]
    return RegionResult(name, layer.image, visible, visible | (alone >= 0.5), tuple(map(tight_box, visible[:, 0])))


def tight_box(mask: Tensor) -> Box | None:
    """The smallest box around a mask (H, W) bool; None if it is empty."""
    rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
    if not len(rows):
        return None
    top, left = int(rows[0]), int(columns[0])
    return Box(left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top)
