"""Paint objects into a photograph: python examples/into_a_photograph.py PHOTO.png

Every pixel outside of the objects' masks stays as it is in the photograph, which the last lines check.
"""

import sys
from pathlib import Path

from dmix_core import BoxRegion, Composer, StillImage
from dmix_core.images import read_image, to_uint8, write_png
from dmix_models import load


def main(photo: Path, out: Path, steps: int = 250) -> None:
    image, blowhole = read_image(photo), load("blowhole")
    regions = [
        BoxRegion(StillImage(image), name="photo"),
        BoxRegion(blowhole, box=(8, 8, 32, 32), name="first", z=1),
        BoxRegion(blowhole, box=(60, 40, 48, 48), name="second", z=2),  # enlarged by half
    ]
    composition = Composer(regions, steps=steps).compose(seed=3)
    write_png(out, composition.image[0])

    untouched = composition.index[0] == 0
    assert (to_uint8(composition.image[0]) == to_uint8(image))[:, untouched].all()
    print(f"{out}: {untouched.float().mean():.0%} of the pixels are the photograph's own")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path("with-blowholes.png"))
