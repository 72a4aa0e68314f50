"""The registry: which plugin provides which name, and objects made by name and settings."""

import inspect
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Self, cast

import pluggy

from . import hookspecs
from .errors import PluginError, did_you_mean
from .protocols import Classifier, Denoiser
from .settings import checked, explained, mentions, unknown_setting

Kind = Literal["merge rule", "timestep schedule", "stepper", "denoiser", "wrapper", "classifier", "exporter", "layout"]
Factory = Callable[..., Any]

GROUP = "dmix"
ALLOW_LIST = "DMIX_PLUGINS"
HOOKS: Mapping[str, Kind] = MappingProxyType(
    {
        "dmix_merge_rules": "merge rule",
        "dmix_timestep_schedules": "timestep schedule",
        "dmix_steppers": "stepper",
        "dmix_denoisers": "denoiser",
        "dmix_wrappers": "wrapper",
        "dmix_classifiers": "classifier",
        "dmix_exporters": "exporter",
        "dmix_layouts": "layout",
    }
)
_OWN = {"dmix-core", "dmix-data", "dmix-models", "dmix-cli"}
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class PluginRecord:
    """One entry point of the group "dmix" and what became of it.

    Attributes:
        name: the entry point's.
        distribution: the installed package's, with its version.
        provides: the names that it provides, by kind.
        status: "ok", "broken" (see error), or "off": left out by the environment variable DMIX_PLUGINS.
        error: why it is broken.
    """

    name: str
    distribution: str
    version: str
    provides: Mapping[Kind, tuple[str, ...]] = field(default_factory=dict)
    status: Literal["ok", "broken", "off"] = "ok"
    error: str | None = None

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


