"""Models by reference: bundled ones, checkpoint folders, and one class of a class-conditional model."""

import gc
import os
import weakref

import pytest
import torch
from pydantic import ValidationError

from dmix_core import BoxRegion, Composer, Descent
from dmix_core.backends import Compute
from dmix_core.errors import CompositionError, PluginError
from dmix_core.registry import Registry
from dmix_models import ModelConfig, save
from dmix_models.denoiser import NetworkDenoiser
from dmix_models.plugin import Bundle

CLASSES = ["crack", "hole", "any"]


@pytest.fixture(scope="module")
def registry():
    return Registry.load()


@pytest.fixture
def defects(tiny, make_network, card, tmp_path, monkeypatch):
    """runs/defects: a checkpoint of three classes, beneath the working directory."""
    monkeypatch.chdir(tmp_path)
    data = tiny.model_dump() | {"name": "defects", "classes": CLASSES}
    config = ModelConfig.model_validate(data | {"network": data["network"] | {"num_classes": 3}})
    return save("runs/defects", config, make_network(config.network).state_dict(), card)


@pytest.fixture
def paired(tiny, make_network, card, tmp_path, monkeypatch):
    """runs/paired: a checkpoint of a class and of windows without an object."""
    monkeypatch.chdir(tmp_path)
    data = tiny.model_dump() | {"name": "paired", "classes": ["object", "none"], "pairs": True}
    config = ModelConfig.model_validate(data | {"network": data["network"] | {"num_classes": 2}})
    return save("runs/paired", config, make_network(config.network).state_dict(), card)


@pytest.fixture
def plain(tiny, network, card, tmp_path, monkeypatch):
    """runs/plain: a checkpoint without classes."""
    monkeypatch.chdir(tmp_path)
    return save("runs/plain", tiny, network.state_dict(), card)


@pytest.mark.parametrize("reference", ["runs/defects:{}", "checkpoint:runs/defects:{}", "{absolute}:{}"])
def test_a_class_stands_behind_the_folder(registry, defects, reference):
    x_t = torch.randn(2, 4, 16, 16)
    crack, hole = (registry.denoiser(reference.format(c, absolute=defects.resolve())) for c in ("crack", "hole"))
    assert (crack.label, hole.label) == ("crack", "hole")
    assert not torch.equal(crack(x_t, 300).clean, hole(x_t, 300).clean)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("runs/defects", r"'defects' is class-conditional; expected runs/defects:CLASS .*: crack, hole, any\."),
        ("checkpoint:runs/defects", r"'defects' is class-conditional; expected runs/defects:CLASS"),
        ("runs/defects:crak", r"'defects' knows no class 'crak'\. Did you mean 'crack'\? Its classes: crack, hole"),
        ("tiles:crack", r"'tiles' knows no class 'crack'\..* not class-conditional; leave the label out"),
    ],
)
def test_wrong_classes_are_told_when_the_model_is_made(registry, defects, reference, message):
    with pytest.raises(PluginError, match=message):
        registry.denoiser(reference)


def test_a_class_of_a_model_without_any(registry, plain):
    with pytest.raises(PluginError, match=r"'tiny' knows no class 'crack'\. It is not class-conditional"):
        registry.denoiser("runs/plain:crack")
    assert registry.denoiser("runs/plain").label is None


def test_a_bundled_model_may_have_classes(defects, monkeypatch):
    monkeypatch.setattr("dmix_models.plugin.find", lambda name: defects)
    assert Bundle("defects").arguments == (*CLASSES,)
    assert Bundle("defects")("hole").label == "hole"
    with pytest.raises(PluginError, match=r"expected defects:CLASS"):
        Bundle("defects")()


# ---- networks are shared ----------------------------------------------------------------------------------------


def test_labels_of_one_model_share_its_network_as_long_as_it_is_in_use(registry, defects):
    crack, hole = (registry.denoiser(f"runs/defects:{c}") for c in ("crack", "hole"))
    assert crack.network is hole.network
    assert crack.sha256 == hole.sha256
    assert crack.family == hole.family
    assert registry.denoiser("runs/defects:crack", Compute(dtype="bfloat16")).family != crack.family
    network = weakref.ref(crack.network)
    del crack, hole
    gc.collect()
    assert network() is None


def test_a_network_that_was_moved_is_not_that_of_others(registry, defects):
    moved = registry.denoiser("runs/defects:crack").to("meta")
    assert registry.denoiser("runs/defects:crack").device == torch.device("cpu")
    assert moved.device == torch.device("meta")


def test_other_weights_in_the_same_folder_are_another_network(registry, defects, make_network, card):
    before = registry.denoiser("runs/defects:crack")
    config = before.config
    weights = {key: 2 * value for key, value in make_network(config.network).state_dict().items()}
    save("runs/defects", config, weights, card)
    os.utime(defects / "model.safetensors", ns=(1, 1))
    after = registry.denoiser("runs/defects:crack")
    assert after.network is not before.network
    assert after.sha256 != before.sha256


