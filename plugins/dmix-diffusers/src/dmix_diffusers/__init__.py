"""diffusers and dmix: pipelines as models of a composition, models as pipelines, compositions as pipelines.

diffusers is imported when something of it is made, not when this plugin is loaded.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmix_core.hookspecs import DenoiserFactory, hookimpl
from dmix_core.protocols import Denoiser

if TYPE_CHECKING:
    from .compositions import DmixPipeline as DmixPipeline
    from .compositions import DmixPipelineOutput as DmixPipelineOutput
    from .exporting import export_pipeline as export_pipeline
    from .exporting import import_pipeline as import_pipeline
    from .folder import PipelineError as PipelineError
    from .latents import LatentDenoiser as LatentDenoiser
    from .latents import LatentModel as LatentModel
    from .pixels import PixelDenoiser as PixelDenoiser

_HOMES = {
    "DmixPipeline": "compositions",
    "DmixPipelineOutput": "compositions",
    "LatentDenoiser": "latents",
    "LatentModel": "latents",
    "PipelineError": "folder",
    "PixelDenoiser": "pixels",
    "export_pipeline": "exporting",
    "import_pipeline": "exporting",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


@hookimpl
def dmix_denoisers() -> Mapping[str, DenoiserFactory]:
    return {"diffusers": diffusers, "latent-diffusion": latent_diffusion}


def diffusers(
    argument: str | Path | None = None,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    mask_channels: int | None = None,
    label: int | None = None,
    height: int | None = None,
    width: int | None = None,
) -> Denoiser:
    """The denoiser of an unconditional pipeline, a folder or an id of the hub; settings as for `PixelDenoiser.load`."""
    from .pixels import PixelDenoiser

    return PixelDenoiser.load(
        argument, device=device, dtype=dtype, mask_channels=mask_channels, label=label, height=height, width=width
    )


def latent_diffusion(
    argument: str | Path | None = None,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    prompt: str = "",
    negative_prompt: str = "",
    guidance_scale: float = 7.5,
    height: int | None = None,
    width: int | None = None,
) -> Denoiser:
    """The denoiser of a latent text-to-image pipeline, a folder or an id of the hub; settings of `LatentDenoiser`."""
    from .latents import LatentDenoiser, LatentModel

    model = LatentModel.load(argument, device)
    return LatentDenoiser(model, prompt, negative_prompt, guidance_scale, height=height, width=width, dtype=dtype)
