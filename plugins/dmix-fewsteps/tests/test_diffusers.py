"""Single steps and whole runs agree with diffusers' schedulers on the same model."""

import pytest
import torch

from dmix_core import BoxRegion, Composer, Ddim, NoiseSchedule, Prediction, Spec
from dmix_core.draws import normal
from dmix_fewsteps import DpmSolver2M

diffusers = pytest.importorskip("diffusers", reason="compares with diffusers' schedulers")
SPEC, SAMPLES, NEVER = Spec((8, 8)), 2, 1.0
BETAS = {"beta_schedule": "linear", "timestep_spacing": "trailing", "prediction_type": "sample"}


class Network:
    """A UNet2DModel of random weights as a Denoiser; it is asked for the clean image."""

    spec, noise = SPEC, NoiseSchedule.linear()

    def __init__(self):
        torch.manual_seed(0)
        self.net = diffusers.UNet2DModel(
            sample_size=8,
            block_out_channels=(8, 8),
            layers_per_block=1,
            norm_num_groups=4,
            down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"),
        ).eval()

    @torch.no_grad()
    def __call__(self, x_t, t):
        return Prediction(self.net(x_t, t - 1).sample)  # diffusers counts the levels from 0


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        return Network()


def draw(purpose, index=0):
    return normal(SPEC.shape, seed=0, samples=range(SAMPLES), region="background", purpose=purpose, index=index)


def ours(stepper, network, moves):
    """Every state of the composer's run with `moves` even moves over 1000 levels."""
    walk = [*range(1000, 0, -1000 // moves), 0]
    composer = Composer([BoxRegion(network)], steps=1000, timesteps=lambda _: walk, stepper=stepper)
    return [step.states[0] for step in composer.steps(SAMPLES)]


def theirs(scheduler, network, moves, **step):
    scheduler.set_timesteps(moves)
    x, states = draw("start"), []
    for index, t in enumerate(scheduler.timesteps.tolist()):
        noise = {"variance_noise": draw("step", index)} if step else {}
        x = scheduler.step(network(x, t + 1).clean, t, x, **step, **noise).prev_sample
        states.append(x)
    return states


def furthest(runs):
    return max((a - b).abs().max().item() for a, b in zip(*runs, strict=True))


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_runs(network, eta):
    scheduler = diffusers.DDIMScheduler(1000, **BETAS, clip_sample=False)
    assert furthest([ours(Ddim(eta, NEVER), network, 20), theirs(scheduler, network, 20, eta=eta)]) < 2e-5


@pytest.mark.parametrize("moves", [10, 25])  # below 15, diffusers' lower_order_final ends in first order too
def test_dpm_solver_runs(network, moves):
    scheduler = diffusers.DPMSolverMultistepScheduler(1000, **BETAS)
    assert furthest([ours(DpmSolver2M(NEVER), network, moves), theirs(scheduler, network, moves)]) < 2e-5


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_steps_from_clamped_predictions(eta):
    """diffusers' default keeps the network's own epsilon beside a clamped x0; ours follows the x0."""
    scheduler = diffusers.DDIMScheduler(1000, **BETAS | {"prediction_type": "epsilon"}, clip_sample=True)
    scheduler.set_timesteps(50)
    x_t, epsilon, z = draw("start"), draw("others"), draw("step")
    noise = NoiseSchedule.linear()
    for t in range(1000, 0, -20):
        clean = noise.clean_from("epsilon", epsilon, x_t, t).clamp(-1, 1)
        stepped, _ = Ddim(eta, NEVER).step(noise, x_t, Prediction(clean), z, t, t - 20, None)
        expected = scheduler.step(epsilon, t - 1, x_t, eta, use_clipped_model_output=True, variance_noise=z)
        assert torch.allclose(stepped, expected.prev_sample, atol=2e-5, rtol=0)
