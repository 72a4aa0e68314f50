"""`dmix data`: its options."""

from typing import Any

import click

from .parameters import FOLDER, NEW_FILE, NEW_FOLDER, SizeType


@click.group(short_help="Look at data sets, cut objects out of them.")
def data() -> None:
    """Look at folders of pictures and masks in the layout that they have, and cut objects out of them."""


@data.command(short_help="What a folder holds, and what to run next.")
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--layout", metavar="NAME", help="How DIR is laid out.  [default: found out]")
@click.option("-o", "--out", type=NEW_FILE, help="Draw objects of every class, with their masks, into this PNG.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def inspect(**given: Any) -> None:
    """Look at every picture and mask in DIR.

    Tells the layout, counts, sizes and modes, how large the objects are beside models, how far the masks depend on the
    rule that reads them, what is broken, missing, empty or twice there, and what to run next. Nothing is changed.
    """
    from .inspecting import run

    run(**given)


FACTOR = click.FloatRange(min=1)
COUNT = click.IntRange(min=1)


@data.command(short_help="Cut objects out, each with its mask.")
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--size", type=SizeType(), default=(32, 32), help="Of the crops.  [default: 32x32]")
@click.option(
    "--scale",
    type=click.Choice(["native", "fit"]),
    default="native",
    show_default=True,
    help="Leave pixels as they are, or resize each object to about one size.",
)
@click.option(
    "--context",
    type=(FACTOR, FACTOR),
    default=(1.25, 2.0),
    show_default=True,
    help="A crop's sides over its object's, at least and at most.",
)
@click.option(
    "--padding",
    type=click.Choice(["reflect", "edge"]),
    default="reflect",
    show_default=True,
    help="What surrounds pictures that are smaller than a crop.",
)
@click.option(
    "--max-padding",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.25,
    show_default=True,
    help="Leave objects out whose crop has a larger share of it.",
)
@click.option(
    "--hold-out",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    show_default=True,
    help="Set this share aside as test part, never dividing a group of pictures of one thing.",
)
@click.option("--class", "classes", multiple=True, metavar="NAME", help="Only this class; may be repeated.")
@click.option("--layout", metavar="NAME", help="How DIR is laid out.  [default: found out]")
@click.option(
    "--every",
    type=COUNT,
    default=1,
    show_default=True,
    metavar="N",
    help="Of each group of pictures of one thing, such as the frames of a clip, take every N-th.",
)
@click.option("--mask-rule", help="Which mask values are the object.  [default: the layout's own]")
@click.option("--mask-suffix", help="What a mask's stem has after its picture's.")
@click.option("--min-area", type=COUNT, default=16, show_default=True, help="Smaller parts of a mask are left out.")
@click.option(
    "--merge-distance", type=COUNT, default=4, show_default=True, help="Parts of a mask this close are one object."
)
@click.option(
    "--on-error",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="Refuse pictures that cannot be used, or leave them out and list them.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of places and hold-out.")
@click.option("-o", "--out", type=NEW_FOLDER, required=True, help="The folder of crops.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, no summary.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def crops(**given: Any) -> None:
    """Cut every object in DIR out as a PNG whose alpha channel is the object's mask.

    OUT/crops.jsonl says of each crop where it comes from: picture, checksum, box, scale, padding, class, mask rule and
    part. A crop holds its object whole and cuts no other. `dmix train object OUT` learns from the training part.
    """
    from .cropping import run

    run(**given)
