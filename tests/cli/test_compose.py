"""`dmix compose`: what it writes, and that the recipe makes it again."""

import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dmix_core.folder_lock import FolderLock
from dmix_core.images import PALETTE
from dmix_core.recipe import Recipe
from dmix_models import ModelCard, ModelConfig, UNet, UNetConfig, save


def pixels(path):
    return np.asarray(Image.open(path))


def written(folder):
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


def test_it_writes_images_masks_overlays_amodal_masks_strip_sheet_and_recipe(compose):
    result = compose("-n", 2, "-o", "out")
    names = ["amodal/0000-1-thing.png", "amodal/0001-1-thing.png"]
    names += [f"{kind}/000{i}.png" for kind in ("images", "masks", "overlays") for i in (0, 1)]
    assert written("out") == sorted([*names, "recipe.json", "samples.jsonl", "sheet.png", "strip.png"])
    assert "Wrote 2 images to out/images" in result.stdout
    for name in ("strip.png", "sheet.png", "recipe.json"):
        assert f"out/{name}" in result.stdout
    assert result.stderr == ""  # bars are for terminals


def test_the_mask_holds_the_owners_numbers_in_the_palettes_colours(compose):
    compose("--object", "thing@0,0,12,12")
    mask = Image.open("dmix-out/masks/0000.png")
    assert (mask.mode, mask.size) == ("P", (24, 24))
    assert set(np.unique(mask)) == {0, 1, 2}
    assert tuple(mask.getpalette()[3:9]) == (*PALETTE[1], *PALETTE[2])


def test_an_object_without_a_box_stands_in_the_centre(compose):
    compose()
    recipe = Recipe.read("dmix-out/recipe.json")
    assert recipe.regions[1].box == (6, 6, 12, 12)
    owned = np.argwhere(pixels("dmix-out/masks/0000.png") == 1)
    assert owned.mean(axis=0) == pytest.approx([11.5, 11.5], abs=0.6)


def test_the_amodal_mask_shows_what_a_higher_object_hides(compose):
    compose("--object", "thing@9,9,12,12")
    mask = pixels("dmix-out/masks/0000.png")
    below, above = (pixels(f"dmix-out/amodal/0000-{i}-{name}.png") for i, name in ((1, "thing"), (2, "thing-2")))
    assert set(np.unique(below)) == {0, 255}
    assert ((mask == 1) == (below > 0) & (above == 0)).all()
    assert (below > 0).sum() > (mask == 1).sum()


def test_the_strip_shows_the_percentages_that_are_asked_for(compose):
    compose("--strip-at", "0,50,90", "-o", "long")
    compose("--strip-at", "0", "-o", "short")
    long, short = (Image.open(f"{out}/strip.png") for out in ("long", "short"))
    assert long.height == short.height
    assert long.width > 1.5 * short.width  # of 4 columns beside 2, titles apart


def test_a_gif_shows_the_denoising_of_the_first_sample(compose):
    result = compose("--gif", "-n", 2, "--batch-size", 1)
    assert "gif  dmix-out/denoising.gif" in result.stdout
    with Image.open("dmix-out/denoising.gif") as picture:
        assert picture.n_frames > 20
        picture.seek(picture.n_frames - 1)
        last = np.asarray(picture.convert("RGB").resize((24, 24), Image.Resampling.NEAREST)).astype(int)
    assert abs(last - pixels("dmix-out/images/0000.png")).mean() < 8  # a GIF has 256 colours


def test_one_image_has_no_sheet_and_the_strip_can_be_left_out(compose):
    compose("--no-strip", "-o", "out")
    assert not {"sheet.png", "strip.png"} & set(written("out"))


def test_quiet_says_nothing(compose):
    assert compose("--quiet").output == ""


def test_json_is_one_object_on_stdout_that_names_what_was_written(compose):
    facts = json.loads(compose("--json", "-n", 2).stdout)
    assert [sample["sample"] for sample in facts["samples"]] == [0, 1]
    (thing,) = facts["samples"][1]["objects"]
    assert thing["name"] == "thing"
    assert thing["contrast"] > 50  # grey levels: the disc is much darker than the scene
    left, top, width, height = thing["box"]
    owned = pixels(facts["samples"][1]["mask"])[top : top + height, left : left + width] == 1
    assert owned.any(axis=0).all()
    assert owned.any(axis=1).all()
    paths = [facts["recipe"], facts["strip"], facts["sheet"], *(s["overlay"] for s in facts["samples"])]
    assert all(Path(path).is_file() for path in paths)


