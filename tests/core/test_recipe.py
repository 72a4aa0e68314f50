"""Recipes: text and back, every mistake named by its key, and the same picture bit for bit."""

import hashlib
import json
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dmix_core import Ancestral, BoxRegion, Composer, Denoiser, Exchange, HardMask, Prediction, Spec, TailResampling
from dmix_core.errors import CompositionError, DeviceError, DmixError, GeometryError, PluginError, RecipeError
from dmix_core.hookspecs import hookimpl
from dmix_core.images import read_image, to_uint8, write_png
from dmix_core.limits import HIGHEST_SEED, LARGEST_BATCH, LONGEST_SIDE, MOST_SAMPLES, MOST_STEPS
from dmix_core.recipe import Choice, Recipe, RegionRecipe, changes, made_with
from dmix_core.registry import Registry
from dmix_core.testing import ConstantDenoiser, GaussianDenoiser

REGIONS = [
    {"name": "below", "model": "scene"},
    {"name": "above", "model": "thing", "box": [2, 1, 6, 5], "z": 1, "listen_from": 0.5},
]
RECIPE = {"regions": REGIONS, "steps": 20, "timesteps": {"use": "tail-resampling", "settings": {"jump_length": 4}}}


@dataclass(frozen=True)
class Calm(Ancestral):
    """The ancestral step with less noise."""

    share: float = 0.5

    def step(self, noise, x_t, prediction, z, t, s, state):
        return super().step(noise, x_t, prediction, self.share * z, t, s, state)


class Bright:
    """A denoiser whose pictures are brighter."""

    def __init__(self, denoiser: Denoiser, more: float = 0.1, twice: bool = False):
        self.denoiser, self.more = denoiser, more * (1 + twice)
        self.spec, self.noise = denoiser.spec, denoiser.noise

    def __call__(self, x_t, t):
        return Prediction(self.denoiser(x_t, t).clean + self.more)


class Plugin:
    """Closed-form denoisers: a scene, and a thing with a mask."""

    made: list = []  # noqa: RUF012

    @staticmethod
    def scene(argument: str | None = None, *, device: str = "cpu", dtype: str = "float32", mean: float = 0.2):
        Plugin.made.append((argument, device, dtype))
        return GaussianDenoiser(Spec((8, 9), 3), mean, 0.6)

    @staticmethod
    def thing(argument: str | None = None, *, device: str = "cpu", dtype: str = "float32"):
        return GaussianDenoiser(Spec((4, 4), 3, 1), -0.1, 0.7)

    @staticmethod
    @hookimpl
    def dmix_denoisers():
        return {"scene": Plugin.scene, "thing": Plugin.thing}

    @staticmethod
    @hookimpl
    def dmix_wrappers():
        return {"bright": Bright}

    @staticmethod
    @hookimpl
    def dmix_steppers():
        return {"calm": Calm}


@pytest.fixture(scope="module")
def registry():
    registry = Registry.load()
    registry.register(Plugin, "closed-forms")
    return registry


@pytest.fixture
def recipe():
    return Recipe.from_data(RECIPE)


# ---- text and back --------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
fractions = st.floats(0, 1)
choices = st.builds(Choice, use=st.text(), settings=st.dictionaries(st.text(), json_values, max_size=3))
region_recipes = st.builds(
    RegionRecipe,
    name=st.text(),
    model=st.text(),
    settings=st.dictionaries(st.text(), json_values, max_size=3),
    wrap=st.lists(choices, max_size=2),
    box=st.none() | st.tuples(*[st.integers()] * 4),
    z=st.integers(),
    listen_from=st.none() | fractions,
)
recipes = st.builds(
    Recipe,
    regions=st.lists(region_recipes, min_size=1, max_size=3),
    size=st.none() | st.tuples(*[st.integers(1, 10_000)] * 2),
    steps=st.integers(1, MOST_STEPS),
    timesteps=choices,
    stepper=choices,
    merge=choices,
    merge_from=fractions,
    others=st.sampled_from(["clean", "noisy"]),
    seams=st.sampled_from(["keep-variance", "literal"]),
    seed=st.integers(-HIGHEST_SEED - 1, HIGHEST_SEED),
    samples=st.lists(st.integers(0, HIGHEST_SEED), min_size=1, max_size=4, unique=True),
    batch_size=st.integers(1, LARGEST_BATCH),
    draws=st.dictionaries(st.integers(0, HIGHEST_SEED), st.integers(0, HIGHEST_SEED), max_size=2),
    dropped=st.tuples() | st.tuples(st.integers(0, HIGHEST_SEED)),
    made_with=st.dictionaries(st.text(), st.text(), max_size=2),
)


