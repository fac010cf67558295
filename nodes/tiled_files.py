"""Files of tiles at many resolutions, that viewers load piece by piece: pyramidal TIFF and Deep Zoom, by libvips."""

import json
import re
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import Full, Queue
from typing import Any

from .png_file import png_parts, write_png
from .streamed_picture import StreamedPicture

LONGEST_SIDE = 10_000_000  # that libvips takes
TIFF = {
    "tile": True,
    "tile_width": 256,
    "tile_height": 256,
    "pyramid": True,
    "bigtiff": True,
    "compression": "deflate",
    "predictor": "horizontal",
}
DEEP_ZOOM = {"layout": "dz", "tile_size": 254, "overlap": 1, "suffix": ".jpg[Q=90]"}


def write_tiff(path: Path, picture: StreamedPicture, texts: Mapping[str, str], xmp: str = "") -> None:
    """Write a BigTIFF without loss, each further page half as large; the texts as one JSON object in ImageDescription.

    Raises:
        RuntimeError: there is no libvips.
        ValueError: a side that is longer than libvips takes.
        OSError: it could not be written.
    """
    vips = libvips("tif")

    def save(image: Any) -> None:
        image = image.copy()
        if texts:
            description = json.dumps({name: json.loads(text) for name, text in texts.items()})
            image.set_type(vips.GValue.gstr_type, "image-description", description)
        if xmp:
            image.set_type(vips.GValue.blob_type, "xmp-data", xmp.encode())
        image.tiffsave(str(path), **TIFF)

    _stream(vips, picture, "tif", save)


def write_deep_zoom(path: Path, picture: StreamedPicture, texts: Mapping[str, str], xmp: str = "") -> None:
    """Write a Deep Zoom: `path` says what it is, and the JPEG tiles are in the folder `name_files` beside it.

    Nothing in the format holds the texts, so they go into a small picture in that folder, `preview.png`.

    Raises:
        ValueError: an XMP packet, which has no place here, or a side that is longer than libvips takes.
        RuntimeError, OSError: as `write_tiff`.
    """
    if xmp:
        raise ValueError("projection: must be none with format dzi, which has no place for it; choose png or tif.")
    _stream(libvips("dzi"), picture, "dzi", lambda image: image.dzsave(str(path.with_suffix("")), **DEEP_ZOOM))
    preview = StreamedPicture.of(picture.preview)
    write_png(path.with_name(f"{path.stem}_files") / "preview.png", preview, texts)


def libvips(format: str) -> Any:
    """The package pyvips.

    Raises:
        RuntimeError: it is missing; the message says how to get it.
    """
    try:
        import pyvips  # here, because it is the only package that does not come with ComfyUI
    except (ImportError, OSError) as error:  # OSError: it has no libvips to load
        raise RuntimeError(
            f"format: {format} needs libvips, which is not there ({error}); run  {sys.executable} -m pip install "
            '"pyvips[binary]"  and restart ComfyUI, or choose png.'
        ) from error
    return pyvips


class _Pipe:
    """Bytes from the thread that decodes to the thread of libvips, which asks for them; it holds a few rows at most."""

    def __init__(self):
        self._queue: Queue[bytes] = Queue(maxsize=2)
        self._rest = memoryview(b"")
        self._ended = False

    def give(self, content: bytes, reader: Future[None]) -> bool:
        """Hand over bytes, and wait while there are enough; no bytes are the end. False: the reader has stopped."""
        while not reader.done():
            with suppress(Full):
                self._queue.put(content, timeout=0.05)
                return True
        return False

    def take(self, most: int) -> bytes:
        """At most so many bytes; none at the end."""
        if not self._rest and not self._ended:
            self._rest = memoryview(self._queue.get())
            self._ended = not self._rest
        part, self._rest = self._rest[:most], self._rest[most:]
        return bytes(part)


def _stream(vips: Any, picture: StreamedPicture, format: str, save: Callable[[Any], None]) -> None:
    """Has libvips `save` the picture while its rows are made."""
    picture.require_sides_up_to(LONGEST_SIDE, format)
    pipe = _Pipe()
    source = vips.SourceCustom()
    source.on_read(pipe.take)

    def read() -> None:
        try:
            save(vips.Image.pngload_source(source, access="sequential", fail_on="truncated"))
        except vips.Error as error:
            # Of many lines, the one that says what the disk said.
            reason = re.search("system error: (.+)", str(error))
            raise OSError(reason[1] if reason else " ".join(str(error).split())) from error

    # Decoding stays in this thread: to torch and to ComfyUI it matters which one it is.
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read)
        try:
            # As PNG, the simplest format that every libvips reads from a pipe.
            for part in png_parts(picture, compressed=False):
                if not pipe.give(part, reader):
                    break
        finally:
            pipe.give(b"", reader)
        reader.result()