def test_json_says_null_where_nothing_of_an_object_shows(dmix):
    words = ("--background", "scene", "--object", "nothing", "--steps", 20, "--json", "-n", 2)
    facts = json.loads(dmix("compose", *words).stdout)
    assert facts["samples"][0]["objects"][0]["box"] is None
    assert facts["samples"][0]["objects"][0]["contrast"] is None


def test_samples_do_not_depend_on_how_many_run_together(compose):
    compose("-n", 3, "--batch-size", 1, "-o", "one")
    compose("-n", 3, "--batch-size", 3, "-o", "three")
    for i in range(3):
        difference = pixels(f"one/images/000{i}.png").astype(int) - pixels(f"three/images/000{i}.png")
        assert abs(difference).max() <= 1
    assert (pixels("one/images/0000.png") != pixels("one/images/0001.png")).any()


def test_what_may_not_be_meant_is_told_on_stderr_in_the_words_of_the_options(compose):
    result = compose("--size", "48x24", "--quiet")
    assert result.stderr.startswith(
        "Note: 'background' paints 24x24 pixels and is stretched over 48x24: 2 times in width"
    )
    assert "--wrap background=panorama --set panorama.width=48 in the place of --size" in result.stderr
    assert result.stdout == ""


# ---- samples that show nothing ---------------------------------------------------------------------------------


def test_samples_in_which_nothing_shows_are_named_with_what_can_be_done(dmix):
    words = ("compose", "--background", "scene", "--object", "nothing", "--object", "thing@0,0,12,12", "--steps", 20)
    text = dmix(*words, "-n", 2, "--min-contrast", 255).stdout
    assert "the mask of 'nothing' is empty in 0, 1." in text
    assert re.search(r"'thing' has faded, with a contrast below 255 grey levels, in 0 \([\d.]+\), 1 \([\d.]+\)\.", text)
    assert "To draw each of them again, up to 3 times: dmix compose dmix-out/recipe.json -o dmix-out --redraw 3" in text


def test_what_is_left_out_is_in_the_folder_no_longer(compose, dmix):
    compose("-n", 2, "-o", "a")
    dmix("compose", "a/recipe.json", "-o", "a", "--drop", "--min-contrast", 255)
    assert [name for name in written("a") if "/" in name] == []


def test_what_was_redrawn_and_dropped_is_told_and_the_recipe_makes_it_again_bit_for_bit(compose, dmix):
    contrasts = [
        sample["objects"][0]["contrast"] for sample in json.loads(compose("--json", "-n", 6).stdout)["samples"]
    ]
    words = ("-n", 6, "--batch-size", 4, "--min-contrast", sorted(contrasts)[4], "--gif", "-o", "a")
    text = compose(*words, "--redraw", 1, "--drop").stdout
    recipe = Recipe.read("a/recipe.json")
    assert recipe.draws
    assert recipe.dropped
    for number in recipe.draws:
        assert f"{number} (1 time)" in text.partition("Drawn again: ")[2].partition("\n")[0]
    assert text.count("Left out: 'thing' has faded") == 1
    assert f"Wrote {6 - len(recipe.dropped)} image" in text
    dmix("compose", "a/recipe.json", "--gif", "-o", "b")
    assert written("a") == written("b")
    for name in written("a"):
        assert Path("a", name).read_bytes() == Path("b", name).read_bytes(), name


def test_json_tells_what_was_redrawn_dropped_and_is_unseen(dmix):
    words = ("compose", "--background", "scene", "--object", "nothing", "--steps", 20, "--json", "--redraw", 2)
    facts = json.loads(dmix(*words).stdout)
    assert facts["redrawn"] == {"0": 2}
    assert facts["unseen"] == {"0": [{"name": "nothing", "contrast": None}]}
    assert facts["samples"][0]["draw"] == 2_000_000
    facts = json.loads(dmix(*words, "--drop").stdout)
    assert facts["dropped"] == {"0": [{"name": "nothing", "contrast": None}]}
    assert facts["unseen"] == {}
    assert facts["samples"] == []


