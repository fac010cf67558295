"""ZoomVideo and ZoomFrames: the file shows what the core renders, and is streamed, interruptible and labelled."""

import json
import subprocess
import sys
import weakref
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from host import ROOT
from joint_diffusion.core.zoom.between_levels import render_at
from joint_diffusion.core.zoom.path import ZoomPath
from joint_diffusion.nodes import zoom_video
from joint_diffusion.nodes.video_file import ENCODERS, write_video
from joint_diffusion.nodes.zoom_video import ZoomFrames

PATH = {"seconds_per_level": 0.5, "fps": 8.0, "easing": "linear", "direction": "in"}
ENCODED = 6 / 255  # mean error of what H.264 and VP9 make of smooth pictures at crf 10, colours at half the resolution


def smooth_levels(count=3, height=48, width=64):
    noise = torch.rand(count, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(noise, (height, width), mode="bicubic").clamp(0, 1).movedim(1, -1)


def decoded(file):
    """Frames (N, H, W, 3) in 0..1."""
    with av.open(file) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]) / 255


@pytest.mark.parametrize("ending", ENCODERS)
@pytest.mark.parametrize("direction", ["in", "out and in"])
def test_the_file_shows_what_the_core_renders(tmp_path, ending, direction):
    levels = smooth_levels()
    frames, count, size = zoom_video.frames_of(levels, 2, **PATH | {"direction": direction})
    write_video(tmp_path / f"zoom.{ending}", frames, 8.0, crf=10)
    video = decoded(str(tmp_path / f"zoom.{ending}"))
    zooms = ZoomPath(frames_per_level=4, direction=direction).zooms(3)
    assert len(video) == count == len(zooms)
    assert video.shape[1:3] == size == (48, 64)
    for zoom, picture in zip(zooms, video, strict=True):
        expected = render_at(levels.movedim(-1, 1), zoom, 2, pixels_per_cell=8).permute(1, 2, 0).clamp(0, 1).numpy()
        assert np.abs(picture - expected).mean() < ENCODED


def test_odd_sides_lose_a_row_or_a_column_and_nothing_is_stretched():
    levels = smooth_levels(2, 41, 63)
    (frames,) = ZoomFrames.execute(levels, 2, **PATH, pixels_per_cell=1).args
    assert torch.equal(frames[0], levels[0, :40, :62])
    assert torch.equal(frames[-1], levels[-1, :40, :62])


@pytest.mark.parametrize(("ending", "codec"), [("mp4", "h264"), ("webm", "vp9")])
def test_colours_rate_and_metadata_are_in_the_file(tmp_path, ending, codec):
    path = tmp_path / f"zoom.{ending}"
    colour = torch.tensor([0.9, 0.2, 0.4])
    write_video(path, [colour[:, None, None].expand(3, 32, 32)] * 5, 23.976, metadata={"prompt": '{"a": 1}'})
    with av.open(str(path)) as container:
        (stream,) = container.streams
        assert stream.codec_context.name == codec
        assert float(stream.average_rate) == pytest.approx(23.976, abs=1e-3)
        assert (stream.codec_context.color_primaries, stream.codec_context.colorspace) == (1, 1)
        assert {key.lower(): value for key, value in container.metadata.items()}["prompt"] == '{"a": 1}'
    assert np.abs(decoded(str(path)) - colour.numpy()).max() < 4 / 255


@pytest.mark.parametrize("crf", [zoom_video.BEST, 20, zoom_video.WORST])
def test_every_player_can_show_an_mp4_of_any_quality(tmp_path, crf):
    """At crf 0 the encoder takes a profile without loss that browsers do not know."""
    path = tmp_path / "zoom.mp4"
    write_video(path, [torch.rand(3, 32, 32)], 8.0, crf)
    with av.open(str(path)) as container:
        assert container.streams.video[0].profile == "High"


def test_values_beyond_white_and_black_are_cut(tmp_path):
    write_video(tmp_path / "zoom.mp4", [torch.tensor([1.3, -0.3, 0.5])[:, None, None].expand(3, 16, 16)], 8.0)
    assert np.abs(decoded(str(tmp_path / "zoom.mp4")) - [1, 0, 0.5]).max() < 4 / 255


