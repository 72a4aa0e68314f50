"""Options of data: bounds and defaults, stated once, and no torch for formats."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from dmix_data import CutoutOptions, DataError, DataOptions


@pytest.mark.parametrize("field", ["every", "scale", "min_area", "merge_distance"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), 10**12])
def test_numbers_out_of_bounds_are_refused(field, value):
    with pytest.raises(ValidationError, match=field):
        DataOptions(**{field: value})


@pytest.mark.parametrize(
    "given", [{"context": (1, float("inf"))}, {"max_padding": float("nan")}, {"size": (10**6, 32)}, {"seed": 2**63}]
)
def test_cutouts_have_bounds_too(given):
    with pytest.raises(ValidationError):
        CutoutOptions(**given)


@pytest.mark.parametrize("rule", ["above:3", "threshold:65536", f"index:{'9' * 5000}", "index:{70000: car}"])
def test_a_rule_that_is_none_is_refused(rule):
    with pytest.raises(DataError, match="Unknown mask rule"):
        DataOptions(mask_rule=rule)


def test_skipping_errors_skips_what_is_small_or_empty_too():
    assert DataOptions(on_error="skip").leaves_out_small
    assert DataOptions(on_error="skip").leaves_out_empty
    assert not DataOptions().leaves_out_small


WITHOUT_TORCH = """
import sys
import dmix_data.augment, dmix_data.components, dmix_data.manifest, dmix_data.memory, dmix_data.readers
from dmix_data.layouts import coco, mvtec, visa
mvtec.MVTec().detect(__import__("pathlib").Path("."))
assert "torch" not in sys.modules
"""


def test_formats_need_no_torch():
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
