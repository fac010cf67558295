"""Sizes in pixels, as people set them, to latent cells, as the core counts them."""


def cells(field: str, pixels: int, ratio: int, least: int = 0) -> int:
    """`pixels` in cells of `ratio` pixels.

    Raises:
        ValueError: `pixels` is not a whole number of cells or fewer than `least`; the message names the nearest sizes.
    """
    count, rest = divmod(pixels, ratio)
    if rest or count < least:
        nearest = sorted({max(count, least) * ratio, max(count + 1, least) * ratio})
        raise ValueError(
            f"{field}: must be a multiple of {ratio} pixels, the size of a latent cell of this model, and at least "
            f"{least * ratio}, got {pixels}; nearest: {' or '.join(map(str, nearest))}."
        )
    return count
