"""Memory that networks free stays with the process, instead of going back to the system and being asked for again.

A composition takes the same buffers in every step. By its own rules glibc maps the large ones anew each time, and the
system clears every page of them: about a tenth of the time of a batch of eight 64x64 images (docs/speed.md). That is
a setting of a whole process, so a command may choose it, and a library may not.
"""

import ctypes
import os

KEPT = 2**30  # bytes up to which a buffer is kept, and freed ones are
SETTINGS = {"MALLOC_TRIM_THRESHOLD_": -1, "MALLOC_MMAP_THRESHOLD_": -3}
"""How the environment and malloc.h name what decides it."""


def keep_freed_memory() -> bool:
    """Set it for this process and those that it starts; whatever the environment says of malloc wins.

    Returns:
        whether it is set: other C libraries than glibc have their own rules.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # what musl, macOS and Windows answer
        return False
    os.environ.update(dict.fromkeys(SETTINGS, str(KEPT)))
    return all(mallopt(number, KEPT) for number in SETTINGS.values())
