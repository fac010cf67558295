import os

import pytest
import torch
from joint_diffusion.benchmarks.figures.gallery import Gallery
from PIL import Image

IMAGE = torch.rand(3, 16, 24, generator=torch.Generator().manual_seed(0))


def test_a_picture_is_painted_once(tmp_path):
    first = Gallery(tmp_path, bfloat16=False)
    kept = first.picture("a", lambda: (IMAGE, 45))
    assert (kept.image - IMAGE).abs().max() <= 0.5 / 255 + 1e-6
    assert kept.views == 45 and kept.seconds >= 0
    again = Gallery(tmp_path, bfloat16=False)
    same = again.picture("a", lambda: pytest.fail("it is there"))
    assert torch.equal(same.image, kept.image) and same[1:] == kept[1:]
    assert (first.painted, again.painted) == (1, 0)


def test_everything_that_it_depends_on_names_it(tmp_path):
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"one")
    paths = {Gallery(tmp_path / "kept", (weights,), bfloat16=b).path(what) for b in (True, False) for what in "ab"}
    weights.write_bytes(b"two")
    paths.add(Gallery(tmp_path / "kept", (weights,), bfloat16=True).path("a"))
    assert len(paths) == 5


def test_a_run_that_is_stopped_while_it_writes_leaves_no_picture(tmp_path, monkeypatch):
    gallery = Gallery(tmp_path)
    monkeypatch.setattr(Image.Image, "save", lambda _self, path, **_: (path.write_bytes(b"half"), os.abort_here()))
    with pytest.raises(AttributeError, match="abort_here"):
        gallery.picture("a", lambda: (IMAGE, 1))
    monkeypatch.undo()
    assert not gallery.path("a").exists()
    assert gallery.picture("a", lambda: (IMAGE, 2)).views == 2
