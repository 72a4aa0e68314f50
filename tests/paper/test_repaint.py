"""RePaint (Lugmayr et al. 2022) as a special case: a photograph, and an object whose mask is always the same.

The object's region is then RePaint's image: what the photograph shows is known, what the mask covers is painted.
Its algorithm 1 in our words, with m = 1 where the photograph is known:

    known_s   = sqrt(abar_s) x_0 + sqrt(1 - abar_s) eps
    painted_s = mu(x_t, t) + sigma_t z
    x_s       = m known_s + (1 - m) painted_s,     and up again by x_t = sqrt(1 - beta_t) x_s + sqrt(beta_t) eps
"""

import json
import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from dmix_core import BoxRegion, Composer, NoiseSchedule, Prediction, Spec, StillImage, TailResampling
from dmix_core.draws import normal

LINEAR = NoiseSchedule.linear()
SEED, SAMPLES = 3, 2


def scene(denoiser, photo, walk, **settings):
    regions = [BoxRegion(StillImage(photo)), BoxRegion(denoiser, name="object", z=1)]
    return Composer(regions, steps=walk[0], timesteps=lambda _: walk, merge_from=0.0, **settings)


# ---- the same draws give the same image ----------------------------------------------------------------------------


class Painter:
    """A network of sorts, whose neighbours and channels depend on each other, with a mask that is always the same."""

    noise = LINEAR

    def __init__(self, mask):
        self.mask, self.spec = mask, Spec(tuple(mask.shape), 3, 1)
        self.kernel = torch.randn(3, 3, 3, 3, generator=torch.Generator().manual_seed(0)) / 3

    def paint(self, x_t):
        return torch.tanh(F.conv2d(x_t, self.kernel, padding=1))

    def __call__(self, x_t, t):
        mask = (2.0 * self.mask - 1).expand(len(x_t), 1, *self.mask.shape)
        return Prediction(torch.cat([self.paint(x_t[:, :3]), mask], dim=1))


def repaint(paint, photo, known, walk):
    """RePaint along a walk, every state after the first; its noise is that of the composer's object."""
    abar = LINEAR.respace(walk[0]).alpha_bar.tolist()

    def draw(purpose, index=0):
        shape = 4, *photo.shape[1:]
        key = {"seed": SEED, "samples": range(SAMPLES), "region": "object", "purpose": purpose, "index": index}
        return normal(shape, **key)[:, :3]

    x = draw("start")
    for index, (t, s) in enumerate(pairwise(walk)):
        if s > t:
            beta = 1 - abar[s] / abar[t]
            x = math.sqrt(1 - beta) * x + math.sqrt(beta) * draw("climb", index)
        else:
            beta = 1 - abar[t] / abar[s]
            mu = (math.sqrt(abar[s]) * beta * paint(x) + math.sqrt(1 - beta) * (1 - abar[s]) * x) / (1 - abar[t])
            sigma = math.sqrt((1 - abar[s]) / (1 - abar[t]) * beta)
            painted = mu + sigma * draw("step", index)
            seen = math.sqrt(abar[s]) * photo + math.sqrt(1 - abar[s]) * draw("others", index)
            x = known * seen + (1 - known) * painted
        yield x


@pytest.fixture
def walks(repo):
    """The paper's walk, and RePaint's own, its levels T-1 .. 0, -1 named as ours, T .. 0."""
    rows = json.loads((repo / "tests/reference/repaint_schedules.json").read_text())
    repaints = [[level + 1 for level in row["times"]] for row in rows if row["steps"] <= 40]
    assert len(repaints) == 3
    return [list(TailResampling(5, 2)(30)), *repaints]


def test_the_same_draws_give_the_same_image(walks):
    random = torch.Generator().manual_seed(1)
    photo = torch.rand(3, 8, 8, generator=random) * 2 - 1
    covered = (torch.rand(8, 8, generator=random) < 0.5).float()
    painter = Painter(covered)
    for walk in walks:
        expected = list(repaint(painter.paint, photo, 1 - covered, walk))
        composer = scene(painter, photo, walk)
        *ours, last = composer.steps(SAMPLES, SEED)
        for step, x in zip([*ours, last], expected, strict=True):
            torch.testing.assert_close(step.states[1][:, :3], x, rtol=0, atol=1e-6)
        assert len(ours) + 1 == len(expected)
        torch.testing.assert_close(composer.finish(last).image, expected[-1], rtol=0, atol=1e-6)


# ---- the same distribution -----------------------------------------------------------------------------------------

MEAN, COVARIANCE = torch.tensor([0.2, -0.1]).double(), torch.tensor([[0.25, 0.20], [0.20, 0.25]]).double()
SEEN = 0.6


class Pairs:
    """The exact denoiser of pairs of neighbours ~ N(MEAN, COVARIANCE); the mask covers the right one of each pair."""

    spec, noise = Spec((500, 2), 1, 1), LINEAR
    mask = torch.tensor([-1.0, 1.0]).expand(1, 1, 500, 2)

    def gain(self, t, noise):
        a = noise.alpha_bar[t].item()
        return math.sqrt(a) * COVARIANCE @ torch.linalg.inv(a * COVARIANCE + (1 - a) * torch.eye(2).double())

    def __call__(self, x_t, t):
        root = self.noise.alpha_bar[t].sqrt()
        clean = MEAN + (x_t[:, :1].double() - root * MEAN) @ self.gain(t, self.noise).T
        return Prediction(torch.cat([clean.float(), self.mask.expand(len(x_t), 1, 500, 2)], dim=1))


def exact_moments(walk):
    """(mean, variance) of the painted neighbour after RePaint: each move maps one Gaussian to another."""
    noise = LINEAR.respace(walk[0])
    abar = noise.alpha_bar.tolist()
    mean, covariance = torch.zeros(2).double(), torch.eye(2).double()
    for t, s in pairwise(walk):
        if s > t:
            kept = abar[s] / abar[t]
            mean, covariance = math.sqrt(kept) * mean, kept * covariance + (1 - kept) * torch.eye(2)
            continue
        beta, gain = 1 - abar[t] / abar[s], Pairs().gain(t, noise)
        to_clean = math.sqrt(abar[s]) * beta / (1 - abar[t])
        matrix = to_clean * gain + math.sqrt(1 - beta) * (1 - abar[s]) / (1 - abar[t]) * torch.eye(2)
        mean = matrix @ mean + to_clean * (MEAN - gain @ MEAN * math.sqrt(abar[t]))
        covariance = matrix @ covariance @ matrix.T + (1 - abar[s]) / (1 - abar[t]) * beta * torch.eye(2)
        mean[0], covariance[0], covariance[:, 0] = math.sqrt(abar[s]) * SEEN, 0, 0
        covariance[0, 0] = 1 - abar[s]
    return mean[1].item(), covariance[1, 1].item()


@pytest.mark.parametrize(("tau", "resamples"), [(1, 0), (12, 3)])
def test_the_distribution_is_repaints(tau, resamples):
    walk = list(TailResampling(tau, resamples)(25))
    photo = torch.tensor([SEEN, -1.0]).expand(1, 500, 2)  # what the mask covers is never looked at
    image = scene(Pairs(), photo, walk).compose(20, SEED).image
    assert (image[..., 0] == photo[..., 0]).all()

    painted, (mean, variance) = image[..., 1].flatten(), exact_moments(walk)
    assert painted.mean().item() == pytest.approx(mean, abs=4 * math.sqrt(variance / len(painted)))
    assert painted.var().item() == pytest.approx(variance, rel=4 * math.sqrt(2 / len(painted)))
