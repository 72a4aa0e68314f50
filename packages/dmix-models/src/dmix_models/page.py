"""The page of a training run: one HTML file without scripts, which fetches nothing.

It is made of the files in the checkpoint's folder alone, so that it can be written again at any time.
"""

import io
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dmix_core.errors import ImageError
from dmix_core.files import write_atomically
from dmix_core.image_files import decode
from dmix_core.web_page import document, image_tag, table

from . import checkpoint
from .closing import read_verdict, verdict_pictures
from .curves import Line, chart
from .memorisation import picture_names, read_record
from .metrics import METRICS, read_metrics

PAGE = "report.html"
SHOWN = 12  # previews
WIDEST = 1400  # pixels of a picture in the page

QUARTERS = ("clean end", "second quarter", "third quarter", "noisy end")

STYLE = """
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); gap: 1.2rem; }
svg { display: block; width: 100%; height: auto; } svg text { fill: var(--soft); font: 11px system-ui, sans-serif; }
.ground { stroke: var(--rule); } polyline { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.band { opacity: .16; stroke: none; } .key { margin-right: 1em; white-space: nowrap; }
.key::before { content: ""; display: inline-block; width: .9em; height: .3em; margin: 0 .35em .2em 0;
  background: var(--c); }
polyline.line-0 { stroke: var(--c0); } polyline.line-1 { stroke: var(--c1); } polyline.line-2 { stroke: var(--c2); }
polyline.line-3 { stroke: var(--c3); } .band.line-0, circle.line-0 { fill: var(--c0); }
.band.line-1, circle.line-1 { fill: var(--c1); } .band.line-2, circle.line-2 { fill: var(--c2); }
.band.line-3, circle.line-3 { fill: var(--c3); }
"""


def write_page(out: Path) -> Path:
    """Write OUT/training/report.html from what lies in the checkpoint folder OUT."""
    return write_atomically(out / "training" / PAGE, page(out).encode())


def page(out: Path) -> str:
    """The page of a checkpoint folder with a folder `training` in it."""
    config, card = checkpoint.read_config(out), checkpoint.read_card(out)
    lines = read_metrics(out / "training" / METRICS)
    last = f"step {lines[-1]['step']}" if lines else "no step yet"
    height, width = config.size
    parts = [
        f"<h1>{escape(config.name)}</h1>",
        f'<p class="soft">{config.role} of {width} x {height} pixels, {last}</p>',
        f'<section class="charts">{"".join(charts(lines))}</section>',
        *judged(out / "training", config.classes or (None,)),
        *previews(out / "training"),
        *memorised(out / "training"),
        f"<h2>The checkpoint</h2><p><code>{escape(str(out))}</code></p>{facts(card)}",
    ]
    return document(f"{config.name}: training", parts, STYLE)


# ---- curves -------------------------------------------------------------------------------------------------


def charts(lines: Sequence[dict[str, Any]]) -> Iterable[str]:
    """Figures of all that metrics.jsonl holds."""
    steps = [line["step"] for line in lines]

    def of(key: str, name: str) -> Line:
        return Line(name, steps, [line.get(key) for line in lines])

    quarters = [line.get("quarters") or [None] * 4 for line in lines]
    by_quarter = [Line(name, steps, [each[number] for each in quarters]) for number, name in enumerate(QUARTERS)]
    yield figure("Loss", [of("loss", "loss"), of("image_loss", "image"), of("mask_loss", "mask")], log=True)
    yield figure("Loss by quarter of the levels", by_quarter, log=True)
    yield figure("Gradient norm", [of("grad_norm", "before clipping")], log=True)
    yield figure("Learning rate", [of("learning_rate", "learning rate")])
    yield figure("Pace", [of("images_per_second", "images per second")])


def figure(title: str, lines: Sequence[Line], log: bool = False) -> str:
    """A chart with a key of the lines that have values; '' if none has."""
    drawn = chart(title, lines, log)
    keys = (
        f'<span class="key" style="--c: var(--c{number})">{escape(line.name)}</span>'
        for number, line in enumerate(lines)
        if any(value is not None for value in line.values)
    )
    return drawn and f"<figure><h3>{escape(title)}</h3><figcaption>{''.join(keys)}</figcaption>{drawn}</figure>"


# ---- pictures -----------------------------------------------------------------------------------------------


def previews(folder: Path) -> Iterable[str]:
    """The previews in their order; of many, some from the first to the last."""
    paths = sorted(path for path in folder.glob("preview-*.png") if re.fullmatch(r"preview-\d{8,12}", path.stem))
    chosen = np.linspace(0, len(paths) - 1, min(SHOWN, len(paths))).round().astype(int)
    if paths:
        yield "<h2>Previews</h2><p class='soft'>The same noise each time, by the average of the weights.</p>"
    for path in (paths[number] for number in chosen):
        step = int(path.stem.removeprefix("preview-"))
        yield f"<figure><figcaption>step {step}</figcaption>{embedded(path, f'samples at step {step}')}</figure>"


def embedded(path: Path, alt: str) -> str:
    """A picture inside the page, made smaller if it is very wide; a note where it cannot be read."""
    try:
        picture = decode(path)
    except ImageError as error:
        return f'<p class="warning">{escape(str(error))}</p>'
    data = path.read_bytes()
    if picture.width > WIDEST:
        buffer = io.BytesIO()
        height = max(1, round(picture.height * WIDEST / picture.width))
        picture.resize((WIDEST, height), Image.Resampling.BOX).save(buffer, "PNG")
        data = buffer.getvalue()
    return image_tag(data, alt)


# ---- words --------------------------------------------------------------------------------------------------


def judged(folder: Path, classes: Sequence[str | None]) -> Iterable[str]:
    """The verdict, with samples beside training crops, where there is one."""
    verdict = read_verdict(folder)
    if verdict is None:
        return
    style = "" if verdict.ready else ' class="warning"'
    yield f"<h2>Is it ready?</h2><p{style}>After {verdict.steps} steps the model is {escape(verdict.summary)}.</p>"
    yield table((finding.about, finding.mark, finding.text) for finding in verdict.findings)
    yield from (f"<p>Next: {escape(each)}</p>" for each in verdict.advice)
    for name, file in verdict_pictures(classes).items():
        if (folder / file).exists():
            title = f"{name}: samples beside training crops" if name else "samples beside training crops"
            yield f"<figure><figcaption>{escape(title)}</figcaption>{embedded(folder / file, title)}</figure>"


def memorised(folder: Path) -> Iterable[str]:
    """The memorisation report, where there is one."""
    record = read_record(folder)
    if record is None:
        return
    pictures = picture_names([found.name for found in record.classes])
    yield f'<h2>Memorisation</h2><p class="soft">Distance: {escape(record.distance)}</p>'
    for found in record.classes:
        counts = f"{found.samples} samples, {found.crops} training crops in {found.groups} groups"
        title = f"{found.name}: {counts}" if found.name else counts
        rows = [("", "samples", "left-out training crops"), *found.table]
        style = ' class="warning"' if found.warning else ""
        yield f"<h3>{escape(title)}</h3><p{style}>{escape(found.verdict)}</p>{table(rows)}"
        picture = folder / pictures[found.name]
        if picture.exists():
            yield f"<figure>{embedded(picture, 'samples beside their nearest training crops')}</figure>"


def facts(card: str) -> str:
    """What the model card lists, and the command."""
    rows = re.findall(r"^- ([^:\n]+): (.+)$", card, flags=re.MULTILINE)
    command = re.search(r"^    (.+)$", card, flags=re.MULTILINE)
    return table([*rows, ("made with", command[1])] if command else rows)