# ---- several classes in one call --------------------------------------------------------------------------------


def test_denoisers_of_one_network_are_joined_into_one_batch(registry, defects):
    members = [registry.denoiser(f"runs/defects:{c}") for c in ("crack", "hole", "crack")]
    states = [torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    together = members[0].joined(members)(torch.cat(states), 700)
    for i, (member, x_t) in enumerate(zip(members, states, strict=True)):
        alone = member(x_t, 700)
        torch.testing.assert_close(together.clean[2 * i : 2 * i + 2], alone.clean, rtol=0, atol=1e-4)
        torch.testing.assert_close(together.spread[2 * i : 2 * i + 2], alone.spread, rtol=0, atol=1e-4)


def test_regions_of_one_network_cost_one_call_whatever_their_classes(registry, defects):
    crack, hole = (registry.denoiser(f"runs/defects:{c}") for c in ("crack", "hole"))
    places = {"a": (crack, 0), "b": (hole, 16), "c": (crack, 32)}

    def composed(members):
        regions = [BoxRegion(member, (x, 0, 16, 16), name, z=1) for name, (member, x) in members.items()]
        floor = BoxRegion(registry.denoiser("tiles"), (0, 0, 64, 64))
        return Composer([floor, *regions], steps=3, timesteps=Descent()).compose(2).image

    batches = []
    network, check = crack.network, crack.network.check  # which every call begins with
    network.check = lambda x, *more: batches.append(len(x)) or check(x, *more)
    together = composed(places)
    assert batches == [6, 6, 6]

    class Alone:
        def __init__(self, inner):
            self.inner, self.spec, self.noise = inner, inner.spec, inner.noise

        def __call__(self, x_t, t):
            return self.inner(x_t, t)

    apart = composed({name: (Alone(member), x) for name, (member, x) in places.items()})
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-4)


def test_a_model_paints_on_a_grid_of_another_size_and_shares_its_network(registry, plain):
    own, long = (registry.denoiser("runs/plain", settings={"grid": grid}) for grid in (None, "32x16"))
    assert (own.spec.size, long.spec.size, long.network is own.network) == ((16, 16), (16, 32), True)
    assert own.family != long.family
    assert long(torch.randn(1, 4, 16, 32), 300).clean.shape == (1, 4, 16, 32)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ("32", "grid is '32'; expected WIDTHxHEIGHT in pixels, such as 128x64"),
        ("30x15", "cannot paint 30x15 pixels; expected sides that are multiples of"),
    ],
)
def test_grids_that_a_model_cannot_paint_on_are_refused(registry, plain, grid, message):
    with pytest.raises(PluginError, match=message):
        registry.denoiser("runs/plain", settings={"grid": grid})


def test_windows_without_an_object_are_composed_at_the_bottom_alone(registry, paired):
    thing, nothing = (BoxRegion(registry.denoiser(f"runs/paired:{name}"), z=1) for name in ("object", "none"))
    assert (thing.denoiser.spec.empty, nothing.denoiser.spec.empty) == (False, True)
    assert nothing.denoiser.with_size((32, 32)).spec.empty
    assert not nothing.denoiser.with_label("object").spec.empty
    below = BoxRegion(nothing.denoiser)
    Composer([below, thing])
    with pytest.raises(CompositionError, match=r"Region 'object-1' cannot be an object: .* windows that show none"):
        Composer([below, nothing])
    inside = registry.wrapped(nothing.denoiser, "inside", {"top": 1})
    with pytest.raises(CompositionError, match="cannot be an object"):
        Composer([below, BoxRegion(inside, z=1)])


def test_a_class_of_windows_without_an_object_is_not_offered(registry, paired):
    with pytest.raises(PluginError, match=r"expected runs/paired:CLASS with one of its classes: object\."):
        registry.denoiser("runs/paired")


def test_a_class_of_that_name_is_one_as_any_other_without_pairs(tiny, make_network):
    unet = tiny.network.model_copy(update={"num_classes": 2})
    config = ModelConfig.model_validate(tiny.model_dump() | {"classes": ("none", "hole"), "network": unet})
    assert config.object_classes == config.learned_classes == ("none", "hole")
    assert not NetworkDenoiser(config, make_network(unet), label="none").spec.empty
    assert "pairs" not in config.model_dump()  # as it was before there were any
    assert "pairs" not in config.model_dump_json()


def test_pairs_need_their_class(tiny):
    with pytest.raises(ValidationError, match="pairs is true and classes lacks 'none'"):
        ModelConfig.model_validate(tiny.model_dump() | {"pairs": True})
