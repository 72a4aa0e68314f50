"""Types of arrays."""

import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]
"""Height and width in pixels."""

Pixels = NDArray[np.uint8]
"""Of a picture (H, W, channels) or a mask (H, W), 0..255."""

Values = NDArray[np.int64]
"""Of a mask file (H, W), as they are stored."""
