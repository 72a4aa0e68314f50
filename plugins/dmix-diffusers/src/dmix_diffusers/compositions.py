"""A composition with the interface of a diffusers pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Literal

import torch
from diffusers.pipelines.pipeline_utils import ImagePipelineOutput
from torch import Tensor
from tqdm.auto import tqdm

from dmix_core import Composer, Recipe, Registry, Sample, Step, samples_of
from dmix_core.images import index_picture, to_picture

from .folder import PipelineError

OutputType = Literal["pil", "np", "pt"]
Source = torch.Generator | int | None
Callback = Callable[["DmixPipeline", int, int, dict[str, Any]], object]


@dataclass
class DmixPipelineOutput(ImagePipelineOutput):
    """What a DmixPipeline returns; an ImagePipelineOutput with masks.

    Attributes:
        images: a list of RGB or grey pictures ("pil"), (B, H, W, C) numpy in [0, 1] ("np"), or (B, C, H, W) ("pt").
        masks: for each pixel the number of the region that owns it, 0 for the bottom one: palette pictures ("pil"),
            or (B, H, W) uint8.
    """

    masks: Any


class DmixPipeline:
    """Composes when it is called, as a diffusers pipeline paints.

    Args:
        composition: a composer, or a recipe, whose models are loaded at once. A recipe's seed, samples and
            batch_size are left to the call.
        registry: where a recipe's names come from; None: everything that is installed.
    """

    def __init__(self, composition: Composer | Recipe, registry: Registry | None = None) -> None:
        if isinstance(composition, Recipe):
            composition = composition.composer(registry or Registry.load())
        self.composer = composition
        self._bar: dict[str, Any] = {}

    def set_progress_bar_config(self, **settings: Any) -> None:
        """Settings of the bar, as tqdm takes them; disable=True shows none."""
        self._bar = settings

    def __call__(
        self,
        batch_size: int = 1,
        generator: Source | Sequence[torch.Generator] = None,
        num_inference_steps: int | None = None,
        output_type: OutputType = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callback | None = None,
    ) -> DmixPipelineOutput | tuple[Any, Any]:
        """Compose.

        Args:
            generator: where the seed comes from: one number below 2^63 is drawn from it, from torch's global generator
                if it is None; all noise derives from this seed and the image's number in the batch. An int is the
                seed itself: a recipe's gives the recipe's images. A list, with a generator for each image, composes
                one by one, and an image depends on its own generator alone.
            num_inference_steps: T, the levels; resampling adds steps to them. None: the composition's own.
            output_type: "pil", "np" or "pt".
            return_dict: False: a tuple (images, masks).
            callback_on_step_end: called after every step as callback(pipeline, step, level, {"step": Step}), with the
                number of the step, the level that it left and dmix' record of it. What it returns is not used.

        Raises:
            PipelineError: an argument that cannot be met.
        """
        if output_type not in ("pil", "np", "pt"):
            raise PipelineError(f"output_type is {output_type!r}; expected 'pil', 'np' or 'pt'.")
        composer = self.composer
        if num_inference_steps is not None and num_inference_steps != composer.T:
            composer = composer.with_steps(num_inference_steps)
        runs = _runs(batch_size, generator)
        samples: list[Sample] = []
        with tqdm(total=len(runs) * (len(composer.walk) - 1), **self._bar) as bar:
            for numbers, seed in runs:
                watch = partial(self._watch, bar, count(), callback_on_step_end)
                samples += samples_of(composer, [numbers], seed, watch)
        images, masks = torch.stack([each.image for each in samples]), torch.stack([each.index for each in samples])
        output = DmixPipelineOutput(_images(images, output_type), _masks(masks, output_type))
        return output if return_dict else (output.images, output.masks)

    def _watch(
        self, bar: Any, numbers: Iterator[int], callback: Callback | None, step: Step, batch: Sequence[int]
    ) -> None:
        number = next(numbers)
        if callback:
            callback(self, number, step.t, {"step": step})
        bar.update()


def _runs(
    batch_size: int, generator: torch.Generator | Sequence[torch.Generator] | int | None
) -> list[tuple[range, int]]:
    """(the images' numbers, seed) of each run."""
    if not isinstance(generator, Sequence):
        return [(range(batch_size), _seed(generator))]
    if len(generator) != batch_size:
        raise PipelineError(f"There are {len(generator)} generators for batch_size = {batch_size}; expected as many.")
    return [(range(1), _seed(each)) for each in generator]


def _seed(generator: Source) -> int:
    if isinstance(generator, int):
        return generator
    device = generator.device if generator else "cpu"
    return int(torch.randint(2**63 - 1, (), generator=generator, device=device))


def _images(images: Tensor, output_type: OutputType) -> Any:
    if output_type == "pil":
        return [to_picture(image) for image in images]
    shares = (images / 2 + 0.5).clamp(0, 1)
    return shares if output_type == "pt" else shares.cpu().permute(0, 2, 3, 1).numpy()


def _masks(masks: Tensor, output_type: OutputType) -> Any:
    if output_type == "pil":
        return [index_picture(mask) for mask in masks]
    return masks if output_type == "pt" else masks.cpu().numpy()
