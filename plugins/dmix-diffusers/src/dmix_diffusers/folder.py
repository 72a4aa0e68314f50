"""Pipeline folders: found or fetched, and their parts loaded, without pickles and without code from elsewhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dmix_core.errors import DmixError

INDEX = "model_index.json"
HINTS = {
    "UNet2DModel": " For an unconditional pipeline of pixels write diffusers:FOLDER.",
    "UNet2DConditionModel": " For a latent text-to-image pipeline write latent-diffusion:FOLDER.",
}
QUIET = ("diffusers.utils.logging", "transformers.utils.logging")


class PipelineError(DmixError):
    """A pipeline that cannot be found or read, or that has no equivalent on the other side."""


@dataclass(frozen=True)
class PipelineFolder:
    """A folder as `save_pretrained` writes it.

    Attributes:
        path: with `model_index.json` and, for most parts, a folder of the part's name.
        parts: for each part the library and the class that the index names.
    """

    path: Path
    parts: Mapping[str, tuple[str, str]]

    @classmethod
    def find(cls, reference: str | Path | None, kind: str) -> PipelineFolder:
        """The folder of this path, or the one that diffusers fetches for an id of the hub.

        Raises:
            PipelineError: neither a folder nor an id that can be fetched, or no pipeline.
        """
        if not reference:
            raise PipelineError(f"{kind!r} needs a pipeline; expected {kind}:FOLDER, or {kind}:ID for one of the hub.")
        path = Path(reference) if Path(reference).is_dir() else _fetched(str(reference))
        return cls(path, _parts(path / INDEX))

    def load(self, name: str, cls: Any) -> Any:
        """The model `name`, of this class, with all of its weights, in float32 and eval mode.

        Raises:
            PipelineError: it is of another class, its files are damaged or no safetensors, weights are missing.
        """
        self._check_class(name, cls.__name__)
        try:
            with _quiet():
                model, report = cls.from_pretrained(self._place(name), use_safetensors=True, output_loading_info=True)
        except Exception as error:  # each of the libraries' loaders has its own way to fail
            raise PipelineError(
                f"Cannot load {name} of the pipeline {str(self.path)!r} ({_first_line(error)}). Expected weights as "
                "safetensors, which are all that is read: if there are others, load them with diffusers and call "
                "save_pretrained(FOLDER, safe_serialization=True)."
            ) from error
        if missing := sorted(report["missing_keys"]):
            raise PipelineError(
                f"{name} of the pipeline {str(self.path)!r} has no weights for {missing[0]} and {len(missing) - 1} "
                "others of its config's network. Copy or download the pipeline again."
            )
        return model.requires_grad_(False).eval()

    def load_alone(self, name: str, cls: Any) -> Any:
        """As `load`, of a pipeline that has no other part but a scheduler."""
        model = self.load(name, cls)
        if others := sorted(self.parts.keys() - {name, "scheduler"}):
            raise PipelineError(
                f"The pipeline {str(self.path)!r} has {', '.join(others)} beside {name} and scheduler; expected these "
                "two alone: with an autoencoder, for example, the network paints no pixels."
            )
        return model

    def load_config(self, name: str, cls: Any) -> Any:
        """The part `name`, which has no weights, as this class makes it of its files."""
        try:
            return cls.from_pretrained(self._place(name))
        except Exception as error:  # as above
            raise PipelineError(
                f"Cannot load {name} of the pipeline {str(self.path)!r} ({_first_line(error)}). "
                "Copy or download the pipeline again."
            ) from error

    def _check_class(self, name: str, expected: str) -> None:
        _, found = self.parts.get(name, ("", "nothing"))
        if found != expected:
            raise PipelineError(
                f"The pipeline {str(self.path)!r} has {found} as {name!r} in {INDEX}; expected {expected}."
                f"{HINTS.get(found, '')}"
            )

    def sha256(self) -> str:
        """One checksum over all weights."""
        digest = hashlib.sha256()
        for file in sorted(self.path.rglob("*.safetensors")):
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
        return digest.hexdigest()

    def _place(self, name: str) -> Path:
        return self.path / name if (self.path / name).is_dir() else self.path  # old pipelines keep all in one folder


def read_json(path: Path) -> Any:
    """The content of a JSON file of a pipeline.

    Raises:
        PipelineError: it is missing or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PipelineError(
            f"Cannot read {str(path)!r} ({error}). Expected a folder as diffusers' save_pretrained writes it."
        ) from error


def _parts(index: Path) -> dict[str, tuple[str, str]]:
    found = read_json(index)
    pairs = {name: value for name, value in found.items() if not name.startswith("_") and isinstance(value, list)}
    parts = {name: (library, cls) for name, (library, cls) in pairs.items() if cls is not None}
    foreign = sorted({library for library, _ in parts.values()} - {"diffusers", "transformers", "stable_diffusion"})
    if foreign:
        raise PipelineError(
            f"{str(index)!r} names parts of {', '.join(foreign)}; expected parts of diffusers and transformers alone: "
            "code that comes with a model is never run."
        )
    return parts


def _fetched(reference: str) -> Path:
    from diffusers import DiffusionPipeline

    try:
        return Path(DiffusionPipeline.download(reference, use_safetensors=True))
    except Exception as error:  # of the network, the hub, the id
        raise PipelineError(
            f"There is no folder {reference!r}, and no pipeline of that name can be fetched "
            f"({type(error).__name__}: {_first_line(error)}). Expected a folder with {INDEX}, or an id of the hub."
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Bars and advice of the libraries' loaders are not for dmix' users."""
    from importlib import import_module
    from sys import modules

    with ExitStack() as stack:
        for name in QUIET:
            if name.partition(".")[0] in modules:
                logging = import_module(name)
                stack.callback(logging.set_verbosity, logging.get_verbosity())
                logging.set_verbosity_error()
                if logging.is_progress_bar_enabled():
                    stack.callback(logging.enable_progress_bar)
                    logging.disable_progress_bar()
        yield


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