class Registry:
    """Names of all kinds, each with the factory behind it."""

    def __init__(self) -> None:
        self.plugins: list[PluginRecord] = []
        self._offers: dict[_Key, list[_Offer]] = {}
        self._manager = pluggy.PluginManager("dmix")
        self._manager.add_hookspecs(hookspecs)

    @classmethod
    def load(cls) -> Self:
        """A registry of everything that is installed.

        Entry points are loaded one by one, so that a broken plugin is recorded and hurts nobody else. The environment
        variable DMIX_PLUGINS, if set, names those to load: entry points or distributions, separated by commas; dmix's
        own packages always are.
        """
        registry = cls()
        for entry in sorted(metadata.entry_points(group=GROUP), key=_own_first):
            registry._load(entry)
        return registry

    def register(self, plugin: object, name: str, distribution: str = "this program", version: str = "") -> None:
        """Add a plugin that is not installed: a module or object with hook implementations.

        Raises:
            PluginError: what is wrong with it; the registry is left as it was.
        """
        offers = self._ask(plugin, f"{distribution}:{name}")
        provides = {kind: tuple(sorted(n for (_, n), (k, _) in offers.items() if k == kind)) for kind in HOOKS.values()}
        record = PluginRecord(name, distribution, version, {k: names for k, names in provides.items() if names})
        self.plugins.append(record)
        for offered, (kind, factory) in offers.items():
            self._offers.setdefault(offered, []).append(_Offer(kind, factory, record))

    # ---- asking ---------------------------------------------------------------------------------------------

    def names(self, kind: Kind | None = None) -> list[str]:
        """The names of one kind, or of all, sorted."""
        return sorted(
            {n for (_, n), offers in self._offers.items() if kind is None or kind in {o.kind for o in offers}}
        )

    def kind_of(self, name: str) -> Kind:
        """What the name stands for.

        Raises:
            PluginError: no plugin provides it, or two do.
        """
        return self._offer(name).kind

    def settings(self, name: str) -> list[str]:
        """The names of the settings that the name takes.

        Raises:
            PluginError: no plugin provides it, or two do.
        """
        return [*self._offer(name).settings]

    def model_settings(self, name: str) -> list[str]:
        """Those of its settings that are denoisers, given by a reference."""
        settings = self._offer(name).settings
        return [key for key, annotation in settings.items() if mentions(annotation, Denoiser)]

    @property
    def conflicts(self) -> dict[str, tuple[str, ...]]:
        """Names that several plugins claim, with the distributions that do."""
        return {
            name: tuple(str(offer.plugin) for offer in offers)
            for (_, name), offers in self._offers.items()
            if len(offers) > 1
        }

    def create(
        self,
        kind: Kind,
        name: str,
        settings: Mapping[str, Any] | None = None,
        *,
        device: str = "cpu",
        dtype: str = "float32",
    ) -> Any:
        """Make the object of this kind and name; see `denoiser`, `wrapped` and `classifier` for those.

        Args:
            settings: checked against the factory's annotations; strings are converted to them, and references to
                denoisers and classifiers to those.
            device, dtype: of denoisers and classifiers that are made for its settings.

        Raises:
            PluginError: the name is unknown, claimed twice or of another kind; a setting is unknown, missing or wrong.
        """
        return self._make(kind, name, (), settings, device, dtype)

    def denoiser(
        self,
        reference: str,
        device: str = "cpu",
        dtype: str = "float32",
        settings: Mapping[str, Any] | None = None,
    ) -> Denoiser:
        """The denoiser of a reference; settings and errors as for `create`.

        Args:
            reference: "NAME", "NAME:ARGUMENT", the path of a checkpoint folder, with ":LABEL" behind it for one class
                of a class-conditional model, or the path of a picture. A name goes before a path; write ./NAME for a
                file that is called like a denoiser.
        """
        name, argument = self.resolve(reference)
        given = () if argument is None else (argument,)
        return cast(Denoiser, self._make("denoiser", name, given, settings, device, dtype))

    def wrapped(
        self,
        denoiser: Denoiser,
        name: str,
        settings: Mapping[str, Any] | None = None,
        device: str = "cpu",
        dtype: str = "float32",
    ) -> Denoiser:
        """A denoiser within the wrapper of this name; settings and errors as for `create`."""
        return cast(Denoiser, self._make("wrapper", name, (denoiser,), settings, device, dtype))

    def classifier(self, reference: str, device: str = "cpu") -> Classifier:
        """The classifier of "NAME" or "NAME:ARGUMENT"; errors as for `create`."""
        name, _, argument = reference.partition(":")
        given = (argument,) if argument else ()
        return cast(Classifier, self._make("classifier", name, given, None, device, "float32"))

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
        if path.is_dir():
            return "checkpoint", reference
        if path.is_file():
            return "photo", reference
        raise PluginError(
            f"No denoiser {reference!r}: it is neither a known name nor an existing file or folder."
            f"{did_you_mean(name, known)} Expected NAME or NAME:ARGUMENT with one of {_listed(known)}, "
            f"a checkpoint folder, or a picture.{self._absent()}"
        )

    def absolute(self, reference: str) -> str:
        """The reference with its path made absolute, if it has one, so that it holds wherever it is read.

        Raises:
            PluginError: as for `resolve`.
        """
        name, argument = self.resolve(reference)
        if argument is None or not mentions(self._offer(name).argument, Path):
            return reference
        path, label = split_label(argument)
        if not path.exists():
            return reference
        return reference.removesuffix(argument) + str(path.resolve()) + ("" if label is None else f":{label}")

    def _make(
        self,
        kind: Kind,
        name: str,
        one: tuple[object, ...],
        settings: Mapping[str, Any] | None,
        device: str,
        dtype: str,
    ) -> Any:
        """Call the factory of this kind and name: with one thing or none, its settings, and where to compute."""
        offer, settings = self._offer(name, kind), settings or {}
        if offer.kind != kind:
            raise PluginError(f"{name!r} is a {offer.kind}, not a {kind}. Known {kind}s: {_listed(self.names(kind))}.")
        references = {
            Denoiser: lambda reference: self.denoiser(reference, device, dtype),
            Classifier: lambda reference: self.classifier(reference, device),
        }
        computing = {"device": device, "dtype": dtype}
        given = {key: computing[key] for key in offer.call.given}
        known = [*offer.settings]
        problem = f"The {kind} {name!r} of {offer.plugin}: {{}} Its settings: {_listed(known)}.".format
        if reserved := settings.keys() & offer.reserved:
            raise PluginError(problem(unknown_setting(min(reserved), known)))
        try:
            return checked(offer.factory, references)(*one, **settings, **given)
        except ValueError as error:
            raise PluginError(problem(explained(error, known))) from error

    def _offer(self, name: str, kind: Kind | None = None) -> "_Offer":
        offers = self._offers.get(_key(name, kind)) or (self._offers.get(_key(name, "layout"), []) if not kind else [])
        if len(offers) > 1:
            claims = " and ".join(f"{offer.plugin} ({offer.kind})" for offer in offers)
            raise PluginError(
                f"{name!r} is claimed by {claims}. Uninstall one of them, "
                f"or list the plugins to load in the environment variable {ALLOW_LIST}."
            )
        if not offers:
            what, known = kind or "plugin", self.names(kind)
            raise PluginError(
                f"No {what} {name!r}.{did_you_mean(name, known)} Known {what}s: {_listed(known)}.{self._absent()}"
            )
        return offers[0]

    def _absent(self) -> str:
        """Who might have provided a name that is missing."""
        broken = [f"{plugin} ({plugin.error})" for plugin in self.plugins if plugin.status == "broken"]
        off = [str(plugin) for plugin in self.plugins if plugin.status == "off"]
        return (f" Broken plugins: {'; '.join(broken)}." if broken else "") + (
            f" Left out by {ALLOW_LIST}: {_listed(off)}." if off else ""
        )

    # ---- loading --------------------------------------------------------------------------------------------

    def _load(self, entry: metadata.EntryPoint) -> None:
        who = entry.name, *_distribution(entry)
        if not _is_allowed(entry.name, who[1]):
            self.plugins.append(PluginRecord(*who, status="off"))
            return
        try:
            self.register(entry.load(), *who)
        except (Exception, SystemExit) as error:  # whatever a stranger's module does when it is imported
            reason = str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
            self.plugins.append(PluginRecord(*who, status="broken", error=reason))

    def _ask(self, plugin: object, name: str) -> "dict[_Key, tuple[Kind, Factory]]":
        """Everything that a plugin offers, by name; a plugin that breaks a rule is not kept."""
        if self._manager.is_registered(plugin):
            raise PluginError("the same module is already registered by another entry point")
        try:
            self._manager.register(plugin, name)
            return _merged(_answers(self._manager, plugin))
        except BaseException:
            if self._manager.is_registered(plugin):  # pluggy may have refused it already
                self._manager.unregister(plugin)
            raise


