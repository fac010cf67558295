"""Where the real ComfyUI is, and how it loads this pack."""

import importlib.util
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def find_host() -> Path | None:
    """ComfyUI's folder: $COMFYUI_PATH (set but empty: none), else the one around this pack, else ~/ComfyUI."""
    if "COMFYUI_PATH" in os.environ:
        places = [Path(os.environ["COMFYUI_PATH"])] if os.environ["COMFYUI_PATH"] else []
    else:
        places = [ROOT.parents[1], Path.home() / "ComfyUI"]
    return next((place.resolve() for place in places if (place / "comfy" / "samplers.py").is_file()), None)


HOST = find_host()


def load_pack() -> None:
    """Import the pack as `joint_diffusion`, whatever its folder is called, the way ComfyUI loads it.

    Nothing of the pack is put on sys.path: `nodes` is a name of ComfyUI's world too (`import nodes` is its own file).
    """
    spec = importlib.util.spec_from_file_location(
        "joint_diffusion", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    assert spec
    assert spec.loader
    sys.modules[spec.name] = package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
