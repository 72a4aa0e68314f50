"""The registry: loading one by one, names, settings, references of denoisers."""

import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import pytest
import torch
from PIL import Image

from dmix_core import Ancestral, Classifier, Denoiser, Descent, HardMask, Spec, StillImage, TailResampling, hookspecs
from dmix_core.backends import Compute
from dmix_core.errors import CompositionError, DmixError, ImageError, PluginError, ScheduleError
from dmix_core.hookspecs import hookimpl
from dmix_core.kinds import HOOKS
from dmix_core.registry import Registry
from dmix_core.testing import GaussianDenoiser


@pytest.fixture(scope="module")
def registry():
    """What is installed."""
    return Registry.load()


@pytest.fixture
def add(tmp_path, monkeypatch):
    """add(code, ...): a distribution with one module, found like an installed one until the test ends."""
    monkeypatch.syspath_prepend(tmp_path)
    modules = []

    def add(code, name="stranger", distribution="some-stranger", version="1.0"):
        modules.append(module := f"{distribution.replace('-', '_')}_{name}")
        (tmp_path / f"{module}.py").write_text(code)
        info = tmp_path / f"{distribution}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[dmix]\n{name} = {module}\n")

    yield add
    for module in modules:
        sys.modules.pop(module, None)


def plugin(**hooks):
    """An object with these hooks, each returning what is given."""
    return type("Plugin", (), {hook: staticmethod(hookimpl(_returning(answer))) for hook, answer in hooks.items()})


def _returning(answer):
    def hook():
        return answer

    return hook


class Made(SimpleNamespace):
    """What a factory was given, in the form of a denoiser and an exporter."""

    spec = noise = open = None

    def __call__(self):
        raise AssertionError("never called")


def registered(**hooks):
    registry = Registry()
    registry.register(plugin(**hooks), "it", "the-test", "1.0")
    return registry


# ---- what is built in -----------------------------------------------------------------------------------------


def test_built_ins_come_in_through_entry_points(registry):
    core = next(plugin for plugin in registry.plugins if plugin.distribution == "dmix-core")
    assert (core.name, core.status) == ("core", "ok")
    assert core.provides["merge rule"] == ("hard-mask",)
    assert core.provides["timestep schedule"] == ("descent", "tail-resampling")
    assert core.provides["stepper"] == ("ancestral", "ddim")
    assert core.provides["denoiser"] == ("photo",)


def test_models_come_in_through_entry_points(registry):
    models = next(plugin for plugin in registry.plugins if plugin.distribution == "dmix-models")
    assert models.status == "ok"
    assert "checkpoint" in models.provides["denoiser"]


def test_an_empty_registry_knows_nothing():
    with pytest.raises(PluginError, match=r"No merge rule 'hard-mask'\. Known merge rules: none\."):
        Registry().create("merge rule", "hard-mask")


@pytest.mark.parametrize(
    ("kind", "name", "settings", "made"),
    [
        ("merge rule", "hard-mask", {}, HardMask()),
        ("merge rule", "hard-mask", {"threshold": 0.7}, HardMask(0.7)),
        ("merge rule", "hard-mask", {"threshold": "0.7"}, HardMask(0.7)),
        ("timestep schedule", "descent", None, Descent()),
        ("stepper", "ancestral", {}, Ancestral()),
        ("timestep schedule", "tail-resampling", {"resamples": "5"}, TailResampling(resamples=5)),
    ],
)
def test_create_makes_what_the_name_stands_for(registry, kind, name, settings, made):
    assert registry.create(kind, name, settings) == made


def test_names_and_kinds(registry):
    assert {"descent", "tail-resampling"} <= {*registry.names("timestep schedule")}
    assert "hard-mask" not in registry.names("timestep schedule")
    assert {"hard-mask", "descent", "photo", "checkpoint"} <= {*registry.names()}
    assert registry.kind_of("photo") == "denoiser"


# ---- wrong names and settings ---------------------------------------------------------------------------------


def test_an_unknown_name_gets_a_suggestion_and_the_known_ones(registry):
    with pytest.raises(PluginError, match=r"No merge rule 'hard-msk'\. Did you mean 'hard-mask'\? Known .*hard-mask"):
        registry.create("merge rule", "hard-msk")
    with pytest.raises(PluginError, match=r"No plugin 'desent'\. Did you mean 'descent'\?"):
        registry.kind_of("desent")


