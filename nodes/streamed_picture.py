"""A picture that is never there as a whole: it comes as rows from top to bottom, and leaves in 8 bits."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from ..core.canvas.windows import Size, canvas_size

NUMBERS = 2**19  # of a picture, that are worked on at once: some megabytes, whatever is computed with them
PREVIEW = 1024  # longest side, in pixels, about


class StreamedPicture:
    """Rows of 8 bits, once, from top to bottom, and a small copy of the picture afterwards.

    Args:
        size: in pixels.
        bands: (..., 3, rows, width) in 0..1, one picture. What lies outside is cut, and the rest rounded down to 8
            bits, as the host's Save Image does.
    """

    def __init__(self, size: Size, bands: Iterable[Tensor]):
        self.size = size
        self._bands = bands
        # Whole squares of pixels become one of the small copy.
        self._square = min(-(-max(size) // PREVIEW), *size)
        self._small: list[np.ndarray] = []

    @classmethod
    def of(cls, picture: Tensor) -> "StreamedPicture":
        """One (3, H, W) that is small enough to be there."""
        return cls(canvas_size(picture), [picture])

    def __iter__(self) -> Iterator[np.ndarray]:
        """Arrays (rows, width, 3), uint8.

        Raises:
            ValueError: other channels than red, green and blue, or several pictures.
        """
        rest = np.empty((0, self.size.width, 3), np.uint8)
        for band in self._bands:
            if band.shape[-3] != 3 or band.numel() != 3 * band.shape[-2] * self.size.width:
                raise ValueError(
                    f"samples, images: what is saved must be single pictures of 3 channels, red, green and blue, but "
                    f"this one comes in the shape {tuple(band.shape)}; for transparency use Save Image, and for a film "
                    "Save Video."
                )
            for rows in band.reshape(band.shape[-3:]).split(rows_at_once(self.size.width), 1):
                pixels = (255 * rows).clamp_(0, 255).to(torch.uint8).movedim(0, -1).contiguous().cpu().numpy()
                yield pixels
                rest = self._shrunk(np.concatenate([rest, pixels]))
            del band, rows  # before the next one is made

    def _shrunk(self, rows: np.ndarray) -> np.ndarray:
        """Adds the rows that make whole squares to the small copy, and returns the others."""
        side, whole = self._square, len(rows) // self._square * self._square
        across = self.size.width // side
        squares = rows[:whole, : across * side].reshape(whole // side, side, across, side, 3)
        self._small.append(squares.mean((1, 3), dtype=np.float32))
        return rows[whole:].copy()

    def require_sides_up_to(self, longest: int, format: str) -> None:
        """Refuse a picture that the format has no room for, before anything is made of it."""
        if max(self.size) > longest:
            raise ValueError(
                f"format: {format} allows sides of up to {longest} pixels, got {self.size.width} x {self.size.height}; "
                "make it smaller."
            )

    @property
    def preview(self) -> Tensor:
        """The small copy (3, h, w) in 0..1, once all rows have passed."""
        return torch.from_numpy(np.concatenate(self._small)).movedim(-1, 0).div(255)


def rows_at_once(width: int) -> int:
    """How many rows of so many pixels are worked on at once."""
    return max(NUMBERS // (3 * width), 1)
