"""`dmix generate`: a labelled set of composites."""

from pathlib import Path
from typing import Any

import click

from dmix_cli.failures import wrong_use
from dmix_cli.field_options import Decorator, apply, options_of
from dmix_cli.parameters import FILE, NEW_FOLDER, Count, SettingType
from dmix_cli.printing import json_option, print_json, say

from .generate_config import GenerateConfig

PLAIN = (
    "roi",
    "min_distance",
    "max_overlap",
    "val",
    "test",
    "seed",
    "steps",
    "merge_from",
    "device",
    "threads",
    "name",
)
WHAT: list[Decorator] = [
    click.option("--backgrounds", metavar="MODEL|FOLDER", help="A model, or a folder of photographs of any size."),
    click.option(
        "--object",
        "objects",
        multiple=True,
        metavar="MODEL[,class=NAME][,weight=W]",
        help="A model of objects; repeat it for several.",
    ),
    click.option("-n", "n", type=Count(1, "MOST_SAMPLES"), help="How many composites."),
    click.option("--per-image", metavar="N|N-M", help="How many objects in each, such as 1-3.  [default: 1]"),
    click.option("--recipe", type=FILE, help="A recipe whose rules are used, in the place of the defaults."),
    click.option("--plugin", "plugins", multiple=True, metavar="NAME", help="A schedule, stepper or merge rule."),
    click.option(
        "--timesteps", multiple=True, type=SettingType(), help="KEY=VALUE: a setting of the schedule of timesteps."
    ),
    *options_of(GenerateConfig, *PLAIN, **{name: {"default": None, "show_default": False} for name in PLAIN}),
]


@click.command("generate", short_help="Generate a labelled set of composites.")
@click.argument("settings", required=False, type=FILE)
@apply(WHAT)
@click.option("-o", "--out", type=NEW_FOLDER, required=True, help="The folder of the set.")
@click.option("--workers", type=Count(1, 1024), help="Processes.  [default: one for each CPU; 1 on other devices]")
@click.option("--resume", is_flag=True, help="Go on with a set of the same settings that was interrupted.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, no summary.")
@json_option
def generate_command(
    settings: Path | None, out: Path, workers: int | None, resume: bool, quiet: bool, as_json: bool, **given: Any
) -> None:
    """Generate a set of composites with masks, boxes and a split, as a JSON file of SETTINGS or the options state it.

    The same settings give the same bytes for any number of workers, and after any interruption.

    \b
    Examples:
      dmix generate --backgrounds normal/ --object blowhole --per-image 1-3 -n 300 --val 0.2 -o set
      dmix generate settings.json -o set --resume
    """
    from dmix_cli.progress import progress

    from .generating import generate

    with wrong_use(), progress("generating", "image", quiet) as bar:
        config = _config(settings, given)
        bar.total = config.n
        report = generate(
            config,
            out=out,
            workers=workers or _processes(config),
            resume=resume,
            on_sample=lambda entry: bar.update(entry.number + 1 - bar.n),
        )
    if as_json:
        print_json({"path": report.path, "samples": report.samples, "made": report.made, "flags": report.flags})
    elif not quiet:
        say(f"Generated {report.made} samples; the set {str(report.path)!r} has {report.samples}.")


def _config(settings: Path | None, given: dict[str, Any]) -> GenerateConfig:
    """What the file states, and what the options state in its place."""
    from .generate_config import read_config

    given["timesteps"] = {each.key: each.value for each in given["timesteps"]}
    given["recipe"] = given["recipe"] and str(given["recipe"])
    stated = {name: value for name, value in given.items() if value not in (None, (), {})}
    return read_config(settings, **stated) if settings else GenerateConfig.from_data(stated, "the options")


def _processes(config: GenerateConfig) -> int:
    import os

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(usable // config.threads, config.n)) if config.device == "cpu" else 1
