"""Where the real ComfyUI is, for the tests that need it."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def find_host() -> Path | None:
    """ComfyUI's folder: $COMFYUI_PATH (set but empty: none), else the one around this pack, else ~/ComfyUI."""
    if "COMFYUI_PATH" in os.environ:
        places = [Path(os.environ["COMFYUI_PATH"])] if os.environ["COMFYUI_PATH"] else []
    else:
        places = [ROOT.parents[1], Path.home() / "ComfyUI"]
    return next((place.resolve() for place in places if (place / "comfy" / "samplers.py").is_file()), None)


HOST = find_host()
