"""Figures of generated sets: what is wrong is seen, and by the right figure."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from dmix_cli.main import main
from dmix_data.exceptions import DataError
from dmix_eval.evaluation import diversity, evaluate, rows
from dmix_eval.kernel_distance import kid
from dmix_eval.object_figures import FIGURES
from dmix_eval.photographs import generated_photographs, real_photographs
from dmix_eval.random_features import RandomFeatures
from dmix_eval.set_distances import Values, between_halves, compare_values, erased_share
from dmix_eval.specimens import Specimen, generated_specimens, halves, pasted_specimens, real_specimens
from dmix_eval.two_sample import told_apart


def figure(name, specimen):
    return FIGURES[name].of(specimen)


@pytest.fixture
def dark():
    """A dark square of 16 x 16 on a flat ground, with its twin."""
    mask = np.zeros((48, 48), bool)
    mask[16:32, 16:32] = True
    ground = np.full((48, 48), 150, np.float32)
    return Specimen("a", "a", ground - 60 * mask, mask, ground)


@pytest.fixture
def theirs(real):
    return real_specimens(real_photographs(real / "train", ("blowhole",)), 48)


@pytest.fixture
def ours(generated):
    return generated_specimens(generated_photographs(generated), 48)


@pytest.fixture(scope="module")
def against(generated, tmp_path_factory):
    """A set, and the same one by another path that ends in the same name."""
    again = tmp_path_factory.mktemp("again") / generated.name
    again.symlink_to(generated)
    return [generated, again]


@pytest.fixture(scope="module")
def found(generated, real, against):
    return evaluate(generated, real / "train", ("blowhole",), 48, against=against)


def test_contrast_has_a_sign(dark):
    assert figure("contrast", dark) == pytest.approx(-60)
    assert figure("contrast", replace(dark, image=dark.twin + 60 * dark.mask)) == pytest.approx(60)


def test_a_label_on_the_change_is_true_and_beside_it_is_not(dark):
    assert [figure(name, dark) for name in ("twin AUROC", "change inside", "visible share")] == [1, 1, 1]
    beside = replace(dark, mask=np.roll(dark.mask, 8, 1))
    assert figure("change inside", beside) == pytest.approx(0.5)
    assert figure("visible share", beside) == pytest.approx(0.5)
    assert figure("twin AUROC", beside) < 0.8


def test_figures_of_twins_are_undefined_without_one(dark):
    alone = replace(dark, twin=None)
    assert np.isnan([figure(name, alone) for name in ("twin AUROC", "change inside", "visible share")]).all()


def test_shapes_of_masks(dark):
    expected = {"area": 256, "pieces": 1, "holes": 0, "roughness": 1, "solidity": 1, "eccentricity": 0}
    assert {name: figure(name, dark) for name in expected} == pytest.approx(expected)
    mask = dark.mask.copy()
    mask[20, 20] = False
    mask[2, 2] = mask[5, 40] = True
    speckled = replace(dark, mask=mask)
    assert figure("pieces", speckled) == 3
    assert figure("holes", speckled) == 1


def test_a_halo_is_a_colour_step(dark):
    halo = np.zeros_like(dark.mask)
    halo[14:34, 14:34] = True
    assert figure("colour step", dark) == 0
    assert figure("colour step", replace(dark, image=dark.image + 20 * (halo & ~dark.mask))) == pytest.approx(20)


def test_noise_has_more_fine_structure_than_what_is_smooth(dark):
    random = np.random.default_rng(0)
    noisy = replace(dark, image=random.normal(100, 20, (48, 48)))
    smooth = replace(dark, image=np.tile(np.linspace(0, 200, 48), (48, 1)))
    assert figure("spectrum", noisy) > -0.2 > -1 > figure("spectrum", smooth)


def test_fainter_objects_are_further_away_and_erased(theirs):
    contrasts, groups = [figure("contrast", each) for each in theirs], [each.group for each in theirs]
    real, between = Values(contrasts, groups), between_halves(theirs, contrasts)
    faint = Values([value / 8 for value in contrasts], groups)
    assert compare_values(faint, real, between).apart
    assert not compare_values(real, real, between).apart
    assert erased_share(faint, real).value == 1
    assert erased_share(real, real).value <= 0.2


def test_halves_share_no_group(theirs):
    one, other = halves(theirs, 3)
    assert len(one) + len(other) == len(theirs)
    assert not {each.group for each in one} & {each.group for each in other}


def test_the_classifier_tells_other_noise_apart_and_not_the_same(ours):
    random = np.random.default_rng(0)
    smooth = [replace(each, image=(each.image + np.roll(each.image, 1, 1)) / 2) for each in ours]
    assert told_apart(smooth, ours, False).value > 0.95
    same = [replace(each, image=random.normal(140, 12, (48, 48)).clip(0, 255)) for each in [*ours, *ours]]
    same = [replace(each, group=str(number)) for number, each in enumerate(same)]
    apart = told_apart(same[:12], same[12:], False)
    assert apart.low < 0.5 < apart.high + 0.3


def test_kid_is_about_zero_for_the_same_kind_and_more_for_another(ours, theirs):
    inverted = [replace(each, image=255 - each.image) for each in ours]
    features = RandomFeatures()
    assert abs(kid(ours, theirs, features).value) < kid(inverted, theirs, features).value / 5


def test_repeated_objects_are_not_diverse(ours):
    assert diversity([ours[0]] * 6).value == pytest.approx(0, abs=1e-3)
    assert diversity(ours).value > 0.5


def test_pasted_objects_belong_to_the_tile_they_were_cut_from(real):
    photographs = real_photographs(real / "train", ("blowhole",))
    pasted = pasted_specimens(photographs, 48, 8)
    assert {each.group for each in pasted} <= {each.group for each in photographs}
    assert all(each.mask.any() for each in pasted)


def test_the_command_writes_table_json_and_page(generated, real, tmp_path):
    words = ["evaluate", generated, "--real", real / "train", "--classes", "blowhole", "--side", 48]
    words += ["--against", generated, "-o", tmp_path]
    done = CliRunner().invoke(main, list(map(str, words)))
    assert done.exit_code == 0, done.output
    assert {"erased share", "contrast", "objects told apart"} <= {
        line.split("  ")[0] for line in done.output.splitlines()
    }
    record = json.loads((tmp_path / "evaluation.json").read_text())
    assert record["objects"] == 12
    assert [*record["references"]] == ["copy-paste", generated.name]
    assert record["figures"]["contrast"]["mean"]["value"] == pytest.approx(-70, abs=8)
    assert record["figures"]["twin AUROC"]["real_mean"]["value"] is None
    page = (tmp_path / "evaluation.html").read_text()
    assert "<script" not in page
    assert page.count("data:image/png") == len(FIGURES) + 1


def test_a_set_measured_beside_itself_has_the_same_figures_twice(found, generated):
    record, name = found.record(), str(generated)
    assert record["references"][name] == {each: record[each] for each in ("objects", "erased", "figures")}
    assert record["references"]["copy-paste"]["figures"] != record["figures"]
    assert all(each["references"][name] == each["set"] for each in record["sets"].values())


def test_sets_of_one_name_are_told_apart_by_their_paths(found, against):
    names = ["copy-paste", *map(str, against)]
    assert [*found.references] == names
    head, *table = rows(found)
    assert [*head[-3:]] == names
    assert {len(row) for row in table} == {len(head)}


def test_too_few_real_tiles_are_refused(generated, tmp_path, real):
    (tmp_path / "MT_Blowhole").mkdir()
    (tmp_path / "MT_Free").symlink_to(real / "train/MT_Free")
    (tmp_path / "MT_Blowhole/Imgs").mkdir()
    for path in sorted((real / "train/MT_Blowhole/Imgs").iterdir())[:2]:
        (tmp_path / "MT_Blowhole/Imgs" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(DataError, match="1 groups; expected at least 4"):
        evaluate(generated, tmp_path, ("blowhole",), 48)
