"""The chores: `nox -l` lists them, `nox -s NAME` runs one; each makes its own environment."""

import hashlib
import os
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "venv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests", "lint", "types"]

ROOT = Path(__file__).parent
PACKAGES = [
    "packages/dmix-core",
    "packages/dmix-data",
    "packages/dmix-models",
    "packages/dmix-cli",
    "packages/dmix-factory",
    "packages/dmix-eval",
]
PLUGINS = [
    "plugins/dmix-diffusers",
    "plugins/dmix-fewsteps",
    "plugins/dmix-guidance",
    "plugins/dmix-multidiffusion",
    "plugins/dmix-onnx",
    "plugins/dmix-poisson",
    "plugins/dmix-ray",
    "plugins/dmix-repaint",
    "plugins/dmix-soft-mask",
    "plugins/dmix-studio",
]
MODULES = [Path(folder).name.replace("-", "_") for folder in PACKAGES + PLUGINS]
BASE = [word for folder in PACKAGES for word in ("-e", folder)]
EDITABLE = BASE + [word for folder in PLUGINS for word in ("-e", folder)]
# hatchling: the tests build and install plugin packages without fetching anything.
TEST_TOOLS = ["hatchling", "hypothesis", "pytest", "pytest-cov", "pytest-xdist", "tensorboard"]
TEST_TOOLS += ["transformers"]
# They read what `dmix export` writes, and are the measure of our own hash and outlines.
TEST_TOOLS += ["datasets", "imagehash", "opencv-python-headless", "pycocotools", "webdataset"]
TEST_TOOLS += ["c2pa-python", "submitit"]  # extras of dmix-data and dmix-factory
TEST_TOOLS += ["axe-playwright-python"]  # of dmix-studio: its tests run where there is a Chromium
TEST_TOOLS += ["httpx"]  # what Starlette's test client is made of
# ruff formats the signatures of the API.
DOCS_TOOLS = ["latex2mathml", "mkdocs-material", "mkdocstrings-python", "ruff"]
TEST_PROCESSES = min(4, os.cpu_count() or 1)
MODELS_WHEEL_LIMIT = 25_000_000  # bytes, bundled models included

SITE_PACKAGES_CHECK = """
import importlib, sys
for name in sys.argv[1:]:
    file = importlib.import_module(name).__file__
    assert "site-packages" in file, f"{name} comes from {file}, not from its wheel"
"""


def install(session: nox.Session, *words: str) -> None:
    """`pip install` under the constraints; skipped while nothing that decides its outcome has changed."""
    inputs = [ROOT / "constraints.txt", *(ROOT / folder / "pyproject.toml" for folder in PACKAGES + PLUGINS)]
    digest = hashlib.sha256(b"\0".join([file.read_bytes() for file in inputs] + [repr(words).encode()])).hexdigest()
    stamp = Path(session.virtualenv.location) / "installed.sha256"
    if stamp.exists() and stamp.read_text() == digest:
        return
    session.install("-c", "constraints.txt", *words)
    stamp.write_text(digest)


@nox.session
def demo(session: nox.Session) -> None:
    """Compose eight tiles with blowholes from the bundled models."""
    install(session, *BASE)
    scene = ("--size", "96x96", "--set", "background.grid=96x96")
    words = ("-n", "8", "--seed", "3", "--preset", "recommended", *scene, "--redraw", "3", "--batch-size", "1")
    session.run("dmix", "compose", *words, "-o", "demo", *session.posargs)
    for sheet in ROOT.glob("demo/*sheet*.png"):
        session.log(f"Look at {sheet}")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests against the source tree; arguments after `--` go to pytest."""
    run_tests(session)


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the tests and tell which lines none of them runs."""
    run_tests(session, *(f"--cov={module}" for module in MODULES))


def run_tests(session: nox.Session, *words: str) -> None:
    install(session, *EDITABLE, *TEST_TOOLS)
    parallel = session.posargs or ["-n", str(TEST_PROCESSES), "--dist", "loadfile"]
    session.run("pytest", *words, *parallel, env={"OMP_NUM_THREADS": "1"})  # threads would take the processes' cores


@nox.session
def fuzz(session: nox.Session) -> None:
    """Try many hostile inputs: 20,000, or the number after `--`; their counts are printed, and written to fuzz.json."""
    install(session, *EDITABLE, *TEST_TOOLS)
    count = session.posargs[0] if session.posargs else "20000"
    session.run("pytest", "tests/fuzz", env={"DMIX_FUZZ": count, "DMIX_FUZZ_JSON": "fuzz.json"})


@nox.session
def kills(session: nox.Session) -> None:
    """End compose and train at random moments and start them again: 20 times each, or the number after `--`."""
    install(session, *EDITABLE, *TEST_TOOLS)
    session.run("python", "tests/fuzz/kills.py", *session.posargs)


@nox.session(reuse_venv=False)
def release(session: nox.Session) -> None:
    """Build every wheel and sdist into dist/, check them, install the wheels afresh and run the tests against them."""
    session.install("-c", "constraints.txt", "build", "twine")
    dist = ROOT / "dist"
    for old in [*dist.glob("dmix_*.whl"), *dist.glob("dmix_*.tar.gz")]:
        old.unlink()
    for folder in PACKAGES + PLUGINS:
        session.run("python", "-m", "build", "--outdir", str(dist), folder, silent=True)
    built = sorted(dist.glob("dmix_*.whl"))
    session.run("twine", "check", "--strict", *map(str, [*built, *dist.glob("dmix_*.tar.gz")]))
    for wheel in built:
        session.log(f"{wheel.name}: {wheel.stat().st_size / 1e6:.2f} MB")
        if wheel.name.startswith("dmix_models-") and wheel.stat().st_size > MODELS_WHEEL_LIMIT:
            session.error(f"{wheel.name} is over {MODELS_WHEEL_LIMIT / 1e6:.0f} MB")
    session.install("-c", "constraints.txt", *map(str, built), *TEST_TOOLS)
    session.run("python", "-c", SITE_PACKAGES_CHECK, *MODULES)
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting."""
    install(session, "ruff")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check types: strictly in dmix-core, normally elsewhere."""
    install(session, "--no-compile", *EDITABLE, "mypy", "hypothesis", "pytest")
    session.run("mypy", *(f"{folder}/src" for folder in PACKAGES + PLUGINS))


@nox.session
def bench(session: nox.Session) -> None:
    """Time networks, composites and training steps: benchmarks/bench.py, or another script after `--`."""
    install(session, *EDITABLE)
    scripts = {file.name: file for file in ROOT.glob("benchmarks/*.py")}
    name, *words = session.posargs if {*session.posargs[:1]} & {*scripts} else ["bench.py", *session.posargs]
    session.run("python", str(scripts[name]), *words)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into site/, where a warning is an error; `-- serve` shows it while it is written."""
    install(session, *DOCS_TOOLS)
    session.env["NO_MKDOCS_2_WARNING"] = "1"
    session.run("mkdocs", *(session.posargs or ["build", "--strict"]))
    if not session.posargs:
        session.run("python", "docs/tools/offline.py", "site")
        session.log(f"Look at {ROOT / 'site/index.html'}")
