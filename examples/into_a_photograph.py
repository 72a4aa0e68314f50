"""Paint objects into a photograph: python examples/into_a_photograph.py PHOTO.png

Every pixel outside of the objects' masks stays as it is in the photograph, which the last lines check.
"""

import sys
from pathlib import Path

from dmix_core import from_models
from dmix_core.images import as_image, to_uint8


def main(photo: Path, out: Path, steps: int = 250) -> None:
    objects = [("defects:blowhole", (0, 0, 64, 64)), ("defects:break", (32, 0, 96, 96))]  # the second enlarged by half
    composition = from_models(photo, objects, steps=steps).compose(seed=3)
    composition.images[0].save(out)

    untouched = composition.index[0] == 0
    assert (to_uint8(composition.image[0]) == to_uint8(as_image(photo)))[:, untouched].all()
    print(f"{out}: {untouched.float().mean():.0%} of the pixels are the photograph's own")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path("with-blowholes.png"))