def test_a_name_of_another_kind_is_told_so(registry):
    with pytest.raises(PluginError, match="'descent' is a timestep schedule, not a merge rule"):
        registry.create("merge rule", "descent")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"treshold": 1}, r"it has no setting 'treshold'\. Did you mean 'threshold'\? Its settings: threshold\."),
        ({"threshold": "half"}, r"threshold is 'half'; .*valid number"),
        ({"threshold": None}, r"threshold is None; .*valid number"),
    ],
)
def test_wrong_settings_are_explained(registry, settings, message):
    with pytest.raises(PluginError, match=rf"The merge rule 'hard-mask' of dmix-core \S+: {message}"):
        registry.create("merge rule", "hard-mask", settings)


def test_what_a_factory_refuses_is_passed_on(registry):
    with pytest.raises(CompositionError, match="threshold is 7"):
        registry.create("merge rule", "hard-mask", {"threshold": "7"})
    with pytest.raises(ScheduleError, match="jump_length is -1"):
        registry.create("timestep schedule", "tail-resampling", {"jump_length": "-1"})


def test_settings_of_functions_and_of_plain_classes():
    def function(mode: Literal["a", "b"], *, flag: bool = False, free=None):
        return Made(given=(mode, flag, free))

    class Plain:
        def __init__(self, sizes: tuple[int, ...] = (), device: torch.device | None = None):
            self.sizes = sizes

        def __call__(self, steps):
            return range(steps, -1, -1)

    registry = registered(dmix_exporters={"function": function}, dmix_timestep_schedules={"plain": Plain})
    made = registry.create("exporter", "function", {"mode": "b", "flag": "true", "free": "x"})
    assert made.given == ("b", True, "x")
    assert registry.create("timestep schedule", "plain", {"sizes": [1, 2]}).sizes == (1, 2)
    with pytest.raises(PluginError, match=r"it needs the setting 'mode'\. Its settings: mode, flag, free"):
        registry.create("exporter", "function")
    with pytest.raises(PluginError, match=r"mode is 'c'; Input should be 'a' or 'b'"):
        registry.create("exporter", "function", {"mode": "c"})


def test_a_value_error_is_explained_and_a_bug_is_not_hidden():
    def refuses():
        raise ValueError("the moon is full")

    def fails():
        raise KeyError("bug")

    registry = registered(dmix_exporters={"refuses": refuses, "fails": fails})
    with pytest.raises(PluginError, match=r"'refuses' of the-test 1\.0: the moon is full"):
        registry.create("exporter", "refuses")
    with pytest.raises(KeyError):
        registry.create("exporter", "fails")


# ---- denoisers by reference -----------------------------------------------------------------------------------


@pytest.fixture
def wall(tmp_path):
    Image.new("RGB", (5, 4), (255, 0, 51)).save(tmp_path / "wall.png")
    return tmp_path / "wall.png"


@pytest.mark.parametrize("reference", ["photo:{}", "{}"])
def test_a_photograph_by_name_or_path(registry, wall, reference):
    denoiser = registry.denoiser(reference.format(wall))
    assert isinstance(denoiser, StillImage)
    assert denoiser.spec[:3] == ((4, 5), 3, 0)
    assert denoiser.image[:, 0, 0].tolist() == pytest.approx([1, -1, -0.6])


@pytest.mark.parametrize(("alpha", "masks"), [(255, 0), (254, 1), (0, 1)])
def test_a_photograph_with_a_hole_owns_what_is_opaque(registry, tmp_path, alpha, masks):
    picture = Image.new("RGBA", (5, 4), (255, 0, 51, 255))
    picture.putpixel((2, 1), (0, 0, 0, alpha))
    picture.save(tmp_path / "a.png")
    denoiser = registry.denoiser(str(tmp_path / "a.png"))
    assert denoiser.spec[:3] == ((4, 5), 3, masks)
    assert denoiser.image[3:].sum() == pytest.approx(masks * (19 + 2 * alpha / 255 - 1), abs=1e-5)


def test_a_path_with_a_colon(registry, tmp_path, wall):
    other = wall.rename(tmp_path / "c: wall.png")
    assert registry.denoiser(str(other)).spec.size == (4, 5)
    assert registry.denoiser(f"photo:{other}").spec.size == (4, 5)


