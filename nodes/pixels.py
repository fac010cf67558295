"""Sizes in pixels, as people set them, to latent cells, as the core counts them."""


def cells(field: str, pixels: int, ratio: int, grid: int = 1, least: int = 0) -> int:
    """`pixels` in cells of `ratio` pixels; a multiple of `grid` cells, and at least `least`.

    Raises:
        ValueError: it is not; the message names the nearest sizes that are.
    """
    step = ratio * grid
    smallest = -(-least // grid) * step
    if pixels % step or pixels < smallest:
        below = pixels // step * step
        nearest = sorted({max(below, smallest), max(below + step, smallest)})
        raise ValueError(
            f"{field}: must be a multiple of {step} pixels, the grid of this model, and at least {smallest}, "
            f"got {pixels}; nearest: {' or '.join(map(str, nearest))}."
        )
    return pixels // ratio
