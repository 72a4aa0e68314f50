"""What a plugin returns wrongly is refused in words that name it, before anything is done with it."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from dmix_core import Ancestral, BoxRegion, Composer, HardMask, Prediction, Spec
from dmix_core.backends import Eager
from dmix_core.errors import BackendError, CompositionError, DenoiserError, PluginError, ScheduleError
from dmix_core.hookspecs import hookimpl
from dmix_core.kinds import KINDS
from dmix_core.registry import Registry
from dmix_core.returned import network_of, paths_of, writer_of
from dmix_core.testing import GaussianDenoiser

SPEC = Spec((4, 4), 3)
WRONG = [None, 7, torch.zeros(1), "text", (1, 2), {}]


class Returning(GaussianDenoiser):
    """A denoiser that returns what it is given."""

    def __init__(self, returned):
        super().__init__(SPEC)
        self.returned = returned

    def __call__(self, x_t, t):
        return self.returned


def compose(denoiser=None, **parts):
    region = BoxRegion(denoiser or GaussianDenoiser(SPEC))
    return Composer([region], steps=20, **parts).compose()


@pytest.mark.parametrize("returned", WRONG)
def test_a_denoiser(returned):
    with pytest.raises(DenoiserError, match=r"The denoiser 'Returning' of .* returned .*; expected a Prediction"):
        compose(Returning(returned))


def test_the_spread_of_a_denoiser():
    with pytest.raises(DenoiserError, match="type str; expected a tensor or None as `spread`"):
        compose(Returning(Prediction(torch.zeros(1, 3, 4, 4), "half")))


@pytest.mark.parametrize("returned", [each for each in WRONG if not isinstance(each, torch.Tensor)])
def test_a_stepper(returned):
    class Stepping(Ancestral):
        def step(self, *_):
            return returned

    with pytest.raises(CompositionError, match=r"The stepper '.*Stepping' of .* expected a tuple of the next state"):
        compose(stepper=Stepping())


@pytest.mark.parametrize("returned", WRONG)
def test_a_merge_rule(returned):
    class Rule(HardMask):
        def __call__(self, layers, progress):
            return returned

    with pytest.raises(CompositionError, match=r"The merge rule '.*Rule' of .* returned .*; expected a Merged"):
        compose(merge=Rule())


@pytest.mark.parametrize("returned", [None, 7, "text", [2.5, 0], {}])
def test_a_timestep_schedule(returned):
    with pytest.raises(ScheduleError, match=r"The timestep schedule .* returned .*; expected a sequence of whole"):
        compose(timesteps=lambda steps: returned)


HOOKS = [(kind, form) for kind, form in KINDS.items() if kind != "layout"]


@pytest.mark.parametrize("returned", [None, 7, "text", (1, 2), {}, object()])
@pytest.mark.parametrize(("kind", "form"), HOOKS, ids=[kind for kind, _ in HOOKS])
def test_a_factory(kind, form, returned):
    """Of any kind: what it makes is refused before it is used."""

    def odd(one=None, *, device="cpu", dtype="float32"):
        return returned

    def plain():
        return returned

    registry = Registry.load()
    plugin = SimpleNamespace(**{form.hook: hookimpl(lambda: {"odd": odd if form.one else plain}, specname=form.hook)})
    registry.register(plugin, "wrong")
    make = {
        "denoiser": lambda: registry.denoiser("odd"),
        "wrapper": lambda: registry.wrapped(GaussianDenoiser(SPEC), "odd"),
        "classifier": lambda: registry.classifier("odd"),
    }.get(kind, lambda: registry.create(kind, "odd"))
    with pytest.raises(PluginError, match=f"'odd' of .*: its factory returned .*; expected an? {kind}, which has"):
        make()


@pytest.mark.parametrize("returned", [None, 7, "text", ["text"], object()])
def test_an_exporter_and_its_writer(returned):
    with pytest.raises(PluginError, match=r"The exporter .* returned .*; expected an ExportWriter"):
        writer_of(GaussianDenoiser(SPEC), returned)
    with pytest.raises(PluginError, match=r"The writer .* returned .*; expected the paths of the files"):
        paths_of(GaussianDenoiser(SPEC), returned)
    assert paths_of(GaussianDenoiser(SPEC), [Path("a")]) == [Path("a")]


@pytest.mark.parametrize("returned", [None, 7, "text", {}])
def test_a_backend(returned):
    with pytest.raises(BackendError, match=r"The backend .* returned .*; expected a function in the network's place"):
        network_of(Eager(), returned)
