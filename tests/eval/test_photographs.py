"""What is read of real pictures and of generated sets."""

import numpy as np
import pytest
from PIL import Image

from dmix_data.exceptions import DataError
from dmix_eval.photographs import chosen, generated_photographs, real_photographs


def test_real_pictures_have_masks_groups_and_spots(real):
    found = real_photographs(real / "train", ("blowhole",))
    assert len(found) == 12
    defects = [each for each in found if not each.normal]
    assert len({each.group for each in defects}) == 6
    assert all(len(each.spots) == 1 and len(each.spots[0]) == each.mask.sum() for each in defects)


def test_a_class_that_nothing_shows_is_refused(real):
    with pytest.raises(DataError, match="no defect pictures of the classes crack"):
        real_photographs(real / "train", ("crack",))


def test_fewer_pictures_are_part_of_more_and_of_as_many_groups(real):
    defects = [each for each in real_photographs(real / "train") if not each.normal]
    two, four = ([each.name for each in chosen(defects, count)] for count in (2, 4))
    assert four[:2] == two
    assert len({each.group for each in chosen(defects, 4)}) == 4
    with pytest.raises(DataError, match="at most 6"):
        chosen(defects, 7)


def test_a_set_has_composites_twins_and_near_misses(generated):
    found = generated_photographs(generated, ("blowhole",))
    assert (len(found.composites), len(found.twins), len(found.near_misses), found.unseen) == (12, 12, 1, 0)
    assert all(twin.normal and twin.spots == found.composites[n].spots for n, twin in found.twins.items())
    assert found.near_misses[0].normal
    assert found.near_misses[0].spots == found.composites[-1].spots


def test_objects_of_other_classes_do_not_count(generated):
    with pytest.raises(DataError, match="shows no object"):
        generated_photographs(generated, ("break",))


def test_each_number_of_a_runs_mask_is_one_object(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    index = np.zeros((40, 40), np.uint8)
    index[2:6, 2:6] = index[30:34, 30:34] = 1  # two pieces of one object
    index[10:14, 20:24] = 2
    mask = Image.fromarray(index)
    mask.putpalette([0, 0, 0, 200, 100, 0, 0, 0, 255])
    mask.save(tmp_path / "masks/000.png")
    Image.new("L", (40, 40), 90).save(tmp_path / "images/000.png")
    (photo,) = generated_photographs(tmp_path).composites
    assert [len(spot) for spot in photo.spots] == [32, 16]


def test_a_folder_that_is_no_set_is_refused(tmp_path):
    with pytest.raises(DataError, match="no generated set"):
        generated_photographs(tmp_path)


def test_objects_of_which_nothing_shows_are_counted(generated, tmp_path):
    for name in ("images", "masks", "twins", "manifest.jsonl"):
        (tmp_path / name).symlink_to(generated / name)
    masks = tmp_path / "masks"
    masks.unlink()
    masks.mkdir()
    for path in (generated / "masks").iterdir():
        empty = path.stem in ("000003", "000007")
        (masks / path.name).write_bytes(
            path.read_bytes() if not empty else (generated / "masks/000012.png").read_bytes()
        )
    found = generated_photographs(tmp_path)
    assert (found.unseen, len(found.composites)) == (2, 10)
