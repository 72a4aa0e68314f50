"""What every test may ask for."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

REPO = Path(__file__).resolve().parents[1]

# No deadline: the first call of a torch function takes its time. Under CI the same examples every time.
settings.register_profile("dmix", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("dmix"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "dmix")


@pytest.fixture(scope="session")
def repo() -> Path:
    """The root of the checkout."""
    return REPO


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data and reference numbers that may lie beside the checkout."""
    folder = REPO.parent / "shared"
    if not folder.is_dir():
        pytest.skip("there is no shared/ beside the checkout")
    return folder