def test_a_photograph_needs_a_picture(registry, tmp_path):
    with pytest.raises(PluginError, match=r"'photo' needs the path of a picture; expected photo:PATH"):
        registry.denoiser("photo")
    with pytest.raises(ImageError, match=r"no picture .*absent\.png"):
        registry.denoiser(f"photo:{tmp_path / 'absent.png'}")
    with pytest.raises(ImageError, match="Cannot read"):
        registry.denoiser(__file__)


def test_a_folder_is_a_checkpoint(registry, tmp_path):
    with pytest.raises(DmixError, match=r"config\.json"):
        registry.denoiser(str(tmp_path))
    with pytest.raises(DmixError, match=r"config\.json"):
        registry.denoiser(f"checkpoint:{tmp_path}")
    with pytest.raises(PluginError, match=r"'checkpoint' needs a folder"):
        registry.denoiser("checkpoint")


def test_an_unknown_reference(registry):
    with pytest.raises(PluginError, match=r"No denoiser 'phto:x': .*Did you mean 'photo'\?.*NAME:ARGUMENT"):
        registry.denoiser("phto:x")


def painting(argument: str | None = None, *, device: str = "cpu", dtype: str = "float32", shade: float = 0, hue="red"):
    return Made(shade=shade, given=(argument, device, dtype, hue))


def test_a_denoiser_may_have_settings_of_its_own():
    registry = registered(dmix_denoisers={"made": painting})
    assert registry.settings("made") == ["shade", "hue"]
    made = registry.denoiser("made:a", Compute("cuda:1", "bfloat16"), {"shade": "0.5", "hue": "blue"})
    assert (made.shade, made.given) == (0.5, ("a", "cuda:1", "bfloat16", "blue"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shad": 1}, r"it has no setting 'shad'\. Did you mean 'shade'\? Its settings: shade, hue\."),
        ({"device": "cuda"}, r"it has no setting 'device'\..* Its settings: shade, hue\."),
        ({"argument": "b"}, r"it has no setting 'argument'\. Its settings: shade, hue\."),
        ({"shade": "dark"}, r"shade is 'dark'; .*valid number"),
    ],
)
def test_wrong_settings_of_a_denoiser_are_explained(settings, message):
    registry = registered(dmix_denoisers={"made": painting})
    with pytest.raises(PluginError, match=rf"The denoiser 'made' of the-test 1\.0: {message}"):
        registry.denoiser("made:a", settings=settings)


def test_a_denoiser_without_settings_says_so(registry):
    with pytest.raises(PluginError, match=r"no setting 'size'\. Its settings: none\."):
        registry.denoiser("photo:x", settings={"size": 3})


def test_a_setting_may_be_needed():
    def needy(argument=None, *, device="cpu", dtype="float32", prompt: str):
        return Made(given=prompt)

    registry = registered(dmix_denoisers={"needy": needy})
    assert registry.denoiser("needy", settings={"prompt": "a crack"}).given == "a crack"
    with pytest.raises(PluginError, match=r"it needs the setting 'prompt'\. Its settings: prompt\."):
        registry.denoiser("needy")


def test_device_and_dtype_reach_the_factory():
    def factory(argument: str | None = None, *, device: str = "cpu", dtype: Literal["float32", "bfloat16"] = "float32"):
        return Made(given=(argument, device, dtype))

    registry = registered(dmix_denoisers={"made": factory})
    assert registry.denoiser("made", Compute("cuda:1", "bfloat16")).given == (None, "cuda:1", "bfloat16")
    assert registry.denoiser("made:a:b").given == ("a:b", "cpu", "float32")
    with pytest.raises(PluginError, match=r"dtype is 'float8'; Input should be 'float32' or 'bfloat16'"):
        registry.denoiser("made", Compute(dtype="float8"))


# ---- wrappers and classifiers ---------------------------------------------------------------------------------


@dataclass
class Between:
    """Half of one denoiser, half of another, as a classifier predicts."""

    denoiser: Denoiser
    other: Denoiser
    classifier: Classifier | None = None
    share: float = 0.5
    spec = noise = None

    def __call__(self, x_t, t):
        raise AssertionError("never called")


def likely(argument: str = "1", *, device: str = "cpu"):
    def log_p(x_t, t, noise):
        return -float(argument) * x_t.flatten(1).sum(1)

    log_p.made = argument, device
    return log_p


