"""A model's network may be of any family: one file and one entry point add another."""

import textwrap

import pytest
import torch
from pydantic import ValidationError

from dmix_models import CheckpointError, ModelConfig, UNetConfig, bundled, checkpoint, load, save
from dmix_models.migration import migrated
from dmix_models.networks import NetworkConfig

LINEAR = """
    from typing import Literal
    from torch import nn
    from dmix_models.networks import NetworkConfig

    class PointwiseConfig(NetworkConfig):
        kind: Literal["pointwise"] = "pointwise"
        width: int = 4

        def build(self):
            return Pointwise(self)

    class Pointwise(nn.Module):
        def __init__(self, config):
            super().__init__()
            self.first = nn.Conv2d(config.in_channels, config.width, 1)
            self.last = nn.Conv2d(config.width, config.out_channels, 1)

        def forward(self, x, times, labels=None):
            return self.last(self.first(x) * (times / 1000)[:, None, None, None])
"""


@pytest.fixture
def pointwise(tmp_path, monkeypatch):
    """Installed: a package that adds the family "pointwise" and one that cannot be imported."""
    site = tmp_path / "site"
    dist = site / "acme_pointwise-1.0.dist-info"
    dist.mkdir(parents=True)
    (site / "acme_pointwise.py").write_text(textwrap.dedent(LINEAR))
    (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-pointwise\nVersion: 1.0\n")
    (dist / "entry_points.txt").write_text(
        "[dmix_networks]\npointwise = acme_pointwise:PointwiseConfig\n"
        "absent = acme_absent:Config\nwrong = acme_pointwise:Pointwise\n"
    )
    monkeypatch.syspath_prepend(site)
    network = {"kind": "pointwise", "in_channels": 3, "out_channels": 3}
    return ModelConfig.model_validate({"name": "dots", "role": "background", "size": (5, 7), "network": network})


def test_a_family_of_another_package_is_built_saved_and_loaded(pointwise, card, tmp_path):
    network = pointwise.network.build()
    folder = save(tmp_path / "dots", pointwise, network.state_dict(), card)
    denoiser = load(folder)
    assert denoiser.config == pointwise
    assert type(denoiser.network).__name__ == "Pointwise"
    assert denoiser(torch.randn(2, 3, 5, 7), 400).clean.shape == (2, 3, 5, 7)


def test_weights_of_another_family_are_refused(pointwise, network, card, tmp_path):
    with pytest.raises(CheckpointError, match=r"missing: first.weight.* Likely cause: the weights are of another netw"):
        save(tmp_path / "dots", pointwise, network.state_dict(), card)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"kind": "pointwse"}, r"no kind 'pointwse' of networks\. Did you mean 'pointwise'\? Known kinds: absent, poi"),
        ({"kind": "absent"}, "networks of kind 'absent' cannot be loaded: ModuleNotFoundError"),
        ({"kind": "wrong"}, "networks of kind 'wrong' are .*; expected a subclass of NetworkConfig"),
        ({"kind": ["unet"]}, r"no kind \['unet'\] of networks"),
        ({"wdth": 3}, r"unknown key 'wdth'\. Did you mean 'width'"),
        ({"width": "wide"}, r"network.width\n.*valid integer"),
    ],
)
def test_what_is_wrong_with_a_network_is_named(pointwise, network, message):
    data = pointwise.model_dump()
    with pytest.raises(ValidationError, match=message):
        ModelConfig.model_validate(data | {"network": data["network"] | network})


def test_without_a_kind_there_is_no_network():
    with pytest.raises(ValidationError, match="no kind None of networks"):
        ModelConfig(name="a", role="background", size=(8, 8), network={})


# ---- configs of format 1 ------------------------------------------------------------------------------------------


def test_format_1_has_its_unet_under_another_key():
    old = {"format_version": 1, "name": "a", "unet": {"in_channels": 3}}
    assert migrated(old) == {"format_version": 2, "name": "a", "network": {"kind": "unet", "in_channels": 3}}
    assert old == {"format_version": 1, "name": "a", "unet": {"in_channels": 3}}


@pytest.mark.parametrize(
    "config", [{"format_version": 2, "network": {"kind": "unet"}}, {"format_version": 3}, {"format_version": 2}]
)
def test_other_formats_are_left_alone(config):
    assert migrated(config) == config


@pytest.mark.parametrize("unet", [None, 3, "unet", [1]])
def test_what_is_no_unet_is_left_to_the_config_to_refuse(unet):
    with pytest.raises(ValidationError, match="network"):
        ModelConfig.model_validate({"name": "a", "role": "background", "size": (8, 8), "unet": unet})


@pytest.mark.parametrize("name", bundled())
def test_the_bundled_models_load(name):
    config = checkpoint.read_config(checkpoint.find(name))
    assert (config.format_version, type(config.network)) == (2, UNetConfig)
    assert ModelConfig.model_validate_json(config.model_dump_json()) == config


# ---- bounds: refused before memory is taken -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({"num_res_blocks": 10**5}, "less than or equal to 32"),
        ({"channel_mult": [1e308]}, "less than or equal to 64"),
        ({"channel_mult": [1.0] * 64}, "at most 12 items"),
        ({"model_channels": 10**9}, "less than or equal to 8192"),
        ({"model_channels": 8192, "channel_mult": [64]}, "a level of 524288 channels; expected at most 8192"),
        ({"num_classes": 10**9}, "less than or equal to 1000000"),
        ({"in_channels": 10**9}, "less than or equal to 2048"),
    ],
)
def test_sizes_of_a_network_are_bounded(tiny, changes, limit):
    with pytest.raises(ValidationError, match=limit):
        UNetConfig.model_validate(tiny.network.model_dump() | changes)


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({"noise": {"kind": "cosine", "steps": 10**9}}, "less than or equal to 100000"),
        ({"noise": {"kind": "linear", "steps": 20}}, "linear noise has 20 steps; expected 21 or more"),
        ({"size": [2**20, 16]}, "less than or equal to 16384"),
    ],
)
def test_sizes_of_a_model_are_bounded(tiny, changes, limit):
    with pytest.raises(ValidationError, match=limit):
        ModelConfig.model_validate(tiny.model_dump() | changes)


def test_a_family_without_build_is_no_network():
    with pytest.raises(NotImplementedError, match=r"NetworkConfig has no build\(\)"):
        NetworkConfig(kind="none", in_channels=1, out_channels=1).build()
