"""The page of a generated set: one HTML file that fetches nothing, with a gallery, figures and what checks found."""

import io
import json
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from dmix_core.files import write_atomically
from dmix_core.web_page import document, image_tag, table

from .generated_set import rejected
from .outlines import edge_loops
from .set_figures import SetFigures, flags_of, real_figures
from .stored_set import Shown, StoredSample, StoredSet

PAGE = "report.html"
GALLERY = 240  # samples, evenly over the set
WIDEST = 256  # pixels of a picture in the page
COLOURS = 4  # of outlines, as many as the common style names

STYLE = """
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: .8rem; }
.gallery figure { margin: 0; } .gallery [hidden] { display: none; } .frame { position: relative; display: block; }
.frame img { display: block; width: 100%; image-rendering: pixelated; }
.frame svg { position: absolute; inset: 1px; width: calc(100% - 2px); height: calc(100% - 2px); }
path { fill-opacity: .18; stroke-width: 1; vector-effect: non-scaling-stroke; }
.no-outlines .frame svg { display: none; } figcaption { font-size: .82em; overflow-wrap: anywhere; }
.filters { display: flex; flex-wrap: wrap; gap: .4rem 1rem; margin: .6rem 0 1rem; align-items: center; }
select, input { font: inherit; color: inherit; background: var(--ground); border: 1px solid var(--rule); }
.bars { display: flex; align-items: flex-end; gap: 3px; height: 90px; max-width: 560px; margin-top: .8rem; }
.bars div { flex: 1; display: flex; align-items: flex-end; height: 100%; border-bottom: 1px solid var(--rule); }
.bars i { flex: 1; background: var(--c0); } .bars i + i { background: var(--c1); }
.key { color: var(--c0); } .key + .key { color: var(--c1); margin-left: 1rem; }
.axis { display: flex; justify-content: space-between; max-width: 560px; margin-bottom: 1.2rem; }
.wide { overflow-x: auto; } .wide td { overflow-wrap: normal; font-variant-numeric: tabular-nums; }
pre { overflow-x: auto; border: 1px solid var(--rule); padding: .6rem .8rem; max-width: 100%; }
@media (max-width: 560px) { td:first-child { white-space: normal; } td { padding-right: .7rem; }
  .gallery { grid-template-columns: repeat(auto-fill, minmax(120px, 1fr)); } }
""" + "".join(f".k{i} {{ fill: var(--c{i}); stroke: var(--c{i}); }}\n" for i in range(COLOURS))

SCRIPT = """
const figures = [...document.querySelectorAll(".gallery figure")];
const selects = [...document.querySelectorAll(".filters select")];
const show = () => {
  let count = 0;
  for (const figure of figures) {
    const fits = selects.every(s => !s.value || figure.dataset[s.name].split("\\u001f").includes(s.value));
    figure.hidden = !fits;
    count += fits;
  }
  document.getElementById("count").textContent = count + " of " + figures.length;
};
selects.forEach(s => s.addEventListener("change", show));
document.getElementById("outlines").addEventListener("change",
  event => document.body.classList.toggle("no-outlines", !event.target.checked));
show();
"""
BETWEEN = "\x1f"
"""Between the values of an attribute of the page, since names have spaces."""


def write_report(
    folder: str | Path,
    out: str | Path | None = None,
    real: str | Path | None = None,
    seen: Callable[[], object] | None = None,
) -> Path:
    """Write the page of a set.

    Args:
        out: the file; by default report.html in the set's folder.
        real: a folder of real pictures with masks, whose objects are measured beside those of the set.
        seen: called after each sample that the page shows.

    Raises:
        DataError, ImageError: no set, a damaged line, a file that is missing or damaged.
        WriteError: the file cannot be written.
    """
    source = StoredSet.open(folder)
    return write_atomically(out or source.root / PAGE, report(source, real, seen).encode())


def report(source: StoredSet, real: str | Path | None = None, seen: Callable[[], object] | None = None) -> str:
    """The page of a set, as HTML; arguments and errors as for `write_report`."""
    figures, chosen, cards = SetFigures(), _chosen(source.count()), []
    for number, sample in enumerate(source.samples()):
        figures.add(sample.entry)
        if number in chosen:
            cards.append(_card(sample))
            if seen:
                seen()
    beside = real_figures(real) if real else None
    body = [*_head(source, figures), *_checks(source, figures), *_objects(source, figures, beside)]
    body += [*_gallery(figures, cards), *_settings(source)]
    return document(f"{source.info.name}: report", body, STYLE, SCRIPT)


