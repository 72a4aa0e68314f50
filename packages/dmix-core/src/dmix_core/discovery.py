"""Which plugins are installed, which of them may be loaded, and whether they suit the installed dmix.

Nothing of a plugin is imported to find that out.
"""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Literal, NamedTuple

from .kinds import Kind

GROUP = "dmix"
"""Entry points that name modules with hooks."""
COMMANDS = "dmix_commands"
"""Entry points that name click commands; the name is the command's."""
ALLOW_LIST = "DMIX_PLUGINS"
_OWN = {"dmix-core", "dmix-data", "dmix-models", "dmix-cli", "dmix-eval", "dmix-factory"}


@dataclass(frozen=True)
class PluginRecord:
    """One entry point of the group "dmix" and what became of it.

    Attributes:
        name: the entry point's.
        distribution: the installed package's, with its version.
        provides: the names that it provides, by kind.
        refused: names that it claims and does not get, because dmix itself has them.
        status: "ok", "broken" (see error), or "off": left out by the environment variable DMIX_PLUGINS.
        error: why it is broken.
    """

    name: str
    distribution: str
    version: str
    provides: Mapping[Kind, tuple[str, ...]] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    status: Literal["ok", "broken", "off"] = "ok"
    error: str | None = None

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"

    @property
    def is_own(self) -> bool:
        """Whether it is a part of dmix itself."""
        return _normal(self.distribution) in _OWN


class Installed(NamedTuple):
    """An entry point, and the distribution that brings it."""

    entry: metadata.EntryPoint
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"

    @property
    def record(self) -> PluginRecord:
        return PluginRecord(self.entry.name, self.distribution, self.version)


def installed(group: str = GROUP) -> list[Installed]:
    """The entry points of a group, dmix's own first."""
    found = [Installed(entry, *_distribution(entry)) for entry in metadata.entry_points(group=group)]
    return sorted(found, key=lambda each: (not each.record.is_own, each.distribution, each.entry.name))


def is_allowed(plugin: Installed, among: Iterable[Installed]) -> bool:
    """Whether the environment variable DMIX_PLUGINS lets this plugin be loaded.

    Unless it is set, every plugin may be; dmix's own packages always may. It lists, separated by commas,

    - a distribution, such as `dmix-soft-mask`, or `soft-mask` for short: the part behind "dmix-";
    - one entry point of a distribution, such as `acme-mix:average`;
    - the name of an entry point alone, where no distribution is called so and only one has it.

    Args:
        among: all entry points of the group, which decide what a name alone means.
    """
    listed = os.environ.get(ALLOW_LIST)
    if listed is None or plugin.record.is_own:
        return True
    everything = [*among]
    return any(_is_meant(_normal(item), plugin, everything) for item in listed.split(","))


def _is_meant(item: str, plugin: Installed, among: Iterable[Installed]) -> bool:
    distribution, name = _normal(plugin.distribution), _normal(plugin.entry.name)
    if ":" in item:
        return item == f"{distribution}:{name}"
    bearers = {_normal(each.distribution) for each in among}
    for called in (item, f"dmix-{item}"):
        if called in bearers:
            return called == distribution
    owners = {_normal(each.distribution) for each in among if _normal(each.entry.name) == item}
    return name == item and owners == {distribution}


def incompatibility(plugin: Installed) -> str | None:
    """Which of dmix's packages the plugin requires in another version than the installed one; None: it suits."""
    from packaging.requirements import Requirement  # only the loading of plugins needs it

    texts = (plugin.entry.dist and plugin.entry.dist.requires) or ()
    for requirement in map(Requirement, texts):
        if _normal(requirement.name) not in _OWN or (requirement.marker and not requirement.marker.evaluate()):
            continue
        version = metadata.version(requirement.name)
        if not requirement.specifier.contains(version, prereleases=True):
            return f"it requires {requirement}, but {requirement.name} {version} is installed; upgrade one of them"
    return None


def _distribution(entry: metadata.EntryPoint) -> tuple[str, str]:
    return (entry.dist.name, entry.dist.version) if entry.dist else ("an unknown distribution", "")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
