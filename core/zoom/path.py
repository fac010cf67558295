"""The way of a zoom video: which zoom each frame shows."""

from dataclasses import dataclass
from typing import Literal, get_args

from .smoothstep import smoothstep

Easing = Literal["linear", "ease in-out"]
Direction = Literal["in", "out", "in and out", "out and in"]

EASINGS: tuple[Easing, ...] = get_args(Easing)
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)


@dataclass(frozen=True, kw_only=True)
class ZoomPath:
    """From one end of a stack to the other, or there and back."""

    frames_per_level: float  # above 0; a way between whole zooms is rounded to whole frames
    easing: Easing = "linear"  # linear: every second enlarges equally; in-out: starts and stops gently
    direction: Direction = "in"

    def __post_init__(self) -> None:
        if not self.frames_per_level > 0:
            raise ValueError(f"frames_per_level: must be above 0, got {self.frames_per_level}.")
        for name, value, known in (("easing", self.easing, EASINGS), ("direction", self.direction, DIRECTIONS)):
            if value not in known:
                raise ValueError(f"{name}: must be one of {', '.join(known)}, got {value!r}.")

    def zooms(self, levels: int) -> list[float]:
        """The zoom of each frame, both ends included; on the way back the far end is not shown twice."""
        last = max(round(self.frames_per_level * (levels - 1)), 1)
        way = [self._eased(frame / last) * (levels - 1) for frame in range(last + 1)]
        if self.direction.startswith("out"):
            way.reverse()
        return way + way[-2::-1] if " and " in self.direction else way

    def _eased(self, t: float) -> float:
        return t if self.easing == "linear" else smoothstep(t)