def test_frames_are_taken_one_at_a_time_and_a_file_that_fails_is_removed(tmp_path):
    made, most = [], 0

    def frames():
        nonlocal most
        for _ in range(20):
            frame = torch.rand(3, 32, 32)
            made.append(weakref.ref(frame))
            most = max(most, sum(known() is not None for known in made))
            yield frame
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_video(tmp_path / "zoom.mp4", frames(), 8.0)
    assert most <= 2, "frames are kept"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "frames", "message"),
    [
        ("zoom.avi", [torch.zeros(3, 16, 16)], r"path: a video ends in mp4 or webm, got zoom\.avi"),
        ("zoom.mp4", [torch.zeros(3, 15, 16)], r"frames: sides must be even, got 16 x 15"),
        ("zoom.mp4", [], r"frames: a video needs at least one frame, got none"),
    ],
)
def test_what_the_file_refuses(tmp_path, name, frames, message):
    with pytest.raises(ValueError, match=message):
        write_video(tmp_path / name, frames, 8.0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fps", [0.0004, 0.0, float("nan")])
def test_a_rate_that_no_file_can_have(tmp_path, fps):
    with pytest.raises(ValueError, match=rf"fps: must be at least 0\.001 frames per second, got {fps}; 30 are usual"):
        write_video(tmp_path / "zoom.mp4", [torch.zeros(3, 16, 16)], fps)
    assert not list(tmp_path.iterdir())


def test_memory_does_not_grow_with_the_length(tmp_path):
    """In a process of its own, past the frames that the encoder looks ahead: five times as long, not a frame more."""
    code = (
        "import re, sys, torch; torch.set_grad_enabled(False)\n"
        "from pathlib import Path\n"
        "from core.zoom.between_levels import render_frames\n"
        "from nodes.video_file import write_video\n"
        "peak = lambda: int(re.findall(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[0]) / 1024\n"
        "levels = torch.rand(2, 3, 256, 256)\n"
        "for count in (80, 400):\n"
        "    frames = render_frames(levels, [frame / count for frame in range(count)], 2)\n"
        f"    write_video(Path({str(tmp_path / 'zoom.mp4')!r}), frames, 30)\n"
        "    print(peak())"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    short, long = map(float, run.stdout.split())
    assert long - short < 320 * 3 * 256 * 256 / 2**20 / 4, "a quarter of the frames in 8 bits"


def test_frames_as_images_are_the_same():
    levels = smooth_levels()
    (frames,) = ZoomFrames.execute(levels, 2, **PATH).args
    zooms = ZoomPath(frames_per_level=4).zooms(3)
    expected = torch.stack([render_at(levels.movedim(-1, 1), zoom, 2, pixels_per_cell=8) for zoom in zooms])
    torch.testing.assert_close(frames, expected.clamp(0, 1).movedim(1, -1), rtol=0, atol=0)
    assert torch.equal(frames[::4], levels)


def test_more_frames_than_memory_are_refused_before_they_are_made(monkeypatch):
    monkeypatch.setattr(zoom_video, "free_memory", lambda: 1 << 20)
    with pytest.raises(
        ValueError, match=r"seconds_per_level: 161 frames of 64 x 48 pixels need 0\.0 GiB .* Zoom Video"
    ):
        ZoomFrames.execute(smooth_levels(), 2, **PATH | {"seconds_per_level": 10.0})


@pytest.fixture(scope="module")
def graph(server):
    """Two pictures of an odd size, batched, into the video."""
    levels = smooth_levels(2, 41, 63).numpy()
    names = [server.add_input(f"far-and-near-{index}.png", level) for index, level in enumerate(levels)]
    graph = {name: {"class_type": "LoadImage", "inputs": {"image": name}} for name in names}
    inputs = {f"images.image{index}": [name, 0] for index, name in enumerate(names)}
    graph["levels"] = {"class_type": "BatchImagesNode", "inputs": inputs}
    options = PATH | {
        "zoom_factor": 2,
        "format": "mp4",
        "crf": 10,
        "filename_prefix": "video/zoom",
        "pixels_per_cell": 1,
    }
    return graph | {"video": {"class_type": "ZoomVideo", "inputs": {"images": ["levels", 0]} | options}}


def changed(graph, **inputs):
    return graph | {"video": graph["video"] | {"inputs": graph["video"]["inputs"] | inputs}}


def videos(server):
    return set(Path(server.base, "output").rglob("zoom*.*"))


@pytest.mark.parametrize("ending", ENCODERS)
def test_on_the_host_it_is_saved_shown_and_labelled(server, graph, ending):
    prompt = changed(graph, format=ending)
    prompt["parts"] = {"class_type": "GetVideoComponents", "inputs": {"video": ["video", 0]}}
    prompt["look"] = {"class_type": "PreviewImage", "inputs": {"images": ["parts", 0]}}
    before = videos(server)
    run = server.run(prompt)
    (file,) = videos(server) - before
    (shown,) = run.outputs["video"]["images"]
    assert (shown["filename"], shown["subfolder"], shown["type"]) == (file.name, "video", "output")
    assert run.outputs["video"]["animated"] == [True]
    assert server.get(f"/view?filename={file.name}&subfolder=video&type=output") == file.read_bytes()
    assert decoded(str(file)).shape == (5, 40, 62, 3)
    assert len(run.outputs["look"]["images"]) == 5, "the VIDEO goes into other nodes"
    with av.open(str(file)) as container:
        labels = {key.lower(): value for key, value in container.metadata.items()}
    assert json.loads(labels["prompt"])["video"]["class_type"] == "ZoomVideo"
    assert [value for node, value, _ in run.progress if node == "video"][-1] == 5


def test_the_file_gets_its_name_when_it_is_whole_and_interrupting_leaves_none(server, graph):
    """A server that is killed leaves no half file under that name either."""
    before, during = videos(server), set()

    def at_the_third_frame(run, event):
        if event["type"] == "progress" and event["data"]["node"] == "video" and event["data"]["value"] >= 3:
            during.update(videos(server) - before)
            server.interrupt(run)

    run = server.run(changed(graph, seconds_per_level=600.0, fps=60.0), on_event=at_the_third_frame)
    assert run.interrupted
    assert during
    assert all(file.parent.name.startswith(".unfinished-") for file in during)
    assert videos(server) == before


def test_a_stack_that_does_not_nest_is_told_apart_over_the_api(server, graph):
    with pytest.raises(
        Exception, match=r"pixels_per_cell: the levels must be a multiple of it, 8, but are 63 x 41 pixels; set it"
    ):
        server.run(changed(graph, pixels_per_cell=8))