class Pair:
    """A plugin of a denoiser, a wrapper and a classifier."""

    @staticmethod
    @hookimpl
    def dmix_denoisers():
        def made(argument=None, *, device="cpu", dtype="float32"):
            return GaussianDenoiser(Spec((4, 4), int(argument or 3)), (device, dtype))

        return {"made": made}

    @staticmethod
    @hookimpl
    def dmix_wrappers():
        return {"between": Between}

    @staticmethod
    @hookimpl
    def dmix_classifiers():
        return {"likely": likely}


@pytest.fixture
def pairs():
    registry = Registry()
    registry.register(Pair, "pair", "the-test", "1.0")
    return registry


def test_a_wrapper_wraps_and_its_settings_are_made_of_references(pairs):
    inside = pairs.denoiser("made")
    settings = {"other": "made:1", "classifier": "likely:3", "share": "0.25"}
    wrapped = pairs.wrapped(inside, "between", settings, Compute("cuda:1", "bfloat16"))
    assert (wrapped.denoiser, wrapped.share) == (inside, 0.25)
    assert (wrapped.other.spec.image_channels, wrapped.other.mean) == (1, ("cuda:1", "bfloat16"))
    assert wrapped.classifier.made == ("3", "cuda:1")


def test_a_setting_that_is_a_denoiser_may_be_given_as_one(pairs):
    inside = pairs.denoiser("made")
    assert pairs.wrapped(inside, "between", {"other": inside}).other is inside


def test_settings_and_kinds_of_wrappers_and_classifiers(pairs):
    assert pairs.settings("between") == ["other", "classifier", "share"]
    assert pairs.model_settings("between") == ["other"]
    assert pairs.settings("likely") == []
    assert [pairs.kind_of(name) for name in ("between", "likely")] == ["wrapper", "classifier"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, r"The wrapper 'between' of the-test 1\.0: it needs the setting 'other'\."),
        ({"other": "mode:1"}, r"No denoiser 'mode:1'.* Did you mean 'made'\?"),
        ({"other": 3}, r"other is 3; Input should be an instance of Denoiser"),
        ({"other": "made", "classifier": "like"}, r"No classifier 'like'\. Did you mean 'likely'\?"),
        ({"other": "made", "classifier": "made"}, r"'made' is a denoiser, not a classifier"),
        ({"other": "made", "shar": 1}, r"no setting 'shar'\. Did you mean 'share'\? .*: other, classifier, share\."),
        ({"other": "made", "denoiser": "made"}, r"it has no setting 'denoiser'\."),
    ],
)
def test_wrong_settings_of_a_wrapper_are_explained(pairs, settings, message):
    with pytest.raises(PluginError, match=message):
        pairs.wrapped(pairs.denoiser("made"), "between", settings)


def test_a_wrapper_of_another_kind_is_told_so(pairs):
    with pytest.raises(PluginError, match=r"'likely' is a classifier, not a wrapper\. Known wrappers: between\."):
        pairs.wrapped(pairs.denoiser("made"), "likely")


# ---- references that are paths --------------------------------------------------------------------------------


def test_paths_in_references_become_absolute(registry, tmp_path, wall, monkeypatch):
    (tmp_path / "runs/defects").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for typed, absolute in {
        "wall.png": f"{tmp_path}/wall.png",
        "photo:wall.png": f"photo:{tmp_path}/wall.png",
        "runs/defects": f"{tmp_path}/runs/defects",
        "runs/defects/": f"{tmp_path}/runs/defects",
        "runs/defects:crack": f"{tmp_path}/runs/defects:crack",
        "checkpoint:runs/defects": f"checkpoint:{tmp_path}/runs/defects",
        "checkpoint:runs/defects:crack": f"checkpoint:{tmp_path}/runs/defects:crack",
        "photo:absent.png": "photo:absent.png",
        "tiles": "tiles",
    }.items():
        assert registry.absolute(typed) == absolute


def test_only_arguments_that_may_be_paths_become_absolute(tmp_path, monkeypatch):
    def pipeline(argument: str | Path, *, device: str = "cpu", dtype: str = "float32"):
        return Made(given=argument)

    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    registry = registered(dmix_denoisers={"made": painting, "pipeline": pipeline})
    assert registry.absolute("made:here") == "made:here"
    assert registry.absolute("pipeline:here") == f"pipeline:{tmp_path}/here"
    assert registry.absolute("pipeline:hub/name") == "pipeline:hub/name"
    assert registry.denoiser("pipeline:hub/name").given == "hub/name"


