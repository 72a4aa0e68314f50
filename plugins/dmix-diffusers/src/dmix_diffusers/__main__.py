"""`python -m dmix_diffusers export MODEL FOLDER` and `python -m dmix_diffusers import PIPELINE FOLDER`."""

import argparse
import sys
from collections.abc import Sequence

from dmix_core import Registry
from dmix_core.errors import DmixError


def main(words: Sequence[str] | None = None) -> None:
    """Run the command of these words, of the command line if None."""
    parser = argparse.ArgumentParser("python -m dmix_diffusers", description="dmix' models and diffusers' pipelines.")
    commands = parser.add_subparsers(required=True)

    exporting = commands.add_parser("export", help="save a model as a pipeline that DDPMPipeline runs")
    exporting.add_argument("model", help="a bundled model, a checkpoint folder, or one of them with :LABEL")
    exporting.add_argument("folder", help="a new folder")
    exporting.set_defaults(run=_export)

    importing = commands.add_parser("import", help="make a checkpoint of a pipeline, where dmix has its network")
    importing.add_argument("pipeline", help="a pipeline's folder, or its id on the hub")
    importing.add_argument("folder", help="the checkpoint folder to write")
    importing.add_argument("--mask-channels", type=int, choices=(0, 1), default=0, help="1: the last channel is a mask")
    importing.set_defaults(run=_import)

    typed = parser.parse_args(words)
    try:
        print(f"Wrote {typed.run(typed)}")
    except DmixError as error:
        sys.exit(f"Error: {error}")


def _export(typed: argparse.Namespace) -> object:
    from .exporting import export_pipeline

    return export_pipeline(Registry.load().denoiser(typed.model), typed.folder)


def _import(typed: argparse.Namespace) -> object:
    from .exporting import import_pipeline

    return import_pipeline(typed.pipeline, typed.folder, typed.mask_channels)


if __name__ == "__main__":
    main()
