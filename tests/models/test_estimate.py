"""A dry run: sizes in closed form, paces that are possible, and nothing written."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from dmix_data.datasets import Windows
from dmix_data.loader import Picture
from dmix_models import estimate as estimates
from dmix_models.estimate import Estimate, estimate, kept_for_backward, quick_estimate, resident_peak
from dmix_models.trainer import UNSTATED, TrainConfig
from dmix_models.training_setup import TrainingSetup
from dmix_models.weights import shapes_of

CPU = torch.device("cpu")
CONFIG = TrainConfig(steps=5000, batch_size=4, preview_samples=2, preview_every=2000, preview_steps=4)


@pytest.fixture
def background(tiny):
    network = tiny.network.model_copy(update={"in_channels": 3, "out_channels": 6})
    return tiny.model_copy(update={"role": "background", "mask_channels": 0, "network": network})


def test_a_dry_run_measures_and_leaves_nothing_behind(tmp_path, background):
    pictures = [Picture(Path("a"), np.random.default_rng(0).integers(0, 256, (20, 20, 1), np.uint8))]
    out = tmp_path / "out"
    state = torch.get_rng_state()
    found = estimate(TrainingSetup(background, CONFIG, Windows(pictures, (16, 16)), out, UNSTATED))
    assert list(tmp_path.iterdir()) == []
    assert torch.equal(torch.get_rng_state(), state)
    assert found.weights == 4 * found.parameters == 4 * sum(map(math.prod, shapes_of(background.network).values()))
    assert found.config.mixed_precision in ("no", "bf16")  # of "auto", what was chosen
    assert found.config == CONFIG.model_copy(update={"mixed_precision": found.config.mixed_precision})
    assert found.kept > 4 * 3 * 16 * 16 * 4  # at least the input
    assert found.peak is None or found.peak >= 0
    assert 0 < found.seconds < 5
    assert 0 < found.preview_seconds < 20
    assert found.device.startswith("cpu")


def test_the_whole_run_is_its_steps_and_its_previews(tiny):
    found = Estimate(tiny, CONFIG, "cpu", 1, 10, weights=40, peak=None, kept=1000, seconds=0.5, preview_seconds=7.0)
    assert found.previews == 3  # at 2000, at 4000 and at the end
    assert found.total_seconds == 5000 * 0.5 + 3 * 7
    assert found.images_per_second == 8
    assert found.computed == 40 + 40 + 2 * 40 + 40 + 1000


def test_what_is_kept_grows_by_as_much_with_each_image(tiny):
    two, three, four = (
        kept_for_backward(tiny, CONFIG.model_copy(update={"batch_size": count}), 1, CPU) for count in (2, 3, 4)
    )
    assert four - three == three - two
    assert four - three > 4 * 16 * 16 * 16 * 4  # more than the first layers' results


def test_parts_of_a_batch_and_processes_keep_less(tiny):
    four = kept_for_backward(tiny, CONFIG, 1, CPU)
    half = kept_for_backward(tiny, CONFIG.model_copy(update={"accumulate": 2}), 1, CPU)
    assert half == kept_for_backward(tiny, CONFIG, 2, CPU) < four
    assert kept_for_backward(tiny, CONFIG.model_copy(update={"mixed_precision": "bf16"}), 1, CPU) < four


def test_resident_memory_grows_by_what_is_used():
    before = resident_peak()
    if before is None:
        pytest.skip("the system does not tell resident memory")
    used = torch.ones(before // 4 + 25_000_000)  # more than has ever been
    assert resident_peak() - before > 50_000_000
    assert len(used)


@pytest.mark.parametrize("role", ["background", "object"])
def test_a_quick_estimate_grows_with_steps_and_grid(role, monkeypatch):
    small, large = (quick_estimate(role, side, 100) for side in (16, 64))
    assert large.memory > 2 * small.memory
    assert small.seconds > 0
    # Paces that were measured would differ on a busy machine, so that nothing could be said of their ratio.
    monkeypatch.setattr(estimates, "_seconds", lambda training, timed: [0.5 + 0.1 * training.config.batch_size])
    short, long = (quick_estimate(role, 16, steps) for steps in (100, 10_000))
    assert short.seconds == pytest.approx(100 * (0.5 + 0.1 * TrainConfig(steps=100).batch_size))
    assert long.seconds == pytest.approx(100 * short.seconds)
    assert long.memory == short.memory == small.memory