def test_a_label_stands_behind_the_path_of_a_folder(registry, tmp_path):
    assert registry.resolve(f"{tmp_path}:crack") == ("checkpoint", f"{tmp_path}:crack")
    (tmp_path / "a:b").mkdir()
    assert registry.resolve(f"{tmp_path}/a:b") == ("checkpoint", f"{tmp_path}/a:b")
    with pytest.raises(PluginError, match="neither a known name nor an existing file or folder"):
        registry.resolve(f"{tmp_path}/c:b")


def test_a_name_that_was_retired_says_what_to_use(registry, tmp_path, monkeypatch):
    with pytest.raises(PluginError, match=r"No denoiser 'blowhole': it was bundled until 0\.2\. Use defects:blowhole"):
        registry.denoiser("blowhole")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "blowhole").mkdir()
    assert registry.resolve("blowhole") == ("checkpoint", "blowhole")


def test_references_are_names_and_the_arguments_that_factories_name():
    def plain(argument=None, *, device="cpu", dtype="float32"):
        raise AssertionError("nothing is made")

    def classed(argument=None, *, device="cpu", dtype="float32"):
        raise AssertionError("nothing is made")

    classed.arguments = ("crack", "hole")
    registry = registered(dmix_denoisers={"plain": plain, "classed": classed})
    assert [each for each in registry.references() if each.startswith(("plain", "classed"))] == [
        "classed:crack",
        "classed:hole",
        "plain",
    ]


# ---- plugins that break ---------------------------------------------------------------------------------------

IMPORT = "from dmix_core.hookspecs import hookimpl\n"
BROKEN = {
    "import acme_nowhere": "ModuleNotFoundError: No module named 'acme_nowhere'",
    "def f(:": "SyntaxError: invalid syntax",
    "1 / 0": "ZeroDivisionError: division by zero",
    "import sys; sys.exit(3)": "SystemExit: 3",
    "def dmix_merge_rules(): return {}": "no hook under @hookimpl; expected one of dmix_merge_rules",
    IMPORT + "@hookimpl\ndef dmix_merge_rulez(): return {}": "unknown hook 'dmix_merge_rulez'. Did you mean 'dmix_mer",
    IMPORT + "@hookimpl\ndef dmix_merge_rules(config): return {}": "PluginValidationError: ",
    IMPORT + "@hookimpl\ndef dmix_merge_rules(): 1 / 0": "ZeroDivisionError: division by zero",
    IMPORT + "@hookimpl\ndef dmix_merge_rules(): pass": "dmix_merge_rules returned None; expected a dict",
    IMPORT + "@hookimpl\ndef dmix_merge_rules(): return {'a b': print}": "dmix_merge_rules gave the name 'a b'",
    IMPORT + "@hookimpl\ndef dmix_merge_rules(): return {'a:b': print}": "dmix_merge_rules gave the name 'a:b'",
    IMPORT + "@hookimpl\ndef dmix_merge_rules(): return {7: print}": "dmix_merge_rules gave the name 7",
    IMPORT + "@hookimpl\ndef dmix_merge_rules(): return {'a': 7}": "the factory of 'a' is 7; expected a class or",
    IMPORT + "def f(x: Unknown): 0\n@hookimpl\ndef dmix_exporters(): return {'a': f}": "NameError: name 'Unknown'",
    IMPORT + "@hookimpl\ndef dmix_denoisers(): return {'a': lambda path: 0}": "the denoiser 'a' is made by (path)",
    IMPORT + "@hookimpl\ndef dmix_wrappers(): return {'a': lambda: 0}": "the wrapper 'a' is made by ()",
    IMPORT + "@hookimpl\ndef dmix_classifiers(): return {'a': lambda path: 0}": "the classifier 'a' is made by (path)",
    IMPORT
    + "@hookimpl\ndef dmix_merge_rules(): return {'a': f}\n@hookimpl\ndef dmix_exporters(): return {'a': f}\n"
    + "def f(): 0": "it provides 'a' twice, as merge rule and as exporter",
}


