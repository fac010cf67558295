"""Loads the pack for all tests, and leaves out those that need a ComfyUI where there is none."""

import gc
import os
import sys
from pathlib import Path

import pytest
from host import HOST, ROOT, load_pack

WITHOUT_HOST = "tests/nodes is skipped: no ComfyUI found (set COMFYUI_PATH, or put it at ~/ComfyUI)"

# The models here are tiny: threads would wait for each other, and beside a server or a browser many times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

if sys.dont_write_bytecode and not sys.pycache_prefix:
    # Else this process, those of xdist and all that tests start compile torch, ComfyUI and more again and again, which
    # is half of the time of all tests. Nothing is written beside the sources with this either.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = str(ROOT / ".pytest_cache" / "bytecode")

# Files that take longest, so that no process of xdist begins one of them when the others are done.
LONGEST = (
    "nodes/test_workflows.py",
    "benchmarks/figures/test_command.py",
    "nodes/test_explore_zoom_stack.py",
    "nodes/test_browser.py",
    "nodes/host/workers/test_ray_workers.py",
    "nodes/test_sync_guidance.py",
    "benchmarks/test_checkpoints.py",
    "benchmarks/figures/test_samplers.py",
    "nodes/host/windows/test_composition.py",
    "nodes/test_zoom_stack.py",
    "nodes/test_joint_upscale.py",
    "nodes/host/windows/test_sampling.py",
    "nodes/test_save_panorama.py",
    "benchmarks/speed/test_save_panorama.py",
    "nodes/test_interrupts.py",
    "benchmarks/gpu/test_command.py",
    "benchmarks/speed/test_command.py",
)

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {ROOT / "tests" / file: place for place, file in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(LONGEST)))


def pytest_collection_finish() -> None:
    # ComfyUI collects garbage, all generations of it, whenever a model has gone whose patcher has not, or the other way
    # round. What modules hold for ever need not be looked through each time: it is most of all there is.
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if HOST is None:
        terminalreporter.write_line(WITHOUT_HOST)
