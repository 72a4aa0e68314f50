"""What becomes of a composition: twins, strength, clean masks, checks, and draws that are turned down."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from dmix_core.geometry import Box
from dmix_core.images import to_picture
from dmix_core.loading import Loader
from dmix_core.marks import read_mark
from dmix_core.run import Run
from dmix_data.generated_set import entries, rejected
from dmix_data.shapes import pieces_of
from dmix_eval.photographs import generated_photographs
from dmix_factory import GenerateConfig, generate, plan
from dmix_factory.labels import Cleaning, holes, visible
from dmix_factory.making import Maker
from dmix_factory.sample_checks import flags_of
from dmix_factory.shots import Shot
from dmix_factory.sources import Background, Sources, sources_of

MASKS = arrays.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


@pytest.fixture
def settings(installed, photographs):
    rules = {"steps": 4, "timesteps": {"resamples": 0}}
    return {"backgrounds": str(photographs), "objects": ["disc"], "n": 3, **rules}


def pixels(folder, path) -> np.ndarray:
    return np.asarray(Image.open(folder / path).convert("RGB")).astype(int)


def test_a_twin_is_the_background_without_its_object(settings, photographs, tmp_path):
    generate(**settings, twins=True, out=tmp_path / "set")
    found = list(entries(tmp_path / "set"))
    for composite, twin in zip(found[::2], found[1::2], strict=True):
        assert read_mark(tmp_path / "set" / composite.image)
        assert not read_mark(tmp_path / "set" / twin.image)  # a photograph, which nothing was painted on
        assert (composite.kind, twin.kind) == ("composite", "twin")
        assert composite.twin == twin.image
        assert (composite.group, composite.split, composite.seed) == (twin.group, twin.split, twin.seed)
        assert not twin.objects
        assert not pixels(tmp_path / "set", twin.mask).any()
        assert (pixels(tmp_path / "set", twin.image) == pixels(photographs, twin.background)).all()


def test_a_model_s_twin_has_the_noise_of_its_composite(settings, tmp_path):
    generate(**settings | {"backgrounds": "scene", "merge_from": 1.0}, twins=True, out=tmp_path / "set")
    composite, twin = list(entries(tmp_path / "set"))[:2]
    outside = pixels(tmp_path / "set", composite.mask)[..., 0] == 0
    images = [pixels(tmp_path / "set", entry.image) for entry in (composite, twin)]
    assert (images[0] == images[1])[outside].all()
    assert (images[0] != images[1])[~outside].any()


def test_strength_scales_what_the_object_changes_and_keeps_the_mask(settings, tmp_path):
    for strength in ("0.5", "1"):
        generate(**settings, strength=strength, twins=True, out=tmp_path / strength)
    half, full = (list(entries(tmp_path / strength)) for strength in ("0.5", "1"))
    for faint, strong, twin in zip(half[::2], full[::2], full[1::2], strict=True):
        assert faint.strength == 0.5
        assert faint.sha256[faint.mask] == strong.sha256[strong.mask]
        background = pixels(tmp_path / "1", twin.image)
        change = pixels(tmp_path / "1", strong.image) - background
        assert np.abs(pixels(tmp_path / "0.5", faint.image) - background - change / 2).max() <= 1


def test_a_near_miss_is_faint_and_has_no_mask(settings, tmp_path):
    generate(**settings, near_miss="0.1-0.2", out=tmp_path / "set")
    found = list(entries(tmp_path / "set"))
    assert [entry.kind for entry in found] == ["composite", "near-miss"] * 3
    for strong, faint in zip(found[::2], found[1::2], strict=True):
        assert not pixels(tmp_path / "set", faint.mask).any()
        assert strong.sha256[strong.image] != faint.sha256[faint.image]
    read = generated_photographs(tmp_path / "set")  # a detector looks where the composite has its objects
    assert [each.spots for each in read.near_misses] == [each.spots for each in read.composites]
    assert all(each.spots for each in read.near_misses)


@given(mask=MASKS, least=st.integers(1, 20))
def test_small_pieces_go_and_the_largest_stays(mask, least):
    (cleaned, _) = Cleaning(min_piece=least).cleaned(mask.astype(np.uint8), [Box(0, 0, *mask.shape[::-1])])
    assert not (cleaned & ~mask).any()
    assert cleaned.any() == mask.any()
    assert pieces_of(cleaned > 0) <= max(1, cleaned.sum() // least)


@given(mask=MASKS)
def test_filled_masks_have_no_holes(mask):
    (filled, _) = Cleaning(fill_holes=mask.size).cleaned(mask.astype(np.uint8), [Box(0, 0, *mask.shape[::-1])])
    assert not holes(filled > 0).any()
    assert (filled[mask] == 1).all()


def test_cleaning_states_what_it_did_and_puts_the_photograph_back():
    index = torch.zeros(8, 8, dtype=torch.uint8)
    index[1:5, 1:5], index[2, 2], index[6, 6] = 1, 0, 1
    shot = Shot(torch.ones(3, 8, 8), index, (Box(0, 0, 8, 8),), twin=torch.zeros(3, 8, 8))
    clean = shot.with_clean_masks(Cleaning(min_piece=2, fill_holes=1), still=True)
    assert clean.cleaned == (("pieces-removed", "holes-filled"),)
    assert int(clean.index.sum()) == 16
    assert clean.image[:, 6, 6].tolist() == [0, 0, 0]
    assert clean.image[:, 2, 2].tolist() == [1, 1, 1]


@given(mask=MASKS, change=st.integers(-60, 60).filter(bool))
def test_a_change_that_is_the_mask_is_the_label(mask, change):
    assert (visible(mask, change * mask.astype(np.float32), 0.9 * abs(change)) == mask | holes(mask)).all()


@given(mask=MASKS, data=st.data())
def test_a_label_is_what_changed_and_what_that_encloses(mask, data):
    change = data.draw(arrays.arrays(np.float32, mask.shape, elements=st.integers(-20, 20)))
    found = visible(mask, change, 4)
    ring = found & (change != 0)
    assert (found == ring | holes(ring)).all()
    assert mask.any() or not found.any()


@pytest.mark.parametrize(("gap", "pieces"), [(0.0, 2), (0.001, 1)])
def test_a_change_of_sign_does_not_tear_a_label(gap, pieces):
    """Half of the object is darker, half brighter; six columns between them it leaves alone, or hardly changes."""
    change = np.full((12, 20), 20, np.float32)
    change[:, :10], change[:, 7:13] = -20, gap
    found = visible(np.ones(change.shape, bool), change, 4)
    assert pieces_of(found) == pieces
    assert (found == (change != 0)).all()


def test_new_grain_is_no_visible_change():
    grain = np.where(np.indices((12, 12)).sum(0) % 2, 15, -15).astype(np.float32)
    assert not visible(np.ones((12, 12), bool), grain, 4).any()


def test_a_label_follows_the_picture_and_the_photograph_is_put_back():
    """The mask's lower half shows nothing; on a painted background the change goes further than the mask."""
    index, change = torch.zeros(16, 16, dtype=torch.uint8), torch.zeros(16, 16)
    index[4:12, 4:12], change[4:8, 4:12], change[8:12, 4:12] = 1, -0.5, 0.001
    twin = torch.zeros(3, 16, 16)
    shot = Shot(twin + change, index, (Box(2, 2, 12, 12),), twin=twin)
    labelled = shot.with_visible_labels(4, still=True)
    assert labelled.index[4:8, 4:12].all()
    assert not labelled.index[11:].any()  # further than the means reach
    assert (labelled.image == torch.where(labelled.index > 0, shot.image, twin)).all()
    change[2:4, 4:12] = -0.5
    grown = Shot(twin + change, index, shot.boxes, twin=twin).with_visible_labels(4, still=False)
    assert grown.index[2:8, 4:12].all()


