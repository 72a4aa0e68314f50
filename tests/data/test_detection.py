"""What is found of generated pictures: by metadata, by bytes and by hash."""

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

from dmix_core.errors import ImageError
from dmix_core.images import write_png
from dmix_core.marks import GENERATED, Mark
from dmix_data.crophash import centre_hash
from dmix_data.detection import Known, detect, detect_below
from dmix_data.exceptions import DataError
from dmix_data.generated_set import entries
from dmix_data.phash import phash
from dmix_data.testing import write_set


def smooth(seed):
    noise = np.random.default_rng(seed).integers(0, 256, (96, 96, 3), np.uint8)
    return ImageOps.autocontrast(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(8)))


@pytest.fixture
def known(tmp_path):
    """Three smooth pictures of a set; the last is said to be real."""
    root = write_set(tmp_path / "set", 3)
    samples = [
        sample.model_copy(
            update={"phash": phash(smooth(sample.number)), "centre": centre_hash(smooth(sample.number)), "kind": kind}
        )
        for sample, kind in zip(entries(root), ("composite", "composite", "real"), strict=True)
    ]
    return Known(samples)


def test_a_mark_tells_that_a_picture_is_generated(tmp_path):
    found = detect(write_png(tmp_path / "a.png", smooth(0), mark=Mark(GENERATED, {"seed": 3})))
    assert (found.verdict, found.mark.recipe) == ("generated", {"seed": 3})


def test_a_photograph_shows_no_sign(tmp_path, known):
    smooth(50).save(tmp_path / "a.jpg")
    assert detect(tmp_path / "a.jpg", known).verdict == "no sign"


def test_the_mark_of_a_camera_is_no_sign(tmp_path):
    assert detect(write_png(tmp_path / "a.png", smooth(0), mark=Mark("digitalCapture"))).verdict == "no sign"


def test_a_copy_of_the_file_is_exact(tmp_path, known):
    (tmp_path / "copy.png").write_bytes((tmp_path / "set/images/000001.png").read_bytes())
    found = detect(tmp_path / "copy.png", known)
    assert (found.verdict, found.exact.number) == ("exact copy", 1)


def test_a_copy_that_was_encoded_and_scaled_is_near(tmp_path, known):
    smooth(1).resize((64, 64)).save(tmp_path / "copy.jpg", quality=70)
    found = detect(tmp_path / "copy.jpg", known)
    assert (found.verdict, found.near.image) == ("near copy", "images/000001.png")
    assert found.near.distance <= 4


def test_a_crop_is_a_near_copy(tmp_path, known):
    smooth(1).crop((0, 12, 84, 96)).save(tmp_path / "crop.png")
    found = detect(tmp_path / "crop.png", known)
    assert (found.verdict, found.near, found.crop.number) == ("near copy", None, 1)


def test_the_photograph_behind_a_sample_is_named(tmp_path):
    root = write_set(tmp_path / "set", 1)
    (sample,) = entries(root)
    hashes = {"phash": phash(smooth(0)), "centre": centre_hash(smooth(0)), "background": "a/tile.jpg"}
    known = Known([sample.model_copy(update=hashes)], real=True)
    smooth(0).save(tmp_path / "tile.png")
    smooth(0).crop((0, 12, 84, 96)).save(tmp_path / "crop.png")
    assert detect(tmp_path / "tile.png", known).near.photograph == "a/tile.jpg"
    assert detect(tmp_path / "crop.png", known).crop.photograph == "a/tile.jpg"


def test_real_pictures_of_a_set_are_no_generated_ones(tmp_path, known):
    smooth(2).save(tmp_path / "real.png")
    assert detect(tmp_path / "real.png", known).verdict == "no sign"


def test_a_set_without_hashes_finds_nothing_near(tmp_path):
    smooth(0).save(tmp_path / "a.png")
    assert detect(tmp_path / "a.png", Known([])).verdict == "no sign"


def test_a_manifest_is_given_as_file_or_folder(tmp_path):
    root = write_set(tmp_path / "set", 3)
    for path in (root, root / "manifest.jsonl"):
        assert [found.verdict for found in detect_below(root / "images", Known.read(path))] == 3 * ["exact copy"]


def test_a_folder_without_pictures_and_a_damaged_file_are_refused(tmp_path):
    with pytest.raises(DataError, match="has no pictures"):
        detect_below(tmp_path)
    (tmp_path / "a.png").write_text("none")
    with pytest.raises(ImageError, match=r"a\.png"):
        list(detect_below(tmp_path))