def shown(source: StoredSet) -> int:
    """How many samples the page of a set shows."""
    return len(_chosen(source.count()))


def _chosen(count: int) -> frozenset[int]:
    return frozenset(np.linspace(0, count - 1, min(GALLERY, count)).round().astype(int).tolist())


# ---- words and figures --------------------------------------------------------------------------------------


def _head(source: StoredSet, figures: SetFigures) -> Iterator[str]:
    info = source.info
    yield f"<h1>{escape(info.name)}</h1>"
    yield f'<p class="soft">{figures.samples} samples, groups: {len(figures.groups)}; contains synthetic images.</p>'
    yield "<h2>What it holds</h2>"
    counted: dict[str, Mapping[str, int]] = {
        "kinds": figures.kinds,
        "parts": figures.splits,
        "sizes": figures.sizes,
        "objects": figures.objects,
        "objects in a sample": {str(number): count for number, count in sorted(figures.per_sample.items())},
        "backgrounds": figures.backgrounds,
    }
    yield table((name, _counts(counts)) for name, counts in counted.items() if counts)


def _counts(counts: Mapping[str, int], shown: int = 12) -> str:
    listed = sorted(counts.items(), key=lambda each: -each[1])
    more = f", ... ({len(listed)} in all)" if len(listed) > shown else ""
    return ", ".join(f"{name}: {count}" for name, count in listed[:shown]) + more


def _checks(source: StoredSet, figures: SetFigures) -> Iterator[str]:
    """What the checks found in samples that were taken, and why others were not."""
    draws = [*rejected(source.root)]
    reasons = Counter(reason for entry in draws for reason in entry.reasons)
    made = figures.kinds["composite"] + len(draws)
    yield "<h2>Checks</h2>"
    yield f"<p>Of {made} composites {len(draws)} were turned down.</p>"
    if found := figures.flags | reasons:
        rows = [(name, _share(figures.flags[name], made), _share(reasons[name], made)) for name in sorted(found)]
        yield _wide([("what the checks found", "taken with it", "turned down for it"), *rows])


def _share(count: int, of: int) -> str:
    return f"{count} ({count / max(of, 1):.1%})" if count else "-"


def _wide(rows: Iterable[Sequence[str]]) -> str:
    """A table of figures, which scrolls on its own where the screen is narrow."""
    return f'<div class="wide">{table(rows)}</div>'


def _objects(source: StoredSet, figures: SetFigures, beside: SetFigures | None) -> Iterator[str]:
    """Areas and contrasts of each class, and of real objects where these are known."""
    yield "<h2>Objects</h2>"
    if beside:
        yield f"<p>Real ones: {escape(_counts(beside.objects))}.</p>"
    for name in source.info.classes:
        rows = [*_rows(figures, name), *(_rows(beside, name, "real: ") if beside else ())]
        yield f"<h3>{escape(name)}</h3>"
        yield _wide([("", "least", "lower quarter", "median", "upper quarter", "most"), *rows])
        if areas := figures.areas.get(name):
            yield _bars(name, areas, beside.areas.get(name, ()) if beside else ())


def _rows(figures: SetFigures, name: str, prefix: str = "") -> Iterator[Sequence[str]]:
    yield (f"{prefix}area in pixels", *_quartiles(figures.areas.get(name, [])))
    yield (f"{prefix}contrast in grey levels", *_quartiles(figures.contrasts.get(name, [])))


def _quartiles(values: Sequence[float]) -> list[str]:
    return [f"{each:.0f}" for each in np.percentile(values, (0, 25, 50, 75, 100))] if values else ["-"] * 5


