"""A latent text-to-image pipeline as a Denoiser of latents, and the codec by which these meet pictures."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from copy import copy
from pathlib import Path
from typing import Any, Self
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn

from dmix_core import Size
from dmix_core.backends import Backend, Eager, Inputs, arithmetic
from dmix_core.errors import DenoiserError
from dmix_core.protocols import Prediction, Spec

from .folder import PipelineError, PipelineFolder
from .schedulers import Scheduling
from .unet2d import grid_size

CONDITIONS = (
    "addition_embed_type",
    "class_embed_type",
    "encoder_hid_dim_type",
    "num_class_embeds",
    "time_cond_proj_dim",
)
"""What a network may take beside the time and a prompt."""


class LatentModel:
    """The parts of a StableDiffusionPipeline, without its safety checker; regions share one for each folder.

    It is the codec of its denoisers' latents.

    Attributes:
        channels: of pictures.
        factor: pixels to the side of a latent.

    Raises:
        PipelineError: which key of a config does not fit.
    """

    channels = 3

    def __init__(
        self,
        unet: Any,
        vae: Any,
        text_encoder: Any,
        tokenizer: Any,
        scheduling: Scheduling,
        sha256: str | None = None,
    ) -> None:
        _check_configs(unet.config, vae.config, text_encoder.config, scheduling)
        self.unet, self.vae, self.text_encoder, self.tokenizer = unet, vae, text_encoder, tokenizer
        self.scheduling, self.sha256 = scheduling, sha256
        self.factor = 2 ** (len(vae.config.block_out_channels) - 1)
        self._scale, self._shift = vae.config.scaling_factor, vae.config.shift_factor or 0.0

    @classmethod
    def load(cls, reference: str | Path | None, device: str = "cpu") -> LatentModel:
        """The model of a folder, or of an id of the hub; the same one as long as somebody has it.

        Raises:
            PipelineError: it cannot be loaded, or transformers is not installed.
        """
        from diffusers import AutoencoderKL, UNet2DConditionModel

        try:
            from transformers import CLIPTextModel, CLIPTokenizer
        except ImportError as error:
            raise PipelineError(
                f"The text encoder of {reference!r} needs transformers ({error}). "
                "Try: pip install 'dmix-diffusers[latent]'."
            ) from error

        folder = PipelineFolder.find(reference, "latent-diffusion")
        key = folder.path.resolve(), device
        model = _MODELS.get(key)
        if model is None:
            model = _MODELS[key] = cls(
                folder.load("unet", UNet2DConditionModel).to(device),
                folder.load("vae", AutoencoderKL).to(device),
                folder.load("text_encoder", CLIPTextModel).to(device),
                folder.load_config("tokenizer", CLIPTokenizer),
                Scheduling.load(folder),
                folder.sha256(),
            )
        return model

    @property
    def device(self) -> torch.device:
        device: torch.device = self.unet.device
        return device

    def to(self, device: torch.device | str) -> Self:
        """Move the network, the autoencoder and the text encoder, and return self; `load` gives it no longer."""
        for key in [key for key, model in _MODELS.items() if model is self]:
            del _MODELS[key]
        for part in (self.unet, self.vae, self.text_encoder):
            part.to(device)
        return self

    def size(self, grid: Size) -> Size:
        """(height, width) in pixels of what a grid of latents decodes to."""
        return grid[0] * self.factor, grid[1] * self.factor

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """(B, c, h, w) -> pictures (B, 3, factor h, factor w) in [-1, 1]."""
        picture: Tensor = self.vae.decode(latents / self._scale + self._shift).sample
        return picture.clamp(-1, 1)

    @torch.no_grad()
    def encode(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, c, H / factor, W / factor): the mean of the encoder's distribution."""
        mean: Tensor = self.vae.encode(pictures).latent_dist.mode()
        return (mean - self._shift) * self._scale

    def text(self, prompt: str) -> Tensor:
        """What the network is given for a prompt, (1, tokens, width).

        Raises:
            PipelineError: the prompt is longer than the encoder takes.
        """
        most = self.tokenizer.model_max_length
        tokens = self.tokenizer(prompt, padding="max_length", max_length=most, return_tensors="pt").input_ids
        if tokens.shape[1] > most:
            raise PipelineError(
                f"The prompt {prompt[:40]!r}... has {tokens.shape[1]} tokens; expected at most {most}: shorten it."
            )
        embedding: Tensor = self.text_encoder(tokens.to(self.unet.device))[0]
        return embedding


_MODELS: WeakValueDictionary[tuple[Any, str], LatentModel] = WeakValueDictionary()


