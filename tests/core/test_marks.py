"""Marks of generated pictures: written into PNGs, found again, and silent in all other files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dmix_core.images import png_bytes, write_png
from dmix_core.marks import COMPOSITE, GENERATED, Mark, mark_of, read_mark

PICTURE = Image.frombytes("RGB", (4, 3), bytes(range(36)))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=5
)


@given(st.sampled_from([GENERATED, COMPOSITE]), st.dictionaries(st.text(), JSON, max_size=4))
def test_a_mark_is_read_from_its_own_text(source_type, recipe):
    mark = Mark(source_type, recipe)
    assert mark_of(mark.xmp()) == mark


@pytest.mark.parametrize(
    ("source_type", "generated"), [(GENERATED, True), (COMPOSITE, True), ("digitalCapture", False)]
)
def test_a_marked_file_states_how_it_came_about(tmp_path, source_type, generated):
    path = write_png(tmp_path / "a.png", PICTURE, mark=Mark(source_type, {"seed": 7}))
    found = read_mark(path)
    assert (found.source_type, found.recipe, found.is_generated) == (source_type, {"seed": 7}, generated)


def test_a_mark_changes_no_pixel_and_gives_the_same_bytes(tmp_path):
    mark = Mark(GENERATED, {"b": 1, "a": 'quote " & <'})
    content = png_bytes(PICTURE, mark=mark)
    assert content == png_bytes(PICTURE, mark=Mark(GENERATED, {"a": 'quote " & <', "b": 1}))
    (tmp_path / "a.png").write_bytes(content)
    with Image.open(tmp_path / "a.png") as read:
        assert read.tobytes() == PICTURE.tobytes()


def test_without_a_mark_the_bytes_are_those_of_pillow(tmp_path):
    PICTURE.save(tmp_path / "plain.png")
    assert png_bytes(PICTURE) == (tmp_path / "plain.png").read_bytes()
    assert read_mark(tmp_path / "plain.png") is None


def test_the_mark_of_another_program_is_read_in_a_jpeg(tmp_path):
    xmp = "<Iptc4xmpExt:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia</x>"
    PICTURE.save(tmp_path / "a.jpg", xmp=xmp.encode())
    assert read_mark(tmp_path / "a.jpg") == Mark(GENERATED)


def test_a_recipe_that_is_none_is_left_out():
    text = Mark(GENERATED, {"a": 1}).xmp().replace("{", "[")
    assert mark_of(text) == Mark(GENERATED)
