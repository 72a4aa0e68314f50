"""Pictures in and out: bit-identical where they are read, refused clearly where they cannot be."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from dmix_core.errors import DmixError, ImageError
from dmix_core.image_files import decode
from dmix_core.images import (
    PALETTE,
    index_picture,
    png_bytes,
    read_image,
    to_picture,
    to_uint8,
    write_png,
)


def every_value(height=16, width=16):
    """(H, W, 3) uint8 in which each channel holds all 256 values."""
    ramp = np.arange(256, dtype=np.uint8).reshape(height, width)
    return np.stack([ramp, ramp[::-1], ramp.T], axis=-1)


def save(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


def test_reading_and_rounding_gives_the_files_pixels(tmp_path):
    pixels = every_value()
    image = read_image(save(tmp_path / "a.png", pixels))
    assert image.shape == (3, 16, 16)
    assert image.dtype == torch.float32
    assert (image.min(), image.max()) == (-1, 1)
    assert np.array_equal(to_uint8(image).permute(1, 2, 0).numpy(), pixels)


def test_writing_what_was_read_gives_the_same_pixels(tmp_path):
    source = save(tmp_path / "a.png", every_value())
    copy = write_png(tmp_path / "b.png", read_image(source))
    assert np.array_equal(np.asarray(Image.open(copy)), every_value())


def test_values_outside_the_range_are_clamped():
    assert to_uint8(torch.tensor([-1.5, -1.0, 0.0, 1.0, 7.0])).tolist() == [0, 0, 128, 255, 255]


def test_grey_becomes_rgb_by_copying(tmp_path):
    grey = every_value()[..., 0]
    planes = to_uint8(read_image(save(tmp_path / "a.png", grey)))
    assert all(np.array_equal(plane.numpy(), grey) for plane in planes)


def test_a_grey_picture_survives_as_rgb_and_back(tmp_path):
    grey = every_value()[..., 0]
    path = write_png(tmp_path / "b.png", read_image(save(tmp_path / "a.png", grey)), grey=True)
    assert Image.open(path).mode == "L"
    assert np.array_equal(np.asarray(Image.open(path)), grey)


def test_one_channel_on_request(tmp_path):
    image = read_image(save(tmp_path / "a.png", every_value()[..., 0]), channels=1)
    assert image.shape == (1, 16, 16)
    assert np.array_equal(np.asarray(to_picture(image)), every_value()[..., 0])


def test_two_channels_are_refused(tmp_path):
    with pytest.raises(ImageError, match="channels=2"):
        read_image(save(tmp_path / "a.png", every_value()), channels=2)


def test_a_palette_is_looked_up(tmp_path):
    picture = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8))
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.save(tmp_path / "a.png")
    assert to_uint8(read_image(tmp_path / "a.png"))[:, 0].T.tolist() == [[10, 20, 30], [40, 50, 60]]


def test_one_bit_becomes_black_and_white(tmp_path):
    Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1").save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png")[0].tolist() == [[-1, 1]]


@pytest.mark.parametrize("alpha", [255, 254])
def test_alpha_is_dropped_only_where_nothing_shows_through(tmp_path, alpha):
    pixels = np.concatenate([every_value(), np.full((16, 16, 1), 255, np.uint8)], axis=-1)
    pixels[3, 5, 3] = alpha
    path = save(tmp_path / "a.png", pixels)
    if alpha == 255:
        assert np.array_equal(to_uint8(read_image(path)).permute(1, 2, 0).numpy(), every_value())
    else:
        with pytest.raises(ImageError, match=r"a\.png.*transparent.*without alpha"):
            read_image(path)


def test_alpha_on_request(tmp_path):
    pixels = np.concatenate([every_value(), every_value()[..., :1]], axis=-1)
    image = read_image(save(tmp_path / "a.png", pixels), channels=4)
    assert (image[3].min(), image[3].max()) == (-1, 1)
    assert np.array_equal(np.asarray(to_picture(image)), pixels)
    assert (read_image(save(tmp_path / "b.png", every_value()), channels=4)[3] == 1).all()


@pytest.mark.parametrize(
    ("mode", "suffix"), [("I;16", "png"), ("CMYK", "jpg"), ("F", "tif"), ("LAB", "tif"), ("I", "tif")]
)
def test_other_modes_are_refused_by_name(tmp_path, mode, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.new(mode, (4, 4)).save(path)
    with pytest.raises(ImageError, match=rf"a\.{suffix}.*'{mode}'.*8 bits"):
        read_image(path)


def test_a_rotated_photograph_is_turned_upright(tmp_path):
    pixels = np.zeros((2, 3, 3), np.uint8)
    pixels[0, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to view
    image = read_image(save(tmp_path / "a.png", pixels, exif=exif))
    assert image.shape == (3, 3, 2)
    assert image[0].argmax() == 1


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"no picture .*absent\.png"):
        read_image(tmp_path / "absent.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_named(tmp_path, suffix, share):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = save(tmp_path / f"cut.{suffix}", noise)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageError, match=rf"Cannot read .*cut\.{suffix}"):
        read_image(path)


@pytest.mark.parametrize("data", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_named(tmp_path, data):
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"Cannot read .*a\.png"):
        read_image(path)


def test_a_damaged_file_is_named(tmp_path):
    data = bytearray(save(tmp_path / "a.png", every_value()).read_bytes())
    data[data.index(b"IDAT") + 20] ^= 0xFF
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ImageError, match=r"Cannot read .*a\.png"):
        read_image(tmp_path / "a.png")


def png(width, height, bits, colour, rows=b""):
    """A PNG file written by hand; colour 0 is grey, 2 RGB, 4 grey with alpha, 6 RGB with alpha."""
    parts = {b"IHDR": struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0), b"IDAT": zlib.compress(rows)}
    chunks = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in [*parts.items(), (b"IEND", b"")]
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("side", [9500, 60000], ids=["where Pillow warns", "where Pillow refuses"])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_picture_that_would_fill_the_memory_is_refused(tmp_path, side):
    (tmp_path / "a.png").write_bytes(png(side, side, 8, 2))
    with pytest.raises(ImageError, match=r"a\.png' is a decompression bomb, or very large: expected at most 89478485"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_channels_of_16_bits_are_refused_which_pillow_would_cut_to_8(tmp_path, colour, channels):
    path = tmp_path / "a.png"
    path.write_bytes(png(2, 1, 16, colour, b"\0" + b"\x01\xff" * 2 * channels))
    assert Image.open(path).mode in ("RGB", "RGBA")  # nothing else shows it
    with pytest.raises(ImageError, match=r"a\.png' has R\+G\+B.* channels of 16 bits; expected 8 bits per channel"):
        read_image(path)
    path.write_bytes(png(2, 1, 8, colour, b"\0" + b"\xff" * 2 * channels))
    assert read_image(path).shape == (3, 1, 2)


def test_tiff_of_16_bits_is_refused(tmp_path):
    entries = [(256, 4, 1), (257, 4, 1), (258, 3, 16), (259, 3, 1), (262, 3, 2), (277, 3, 3), (278, 4, 1), (279, 4, 6)]
    fields = [struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries]
    fields[2] = struct.pack("<HHII", 258, 3, 3, 8)  # three times 16, at byte 8
    fields.insert(5, struct.pack("<HHII", 273, 4, 1, 14))
    directory = struct.pack("<H", len(fields)) + b"".join(fields) + bytes(4)
    data = b"II*\0" + struct.pack("<I", 20) + struct.pack("<HHH", 16, 16, 16) + bytes(6) + directory
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(ImageError, match=r"a\.tif' has R\+G\+B channels of 16 bits"):
        read_image(tmp_path / "a.tif")


def test_grey_of_16_bits_is_decoded_as_it_is(tmp_path):
    path = save(tmp_path / "a.png", np.array([[256 * 26 + 1, 65535]], np.uint16))
    assert np.asarray(decode(path)).tolist() == [[6657, 65535]]


def test_a_folder_is_no_picture(tmp_path):
    with pytest.raises(ImageError, match="Cannot read"):
        read_image(tmp_path)


def test_a_wrong_shape_is_refused():
    with pytest.raises(ImageError, match=r"\(2, 4, 4\)"):
        to_picture(torch.zeros(2, 4, 4))
    with pytest.raises(ImageError, match=r"float32 \(4, 4\)"):
        index_picture(torch.zeros(4, 4))


def test_uint8_is_taken_as_it_is():
    pixels = torch.from_numpy(every_value()).permute(2, 0, 1)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png_bytes(pixels)))), every_value())


def test_an_index_png_holds_the_numbers_and_shows_colours(tmp_path):
    index = torch.tensor([[0, 1], [2, 255]], dtype=torch.uint8)
    with Image.open(write_png(tmp_path / "mask.png", index_picture(index))) as picture:
        assert picture.mode == "P"
        assert np.asarray(picture).tolist() == index.tolist()
        assert picture.convert("RGB").getpixel((0, 0)) == (0, 0, 0)
        assert picture.convert("RGB").getpixel((1, 0)) == PALETTE[1] != (0, 0, 0)


def test_a_picture_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(DmixError, match=r"Cannot write .*absent"):
        write_png(tmp_path / "absent" / "a.png", torch.zeros(3, 2, 2))
    assert list(tmp_path.iterdir()) == []