class LatentDenoiser:
    """Predicts the clean latents of a prompt; its grid is one of latents.

    Args:
        guidance_scale: classifier-free guidance (Ho & Salimans 2022), as diffusers counts it: u + scale (p - u), with
            the network's predictions for the prompt, p, and for the negative one, u; 1 is p, and one call for two.
        height: of the picture, in pixels; None: what the network's sample_size states. So with `width`.

    Attributes:
        backend: what runs the network; torch itself, unless `with_backend` has chosen another one.

    Raises:
        PipelineError: a prompt that is too long, or a size that the latents do not divide.
    """

    def __init__(
        self,
        model: LatentModel,
        prompt: str = "",
        negative_prompt: str = "",
        guidance_scale: float = 7.5,
        *,
        height: int | None = None,
        width: int | None = None,
        dtype: str = "float32",
    ) -> None:
        self.model, self.noise, self.sha256 = model, model.scheduling.noise, model.sha256
        self.guidance_scale, self.dtype = guidance_scale, dtype
        self.spec = Spec(_grid(model, height, width), model.unet.config.in_channels, codec=model)
        with torch.no_grad():
            prompts = [prompt] if guidance_scale == 1 else [negative_prompt, prompt]
            self._texts = torch.stack([model.text(each) for each in prompts])  # (1 or 2, regions, tokens, width)
        self._run_by(Eager())

    @property
    def family(self) -> Hashable:
        """Equal for those that one call of the network can serve, whatever their prompts."""
        return id(self.model), self.spec, self.guidance_scale, self.dtype, self.backend

    def joined(self, members: Sequence[LatentDenoiser]) -> LatentDenoiser:
        """The denoiser of a batch in equal parts, one for the prompts of each of these."""
        together = copy(self)
        together._texts = torch.cat([member._texts for member in members], dim=1)
        together._run_by(self.backend)
        return together

    @property
    def device(self) -> torch.device:
        return self.model.device

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | str | None = None) -> Self:
        """Move the model, or run its network in another arithmetic (float32 or bfloat16), and return self.

        The model moves for all denoisers that share it; each of them must be moved, as `Composer.to` does.
        """
        if dtype is not None:
            self.dtype = arithmetic(dtype)
        if device is not None:
            self.model.to(device)
            self._texts = self._texts.to(device)
        self._run_by(self.backend)
        return self

    def with_backend(self, backend: Backend) -> LatentDenoiser:
        """The same denoiser with its network run by this backend; text and pictures are encoded by torch.

        Raises:
            BackendError: the backend cannot run the network.
        """
        other = copy(self)
        other._run_by(backend)
        return other

    @torch.no_grad()
    def __call__(self, x_t: Tensor, t: int) -> Prediction:
        """Predict from x_t (B, c, h, w) at level t, 1 <= t <= T."""
        self._check(x_t, t)
        x_t, scheduling = x_t.float(), self.model.scheduling
        clean = self.noise.clean_from(scheduling.prediction, self._guided(x_t, t), x_t, t)
        spread = clean.new_ones(()) if scheduling.variance == "fixed-large" else None
        return Prediction(scheduling.limited(clean), spread)

    def _guided(self, x_t: Tensor, t: int) -> Tensor:
        ways, regions = self._texts.shape[:2]
        numbers = torch.arange(ways * regions, device=x_t.device).view(ways, regions)
        labels = numbers.repeat_interleave(len(x_t) // regions, 1).flatten()
        output = self._running(x_t.repeat(ways, 1, 1, 1), torch.tensor([t - 1], device=x_t.device), labels)
        if ways == 1:
            return output
        without, with_prompt = output.chunk(2)
        return without + self.guidance_scale * (with_prompt - without)

    def _run_by(self, backend: Backend) -> None:
        self.backend, texts = backend, self._texts.flatten(0, 1)
        inputs = Inputs(self.spec.channels, self.spec.size, len(texts), self.device, self.dtype)
        self._running = backend(_Prompted(self.model.unet, texts), inputs)

    def _check(self, x_t: Tensor, t: int) -> None:
        if not 1 <= t <= self.noise.steps or x_t.shape[1:] != self.spec.shape:
            raise DenoiserError(
                f"The pipeline was given {tuple(x_t.shape)} at level {t}; "
                f"expected (B, *{self.spec.shape}) and a level of 1..{self.noise.steps}."
            )


class _Prompted(nn.Module):
    """A UNet2DConditionModel, called as a backend calls networks; a label is the number of a text."""

    def __init__(self, unet: nn.Module, texts: Tensor) -> None:
        super().__init__()
        self.unet, self.texts = unet, texts  # (texts, tokens, width)

    def forward(self, x: Tensor, times: Tensor, labels: Tensor) -> Tensor:
        sample: Tensor = self.unet(x, times, encoder_hidden_states=self.texts[labels]).sample
        return sample


def _grid(model: LatentModel, height: int | None, width: int | None) -> Size:
    sides = height or 0, width or 0
    if any(side % model.factor for side in sides):
        raise PipelineError(f"The picture is {height} x {width} pixels; expected multiples of {model.factor}.")
    return grid_size(model.unet.config.sample_size, *(side // model.factor for side in sides))


def _check_configs(unet: Any, vae: Any, text: Any, scheduling: Scheduling) -> None:
    def refuse(what: str, config: Any, key: str, expected: str) -> None:
        raise PipelineError(f"The {what}'s config has {key} = {config.get(key)!r}; expected {expected}.")

    channels = vae.latent_channels
    for key in ("in_channels", "out_channels"):
        if unet[key] != channels:
            refuse("network", unet, key, f"{channels}, the channels of the latents, and nothing beside them")
    for key in CONDITIONS:
        if unet.get(key) is not None:
            refuse("network", unet, key, "None: it takes the time and a prompt")
    if unet.cross_attention_dim != text.hidden_size:
        refuse("network", unet, "cross_attention_dim", f"{text.hidden_size}, the width of the text encoder")
    if scheduling.variance == "learned-range":
        raise PipelineError("The scheduler's config has variance_type = 'learned_range'; expected a fixed one.")
