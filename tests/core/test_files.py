"""Files are written whole or not at all."""

import os
import tempfile

import pytest

from dmix_core.errors import DmixError
from dmix_core.files import writable_folder, write_atomically


def test_a_file_is_written_and_replaced(tmp_path):
    path = tmp_path / "picture.png"
    assert write_atomically(path, b"first") == path
    write_atomically(str(path), b"second, and longer")
    assert path.read_bytes() == b"second, and longer"
    assert os.listdir(tmp_path) == ["picture.png"]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_the_umask_is_respected(tmp_path, umask):
    before = os.umask(umask)
    try:
        path = write_atomically(tmp_path / "picture.png", b"pixels")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_what_is_no_ordinary_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DmixError, match=r"Cannot write .*no ordinary file"):
        write_atomically(tmp_path / "pipe", b"data")


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "recipe.json"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DmixError, match=r"Cannot write .*No space left.*has free space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["recipe.json"]


def test_an_interruption_leaves_no_file(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "picture.png", b"new")
    assert os.listdir(tmp_path) == []


def test_a_folder_is_made_and_left_empty(tmp_path):
    folder = writable_folder(tmp_path / "one" / "two")
    assert folder.is_dir()
    assert writable_folder(folder) == folder
    assert os.listdir(folder) == []


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(DmixError, match=r"Cannot write to the output folder '.*taken' \(File exists\).*another one"):
        writable_folder(tmp_path / "taken")


def test_a_folder_below_a_file(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(DmixError, match=r"Cannot write to the output folder .*Not a directory"):
        writable_folder(tmp_path / "taken" / "below")


def test_a_folder_without_permission(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    with pytest.raises(DmixError, match="Permission denied"):
        writable_folder(tmp_path)
