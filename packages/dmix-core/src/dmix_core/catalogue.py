"""The catalogue: which plugins there are, and which of them provides which name."""

import sys
from contextlib import redirect_stdout
from dataclasses import replace
from typing import Self

import pluggy

from . import hookspecs
from .discovery import ALLOW_LIST, Installed, PluginRecord, incompatibility, installed, is_allowed
from .errors import PluginError, did_you_mean
from .kinds import KINDS, Key, Kind, key_of
from .offers import Factory, Offer, answers, listed


class Catalogue:
    """Names of all kinds, each with the factory behind it."""

    def __init__(self) -> None:
        self.plugins: list[PluginRecord] = []
        self._offers: dict[Key, list[Offer]] = {}
        self._manager = pluggy.PluginManager("dmix")
        self._manager.add_hookspecs(hookspecs)

    @classmethod
    def load(cls) -> Self:
        """A catalogue of everything that is installed.

        Entry points are loaded one by one, so that a broken plugin is recorded and hurts nobody else. The environment
        variable DMIX_PLUGINS limits them, see `discovery.is_allowed`. What plugins print meanwhile goes to stderr.
        """
        catalogue, found = cls(), installed()
        for plugin in found:
            catalogue.plugins.append(catalogue._load(plugin, found))
        return catalogue

    def register(self, plugin: object, name: str, distribution: str = "this program", version: str = "") -> None:
        """Add a plugin that is not installed: a module or object with hook implementations.

        Raises:
            PluginError: what is wrong with it; nothing of it is kept.
        """
        self.plugins.append(self._register(plugin, PluginRecord(name, distribution, version)))

    def names(self, kind: Kind | None = None) -> list[str]:
        """The names of one kind, or of all, sorted."""
        return sorted({key.name for key, offers in self._offers.items() if kind in {None, *(o.kind for o in offers)}})

    @property
    def conflicts(self) -> dict[str, tuple[str, ...]]:
        """Names that several plugins claim, with the distributions that do."""
        return {
            key.name: tuple(str(offer.plugin) for offer in offers)
            for key, offers in self._offers.items()
            if len(offers) > 1
        }

    @property
    def refused(self) -> dict[str, tuple[str, ...]]:
        """dmix's own names that plugins claim, which they do not get, with the distributions that do."""
        names = sorted({name for plugin in self.plugins for name in plugin.refused})
        return {name: tuple(str(each) for each in self.plugins if name in each.refused) for name in names}

    def offer(self, name: str, kind: Kind | None = None) -> Offer:
        """The one offer of this name, and of this kind where the kind's names are apart; errors call it by the kind.

        Raises:
            PluginError: no plugin provides it, or two do.
        """
        offers = self._offers.get(key_of(name, kind), []) or ([] if kind else self._apart(name))
        if len(offers) > 1:
            claims = " and ".join(f"{offer.plugin} ({offer.kind})" for offer in offers)
            raise PluginError(
                f"{name!r} is claimed by {claims}. Uninstall one of them, "
                f"or list the plugins to load in the environment variable {ALLOW_LIST}."
            )
        if not offers:
            what, known = kind or "plugin", self.names(kind)
            raise PluginError(
                f"No {what} {name!r}.{did_you_mean(name, known)} Known {what}s: {listed(known)}.{self._absent()}"
            )
        return offers[0]

    def _apart(self, name: str) -> list[Offer]:
        """The offers of this name that are of the first kind whose names are apart and that has it."""
        keys = [key_of(name, kind) for kind in KINDS if KINDS[kind].apart]
        return next((self._offers[key] for key in keys if key in self._offers), [])

    def _absent(self) -> str:
        """Who might have provided a name that is missing."""
        broken = [f"{plugin} ({plugin.error})" for plugin in self.plugins if plugin.status == "broken"]
        off = [str(plugin) for plugin in self.plugins if plugin.status == "off"]
        return (f" Broken plugins: {'; '.join(broken)}." if broken else "") + (
            f" Left out by {ALLOW_LIST}: {listed(off)}." if off else ""
        )

    # ---- loading --------------------------------------------------------------------------------------------

    def _load(self, plugin: Installed, found: list[Installed]) -> PluginRecord:
        """Import a plugin and keep what it offers; returns what became of it."""
        record = plugin.record
        if not is_allowed(plugin, found):
            return replace(record, status="off")
        try:
            if reason := incompatibility(plugin):
                raise PluginError(reason)
            with redirect_stdout(sys.stderr):
                return self._register(plugin.entry.load(), record)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a foreign module may raise anything when it is imported
            reason = str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
            return replace(record, status="broken", error=reason)

    def _register(self, plugin: object, record: PluginRecord) -> PluginRecord:
        """Keep what a plugin offers, less the names that dmix itself has; returns its record."""
        offers = self._ask(plugin, f"{record.distribution}:{record.name}")
        refused = set() if record.is_own else offers.keys() & self._own_names
        kept = {key: offers[key] for key in sorted(offers.keys() - refused, key=lambda key: key.name)}
        provides = {kind: tuple(key.name for key in kept if kept[key][0] == kind) for kind in KINDS}
        provides = {kind: names for kind, names in provides.items() if names}
        record = replace(record, provides=provides, refused=tuple(sorted(key.name for key in refused)))
        for key, (kind, factory) in kept.items():
            self._offers.setdefault(key, []).append(Offer(kind, factory, record))
        return record

    @property
    def _own_names(self) -> set[Key]:
        return {key for key, offers in self._offers.items() if offers[0].plugin.is_own}

    def _ask(self, plugin: object, name: str) -> dict[Key, tuple[Kind, Factory]]:
        """Everything that a plugin offers, by name; a plugin that breaks a rule is not kept."""
        if self._manager.is_registered(plugin):
            raise PluginError("the same module is already registered by another entry point")
        try:
            self._manager.register(plugin, name)
            return answers(self._manager, plugin)
        except BaseException:
            if self._manager.is_registered(plugin):  # pluggy may have refused it already
                self._manager.unregister(plugin)
            raise
