"""A merge rule of one's own: objects as sheer as glass. Its check needs `pip install "dmix-core[testing]"`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dmix_core import BoxRegion, Composer, Layer, Merged
from dmix_core.images import write_png
from dmix_core.mattes import blend, stack
from dmix_core.testing import check_merge_rule
from dmix_models import load


@dataclass(frozen=True)
class Sheer:
    """Each region's predicted mask, times its opacity, is its share of the pixels that it covers."""

    opacity: float = 0.6

    def __call__(self, layers: Sequence[Layer], progress: float) -> Merged:
        return blend(layers, stack([self.opacity * layer.matte for layer in layers]))


def main(out: Path, steps: int = 250) -> None:
    check_merge_rule(Sheer())  # every promise of a merge rule, tried with many inputs
    blowhole = BoxRegion(load("defects").with_label("blowhole"), box=(0, 0, 64, 64), name="blowhole", z=1)
    composer = Composer([BoxRegion(load("tiles")), blowhole], steps=steps, merge=Sheer())
    write_png(out, composer.compose(seed=0).image[0])


if __name__ == "__main__":
    main(Path("sheer.png"))