def test_a_set_states_visible_labels_by_its_own_twins(settings, tmp_path):
    for least in (0, 20):
        generate(**settings, visible_change=least, strength="0.3-0.3", twins=True, out=tmp_path / str(least))
    own, shown = (list(entries(tmp_path / str(least))) for least in (0, 20))
    for before, after, twin in zip(own[::2], shown[::2], shown[1::2], strict=True):
        masks = [pixels(tmp_path / str(least), entry.mask)[..., 0] > 0 for least, entry in ((0, before), (20, after))]
        change = pixels(tmp_path / "20", after.image) - pixels(tmp_path / "20", twin.image)
        assert not change[~masks[1]].any()
        assert 0 < masks[1].sum() < masks[0].sum()


def test_checks_see_what_was_painted_and_whether_anything_of_it_shows(settings, tmp_path, monkeypatch):
    def torn(shot, least, still):
        """Every second column shows, or none."""
        kept = torch.arange(shot.index.shape[1]) % 2 == (0 if least == 1 else 2)
        return replace(shot, index=shot.index * kept)

    monkeypatch.setattr(Shot, "with_visible_labels", torn)
    for least in (0, 1, 2):
        generate(**settings, visible_change=least, out=tmp_path / str(least))
    own, shown, hidden = ([entry.objects[0] for entry in entries(tmp_path / str(least))] for least in (0, 1, 2))
    assert [each.flags for each in shown] == [each.flags for each in own]
    assert all(0 < one.area < other.area for one, other in zip(shown, own, strict=True))
    assert {each.flags for each in hidden} == {("empty",)}


