"""The plugin guide: its code runs, it is as short as it says, and every hook is in it."""

import re
import tomllib

import pytest

from dmix_core.hookspecs import hookimpl
from dmix_core.registry import HOOKS, Registry


@pytest.fixture(scope="session")
def guide(repo):
    return (repo / "plugins/README.md").read_text(encoding="utf-8")


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def test_the_plugin_has_at_most_twenty_lines(guide):
    assert len(blocks(guide, "python")[0].splitlines()) <= 20


def test_the_plugin_works_and_passes_its_test(guide):
    module, test = blocks(guide, "python")
    names = {}
    exec(module, names)
    exec(test, names)
    names["test_it_is_a_merge_rule"]()
    plugin = type("Plugin", (), {"dmix_merge_rules": staticmethod(names["dmix_merge_rules"])})
    registry = Registry()
    registry.register(plugin, "guide")
    assert registry.create("merge rule", "average", {"threshold": "0.3"}).threshold == 0.3


def test_the_readme_shows_the_same_plugin(guide, repo):
    readme = (repo / "README.md").read_text(encoding="utf-8")
    assert blocks(guide, "python")[0] in blocks(readme, "python")
    assert blocks(guide, "toml")[0] in blocks(readme, "toml")


def test_the_entry_point_is_in_our_group(guide):
    (text,) = blocks(guide, "toml")
    assert tomllib.loads(text)["project"]["entry-points"] == {"dmix": {"average": "my_average"}}
    assert "`my_average.py`" in guide


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_explained(guide, hook):
    assert f"| `{hook}` |" in guide


def test_every_hook_spec_has_a_kind_and_a_sentence():
    from dmix_core import hookspecs

    specs = {name: function for name, function in vars(hookspecs).items() if name.startswith("dmix_")}
    assert specs.keys() == HOOKS.keys()
    assert all(function.__doc__ for function in specs.values())


def test_links_lead_to_files(guide, repo):
    assert [link for link in re.findall(r"\]\(([^):#]+)\)", guide) if not (repo / "plugins" / link).exists()] == []


def test_the_marker_is_ours():
    assert hookimpl.project_name == "dmix"
