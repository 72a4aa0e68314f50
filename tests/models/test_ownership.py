"""One training to a folder, and file names that always can be written."""

import json
import os
import signal
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmix_models.filenames import file_names
from dmix_models.ownership import OWNER, InUseError, Ownership, read_owner
from dmix_models.stopping import StopRequest

HOLD = "import sys, time; from pathlib import Path; from dmix_models.ownership import Ownership as O; "
HOLD += "owned = O(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"


def test_a_folder_that_another_process_holds_is_refused_by_its_name_and_free_once_it_is_killed(tmp_path):
    folder = tmp_path / "training"
    folder.mkdir()
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout.readline() == "held\n"
            with pytest.raises(
                InUseError, match=rf"is in use by another training \(process {other.pid} on .*, since 2"
            ):
                Ownership(folder)
        finally:
            other.send_signal(signal.SIGKILL)
            other.wait()
    assert read_owner(folder / OWNER).pid == other.pid  # it could not tidy up
    owned = Ownership(folder)
    assert read_owner(folder / OWNER).pid == os.getpid()
    with pytest.raises(InUseError):
        Ownership(folder)
    owned.release()
    owned.release()
    assert not (folder / OWNER).exists()
    Ownership(folder).release()


@pytest.mark.parametrize("text", ["", "[]", "\xff", json.dumps({"pid": "x", "host": 1})])
def test_a_note_that_cannot_be_read_does_not_matter(tmp_path, text):
    (tmp_path / OWNER).write_text(text, encoding="latin-1")
    assert read_owner(tmp_path / OWNER) is None
    Ownership(tmp_path).release()


@given(st.lists(st.text(max_size=300), max_size=6, unique=True))
def test_any_names_become_file_names_of_their_own(names):
    found = file_names("memorisation", ".png", names)
    assert list(found) == names
    assert len({name.casefold() for name in found.values()}) == len(names)
    for name in found.values():
        assert name.startswith("memorisation-")
        assert name.endswith(".png")
        assert not set(name) & set('/\\:*?"<>|\0\n')
        assert len(name.encode()) < 256


def test_plain_names_stay_what_they_are():
    assert file_names("x", ".png", [None, "crack", "bottle/broken", "Crack"]) == {
        None: "x.png",
        "crack": "x-crack.png",
        "bottle/broken": "x-bottle_broken.png",
        "Crack": "x-Crack-2.png",
    }


def test_a_signal_is_noted_and_a_second_one_ends_at_once():
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest() as stop:
        assert not stop()
        signal.raise_signal(signal.SIGTERM)
        assert stop()
        assert stop.received == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)  # SIGINT is ignored where a shell has put the tests into the background
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop()
    finally:
        signal.signal(signal.SIGHUP, before)
