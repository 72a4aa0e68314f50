"""Pages of one HTML file that fetch nothing: their frame, their colours for light and dark, tables and pictures."""

import base64
from collections.abc import Iterable, Sequence
from html import escape

STYLE = """
:root { color-scheme: light dark; --text: #1b1f24; --soft: #59636e; --ground: #ffffff; --rule: #d8dee4;
  --c0: #0072b2; --c1: #d55e00; --c2: #00835f; --c3: #b0578f; --warn: #fff1d6; }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --soft: #9aa4af; --ground: #0f1318; --rule: #30363d;
  --c0: #5cb8ee; --c1: #f0913a; --c2: #35c79a; --c3: #e29ac8; --warn: #4a3610; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1240px; padding: 1.5rem; color: var(--text); background: var(--ground);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { margin: 0; } h2 { margin: 2.2rem 0 .6rem; } h3 { margin: 0 0 .2rem; font-size: 1rem; }
p { margin: .4rem 0; } .soft, figcaption { color: var(--soft); }
figure { margin: 0 0 1rem; } img { max-width: 100%; height: auto; border: 1px solid var(--rule); }
table { border-collapse: collapse; } td, th { padding: .15rem 1.2rem .15rem 0; text-align: left; vertical-align: top; }
td { border-top: 1px solid var(--rule); overflow-wrap: anywhere; } td:first-child { white-space: nowrap; }
th { font-weight: 600; }
code { font-size: .92em; overflow-wrap: anywhere; } .warning { background: var(--warn); padding: .6rem .8rem; }
"""


def document(title: str, body: Iterable[str], style: str = "", script: str = "") -> str:
    """A page of these parts, which are HTML; its own style follows the common one."""
    scripts = f"<script>{script}</script>" if script else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}{style}</style></head>\n"
        "<body>" + "\n".join(body) + f"{scripts}</body></html>\n"
    )


def table(rows: Iterable[Sequence[str]]) -> str:
    """A table of texts."""
    cells = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows)
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>"


def image_tag(data: bytes, alt: str, kind: str = "png") -> str:
    """A picture file, of the kind that MIME types name, inside the page."""
    return f'<img alt="{escape(alt)}" src="data:image/{kind};base64,{base64.b64encode(data).decode()}">'
