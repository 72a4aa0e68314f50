"""Which precision is faster is measured without a trace."""

import pytest
import torch

from dmix_models.precision import choose, images_per_second


@pytest.mark.parametrize(("half", "chosen"), [(0.6, "no"), (4.0, "no"), (4.7, "no"), (4.8, "bf16"), (9.0, "bf16")])
def test_bfloat16_must_be_clearly_faster(half, chosen):
    choice = choose({"no": 4.0, "bf16": half})
    assert choice.chosen == chosen
    assert str(choice).startswith(f"{chosen} (4 images/s in float32, {half:.3g} in bfloat16, which is ")


def test_measuring_changes_neither_network_nor_random_states(tiny, make_network):
    network = make_network(tiny.network.model_copy(update={"dropout": 0.5})).train().requires_grad_()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    state = torch.get_rng_state()
    times = torch.full((6,), 10)
    pace = images_per_second(network, torch.zeros(6, 4, 16, 16), times, None)
    assert pace["no"] > 0
    assert pace["bf16"] > 0
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