def shot(*parts: tuple[tuple[slice, slice], int], brightness: float = 0.5) -> Shot:
    """A grey scene in whose middle a box of 10 x 10 has an object with this mask."""
    index, twin = torch.zeros(20, 20, dtype=torch.uint8), torch.zeros(3, 20, 20)
    for place, value in parts:
        index[place] = value
    return Shot(torch.where(index > 0, brightness, twin), index, (Box(5, 5, 10, 10),), twin=twin)


MIDDLE = (slice(7, 12), slice(7, 12))


@pytest.mark.parametrize(
    ("given", "flag"),
    [
        (shot(), "empty"),
        (shot(((slice(5, 9), slice(7, 9)), 1)), "border"),
        (shot((MIDDLE, 1), ((slice(13, 14), slice(6, 10)), 1)), "pieces"),
        (shot((MIDDLE, 1), ((slice(9, 10), slice(9, 10)), 0)), "holes"),
    ],
)
def test_each_fault_has_its_flag(given, flag):
    assert flags_of(given, 1, min_contrast=5) == (flag,)


def test_a_good_object_has_no_flags_and_a_change_elsewhere_has():
    good = shot((MIDDLE, 1))
    assert flags_of(good, 1, min_contrast=5) == ()
    good.image[:, 5:15, 12:15] = -0.5
    assert flags_of(good, 1, min_contrast=5) == ("elsewhere",)


def test_a_speck_is_told_from_a_piece():
    given = shot((MIDDLE, 1), ((slice(13, 14), slice(7, 10)), 1))
    assert flags_of(given, 1, min_contrast=5) == ("pieces", "speckle")


def test_an_object_that_leaves_its_place_as_it_was_is_unchanged():
    as_before = shot((MIDDLE, 1), brightness=0.01)
    assert flags_of(as_before, 1, min_contrast=5) == ("unchanged", "faint")
    as_before.image[:] = as_before.twin[:] = 0.8
    as_before.image[:, 7:9, 7:12] = as_before.twin[:, 7:12, 7:12] = -0.2  # it stands out, and did so before
    as_before.image[:, 9:12, 7:12] = -0.2
    assert flags_of(as_before, 1, min_contrast=5) == ("unchanged",)