_Key = tuple[bool, str]
"""Whether it is a layout, and the name."""


def _key(name: str, kind: Kind | None) -> _Key:
    """Names are unique over all kinds but layouts, which share theirs with the exporters of the same formats."""
    return kind == "layout", name


class _Call(NamedTuple):
    """How a factory is called, its settings apart."""

    one: bool = False
    """With one positional argument."""
    given: tuple[str, ...] = ()
    """With keyword arguments that say where to compute."""
    expected: str = "settings alone"


_CALLS: Mapping[Kind, _Call] = MappingProxyType(
    {
        "denoiser": _Call(True, ("device", "dtype"), "(argument=None, *, device='cpu', dtype='float32'), and settings"),
        "wrapper": _Call(True, (), "(denoiser), and settings"),
        "classifier": _Call(True, ("device",), "(argument=None, *, device='cpu')"),
    }
)


class _Offer(NamedTuple):
    kind: Kind
    factory: Factory
    plugin: PluginRecord

    @property
    def call(self) -> _Call:
        return _CALLS.get(self.kind, _Call())

    @property
    def settings(self) -> dict[str, Any]:
        """Each setting of the factory with its annotation."""
        annotations = [*self._annotations.items()][self.call.one :]
        return {name: annotation for name, annotation in annotations if name not in self.call.given}

    @property
    def reserved(self) -> set[str]:
        """What it is called with beside its settings."""
        return self._annotations.keys() - self.settings.keys()

    @property
    def argument(self) -> Any:
        """The annotation of the one positional argument."""
        return next(iter(self._annotations.values()))

    @property
    def _annotations(self) -> dict[str, Any]:
        parameters = inspect.signature(self.factory, eval_str=True).parameters
        return {name: parameter.annotation for name, parameter in parameters.items()}


