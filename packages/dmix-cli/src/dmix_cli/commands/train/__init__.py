"""`dmix train`: a model from a folder of pictures."""

from pathlib import Path
from typing import Any

import click

from ...data_options import MASKS, PAIRS, READING, SCALE
from ...field_options import Decorator, apply
from ...parameters import FOLDER, NEW_FOLDER, Count, Finite, NamesType, SizeType

COUNT = Count(1, 10**9)
NUMBER = click.IntRange(min=0)
POSITIVE = Finite(min=0, min_open=True)

MODEL: list[Decorator] = [
    click.option(
        "--preset",
        type=click.Choice(["tiny", "small", "base"]),
        help="The network: about 1.3, 3.4 or 18 million parameters.  [default: tiny, or that of --init]",
    ),
    click.option(
        "--variance",
        type=click.Choice(["learned-range", "fixed-small", "fixed-large"]),
        help="Of each step: learned, beta-tilde or beta.  [default: learned-range, or that of --init]",
    ),
    click.option(
        "--prediction",
        type=click.Choice(["epsilon", "x0", "v"]),
        help="What the network predicts: the noise, the clean image, or v, which keeps large grids in the right light."
        "  [default: epsilon, or that of --init]",
    ),
]
TRAINING: list[Decorator] = [
    click.option(
        "--init", metavar="MODEL", help="Begin with this model's network and weights.  [default: random ones]"
    ),
    click.option("--steps", type=COUNT, required=True, help="How many steps."),
    click.option(
        "--batch-size",
        type=Count(1, "LARGEST_BATCH"),
        default=32,
        show_default=True,
        help="Images in a step, on all devices.",
    ),
    click.option("--accumulate", type=COUNT, default=1, show_default=True, help="Parts of a batch, to save memory."),
    click.option("--learning-rate", type=POSITIVE, default=2e-4, show_default=True, help="At its highest."),
    click.option("--warmup", type=NUMBER, default=200, show_default=True, help="Steps until it is there."),
    click.option(
        "--decay",
        type=click.Choice(["none", "cosine"]),
        default="cosine",
        show_default=True,
        help="How the learning rate falls after that.",
    ),
    click.option("--weight-decay", type=Finite(min=0), default=0.0, show_default=True, help="Of AdamW."),
    click.option(
        "--ema-decay",
        type=Finite(0, 1, max_open=True),
        default=0.999,
        show_default=True,
        help="Of the average of the weights, which is what gets saved.",
    ),
    click.option("--grad-clip", type=POSITIVE, default=1.0, show_default=True, help="The gradient's largest norm."),
    click.option(
        "--mixed-precision",
        type=click.Choice(["auto", "no", "bf16"]),
        default="auto",
        show_default=True,
        help="Compute in bfloat16 or not; auto measures both at the start and keeps the faster.",
    ),
    click.option("--compile", is_flag=True, help="Use torch.compile, which takes a minute to start."),
    click.option("--seed", type=NUMBER, default=0, show_default=True, help="All randomness derives from it."),
    click.option(
        "--hold-out",
        type=Finite(0, 1, max_open=True),
        default=0.0,
        show_default=True,
        help="Learn nothing from this share of the groups, such as tiles; of all checkpoints the one stays whose loss "
        "on them is lowest.",
    ),
    click.option(
        "--patience",
        type=NUMBER,
        default=0,
        show_default=True,
        help="End after so many checkpoints without a lower held-out loss; 0: never.",
    ),
    click.option(
        "--stop-at-copies",
        is_flag=True,
        help="Draw 32 samples with each checkpoint, and end where they repeat training crops more often than fresh "
        "pictures would; the checkpoint before that stays.",
    ),
]
AUGMENTATION: list[Decorator] = [
    click.option(
        "--flips",
        type=click.Choice(["none", "horizontal", "vertical", "both"]),
        default="none",
        show_default=True,
        help="Mirror pictures, where a mirrored one is as likely.",
    ),
    click.option("--quarter-turns", is_flag=True, help="Turn pictures, where a turned one is as likely."),
    click.option(
        "--zoom",
        type=(POSITIVE, POSITIVE),
        help="Enlarge by a factor between these two, such as 0.8 1.25; no object is cut.",
    ),
    click.option(
        "--elastic",
        type=Finite(min=0),
        default=0.0,
        show_default=True,
        help="Bend pictures and masks by a smooth random field of so many pixels; no object is cut.",
    ),
    click.option("--gain", type=(POSITIVE, POSITIVE), help="Vary the exposure between two factors, such as 0.8 1.25."),
]
FILES: list[Decorator] = [
    click.option("--save-every", type=COUNT, default=1000, show_default=True, help="Steps between checkpoints."),
    click.option("--preview-every", type=COUNT, default=1000, show_default=True, help="Steps between previews."),
    click.option("--preview-samples", type=COUNT, default=8, show_default=True, help="Images in a preview."),
    click.option("--preview-steps", type=COUNT, default=50, show_default=True, help="Denoising steps of a preview."),
    click.option("--log-every", type=COUNT, default=10, show_default=True, help="Steps between lines of metrics."),
    click.option("--keep", type=COUNT, default=2, show_default=True, help="Training states that stay on disk."),
    click.option(
        "--memorisation-samples",
        type=NUMBER,
        default=32,
        show_default=True,
        help="Of each class, held against the training crops at the end of a training on 100 pictures or fewer.",
    ),
    click.option(
        "--verdict-samples",
        type=NUMBER,
        default=32,
        show_default=True,
        help="Of each class, held against the training crops at the end: is the model ready?",
    ),
    click.option("--tensorboard", is_flag=True, help="Write event files for TensorBoard, too; needs the extra."),
    click.option("--data", metavar="TEXT", help="What the model card has of the data.  [default: the folder's name]"),
    click.option("--licence", metavar="TEXT", default="not stated", help="What the model card has of the licence."),
    click.option("--notes", metavar="TEXT", default="", help="What else the model card has."),
    click.option(
        "-o", "--out", type=NEW_FOLDER, required=True, help="The checkpoint's folder; its name is the model's."
    ),
    click.option("--dry-run", is_flag=True, help="Estimate memory and time; write nothing."),
    click.option("-q", "--quiet", is_flag=True, help="No progress, no summary."),
]
OBJECTS: list[Decorator] = [
    click.option(
        "--classes",
        type=NamesType(),
        help="Learn these classes alone; of two or more, a model that paints the one asked for, MODEL:CLASS.",
    ),
    click.option(
        "--label-dropout",
        type=Finite(0, 1, max_open=True),
        default=0.1,
        show_default=True,
        help="With several classes, how often it is withheld, so that it learns MODEL:any too.",
    ),
    click.option(
        "--mask-loss-weight", type=POSITIVE, default=1.0, show_default=True, help="Of the mask beside the image's 1."
    ),
    click.option(
        "--mask-target",
        type=click.Choice(["hard", "soft"]),
        default="soft",
        show_default=True,
        help="Learn masks with soft edges, which gives sampled masks fewer holes, or as they are.",
    ),
]


