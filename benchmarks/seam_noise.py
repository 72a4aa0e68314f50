"""The noise of a merged state against the noise that its level should have, for every option of eqs. 9 and 11.

The denoisers say "black" whatever they see, so that a state is nothing but noise, and its standard deviation over
sqrt(1 - alpha_bar) should be 1 at every weight w of the object.
"""

from dataclasses import dataclass

import torch

from dmix_core import BoxRegion, Composer, Exchange, NoiseSchedule, Prediction, Spec
from dmix_core.mattes import blend, stack

SIZE, SAMPLES, STEPS = (16, 16), 64, 250
LEVELS = (24, 12, 1)
WEIGHTS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)


@dataclass(frozen=True, eq=False)
class Black:
    """Predicts zero, and in the mask channel the weight w."""

    spec: Spec
    weight: float = 1.0
    noise: NoiseSchedule = NoiseSchedule.linear()  # noqa: RUF009 - a frozen table

    def __call__(self, x_t: torch.Tensor, t: int) -> Prediction:
        clean = torch.zeros_like(x_t)
        clean[:, self.spec.image_channels :] = 2 * self.weight - 1
        return Prediction(clean)


def soft(layers, progress):
    """The predicted matte as the weight."""
    return blend(layers, stack([layer.matte for layer in layers]))


def deviations(weight: float, others: str, seams: str) -> dict[int, tuple[float, float]]:
    """For each level the background's and the object's noise inside the box, relative to what the level should have."""
    regions = [BoxRegion(Black(Spec(SIZE))), BoxRegion(Black(Spec(SIZE, 3, 1), weight), name="object", z=1)]
    composer = Composer(regions, steps=STEPS, timesteps=descent, merge=soft, exchange=Exchange(others, seams))
    found = {}
    for step in composer.steps(SAMPLES, seed=0):
        if step.s in LEVELS:
            right = (1 - composer.noises[0].alpha_bar[step.s]).sqrt().item()
            found[step.s] = tuple(state[:, :3].std().item() / right for state in step.states)
    return found


def descent(steps: int) -> range:
    return range(steps, -1, -1)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    print(f"noise / right noise of background and object, T = {STEPS}, {SAMPLES} samples of {SIZE[0]}x{SIZE[1]}")
    for others in ("clean", "noisy"):
        for seams in ("keep-variance", "literal"):
            print(
                f"\nothers={others!r}, seams={seams!r}\n   w  " + "".join(f"  level {level:3d}   " for level in LEVELS)
            )
            for weight in WEIGHTS:
                row = deviations(weight, others, seams)
                print(f"{weight:5.1f} " + "".join("  {:5.2f} {:5.2f}  ".format(*row[level]) for level in LEVELS))
