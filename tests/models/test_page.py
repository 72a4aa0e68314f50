"""The page of a run: curves that say what was measured, and a file that is whole in itself."""

import base64
import io
import json
import math
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dmix_models import ModelCard, checkpoint
from dmix_models.curves import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    Line,
    chart,
    linear_ticks,
    log_ticks,
    short,
    thin,
)
from dmix_models.page import page, write_page

# ---- curves -------------------------------------------------------------------------------------------------------

VALUES = st.floats(1e-6, 1e6)


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e6))
def test_linear_ticks_are_round_evenly_spaced_and_within(low, span):
    ticks = linear_ticks(low, low + span)
    assert 2 <= len(ticks) <= 11
    assert low - 1e-6 * span <= ticks[0] < ticks[-1] <= low + 1.000001 * span
    steps = np.diff(ticks)
    assert steps == pytest.approx(steps[0], rel=1e-3)
    assert any(
        math.isclose(steps[0] / 10 ** math.floor(math.log10(steps[0]) + 1e-9), f, rel_tol=1e-3) for f in (1, 2, 5)
    )


@given(VALUES, st.floats(10, 1e6))
def test_log_ticks_are_powers_or_2_and_5_times_them(low, factor):
    ticks = log_ticks(low, low * factor)
    assert len(ticks) >= 2
    assert all(low <= tick <= low * factor for tick in ticks)
    assert all(f"{tick:e}"[0] in "125" for tick in ticks)


@given(st.lists(VALUES, min_size=1, max_size=700))
def test_a_thinned_line_keeps_range_and_mean(values):
    points = thin(Line("loss", range(len(values)), values))
    assert len(points) <= 160
    assert (min(p.low for p in points), max(p.high for p in points)) == (min(values), max(values))
    assert all(p.low <= p.mean * (1 + 1e-9) and p.mean <= p.high * (1 + 1e-9) for p in points)
    if len(values) % len(points) == 0:
        assert np.mean([p.mean for p in points]) == pytest.approx(np.mean(values), rel=1e-6)


def test_what_cannot_be_drawn_is_left_out():
    line = Line("x", [1, 2, 3, 4, 5], [None, math.nan, math.inf, 0.0, 2.0])
    assert [p.step for p in thin(line)] == [4, 5]
    assert [p.step for p in thin(line, log=True)] == [5]
    assert chart("nothing", [Line("x", [1], [None])]) == ""


def polylines(svg):
    root = ET.fromstring(svg)
    return [
        [tuple(map(float, point.split(","))) for point in element.get("points").split()]
        for element in root.iter("{http://www.w3.org/2000/svg}polyline")
    ]


def test_lines_go_through_their_values():
    first, second = polylines(chart("two", [Line("a", [0, 50, 100], [0, 1, 4]), Line("b", [0, 100], [2, 2])]))
    across, up = Axis(0, 100, LEFT, WIDTH - RIGHT), Axis(0, 4, HEIGHT - BOTTOM, TOP)
    assert np.allclose(first, [(across(x), up(y)) for x, y in ((0, 0), (50, 1), (100, 4))], atol=0.06)
    assert first[0] == (LEFT, HEIGHT - BOTTOM)
    assert first[2] == (WIDTH - RIGHT, TOP)
    assert second[0][1] == second[1][1] == (HEIGHT - BOTTOM + TOP) / 2


def test_equal_factors_are_equally_far_apart_on_a_logarithmic_axis():
    (line,) = polylines(chart("log", [Line("a", [1, 2, 3], [0.01, 0.1, 1])], log=True))
    heights = [y for _, y in line]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.11)


@pytest.mark.parametrize("values", [[3.0], [2.0, 2.0, 2.0], [0.0, 0.0]])
@pytest.mark.parametrize("log", [False, True])
def test_constant_and_single_values_can_be_drawn(values, log):
    svg = chart("<&>", [Line('"&', list(range(len(values))), values)], log)
    assert "nan" not in svg
    assert svg == "" or ET.fromstring(svg).get("aria-label") == "<&>"
    assert (svg == "") == (log and not any(values))


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.5, "0.5"), (1500, "1500"), (20000, "20k"), (0.0002, "2e-4"), (3e7, "3e7")]
)
def test_ticks_are_short(value, text):
    assert short(value) == text


