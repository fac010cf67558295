"""Puts the real ComfyUI into this process, on the CPU."""

import sys

from host import HOST

sys.argv = [sys.argv[0], "--cpu", "--disable-api-nodes"]
sys.path.insert(0, str(HOST))

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()
import comfy.model_management  # noqa: E402, F401  (reads the arguments above, once)
