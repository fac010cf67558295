"""The files that tools read say the same: one Python, and on GitHub the commands of CONTRIBUTING.md."""

import re
import subprocess
import tomllib

import pytest
import yaml
from host import ROOT
from PIL import Image

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
JOBS = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))["jobs"]


def commands(job):
    return [step["run"] for step in JOBS[job]["steps"] if "run" in step]


def test_there_is_one_oldest_python():
    oldest = PROJECT["project"]["requires-python"].removeprefix(">=")
    ruff, pyright = PROJECT["tool"]["ruff"]["target-version"], PROJECT["tool"]["pyright"]["pythonVersion"]
    assert (ruff, pyright) == (f"py{oldest.replace('.', '')}", oldest)
    for name in ("Makefile", "CONTRIBUTING.md", "README.md"):
        said = re.findall(r"(?:python3 \(|Python )(3\.\d+) or newer", (ROOT / name).read_text(encoding="utf-8"))
        assert said == [oldest], name
    assert JOBS["without-host"]["strategy"]["matrix"]["python"][0] == oldest


def test_the_workflow_tries_every_system_without_the_host_and_one_with_it():
    matrix = JOBS["without-host"]["strategy"]["matrix"]
    assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "windows", "macos"}
    assert JOBS["without-host"]["env"]["COMFYUI_PATH"] == ""
    checkouts = [step.get("with", {}) for step in JOBS["with-host"]["steps"] if "checkout" in step.get("uses", "")]
    (host,) = [checkout for checkout in checkouts if "repository" in checkout]
    assert JOBS["with-host"]["env"]["COMFYUI_PATH"].endswith(f"/{host['path']}")
    assert JOBS["with-host"]["defaults"]["run"]["working-directory"] != host["path"]


@pytest.mark.parametrize("job", JOBS)
def test_its_commands_are_those_that_the_makefile_has(job):
    assert commands(job)
    for command in commands(job):
        make, target, *_ = command.split()
        assert make == "make"
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_without_the_host_lint_demo_and_tests_are_run():
    assert [command.split()[1] for command in commands("without-host")] == ["lint", "demo", "test"]


def test_the_registry_shows_pictures_that_are_there():
    """By their addresses on GitHub, in the sizes that the registry asks for: square up to 400 pixels, and 21 : 9."""
    raw = PROJECT["project"]["urls"]["Repository"].replace("//github.com", "//raw.githubusercontent.com") + "/main/"
    sizes = {}
    for name in ("Icon", "Banner"):
        address = PROJECT["tool"]["comfy"][name]
        assert address.startswith(raw)
        with Image.open(ROOT / address.removeprefix(raw)) as picture:
            sizes[name] = picture.size
    assert sizes["Icon"][0] == sizes["Icon"][1] <= 400
    assert 9 * sizes["Banner"][0] == 21 * sizes["Banner"][1]
