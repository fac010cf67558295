"""Frames to a video file, one at a time. Knows nothing of ComfyUI, so that demo and benchmarks write what nodes do."""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path

import av
import torch
from av.video.reformatter import ColorRange, Colorspace
from torch import Tensor

BT709, SRGB = 1, 13  # what ffmpeg calls these primaries and this matrix, and this transfer
SLOWEST = 0.001  # frames per second; rates are fractions of thousandths and 1001ths
GBR = (1, 2, 0)  # the order of ffmpeg's colour planes

# What a file name's ending means: the encoder, and what it needs to be told beside the quality.
ENCODERS = {
    "mp4": ("libx264", {}),
    "webm": ("libvpx-vp9", {"deadline": "good", "cpu-used": "4", "row-mt": "1"}),
}
WRITING = {"mp4": {"movflags": "use_metadata_tags+faststart"}, "webm": {}}  # else an MP4 drops our metadata


def even(length: int) -> int:
    """The largest even length up to this one: both formats store colours at half the resolution."""
    return length // 2 * 2


def picture_of(frame: Tensor) -> av.VideoFrame:
    """One frame of a video, from a picture (3, H, W) in 0..1: clamped to that range, and rounded to 8 bits."""
    _, height, width = frame.shape
    picture = av.VideoFrame(width, height, "gbrp")
    bytes_ = (frame * 255).add_(0.5).clamp_(0, 255)
    for plane, channel in zip(picture.planes, GBR, strict=True):
        memory = torch.frombuffer(plane, dtype=torch.uint8).reshape(plane.height, plane.line_size)
        memory[:, :width].copy_(bytes_[channel])
    return picture


def write_video(
    path: Path, frames: Iterable[Tensor], fps: float, crf: int = 20, metadata: Mapping[str, str] | None = None
) -> None:
    """Encode pictures (3, H, W) in 0..1 as they come: H.264 for `.mp4`, VP9 for `.webm`, in BT.709 colours.

    Memory does not grow with the number of frames. If `frames` raises, the unfinished file is removed.

    Raises:
        ValueError: another ending, an odd side, no frames, or less than `SLOWEST` of them a second.
    """
    write_pictures(path, map(picture_of, frames), fps, crf, metadata)


def write_pictures(
    path: Path, pictures: Iterable[av.VideoFrame], fps: float, crf: int, metadata: Mapping[str, str] | None = None
) -> None:
    """`write_video` for frames that are ffmpeg's already."""
    ending = path.suffix[1:].lower()
    if ending not in ENCODERS:
        raise ValueError(f"path: a video ends in {' or '.join(ENCODERS)}, got {path.name}.")
    codec, options = ENCODERS[ending]
    try:
        with av.open(str(path), "w", options=WRITING[ending]) as container:
            container.metadata.update(metadata or {})
            stream = None
            for picture in pictures:
                if stream is None:
                    stream = _add_stream(container, codec, fps, picture, options | {"crf": str(crf)})
                coded = picture.reformat(
                    format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
                )
                container.mux(stream.encode(coded))
            if stream is None:
                raise ValueError("frames: a video needs at least one frame, got none.")
            container.mux(stream.encode())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _add_stream(container, codec: str, fps: float, picture: av.VideoFrame, options: dict[str, str]):
    if picture.width % 2 or picture.height % 2:
        raise ValueError(
            f"frames: sides must be even, got {picture.width} x {picture.height}; `even` rounds them down."
        )
    if not fps >= SLOWEST:  # the encoders would take 24 for a rate that is rounded to 0
        raise ValueError(f"fps: must be at least {SLOWEST} frames per second, got {fps}; 30 are usual.")
    stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001), options=options)
    stream.width, stream.height, stream.pix_fmt, stream.bit_rate = picture.width, picture.height, "yuv420p", 0
    context = stream.codec_context
    context.color_primaries = context.colorspace = BT709
    context.color_trc, context.color_range = SRGB, ColorRange.MPEG
    return stream
