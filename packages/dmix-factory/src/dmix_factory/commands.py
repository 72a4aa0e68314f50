"""`dmix generate`, `dmix verify` and `dmix merge`: labelled sets of composites."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dmix_cli.failures import wrong_use
from dmix_cli.field_options import Decorator, apply, options_of
from dmix_cli.parameters import FILE, FOLDER, NEW_FOLDER, Count, NamesType, Setting, SettingType
from dmix_cli.printing import json_option, print_json, say
from dmix_core.rule_presets import PRESETS

from .generate_config import ConfigError, GenerateConfig

if TYPE_CHECKING:
    from collections import Counter

    from .engines import Engine
    from .generating import Report
    from .units import Unit

PLACING = ("roi", "min_distance", "max_overlap", "val", "test", "seed")
LABELS = ("visible_change", "min_piece", "fill_holes", "min_contrast", "tries", "best_of")
COMPUTING = ("steps", "merge_from", "listen_from", "threshold", "device", "name")


def _without_defaults(*fields: str) -> list[Decorator]:
    """Options whose defaults are the file's, or else the model's, which help shows."""
    shown = {name: GenerateConfig.model_fields[name] for name in fields}
    help_ = {
        name: f"{each.description}" + ("" if each.default is None else f"  [default: {each.default}]")
        for name, each in shown.items()
    }
    changes = {name: {"default": None, "show_default": False, "help": help_[name]} for name in fields}
    return options_of(GenerateConfig, *fields, **changes)


class ShardType(click.ParamType):
    """I/N as (I, N)."""

    name = "I/N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        place, slash, count = value.partition("/")
        if not (slash and place.isdecimal() and count.isdecimal() and 1 <= int(place) <= int(count[:9])):
            self.fail(f"{value!r}; expected I/N with I from 1 to N, such as 2/4.", param, ctx)
        return int(place), int(count)


class ThreadsType(click.ParamType):
    """A number, or "auto"."""

    name = "N|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value == "auto" else Count(1, 1024).convert(value, param, ctx)


WHAT: list[Decorator] = [
    click.option("--backgrounds", metavar="MODEL|FOLDER", help="A model, or a folder of photographs of any size."),
    click.option(
        "--object",
        "objects",
        multiple=True,
        metavar="MODEL[@x,y,w,h][,class=NAME][,weight=W]",
        help="A model of objects, in a fixed box where one is stated; repeat it for several.",
    ),
    click.option("-n", "n", type=Count(1, "MOST_SAMPLES"), help="How many composites."),
    click.option("--per-image", metavar="N|N-M", help=f"{GenerateConfig.model_fields['per_image'].description}"),
    *options_of(GenerateConfig, "preset", preset={"type": click.Choice([*PRESETS]), "show_default": False}),
    click.option("--recipe", type=FILE, help=f"{GenerateConfig.model_fields['recipe'].description}"),
    click.option("--plugin", "plugins", multiple=True, metavar="NAME", help="A schedule, stepper or merge rule."),
    click.option(
        "--timesteps", multiple=True, type=SettingType(), help="KEY=VALUE: a setting of the schedule of timesteps."
    ),
    *options_of(GenerateConfig, "place", place={"default": None, "show_default": False}),
    click.option("--boxes", type=FILE, help=f"{GenerateConfig.model_fields['boxes'].description}"),
    click.option("--real", type=FOLDER, help=f"{GenerateConfig.model_fields['real'].description}"),
    *_without_defaults(*PLACING),
    click.option("--groups", metavar="RULE", help=f"{GenerateConfig.model_fields['groups'].description}"),
    click.option("--twins", is_flag=True, default=None, help=f"{GenerateConfig.model_fields['twins'].description}"),
    click.option("--share", metavar="NxM", help=f"{GenerateConfig.model_fields['share'].description}"),
    click.option("--strength", metavar="F|F-F", help=f"{GenerateConfig.model_fields['strength'].description}"),
    click.option("--near-miss", metavar="F|F-F", help=f"{GenerateConfig.model_fields['near_miss'].description}"),
    click.option("--reject/--no-reject", default=None, help=f"{GenerateConfig.model_fields['reject'].description}"),
    *_without_defaults(*LABELS, *COMPUTING),
    click.option(
        "--licence",
        multiple=True,
        metavar="[WHAT=]TEXT",
        help=f"{GenerateConfig.model_fields['licence'].description}",
    ),
    click.option(
        "--threads",
        type=ThreadsType(),
        help="torch's threads in each process; they decide the last bits. auto: what makes most samples here, by one "
        "timing of each.  [default: 1]",
    ),
]


@click.command("generate", short_help="Generate a labelled set of composites.")
@click.argument("settings", required=False, type=FILE)
@apply(WHAT)
@click.option("-o", "--out", type=NEW_FOLDER, required=True, help="The folder of the set.")
@click.option("--workers", type=Count(1, 1024), help="Processes.  [default: one for each CPU; 1 on other devices]")
@click.option("--engine", metavar="NAME", default="processes", show_default=True, help="What the workers are.")
@click.option("--engine-set", "engine_settings", multiple=True, type=SettingType(), help="A setting of the engine.")
@click.option("--resume", is_flag=True, help="Go on with a set of the same settings that was interrupted.")
@click.option("--shard", type=ShardType(), default="1/1", help="Make a part of the set, for `dmix merge`.")
@click.option(
    "--format", "formats", type=NamesType(), help="Export the finished set in these formats, to OUT-exported."
)
@click.option("--dry-run", is_flag=True, help="Tell what the set will hold and cost; write nothing.")
@click.option("--events", is_flag=True, help="Print a line of JSON on stderr for each sample that is committed.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, no summary.")
@json_option
def generate_command(
    settings: Path | None,
    out: Path,
    formats: list[str] | None,
    dry_run: bool,
    events: bool,
    quiet: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Generate a set of composites with masks, boxes and a split, as a JSON file of SETTINGS or the options state it.

    The same settings give the same bytes for any number of workers and shards, and after any interruption. Workers are
    processes of this machine, tasks of SLURM (--engine slurm), or what the engine of a plugin makes them.

    \b
    Examples:
      dmix generate --backgrounds normal/ --object defects:blowhole --per-image 1-3 -n 300 --val 0.2 -o set
      dmix generate settings.json -o set --resume
      dmix generate settings.json -o set --engine slurm --engine-set partition=gpu --workers 20
    """
    from dmix_cli.progress import progress

    from .generating import generate, numbers_of

    if formats and given["shard"] != (1, 1):
        raise click.UsageError("--format writes finished sets; merge the shards, then use `dmix export`.")
    _check_formats(formats or ())
    how = {name: given.pop(name) for name in ("workers", "resume", "shard")}
    with wrong_use(ConfigError):
        how["engine"] = _engine(given.pop("engine"), given.pop("engine_settings"))
        automatic = given["threads"] == "auto"
        given |= {"threads": None} if automatic else {}
        config = _config(settings, given)
        if automatic:
            config = _with_threads(config, out, quiet, how)
        if dry_run:
            _forecast(config, how["shard"], how["workers"], as_json)
            return
        numbers = numbers_of(config, how["shard"])
        with progress("generating", "image", quiet or events, total=len(numbers)) as bar:

            def show(unit: "Unit") -> None:
                done = numbers.index(unit.entries[0].number // config.per_record) + 1
                if not bar.n:
                    bar.initial = bar.n = done - 1  # those made before count, but not in the rate
                bar.update()
                if events:
                    _print_event(unit, done, len(numbers))

            report = generate(config, out=out, on_unit=show, **how)
    if as_json:
        print_json(vars(report))
    elif not quiet:
        _print_report(report)
    if formats:
        from dmix_cli.commands.export import export

        target = out.with_name(f"{out.name}-exported")
        click.get_current_context().invoke(export, folder=out, names=formats, out=target, quiet=quiet or as_json)


def _forecast(config: GenerateConfig, shard: tuple[int, int], workers: int | None, as_json: bool) -> None:
    """Print what a set will hold and cost."""
    from datetime import timedelta

    from .engines import usual_workers
    from .set_forecast import forecast

    found, workers = forecast(config, shard), workers or usual_workers(config)
    seconds = found.seconds / workers
    if as_json:
        print_json(vars(found) | {"workers": workers})
        return
    parts = ", ".join(f"{count} {side}" for side, count in found.splits.most_common())
    say("A dry run: nothing was written.\n")
    say(f"  composites     {found.composites:,} in {found.groups:,} groups ({parts}); {found.samples:,} samples")
    say(f"  objects        {_listed(found.classes)}")
    say(f"  backgrounds    {_listed(found.backgrounds)}")
    say(f"  network calls  {found.calls:,}{', and those of samples that are drawn again' if config.reject else ''}")
    say(f"  time           about {timedelta(seconds=round(seconds))} with --workers {workers}, by one sample")


def _listed(counts: "Counter[str]", shown: int = 8) -> str:
    listed = ", ".join(f"{name}: {count:,}" for name, count in counts.most_common(shown))
    return f"{listed}, ... ({len(counts):,} in all)" if len(counts) > shown else listed or "none"


def _with_threads(config: GenerateConfig, out: Path, quiet: bool, how: dict[str, Any]) -> GenerateConfig:
    """The config with the threads that a set which is resumed has, or else those that are best here."""
    from dmix_data.generated_set import SET, read_info

    from .thread_trials import best, trials

    if how["shard"] != (1, 1):
        raise click.UsageError("--threads auto may choose differently on each machine, but shards have one number.")
    if how["resume"] and (out / SET).is_file():
        return config.model_copy(update={"threads": read_info(out).source.get("threads", config.threads)})
    tried = []
    for trial in trials(config, how["workers"]):
        tried.append(trial)
        if not quiet:
            say(str(trial), err=True)
    return config.model_copy(update={"threads": best(tried)})


def _check_formats(formats: Iterable[str]) -> None:
    """Refuse a format that is none, before anything is composed."""
    if not formats:
        return
    from dmix_core.registry import Registry
    from dmix_data.exceptions import DataError
    from dmix_data.formats import named

    registry = Registry.load()
    with wrong_use(DataError):
        for name in formats:
            named(name, registry)


def _print_event(unit: "Unit", done: int, count: int) -> None:
    facts = [each.model_dump(mode="json", include={"number", "kind", "image", "flags"}) for each in unit.entries]
    say(json.dumps({"event": "committed", "done": done, "of": count, "samples": facts}), err=True)


def _print_report(report: "Report") -> None:
    repaired = f", repaired {report.repaired} files" if report.repaired else ""
    say(f"Made {report.made} composites{repaired}; {str(report.path)!r} has {report.samples} samples.")
    for title, counts in (("turned down", report.rejected), ("kept with", report.flags)):
        for reason, times in counts.most_common():
            say(f"  {title:>11}  {reason}: {times} ({100 * times / report.made:.1f} in 100 composites)")


@click.command("verify", short_help="Check a generated set against its manifest.")
@click.argument("folder", metavar="SET", type=FOLDER)
@json_option
def verify_command(folder: Path, as_json: bool) -> None:
    """Check a generated SET: every line of its manifest, the checksums of all files, and masks against their objects.

    Exit code 0: it is whole; 1: it is not, and what is wrong is printed.
    """
    from .verifying import verify

    verdict = verify(folder)
    if as_json:
        print_json(vars(verdict))
    else:
        for problem in verdict.problems:
            say(problem)
        say(f"{verdict.samples} samples, {len(verdict.problems) or 'no'} problems.")
    if verdict.problems:
        click.get_current_context().exit(1)


@click.command("merge", short_help="Join the shards of a generated set.")
@click.argument("shards", nargs=-1, required=True, type=FOLDER)
@click.option("-o", "--out", type=NEW_FOLDER, required=True, help="The folder of the whole set.")
def merge_command(shards: tuple[Path, ...], out: Path) -> None:
    """Join the SHARDS of a set, made by `dmix generate --shard I/N`, as one set with the bytes of one made at once."""
    from .merging import merge

    with wrong_use():
        say(f"{merge(shards, out)} samples in {str(out)!r}.")


def _config(settings: Path | None, given: dict[str, Any]) -> GenerateConfig:
    """What the file states, and what the options state in its place."""
    from .generate_config import read_config

    given["timesteps"] = {each.key: each.value for each in given["timesteps"]}
    given |= {name: str(given[name]) for name in ("recipe", "real", "boxes") if given[name]}
    stated = {name: value for name, value in given.items() if value or value == 0}
    return read_config(settings, **stated) if settings else GenerateConfig.from_data(stated, "the options")


def _engine(name: str, settings: Iterable[Setting]) -> "Engine":
    """The engine of this name with the settings that are typed for it."""
    from dmix_core.registry import Registry

    for each in settings:
        if each.owner not in (None, name):
            raise click.UsageError(f"--engine-set {each.owner}.{each.key}: the engine is {name}. Expected KEY=VALUE.")
    made: Engine = Registry.load().create("engine", name, {each.key: each.value for each in settings})
    return made
