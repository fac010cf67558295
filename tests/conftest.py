"""Loads the pack for all tests, and leaves out those that need a ComfyUI where there is none."""

import os
import sys
from pathlib import Path

import pytest
from host import HOST, ROOT, load_pack

WITHOUT_HOST = "tests/nodes is skipped: no ComfyUI found (set COMFYUI_PATH, or put it at ~/ComfyUI)"

# The models here are tiny: threads would wait for each other, and beside a server or a browser many times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

load_pack()


@pytest.fixture(scope="session", autouse=True)
def one_core():
    """The pack is imported as `joint_diffusion`, and no part of it a second time by another name."""
    yield
    assert not {"core", "demo"} & sys.modules.keys()


def pytest_report_header() -> str:
    return f"ComfyUI: {HOST}" if HOST else WITHOUT_HOST


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    return True if HOST is None and collection_path == ROOT / "tests" / "nodes" else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if HOST is None:
        terminalreporter.write_line(WITHOUT_HOST)
