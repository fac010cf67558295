"""The path of a zoom video: the zoom of every frame."""

from dataclasses import dataclass
from typing import Literal, get_args

from .smoothstep import smoothstep

Easing = Literal["linear", "ease in-out"]
Direction = Literal["in", "out", "in and out", "out and in"]

EASINGS: tuple[Easing, ...] = get_args(Easing)
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)


@dataclass(frozen=True, kw_only=True)
class ZoomPath:
    """From one end of a zoom stack to the other, or there and back."""

    frames_per_level: float  # above 0; the length of the whole path is rounded to whole frames
    easing: Easing = "linear"  # `linear` enlarges equally in every second, `ease in-out` starts and stops softly
    direction: Direction = "in"  # `in` begins at level 0

    def __post_init__(self) -> None:
        if not self.frames_per_level > 0:
            raise ValueError(f"frames_per_level: must be above 0, got {self.frames_per_level}.")
        for name, value, known in (("easing", self.easing, EASINGS), ("direction", self.direction, DIRECTIONS)):
            if value not in known:
                raise ValueError(f"{name}: must be one of {', '.join(known)}, got {value!r}.")

    def zooms(self, levels: int) -> list[float]:
        """The zoom of each frame, 0..levels - 1, both ends included. There and back, the far end is one frame."""
        last = max(round(self.frames_per_level * (levels - 1)), 1)
        path = [frame / last for frame in range(last + 1)]
        if self.easing != "linear":
            path = [smoothstep(t) for t in path]
        path = [t * (levels - 1) for t in path]
        if self.direction.startswith("out"):
            path.reverse()
        return path + path[-2::-1] if " and " in self.direction else path
