"""ComfyUI in this process, and the pack beside it."""

import sys

import torch

from tests.support.host import HOST, ROOT, load_pack

sys.path.append(str(ROOT / "tests" / "support"))  # tiny models and the real server, as the tests have them


def start_host() -> None:
    """Make `comfy` and `joint_diffusion` importable.

    Raises:
        SystemExit: there is no ComfyUI.
    """
    if HOST is None:
        sys.exit("This benchmark needs ComfyUI: set COMFYUI_PATH, or put it at ~/ComfyUI.")
    # The host reads its options from the command line, and whether there is a GPU at the first import.
    before, sys.argv = sys.argv, [sys.argv[0], *([] if torch.cuda.is_available() else ["--cpu"])]
    sys.path.insert(0, str(HOST))
    load_pack()
    import comfy.options

    comfy.options.enable_args_parsing()
    import comfy.model_management

    sys.argv = before
