"""Weights as users have them: the files of torchvision, of the authors of LPIPS, and of the package lpips."""

import os
import pickle
from pathlib import Path

import folder_paths
import lpips as reference
import pytest
import torch
from joint_diffusion.core.perception.lpips import Lpips, lpips_shapes
from joint_diffusion.core.perception.style import Style
from joint_diffusion.core.perception.vgg import vgg_shapes
from joint_diffusion.nodes.entry import joint_diffusion_extension
from joint_diffusion.nodes.host.perceptual_weights import FOLDER, load_perception, register_folder
from safetensors.torch import save_file
from utils.extra_config import load_extra_path_config

VGG_FILE = r"Put vgg16-397923af\.pth .*VGG-16 into {folder}, from https://download\.pytorch\.org/models/vgg16-397923af"
LINEAR_FILE = r"Put vgg\.pth .*LPIPS into {folder}, from https://github\.com/richzhang/PerceptualSimilarity/raw/.*vgg\."


def message(text: str, folder: Path) -> str:
    return "(?s)" + text.replace("{folder}", str(folder))


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The pack's folder, as it is at first: known to the host, and not there."""
    monkeypatch.setattr(folder_paths, "models_dir", str(tmp_path))
    monkeypatch.delitem(folder_paths.folder_names_and_paths, FOLDER, raising=False)
    monkeypatch.delitem(folder_paths.filename_list_cache, FOLDER, raising=False)
    register_folder()
    return tmp_path / FOLDER