# ---- the page -----------------------------------------------------------------------------------------------------


class Parsed(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def out(tmp_path, tiny, network):
    """A checkpoint with the files of a training of 40 steps, whose name has to be escaped."""
    card = ModelCard(data="<b>nuts</b>", command="dmix train object nuts -o out", licence="CC0", settings={"seed": 3})
    folder = checkpoint.save(tmp_path / "run", tiny.model_copy(update={"name": "a<b&c"}), network.state_dict(), card)
    training = folder / "training"
    training.mkdir()
    with (training / "metrics.jsonl").open("w") as file:
        for step in range(1, 41):
            line = {"step": step, "loss": 1 / step, "image_loss": 0.5 / step, "mask_loss": 0.4 / step}
            line |= {"learning_rate": 1e-4, "grad_norm": 2.0, "images_per_second": 9.5, "eta": 1.0}
            file.write(json.dumps(line | {"quarters": [0.1, None, 0.3, 0.4]}) + "\n")
        file.write('{"step": 41, "lo')  # being written
    for step in (10, 20, 40):
        Image.new("L", (3000 if step == 40 else 30, 20), step).save(training / f"preview-{step:08d}.png")
    return folder


def pictures_in(parsed):
    sources = [image["src"] for image in parsed.all("img")]
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    return [Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) for source in sources]


def test_the_page_is_whole_in_itself(out):
    text = write_page(out).read_text()
    parsed = Parsed(text)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in parsed.tags}
    assert not re.search(r"(?:url\(|@import|src=\"(?!data:)|href=)", text)
    assert set(re.findall(r"https?://[^\"]+", text)) == {"http://www.w3.org/2000/svg"}
    assert "prefers-color-scheme: dark" in text
    assert "a<b&c" in parsed.text
    assert "<b>nuts</b>" in parsed.text


def test_it_shows_all_that_was_measured(out):
    parsed = Parsed(page(out))
    labels = [attributes["aria-label"] for attributes in parsed.all("svg")]
    assert labels == ["Loss", "Loss by quarter of the levels", "Gradient norm", "Learning rate", "Pace"]
    for words in ("object of 16 x 16 pixels, step 40", "image", "mask", "clean end", "noisy end", "images per second"):
        assert words in parsed.text
    assert "second quarter" not in parsed.text  # it was never measured
    assert "dmix train object nuts -o out" in parsed.text
    assert "seed" in parsed.text


def test_previews_come_in_order_and_wide_ones_are_made_smaller(out):
    first, second, last = pictures_in(Parsed(page(out)))
    assert [picture.getpixel((0, 0)) for picture in (first, second, last)] == [10, 20, 40]
    assert [picture.width for picture in (first, second, last)] == [30, 30, 1400]


def test_of_many_previews_some_are_shown_from_the_first_to_the_last(out):
    for step in range(41, 90):
        Image.new("L", (4, 4), step).save(out / "training" / f"preview-{step:08d}.png")
    steps = re.findall(r"samples at step (\d+)", page(out))
    assert (len(steps), steps[0], steps[-1]) == (12, "10", "89")
    assert steps == sorted(steps, key=int)


def test_it_tells_of_memorisation_where_that_was_looked_into(out):
    found = {"class": "crack", "samples": 3, "crops": 5, "groups": 4, "warning": True, "verdict": "WARNING: copies"}
    record = {"distance": "far & near", "classes": [found | {"table": [["median", "0.1", "0.9"]]}]}
    (out / "training" / "memorisation.json").write_text(json.dumps(record))
    Image.new("L", (5, 5), 99).save(out / "training" / "memorisation-crack.png")
    parsed = Parsed(page(out))
    for words in ("crack: 3 samples, 5 training crops in 4 groups", "WARNING: copies", "median", "far & near"):
        assert words in parsed.text
    assert {"class": "warning"} in parsed.all("p")
    assert pictures_in(parsed)[-1].getpixel((0, 0)) == 99


def test_a_training_that_has_not_told_anything_has_a_page_too(out):
    for path in (out / "training").iterdir():
        path.unlink()
    parsed = Parsed(page(out))
    assert "no step yet" in parsed.text
    assert not parsed.all("svg")
