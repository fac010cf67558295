"""The networks that compare pictures, with the weights that the user put into ComfyUI's models folder.

Any file there may hold what is needed, under any name, alone or together: what counts is what is in it.
"""

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import comfy.utils
import folder_paths
from torch import Tensor

from ...core.perception.lpips import Lpips, lpips_shapes
from ...core.perception.style import Style
from ...core.perception.vgg import chosen_weights, vgg_shapes

FOLDER = "perceptual"  # in ComfyUI's models folder, and in extra_model_paths.yaml


class Source(NamedTuple):
    """A network, the weights that it needs, and a file that has them."""

    network: str
    shapes: Mapping[str, tuple[int, ...]]
    file: str
    url: str


VGG = Source(
    network="VGG-16",
    shapes=vgg_shapes(),
    file="vgg16-397923af.pth",
    url="https://download.pytorch.org/models/vgg16-397923af.pth",
)
LINEAR = Source(
    network="LPIPS",
    shapes=lpips_shapes(),
    file="vgg.pth",
    url="https://github.com/richzhang/PerceptualSimilarity/raw/master/lpips/weights/v0.1/vgg.pth",
)

# Other names of the same weights, as the packages lpips and torchmetrics save them.
NAMES = {
    re.compile(r"(?:.+\.)?(?:features|net\.slice\d)\.(\d+\.(?:weight|bias))"): r"features.\1",
    re.compile(r"(?:.+\.)?lins?\.?(\d)\.model\.1\.weight"): r"lin\1.model.1.weight",
}


def register_folder() -> None:
    """Make the folder known to the host."""
    folder_paths.add_model_folder_path(FOLDER, os.path.join(folder_paths.models_dir, FOLDER))
    folders, extensions = folder_paths.folder_names_and_paths[FOLDER]
    known = {*extensions, *folder_paths.supported_pt_extensions}
    folder_paths.folder_names_and_paths[FOLDER] = (folders, known)


LOSSES = {"style": (Style, [VGG]), "lpips": (Lpips, [VGG, LINEAR])}


def load_perception(loss: str) -> Style | Lpips:
    """The network of a loss of `LOSSES`, on the CPU.

    Raises:
        FileNotFoundError: no file has the weights; the message says which to get, from where, and what the others lack.
    """
    return _loaded(loss, _files())


Files = tuple[tuple[str, str, int], ...]
"""Name, path and time of the last change."""


def _files() -> Files:
    paths = ((name, folder_paths.get_full_path(FOLDER, name)) for name in folder_paths.get_filename_list(FOLDER))
    return tuple((name, path, os.stat(path).st_mtime_ns) for name, path in paths if path)


@lru_cache(maxsize=len(LOSSES))
def _loaded(loss: str, files: Files) -> Style | Lpips:
    perception, sources = LOSSES[loss]
    found: dict[str, Tensor] = {}
    complaints = []
    for source in sources:
        try:
            found |= _from_first_fit(source, files)
        except FileNotFoundError as error:
            complaints.append(str(error))
    if complaints:
        raise FileNotFoundError("\n".join([f'The loss "{loss}" needs weights that are missing.', *complaints]))
    return perception(found)


def _from_first_fit(source: Source, files: Files) -> dict[str, Tensor]:
    """From the first file that has all of them."""
    folder = folder_paths.get_folder_paths(FOLDER)[0]
    complaint = f"Put {source.file} with the weights of {source.network} into {folder}, from {source.url}"
    for name, path, _ in files:
        try:
            weights = _renamed(comfy.utils.load_torch_file(path, safe_load=True))
        except Exception as error:  # of many kinds: the file may be anything
            complaint += f"\n- {name} cannot be read: {str(error).strip().partition(chr(10))[0]}"
            continue
        try:
            return chosen_weights(weights, source.shapes, source.network)
        except ValueError as error:
            complaint += f"\n- {name} has others. {error}"
    raise FileNotFoundError(complaint)


def _renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    renamed: dict[str, Tensor] = {}
    for name, weight in weights.items():
        for pattern, known in NAMES.items():
            if match := pattern.fullmatch(name):
                renamed[match.expand(known)] = weight
    return renamed