def _bars(name: str, areas: Sequence[int], real: Sequence[int]) -> str:
    """Histograms of areas, each bar as wide as a third of a doubling, in shares of their own number."""
    shown = [np.log2(np.maximum(values, 1)) for values in (areas, real) if len(values)]
    low, high = float(min(map(np.min, shown))), float(max(map(np.max, shown))) + 1e-9
    bins = max(1, min(40, round(3 * (high - low)) + 1))
    shares = np.array([np.histogram(logs, bins=bins, range=(low, high))[0] / len(logs) for logs in shown])
    heights = (100 * shares / shares.max()).round().astype(int).T
    bars = "".join(f"<div>{''.join(map(_bar, bar))}</div>" for bar in heights)
    keys = "".join(f'<span class="key">{each}</span>' for each in ("this set", "real ones")[: len(shown)])
    ends = f"<span>{2**low:.0f} pixels</span><span>{keys}</span><span>{2**high:.0f}</span>"
    title = escape(f"areas of {name}")
    return f'<div class="bars" role="img" aria-label="{title}">{bars}</div><div class="axis soft">{ends}</div>'


def _bar(height: int) -> str:
    return f'<i style="height: {height}%"></i>'


def _settings(source: StoredSet) -> Iterator[str]:
    info = source.info
    yield "<h2>How it was made</h2>"
    yield table([("recipe", info.recipe), *info.made_with.items(), *info.licences.items()])
    if info.source:
        yield f"<pre><code>{escape(json.dumps(info.source, indent=2, sort_keys=True))}</code></pre>"
    folder = shlex.quote(source.root.as_posix())
    commands = [f"dmix verify {folder}", f"dmix export {folder} --format coco,yolo-seg -o exported"]
    commands += [f"dmix report {folder}", f"dmix detect PICTURES --manifest {folder}"]
    yield "<h2>Commands</h2>"
    if info.source:
        yield "<p>With the settings above in a file settings.json, the first makes the same set again.</p>"
        commands.insert(0, "dmix generate settings.json -o again")
    yield f"<pre><code>{escape(chr(10).join(commands))}</code></pre>"


# ---- pictures -----------------------------------------------------------------------------------------------


def _gallery(figures: SetFigures, cards: Sequence[str]) -> Iterator[str]:
    yield f"<h2>Samples</h2><p class='soft'>{len(cards)} of {figures.samples}, evenly over the set.</p>"
    filters = {
        "class": sorted(figures.objects),
        "flag": sorted(figures.flags),
        "part": sorted(figures.splits),
        "kind": sorted(figures.kinds),
    }
    selects = "".join(_select(name, values) for name, values in filters.items() if values)
    box = '<label><input type="checkbox" id="outlines" checked> outlines</label>'
    yield f'<div class="filters">{selects}{box}<output id="count" class="soft"></output></div>'
    yield f'<section class="gallery">{"".join(cards)}</section>'


def _select(name: str, values: Iterable[str]) -> str:
    options = "".join(f'<option value="{escape(value)}">{escape(value)}</option>' for value in values)
    return f'<label>{name} <select name="{name}"><option value="">all</option>{options}</select></label>'


def _card(sample: StoredSample) -> str:
    """A sample with the outlines of its objects, and what the filters ask for."""
    entry = sample.entry
    facts: dict[str, Iterable[str]] = {
        "class": {each.entry.class_name for each in sample.shown},
        "flag": flags_of(entry),
        "part": {entry.split},
        "kind": {entry.kind},
    }
    data = "".join(f' data-{name}="{escape(BETWEEN.join(sorted(values)))}"' for name, values in facts.items())
    paths = "".join(_path(each) for each in sample.shown)
    drawn = f'<svg viewBox="0 0 {entry.width} {entry.height}" aria-hidden="true">{paths}</svg>' if paths else ""
    found = "; ".join(", ".join(sorted(facts[name])) for name in ("class", "flag") if facts[name])
    caption = f"{entry.number} {entry.kind}{f': {found}' if found else ''}"
    picture = image_tag(_small(sample.picture()), f"sample {entry.number}", "jpeg")
    return (
        f'<figure{data}><span class="frame">{picture}{drawn}</span><figcaption>{escape(caption)}</figcaption></figure>'
    )


def _path(each: Shown) -> str:
    """The outline of an object, its holes left open."""
    loops = (f"M{' '.join(f'{x} {y}' for x, y in loop)}Z" for loop in edge_loops(each.mask))
    return f'<path class="k{each.class_id % COLOURS}" fill-rule="evenodd" d="{"".join(loops)}"/>'


def _small(picture: Image.Image) -> bytes:
    small = picture.convert("RGB")
    small.thumbnail((WIDEST, WIDEST), Image.Resampling.BOX)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
