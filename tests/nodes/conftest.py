"""Puts the real ComfyUI into this process, on the CPU."""

import sys
import tempfile

from host import HOST, ROOT

# A node that shows a preview writes a file, which must not land in the ComfyUI that is only borrowed.
BASE = tempfile.TemporaryDirectory(prefix="comfyui-base-")
sys.argv = [sys.argv[0], "--cpu", "--disable-api-nodes", "--base-directory", BASE.name]
sys.path.insert(0, str(HOST))

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()
import comfy.model_management  # noqa: E402  (reads the arguments above, once)
import pytest  # noqa: E402
import torch  # noqa: E402
from comfy_server import running_server  # noqa: E402


@pytest.fixture(autouse=True)
def _no_dead_models():
    """Take models of earlier tests that are gone off the host's list, as the host does when it is about to load one."""
    loaded = comfy.model_management.current_loaded_models
    loaded[:] = [model for model in loaded if model.model is not None]


@pytest.fixture(scope="module")
def inference_mode():
    """As the host runs nodes."""
    with torch.inference_mode():
        yield


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The real server, started once for all tests that ask for it. Beside the pack it has loaders of tiny models."""
    with running_server(tmp_path_factory.mktemp("comfyui"), ROOT / "tests/support/tiny_loaders.py") as running:
        yield running
