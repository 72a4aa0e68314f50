"""Every example runs, is short, and makes what it promises; with few steps, so that each takes seconds."""

import runpy

import numpy as np
import pytest
from PIL import Image

STEPS = 12
EXAMPLES = ["denoising_gif", "into_a_photograph", "merge_rule", "train_on_your_pictures", "two_models"]


@pytest.fixture
def main(request, repo):
    """The function `main` of the example that a test is called after."""
    name = request.node.name.removeprefix("test_")
    return runpy.run_path(str(repo / f"examples/{name}.py"))["main"]


def test_all_of_them_are_tested_and_have_less_than_forty_lines(repo):
    lengths = {file.stem: len(file.read_text(encoding="utf-8").splitlines()) for file in repo.glob("examples/*.py")}
    assert sorted(lengths) == EXAMPLES
    assert max(lengths.values()) < 40


def test_two_models(main, tmp_path, capsys):
    main(tmp_path, STEPS)
    assert sorted(file.name for file in tmp_path.iterdir())[:2] == ["0-mask.png", "0.png"]
    assert capsys.readouterr().out.count("the blowhole is in") == 4


def test_into_a_photograph(main, tmp_path, capsys):
    photo = np.random.default_rng(0).integers(60, 200, (96, 128, 3)).astype(np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    main(tmp_path / "photo.png", tmp_path / "out.png", STEPS)
    assert np.array(Image.open(tmp_path / "out.png")).shape == photo.shape
    assert "of the pixels are the photograph's own" in capsys.readouterr().out


def test_train_on_your_pictures(main, tmp_path):
    main(tmp_path, training_steps=4, steps=STEPS)
    assert Image.open(tmp_path / "tile-with-disc.png").size == (64, 64)


def test_merge_rule(main, tmp_path):
    main(tmp_path / "sheer.png", STEPS)
    assert Image.open(tmp_path / "sheer.png").size == (64, 64)


def test_denoising_gif(main, tmp_path):
    main(tmp_path, STEPS)
    assert Image.open(tmp_path / "denoising.gif").n_frames == STEPS + 2 * (10 + 10)
    assert (tmp_path / "strip.png").exists()
