"""`dmix distill`: what it writes, and what it says."""

import pytest
import torch

from dmix_cli.commands.distill import distill
from dmix_models import ModelCard, ModelConfig, NoiseConfig, UNetConfig, checkpoint
from dmix_models.distillation import DistillConfig

QUICK = ("--levels", 20, "--moves-from", 4, "--moves", 2, "--steps", 3, "--batch-size", 2)


@pytest.fixture
def teacher(tmp_path):
    torch.manual_seed(0)
    network = UNetConfig(
        in_channels=3,
        out_channels=3,
        model_channels=8,
        num_res_blocks=1,
        channel_mult=(1,),
        attention_downsamples=(),
        norm_groups=2,
    )
    model = ModelConfig(name="wall", role="background", size=(8, 8), noise=NoiseConfig(steps=50), network=network)
    card = ModelCard(data="walls", command="dmix train", licence="CC0")
    return checkpoint.save(tmp_path / "wall", model, model.network.build().state_dict(), card)


def test_a_model_is_distilled_and_its_card_states_the_command(dmix, teacher, tmp_path):
    result = dmix("distill", teacher, "-o", tmp_path / "fast", *QUICK)
    assert "takes 2 moves" in result.output
    card = checkpoint.read_card(tmp_path / "fast")
    assert f"- teacher: {teacher}" in card
    assert "- moves: 2" in card
    assert checkpoint.load(tmp_path / "fast").config.name == "fast"
    again = dmix("distill", teacher, "-o", tmp_path / "fast", *QUICK)
    assert "was already distilled" in again.output


def test_a_dry_run_measures_and_writes_nothing(dmix, teacher, tmp_path):
    result = dmix("distill", teacher, "-o", tmp_path / "fast", *QUICK, "--dry-run")
    assert "1 halvings of 3 steps" in result.output
    assert not (tmp_path / "fast").exists()


def test_moves_that_cannot_be_halved_are_wrong_use(dmix, teacher, tmp_path):
    result = dmix("distill", teacher, "-o", tmp_path / "fast", "--moves", 5, exit_code=2)
    assert "32 moves cannot be halved to 5" in result.output


def test_its_defaults_are_the_library_s():
    shown = {option.name: option.default for option in distill.params}
    fields = DistillConfig.model_fields
    shared = [name for name in shown if name in fields]
    assert len(shared) > 6
    assert {name: shown[name] for name in shared} == {name: fields[name].default for name in shared}