# ---- recipes ----------------------------------------------------------------------------------------------------


def test_the_recipe_makes_the_same_files_again_bit_for_bit(compose, dmix, photo):
    words = ("--background", photo, "--object", "thing@2,3,20,15", "--merge-from", 0.7, "--seed", 9)
    words += ("--listen-from", "thing=0.5", "--plugin", "lift-mask", "--set", "threshold=0.6")
    compose(*words, "-n", 3, "--batch-size", 2, "-o", "a")
    dmix("compose", "a/recipe.json", "-o", "b")
    assert written("a") == written("b")
    for name in written("a"):
        assert Path("a", name).read_bytes() == Path("b", name).read_bytes(), name


def test_a_recipe_from_before_exporters_stood_in_it_makes_the_same_files(compose, dmix):
    compose("-n", 2, "-o", "a")
    data = json.loads(Path("a/recipe.json").read_text())
    del data["exporters"]
    Path("old.json").write_text(json.dumps(data))
    dmix("compose", "old.json", "-o", "b")
    assert written("a") == written("b")
    for name in written("a"):
        assert Path("a", name).read_bytes() == Path("b", name).read_bytes(), name


def test_a_recipe_knows_its_photograph_from_anywhere(compose, dmix, photo, tmp_path, monkeypatch):
    compose("--background", photo.name, "-o", "a")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    dmix("compose", "../a/recipe.json", "-o", "b")
    assert (pixels("b/images/0000.png") == pixels("../a/images/0000.png")).all()


def test_the_path_after_photo_becomes_absolute(compose, photo):
    compose("--background", f"photo:{photo.name}")
    recipe = Recipe.read("dmix-out/recipe.json")
    assert recipe.regions[0].model == f"photo:{photo}"
    assert f"model photo:{photo}" in recipe.made_with


def test_a_recipe_knows_the_weights_and_photographs_that_it_was_made_with(compose, dmix, photo):
    compose("--background", photo.name, "-o", "a")
    assert "may differ" not in dmix("compose", "a/recipe.json", "-o", "b").stderr
    Image.open(photo).rotate(180).save(photo)
    data = json.loads(Path("a/recipe.json").read_text())
    data["made_with"]["torch"] = "1.0"
    Path("a/recipe.json").write_text(json.dumps(data))

    (line,) = [line for line in dmix("compose", "a/recipe.json", "-o", "b").stderr.splitlines() if "differ" in line]
    before, after = (Recipe.read(f"{folder}/recipe.json").made_with for folder in "ab")
    key = f"model {photo}"
    assert before[key] != after[key] == hashlib.sha256(photo.read_bytes()).hexdigest()[:16]
    assert line == (
        "The images may differ from those that a/recipe.json was made with: "
        f"torch was 1.0, is {after['torch']}; {key} was {before[key]}, is {after[key]}."
    )
    other = dmix("compose", "b/recipe.json", "--background", "scene", "--size", "40x30")
    assert "may differ" not in other.stderr


def test_another_background_brings_its_own_size(compose, dmix, photo):
    compose("--size", "48x32", "-o", "a")
    dmix("compose", "a/recipe.json", "--background", photo, "-o", "b")
    assert (pixels("b/images/0000.png").shape, Recipe.read("b/recipe.json").size) == ((30, 40, 3), None)
    dmix("compose", "a/recipe.json", "--background", photo, "--size", "44x34", "-o", "c")
    assert pixels("c/images/0000.png").shape == (34, 44, 3)


def test_options_go_before_what_the_recipe_says(compose, dmix):
    compose("--seed", 3, "--resamples", 1, "--set", "threshold=0.7", "-o", "a")
    dmix("compose", "a/recipe.json", "--seed", 4, "--resamples", 0, "--listen-from", "thing=0.5", "-o", "b")
    before, after = Recipe.read("a/recipe.json"), Recipe.read("b/recipe.json")
    changed = {field for field in Recipe.model_fields if getattr(before, field) != getattr(after, field)}
    assert changed == {"seed", "timesteps", "regions"}
    assert after.timesteps.settings == {"jump_length": 3, "resamples": 0}
    assert after.merge.settings == {"threshold": 0.7}
    assert [region.listen_from for region in after.regions] == [None, 0.5]


