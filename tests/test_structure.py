"""The rooms of the house: what may not be imported where, and what must stay small."""

import ast

import pytest
from host import ROOT

HOST = ROOT / "nodes" / "host"
ROOMS = ("windows", "joined", "gradients", "workers")
# What nodes may import of ComfyUI: what it promises to them, and its version.
PROMISED = ("comfy_api", "comfyui_version")


def imports(folder, pattern="**/*.py"):
    """(file, module) for every import in the folder, modules from the root on: nodes.host.windows.run."""
    for file in folder.glob(pattern):
        package = file.relative_to(ROOT).parent.parts
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else ()
                names = [node.module] if node.module else [alias.name for alias in node.names]
                yield from ((file.name, ".".join([*base, name])) for name in names)
            if isinstance(node, ast.Import):
                yield from ((file.name, alias.name) for alias in node.names)


def is_of_the_host(module):
    package = module.partition(".")[0]
    return package.startswith("comfy") or package in ("folder_paths", "execution", "server", "latent_preview")


@pytest.mark.parametrize(
    ("room", "other"),
    [
        ("windows", "joined"),
        ("joined", "windows"),
        *((r, s) for r, s in [("gradients", "windows"), ("gradients", "joined"), ("joined", "gradients")]),
        *(("workers", room) for room in ("windows", "joined", "gradients")),
        *((room, "workers") for room in ("joined", "gradients")),
    ],
)
def test_rooms_meet_only_in_what_is_shared(room, other):
    assert not [(file, name) for file, name in imports(HOST / room) if name.startswith(f"nodes.host.{other}")]


def test_what_is_shared_knows_no_room():
    rooms = tuple(f"nodes.host.{room}" for room in ROOMS)
    known = [(file, name) for file, name in imports(HOST, "*.py") if name.startswith(rooms)]
    assert known == [("settings.py", "nodes.host.workers.crew")]  # for the type checker only
    assert len(list(HOST.glob("*.py"))) <= 1 + 12  # with __init__.py


def test_only_the_host_folder_knows_the_host():
    known = [(file, name) for folder in ("core", "demo") for file, name in imports(ROOT / folder)]
    assert not [(file, name) for file, name in known if is_of_the_host(name)]
    nodes = [*imports(ROOT / "nodes", "*.py"), *imports(ROOT / "nodes" / "drawings")]
    assert not [(f, name) for f, name in nodes if is_of_the_host(name) and name.partition(".")[0] not in PROMISED]


def test_wrappers_translate():
    source = (HOST / "windows" / "wrappers.py").read_text(encoding="utf-8")
    loops = (ast.For, ast.While, ast.comprehension, ast.Try)
    assert len(source.splitlines()) <= 90
    assert not [node for node in ast.walk(ast.parse(source)) if isinstance(node, loops)]


def test_what_the_registry_leaves_out_is_needed_by_nobody():
    lines = (ROOT / ".comfyignore").read_text(encoding="utf-8").splitlines()
    left_out = [line.strip("/") for line in lines if not line.startswith("#")]
    assert set(left_out) == {"benchmarks", "tests", "tools"}
    known = [*imports(ROOT, "*.py"), *(one for folder in ("core", "nodes", "demo") for one in imports(ROOT / folder))]
    assert not [(file, name) for file, name in known if name.partition(".")[0] in left_out]
