"""A folder of pictures in which every file says what it is, so that a run that was stopped can go on.

DIR/METHOD/PROMPT/SEED.png; each holds its prompt and settings as text, and appears whole or not at all.
"""

import json
import os
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from PIL.PngImagePlugin import PngInfo

METHODS = {
    "multidiffusion": "MultiDiffusion",
    "sync": "SyncDiffusion",
    "msd": "Multi-Scale Diffusion",
    "twin": "TwinDiffusion",
    "full": "all methods",
}
REFERENCE = "reference"  # single pictures of the model's own size: what it can do
NAMES = METHODS | {REFERENCE: "single pictures"}
TEXT = "joint_diffusion"  # key in the PNG


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What all pictures of a folder have in common; the canvas of MSD, section IV-A, sampled as is usual for SD 1.5."""

    checkpoint: str
    rows: int = 2  # of windows of the model's own size, from top to bottom, if they did not overlap
    columns: int = 8
    overlap: float = 0.5
    steps: int = 50
    cfg: float = 7.5
    sampler: str = "ddim"
    scheduler: str = "ddim_uniform"

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise ValueError(f"rows: must be at least 1, got {self.rows}.")
        if self.columns < 2 * self.rows:
            raise ValueError(
                f"columns: must be at least twice the rows ({2 * self.rows}), got {self.columns}; coherence is "
                "measured between squares as high as the panorama, side by side."
            )


class Group(NamedTuple):
    """Pictures that differ in their seed only."""

    method: str  # of METHODS, or REFERENCE
    prompt: str

    @property
    def folder(self) -> Path:
        """In the collection. The number keeps prompts apart that begin alike."""
        words = re.sub(r"[^a-z0-9]+", "-", self.prompt.lower()).strip("-")[:60]
        return Path(self.method, f"{words}-{zlib.crc32(self.prompt.encode()):08x}")


class Picture(NamedTuple):
    """One picture, painted or to be painted."""

    group: Group
    seed: int

    @property
    def path(self) -> Path:
        """In the collection."""
        return self.group.folder / f"{self.seed:06}.png"


class Painted(NamedTuple):
    """A picture that is there."""

    path: Path
    seed: int
    seconds: float


def read_prompts(path: Path) -> list[str]:
    """One prompt a line; lines that are empty or begin with # are none."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    prompts = list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
    if not prompts:
        raise ValueError(f"prompts: {path} has none; write one prompt a line.")
    return prompts


def seeds_of(method: str, count: int) -> range:
    """The same for all methods, and others for single pictures, so that none begins from the noise of a panorama."""
    first = 10**5 if method == REFERENCE else 0
    return range(first, first + count)


def require_known(field: str, value: str, known: Sequence[str]) -> None:
    """Refuse a name that ComfyUI does not know: it would take another in silence."""
    if value not in known:
        raise ValueError(f"{field}: must be one of {', '.join(known)}, got {value!r}.")


def left_to_paint(out: Path, pictures: Iterable[Picture], settings: Settings) -> list[Picture]:
    """Those that are not there yet.

    Raises:
        ValueError: one is there, but was painted with other settings.
    """
    left = []
    for picture in pictures:
        path = out / picture.path
        if not path.exists():
            left.append(picture)
        elif difference := _difference(_text(path)["settings"], asdict(settings)):
            raise ValueError(f"out: {path} was painted with {difference}; choose another folder, or what it has.")
    return left


def keep(out: Path, picture: Picture, settings: Settings, image: Image.Image, seconds: float) -> None:
    """Put a picture there, at once."""
    path = out / picture.path
    path.parent.mkdir(parents=True, exist_ok=True)
    info = PngInfo()
    about = {"method": picture.group.method, "prompt": picture.group.prompt, "seed": picture.seed, "seconds": seconds}
    info.add_text(TEXT, json.dumps(about | {"settings": asdict(settings)}))
    # No other process paints this one, so what a killed run leaves behind is written over by the next.
    unfinished = path.with_suffix(".part")
    image.save(unfinished, "PNG", pnginfo=info)
    os.replace(unfinished, path)


class Collection(NamedTuple):
    """What `paint` has left."""

    groups: dict[Group, list[Painted]]  # methods and prompts in the order of NAMES, pictures in that of their seeds
    settings: Settings


def read_collection(out: Path) -> Collection:
    """All that is there.

    Raises:
        ValueError: the panoramas of the methods cannot be compared, or are too few.
    """
    groups: dict[Group, list[Painted]] = {}
    settings = None
    for path in (path for method in NAMES for path in sorted(out.glob(f"{method}/*/*.png"))):
        text = _text(path)
        settings = settings or text["settings"]
        if difference := _difference(text["settings"], settings):
            raise ValueError(f"out: all pictures must have the same settings, but {path} has {difference}.")
        group = Group(text["method"], text["prompt"])
        groups.setdefault(group, []).append(Painted(path, text["seed"], text["seconds"]))
    if settings is None:
        raise ValueError(f"out: {out} has no pictures; run paint first.")
    _require_comparable(groups)
    return Collection(groups, Settings(**settings))


def _require_comparable(groups: Mapping[Group, Sequence[Painted]]) -> None:
    methods = dict.fromkeys([*(group.method for group in groups), REFERENCE])
    for prompt in dict.fromkeys(group.prompt for group in groups):
        seeds = {method: [painted.seed for painted in groups.get(Group(method, prompt), ())] for method in methods}
        counts = ", ".join(f"{method} {len(s)}" for method, s in seeds.items())
        panoramas = [s for method, s in seeds.items() if method != REFERENCE]
        if any(s != panoramas[0] for s in panoramas) or min(map(len, seeds.values())) < 2:
            raise ValueError(
                f"out: every method must have the same seeds, and at least 2, of {prompt!r}, and so many single "
                f"pictures, got {counts}; let paint come to its end first."
            )


def _text(path: Path) -> dict:
    with Image.open(path) as image:
        return json.loads(image.info[TEXT])


def _difference(there: dict, wanted: dict) -> str:
    """In words; empty where there is none."""
    names = [name for name in wanted if there.get(name) != wanted[name]]
    return ", ".join(f"{name} {there.get(name)!r}, not {wanted[name]!r}" for name in names)
