"""What the site does beyond mkdocs: READMEs are pages, links to functions show their lines, formulas are MathML."""

import ast
import html
import re
from pathlib import Path
from textwrap import dedent

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
OUTSIDE = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "packages/*/README.md",
    "plugins/README.md",
    "plugins/*/README.md",
    "plugins/*/*.png",
    "benchmarks/magnetic-tile/*/README.md",  # the card of a model that the evidence links
]
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
LISTING = re.compile(r"^\[`([\w.]+)`\]\(([^)\s]+\.py)\)$", re.MULTILINE)
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Pages and pictures from outside of docs/, at the paths that they have in the repository."""
    for path in sorted(path for pattern in OUTSIDE for path in ROOT.glob(pattern)):
        source = path.relative_to(ROOT).as_posix()
        files.append(File(source, str(ROOT), config.site_dir, use_directory_urls=False))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links go by the repository's folders, so that they work where the files are read there; here by the site's."""
    folder = Path(page.file.abs_src_path or ROOT).parent
    up = "../" * page.file.src_uri.count("/")
    markdown = LISTING.sub(lambda link: listing(folder / link[2], link[1]), markdown)
    return LINK.sub(lambda link: relinked(link, folder, up), markdown)


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Formulas as MathML, which browsers draw without scripts and fonts from elsewhere."""
    return FORMULA.sub(lambda found: formula(html.unescape(found[2]), found[1] == "div"), content)


def formula(latex: str, block: bool) -> str:
    """A formula as MathML; the sign for "is distributed as" becomes an operator, with space around it."""
    mathml = convert(latex, display="block" if block else "inline")
    return mathml.replace("<mi>&#x0007E;</mi>", "<mo>&#x0223C;</mo>")


def relinked(link: re.Match[str], folder: Path, up: str) -> str:
    """A link to a page or a picture by its place in the site; of a link to something else here the text alone."""
    text, anchor = link[1], link[3] or ""
    target = (folder / link[2]).resolve()
    if ":" in link[2] or not target.exists():
        return link[0]
    if (target / "README.md").is_file():
        target /= "README.md"
    if target.suffix not in (".md", ".png"):
        return text
    place = target.relative_to(DOCS if target.is_relative_to(DOCS) else ROOT).as_posix()
    return f"[{text}]({up}{place}{anchor})"


def listing(file: Path, name: str) -> str:
    """The lines of a function or a class, without its docstring, as a block of code."""
    source = file.read_text(encoding="utf-8")
    node = definition(source, name)
    lines = source.splitlines()[: node.end_lineno]
    if ast.get_docstring(node) is not None:
        del lines[node.body[0].lineno - 1 : node.body[0].end_lineno]
    code = dedent("\n".join(lines[node.lineno - 1 :]))
    return f'```python title="{file.resolve().relative_to(ROOT).as_posix()}, line {node.lineno}"\n{code}\n```'


def definition(source: str, name: str) -> ast.FunctionDef | ast.ClassDef:
    """The function or class of a dotted name in a module."""
    node: ast.Module | ast.FunctionDef | ast.ClassDef = ast.parse(source)
    for part in name.split("."):
        kinds = (ast.FunctionDef, ast.ClassDef)
        node = next(each for each in node.body if isinstance(each, kinds) and each.name == part)
    assert not isinstance(node, ast.Module)
    return node
