"""Whether the levels of a finished zoom, as 8-bit pictures, show the same."""

from itertools import pairwise

import numpy as np


def assert_levels_nest(levels):
    """(N, 128, 128, 3) in 0..1, p = 2: all bands agree but the finest, of which each level has its own.

    Where a level is cut at black or white, its mean over some pixels is not that of what was painted.
    """
    for outer, inner in pairwise(levels):
        middle = outer[32:96, 32:96]
        whole = shrunk(cut(middle)) + shrunk(shrunk(cut(inner))) == 0
        assert whole.mean() > 0.9
        np.testing.assert_allclose(shrunk(middle)[whole], shrunk(shrunk(inner))[whole], atol=1.5 / 255)


def cut(image):
    """1 where a picture in 0..1 is as dark or as bright as can be, else 0."""
    return ((image <= 0) | (image >= 1)).astype(float)


def shrunk(image):
    """(H, W, C) to half its size."""
    height, width, channels = image.shape
    return image.reshape(height // 2, 2, width // 2, 2, channels).mean((1, 3))
