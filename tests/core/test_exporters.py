"""Writers: samples in, files out, and what they know of a run."""

import numpy as np
import pytest
import torch
from PIL import Image

from dmix_core import Box, ExportWriter, RunInfo, Sample
from dmix_core.output import SHEET_SAMPLES, Pictures
from dmix_core.quality import visibility
from dmix_core.sample import Figures, SampleObject, figures


class Noting(ExportWriter):
    def __init__(self):
        self.noted = []

    def add(self, sample):
        self.noted.append(sample.number)
        return []

    def close(self):
        self.noted.append("closed")
        return []

    def discard(self):
        self.noted.append("discarded")


def sample(number=0, size=(12, 10)):
    box = Box(2, 1, 3, 4)
    generator = torch.Generator().manual_seed(number)
    shown = torch.ones(box.size, dtype=torch.bool)
    image = torch.rand(3, *size, generator=generator) * 2 - 1
    thing = SampleObject("a thing", size, box, shown, shown, box, Figures(12.3, None, 1.0))
    return Sample(number, image, thing.visible.to(torch.uint8), (thing,))


def test_a_writer_closes_itself_and_discards_after_a_failure():
    with Noting() as writer:
        writer.add(sample(3))
    assert writer.noted == [3, "closed"]
    with pytest.raises(RuntimeError), Noting() as writer:
        raise RuntimeError
    assert writer.noted == ["discarded"]


@pytest.mark.parametrize(("samples", "name"), [([0, 7], "0007.png"), ([7, 123456], "000007.png")])
def test_files_are_called_after_their_samples_with_digits_for_the_largest(samples, name):
    assert RunInfo((4, 4), ("a",), samples).file_name(7) == name


def test_masks_are_kept_in_a_window_and_laid_on_the_canvas():
    (thing,) = sample().objects
    assert thing.visible.shape == thing.amodal.shape == (12, 10)
    assert thing.visible.dtype == torch.bool
    assert int(thing.visible.sum()) == 12
    assert bool(thing.visible[1:5, 2:5].all())


@pytest.mark.parametrize("box", [Box(20, 25, 6, 9), Box(0, 0, 5, 4), Box(55, 60, 5, 4), Box(0, 0, 60, 64)])
def test_figures_are_those_of_the_whole_image_though_read_around_the_box(box):
    image = torch.rand(3, 64, 60, generator=torch.Generator().manual_seed(0)) * 2 - 1
    visible = box.paste(torch.ones(box.size, dtype=torch.bool), (64, 60))
    expected = visibility(image[None], visible[None, None])
    for ours, theirs in zip(figures(image, box, torch.ones(box.size, dtype=torch.bool), box), expected, strict=True):
        assert ours == (None if theirs.isnan() else pytest.approx(float(theirs), abs=1e-3))


def test_nothing_that_shows_has_no_figures():
    assert figures(torch.zeros(3, 4, 4), Box(0, 0, 4, 4), torch.zeros(4, 4, dtype=torch.bool), None) == (
        None,
        None,
        None,
    )


def test_the_pictures_hold_what_the_sample_holds(tmp_path):
    info = RunInfo((12, 10), ("below", "a thing"), [5], grey=True)
    with Pictures().open(tmp_path, info) as writer:
        made = sample(5)
        paths, files = writer.add(made), writer.files(made.number)
    assert paths == [files.image, files.mask, files.overlay, *files.amodal]
    assert Image.open(files.image).mode == "L"
    assert (np.asarray(Image.open(files.mask)) == made.index.numpy()).all()
    assert files.amodal[0].name == "0005-1-a_thing.png"
    assert (np.asarray(Image.open(files.amodal[0])) == 255 * made.objects[0].amodal.numpy()).all()
    assert not (tmp_path / "sheet.png").exists()


def test_the_sheet_has_the_first_samples_and_no_more(tmp_path):
    def sheet(count):
        writer = Pictures().open(tmp_path / str(count), RunInfo((12, 10), ("a", "b"), range(count)))
        for number in range(count):
            writer.add(sample(number))
        (path,) = writer.close()
        return path.read_bytes()

    assert sheet(SHEET_SAMPLES) == sheet(SHEET_SAMPLES + 3) != sheet(SHEET_SAMPLES - 1)
