"""Picture files that are refused, because Pillow would read them wrongly, start a program, or wait."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from dmix_core.errors import ImageError
from dmix_core.image_files import decode, is_turned

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
PIXELS = np.random.default_rng(0).integers(1, 256, (12, 9, 3), np.uint8)


def test_only_known_formats_are_opened_whatever_a_file_is_called(tmp_path, monkeypatch):
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *args, **more: pytest.fail("Ghostscript was started"))
    (tmp_path / "x.png").write_bytes(EPS)
    with pytest.raises(ImageError, match="in one of the formats BMP, GIF, JPEG, PNG"):
        decode(tmp_path / "x.png")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
@pytest.mark.parametrize("read", [decode, is_turned])
def test_a_pipe_is_not_waited_for(tmp_path, read):
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(ImageError, match="a folder, pipe or device"):
        read(tmp_path / "x.png")


@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "WEBP"])
def test_several_frames_are_refused(tmp_path, kind):
    first, second = Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)
    first.save(tmp_path / "x", kind, save_all=True, append_images=[second])
    with pytest.raises(ImageError, match="has 2 frames or pages; expected one picture"):
        decode(tmp_path / "x")
    first.save(tmp_path / "y", kind)
    assert decode(tmp_path / "y").size == (9, 12)


def png(rows: bytes, *, height=12, interlaced=False) -> bytes:
    """A PNG of 9 grey pixels across, with these bytes as its rows."""
    header = struct.pack(">IIBBBBB", 9, height, 8, 0, 0, 0, int(interlaced))
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    parts = (struct.pack(">I", len(data)) + kind + data for kind, data in chunks)
    checksums = (struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(part + checksum for part, checksum in zip(parts, checksums, strict=True))


ROW = b"\0" + 9 * b"\x07"
PASSES = [(2, 2), (1, 2), (3, 1), (2, 3), (5, 3), (4, 6), (9, 6)]
"""Columns and rows of each pass of an interlaced picture of 9 x 12."""
INTERLACED = [rows * (b"\0" + columns * b"\x07") for columns, rows in PASSES]


@pytest.mark.parametrize(
    "content",
    [png(11 * ROW), png(ROW), png(11 * ROW + ROW[:5]), png(b"".join(INTERLACED[:6]), interlaced=True)],
    ids=["a row", "most rows", "half a row", "a pass"],
)
def test_missing_rows_are_refused(tmp_path, content):
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(ImageError, match=r"last rows are missing|truncated"):
        decode(tmp_path / "x.png")


@pytest.mark.parametrize(
    ("content", "value"),
    [(png(12 * ROW), 7), (png(12 * (b"\0" + 9 * b"\0")), 0), (png(b"".join(INTERLACED), interlaced=True), 7)],
    ids=["rows", "rows of zeros", "interlaced"],
)
def test_whole_pictures_are_read(tmp_path, content, value):
    (tmp_path / "x.png").write_bytes(content)
    assert np.array_equal(np.asarray(decode(tmp_path / "x.png")), np.full((12, 9), value))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16"])
def test_black_pictures_of_every_mode_are_whole(tmp_path, mode):
    Image.new(mode, (9, 12)).save(tmp_path / "x.png")
    assert decode(tmp_path / "x.png").size == (9, 12)