def _answers(manager: pluggy.PluginManager, plugin: object) -> dict[str, object]:
    """What each hook of the plugin returns."""
    callers = manager.get_hookcallers(plugin) or []
    unknown = sorted(caller.name for caller in callers if caller.name not in HOOKS)
    if unknown:
        raise PluginError(
            f"unknown hook {unknown[0]!r}.{did_you_mean(unknown[0], HOOKS)} Known hooks: {_listed(HOOKS)}"
        )
    if not callers:
        raise PluginError(f"no hook under @hookimpl; expected one of {_listed(HOOKS)}")
    mine = {caller.name: impl for caller in callers for impl in caller.get_hookimpls() if impl.plugin is plugin}
    return {hook: mine[hook].function() for hook in HOOKS if hook in mine}


def _merged(answers: Mapping[str, object]) -> dict[_Key, tuple[Kind, Factory]]:
    offers: dict[_Key, tuple[Kind, Factory]] = {}
    for hook, answer in answers.items():
        if not isinstance(answer, Mapping):
            raise PluginError(f"{hook} returned {answer!r}; expected a dict of names and factories")
        for name, factory in answer.items():
            key = _key(_check_name(name, hook), HOOKS[hook])
            if key in offers:
                raise PluginError(f"it provides {name!r} twice, as {offers[key][0]} and as {HOOKS[hook]}")
            offers[key] = HOOKS[hook], _check_factory(factory, name, HOOKS[hook])
    return offers


def _check_name(name: object, hook: str) -> str:
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    raise PluginError(
        f"{hook} gave the name {name!r}; expected letters, digits, '-', '_' and '.', the first a letter or digit"
    )


def _check_factory(factory: object, name: str, kind: Kind) -> Factory:
    if not callable(factory):
        raise PluginError(f"the factory of {name!r} is {factory!r}; expected a class or function")
    signature = inspect.signature(factory, eval_str=True)
    call = _CALLS.get(kind, _Call())
    try:
        signature.bind_partial(*["one"] * call.one, **dict.fromkeys(call.given))
    except TypeError as error:
        raise PluginError(f"the {kind} {name!r} is made by {signature} ({error}); expected {call.expected}") from error
    return factory


def split_label(text: str) -> tuple[Path, str | None]:
    """The path and the label of "PATH" or "FOLDER:LABEL"; a path that exists may have colons of its own."""
    folder, colon, label = text.rpartition(":")
    if colon and not Path(text).exists() and Path(folder).is_dir():
        return Path(folder), label
    return Path(text), None


# ---- small things ---------------------------------------------------------------------------------------------


def _is_allowed(name: str, distribution: str) -> bool:
    listed = os.environ.get(ALLOW_LIST)
    if listed is None or _normal(distribution) in _OWN:
        return True
    return bool({_normal(name), _normal(distribution)} & {*map(_normal, listed.split(","))})


def _own_first(entry: metadata.EntryPoint) -> tuple[bool, str, str]:
    distribution, _ = _distribution(entry)
    return _normal(distribution) not in _OWN, distribution, entry.name


def _distribution(entry: metadata.EntryPoint) -> tuple[str, str]:
    return (entry.dist.name, entry.dist.version) if entry.dist else ("an unknown distribution", "")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
