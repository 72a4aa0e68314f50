"""What a built site would fetch from elsewhere: `python docs/tools/offline.py site` lists it, and fails if it must."""

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "link": "href"}
ELSEWHERE = re.compile(r"^(?:\w+:)?//")
IN_STYLES = re.compile(r"""(?:url\(|@import\s+)\s*["']?((?:https?:)?//[^"')\s]+)""")


class Assets(HTMLParser):
    """Collects the addresses that a browser fetches in order to show a page; links to follow are none of them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in FETCHED and given.get("rel") != "canonical":
            self.found.append(given.get(FETCHED[tag]) or "")


def external(site: Path) -> Iterator[tuple[Path, str]]:
    """Every (file, address) of a page or a style sheet below a folder that lies elsewhere."""
    for file in sorted([*site.rglob("*.html"), *site.rglob("*.css")]):
        text = file.read_text(encoding="utf-8")
        addresses = Assets(text).found if file.suffix == ".html" else []
        yield from ((file, address) for address in [*addresses, *IN_STYLES.findall(text)] if ELSEWHERE.match(address))


if __name__ == "__main__":
    strays = [f"{file}: {address}" for file, address in external(Path(sys.argv[1]))]
    sys.exit("\n".join(strays) or 0)
