"""Another pack's tiled sampling on the same grid: of packs that have a node named TiledDiffusion.

The pack is loaded from where the user has it; nothing of it is in this repository.
"""

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

NODE = "TiledDiffusion"
ARGUMENTS = ("model", "method", "tile_width", "tile_height", "tile_overlap", "tile_batch_size")
PIXELS_PER_CELL = 8  # a latent cell of the models here has so many on a side, and the node asks for pixels


class Peer:
    """The node of a pack at `path`."""

    def __init__(self, path: Path):
        """Load the pack.

        Raises:
            SystemExit: it has no such node, or one that is called otherwise.
        """
        node = _load(path).get(NODE)
        inputs = tuple(node.INPUT_TYPES()["required"]) if node else ()
        if node is None or inputs != ARGUMENTS:
            sys.exit(
                f"--peer: must be the folder of a ComfyUI pack with a node {NODE} that takes {', '.join(ARGUMENTS)} "
                f"(ComfyUI-TiledDiffusion), got {path}, "
                + (f"whose node takes {', '.join(inputs)}." if node else "which has no such node.")
            )
        self.name = path.resolve().name
        self._node = node()

    def patch(self, model: "ModelPatcher", window: int, overlap: int, batch: int) -> "ModelPatcher":
        """MultiDiffusion on square windows, in latent cells; `batch` of them in one call."""
        sides = (PIXELS_PER_CELL * window, PIXELS_PER_CELL * window, PIXELS_PER_CELL * overlap)
        return getattr(self._node, self._node.FUNCTION)(model, "MultiDiffusion", *sides, batch)[0]


def _load(path: Path) -> dict[str, Any]:
    if not (path / "__init__.py").is_file():
        sys.exit(f"--peer: must be the folder of a ComfyUI pack, got {path}, which has no __init__.py.")
    spec = importlib.util.spec_from_file_location("peer", path / "__init__.py", submodule_search_locations=[str(path)])
    assert spec
    assert spec.loader
    sys.modules["peer"] = package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    return getattr(package, "NODE_CLASS_MAPPINGS", {})