@given(recipes)
def test_text_and_back_is_equal(recipe):
    assert Recipe.from_text(recipe.text()) == recipe


def test_a_file_and_back_is_equal(recipe, tmp_path):
    assert Recipe.read(recipe.write(tmp_path / "recipe.json")) == recipe
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.json"]


def test_every_default_is_written_out_but_that_nothing_was_drawn_again_or_left_out(recipe):
    written = json.loads(Recipe.from_data({"regions": REGIONS}).text())
    assert written.keys() == Recipe.model_fields.keys() - {"draws", "dropped"}
    assert written["timesteps"]["settings"] == vars(TailResampling())
    assert written["merge"]["settings"] == vars(HardMask())


def test_the_defaults_are_the_composers(registry):
    composer = Recipe.from_data({"regions": REGIONS}).composer(registry)
    plain = Composer(composer.regions)
    for name in ("T", "size", "walk", "stepper", "merge", "merge_from", "exchange", "device"):
        assert getattr(composer, name) == getattr(plain, name)


# ---- the picture ----------------------------------------------------------------------------------------------


def test_a_recipe_makes_the_same_picture_as_the_composer_built_by_hand(registry, recipe, tmp_path):
    by_hand = Composer(
        [
            BoxRegion(GaussianDenoiser(Spec((8, 9), 3), 0.2, 0.6), name="below"),
            BoxRegion(GaussianDenoiser(Spec((4, 4), 3, 1), -0.1, 0.7), (2, 1, 6, 5), "above", 1, 0.5),
        ],
        steps=20,
        timesteps=TailResampling(4),
    )
    again = Recipe.read(recipe.write(tmp_path / "recipe.json")).composer(registry)
    ours, theirs = again.compose([3, 5], seed=11), by_hand.compose([3, 5], seed=11)
    assert torch.equal(ours.image, theirs.image)
    assert torch.equal(ours.index, theirs.index)
    assert ours.regions[1].boxes == theirs.regions[1].boxes


def test_every_field_reaches_the_composer(registry):
    data = RECIPE | {"size": [7, 8], "merge": {"use": "hard-mask", "settings": {"threshold": 0.25}}}
    data |= {"merge_from": 0.4, "others": "noisy", "seams": "literal"}
    data["regions"] = [{"name": "wide", "model": "scene", "box": [0, 0, 8, 7]}, REGIONS[1]]
    composer = Recipe.from_data(data).composer(registry)
    assert (composer.size, composer.T, composer.merge_from) == ((7, 8), 20, 0.4)
    assert (composer.exchange, composer.merge) == (Exchange("noisy", "literal"), HardMask(0.25))
    assert [region.listen_from for region in composer.regions] == [None, 0.5]


def test_a_stepper_by_name_reaches_the_composer(registry):
    composer = Recipe.from_data(RECIPE | {"stepper": {"use": "calm", "settings": {"share": 0.25}}}).composer(registry)
    assert composer.stepper == Calm(0.25)


def test_a_recipe_from_before_there_were_steppers_is_ancestral(registry, recipe):
    data = json.loads(recipe.text())
    del data["stepper"]
    assert Recipe.from_data(data) == recipe
    assert Recipe.from_data(data).composer(registry).stepper == Ancestral()


