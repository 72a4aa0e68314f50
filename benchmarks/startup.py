"""How long `dmix` takes to answer, and by how much every installed plugin slows it down.

    python benchmarks/startup.py [-n 15] [--plugins 20]

Medians of processes that are started in turn, so that a busy machine is one for all; CPU time beside wall-clock time,
since that one does not wait. The plugins are small packages with a merge rule and a command, made for the occasion;
below, what loading each of those that are installed costs once torch is there.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MODULE = """
from dmix_core.hookspecs import hookimpl

def make(threshold: float = 0.5):
    from dmix_core import HardMask
    return HardMask(threshold)

@hookimpl
def dmix_merge_rules():
    return {"NAME": make}
"""
LOADING = """
import sys, time
import torch, dmix_core.recipe, dmix_core.registry
from importlib import metadata
for entry in metadata.entry_points(group="dmix"):
    start, before = time.process_time(), set(sys.modules)
    entry.load()
    spent, heavy = 1000 * (time.process_time() - start), {"diffusers", "transformers", "accelerate", "scipy"}
    brought = ", ".join(sorted(heavy & (set(sys.modules) - before))) or "nothing heavy"
    print(f"| {entry.dist.name} | {spent:.1f} | {brought} |")
"""
DMIX = [sys.executable, "-m", "dmix_cli"]


def install(folder: Path, count: int) -> None:
    """Put this many plugins into a folder, as pip leaves them."""
    for number in range(count):
        name = f"startup-{number}"
        (folder / f"dmix_startup_{number}.py").write_text(MODULE.replace("NAME", name))
        info = folder / f"dmix_startup_{number}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dmix-{name}\nVersion: 1.0\n")
        module = f"dmix_startup_{number}"
        entries = f"[dmix]\n{name} = {module}\n[dmix_commands]\n{name} = {module}:command\n"
        (info / "entry_points.txt").write_text(entries)


def seconds(command: list[str], path: str) -> tuple[float, float]:
    """Wall-clock and CPU seconds of a process with this PYTHONPATH."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, check=True, capture_output=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("-n", type=int, default=15, help="processes of each kind")
    arguments.add_argument("--plugins", type=int, default=20)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        install(Path(folder), given.plugins)
        more = f"and {given.plugins} more plugins"
        runs = {
            "python -c pass": ([sys.executable, "-c", "pass"], ""),
            "dmix --help": ([*DMIX, "--help"], ""),
            f"dmix --help, {more}": ([*DMIX, "--help"], folder),
            "dmix plugins": ([*DMIX, "plugins"], ""),
            f"dmix plugins, {more}": ([*DMIX, "plugins"], folder),
        }
        rounds = [{name: seconds(*run) for name, run in runs.items()} for _ in range(given.n + 1)]
    spent = {name: [round[name] for round in rounds[1:]] for name in runs}
    medians = {
        name: [1000 * statistics.median(column) for column in zip(*times, strict=True)] for name, times in spent.items()
    }
    print("| | wall, ms | CPU, ms |\n|---|---|---|")
    for name, (wall, cpu) in medians.items():
        print(f"| {name} | {wall:.0f} | {cpu:.0f} |")
    for command in ("dmix --help", "dmix plugins"):
        wall, cpu = (b - a for a, b in zip(medians[command], medians[f"{command}, {more}"], strict=True))
        each = f"{wall / given.plugins:.2f} ms, {cpu / given.plugins:.2f} ms of CPU"
        print(f"Each plugin adds to {command}: {each}.")
    print("\n| plugin | loading it, ms of CPU | brings along |\n|---|---|---|", flush=True)
    subprocess.run([sys.executable, "-c", LOADING], check=True)


if __name__ == "__main__":
    main()
