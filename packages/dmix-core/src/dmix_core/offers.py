"""What a plugin offers: names with the factories behind them, read from its hooks and checked."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pluggy

from .discovery import PluginRecord
from .errors import PluginError, did_you_mean
from .kinds import HOOKS, KINDS, Form, Key, Kind, key_of

Factory = Callable[..., Any]

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


class Offer(NamedTuple):
    """A factory that a plugin brings under some name."""

    kind: Kind
    factory: Factory
    plugin: PluginRecord

    @property
    def form(self) -> Form:
        return KINDS[self.kind]

    @property
    def settings(self) -> dict[str, inspect.Parameter]:
        """Each setting of the factory."""
        parameters = [*self._parameters.items()][self.form.one :]
        return {name: parameter for name, parameter in parameters if name not in self.form.given}

    @property
    def reserved(self) -> set[str]:
        """What it is called with beside its settings."""
        return self._parameters.keys() - self.settings.keys()

    @property
    def argument(self) -> Any:
        """The annotation of the one positional argument."""
        return next(iter(self._parameters.values())).annotation

    @property
    def arguments(self) -> Sequence[str]:
        """The arguments that the factory names in an attribute `arguments`, such as a model's classes."""
        return getattr(self.factory, "arguments", ())

    @property
    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        return inspect.signature(self.factory, eval_str=True).parameters


def answers(manager: pluggy.PluginManager, plugin: object) -> dict[Key, tuple[Kind, Factory]]:
    """Everything that a registered plugin offers, by name.

    Raises:
        PluginError: it has no hook or an unknown one, or a hook returned something else than names and factories.
    """
    callers = manager.get_hookcallers(plugin) or []
    unknown = sorted(caller.name for caller in callers if caller.name not in HOOKS)
    if unknown:
        raise PluginError(f"unknown hook {unknown[0]!r}.{did_you_mean(unknown[0], HOOKS)} Known hooks: {listed(HOOKS)}")
    if not callers:
        raise PluginError(f"no hook under @hookimpl; expected one of {listed(HOOKS)}")
    mine = {caller.name: impl for caller in callers for impl in caller.get_hookimpls() if impl.plugin is plugin}
    return _merged({hook: mine[hook].function() for hook in HOOKS if hook in mine})


def _merged(returned: Mapping[str, object]) -> dict[Key, tuple[Kind, Factory]]:
    offers: dict[Key, tuple[Kind, Factory]] = {}
    for hook, answer in returned.items():
        if not isinstance(answer, Mapping):
            raise PluginError(f"{hook} returned {answer!r}; expected a dict of names and factories")
        for name, factory in answer.items():
            key = key_of(_check_name(name, hook), HOOKS[hook])
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
    signature, form = inspect.signature(factory, eval_str=True), KINDS[kind]
    try:
        signature.bind_partial(*["one"] * form.one, **dict.fromkeys(form.given))
    except TypeError as error:
        raise PluginError(f"the {kind} {name!r} is made by {signature} ({error}); expected {form.expected}") from error
    return factory


def listed(names: Iterable[str]) -> str:
    """Names for a message, with commas between."""
    return ", ".join(names) or "none"