def test_a_recipes_regions_stay_where_it_has_them(compose, dmix):
    compose("-o", "a")
    data = json.loads(Path("a/recipe.json").read_text())
    data["regions"][1]["box"] = None
    Path("hand.json").write_text(json.dumps(data))
    dmix("compose", "hand.json", "-o", "b")
    assert Recipe.read("b/recipe.json").regions[1].box is None
    assert not pixels("b/masks/0000.png")[12:].any()


def test_the_help_tells_the_recipes_defaults(dmix):
    text = " ".join(dmix("compose", "--help").stdout.partition("Options:")[2].split())
    defaults = Recipe.from_data({"regions": [{"name": "a", "model": "b"}]})
    shown = {
        "--steps": defaults.steps,
        "--jump-length": defaults.timesteps.settings["jump_length"],
        "--resamples": defaults.timesteps.settings["resamples"],
        "--merge-from": defaults.merge_from,
        "--others": defaults.others,
        "--seams": defaults.seams,
        "--seed": defaults.seed,
        "--samples": len(defaults.samples),
        "--batch-size": defaults.batch_size,
        "--device": defaults.device,
        "--dtype": defaults.dtype,
    }
    for option, default in shown.items():
        assert f"[default: {default}]" in text.partition(f"{option} ")[2].partition(" --")[0], option


# ---- photographs and grey ---------------------------------------------------------------------------------------


def test_a_photograph_stays_what_it_is_where_no_object_stands(compose, photo):
    compose("--background", photo, "--plugin", "hard-mask")
    image, mask = pixels("dmix-out/images/0000.png"), pixels("dmix-out/masks/0000.png")
    assert image.shape == (30, 40, 3)
    assert (image == pixels(photo))[mask == 0].all()
    assert (image != pixels(photo)).any(axis=2)[mask == 1].mean() > 0.9


def test_grey_stays_grey_only_where_all_is_grey(dmix, photo, tmp_path):
    Image.open(photo).convert("L").save(tmp_path / "grey.png")
    spot = np.full((12, 12), 200, np.uint8)
    Image.fromarray(spot).save(tmp_path / "spot.png")
    dmix("compose", "--background", "grey.png", "--object", "spot.png", "--steps", 20, "-o", "grey")
    dmix("compose", "--background", photo, "--object", "spot.png", "--steps", 20, "-o", "colour")
    assert Image.open("grey/images/0000.png").mode == "L"
    assert Image.open("colour/images/0000.png").mode == "RGB"
    grey, mask = pixels("grey/images/0000.png"), pixels("grey/masks/0000.png")
    assert (grey == pixels("grey.png"))[mask == 0].all()


def test_a_large_photograph_has_a_handy_sheet_and_strip(dmix, tmp_path):
    Image.effect_noise((1200, 800), 20).save(tmp_path / "wall.png")
    words = ("--object", "thing", "--steps", 4, "--plugin", "descent", "-n", 2, "-o", "out")
    dmix("compose", "--background", "wall.png", *words)
    assert Image.open("out/overlays/0000.png").size == (1200, 800)
    width, height = Image.open("out/sheet.png").size
    assert (width, height) == (4 + 2 * 580, 4 + 18 + 18 + 3 * 388)
    assert Image.open("out/strip.png").height < 5 * 388


# ---- options ----------------------------------------------------------------------------------------------------


def test_size_stretches_the_background_over_the_canvas(compose):
    compose("--size", "48x32")
    assert Image.open("dmix-out/images/0000.png").size == (48, 32)
    recipe = Recipe.read("dmix-out/recipe.json")
    assert recipe.size == (32, 48)
    assert recipe.regions[0].box == (0, 0, 48, 32)
    assert recipe.regions[1].box == (18, 10, 12, 12)


