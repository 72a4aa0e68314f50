"""`dmix experiment`: does it help a detector?"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dmix_cli.failures import wrong_use
from dmix_cli.parameters import FILE, NEW_FOLDER, Count
from dmix_cli.printing import json_option, print_json, say

if TYPE_CHECKING:
    from dmix_models.precision import Precision

    from .experiment_config import Row
    from .experiment_results import Result, Results
    from .experiment_table import Known
    from .photographs import Photograph


@click.command(short_help="Does it help a detector?")
@click.argument("file", type=FILE)
@click.option("-o", "--out", type=NEW_FOLDER, default="dmix-experiment", show_default=True, help="The folder to write.")
@click.option("--row", "rows", multiple=True, metavar="NAME", help="Take these rows alone.  [default: all]")
@click.option("--precision", type=click.Choice(["no", "bf16"]), help="Of the networks.  [default: the faster one]")
@click.option("--threads", type=Count(1, 1024), help="For the networks.  [default: as many as there are cores]")
@click.option("--table-only", is_flag=True, help="Train nothing; write the tables of what there is.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing while it runs.")
@json_option
def experiment(
    file: Path,
    out: Path,
    rows: tuple[str, ...],
    precision: "Precision | None",
    threads: int | None,
    table_only: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Train small detectors with and without generated pictures, and test them on pictures that were held out.

    FILE is a TOML file that names the folders of real pictures (train, validation, test), the classes, the seeds and
    the rows. Each row and seed is one detector, trained from scratch for the same number of steps, and one file in
    OUT/results; what is there already is not made again, so the command can be stopped and started at any time. After
    each, OUT/table.md and OUT/table.json are written anew, and OUT/false-alarms.png, which shows where in the
    validation pictures detectors see defects that are none.

    Pictures are tested at their own scale, both by overlapping windows and in one pass.

    \b
    Example:
      dmix experiment blowholes.toml -o blowholes --threads 1
    """
    from dmix_core.files import writable_folder

    from .experiment_config import ExperimentError, read_experiment
    from .experiment_results import Results

    with wrong_use(ExperimentError):
        planned = read_experiment(file)
        for name in rows:
            planned.row(name)
    results = Results(writable_folder(out / "results"), planned)
    known: Known = {}
    if not table_only:
        _run(results, rows, precision, threads, quiet, known)
    records = _write_tables(results, known)
    if as_json:
        print_json({"rows": records})
    elif not quiet:
        say(f"Wrote {out / 'table.md'}")


def _run(
    results: "Results",
    rows: Sequence[str],
    precision: "Precision | None",
    threads: int | None,
    quiet: bool,
    known: "Known",
) -> None:
    import torch

    from dmix_cli.progress import progress

    from .experiment_run import ExperimentRun

    if threads is not None:
        torch.set_num_threads(threads)
    run = ExperimentRun(results.experiment, results.folder, rows, precision)
    steps = len(run.due()) * results.experiment.training.steps
    with progress("training", "step", quiet, total=steps) as bar:
        for row, result in run.run(bar.update):
            _write_tables(results, known)
            _write_alarms(results, run.tested["validation"])
            if not quiet:
                say(_line(row, result))


def _line(row: "Row", result: "Result") -> str:
    ap = ", ".join(f"{part} {ways['windows'].figures['pixel AP']:.3f}" for part, ways in result.tested.items())
    return f"{row.name}, seed {result.seed}: pixel AP by windows {ap}; {result.seconds:.0f} s"


def _write_alarms(results: "Results", photographs: "Sequence[Photograph]") -> None:
    from dmix_core.images import write_png

    from .false_alarms import alarm_sheet, alarms

    if found := alarms(results, photographs):
        write_png(results.folder.parent / "false-alarms.png", alarm_sheet(found))


def _write_tables(results: "Results", known: "Known") -> list[dict]:
    import json

    from dmix_core.files import write_atomically

    from .experiment_table import markdown, summary

    records = summary(results, known)
    folder = results.folder.parent
    write_atomically(folder / "table.md", markdown(records, results.experiment).encode())
    write_atomically(folder / "table.json", f"{json.dumps(records, indent=1)}\n".encode())
    return records