def random(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(shape, generator=generator) * 0.1 for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def vgg() -> dict[str, torch.Tensor]:
    return random(vgg_shapes())


@pytest.fixture(scope="module")
def linear() -> dict[str, torch.Tensor]:
    return random(lpips_shapes(), seed=1)


def pictures(seed: int) -> torch.Tensor:
    return torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def same(one: Style | Lpips, other: Style | Lpips) -> bool:
    return torch.equal(one(pictures(0), pictures(1)), other(pictures(0), pictures(1)))


def test_files_of_torchvision_and_of_the_authors(folder, vgg, linear):
    folder.mkdir()
    classifier = {"classifier.6.bias": torch.zeros(1000)}
    torch.save(vgg | classifier, folder / "vgg16-397923af.pth", _use_new_zipfile_serialization=False)  # as the real one
    assert same(load_perception("style"), Style(vgg))
    torch.save(linear, folder / "vgg.pth")
    assert same(load_perception("lpips"), Lpips(vgg | linear))


def test_the_authors_own_linear_layers(folder, vgg):
    folder.mkdir()
    theirs = Path(reference.__file__).parent / "weights" / "v0.1" / "vgg.pth"
    os.symlink(theirs, folder / "vgg.pth")
    save_file(vgg, folder / "vgg.safetensors")
    assert same(load_perception("lpips"), Lpips(vgg | torch.load(theirs, map_location="cpu", weights_only=True)))


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("lin", ["lin", "lins."])
def test_one_file_with_the_names_of_the_package(folder, vgg, linear, prefix, lin):
    blocks = {"0": 1, "2": 1, "5": 2, "7": 2, "10": 3, "12": 3, "14": 3}
    net = {}
    for name, value in vgg.items():
        _, place, kind = name.split(".")
        net[f"{prefix}net.slice{blocks.get(place, 4 if int(place) < 23 else 5)}.{place}.{kind}"] = value
    net |= {prefix + name.replace("lin", lin): value for name, value in linear.items()}
    (folder / "mine").mkdir(parents=True)
    save_file(net, folder / "mine" / "lpips_vgg.safetensors")
    assert same(load_perception("lpips"), Lpips(vgg | linear))
    assert same(load_perception("style"), Style(vgg))


def test_they_are_read_once_for_each_change(folder, vgg):
    folder.mkdir()
    file = folder / "vgg.safetensors"
    save_file(vgg, file)
    first = load_perception("style")
    assert load_perception("style") is first
    other = random(vgg_shapes(), seed=2)
    save_file(other, file)
    os.utime(file, ns=(1, 1))
    assert same(load_perception("style"), Style(other))


def test_another_folder_may_be_named_in_the_settings_of_the_host(folder, vgg, tmp_path):
    elsewhere = tmp_path / "disk"
    (elsewhere / "nets").mkdir(parents=True)
    save_file(vgg, elsewhere / "nets" / "vgg.safetensors")
    (tmp_path / "extra.yaml").write_text(f"mine:\n  base_path: {elsewhere}\n  {FOLDER}: nets\n")
    load_extra_path_config(tmp_path / "extra.yaml")
    register_folder()
    assert same(load_perception("style"), Style(vgg))
    assert folder_paths.get_folder_paths(FOLDER) == [str(folder), str(elsewhere / "nets")]


def test_the_pack_makes_the_folder_known(monkeypatch):
    monkeypatch.delitem(folder_paths.folder_names_and_paths, FOLDER, raising=False)
    joint_diffusion_extension()
    folders, extensions = folder_paths.folder_names_and_paths[FOLDER]
    assert folders == [str(Path(folder_paths.models_dir) / "perceptual")]
    assert {".safetensors", ".pth"} <= extensions


def test_without_files_the_message_says_which_from_where_and_to_where(folder):
    with pytest.raises(
        FileNotFoundError, match=message(r'The loss "lpips" needs.*' + VGG_FILE + ".*" + LINEAR_FILE, folder)
    ):
        load_perception("lpips")
    with pytest.raises(FileNotFoundError, match=message(r'The loss "style" needs.*' + VGG_FILE, folder)) as caught:
        load_perception("style")
    assert "vgg.pth" not in str(caught.value)


def test_only_what_is_missing_is_asked_for(folder, vgg):
    folder.mkdir()
    save_file(vgg, folder / "vgg.safetensors")
    with pytest.raises(FileNotFoundError, match=message(LINEAR_FILE, folder)) as caught:
        load_perception("lpips")
    assert "vgg16-397923af" not in str(caught.value)
    assert "- vgg.safetensors has others. LPIPS: of 5 weights 5 are missing: lin0.model.1.weight" in str(caught.value)


def test_wrong_files_are_named_with_what_they_lack(folder, vgg):
    folder.mkdir()
    deeper = {name: value for name, value in vgg.items() if not name.startswith("features.17.")}
    save_file(deeper, folder / "vgg19.safetensors")
    wider = vgg | {"features.0.weight": torch.zeros(96, 3, 3, 3)}
    save_file(wider, folder / "wide.safetensors")
    with pytest.raises(FileNotFoundError) as caught:
        load_perception("style")
    lines = str(caught.value).splitlines()
    lacks = "of 26 weights 2 are missing: features.17.weight, features.17.bias."
    assert f"- vgg19.safetensors has others. VGG-16: {lacks}" in lines
    assert any(
        line.startswith("- wide.safetensors has others. VGG-16: features.0.weight must have the shape (64, 3, 3, 3)")
        for line in lines
    )


class Evil:
    """What a torch file may hold: a call of anything."""

    def __reduce__(self):
        return (os.mkdir, (os.environ["EVIL"],))


def test_files_that_cannot_be_read_are_named_and_run_nothing(folder, vgg, tmp_path, monkeypatch):
    monkeypatch.setenv("EVIL", str(tmp_path / "ran"))
    folder.mkdir()
    torch.save({"features.0.weight": Evil()}, folder / "evil.pth")
    (folder / "half.safetensors").write_bytes(b"\x10\x00\x00")
    (folder / "page.pth").write_text("<html>404</html>")
    with pytest.raises(FileNotFoundError) as caught:
        load_perception("style")
    for name in ("evil.pth", "half.safetensors", "page.pth"):
        assert f"- {name} cannot be read: " in str(caught.value)
    assert not (tmp_path / "ran").exists()
    pickle.loads(pickle.dumps(Evil()))
    assert (tmp_path / "ran").exists()  # it would have

    save_file(vgg, folder / "vgg.safetensors")  # and they are not in the way of a good one
    assert same(load_perception("style"), Style(vgg))