def test_objects_rise_in_the_order_given_under_names_of_their_own(compose):
    compose("--object", "thing@0,0,12,12", "--object", "nothing", "--object", "thing@0,0,12,12")
    regions = Recipe.read("dmix-out/recipe.json").regions
    assert [region.name for region in regions] == ["background", "thing", "thing-2", "nothing", "thing-3"]
    assert [region.z for region in regions] == [0, 1, 2, 3, 4]
    mask = pixels("dmix-out/masks/0000.png")
    assert 4 in mask
    assert 2 not in mask


def test_settings_go_to_the_plugin_that_has_them(compose):
    words = ("--plugin", "lift-mask", "--plugin", "listing", "--set", "lift=2", "--set", "lift-mask.on=false")
    compose(*words, "--set", "label=plain", "--set", "resamples=1", "--set", "listing.indent=4")
    recipe = Recipe.read("dmix-out/recipe.json")
    given = {"lift": 2, "on": False, "label": "plain"}
    assert recipe.merge.model_dump() == {"use": "lift-mask", "settings": {"threshold": 0.5} | given}
    assert recipe.timesteps.settings == {"jump_length": 3, "resamples": 1}
    assert "\n    " in Path("dmix-out/listing/list.json").read_text()


def test_an_exporter_gets_all_samples(compose):
    result = compose("--plugin", "listing", "-n", 3, "--batch-size", 2, "--seed", 5, "--json")
    (path,) = json.loads(result.stdout)["exported"]
    facts = json.loads(Path(path).read_text())
    assert (facts["images"], len(facts["boxes"]), facts["seed"]) == (3, 3, 5)


def test_chosen_exporters_stand_in_the_recipe(compose, dmix):
    compose("--plugin", "listing", "--set", "indent=3", "-o", "a")
    (exporter,) = Recipe.read("a/recipe.json").exporters
    assert exporter.model_dump() == {"use": "listing", "settings": {"indent": 3}}
    assert "exported  b/listing" in dmix("compose", "a/recipe.json", "-o", "b").stdout
    assert Path("a/listing/list.json").read_bytes() == Path("b/listing/list.json").read_bytes()


def test_an_exporter_that_is_called_like_our_folder_has_one_of_its_own(compose, toys, monkeypatch):
    from dmix_core.kinds import key_of
    from dmix_core.registry import Registry

    ask = Registry._ask

    def renamed(self, plugin, name):
        offers = ask(self, plugin, name)
        named = {key.name: key for key in offers}
        return offers | ({key_of("Masks", None): offers[named["listing"]]} if "listing" in named else {})

    monkeypatch.setattr(Registry, "_ask", renamed)
    (path,) = json.loads(compose("--plugin", "Masks", "--json").stdout)["exported"]
    assert path == "dmix-out/Masks-export/list.json"
    assert written("dmix-out/masks") == ["0000.png"]


def test_names_of_regions_are_made_safe_for_files(compose, dmix):
    compose("-o", "a")
    data = json.loads(Path("a/recipe.json").read_text())
    names = ["../up and/away", "ö" * 300]
    data["regions"] = data["regions"][:1] + [
        data["regions"][1] | {"name": name, "z": i} for i, name in enumerate(names, 1)
    ]
    Path("hand.json").write_text(json.dumps(data))
    dmix("compose", "hand.json", "-o", "b")
    assert written("b/amodal") == ["0000-1-.._up_and_away.png", f"0000-2-{'ö' * 40}.png"]


def test_another_schedule(compose, dmix):
    dmix("compose", "--background", "scene", "--object", "thing", "--steps", 20, "--plugin", "descent")
    assert Recipe.read("dmix-out/recipe.json").timesteps.model_dump() == {"use": "descent", "settings": {}}


def test_another_stepper_and_its_settings(compose, dmix):
    compose("--plugin", "hasty", "--set", "share=0.5", "-o", "a")
    assert Recipe.read("a/recipe.json").stepper.model_dump() == {"use": "hasty", "settings": {"share": 0.5}}
    dmix("compose", "a/recipe.json", "--set", "hasty.share=0.25", "-o", "b")
    assert Recipe.read("b/recipe.json").stepper.settings == {"share": 0.25}
    assert (pixels("a/images/0000.png") != pixels("b/images/0000.png")).any()


# ---- settings of models, and wrappers ---------------------------------------------------------------------------


