"""The average of the weights against its formula."""

import torch

from dmix_models.ema import EMA


def test_average_follows_its_formula():
    weights = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor(3.0)}
    average = EMA(weights.items(), max_decay=0.5)
    expected = dict(weights)
    for step in range(20):
        weights = {name: value + step for name, value in weights.items()}
        decay = min(0.5, (1 + step) / (10 + step))
        expected = {name: decay * value + (1 - decay) * weights[name] for name, value in expected.items()}
        average.update(weights.items(), step)
    for name, value in average.state_dict().items():
        torch.testing.assert_close(value, expected[name])


def test_average_is_a_copy_and_finds_weights_by_name():
    weights = {"a": torch.zeros(2), "b": torch.ones(2)}
    average = EMA(weights.items())
    weights["a"] += 1
    assert average.state_dict()["a"].tolist() == [0, 0]
    average.update([("b", torch.ones(2)), ("a", torch.zeros(2))], step=0)
    assert average.state_dict()["b"].tolist() == [1, 1]
    assert average.state_dict()["a"].tolist() == [0, 0]


def test_state_survives_a_round_trip():
    first = EMA([("a", torch.rand(3))])
    second = EMA([("a", torch.zeros(3))])
    second.load_state_dict(first.state_dict())
    first.update([("a", torch.ones(3))], step=7)
    second.update([("a", torch.ones(3))], step=7)
    assert torch.equal(first.state_dict()["a"], second.state_dict()["a"])
