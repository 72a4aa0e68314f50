"""What a composition gives: the image, and for every region its own image, masks and boxes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from .exporters import RunInfo
from .geometry import Box, Size, moved
from .images import index_picture, to_picture
from .meeting import Canvas, Meeting
from .output import Pictures
from .protocols import Layer, LocalMergeRule, MergeRule
from .region import is_grey
from .returned import merged_of
from .sample import Provenance, Sample, SampleObject, figures


@dataclass(frozen=True, eq=False)
class RegionResult:
    """What became of one region; it is kept in a window of the canvas, and laid on all of it when it is asked for.

    Attributes:
        name: the region's.
        size: (H, W) of the canvas.
        window: the part of the canvas outside of which there is nothing of the region.
        painted: (B, C, *window.size), its own clean prediction, hidden parts included.
        shown: (B, 1, *window.size) bool, the pixels that it owns in the image.
        whole: (B, 1, *window.size) bool, the pixels that it would own if nothing lay above it.
        boxes: for each sample the tight box of what is shown, None where nothing of it shows.
    """

    name: str
    size: Size
    window: Box
    painted: Tensor = field(repr=False)
    shown: Tensor = field(repr=False)
    whole: Tensor = field(repr=False)
    boxes: tuple[Box | None, ...]

    @property
    def image(self) -> Tensor:
        """`painted` on the canvas, (B, C, H, W); made anew at each call, like the other two."""
        return self._on_canvas(self.painted)

    @property
    def visible(self) -> Tensor:
        """`shown` on the canvas, (B, 1, H, W) bool."""
        return self._on_canvas(self.shown)

    @property
    def amodal(self) -> Tensor:
        """`whole` on the canvas, (B, 1, H, W) bool."""
        return self._on_canvas(self.whole)

    def _on_canvas(self, part: Tensor) -> Tensor:
        return moved(part, self.window, Box(0, 0, self.size[1], self.size[0]))

    def of_sample(self, row: int, image: Tensor) -> SampleObject:
        """What became of the region in one sample of the batch, whose image (C, H, W) is given."""
        shown, box = self.shown[row, 0], self.boxes[row]
        seen = figures(image, self.window, shown, box)
        return SampleObject(self.name, self.size, self.window, shown, self.whole[row, 0], box, seen)

    @staticmethod
    def joined(parts: "Sequence[RegionResult]") -> "RegionResult":
        """The batches of one region as one batch."""
        first = parts[0]
        painted, shown, whole = (
            _batch(some) for some in zip(*((part.painted, part.shown, part.whole) for part in parts), strict=True)
        )
        boxes = tuple(box for part in parts for box in part.boxes)
        return RegionResult(first.name, first.size, first.window, painted, shown, whole, boxes)


@dataclass(frozen=True, eq=False)
class Patch:
    """A part of a composition: its place, image (B, C, *place.size) and index (B, *place.size), uint8."""

    place: Box
    image: Tensor
    index: Tensor


@dataclass(frozen=True, eq=False)
class Composition:
    """A finished composition.

    Attributes:
        below: (B, C, H, W), what is seen where no patch lies; all of it is the bottom region's.
        patches: what is seen where several regions met.
        regions: from bottom to top.
        grey: whether every region paints grey, so that pictures of the image are grey.
    """

    below: Tensor = field(repr=False)
    patches: tuple[Patch, ...] = field(repr=False)
    regions: tuple[RegionResult, ...]
    grey: bool = False

    def __len__(self) -> int:
        """B, the number of samples."""
        return len(self.below)

    @property
    def size(self) -> Size:
        """(H, W) of the canvas."""
        height, width = self.below.shape[-2:]
        return height, width

    @cached_property
    def image(self) -> Tensor:
        """(B, C, H, W) in [-1, 1]."""
        return _pasted(self.below, [(patch.place, patch.image) for patch in self.patches])

    @cached_property
    def index(self) -> Tensor:
        """(B, H, W) uint8, which region owns the pixel: 0 for the bottom one."""
        none = self.below.new_zeros((), dtype=torch.uint8).expand(len(self), *self.size)
        return _pasted(none, [(patch.place, patch.index) for patch in self.patches])

    def __repr__(self) -> str:
        height, width = self.size
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
            image, index = self._row(row)
            objects = tuple(region.of_sample(row, image) for region in self.regions[1:])
            yield Sample(number, image, index, objects, provenance or Provenance())

    def _row(self, row: int) -> tuple[Tensor, Tensor]:
        """Image (C, H, W) and index (H, W) of one sample, without those of the others."""
        one = slice(row, row + 1)
        none = self.below.new_zeros((), dtype=torch.uint8).expand(1, *self.size)
        image = _pasted(self.below[one], [(patch.place, patch.image[one]) for patch in self.patches])
        return image[0], _pasted(none, [(patch.place, patch.index[one]) for patch in self.patches])[0]

    def save(self, folder: str | Path) -> Path:
        """Write images/, masks/, overlays/ and amodal/, and sheet.png for several samples; returns the folder.

        Raises:
            WriteError: the folder cannot be written to.
        """
        names = tuple(region.name for region in self.regions)
        run = RunInfo(self.size, names, range(len(self)), self.grey)
        with Pictures().open(Path(folder), run) as writer:
            for sample in self.samples():
                writer.add(sample)
        return Path(folder)

    @staticmethod
    def joined(parts: "Sequence[Composition]") -> "Composition":
        """The batches of one composition as one batch."""
        if len(parts) == 1:
            return parts[0]
        below = _batch([part.below for part in parts])
        patches = (
            Patch(some[0].place, torch.cat([each.image for each in some]), torch.cat([each.index for each in some]))
            for some in zip(*(part.patches for part in parts), strict=True)
        )
        regions = map(RegionResult.joined, zip(*(part.regions for part in parts), strict=True))
        return Composition(below, tuple(patches), tuple(regions), parts[0].grey)


def finish(canvas: Canvas, merge: MergeRule) -> Composition:
    """Read off the last merge who owns what: at each pixel the region of largest weight."""
    below = moved(canvas.laid[0].image, canvas.regions[0].place, canvas.box)
    indices = {meeting: _index(meeting) for meeting in canvas.meetings}
    if canvas.whole:
        places = [(canvas.meetings[0], canvas.box)]
        bottom = _result(0, canvas, indices[canvas.meetings[0]], canvas.box, merge)
    else:
        places = list(canvas.places())
        bottom = _still_bottom(canvas, below, list(indices.items()))
    patches = [_patch(meeting, place, indices[meeting]) for meeting, place in places]
    above = [
        _result(i, canvas, indices[meeting], meeting.window.box, merge)
        for meeting in canvas.meetings
        for i in meeting.window.members[1:]
    ]
    above.sort(key=lambda result: [region.name for region in canvas.regions].index(result.name))
    return Composition(below, tuple(patches), (bottom, *above), all(map(is_grey, canvas.regions)))


def _index(meeting: Meeting) -> Tensor:
    """(B, h, w) uint8, the numbers of the regions of largest weight in a window."""
    weights = meeting.merged.weights
    numbers = torch.tensor(meeting.window.members, dtype=torch.uint8, device=weights.device)
    return numbers[weights.argmax(0)[:, 0]]


def _patch(meeting: Meeting, place: Box, index: Tensor) -> Patch:
    part = place.seen_from(meeting.window.box)
    return Patch(place, part.crop(meeting.merged.canvas), part.crop(index))


def _result(i: int, canvas: Canvas, index: Tensor, window: Box, merge: MergeRule) -> RegionResult:
    """What became of region number i, from the index of its window."""
    region, layer = canvas.regions[i], canvas.laid[i]
    place = region.place
    shown = (place.seen_from(window).crop(index) == i)[:, None]
    whole = shown | (alone(layer, place, canvas.size, merge) >= 0.5)
    boxes = [box and box._replace(x=box.x + place.x, y=box.y + place.y) for box in map(tight_box, shown[:, 0])]
    return RegionResult(region.name, canvas.size, place, layer.image, shown, whole, tuple(boxes))


def alone(layer: Layer, place: Box, size: Size, merge: MergeRule) -> Tensor:
    """The weights (B, 1, *place.size) of a region that lies alone over nothing."""
    around = place.grown(merge.reach, size) if isinstance(merge, LocalMergeRule) else Box(0, 0, size[1], size[0])
    image, matte = (moved(part, place, around) for part in layer)
    empty = Layer(torch.zeros_like(image), torch.ones_like(matte))
    merged = merged_of(merge, merge([empty, Layer(image, matte)], 1.0))
    return place.seen_from(around).crop(merged.weights[1])


def _still_bottom(canvas: Canvas, below: Tensor, indices: Sequence[tuple[Meeting, Tensor]]) -> RegionResult:
    """What became of a still image, which owns all pixels that no other region does."""
    height, width = canvas.size
    samples, device = len(below), below.device
    owned = torch.ones(samples, 1, height, width, dtype=torch.bool, device=device)
    for meeting, index in indices:
        for i in meeting.window.members[1:]:
            place = canvas.regions[i].place
            place.crop(owned).logical_and_((place.seen_from(meeting.window.box).crop(index) == 0)[:, None])
    place = canvas.regions[0].place
    everywhere = torch.ones((), dtype=torch.bool, device=device).expand(samples, 1, *place.size)
    whole = moved(everywhere, place, canvas.box)
    boxes = tuple(map(tight_box, owned[:, 0]))
    return RegionResult(canvas.regions[0].name, canvas.size, canvas.box, below, owned, whole, boxes)


def _batch(parts: Sequence[Tensor]) -> Tensor:
    """Batches as one, without a copy where all of them are one image."""
    if len({part.data_ptr() for part in parts}) == 1:
        return parts[0][:1].expand(sum(map(len, parts)), *parts[0].shape[1:])
    return torch.cat(list(parts))


def _pasted(below: Tensor, parts: Sequence[tuple[Box, Tensor]]) -> Tensor:
    """A canvas with parts of it replaced; a part that is all of it takes its place."""
    size = below.shape[-2:]
    if len(parts) == 1 and parts[0][0].size == tuple(size):
        return parts[0][1]
    canvas = below.clone(memory_format=torch.contiguous_format)
    for place, part in parts:
        place.crop(canvas).copy_(part)
    return canvas


def tight_box(mask: Tensor) -> Box | None:
    """The smallest box around a mask (H, W) bool; None if it is empty."""
    if all(bool(edge.any()) for edge in (mask[0], mask[-1], mask[:, 0], mask[:, -1])):
        return Box(0, 0, mask.shape[1], mask.shape[0])
    rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
    if not len(rows):
        return None
    top, left = int(rows[0]), int(columns[0])
    return Box(left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top)
