"""A few of the endings that kills.py tries in numbers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = Path(__file__).with_name("kills.py")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="each command is a fork")
def test_commands_that_are_ended_go_on_to_the_same_files():
    # of this seed each command gets a SIGKILL and a signal that it answers, both well before its end
    done = subprocess.run([sys.executable, KILLS, "2", "28"], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(done.stdout)
    assert all(each["signals"] == each["equal"] == 2 for each in counts.values())
