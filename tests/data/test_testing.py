"""The conformance check of layouts: it passes those of dmix-data, and finds what is wrong with others."""

import numpy as np
import pytest
from PIL import Image

from dmix_data.layouts import Listing, Record, layouts
from dmix_data.layouts.mvtec import MVTec
from dmix_data.masks import MaskFile
from dmix_data.testing import BrokenPromise, check_layout


class Pairs:
    """pictures/X.png with masks/X.png."""

    name, title, rule, fallback = "pairs", "pairs", "nonzero", False

    def detect(self, root):
        return "pictures/" if (root / "pictures").is_dir() else None

    def read(self, root):
        images = sorted((root / "pictures").glob("*.png"))
        return Listing([Record(image, MaskFile(root / "masks" / image.name, self.rule)) for image in images])


@pytest.fixture
def folder(tmp_path):
    for part, pixels in (("pictures", np.zeros((4, 4, 3), np.uint8)), ("masks", np.ones((4, 4), np.uint8))):
        (tmp_path / part).mkdir()
        Image.fromarray(pixels).save(tmp_path / part / "1.png")
    return tmp_path


@pytest.mark.parametrize("layout", layouts().values(), ids=layouts())
def test_our_layouts_keep_their_promises(layout):
    check_layout(layout)


def test_a_layout_keeps_its_promises_on_its_own_folder(folder):
    check_layout(Pairs(), folder)


class Nameless(Pairs):
    title = ""


class Everywhere(Pairs):
    def detect(self, root):
        return "a folder"


class Failing(Pairs):
    def detect(self, root):
        return next(root.iterdir()).name and None


class Twice(Pairs):
    def read(self, root):
        return Listing(super().read(root).records * 2)


class Outside(Pairs):
    def read(self, root):
        return Listing([Record(root / "pictures/2.png")])


class Parts(Pairs):
    def read(self, root):
        return Listing([Record(record.image, split="training") for record in super().read(root).records])


class Maskless(Pairs):
    def read(self, root):
        return Listing(
            [Record(each.image, MaskFile(root / "no.png", "nonzero")) for each in super().read(root).records]
        )


BROKEN = {
    Nameless: "it has a title",
    Everywhere: "it finds nothing in an empty folder",
    Failing: "raises nothing but a DmixError",
    Twice: "each picture is listed once",
    Outside: "records are of files below the folder",
    Parts: "a split is train, val, test or None",
    Maskless: "its masks can be read",
    MVTec: "it recognises its own folder",
}


@pytest.mark.parametrize(("layout", "promise"), BROKEN.items(), ids=lambda each: getattr(each, "__name__", ""))
def test_each_promise_can_be_broken(layout, promise, folder):
    with pytest.raises(BrokenPromise, match=promise):
        check_layout(layout(), folder)
