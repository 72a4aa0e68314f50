"""For plugin authors: what a layout and a format promise.

    from dmix_data.testing import check_format, check_layout

    def test_it_is_a_layout(tmp_path):
        lay_out_a_small_data_set(tmp_path)
        check_layout(MyLayout(), tmp_path)

    def test_it_is_a_format():
        check_format(MyFormat())

It needs hypothesis: `pip install "dmix-core[testing]"`.
"""

from dmix_core.testing import BrokenPromise

from .format_checks import check_format
from .layout_checks import check_layout
from .toy_sets import write_set

__all__ = ["BrokenPromise", "check_format", "check_layout", "write_set"]
