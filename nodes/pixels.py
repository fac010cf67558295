"""Sizes in pixels, as people set them, to latent cells, as the core counts them."""

from ..core.canvas.windows import Size
from .host.families import native_window
from .host.latents import latent_space
from .shared_inputs import pixels_input


def cells(field: str, pixels: int, pixels_per_cell: int, grid: int = 1, least: int = 0) -> int:
    """`pixels` in cells of `pixels_per_cell` pixels; a multiple of `grid` cells, and at least `least`.

    Raises:
        ValueError: it is not; the message names the nearest sizes that are.
    """
    step = pixels_per_cell * grid
    smallest = -(-least // grid) * step
    if pixels % step or pixels < smallest:
        below = pixels // step * step
        nearest = sorted({max(below, smallest), max(below + step, smallest)})
        what = "the grid of this model" if grid > 1 else "a latent cell"
        raise ValueError(
            f"{field}: must be a multiple of {step} pixels, {what}, and at least {smallest}, "
            f"got {pixels}; nearest: {' or '.join(map(str, nearest))}."
        )
    return pixels // pixels_per_cell


def size_in_cells(
    height: int, width: int, pixels_per_cell: int, grid: int = 1, least: int = 0, prefix: str = ""
) -> Size:
    """Both sides in cells.

    Raises:
        ValueError: as `cells`, naming `prefix`width and `prefix`height; both in one message if both are wrong.
    """
    sides, wrong = {}, []
    for side, pixels in (("width", width), ("height", height)):
        try:
            sides[side] = cells(f"{prefix}{side}", pixels, pixels_per_cell, grid, least)
        except ValueError as error:
            wrong.append(str(error))
    if wrong:
        raise ValueError("\n".join(wrong))
    return Size(**sides)


def size_inputs(of: str, otherwise: str = "") -> list:
    """width and height for `size_or_native`; `otherwise` is what else 0 can mean."""
    native = f"in pixels. 0: the size that the model was trained on{otherwise}."
    return [pixels_input(side, f"{side.title()} of {of} {native}", most=16384) for side in ("width", "height")]


def size_or_native(model, height: int, width: int, prefix: str = "") -> Size:
    """`height` and `width` in cells on the model's grid; 0 is the size that the model was trained on.

    Raises:
        ValueError: as `size_in_cells`.
    """
    space, native = latent_space(model), native_window(model)
    size = size_in_cells(height, width, space.pixels_per_cell, space.grid, prefix=prefix)
    return Size(size.height or native.height, size.width or native.width)


def check_size(model, height: int, width: int, given: Size) -> None:
    """`height` and `width` beside a latent_image of `given` cells; 0 leaves the size to the latent.

    Raises:
        ValueError: one of them is another size than the latent's.
    """
    pixels_per_cell = latent_space(model).pixels_per_cell
    for field, pixels, cells_given in (("height", height, given.height), ("width", width, given.width)):
        if pixels not in (0, cells_given * pixels_per_cell):
            whole = given.scaled(pixels_per_cell)
            raise ValueError(
                f"{field}: latent_image is {whole.width} x {whole.height} pixels, got {pixels}; set 0 to take its "
                "size, or disconnect latent_image."
            )