def test_a_regions_model_takes_settings(dmix):
    words = ("--background", "scene", "--object", "shaded@0,0,12,12", "--object", "shaded@12,12,12,12", "--steps", 4)
    words += ("--plugin", "descent")
    dmix("compose", *words, "--set", "shaded.shade=0.6", "--set", "shaded-2.shade=-0.6", "-o", "a")
    regions = Recipe.read("a/recipe.json").regions
    assert [region.settings for region in regions] == [
        {},
        {"shade": 0.6, "hue": "none"},
        {"shade": -0.6, "hue": "none"},
    ]
    image = pixels("a/images/0000.png")
    assert (image[:12, :12] == 204).all()
    assert (image[12:, 12:] == 51).all()
    dmix("compose", "a/recipe.json", "--set", "shaded-2.shade=1", "-o", "b")
    assert [region.settings for region in Recipe.read("b/recipe.json").regions][1:] == [
        {"shade": 0.6, "hue": "none"},
        {"shade": 1, "hue": "none"},
    ]
    assert (pixels("b/images/0000.png")[12:, 12:] == 255).all()


def test_a_key_alone_finds_the_model_that_takes_it(dmix):
    dmix(
        "compose",
        "--background",
        "scene",
        "--object",
        "shaded",
        "--steps",
        4,
        "--plugin",
        "descent",
        "--set",
        "shade=1",
    )
    assert Recipe.read("dmix-out/recipe.json").regions[1].settings == {"shade": 1, "hue": "none"}


def test_a_regions_model_is_wrapped_from_the_inside_out(dmix, photo, tmp_path):
    Image.new("RGB", (12, 12), (255, 0, 0)).save(tmp_path / "red.png")
    words = ("--background", "scene", "--object", "shaded", "--steps", 4, "--plugin", "descent")
    words += ("--wrap", "shaded=towards", "--set", "other=red.png", "--set", "towards.share=0.25")
    dmix("compose", *words, "-o", "a")
    recipe = Recipe.read("a/recipe.json")
    (wrapper,) = recipe.regions[1].wrap
    assert wrapper.model_dump() == {"use": "towards", "settings": {"other": str(tmp_path / "red.png"), "share": 0.25}}
    assert f"model {tmp_path / 'red.png'}" in recipe.made_with
    assert (pixels("a/images/0000.png")[6:18, 6:18] == (159, 96, 96)).all()

    twice = ("--wrap", "shaded=towards", "--wrap", "shaded=towards", "--set", "shaded.towards.other=scene")
    assert "Input should be" not in dmix("compose", "a/recipe.json", "--set", "share=0.5", "-o", "b").stderr
    assert (pixels("b/images/0000.png")[6:18, 6:18] == (191, 64, 64)).all()
    assert [w.settings for w in Recipe.read("b/recipe.json").regions[1].wrap] == [wrapper.settings | {"share": 0.5}]
    error = dmix("compose", "a/recipe.json", *twice[:2], exit_code=2).stderr  # typed wrappers replace the recipe's
    assert "The wrapper 'towards' of dmix-toys 1.2: it needs the setting 'other'." in error


def test_a_wrapper_in_two_regions_is_set_in_both_or_in_one(dmix):
    words = ("--background", "scene", "--object", "shaded@0,0,12,12", "--object", "shaded@12,12,12,12", "--steps", 4)
    words += ("--plugin", "descent", "--wrap", "shaded=towards", "--wrap", "shaded-2=towards")
    dmix("compose", *words, "--set", "other=shaded", "--set", "shaded-2.towards.share=0.75")
    settings = [region.wrap[0].settings for region in Recipe.read("dmix-out/recipe.json").regions[1:]]
    assert settings == [{"share": 0.5, "other": "shaded"}, {"share": 0.75, "other": "shaded"}]


def test_a_region_of_latents_is_as_large_as_its_picture(dmix):
    words = ("--object", "latents", "--steps", 10, "--jump-length", 2)
    dmix("compose", "--background", "scene", *words, "--wrap", "latents=towards", "--set", "other=latents", "-o", "a")
    assert Recipe.read("a/recipe.json").regions[1].box == (6, 6, 12, 12)
    assert (pixels("a/masks/0000.png")[6:18, 6:18] == 1).all()
    assert pixels("a/images/0000.png")[6:18, 6:18].mean() < 90
    error = dmix("compose", "a/recipe.json", "--others", "noisy", exit_code=2).stderr
    assert "those of region 'latents' are no pixels; expected 'clean'" in " ".join(error.split())


