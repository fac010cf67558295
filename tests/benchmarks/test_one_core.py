"""No benchmark has the core twice, as `core` and as `joint_diffusion.core`: a class of one is none of the other's."""

import ast
from functools import cache
from importlib.util import resolve_name
from pathlib import Path

import pytest
from commands import python
from host import HOST, ROOT


def files_of(folder: str) -> dict[str, Path]:
    """The modules of a folder, by their names."""
    paths = (ROOT / folder).rglob("*.py")
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


FILES = files_of("benchmarks")
FOLLOWED = FILES | files_of("tests/support")  # what benchmarks share with the tests
OURS = {"core", "demo", "nodes"}  # as a process without the host imports them
LOADED = """
import importlib, sys
first, *names = sys.argv[1:]
if first == "host":
    from benchmarks.host import start_host
    start_host()
for name in names:
    importlib.import_module(name)
print(*sys.modules)
"""


def imports(module: str) -> set[str]:
    """What a module's file imports anywhere, in functions too."""
    path = FOLLOWED[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return names


@cache
def reached(module: str) -> frozenset[str]:
    """What a module of the benchmarks imports, and what those of benchmarks and tests among them import."""
    found, waiting = set(), [module]
    while waiting:
        new = imports(waiting.pop()) - found
        found |= new
        waiting += new & FOLLOWED.keys()
    return frozenset(found)


def tops(module: str) -> set[str]:
    return {name.partition(".")[0] for name in reached(module)}


ON_HOST = [module for module in FILES if {"comfy", "joint_diffusion"} & tops(module)]


def test_the_commands_that_start_the_host_are_known():
    commands = {"benchmarks.figures.samplers", "benchmarks.speed.__main__", "benchmarks.checkpoints.__main__"}
    assert commands < set(ON_HOST)
    assert "benchmarks.figures.__main__" not in ON_HOST
    assert "core" in tops("benchmarks.figures.__main__")


@pytest.mark.parametrize("module", ON_HOST)
def test_what_runs_in_the_host_imports_the_pack_by_its_name_there(module):
    assert not OURS & tops(module)


def loaded(first: str, modules: list[str]) -> set[str]:
    """What a process has loaded that imports some modules of the benchmarks."""
    done = python("-c", LOADED, first, *modules)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.skipif(HOST is None, reason="needs ComfyUI")
def test_in_the_host_the_core_is_that_of_the_pack():
    modules = loaded("host", ON_HOST)
    assert "joint_diffusion.core.joint_step" in modules
    assert not {"core", "demo"} & modules


def test_without_the_host_the_core_is_a_library():
    modules = loaded("library", [module for module in FILES if module not in ON_HOST])
    assert "core.joint_step" in modules
    assert "joint_diffusion" not in modules