def test_regions_of_one_model_share_its_denoiser(registry):
    Plugin.made.clear()
    regions = [{"name": str(z), "model": "scene:x", "z": z} for z in range(3)]
    composer = Recipe.from_data(RECIPE | {"regions": regions, "dtype": "bfloat16"}).composer(registry)
    assert len({id(region.denoiser) for region in composer.regions}) == 1
    assert Plugin.made == [("x", "cpu", "bfloat16")]


def test_regions_share_a_denoiser_where_model_settings_and_wrappers_are_equal(registry):
    bright, dim = {"use": "bright", "settings": {"more": 0.25, "twice": True}}, {"use": "bright"}
    turned = {"use": "bright", "settings": {"twice": True, "more": 0.25}}
    parts = [{}, {"settings": {"mean": 0.5}}, {"wrap": [bright]}, {"wrap": [turned]}, {"wrap": [bright, dim]}, {}]
    regions = [{"name": str(z), "model": "scene", "z": z} | part for z, part in enumerate(parts)]
    made = [r.denoiser for r in Recipe.from_data(RECIPE | {"regions": regions}).composer(registry).regions]
    assert made[0] is made[5]
    assert made[2] is made[3]
    assert len({*map(id, made)}) == 4
    assert (made[1].mean, made[0].mean) == (0.5, 0.2)
    assert (made[2].denoiser, made[2].more, made[4].denoiser) == (made[0], 0.5, made[2])


def test_a_wrapper_changes_what_its_region_paints(registry):
    regions = [{"name": "below", "model": "scene", "wrap": [{"use": "bright", "settings": {"more": 0.5}}]}]
    bright = Recipe.from_data(RECIPE | {"regions": regions}).composer(registry)
    plain = Recipe.from_data(RECIPE | {"regions": REGIONS[:1]}).composer(registry)
    assert bright.compose().image.mean() > plain.compose().image.mean() + 0.2


def test_a_recipe_from_before_there_were_settings_of_models_and_wrappers(recipe):
    data = json.loads(recipe.text())
    for region in data["regions"]:
        del region["settings"], region["wrap"]
    assert Recipe.from_data(data) == recipe


