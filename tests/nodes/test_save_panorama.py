"""SavePanorama against the host's own Save Image; its files read by other libraries; what may go wrong on a disk."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from io import BytesIO
from pathlib import Path

import comfy.cli_args
import comfy.model_management
import folder_paths
import numpy as np
import pytest
import tiny_models
import torch
from comfy_api.latest import io
from full_disk import full_disk
from host import ROOT
from joint_diffusion.core.canvas.windows import Size
from joint_diffusion.nodes import save_panorama, streamed_picture
from joint_diffusion.nodes.gpano import gpano
from joint_diffusion.nodes.host.files import workflow_of
from joint_diffusion.nodes.panorama_decode import PanoramaDecode
from joint_diffusion.nodes.png_file import filtered, write_png
from joint_diffusion.nodes.save_panorama import SavePanorama
from joint_diffusion.nodes.streamed_picture import StreamedPicture
from joint_diffusion.nodes.tiled_files import write_deep_zoom, write_tiff
from PIL import Image

import nodes as host_nodes

pytestmark = pytest.mark.usefixtures("inference_mode")

GPANO = "{http://ns.google.com/photos/1.0/panorama/}"
DEEP_ZOOM = "{http://schemas.microsoft.com/deepzoom/2008}"
TEXTS = {"prompt": json.dumps({"1": {"class_type": "SavePanorama"}}), "workflow": json.dumps({"title": "Wüste"})}


@pytest.fixture
def output(tmp_path):
    before = folder_paths.get_output_directory()
    folder_paths.set_output_directory(str(tmp_path / "output"))
    (tmp_path / "output").mkdir()
    yield tmp_path / "output"
    folder_paths.set_output_directory(before)


def vips():
    return pytest.importorskip("pyvips", reason="no libvips on this platform: pip install 'pyvips[binary]'")


@pytest.fixture(params=["png", "tif", "dzi"])
def ending(request):
    if request.param != "png":
        vips()
    return request.param


def randn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(4))


def photograph(height=96, width=200, batch=1):
    """Soft colours with a little grain (B, H, W, 3)."""
    generator = torch.Generator().manual_seed(0)
    blobs = torch.rand(batch, 3, 4, 5, generator=generator)
    soft = torch.nn.functional.interpolate(blobs, (height, width), mode="bicubic")
    return (soft + 0.02 * torch.randn(soft.shape, generator=generator)).clamp(0, 1).movedim(1, -1)


def save(ending="png", projection="none", filename_prefix="panorama", **inputs):
    source = {"source": "images" if "images" in inputs else "latent", **inputs}
    return SavePanorama.execute(source, filename_prefix, ending, projection).ui


def read(path):
    return np.array(Image.open(path))


def eight_bits(image):
    """As the host's Save Image rounds."""
    return np.clip(255.0 * image.numpy(), 0, 255).astype(np.uint8)


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# What is saved is what Panorama Decode and Save Image save.


@pytest.mark.parametrize(
    ("kind", "shape", "windows"),
    [
        ("vae", (1, 4, 8, 24), {}),
        ("vae", (1, 4, 50, 60), {"window": 256, "context": 16, "blend": 16}),
        ("vae", (1, 4, 50, 60), {"window": 256, "context": 16, "blend": 32, "wrap_x": True, "wrap_y": True}),
        ("video_vae", (1, 16, 1, 8, 60), {"window": 256, "wrap_x": True}),
    ],
    ids=str,
)
def test_every_pixel_is_that_of_the_host_s_own_nodes(output, kind, shape, windows):
    vae, samples = getattr(tiny_models, kind)(), {"samples": randn(*shape)}
    save(samples=samples, vae=vae, **windows)
    (image,) = PanoramaDecode.execute(samples, vae, **windows).args
    host_nodes.SaveImage().save_images(image, "host")
    assert files(output) == ["host_00001_.png", "panorama_00001_.png"]
    assert np.array_equal(*(read(output / name) for name in files(output)))


def test_the_pictures_of_a_batch_are_decoded_one_by_one(output):
    vae, samples = tiny_models.vae(), randn(2, 4, 8, 24)
    save(samples={"samples": samples}, vae=vae)
    assert files(output) == ["panorama_00001_.png", "panorama_00002_.png"]
    for latent, name in zip(samples.split(1), files(output), strict=True):
        assert np.array_equal(read(output / name), eight_bits(vae.decode(latent))[0])


