"""What a composer's user may not have meant is known before any network is called."""

import time
from dataclasses import dataclass

import pytest
import torch

import dmix_core.notices
from dmix_core import Box, BoxRegion, Composer, HardMask, StillImage, blend
from dmix_core.backends import Compiled
from dmix_core.errors import CompositionError
from dmix_core.notices import notices
from dmix_core.pace import Seconds, seconds_of_calls
from dmix_core.testing import ConstantDenoiser


class NeverCalled(ConstantDenoiser):
    def __call__(self, x_t, t):
        raise AssertionError("a notice needs no network")


def scene(size=(16, 16), channels=3):
    return NeverCalled(torch.zeros(channels, *size))


def thing(size=(8, 8)):
    return NeverCalled(torch.zeros(4, *size), mask_channels=1)


@dataclass(frozen=True)
class Mean:
    """All regions alike."""

    def __call__(self, layers, progress):
        return blend(layers, torch.stack([layer.matte for layer in layers]) / len(layers))


def of(*regions, **settings):
    return notices(Composer(regions, **settings))


def test_regions_at_their_own_scale_need_no_notice():
    assert of(BoxRegion(scene()), BoxRegion(thing(), Box(2, 2, 8, 8), "thing", 1)) == []
    assert of(BoxRegion(scene()), BoxRegion(thing(), Box(2, 2, 4, 6), "thing", 1)) == []  # smaller loses nothing


@pytest.mark.parametrize(
    ("box", "factors", "settings"),
    [
        (Box(0, 0, 48, 16), "3 times in width", "`settings` panorama.width=48"),
        (Box(0, 0, 16, 24), "1.5 times in height", "`settings` panorama.height=24"),
        (Box(0, 0, 32, 32), "2 times", "`settings` panorama.height=32 `settings` panorama.width=32"),
        (Box(0, 0, 48, 32), "3 times in width and 2 times in height", "`settings` panorama.height=32"),
    ],
)
def test_a_stretched_background_states_by_how_much_and_offers_a_panorama(box, factors, settings):
    (notice,) = of(BoxRegion(scene(), box), size=box.size)
    assert f"'background' paints 16x16 pixels and is stretched over {box.width}x{box.height}: {factors}," in notice
    assert f"`wraps` background=panorama {settings}" in notice


def test_no_panorama_is_offered_that_would_be_smaller_than_its_windows():
    (notice,) = of(BoxRegion(scene(), Box(0, 0, 32, 8)), size=(8, 32))
    assert "2 times in width" in notice
    assert "panorama" not in notice


@pytest.mark.parametrize("box", [Box(0, 0, 32, 32), Box(0, 0, 8, 8)])
def test_a_resized_photograph_loses_its_pixels(box):
    photo = StillImage(torch.zeros(3, 16, 16))
    objects = BoxRegion(thing((4, 4)), Box(0, 0, 4, 4), "thing", 1)
    (notice,) = of(BoxRegion(photo, box), objects, size=box.size)
    assert f"of 16x16 pixels is resized to {box.width}x{box.height}. Without `size`" in notice


def test_an_enlarged_object_states_by_how_much():
    (notice,) = of(BoxRegion(scene()), BoxRegion(thing(), Box(1, 2, 12, 8), "thing", 1))
    assert "'thing' paints 8x8 pixels and is enlarged to its box of 12x8: 1.5 times in width" in notice
    assert "such as 1,2,8,8." in notice


def test_a_rule_that_gives_objects_no_pixel_leaves_their_masks_empty():
    regions = [BoxRegion(scene()), BoxRegion(thing(), Box(2, 2, 8, 8), "thing", 1)]
    (notice,) = of(*regions, merge=Mean())
    assert "The masks of 'thing' will be empty: by the merge rule Mean" in notice
    assert of(*regions, merge=HardMask()) == []


def test_regions_without_masks_may_share_all_pixels():
    assert of(BoxRegion(scene()), BoxRegion(scene((8, 8)), Box(0, 0, 8, 8), "other", 1), merge=Mean()) == []


def test_an_object_of_the_same_model_that_was_not_named_does_not_listen_early():
    model = thing()
    places = [Box(0, 0, 8, 8), Box(8, 0, 8, 8)]
    first, second = (BoxRegion(model, box, name, 1, 0.5) for name, box in zip(("a", "a-2"), places, strict=True))
    unnamed = BoxRegion(model, places[1], "a-2", 1)
    assert of(BoxRegion(scene()), first, second) == []
    (notice,) = of(BoxRegion(scene()), first, unnamed)
    assert "'a' takes in the others from 0.5 on, but 'a-2', of the same model, from 0.9 on" in notice
    assert "`listen_from` a-2=0.5" in notice


def coarse(model):
    object.__setattr__(model, "dtype", torch.bfloat16)
    return model


def test_bfloat16_on_a_processor_without_it_is_slow(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert of(BoxRegion(scene())) == []
    (notice,) = of(BoxRegion(coarse(scene())))
    assert "This processor (AVX2)" in notice


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(Seconds(0.009, 0.015), True), (Seconds(0.009, 0.0095), False), (Seconds(0.009, 0.004), False), (None, False)],
)
def test_bfloat16_that_is_slower_all_the_same_is_told_with_its_pace(monkeypatch, seconds, told):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(dmix_core.notices, "seconds_of_calls", lambda denoisers, samples: seconds)
    photograph = BoxRegion(StillImage(torch.zeros(3, 16, 16)))
    found = of(photograph, BoxRegion(coarse(thing()), Box(2, 2, 8, 8), "thing", 1))
    assert ["bfloat16 is 0.6 times as fast as float32" in each for each in found] == [True] * told
    assert not told or "(15 ms a step, and 9). Leave `dtype` out." in found[0]


class InTurns(ConstantDenoiser):
    """Takes a hundredth of a second in bfloat16, and notes in what it was called."""

    def to(self, device=None, dtype=None):
        object.__setattr__(self, "dtype", dtype)

    def __call__(self, x_t, t):
        self.called.append((len(x_t), self.dtype))
        time.sleep(0.01 * (self.dtype is torch.bfloat16))
        return super().__call__(x_t, t)


def test_the_pace_is_measured_in_turns_and_leaves_models_as_they_were():
    model = coarse(InTurns(torch.zeros(3, 8, 8)))
    object.__setattr__(model, "called", [])
    seconds = seconds_of_calls([model, model], samples=2)
    assert seconds.float32 < 0.01 <= seconds.bfloat16
    assert model.dtype is torch.bfloat16
    assert model.called[:4] == [(2, torch.float32)] * 2 + [(2, torch.bfloat16)] * 2


def test_the_pace_of_other_backends_is_not_measured():
    model = coarse(scene())
    object.__setattr__(model, "backend", Compiled())
    assert seconds_of_calls([model]) is None


def test_a_rule_that_returns_something_else_is_named():
    class Wrong(HardMask):
        def __call__(self, layers, progress):
            return layers

    with pytest.raises(CompositionError, match=r"merge rule .*Wrong.* returned"):
        of(BoxRegion(scene()), BoxRegion(thing(), Box(2, 2, 8, 8), "thing", 1), merge=Wrong())
