"""What is made of a generated set: figures, its data card, torch datasets and its page."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from dmix_data.data_card import write_card
from dmix_data.exceptions import DataError
from dmix_data.generated_set import ObjectEntry, SampleEntry, entries, rejected
from dmix_data.manifest_dataset import ManifestDataset, Mixed, PairsDataset
from dmix_data.options import DataOptions
from dmix_data.set_figures import SetFigures, real_figures
from dmix_data.set_report import write_report
from dmix_data.stored_set import StoredSet
from dmix_data.testing import write_set


@pytest.fixture
def toys(tmp_path):
    return write_set(tmp_path / "toys", 9)


def objects(*areas):
    return tuple(
        ObjectEntry(class_name="crack", value=value, box=None, area=area, contrast=area / 10, flags=("faint",))
        for value, area in enumerate(areas, 1)
    )


def test_figures_count_what_shows():
    sample = SampleEntry(number=0, image="a.png", mask="b.png", width=8, height=4, objects=objects(20, 0), group="g")
    figures = SetFigures.of([sample, sample.model_copy(update={"kind": "twin", "objects": ()})])
    assert (figures.samples, figures.kinds, figures.sizes) == (2, {"composite": 1, "twin": 1}, {"8x4": 2})
    assert (figures.objects, figures.areas, figures.contrasts) == ({"crack": 1}, {"crack": [20]}, {"crack": [2.0]})
    assert (figures.per_sample, figures.flags, figures.groups) == ({1: 1, 0: 1}, {"faint": 1}, {"g"})


def test_figures_of_real_objects_are_measured_from_pixels(tree):
    picture = np.full((40, 50, 3), 100, np.uint8)
    picture[10:16, 20:25] = 160
    tree.save("images/1.png", picture)
    tree.mask("masks/1.png")
    figures = real_figures(tree.root)
    assert figures.areas == {"object": [30]}
    assert figures.contrasts == {"object": [60.0]}


# ---- data card ----------------------------------------------------------------------------------------------------


def test_the_data_card_states_counts_licences_and_that_images_are_synthetic(toys):
    text = write_card(toys).read_text()
    assert text.startswith("# toys\n\n**This data set contains synthetic images**")
    assert "| 9 | 6 composite, 3 twin | 3 train, 3 val, 3 test | 9 48x40 | 3 | 1 |" in text
    assert re.search(r"^\| hole \| 3 \| 3 \| \d+ \|$", text, re.MULTILINE)
    assert "| toy | - | CC0-1.0 |" in text


# ---- torch datasets -----------------------------------------------------------------------------------------------


def test_an_item_has_the_picture_and_labels_of_its_sample(toys):
    data = ManifestDataset(toys)
    sample = [*StoredSet.open(toys).samples()][1]
    image, mask, boxes, labels = data[1]
    assert (image.mul(255).round().permute(1, 2, 0).numpy() == np.asarray(Image.open(sample.image))).all()
    assert (mask.numpy() == sample.values).all()  # in toys a value is the class
    assert boxes.tolist() == [[x, y, x + w, y + h] for x, y, w, h in (each.box for each in sample.entry.objects)]
    assert labels.tolist() == [1, 2]
    assert (len(data), data.classes) == (3, ("crack", "hole"))


def test_an_item_without_objects_has_no_boxes(toys):
    item = ManifestDataset(toys)[2]
    assert (item.boxes.shape, item.labels.shape, int(item.mask.sum())) == ((0, 4), (0,), 0)


@pytest.mark.parametrize(("split", "count"), [("train", 3), ("val", 3), ("all", 9)])
def test_a_part_of_a_set_is_read(toys, split, count):
    assert len(ManifestDataset(toys, split)) == count


def test_a_part_without_samples_is_refused(tmp_path):
    with pytest.raises(DataError, match="no sample in the part 'test'"):
        ManifestDataset(write_set(tmp_path / "toys", 3), "test")


@pytest.fixture
def real(tree):
    """Four real pictures of the class crack, as a grey MVTec set has them."""
    for number in range(4):
        tree.save(f"test/crack/00{number}.png", np.full((40, 50), 9 + number, np.uint8))
        tree.mask(f"ground_truth/crack/00{number}_mask.png")
    tree.picture("train/good/000.png")
    return PairsDataset(tree.root, ("crack", "hole"), DataOptions(split="test"))


def test_real_pictures_give_the_same_kind_of_items(real):
    image, mask, boxes, labels = real[2]
    assert image.shape == (3, 40, 50)
    assert torch.allclose(image, torch.tensor(11 / 255))
    assert boxes.tolist() == [[20, 10, 25, 16]]
    assert (labels.tolist(), int(mask.sum()), int(mask.max())) == ([1], 30, 1)


def test_a_class_that_is_not_named_is_refused(tree, real):
    with pytest.raises(DataError, match="shows the class 'crack'; expected one of: hole"):
        PairsDataset(tree.root, ("hole",), DataOptions(split="test"))


@pytest.mark.parametrize(("ratio", "count"), [(0, 4), (0.5, 6), (1.75, 11)])
def test_real_and_synthetic_items_are_mixed_at_a_ratio(real, toys, ratio, count):
    mixed = Mixed(real, ManifestDataset(toys), ratio, seed=1)
    items = [mixed[number] for number in range(len(mixed))]
    assert [item.image.shape[2] for item in items] == 4 * [50] + (count - 4) * [48]
    with pytest.raises(IndexError):
        mixed[count]


def test_synthetic_items_come_all_before_one_comes_again(real, toys):
    mixed = Mixed(real, ManifestDataset(toys), 1.5)
    drawn = [float(mixed[number].image.sum()) for number in range(4, 10)]
    assert len({*drawn[:3]}) == 3
    assert drawn[:3] == drawn[3:]


@pytest.mark.parametrize("ratio", [-1, float("nan"), float("inf")])
def test_a_ratio_that_is_none_is_refused(real, ratio):
    with pytest.raises(DataError, match="expected 0 or more"):
        Mixed(real, real, ratio)


# ---- the page -----------------------------------------------------------------------------------------------------


class Elements(HTMLParser):
    """The elements of a page, and every address in it."""

    def __init__(self, text):
        super().__init__()
        self.found, self.addresses, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        self.addresses += [value for key, value in attributes if key in ("src", "href", "srcset", "action")]
        if tag not in ("meta", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def test_the_page_shows_each_sample_with_its_outlines_and_fetches_nothing(toys):
    page = Elements(write_report(toys).read_text())
    assert page.open == []
    assert all(address.startswith("data:image/jpeg;base64,") for address in page.addresses)
    cards = [facts for tag, facts in page.found if tag == "figure"]
    assert [card["data-class"] for card in cards[:3]] == ["crack", "crack\x1fhole", ""]
    assert [card["data-part"] for card in cards] == 3 * ["train"] + 3 * ["val"] + 3 * ["test"]
    assert sum(tag == "path" for tag, _ in page.found) == 9
    assert {facts.get("name") for tag, facts in page.found if tag == "select"} == {"class", "part", "kind"}


def test_the_page_tells_why_samples_were_rejected(toys):
    (toys / "rejected.jsonl").write_text('{"number":1,"reasons":["empty","faint"]}\n{"number":2,"reasons":["faint"]}\n')
    assert [entry.number for entry in rejected(toys)] == [1, 2]
    page = write_report(toys).read_text()
    assert "composites 2 were turned down" in page
    rows = re.findall(r"<td>(faint|empty)</td><td>[^<]*</td><td>(\d+) \(", page)
    assert rows == [("empty", "1"), ("faint", "2")]


def test_a_report_shows_the_areas_of_real_objects_beside(toys):
    alone, beside = (write_report(toys, real=real).read_text() for real in (None, toys))
    assert alone.count('class="key"') * 2 == beside.count('class="key"') > 0
    bars = re.findall(r'<div><i style="height: (\d+)%"></i><i style="height: (\d+)%"></i></div>', beside)
    assert bars
    assert {"100"} <= {height for bar in bars for height in bar}


def test_a_report_states_how_the_set_is_made_again(tmp_path):
    root = write_set(tmp_path / "set", 3)
    info = json.loads((root / "set.json").read_text()) | {"source": {"backgrounds": "tiles"}}
    (root / "set.json").write_text(json.dumps(info))
    assert "dmix generate settings.json -o again" in write_report(root).read_text()


def test_names_cannot_add_to_the_page(toys):
    manifest = toys / "manifest.jsonl"
    for path in (manifest, toys / "set.json"):
        path.write_text(path.read_text().replace('"crack"', '"<script>alert(1)</script>"'))
    assert "<script>alert" not in write_report(toys).read_text()


def test_the_same_set_gives_the_same_page(toys, tmp_path):
    assert write_report(toys, tmp_path / "a.html").read_bytes() == write_report(toys, tmp_path / "b.html").read_bytes()


@pytest.mark.parametrize("name", ["manifest.jsonl", "rejected.jsonl"])
def test_a_damaged_line_is_named(toys, name):
    with (toys / name).open("a") as file:
        file.write('{"number":')
    read = {"manifest.jsonl": entries, "rejected.jsonl": rejected}[name]
    with pytest.raises(DataError, match=rf"Line \d+ of .*{name}' is no sample"):
        list(read(toys))
