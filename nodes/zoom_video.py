"""A zoom stack as a video, or as the frames of one."""

import math

import torch
from comfy_api.latest import InputImpl, io, ui

from ..core.canvas.windows import Size
from ..core.zoom.between_levels import render_frames
from ..core.zoom.path import DIRECTIONS, EASINGS, Direction, Easing, ZoomPath
from .host.files import counted, free_memory, output_file, workflow_of
from .search_words import ZOOM
from .shared_inputs import require_choice
from .video_file import ENCODERS, even, write_video
from .written_whole import written_whole
from .zoom_levels import IMAGES, PIXELS_PER_CELL, ZOOM_FACTOR, zoom_levels

PATH = [
    io.Float.Input(
        "seconds_per_level",
        default=2.0,
        min=0.05,
        max=600.0,
        step=0.05,
        tooltip="Time from one level to the next.",
    ),
    io.Float.Input("fps", default=30.0, min=1.0, max=240.0, step=0.01, tooltip="Frames per second."),
    io.Combo.Input(
        "easing",
        options=list(EASINGS),
        default=EASINGS[0],
        tooltip="linear: the same speed throughout. ease in-out: starts and stops gently.",
    ),
    io.Combo.Input("direction", options=list(DIRECTIONS), default=DIRECTIONS[0], tooltip="Which way to zoom."),
]
BEST, WORST = 1, 51  # of crf; 0 is H.264 without loss, which many players cannot show


def frames_of(
    images,
    zoom_factor: int,
    seconds_per_level: float,
    fps: float,
    easing: Easing,
    direction: Direction,
    pixels_per_cell: int = 8,
):
    """The frames (3, H, W) one by one, their number and their size, cut to even sides."""
    levels = zoom_levels(images, pixels_per_cell)
    for name, value in (("seconds_per_level", seconds_per_level), ("fps", fps)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name}: must be a number above 0, got {value}; 2 seconds and 30 fps are usual.")
    path = ZoomPath(frames_per_level=seconds_per_level * fps, easing=easing, direction=direction)
    zooms = path.zooms(len(levels))
    size = Size(even(levels.shape[-2]), even(levels.shape[-1]))
    frames = render_frames(levels, zooms, zoom_factor, pixels_per_cell=pixels_per_cell)
    # Cut, where a size of the renderer's would stretch.
    return (frame[:, : size.height, : size.width] for frame in frames), len(zooms), size


class ZoomVideo(io.ComfyNode):
    """Streams a zoom into a file."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ZoomVideo",
            display_name="Zoom Video",
            category="joint diffusion",
            description="Saves a smooth zoom through the levels of a stack as a video. Frames are written one by one: "
            "a long video takes no more memory than a short one.",
            search_aliases=[*ZOOM, "video", "loop", "mp4", "webm"],
            is_output_node=True,
            inputs=[
                IMAGES,
                ZOOM_FACTOR,
                *PATH,
                io.Combo.Input(
                    "format",
                    options=list(ENCODERS),
                    default="mp4",
                    tooltip="mp4: H.264. webm: VP9, slower.",
                ),
                io.Int.Input(
                    "crf",
                    default=20,
                    min=BEST,
                    max=WORST,
                    advanced=True,
                    tooltip="Quality: 1 is the best and largest, 51 the worst.",
                ),
                io.String.Input(
                    "filename_prefix", default="video/zoom", tooltip="Where to save, in ComfyUI's output folder."
                ),
                PIXELS_PER_CELL,
            ],
            outputs=[io.Video.Output("video", display_name="VIDEO", tooltip="The saved file, for other video nodes.")],
        )

    @classmethod
    def execute(cls, images, zoom_factor, fps, format, crf, filename_prefix="video/zoom", **path_of_zoom):
        require_choice("format", format, ENCODERS)
        if not BEST <= crf <= WORST:  # the encoders would take the nearest in silence
            raise ValueError(f"crf: must be in {BEST}..{WORST}, got {crf}; 20 hardly differs from the original.")
        frames, count, size = frames_of(images, zoom_factor, fps=fps, **path_of_zoom)
        path, saved = output_file(filename_prefix, format, size)
        with written_whole(path) as unfinished:
            write_video(unfinished, counted(frames, count), fps, crf, workflow_of(cls))
        return io.NodeOutput(InputImpl.VideoFromFile(str(path)), ui=ui.PreviewVideo([saved]))


class ZoomFrames(io.ComfyNode):
    """The frames themselves, all in memory."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ZoomFrames",
            display_name="Zoom Frames",
            category="joint diffusion",
            description="The frames of Zoom Video as images, for nodes that need images. All of them are in memory at "
            "once: 12 MB for a frame of 1024 x 1024 pixels.",
            search_aliases=[*ZOOM, "frames", "interpolate"],
            inputs=[IMAGES, ZOOM_FACTOR, *PATH, PIXELS_PER_CELL],
            outputs=[io.Image.Output("frames", display_name="IMAGE", tooltip="One image per frame.")],
        )

    @classmethod
    def execute(cls, images, zoom_factor, **path_of_zoom):
        frames, count, size = frames_of(images, zoom_factor, **path_of_zoom)
        gigabyte = 1 << 30
        needed, free = 4 * count * 3 * size.height * size.width, free_memory()
        if needed > free:
            raise ValueError(
                f"seconds_per_level: {count} frames of {size.width} x {size.height} pixels need "
                f"{needed / gigabyte:.1f} GiB of memory, and {free / gigabyte:.1f} are free; take fewer frames, or "
                f"use Zoom Video, which does not keep them in memory."
            )
        batch = torch.empty(count, size.height, size.width, 3)
        for picture, frame in zip(batch, counted(frames, count), strict=True):
            picture.copy_(frame.permute(1, 2, 0)).clamp_(0, 1)
        return io.NodeOutput(batch)
