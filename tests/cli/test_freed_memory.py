"""A command keeps the memory that it frees; whoever sets malloc's rules is left alone."""

import os
import subprocess
import sys

import pytest

PAGES_ASKED_FOR = """
import resource
import numpy as np
from dmix_cli.freed_memory import keep_freed_memory
print(keep_freed_memory())
np.ones(2**22)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(2**22)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def asked_for(**environment):
    """Whether it was set, and how many pages twenty arrays of 32 MB asked for after a first one."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", PAGES_ASKED_FOR]
    done = subprocess.run(command, env=plain | environment, capture_output=True, text=True, check=True)
    was_set, pages = done.stdout.split()
    return was_set == "True", int(pages)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it is a setting of glibc")
def test_freed_memory_is_used_again():
    was_set, pages = asked_for()
    if not was_set:
        pytest.skip("the C library is not glibc")
    assert pages < 100
    assert asked_for(MALLOC_TRIM_THRESHOLD_="131072")[0] is False