def test_a_photograph_comes_back_bit_identical(tmp_path):
    """A recipe over a picture: outside of the object every pixel is the file's."""

    class Objects:
        @staticmethod
        @hookimpl
        def dmix_denoisers():
            disk = torch.full((4, 4, 4), -1.0)
            disk[3, 1:3, 1:3] = 1
            return {"disk": lambda argument=None, *, device="cpu", dtype="float32": ConstantDenoiser(disk, 1)}

    registry = Registry.load()
    registry.register(Objects, "objects")
    pixels = torch.randint(0, 256, (3, 8, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    photo = write_png(tmp_path / "photo.png", pixels)
    regions = [
        {"name": "photo", "model": str(photo)},
        {"name": "disk", "model": "disk", "box": [3, 2, 4, 4], "z": 1},
    ]
    composition = Recipe.from_data(RECIPE | {"regions": regions}).composer(registry).compose()
    saved = to_uint8(read_image(write_png(tmp_path / "out.png", composition.image[0])))
    outside = composition.index[0] == 0
    assert int(outside.sum()) == 8 * 9 - 4
    assert torch.equal(saved[:, outside], pixels[:, outside])
    assert not torch.equal(saved[:, ~outside], pixels[:, ~outside])


@pytest.mark.parametrize(
    ("samples", "batches"), [([4], [(4,)]), (range(5), [(0, 1), (2, 3), (4,)]), ([9, 2], [(9, 2)])]
)
def test_batches_hold_every_sample_in_order(samples, batches):
    assert Recipe.from_data(RECIPE | {"samples": list(samples), "batch_size": 2}).batches() == batches


def test_made_with_names_versions(registry):
    versions = made_with(registry)
    assert {"python", "torch", "numpy", "dmix-core", "dmix-models"} <= versions.keys()
    assert Recipe.from_data(RECIPE | {"made_with": versions}).made_with == versions


def test_made_with_holds_the_checksums_of_photographs_and_weights(registry, tmp_path):
    photo = write_png(tmp_path / "photo.png", torch.zeros(3, 2, 2))
    trained = SimpleNamespace(sha256="0123456789abcdef" * 4)
    models = {f"photo:{photo}": registry.denoiser(str(photo)), "thing": trained, "scene": registry.denoiser("scene")}
    versions = made_with(registry, models)
    assert versions["model thing"] == "0123456789abcdef"
    assert versions[f"model photo:{photo}"] == hashlib.sha256(photo.read_bytes()).hexdigest()[:16]
    assert versions.keys() - made_with(registry).keys() == {"model thing", f"model photo:{photo}"}


def test_changes_are_told_of_what_both_name():
    then, now = {"torch": "2.4", "gone": "1", "same": "3"}, {"torch": "2.13", "same": "3", "new": "5"}
    assert changes(then, now) == ["torch was 2.4, is 2.13"]
    assert changes(now, now) == []


# ---- mistakes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stepz": 3}, r"unknown key 'stepz'\. Did you mean 'steps'\?"),
        ({"xyzzy": 3}, r"unknown key 'xyzzy'\.$"),
        ({"merge": {"use": "a", "setings": {}}}, r"unknown key 'merge\.setings'\. Did you mean 'settings'\?"),
        ({"stepper": {"us": "a"}}, r"unknown key 'stepper\.us'\. Did you mean 'use'\?"),
        ({"regions": [{"name": "a", "model": "b", "bx": 1}]}, r"unknown key 'regions\.0\.bx'\. .*'box'\?"),
        ({"regions": [{"name": "a", "model": "b", "wrap": [{"us": "c"}]}]}, r"key 'regions\.0\.wrap\.0\.us'.*'use'\?"),
        ({"regions": [{"model": "b"}]}, r"the key 'regions\.0\.name' is missing"),
        ({"regions": []}, "regions: .*at least one region; got "),
        ({"samples": []}, "samples: .*at least one sample; got "),
        ({"regions": [{"name": "a", "model": "b", "box": [1, 2, 3]}]}, r"'regions\.0\.box\.3' is missing"),
        ({"version": 2}, "version: Input should be 1; got 2"),
        ({"steps": 0}, "steps: .*greater than 0; got 0"),
        ({"steps": "many"}, "steps: .*valid integer.*; got 'many'"),
        ({"merge_from": 1.5}, "merge_from: .*less than or equal to 1; got 1.5"),
        ({"merge_from": -0.1}, "merge_from: .*greater than or equal to 0; got -0.1"),
        ({"others": "nosy"}, "others: .*'clean' or 'noisy'; got 'nosy'"),
        ({"samples": [0, -1]}, r"samples\.1: .*greater than or equal to 0; got -1"),
        ({"merge": {"use": "a", "settings": {"b": float("nan")}}}, r"merge\.settings\.b: .*not JSON compliant"),
        ({"merge": {"use": "a", "settings": {"b": HardMask}}}, r"merge\.settings\.b: .*JSON"),
    ],
)
def test_a_mistake_is_named_by_its_key(change, message):
    with pytest.raises(RecipeError, match=rf"(?s)Cannot understand the thing:.*{message}"):
        Recipe.from_data(RECIPE | change, "the thing")


