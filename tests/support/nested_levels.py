"""Whether the levels of a finished zoom, as 8-bit pictures, show the same."""

from itertools import pairwise

import numpy as np


def assert_levels_nest(levels):
    """(N, 128, 128, 3) in 0..1, p = 2: all bands agree but the finest, of which each level has its own."""
    for outer, inner in pairwise(levels):
        np.testing.assert_allclose(shrunk(outer[32:96, 32:96]), shrunk(shrunk(inner)), atol=1.5 / 255)


def shrunk(image):
    """(H, W, C) to half its size."""
    height, width, channels = image.shape
    return image.reshape(height // 2, 2, width // 2, 2, channels).mean((1, 3))
