"""Data sets for dmix: the layouts in which they lie on disk, pictures and masks, crops to learn from.

Options, layouts, masks and readers work without torch. Modules that cut boxes or give tensors import it: `objects`,
`datasets`, `cutouts`, `inspection`, `sheet` and `batches`.
"""

from .exceptions import DataError
from .options import CutoutOptions, DataOptions

__all__ = ["CutoutOptions", "DataError", "DataOptions"]