def test_pictures_are_saved_as_they_are(output):
    images = torch.cat([photograph(), 1.4 * photograph() - 0.2])
    save(images=images, filename_prefix="seen/%batch_num%_%width%x%height%")
    assert files(output) == ["seen/0_200x96_00001_.png", "seen/1_200x96_00001_.png"]
    for image, name in zip(images, files(output), strict=True):
        assert np.array_equal(read(output / name), eight_bits(image))
    save(images=images[:1], filename_prefix="seen/0_200x96")
    assert "seen/0_200x96_00002_.png" in files(output), "nothing is written over"


def test_a_png_is_as_small_as_pillow_s(tmp_path):
    image = photograph(300, 400)[0]
    write_png(tmp_path / "ours.png", StreamedPicture.of(image.movedim(-1, 0)), TEXTS)
    Image.fromarray(eight_bits(image)).save(tmp_path / "pillow.png", compress_level=4)
    ours, pillow = ((tmp_path / f"{name}.png").stat().st_size for name in ("ours", "pillow"))
    assert ours < 1.05 * pillow
    assert Image.open(tmp_path / "ours.png").text == TEXTS


def png_guess(kind, left, up, corner):
    """What filter `kind` of the format takes a byte for, from its neighbours."""
    estimate = left + up - corner
    nearest = min((left, up, corner), key=lambda byte: abs(estimate - byte))
    return (0, left, up, (left + up) // 2, nearest)[kind]


def test_each_filter_of_png_is_used_and_read_again(tmp_path, monkeypatch):
    """Rows of noise, and below each one that a single filter guesses right; blocks end between the two."""
    generator = np.random.default_rng(0)
    kinds, rows = [1, 2, 3, 4, 0, 3, 4], []
    for kind in kinds:
        noise = generator.integers(0, 256, (64, 3))
        row = noise * 0 if kind else (generator.integers(0, 256, (64, 3)) == 0) * 1  # by filter 0: hardly anything
        for x in range(64 if kind else 0):
            for c in range(3):
                left, corner = (row[x - 1, c], noise[x - 1, c]) if x else (0, 0)
                row[x, c] = (png_guess(kind, left, noise[x, c], corner) + 99 * (not x)) % 256
        rows += [noise, row]
    picture = np.stack([*rows, *generator.integers(0, 4, (4, 64, 3))]).astype(np.uint8)
    stored = np.frombuffer(filtered(picture, np.zeros((64, 3), np.uint8)), np.uint8).reshape(len(picture), -1)
    assert [*stored[1 : 2 * len(kinds) : 2, 0]] == kinds
    monkeypatch.setattr(streamed_picture, "NUMBERS", 3 * 3 * 64)
    of_floats = (torch.from_numpy(picture).movedim(-1, 0) + 0.5) / 255
    write_png(tmp_path / "picture.png", StreamedPicture.of(of_floats), {})
    assert np.array_equal(read(tmp_path / "picture.png"), picture)


def test_a_tiff_has_tiles_and_every_half_of_its_resolution(tmp_path):
    vips()
    image = photograph(700, 1100)[0]
    write_tiff(tmp_path / "picture.tif", StreamedPicture.of(image.movedim(-1, 0)), TEXTS)
    assert (tmp_path / "picture.tif").read_bytes()[:4] in (b"II\x2b\0", b"MM\0\x2b"), "a BigTIFF"
    tiff = Image.open(tmp_path / "picture.tif")
    assert np.array_equal(np.array(tiff), eight_bits(image))
    assert json.loads(tiff.tag_v2[270]) == {name: json.loads(text) for name, text in TEXTS.items()}
    assert (tiff.tag_v2[322], tiff.tag_v2[323]) == (256, 256)
    sizes = []
    for page in range(tiff.n_frames):
        tiff.seek(page)
        sizes.append(tiff.size)
        assert np.abs(np.array(tiff).mean((0, 1)) - 255 * image.numpy().mean((0, 1))).max() < 2
    assert sizes == [(1100, 700), (550, 350), (275, 175), (137, 87)]


def test_a_deep_zoom_has_all_its_tiles(tmp_path):
    vips()
    image = photograph(300, 600)[0]
    write_deep_zoom(tmp_path / "picture.dzi", StreamedPicture.of(image.movedim(-1, 0)), TEXTS)
    about = ET.parse(tmp_path / "picture.dzi").getroot()
    size = about.find(f"{DEEP_ZOOM}Size").attrib
    assert (size["Width"], size["Height"], about.attrib["TileSize"]) == ("600", "300", "254")
    tiles = tmp_path / "picture_files"
    assert len(list(tiles.glob("10/*.jpg"))) == 3 * 2, "the whole is level 10: 2 ** 10 > 600"
    assert read(tiles / "0" / "0_0.jpg").shape == (1, 1, 3)
    corner = read(tiles / "10" / "0_0.jpg").astype(int)
    assert np.abs(corner - eight_bits(image)[:255, :255]).mean() < 4
    small = Image.open(tiles / "preview.png")
    assert (small.size, small.text) == ((600, 300), TEXTS)


def test_the_preview_is_the_mean_of_squares():
    picture = StreamedPicture(Size(2051, 3000), torch.rand(3, 2051, 3000).split(700, 1))
    rows = np.concatenate([*picture]).astype(np.float64)
    assert rows.shape == (2051, 3000, 3)
    expected = rows[:2049].reshape(683, 3, 1000, 3, 3).mean((1, 3)) / 255
    np.testing.assert_allclose(picture.preview.movedim(0, -1).numpy(), expected, atol=1e-6)
    strip = StreamedPicture(Size(2, 5000), [torch.rand(3, 2, 5000)])
    assert len([*strip])
    assert strip.preview.shape == (3, 1, 2500)


# The metadata.


def xmp_of(path):
    image = Image.open(path)
    return image.info["XML:com.adobe.xmp"] if path.suffix == ".png" else image.tag_v2[700].decode()


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize(("height", "top"), [(128, 0), (64, 32)], ids=["whole sphere", "strip"])
def test_viewers_learn_where_the_picture_is_on_the_sphere(output, ending, height, top):
    if ending == "tif":
        vips()
    save(ending, "equirectangular", images=photograph(height, 256))
    (about,) = ET.fromstring(xmp_of(output / f"panorama_00001_.{ending}")).iter(
        "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description"
    )
    found = {name.removeprefix(GPANO): value for name, value in about.attrib.items() if name.startswith(GPANO)}
    assert found == {
        "ProjectionType": "equirectangular",
        "UsePanoramaViewer": "True",
        "FullPanoWidthPixels": "256",
        "FullPanoHeightPixels": "128",
        "CroppedAreaImageWidthPixels": "256",
        "CroppedAreaImageHeightPixels": str(height),
        "CroppedAreaLeftPixels": "0",
        "CroppedAreaTopPixels": str(top),
    }


def test_without_a_projection_there_is_no_xmp(output):
    save(images=photograph())
    assert b"GPano" not in (output / "panorama_00001_.png").read_bytes()


def test_metadata_can_be_turned_off_as_in_the_host(monkeypatch):
    class Node(io.ComfyNode):
        hidden = io.HiddenHolder.from_dict({io.Hidden.prompt: {"1": {}}, io.Hidden.extra_pnginfo: {"workflow": {}}})

    assert workflow_of(Node) == {"prompt": '{"1": {}}', "workflow": "{}"}
    monkeypatch.setattr(comfy.cli_args.args, "disable_metadata", True)
    assert workflow_of(Node) == {}


# Memory, and stopping.

PEAK = """
import sys
sys.path.insert(0, "tests/support")
from host import load_pack
load_pack()
import re, torch
from pathlib import Path
from joint_diffusion.core.canvas.decode import DecodeParams, decode_in_bands
from joint_diffusion.core.canvas.windows import Size
from joint_diffusion.nodes.png_file import write_png
from joint_diffusion.nodes.streamed_picture import StreamedPicture
from joint_diffusion.nodes.tiled_files import write_deep_zoom, write_tiff
torch.set_grad_enabled(False)
folder, ending = Path(sys.argv[1]), sys.argv[2]
write = {"png": write_png, "tif": write_tiff, "dzi": write_deep_zoom}[ending]
params = DecodeParams(window=Size(32, 32), context=2, blend=4)
peak = lambda: int(re.findall(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[0]) / 1024
decode = lambda view: view[:, :3].repeat_interleave(8, -1).repeat_interleave(8, -2)
for rows in (256, 2048):
    latent = torch.rand(1, 4, 64, 128).repeat(1, 1, rows // 64, 1)
    picture = StreamedPicture(Size(8 * rows, 1024), decode_in_bands(latent, decode, params))
    write(folder / f"{rows}.{ending}", picture, {})
    print(peak())
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux's /proc")
def test_memory_does_not_grow_with_the_picture(tmp_path, ending):
    """In a process of its own: eight times as high, and not near the 48 MiB of its 8 bits or the 192 of its floats."""
    command = [sys.executable, "-c", PEAK, str(tmp_path), ending]
    without_gaps = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}  # of glibc's heap, which are as large as they like
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=without_gaps)
    assert run.returncode == 0, run.stderr
    low, high = map(float, run.stdout.split())
    assert high - low < 16
    if ending == "png":
        assert Image.open(tmp_path / "2048.png").size == (1024, 16384)


def test_the_automatic_window_shrinks_until_a_row_of_windows_is_small(output, monkeypatch):
    vae, sizes = tiny_models.vae(), []

    def decode(view):
        sizes.append(tuple(view.shape[-2:]))
        return torch.zeros(1, 8 * view.shape[-2], 8 * view.shape[-1], 3)

    monkeypatch.setattr(vae, "decode", decode)
    save(samples={"samples": randn(1, 4, 128, 64)}, vae=vae)
    assert sizes == [(128, 64)], "all at once, as Panorama Decode does"
    sizes.clear()
    monkeypatch.setattr(save_panorama, "ROW_OF_WINDOWS", 12 * 512 * 512)
    save(samples={"samples": randn(1, 4, 128, 64)}, vae=vae)
    assert max(sizes) == (64, 64)


def test_interrupting_stops_between_windows_and_leaves_nothing(output, monkeypatch, ending):
    vae, calls = tiny_models.vae(), []
    whole = vae.decode

    def interrupted_decode(view):
        calls.append(view)
        if len(calls) == 4:
            comfy.model_management.interrupt_current_processing()
        return whole(view)

    monkeypatch.setattr(vae, "decode", interrupted_decode)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        save(ending, samples={"samples": randn(1, 4, 100, 28)}, vae=vae, window=256)
    assert len(calls) == 4
    assert list(output.iterdir()) == []


def test_a_disk_that_is_full_midway_leaves_nothing(output, ending):
    pytest.importorskip("resource", reason="limits of files are Unix's")
    decoded = []
    vae = tiny_models.vae()
    whole = vae.decode
    vae.decode = lambda view: decoded.append(view) or whole(view)
    with (
        full_disk(5000 if ending == "dzi" else 200_000),
        pytest.raises(
            OSError, match=r"filename_prefix: .*panorama_00001_\.\w+ must be a file that can be written.*make room"
        ),
    ):
        save(ending, samples={"samples": randn(1, 4, 400, 28)}, vae=vae, window=256)
    assert list(output.iterdir()) == []
    assert decoded
    save(ending, images=photograph())
    assert f"panorama_00001_.{ending}" in files(output)


# What cannot be done.


def test_a_folder_that_is_none(output):
    (output / "taken").write_text("a file")
    with pytest.raises(OSError, match=r"filename_prefix: 'taken/panorama' must lie in a folder .*choose another one"):
        save(images=photograph(), filename_prefix="taken/panorama")
    assert files(output) == ["taken"]


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_a_name_as_long_as_names_may_be(output, ending):
    name = "p" * (255 - len("_00001_.tif"))
    save(ending, images=photograph(), filename_prefix=name)
    assert files(output) == [f"{name}_00001_.{ending}"]


def test_a_name_that_leaves_the_output_folder(output):
    with pytest.raises(Exception, match="outside the output folder is not allowed"):
        save(images=photograph(), filename_prefix="../panorama")
    assert files(output.parent) == []


@pytest.mark.parametrize("ending", ["tif", "dzi"])
def test_without_libvips_it_says_how_to_get_it(output, monkeypatch, ending):
    monkeypatch.setitem(sys.modules, "pyvips", None)
    with pytest.raises(
        RuntimeError, match=rf'format: {ending} needs libvips, .* -m pip install "pyvips\[binary\]" .*or choose png'
    ):
        save(ending, images=photograph())
    assert list(output.iterdir()) == []
    save("png", images=photograph())


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"source": "film"}, r"source: must be one of latent, images, got 'film'"),
        ({"images": photograph()[:0]}, r"images: must be at least 1 picture, got an empty batch"),
        ({"images": torch.rand(1, 8, 8, 4)}, r"samples, images: .*3 channels.*\(4, 8, 8\); for transparency"),
        ({"images": photograph(100, 150), "projection": "equirectangular"}, r"projection: .*got 150 x 100 pixels"),
        ({"images": photograph(32, 65), "projection": "equirectangular"}, r"projection: .*even width.*got 65 x 32"),
        (
            {"images": photograph(32, 64), "projection": "equirectangular", "ending": "dzi"},
            r"projection: must be none with format dzi",
        ),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value,
)
def test_bad_input(output, inputs, message):
    with pytest.raises(ValueError, match=message):
        save(**inputs)
    assert list(output.iterdir()) == []


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 16, 3, 8, 8), r"samples: must be single pictures, got a film of 3 latent frames"),
        ((0, 16, 1, 8, 8), r"samples: must be at least 1 picture, got an empty batch"),
        ((1, 3, 8, 8), "has 3 channels"),
        ((1, 16, 8, 8), r"samples: this latent has no frames, got shape \(1, 16, 8, 8\)"),
    ],
)
def test_a_latent_that_is_no_picture(output, shape, message):
    with pytest.raises(ValueError, match=message):
        save(samples={"samples": randn(*shape)}, vae=tiny_models.video_vae())


def test_sizes_beyond_the_format_are_refused_before_anything_is_decoded(tmp_path):
    def nothing():
        raise AssertionError("decoded")
        yield

    with pytest.raises(ValueError, match=r"format: png allows sides of up to 2147483647 pixels, got 2147483648 x 8"):
        write_png(tmp_path / "picture.png", StreamedPicture(Size(8, 2**31), nothing()), {})
    vips()
    for write in (write_tiff, write_deep_zoom):
        with pytest.raises(
            ValueError, match=r"format: (tif|dzi) allows sides of up to 10000000 pixels, got 8 x 20000000"
        ):
            write(tmp_path / "picture.tif", StreamedPicture(Size(20_000_000, 8), nothing()), {})
    assert list(tmp_path.iterdir()) == []
    assert gpano("none", Size(8, 2**31)) == ""


# On the real server.


@pytest.fixture(scope="module")
def graph():
    demo = {"class_type": "LoadDemoModel", "inputs": {}}
    latent = {
        "class_type": "PanoramaLatent",
        "inputs": {"width": 1024, "height": 256, "batch_size": 1, "model": ["demo", 0], "content": "empty"},
    }
    inputs = {
        "source": "latent",
        "source.samples": ["latent", 0],
        "source.vae": ["demo", 2],
        "source.wrap_x": True,
        "source.window": 256,
        "filename_prefix": "wide/panorama",
        "format": "png",
        "projection": "equirectangular",
    }
    return {"demo": demo, "latent": latent, "save": {"class_type": "SavePanorama", "inputs": inputs}}


def changed(graph, **inputs):
    return graph | {"save": graph["save"] | {"inputs": graph["save"]["inputs"] | inputs}}


def saved(server):
    return set(files(Path(server.base, "output")))


def test_on_the_host_it_is_saved_shown_and_labelled(server, graph):
    before = saved(server)
    run = server.run(graph)
    (name,) = saved(server) - before
    (shown,) = run.outputs["save"]["images"]
    assert run.outputs["save"]["saved"] == [shown]
    assert f"{shown['subfolder']}/{shown['filename']}" == name
    assert shown["type"] == "output"
    file = server.get(f"/view?filename={shown['filename']}&subfolder=wide&type=output")
    image = Image.open(BytesIO(file))
    assert image.size == (1024, 256)
    assert json.loads(image.text["prompt"])["save"]["class_type"] == "SavePanorama"
    (_, done, of) = run.progress[-1]
    assert done == of == 16, "a count for each window: with 64 of context and of blend, one every 64 pixels"


def test_on_the_host_a_format_that_browsers_do_not_show_has_a_preview(server, graph):
    vips()
    run = server.run(changed(graph, format="tif"))
    (preview,), (file,) = run.outputs["save"]["images"], run.outputs["save"]["saved"]
    assert preview["type"] == "temp"
    assert Image.open(BytesIO(server.get(f"/view?filename={preview['filename']}&type=temp"))).size == (1024, 256)
    tiff = Image.open(Path(server.base, "output", file["subfolder"], file["filename"]))
    assert json.loads(tiff.tag_v2[270])["prompt"]["save"]["class_type"] == "SavePanorama"


def test_a_png_too_large_for_a_browser_has_a_preview(output):
    shown = save(images=photograph(16, 4104))
    assert [one["type"] for one in shown["images"] + shown["saved"]] == ["temp", "output"]


def test_on_the_host_interrupting_leaves_no_file(server, graph):
    before = saved(server)

    def at_the_third_window(run, event):
        if event["type"] == "progress" and event["data"]["node"] == "save" and event["data"]["value"] >= 3:
            server.interrupt(run)

    inputs = graph["latent"]["inputs"] | {"width": 8192, "height": 8192}
    large = graph | {"latent": graph["latent"] | {"inputs": inputs}}
    run = server.run(changed(large, projection="none"), on_event=at_the_third_window)
    assert run.interrupted
    assert saved(server) == before
