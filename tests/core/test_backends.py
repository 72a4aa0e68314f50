"""What calls the networks of a run: a setting of the run."""

from dataclasses import dataclass

import pytest
import torch

from dmix_core import Spec
from dmix_core.backends import Compiled, Compute, Eager
from dmix_core.errors import BackendError, PluginError
from dmix_core.hookspecs import hookimpl
from dmix_core.recipe import Recipe
from dmix_core.registry import Registry
from dmix_core.testing import BrokenPromise, GaussianDenoiser, check_backend
from dmix_models import load


@dataclass(frozen=True)
class Halved:
    """Runs a network and halves its result, so that one can see that it was used."""

    def __call__(self, network, inputs):
        return lambda x, times, labels=None: network(x, times, labels) / 2


class Plugin:
    @hookimpl
    def dmix_backends(self):
        return {"halved": Halved}

    @hookimpl
    def dmix_denoisers(self):
        return {"formula": lambda argument=None, *, device="cpu", dtype="float32": GaussianDenoiser(Spec((4, 4)), 0.0)}


@pytest.fixture
def registry():
    registry = Registry.load()
    registry.register(Plugin(), "plugin")
    return registry


def test_torch_keeps_what_a_backend_promises():
    check_backend(Eager())


def test_a_backend_that_computes_something_else_is_found():
    with pytest.raises(BrokenPromise, match="it predicts what the network does"):
        check_backend(Halved())


def test_a_backend_runs_the_networks_of_a_denoiser(registry):
    plain, halved = registry.denoiser("tiles"), registry.denoiser("tiles", Compute(backend=Halved()))
    x_t, times = torch.randn(1, 3, 64, 64), torch.tensor([499])
    assert halved.network is plain.network
    assert torch.equal(halved._running(x_t, times), plain._running(x_t, times) / 2)
    assert not torch.equal(halved(x_t, 500).clean, plain(x_t, 500).clean)


def test_what_a_backend_made_of_a_network_is_shared_and_those_of_two_backends_are_no_family(registry):
    one, two = (registry.denoiser("tiles", Compute(backend=Halved())) for _ in range(2))
    assert one.family == two.family
    assert one.family != registry.denoiser("tiles").family


def test_the_same_bits_in_eager_mode_as_without_a_backend():
    denoiser, x_t = load("tiles"), torch.randn(2, 3, 64, 64)
    assert torch.equal(
        denoiser.with_backend(Eager())._running(x_t, torch.tensor([9])), denoiser.network(x_t, torch.tensor([9]))
    )


def test_a_recipe_chooses_its_backend(registry, tmp_path):
    recipe = Recipe.from_data({"regions": [{"name": "a", "model": "tiles"}], "backend": {"use": "halved"}})
    assert recipe.composer(registry).regions[0].denoiser.backend == Halved()
    assert Recipe.read(recipe.write(tmp_path / "recipe.json")) == recipe
    assert Recipe.from_data({"regions": [{"name": "a", "model": "tiles"}]}).compute(registry).backend == Eager()


def test_an_unknown_backend_is_refused(registry):
    recipe = Recipe.from_data({"regions": [{"name": "a", "model": "tiles"}], "backend": {"use": "halvd"}})
    with pytest.raises(PluginError, match=r"No backend 'halvd'\. Did you mean 'halved'\? Known backends: compile, hal"):
        recipe.composer(registry)


def test_a_denoiser_without_a_network_runs_on_torch_alone(registry, tmp_path):
    with pytest.raises(PluginError, match=r"'formula' cannot be run by Halved\(\): it has no network"):
        registry.denoiser("formula", Compute(backend=Halved()))
    assert registry.denoiser("formula").spec.size == (4, 4)


def test_a_photograph_needs_no_backend(registry, tmp_path):
    from PIL import Image

    Image.new("RGB", (5, 4)).save(tmp_path / "wall.png")
    assert registry.denoiser(str(tmp_path / "wall.png"), Compute(backend=Halved())).spec.size == (4, 5)


def test_a_compiler_that_fails_is_explained(monkeypatch):
    def broken(*given):
        raise RuntimeError("no C++ compiler\nmore")

    monkeypatch.setattr(torch, "compile", lambda network, mode: broken)
    denoiser = load("tiles").with_backend(Compiled())
    with pytest.raises(
        BackendError, match=r"cannot run the network \(RuntimeError: no C\+\+ compiler\)\. Expected a w"
    ):
        denoiser(torch.randn(1, 3, 64, 64), 5)
