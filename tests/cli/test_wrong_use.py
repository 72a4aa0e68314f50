"""What goes wrong, in which words and with which exit code: 2 for wrong use, 1 for failures at work."""

import json
import os
from pathlib import Path

import pytest

WRONG_OPTIONS = {
    "box outside the canvas": (
        ["--object", "thing@20,0,12,12"],
        "box (20, 0, 12, 12) of region 'thing-2' leaves the canvas of 24x24 pixels; expected 0 <= x <= 12",
    ),
    "box left of the canvas": (
        ["--object", "thing@-1,0,12,12"],
        "box (-1, 0, 12, 12) of region 'thing-2' leaves the canvas of 24x24 pixels; expected 0 <= x <= 12",
    ),
    "zero-area box": (["--object", "thing@0,0,0,12"], "has no area; expected x,y,width,height with both sides >= 1"),
    "box of three numbers": (["--object", "thing@1,2,3"], "expected MODEL@x,y,w,h in whole pixels"),
    "box of two signs": (["--object", "thing@--1,0,12,12"], "'thing@--1,0,12,12'; expected MODEL@x,y,w,h in whole"),
    "an @ of a name": (["--object", "thing@2x.png"], "No denoiser 'thing@2x.png': it is neither a known name"),
    "no object": (["--object", ""], "'--object': ''; expected a model's name, a checkpoint folder or a picture"),
    "a box without object": (["--object", "@0,0,12,12"], "'--object': ''; expected a model's name"),
    "no background": (["--background", " "], "'--background': ' '; expected a model's name, a checkpoint folder or"),
    "negative jump": (["--jump-length", -1], "jump_length is -1; expected at least 1"),
    "jump longer than T": (["--steps", 10, "--jump-length", 11], "jump_length is 11, but there are only 10 levels"),
    "resamples below 0": (["--resamples", -1], "resamples is -1; expected 0 (no resampling) or more"),
    "merge-from above 1": (["--merge-from", 1.5], "merge_from: Input should be less than or equal to 1; got 1.5"),
    "merge-from below 0": (["--merge-from", -0.1], "merge_from: Input should be greater than or equal to 0; got -0.1"),
    "listen-from above 1": (
        ["--listen-from", "thing=2"],
        "regions.1.listen_from: Input should be less than or equal to 1; got 2",
    ),
    "listen-from without a number": (
        ["--listen-from", "thing"],
        "'thing'; expected REGION=FRACTION, such as blowhole=0.7",
    ),
    "listen-from without a region": (["--listen-from", "0.7"], "given to a region, as in --listen-from thing=0.7."),
    "listen-from of no region": (["--listen-from", "thin=0.5"], "no region 'thin'. Did you mean 'thing'?"),
    "no steps": (["--steps", 0], "steps: Input should be greater than 0; got 0"),
    "no samples": (["-n", 0], "0 is not in the range x>=1"),
    "batch size 0": (["--batch-size", 0], "batch_size: Input should be greater than 0; got 0"),
    "size without a height": (["--size", "64"], "expected width and height in pixels, such as 128x64"),
    "size 0": (["--size", "0x64"], "'0x64'; expected width and height in pixels, such as 128x64"),
    "percentages beyond 100": (["--strip-at", "0,150"], "'0,150'; expected percentages in 0..100"),
    "unknown plugin": (["--plugin", "hard-masks"], "No plugin 'hard-masks'. Did you mean 'hard-mask'?"),
    "a wrapper as plugin": (["--plugin", "towards"], "it is a wrapper; give it to --wrap as REGION=WRAPPER"),
    "a classifier as plugin": (["--plugin", "likely"], "it is a classifier; give it to the setting of a wrapper"),
    "a wrapper around no region": (["--wrap", "thin=towards"], "--wrap thin=towards: no region 'thin'. Did you mean"),
    "a wrapper without a region": (["--wrap", "towards"], "'towards'; expected REGION=WRAPPER"),
    "an unknown wrapper": (["--wrap", "thing=toward"], "No wrapper 'toward'. Did you mean 'towards'? Known wrappers:"),
    "a merge rule as wrapper": (["--wrap", "thing=hard-mask"], "'hard-mask' is a merge rule, not a wrapper."),
    "a wrapper's setting that is no model": (
        ["--wrap", "thing=towards", "--set", "other=thin"],
        "No denoiser 'thin': it is neither a known name nor an existing file",
    ),
    "an unknown setting of a model": (
        ["--background", "shaded", "--set", "background.shad=1"],
        "The denoiser 'shaded' of dmix-toys 1.2: it has no setting 'shad'. Did you mean 'shade'? Its settings: shade,",
    ),
    "a setting of a model that takes none": (["--set", "thing.shade=1"], "no setting 'shade'. Its settings: none."),
    "a setting of no region": (["--set", "thin.shade=1"], "'thin' is not in use. Did you mean 'thing'? In use:"),
    "a setting of two": (
        ["--object", "shaded", "--object", "shaded", "--set", "shade=1"],
        "--set shade: shaded and shaded-2 have it; write shaded.shade.",
    ),
    "a layout as plugin": (["--plugin", "mvtec"], "it is a layout; data sets are read in it, by --layout mvtec"),
    "a layout where an exporter was meant": (["--plugin", "mvtec"], "an exporter, of which are installed: listing."),
    "a model as plugin": (["--plugin", "thing"], "it is a denoiser; give it to --background or --object"),
    "two merge rules": (["--plugin", "hard-mask", "--plugin", "lift-mask"], "'hard-mask' is a merge rule too"),
    "unknown setting": (["--set", "treshold=0.6"], "nothing in use has such a setting. Did you mean 'threshold'?"),
    "setting of what is not installed": (["--set", "lift-mas.lift=1"], "'lift-mas' is not in use. In use: hard-mask,"),
    "setting of a plugin not in use": (
        ["--set", "lift-mask.lift=1"],
        "--set lift-mask.lift: 'lift-mask' is not in use. To use it add --plugin lift-mask. In use: hard-mask,",
    ),
    "unknown setting of a plugin": (["--set", "hard-mask.lift=1"], "it has no setting 'lift'. Its settings: threshold"),
    "setting of the wrong type": (["--set", "threshold=high"], "threshold is 'high'; Input should be a valid number"),
    "setting out of range": (["--set", "threshold=0"], "threshold is 0.0; expected"),
    "setting without a value": (
        ["--set", "threshold"],
        "'threshold'; expected KEY=VALUE, PLUGIN.KEY=VALUE or REGION.KEY=VALUE, such as threshold=0.6",
    ),
    "jump of a schedule without": (["--plugin", "descent"], "it has no setting 'jump_length'"),
    "unknown model": (["--object", "thin"], "No denoiser 'thin': it is neither a known name nor an existing file"),
    "missing image": (["--background", "nowhere.png"], "'nowhere.png': it is neither a known name nor an existing"),
    "unknown device": (["--device", "tpu9"], "Cannot compute on the device 'tpu9'"),
    "a device that is not here": (["--device", "meta:x"], "Cannot compute on the device 'meta:x'"),
    "a device without numbers": (["--device", "meta"], "Cannot compute on the device 'meta'"),
    "the paper's tau": (["--tau", 10], "No such option '--tau'. The paper's tau is --jump-length."),
    "the paper's r": (["--r=5"], "No such option '--r'. The paper's r is --resamples."),
    "the paper's T": (["-T", 250], "No such option '-T'. The paper's T is --steps."),
    "the paper's tau as a setting": (["--set", "tau=10"], "nothing in use has such a setting. Did you mean 'jump_len"),
    "unknown option": (["--stepz", 3], "No such option"),
}


