"""Loads the pack under one import name, whatever its folder is called, the way ComfyUI loads it.

Nothing of the pack is put on sys.path: `nodes` is a name of ComfyUI's world too (`import nodes` is its own file).
"""

import importlib.util
import os
import sys
from pathlib import Path

import pytest
from host import HOST, ROOT

WITHOUT_HOST = "tests/nodes is skipped: no ComfyUI found (set COMFYUI_PATH, or put it at ~/ComfyUI)"

# The models here are tiny: threads would wait for each other, and beside a server or a browser many times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

spec = importlib.util.spec_from_file_location(
    "joint_diffusion", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
)
assert spec and spec.loader
package = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = package
spec.loader.exec_module(package)


def pytest_report_header() -> str:
    return f"ComfyUI: {HOST}" if HOST else WITHOUT_HOST


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    return True if HOST is None and collection_path == ROOT / "tests" / "nodes" else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if HOST is None:
        terminalreporter.write_line(WITHOUT_HOST)