def test_what_its_parts_call_grey_is_written_as_grey(dmix):
    words = ("--object", "latents", "--steps", 10, "--jump-length", 2, "--wrap", "background=towards")
    dmix("compose", "--background", "latents", *words, "--set", "other=latents")
    image = Image.open("dmix-out/images/0000.png")
    assert (image.mode, image.size) == ("L", (12, 12))


@pytest.fixture
def defects(tmp_path):
    """A checkpoint of two classes in runs/defects, beneath the working directory."""
    torch.manual_seed(0)
    unet = UNetConfig(
        in_channels=4,
        out_channels=4,
        model_channels=8,
        num_res_blocks=1,
        channel_mult=(1,),
        norm_groups=4,
        num_classes=2,
    )
    names = {"name": "defects", "role": "object", "classes": ("crack", "hole")}
    config = ModelConfig(size=(8, 8), mask_channels=1, network=unet, prediction="x0", **names)
    weights = {key: value + 0.1 * torch.randn_like(value) for key, value in UNet(unet).state_dict().items()}
    card = ModelCard(data="none", command="none", licence="CC0")
    return save(tmp_path / "runs/defects", config, weights, card)


def test_classes_of_one_model_stand_side_by_side(dmix, defects):
    words = ("--background", "scene", "--steps", 4, "--plugin", "descent")
    for crack, hole in [
        ("runs/defects:crack", "checkpoint:runs/defects:hole"),
        (f"{defects}:crack", "runs/defects:hole"),
    ]:
        boxes = "--object", f"{crack}@0,0,8,8", "--object", f"{hole}@8,8,8,8", "--object", crack
        dmix("compose", *words, *boxes, "--listen-from", "crack-2=0.5", "-o", "out")
        recipe = Recipe.read("out/recipe.json")
        assert [region.name for region in recipe.regions] == ["background", "crack", "hole", "crack-2"]
        assert [region.model.removeprefix("checkpoint:") for region in recipe.regions[1:]] == [
            f"{defects}:{name}" for name in ("crack", "hole", "crack")
        ]
        assert recipe.regions[3].box == (8, 8, 8, 8)
        assert (
            recipe.made_with[f"model {recipe.regions[1].model}"] == recipe.made_with[f"model {recipe.regions[2].model}"]
        )


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            "runs/defects",
            "Model 'defects' is class-conditional; expected {}:CLASS with one of its classes: crack, hole.",
        ),
        ("runs/defects:crak", "Model 'defects' knows no class 'crak'. Did you mean 'crack'?"),
        ("tiles:crack", "knows no class 'crack'. It is not class-conditional; leave the label out."),
    ],
)
def test_a_wrong_class_is_wrong_use(dmix, defects, model, message):
    error = dmix("compose", "--background", "scene", "--object", f"{model}@0,0,8,8", exit_code=2).stderr
    assert message.format(defects) in " ".join(error.split())
    assert not Path("dmix-out").exists()


# ---- as a process -----------------------------------------------------------------------------------------------


def process(toys, *words, **more):
    environment = os.environ | {"PYTHONPATH": str(toys)}
    return subprocess.Popen([sys.executable, "-m", "dmix_cli", *words], env=environment, text=True, **more)