@pytest.mark.parametrize(("words", "message"), WRONG_OPTIONS.values(), ids=WRONG_OPTIONS)
def test_wrong_use_ends_with_2_and_says_what_to_try(compose, words, message):
    result = compose(*words, exit_code=2)
    assert message in " ".join(result.stderr.split())
    assert result.stdout == ""
    assert not Path("dmix-out").exists()


def test_a_path_with_a_slip_is_answered_with_the_files_beside_it(compose, photo):
    assert "Did you mean 'photo.png'?" in compose("--background", "photo.jpg", exit_code=2).stderr


def test_a_command_with_a_slip(dmix):
    assert "No such command 'composee'. Did you mean 'compose'?" in dmix("composee", exit_code=2).stderr


def test_a_photograph_alone_asks_what_to_put_into_it(dmix, photo):
    error = " ".join(dmix("compose", "--background", photo.name, exit_code=2).stderr.split())
    assert "--background photo.png: a photograph alone would come out as it is. What is to be put into it?" in error
    assert "--object defects:blowhole for the middle, or --object defects:blowhole@X,Y,WIDTH,HEIGHT for a box." in error
    assert "Installed object models: defects:blowhole, defects:break, defects:any, nothing, thing;" in error
    assert not Path("dmix-out").exists()


def test_a_folder_of_photographs_is_answered_with_commands(compose, photo):
    Path("photos").mkdir()
    photo.rename("photos/first.png")
    error = " ".join(compose("--background", "photos", exit_code=2).stderr.split())
    assert f"Name one of them, such as '{Path('photos/first.png').absolute()}'" in error
    assert f"dmix train background {Path('photos').absolute()} -o MODEL" in error