@pytest.mark.parametrize("code", BROKEN, ids=[reason[:30] for reason in BROKEN.values()])
def test_a_broken_plugin_is_recorded_and_hurts_nobody_else(add, code):
    add(code)
    add(IMPORT + "@hookimpl\ndef dmix_merge_rules(): return {'fine': lambda: 0}", "other", "an-other")
    registry = Registry.load()
    (broken,) = [plugin for plugin in registry.plugins if plugin.distribution == "some-stranger"]
    assert (broken.name, broken.version, broken.status) == ("stranger", "1.0", "broken")
    assert broken.error.startswith(BROKEN[code])
    assert not broken.provides
    assert registry.create("merge rule", "hard-mask") == HardMask()
    assert registry.kind_of("fine") == "merge rule"


def test_registering_a_broken_plugin_leaves_the_registry_as_it_was():
    registry = Registry()
    with pytest.raises(PluginError, match="expected a dict"):
        registry.register(plugin(dmix_merge_rules=None), "it")
    assert (registry.plugins, registry.names()) == ([], [])
    registry.register(plugin(dmix_merge_rules={"a": HardMask}), "it")
    assert registry.names() == ["a"]


def test_the_same_module_twice_is_refused():
    registry, same = Registry(), plugin(dmix_merge_rules={"a": HardMask})
    registry.register(same, "one")
    with pytest.raises(PluginError, match="already registered"):
        registry.register(same, "two")
    assert registry.create("merge rule", "a") == HardMask()


def test_a_name_in_two_kinds_is_a_conflict_too():
    registry = registered(dmix_merge_rules={"a": HardMask})
    registry.register(plugin(dmix_timestep_schedules={"a": Descent}), "that", "another", "2.0")
    with pytest.raises(PluginError, match=r"claimed by the-test 1\.0 \(merge rule\) and another 2\.0 \(timestep"):
        registry.create("timestep schedule", "a")
    assert registry.conflicts == {"a": ("the-test 1.0", "another 2.0")}


def test_every_kind_has_its_hook():
    assert {*HOOKS} == {name for name in vars(hookspecs) if name.startswith("dmix_")}


def test_dmix_is_loaded_first_and_always(monkeypatch):
    monkeypatch.setenv("DMIX_PLUGINS", "nothing-such")
    registry = Registry.load()
    own = ["dmix-core", "dmix-data", "dmix-factory", "dmix-models"]
    assert [p.distribution for p in registry.plugins if p.status == "ok"] == own


def test_an_entry_point_called_like_dmix_is_a_strangers_still(add, monkeypatch):
    add(IMPORT + "@hookimpl\ndef dmix_merge_rules(): return {'a': lambda: 0}", "dmix-core")
    monkeypatch.setenv("DMIX_PLUGINS", "")
    status = {plugin.distribution: plugin.status for plugin in Registry.load().plugins}
    assert status["some-stranger"] == "off"


def test_a_name_of_the_allow_list_is_a_distributions_before_an_entry_points(add, monkeypatch):
    fine = IMPORT + "@hookimpl\ndef dmix_merge_rules(): return {}"
    add(fine, "soft-mask", "a-stranger")
    add(fine, "shared", "one-more")
    add(fine, "shared", "another-one")
    add(fine, "mine", "the-last")

    def loaded(allowed):
        monkeypatch.setenv("DMIX_PLUGINS", allowed)
        strangers = {"a-stranger", "one-more", "another-one", "the-last", "dmix-soft-mask"}
        return {plugin.distribution for plugin in Registry.load().plugins if plugin.status == "ok"} & strangers

    assert loaded("soft-mask") == {"dmix-soft-mask"}
    assert loaded("shared") == set()
    assert loaded("one-more:shared, MINE") == {"one-more", "the-last"}
    assert loaded("a-stranger:mine") == set()


def test_a_factory_that_returns_nothing_is_refused():
    registry = registered(dmix_merge_rules={"void": lambda: None})
    with pytest.raises(PluginError, match=r"'void' of the-test 1\.0: its factory returned None; expected a merge rule"):
        registry.create("merge rule", "void")


def test_settings_are_completed_with_what_json_can_hold():
    def rule(
        threshold: float = 0.5, sides: tuple[int, ...] = (1, 2), device: torch.device | None = None, *, free=print
    ):
        return threshold

    registry = registered(dmix_merge_rules={"rule": rule})
    assert registry.complete_settings("rule", {"threshold": 0.7}) == {"threshold": 0.7, "sides": [1, 2], "device": None}
    assert registry.declared_settings("rule")[0] == "threshold: float = 0.5"
