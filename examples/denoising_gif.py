"""How a picture comes about: a GIF of the tile's own prediction, then of the composition, and a strip of the states."""

from pathlib import Path

from dmix_core import BoxRegion, Composer
from dmix_core.images import to_picture
from dmix_core.pictures import DenoisingStrip, enlarge
from dmix_models import load


def main(out: Path, steps: int = 250) -> None:
    blowhole = BoxRegion(load("blowhole"), box=(16, 16, 32, 32), name="blowhole", z=1)
    composer = Composer([BoxRegion(load("tiles")), blowhole], steps=steps)
    strip, frames = DenoisingStrip(composer), []
    for step in composer.steps(seed=0):
        strip.add(step)
        if step.predictions:  # a climb predicts nothing
            clean = step.merged.canvas if step.merged else step.predictions[0].clean
            frames.append(enlarge(to_picture(clean[0])))
    frames[0].save(out / "denoising.gif", save_all=True, append_images=frames[1:], duration=40)
    strip.picture().save(out / "strip.png")


if __name__ == "__main__":
    main(Path("."))