def grid(default: tuple[int, int]) -> list[Decorator]:
    height, width = default
    text = f"The model's grid; windows are cut at the pictures' own scale.  [default: {width}x{height}]"
    return [click.option("--size", type=SizeType(), default=default, help=text)]


@click.group(short_help="Train models on folders of pictures.")
def train() -> None:
    """Train models on folders of pictures.

    A run into the folder of an earlier one goes on where that stopped. `accelerate launch -m dmix_cli train ...` and
    `torchrun -m dmix_cli train ...` train on several devices.
    """


@train.command(short_help="A model that fills the canvas.")
@click.argument("folder", metavar="DIR", type=FOLDER)
@apply([*grid((64, 64)), *READING, *SCALE, *MODEL, *TRAINING, *AUGMENTATION, *FILES])
def background(folder: Path, out: Path, dry_run: bool, quiet: bool, **given: Any) -> None:
    """Train a background model on windows of the pictures in DIR that show no object, or of all where none is known.

    DIR is read in the layout that it has, such as MVTec AD, VisA or COCO; `dmix data inspect DIR` shows which.
    """
    from .session import run

    run("background", folder, out, dry_run, quiet, given)


@train.command("object", short_help="A model of objects and their masks.")
@click.argument("folder", metavar="DIR", type=FOLDER)
@apply([*grid((32, 32)), *READING, *MASKS, *OBJECTS, *PAIRS, *SCALE, *MODEL, *TRAINING, *AUGMENTATION, *FILES])
def object_(folder: Path, out: Path, dry_run: bool, quiet: bool, **given: Any) -> None:
    """Train an object model on the pictures below DIR and their masks.

    DIR is read in the layout that it has; `dmix data inspect DIR` shows which. In a folder without a known layout a
    picture's mask is masks/X.* for images/X.*, X.png beside X.jpg, or X_mask.* beside X.*. Each connected part of a
    mask is one object, unless the data set states which parts belong together.
    """
    from .session import run

    run("object", folder, out, dry_run, quiet, given)