def test_a_box_at_the_canvas_border_may_be_filled_up_to_it():
    index = torch.zeros(10, 10, dtype=torch.uint8)
    index[0:4, 0:4] = 1
    at_corner = Shot(torch.where(index > 0, 0.5, torch.zeros(3, 10, 10)), index, (Box(0, 0, 6, 6),))
    assert flags_of(at_corner, 1, min_contrast=5) == ()


def test_draws_that_fail_are_turned_down_and_listed(settings, tmp_path):
    both = {"objects": ["disc", "nothing"], "n": 8}
    report = generate(**settings | both, reject=True, out=tmp_path / "set")
    found = list(entries(tmp_path / "set"))
    listed = list(rejected(tmp_path / "set"))
    assert len(found) == 8
    assert all(entry.objects[0].class_name == "disc" for entry in found)
    assert {each.reasons for each in listed} == {("empty",)}
    assert report.rejected["empty"] == len(listed) > 0


def test_what_fails_each_time_is_kept_with_its_flags(settings, tmp_path):
    report = generate(**settings | {"objects": ["nothing"], "n": 1}, reject=True, tries=3, out=tmp_path / "set")
    (entry,) = entries(tmp_path / "set")
    assert entry.flags == ("empty", "tries-exhausted")
    assert entry.objects[0].flags == ("empty",)
    assert (report.flags["empty"], report.rejected["empty"]) == (1, 2)


def test_of_several_draws_the_best_is_kept(settings, tmp_path):
    generate(**settings | {"objects": ["disc", "nothing"]}, best_of=6, out=tmp_path / "set")
    assert all(entry.flags == () for entry in entries(tmp_path / "set"))
    assert len([*rejected(tmp_path / "set")]) == 3 * 5


@pytest.mark.parametrize("rules", [{}, {"listen_from": 0.3, "steps": 10, "twins": True}])
def test_shared_states_give_what_each_composite_is_alone(settings, rules, tmp_path):
    config = GenerateConfig.from_data({**settings, "backgrounds": "scene", "share": "2x3", "n": 12, **rules})
    loader = Loader()
    sources = sources_of(config, loader)
    records = [*plan(config, sources)]
    generate(config, out=tmp_path / "set", registry=loader)
    made = (entry for entry in entries(tmp_path / "set") if entry.kind == "composite")
    for record, entry in zip(records, made, strict=True):
        recipe = Maker(config, sources, loader).recipe(record)
        (alone,) = Run(recipe, loader)
        assert (pixels(tmp_path / "set", entry.image) == np.asarray(to_picture(alone.image))).all()
        if entry.twin:
            (below,) = Run(recipe.model_copy(update={"regions": recipe.regions[:1]}), loader)
            assert (pixels(tmp_path / "set", entry.twin) == np.asarray(to_picture(below.image))).all()
        assert entry.states == record.states
    assert len({record.states for record in records}) == 12
    assert len({record.states[0] for record in records}) == 4
    assert len({record.states[1] for record in records}) == 6
    assert len({record.group for record in records}) == 2


def test_splits_never_divide_what_shares_a_state_or_a_photograph(photographs):
    rules = {"objects": ["disc"], "n": 60, "share": "2x4", "val": 0.3}
    config = GenerateConfig.from_data({"backgrounds": str(photographs), **rules})
    backgrounds = tuple(Background(f"{i}.png", f"photo:/{i}.png", (40, 40)) for i in range(5))
    sides: dict[str, set[str]] = {}
    for record in plan(config, Sources(backgrounds, True, ((12, 12),), (True,), (None,))):
        for shared in (record.background.name, f"objects {record.states[1]}", record.group):
            sides.setdefault(shared, set()).add(record.split)
    assert all(len(side) == 1 for side in sides.values())
    assert {*map(frozenset, sides.values())} == {frozenset({"train"}), frozenset({"val"})}
