"""An unconditional pipeline of pixels as a Denoiser."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from dmix_core.backends import Backend, Eager, Inputs, arithmetic
from dmix_core.errors import DenoiserError
from dmix_core.protocols import Prediction, Size, Spec
from dmix_models import ModelConfig, split_variance

from .exporting import read_sidecar
from .folder import PipelineError, PipelineFolder
from .schedulers import Scheduling
from .unet2d import grid_size


class PixelDenoiser:
    """A UNet2DModel, called as the library calls it: at time t - 1 on level t, with images in [-1, 1].

    Args:
        unet: a UNet2DModel.
        mask_channels: 1 if the last channel is a mask, else 0.
        size: (height, width) of its grid.
        label: the class that a class-conditional network paints.
        dtype: "bfloat16" runs the network under autocast; predictions are float32 either way.
        config: what dmix knows of a model that it has written itself.
        sha256: of the weights, for recipes.

    Attributes:
        backend: what runs the network; torch itself, unless `with_backend` has chosen another one.

    Raises:
        PipelineError: which key of the network's config does not fit.
    """

    def __init__(
        self,
        unet: Any,
        scheduling: Scheduling,
        size: Size,
        *,
        mask_channels: int = 0,
        label: int | None = None,
        dtype: str = "float32",
        config: ModelConfig | None = None,
        sha256: str | None = None,
    ) -> None:
        _check_config(unet.config, scheduling, mask_channels, label)
        self.unet, self.scheduling = unet, scheduling
        self.noise, self.dtype, self.config, self.sha256 = scheduling.noise, dtype, config, sha256
        grey = config is not None and config.grey
        self.spec = Spec(size, unet.config.in_channels - mask_channels, mask_channels, grey=grey)
        self._label = None if label is None else torch.tensor([label], device=unet.device)
        self._run_by(Eager())

    @classmethod
    def load(
        cls,
        reference: str | Path | None,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        mask_channels: int | None = None,
        label: int | None = None,
        height: int | None = None,
        width: int | None = None,
    ) -> PixelDenoiser:
        """The denoiser of a folder, or of an id of the hub.

        Args:
            mask_channels: None: what `dmix.json` states in the folder of a model of dmix's, else 0.
            height: of the grid; None: what the network's sample_size states. So with `width`.

        Raises:
            PipelineError: it cannot be loaded, or which key of a config has no equivalent.
        """
        from diffusers import UNet2DModel

        folder = PipelineFolder.find(reference, "diffusers")
        scheduling = Scheduling.load(folder)
        unet = folder.load_alone("unet", UNet2DModel).to(device)
        known = read_sidecar(folder.path)
        if mask_channels is None:
            mask_channels = known.mask_channels if known else 0
        size = grid_size(unet.config.sample_size, height, width)
        return cls(
            unet,
            scheduling,
            size,
            mask_channels=mask_channels,
            label=label,
            dtype=dtype,
            config=known,
            sha256=folder.sha256(),
        )

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | str | None = None) -> Self:
        """Move the network, or run it in another arithmetic (float32 or bfloat16), and return self."""
        if dtype is not None:
            self.dtype = arithmetic(dtype)
        if device is not None:
            self.unet.to(device)
            self._label = None if self._label is None else self._label.to(device)
        self._run_by(self.backend)
        return self

    @property
    def device(self) -> torch.device:
        device: torch.device = self.unet.device
        return device

    def with_backend(self, backend: Backend) -> PixelDenoiser:
        """The same denoiser with its network run by this backend.

        Raises:
            BackendError: the backend cannot run the network.
        """
        other = copy(self)
        other._run_by(backend)
        return other

    @torch.no_grad()
    def __call__(self, x_t: Tensor, t: int) -> Prediction:
        """Predict from x_t (B, C+M, h, w) at level t, 1 <= t <= T; clipped as the scheduler's config has it."""
        self._check(x_t, t)
        x_t = x_t.float()
        times = torch.tensor([t - 1], device=x_t.device)
        output, spread = split_variance(self._running(x_t, times, self._label), self.scheduling.variance)
        clean = self.noise.clean_from(self.scheduling.prediction, output, x_t, t)
        return Prediction(self.scheduling.limited(clean), spread)

    def _run_by(self, backend: Backend) -> None:
        self.backend, classes = backend, self.unet.config.num_class_embeds or 0
        inputs = Inputs(self.spec.channels, self.spec.size, classes, self.device, self.dtype)
        self._running = backend(_Sample(self.unet), inputs)

    def _check(self, x_t: Tensor, t: int) -> None:
        if not 1 <= t <= self.noise.steps:
            raise DenoiserError(f"Level {t} is outside 1..{self.noise.steps}, the levels of the pipeline.")
        if x_t.shape[1:] != self.spec.shape:
            raise DenoiserError(f"The pipeline was given {tuple(x_t.shape)}; expected (B, *{self.spec.shape}).")


class _Sample(nn.Module):
    """A UNet2DModel, called as a backend calls networks."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, x: Tensor, times: Tensor, labels: Tensor | None = None) -> Tensor:
        sample: Tensor = self.unet(x, times, None if labels is None else labels.expand(len(x))).sample
        return sample


def _check_config(config: Any, scheduling: Scheduling, mask_channels: int, label: int | None) -> None:
    def refuse(key: str, expected: str) -> None:
        raise PipelineError(f"The network's config has {key} = {config[key]!r}; expected {expected}.")

    channels, variance = config.in_channels, scheduling.variance
    outputs = 2 * channels if variance == "learned-range" else channels
    if config.out_channels != outputs:
        refuse("out_channels", f"{outputs}, for in_channels = {channels} and a scheduler of {variance} variance_type")
    if channels - mask_channels not in (1, 3):
        refuse("in_channels", "1 or 3 for an image, and one more for a mask with --set REGION.mask_channels=1")
    if config.time_embedding_type == "fourier":
        refuse("time_embedding_type", "positional or learned: fourier divides by the time, which is 0 at level 1")
    if config.class_embed_type is not None:
        refuse("class_embed_type", "None: classes are numbered, and num_class_embeds counts them")
    classes = config.num_class_embeds
    if (label is None) != (classes is None) or not 0 <= (label or 0) < (classes or 1):
        refuse("num_class_embeds", f"a label below it, and none without classes; got label={label}")