def test_every_mistake_is_named_at_once():
    with pytest.raises(RecipeError) as caught:
        Recipe.from_data({"regions": [{"nam": "a"}], "seed": "x"})
    assert len(str(caught.value).splitlines()) == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Invalid JSON: EOF"),
        ('{"regions": [', "Invalid JSON: EOF .* line 1"),
        ("[]", "should be an object"),
        ("{}", "'regions' is missing"),
        ('{"regions": [{"name": "a", "model": "b"}], "seed": NaN}', "seed: .*; got nan"),
    ],
)
def test_a_file_that_is_no_recipe_is_named(tmp_path, text, message):
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(RecipeError, match=rf"(?s)Cannot understand '.*mine\.json'.*{message}"):
        Recipe.read(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(RecipeError, match=r"Cannot read the recipe '.*absent\.json'"):
        Recipe.read(tmp_path / "absent.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match=r"Cannot read the recipe '.*binary\.json'"):
        Recipe.read(tmp_path / "binary.json")


def test_a_file_that_cannot_be_written_is_named(recipe, tmp_path):
    with pytest.raises(DmixError, match=r"Cannot write '.*recipe\.json'"):
        recipe.write(tmp_path / "absent" / "recipe.json")


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"merge": {"use": "hard-musk"}}, PluginError, "Did you mean 'hard-mask'"),
        ({"merge": {"use": "hard-mask", "settings": {"a": 1}}}, PluginError, "no setting 'a'"),
        ({"timesteps": {"use": "hard-mask"}}, PluginError, "is a merge rule, not a timestep schedule"),
        ({"stepper": {"use": "descent"}}, PluginError, "is a timestep schedule, not a stepper"),
        ({"regions": [{"name": "a", "model": "nowhere"}]}, PluginError, "No denoiser 'nowhere'"),
        ({"regions": [{"name": "a", "model": "scene", "settings": {"sd": 1}}]}, PluginError, "settings: mean"),
        ({"regions": [{"name": "a", "model": "scene", "wrap": [{"use": "brigt"}]}]}, PluginError, "mean 'bright'"),
        ({"regions": [REGIONS[0], REGIONS[1] | {"box": [8, 8, 4, 4]}]}, GeometryError, "leaves the canvas"),
        ({"regions": [REGIONS[0], REGIONS[0]]}, CompositionError, "names must differ"),
        ({"regions": [{"name": "background", "model": "scene"}] * 2}, CompositionError, "names must differ"),
        ({"device": "tpu9"}, DeviceError, "Cannot compute on the device 'tpu9'.*Try 'cpu'"),
        ({"device": "meta"}, DeviceError, "Cannot compute on the device 'meta'.*Try 'cpu'"),
        ({"device": "cuda:99"}, DeviceError, "Cannot compute on the device 'cuda:99'"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_step(registry, change, kind, message):
    with pytest.raises(kind, match=message) as caught:
        Recipe.from_data(RECIPE | change).composer(registry)
    assert isinstance(caught.value, DmixError)


def test_a_recipe_cannot_be_changed_by_accident(recipe):
    with pytest.raises(ValueError, match="frozen"):
        recipe.steps = 3
    assert recipe.model_copy(update={"steps": 3}).steps == 3


# ---- limits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": MOST_STEPS + 1}, f"steps: .*equal to {MOST_STEPS}; got"),
        ({"batch_size": LARGEST_BATCH + 1}, f"batch_size: .*equal to {LARGEST_BATCH}; got"),
        ({"seed": HIGHEST_SEED + 1}, f"seed: .*equal to {HIGHEST_SEED}; got"),
        ({"size": [1, LONGEST_SIDE + 1]}, f"size.1: .*equal to {LONGEST_SIDE}; got"),
        ({"size": [20_000, 20_000]}, "size: .*at most 100000000 pixels in all"),
        ({"samples": range(MOST_SAMPLES + 1)}, f"samples: .*at most {MOST_SAMPLES} sample numbers"),
        ({"samples": [3, 1, 3]}, "samples: .*sample numbers must differ"),
    ],
)
def test_what_is_beyond_a_limit_is_refused_with_the_limit(change, message):
    with pytest.raises(RecipeError, match=message):
        Recipe.from_data(RECIPE | change)


def test_a_different_number_of_threads_is_named(registry):
    now = made_with(registry)
    assert now["threads"] == str(torch.get_num_threads())
    assert changes(now | {"threads": "64"}, now) == [f"threads was 64, is {now['threads']}"]