def recipe(**changes):
    regions = [{"name": "background", "model": "scene"}, {"name": "thing", "model": "thing", "z": 1}]
    Path("recipe.json").write_text(json.dumps({"regions": regions, "steps": 20, **changes}))
    return "recipe.json"


WRONG_RECIPES = {
    "unknown key": ({"step": 3}, "unknown key 'step'. Did you mean 'steps'?"),
    "unknown key of a region": ({"regions": [{"name": "a", "model": "scene", "bx": 0}]}, "Did you mean 'box'?"),
    "unknown merge rule": ({"merge": {"use": "hardmask"}}, "No merge rule 'hardmask'. Did you mean 'hard-mask'?"),
    "no samples": ({"samples": []}, "a composition needs at least one sample"),
    "no regions": ({"regions": []}, "a composition needs at least one region"),
    "two regions of one name": ({"regions": [{"name": "a", "model": "scene"}] * 2}, "Region names must differ"),
}


@pytest.mark.parametrize(("changes", "message"), WRONG_RECIPES.values(), ids=WRONG_RECIPES)
def test_a_wrong_recipe_ends_with_2_and_names_the_key(dmix, changes, message):
    assert message in " ".join(dmix("compose", recipe(**changes), exit_code=2).stderr.split())


def test_a_recipe_that_is_no_json(dmix):
    Path("recipe.json").write_text("steps: 3")
    assert "Cannot understand 'recipe.json'" in dmix("compose", "recipe.json", exit_code=2).stderr


def test_a_recipe_that_is_not_there(dmix):
    assert "'recipe.json' does not exist" in dmix("compose", "recipe.json", exit_code=2).stderr


# ---- failures at work -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"no picture", None], ids=["empty", "text", "truncated"])
def test_an_unreadable_image_ends_with_1(compose, photo, content):
    photo.write_bytes(photo.read_bytes()[:500] if content is None else content)
    result = compose("--background", photo, exit_code=1)
    assert f"Cannot read '{photo}' as a picture" in result.stderr


def test_nan_ends_with_1_and_names_region_and_level(compose):
    result = compose("--background", "nan", exit_code=1)
    assert "The denoiser of region 'background' returned NaN or infinity at level 20" in result.stderr


def test_a_checkpoint_folder_that_is_none_ends_with_1(compose):
    Path("empty").mkdir()
    assert "config.json" in compose("--object", "empty", exit_code=1).stderr


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_folder_that_cannot_be_written_ends_with_1_before_the_first_step(dmix, name):
    Path("file").write_text("in the way")
    # the denoiser fails at its first step, with another message
    result = dmix("compose", "--background", "nan", "--object", "thing", "-o", name, exit_code=1)
    assert f"Cannot write to the output folder '{name}" in result.stderr


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_ends_with_1(compose):
    Path("shut").mkdir(mode=0o500)
    assert "Cannot write to the output folder" in compose("-o", "shut/out", exit_code=1).stderr


def test_an_error_of_the_program_is_not_hidden(compose, monkeypatch):
    monkeypatch.setattr("dmix_core.strip.DenoisingStrip", None)
    with pytest.raises(TypeError):
        compose(exit_code=1)
