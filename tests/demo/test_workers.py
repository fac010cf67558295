"""The bundled model in processes of their own, which share the windows of a panorama."""

import json

import pytest
from commands import python
from PIL import Image
from torchvision.transforms.functional import to_tensor

COMMAND = ["-m", "demo", "panorama", "--height", "128", "--width", "512", "--steps", "8", "--method", "multidiffusion"]


def painted(path, *options):
    done = python(*COMMAND, "--out", str(path), *options)
    assert done.returncode == 0, done.stderr
    return to_tensor(Image.open(path)), json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def ray(monkeypatch):
    pytest.importorskip("ray", reason="no workers: ray is not installed (uv pip install ray)")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # else they wait for all that this machine does beside


@pytest.mark.usefixtures("ray")
def test_workers_paint_the_same_panorama(tmp_path):
    alone, report = painted(tmp_path / "alone.png")
    shared, with_worker = painted(tmp_path / "shared.png", "--workers", "1")
    assert (shared - alone).abs().max() < 1.01 / 255
    assert with_worker["views"] == report["views"]
    assert 0 < with_worker["views_by_workers"] < report["views"]
    assert "views_by_workers" not in report


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--workers", "-1"], "--workers: must be 0 or more, got -1"),
        (["--workers", "1", "--address", "127.0.0.1:1"], "no Ray cluster answers at '127.0.0.1:1'"),
    ],
)
@pytest.mark.usefixtures("ray")
def test_messages(options, message):
    done = python(*COMMAND, *options)
    assert done.returncode == 1
    assert message in done.stderr


def test_without_ray_it_says_how_to_install_it():
    code = "import sys; sys.modules['ray'] = None; import runpy; sys.argv = ['demo', 'panorama', '--workers', '1']; "
    code += "runpy.run_module('demo', run_name='__main__')"
    done = python("-c", code)
    assert done.returncode == 1
    assert "pip install ray" in done.stderr


def test_a_demo_without_workers_imports_no_ray():
    code = "import sys, demo.__main__; sys.exit('ray' in sys.modules)"
    assert python("-c", code).returncode == 0
