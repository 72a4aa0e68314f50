"""How a picture comes about: a GIF of what is predicted at each step, and a strip of the noisy states."""

from pathlib import Path

from dmix_core import from_models
from dmix_core.strip import DenoisingStrip


def main(out: Path, steps: int = 250) -> None:
    composer = from_models("tiles", objects=[("defects:blowhole", (0, 0, 64, 64))], steps=steps)
    strip, frames = DenoisingStrip(composer), []
    for step in composer.steps(seed=0):
        strip.add(step)
        frames.append(step.preview()[0].resize((256, 256)))
    frames[0].save(out / "denoising.gif", save_all=True, append_images=frames[1:], duration=40)
    strip.picture().save(out / "strip.png")


if __name__ == "__main__":
    main(Path("."))
