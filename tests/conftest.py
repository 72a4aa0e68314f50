"""What every test may ask for."""

import io
import os
from contextlib import contextmanager, nullcontext
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


@pytest.fixture(scope="session")
def tree():
    """A function that gives the content of every file of a folder, by its path."""
    return lambda folder: {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="session", autouse=True)
def unflushed():
    """Nothing is flushed to disk: that takes milliseconds a file, and no test cuts the power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)  # which fails as well where there is no such file
        yield


class Killed(BaseException):
    """What a process that was killed cannot catch."""


def only_reads(_, *how, mode="r", **__):
    """Whether os.open or io.open so called leaves all files as they are."""
    how = how[0] if how else mode
    return how in ("r", "rb") if isinstance(how, str) else not how & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)


@pytest.fixture
def killed_at(monkeypatch):
    """A context in which every change of files from the given one on fails, so that nothing is tidied up.

    It yields the names of the changes that were made; with None none fails, and they can be counted.
    """

    @contextmanager
    def killing(number):
        done = []

        def counted(real, name):
            def change(*arguments, **options):
                if name.endswith("open") and only_reads(*arguments, **options):
                    return real(*arguments, **options)
                done.append(name)
                if number is not None and len(done) >= number:
                    raise Killed
                return real(*arguments, **options)

            return change

        with monkeypatch.context() as patch:
            for name in ("open", "mkdir", "rename", "replace", "chmod", "unlink", "rmdir"):
                patch.setattr(os, name, counted(getattr(os, name), name))
            patch.setattr(io, "open", counted(io.open, "io.open"))
            with nullcontext() if number is None else pytest.raises(Killed):
                yield done

    return killing