def heed_interrupts():
    """A shell that runs the tests in the background lets all that they start ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_interrupting_ends_with_130_and_no_traceback(toys, tmp_path):
    words = ("compose", "--background", "slow", "--object", "thing", "--steps", "1000")
    running = process(toys, *words, cwd=tmp_path, stderr=subprocess.PIPE, preexec_fn=heed_interrupts)
    recipe = tmp_path / "dmix-out/recipe.json"
    deadline = time.monotonic() + 120
    while not recipe.exists() and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 130, errors
    assert "Interrupted." in errors
    assert "Traceback" not in errors


def test_without_arguments_the_bundled_pair_is_composed(toys, tmp_path):
    words = ("compose", "--steps", "12", "--jump-length", "2", "--json")
    running = process(toys, *words, cwd=tmp_path, stdout=subprocess.PIPE)
    facts = json.loads(running.communicate(timeout=300)[0])
    assert running.returncode == 0
    recipe = Recipe.read(tmp_path / facts["recipe"])
    assert [region.model for region in recipe.regions] == ["tiles", "defects:blowhole"]
    image = Image.open(tmp_path / facts["samples"][0]["image"])
    assert image.mode == "L"
    left, top, width, height = recipe.regions[1].box
    assert (2 * left + width, 2 * top + height) == image.size


HELP = """
import sys
from click.testing import CliRunner
from dmix_cli.main import main
def loaded(*words):
    assert CliRunner().invoke(main, [*words, "--help"]).exit_code == 0
    return {"torch", "numpy", "PIL", "dmix_models", "pydantic", "dmix_core"} & sys.modules.keys()
print(*loaded(), *loaded("compose"), *sorted(loaded("train", "object")))
"""


def test_help_is_answered_without_what_is_slow_to_import():
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, timeout=120)
    # dmix_core for commands of plugins, where some are installed; pydantic for what states the options of data sets
    assert done.stdout.split() in (["dmix_core", "pydantic"], [*["dmix_core"] * 3, "pydantic"])
    assert done.stderr == ""


def test_a_backend_of_the_run_stands_in_the_recipe(dmix):
    dmix("compose", "--backend", "torch", "--steps", 12)
    assert Recipe.read("dmix-out/recipe.json").backend.use == "torch"
    assert "No backend 'torhc'. Did you mean 'torch'?" in dmix("compose", "--backend", "torhc", exit_code=2).stderr
    assert "has no network" in dmix("compose", "--background", "scene", "--backend", "compile", exit_code=2).stderr


@pytest.mark.parametrize("seed", range(2))
def test_a_killed_run_that_is_resumed_leaves_what_an_uninterrupted_one_leaves(toys, dmix, tmp_path, seed, tree):
    words = ("compose", "--background", "scene", "--object", "thing", "--steps", "60", "-n", "40", "--batch-size", "2")
    dmix(*words, "-o", "whole")
    running = process(toys, *words, "-q", "-o", tmp_path / "out", cwd=tmp_path)
    lines, wait = tmp_path / "out/samples.jsonl", random.Random(seed)
    while running.poll() is None and not (lines.exists() and lines.stat().st_size > wait.randrange(20_000)):
        time.sleep(0.01)
    running.kill()
    running.wait()
    printed = dmix("compose", "--resume", "-o", tmp_path / "out").stdout
    assert re.search(r"Wrote 40 images(, \d+ of them before,)? to", printed)
    assert tree(tmp_path / "out") == tree(Path("whole"))
    assert "Wrote 40 images, 40 of them before, to" in dmix("compose", "--resume", "-o", tmp_path / "out").stdout


def test_resuming_asks_for_a_run_and_refuses_another_one(dmix):
    error = dmix("compose", "--resume", "-o", "new", exit_code=2).stderr
    assert "There is no recipe.json in 'new' to go on with" in error
    words = ("compose", "--background", "scene", "--object", "thing")
    dmix(*words, "--steps", "10", "-o", "out")
    error = dmix(*words, "--steps", "12", "--resume", "-o", "out", exit_code=1).stderr
    assert "Cannot go on with the run in 'out'" in error
    assert "steps differs" in error


def test_two_runs_in_one_folder_are_refused(dmix, tree):
    words = ("compose", "--background", "scene", "--object", "thing", "--steps", "10", "-o", "out")
    dmix(*words)
    before = tree(Path("out"))
    with FolderLock(Path("out"), "not this"):
        error = dmix(*words, exit_code=1).stderr
    assert "Another process writes to 'out'; expected one at a time. Wait for it, or choose another folder" in error
    assert tree(Path("out")) == before


def test_a_folder_with_an_earlier_run_is_named(dmix):
    words = ("compose", "--background", "scene", "--object", "thing", "--steps", "10", "-n", "2", "-o", "out")
    assert "earlier run" not in dmix(*words).stderr
    assert "out holds 2 samples of an earlier run. Files of the same names are replaced" in dmix(*words).stderr
