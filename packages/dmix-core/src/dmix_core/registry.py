"""The registry: which plugin provides which name, and objects made by name and settings."""

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from .backends import Compute, RunsNetwork
from .catalogue import Catalogue
from .errors import PluginError, PluginWarning, did_you_mean
from .kinds import Kind
from .offers import listed
from .protocols import Classifier, Denoiser
from .returned import returned_in_words
from .settings import checked, explained, json_defaults, mentions, unknown_setting

DEFAULT = Compute()
RETIRED = {"blowhole": "it was bundled until 0.2. Use defects:blowhole, which paints 64x64 pixels in place of 32x32."}
"""Names of denoisers that there are no more, and what to use in their place."""


class Registry(Catalogue):
    """Names of all kinds, each with the factory behind it."""

    def kind_of(self, name: str) -> Kind:
        """What the name stands for.

        Raises:
            PluginError: no plugin provides it, or two do.
        """
        return self.offer(name).kind

    def settings(self, name: str) -> list[str]:
        """The names of the settings that the name takes.

        Raises:
            PluginError: no plugin provides it, or two do.
        """
        return [*self.offer(name).settings]

    def declared_settings(self, name: str, kind: Kind | None = None) -> list[str]:
        """Each setting that the name takes, as Python declares it, such as "feather: int = 0".

        Args:
            kind: of several things of this name, which one.

        Raises:
            PluginError: no plugin provides it, or two do.
        """
        return [*map(str, self.offer(name, kind).settings.values())]

    def complete_settings(self, name: str, settings: Mapping[str, Any], kind: Kind | None = None) -> dict[str, Any]:
        """These settings, and the default of each that is not among them, for recipes that hold everything.

        A default that JSON cannot hold is left out.

        Raises:
            PluginError: no plugin provides the name, or two do.
        """
        return json_defaults(self.offer(name, kind).settings.values()) | dict(settings)

    def model_settings(self, name: str) -> list[str]:
        """Those of its settings that are denoisers, given by a reference."""
        settings = self.offer(name).settings
        return [key for key, parameter in settings.items() if mentions(parameter.annotation, Denoiser)]

    def create(
        self, kind: Kind, name: str, settings: Mapping[str, Any] | None = None, compute: Compute = DEFAULT
    ) -> Any:
        """Make the object of this kind and name; see `denoiser`, `wrapped` and `classifier` for those.

        Args:
            settings: checked against the factory's annotations; strings are converted to them, and references to
                denoisers and classifiers to those.
            compute: of denoisers and classifiers that are made for its settings.

        Raises:
            PluginError: the name is unknown, claimed twice or of another kind; a setting is unknown, missing or wrong.
        """
        return self._make(kind, name, (), settings, compute)

    def denoiser(
        self, reference: str, compute: Compute = DEFAULT, settings: Mapping[str, Any] | None = None
    ) -> Denoiser:
        """The denoiser of a reference; settings and errors as for `create`.

        Args:
            reference: "NAME", "NAME:ARGUMENT", the path of a checkpoint folder, with ":LABEL" behind it for one class
                of a class-conditional model, or the path of a picture. A name goes before a path; write ./NAME for a
                file that is called like a denoiser.
        """
        name, argument = self.resolve(reference)
        given = () if argument is None else (argument,)
        made = cast(Denoiser, self._make("denoiser", name, given, settings, compute))
        return self._on_backend(made, name, compute)

    def wrapped(
        self,
        denoiser: Denoiser,
        name: str,
        settings: Mapping[str, Any] | None = None,
        compute: Compute = DEFAULT,
    ) -> Denoiser:
        """A denoiser within the wrapper of this name; settings and errors as for `create`."""
        return cast(Denoiser, self._make("wrapper", name, (denoiser,), settings, compute))

    def classifier(self, reference: str, compute: Compute = DEFAULT) -> Classifier:
        """The classifier of "NAME" or "NAME:ARGUMENT"; errors as for `create`."""
        name, _, argument = reference.partition(":")
        given = (argument,) if argument else ()
        return cast(Classifier, self._make("classifier", name, given, None, compute))

    def references(self) -> list[str]:
        """Every denoiser, as it is typed: its name, or NAME:ARGUMENT for each argument that its factory names."""
        sole = [name for name in self.names("denoiser") if name not in self.conflicts]
        named = {name: self.offer(name, "denoiser").arguments for name in sole}
        return [each for name, known in named.items() for each in [f"{name}:{one}" for one in known] or [name]]

    def resolve(self, reference: str) -> tuple[str, str | None]:
        """The name of the denoiser that a reference means, and the argument that goes with it.

        Raises:
            PluginError: neither a known name nor an existing file or folder.
        """
        known = self.names("denoiser")
        if reference in known:
            return reference, None
        name, colon, argument = reference.partition(":")
        if colon and name in known:
            return name, argument or None
        path, _ = split_label(reference)
        if os.path.isdir(path):  # unlike Path.is_dir, it takes what no path can be
            return "checkpoint", reference
        if os.path.isfile(path):
            return "photo", reference
        if reference in RETIRED:
            raise PluginError(f"No denoiser {reference!r}: {RETIRED[reference]}")
        close = did_you_mean(reference, [*known, *_beside(reference)])
        raise PluginError(
            f"No denoiser {reference!r}: it is neither a known name nor an existing file or folder.{close} "
            f"Expected NAME or NAME:ARGUMENT with one of {listed(known)}, a checkpoint folder, or a picture."
            f"{self._absent()}"
        )

    def absolute(self, reference: str) -> str:
        """The reference with its path made absolute, if it has one, so that it holds wherever it is read.

        Raises:
            PluginError: as for `resolve`.
        """
        name, argument = self.resolve(reference)
        if argument is None or not mentions(self.offer(name).argument, Path):
            return reference
        path, label = split_label(argument)
        if not os.path.exists(path):
            return reference
        return reference.removesuffix(argument) + str(path.resolve()) + ("" if label is None else f":{label}")

    def _make(
        self,
        kind: Kind,
        name: str,
        one: tuple[object, ...],
        settings: Mapping[str, Any] | None,
        compute: Compute,
    ) -> Any:
        """Call the factory of this kind and name: with one thing or none, its settings, and where to compute."""
        offer, settings = self.offer(name, kind), settings or {}
        self._warn_of_refusal(name)
        if offer.kind != kind:
            raise PluginError(f"{name!r} is a {offer.kind}, not a {kind}. Known {kind}s: {listed(self.names(kind))}.")
        references = {
            Denoiser: lambda reference: self.denoiser(reference, compute),
            Classifier: lambda reference: self.classifier(reference, compute),
        }
        given = {key: getattr(compute, key) for key in offer.form.given}
        known = [*offer.settings]
        problem = f"The {kind} {name!r} of {offer.plugin}: {{}} Its settings: {listed(known)}.".format
        if reserved := settings.keys() & offer.reserved:
            raise PluginError(problem(unknown_setting(min(reserved), known)))
        try:
            made = checked(offer.factory, references)(*one, **settings, **given)
        except ValueError as error:
            raise PluginError(problem(explained(error, known))) from error
        if lacking := [part for part in offer.form.parts if not hasattr(made, part)]:
            what = f"its factory returned {returned_in_words(made)}; expected {'an' if kind[0] == 'e' else 'a'} {kind}"
            raise PluginError(problem(f"{what}, which has {' and '.join(lacking)}."))
        return made

    def _on_backend(self, denoiser: Denoiser, name: str, compute: Compute) -> Denoiser:
        """The denoiser with its network run by the backend; where it is made of other denoisers, theirs already are."""
        if compute.backend == DEFAULT.backend:
            return denoiser
        if isinstance(denoiser, RunsNetwork):
            return denoiser.with_backend(compute.backend)
        if denoiser.spec.still or self.model_settings(name):
            return denoiser
        raise PluginError(
            f"The denoiser {name!r} cannot be run by {compute.backend}: it has no network that a backend can call. "
            "Expected a model of dmix, or a photograph; the backend 'torch' runs every denoiser."
        )

    def _warn_of_refusal(self, name: str) -> None:
        if claims := self.refused.get(name):
            warnings.warn(
                f"{name!r} is the one of dmix itself: {' and '.join(claims)} claims that name too, and was refused.",
                PluginWarning,
                stacklevel=4,
            )


def _beside(reference: str) -> list[str]:
    """What lies in the folder in which a path was looked for, as it would be typed."""
    folder = os.path.dirname(reference)
    try:
        return [os.path.join(folder, name) for name in os.listdir(folder or ".")]
    except (OSError, ValueError):  # there is no such folder, or no path is called so
        return []


def split_label(text: str) -> tuple[Path, str | None]:
    """The path and the label of "PATH" or "FOLDER:LABEL"; a path that exists may have colons of its own."""
    folder, colon, label = text.rpartition(":")
    if colon and not os.path.exists(text) and os.path.isdir(folder):
        return Path(folder), label
    return Path(text), None
