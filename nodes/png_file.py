"""A PNG written row by row. Pillow, which ComfyUI writes PNG with, needs all of the picture in memory."""

import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from .streamed_picture import StreamedPicture

LONGEST_SIDE = 2**31 - 1  # that the header can hold
COMPRESS_LEVEL = 4  # of ComfyUI's Save Image
XMP_KEYWORD = b"XML:com.adobe.xmp"
EMPTY: Mapping[str, str] = MappingProxyType({})


def write_png(path: Path, picture: StreamedPicture, texts: Mapping[str, str], xmp: str = "") -> None:
    """Write a picture, with texts as ComfyUI reads them (`tEXt`) and an XMP packet.

    Raises:
        ValueError: a side that is longer than the format allows.
        OSError: it could not be written.
    """
    picture.require_sides_up_to(LONGEST_SIDE, "png")
    with path.open("wb") as file:
        file.writelines(png_parts(picture, texts, xmp))


def png_parts(
    picture: StreamedPicture, texts: Mapping[str, str] = EMPTY, xmp: str = "", compressed: bool = True
) -> Iterator[bytes]:
    """The bytes of a PNG, part by part. Not compressed it is fast to write and to read."""
    height, width = picture.size
    yield b"\x89PNG\r\n\x1a\n"
    yield _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))  # 8 bits of red, green and blue
    for name, text in texts.items():
        yield _chunk(b"tEXt", name.encode("latin-1") + b"\0" + text.encode("latin-1"))
    if xmp:
        yield _chunk(b"iTXt", XMP_KEYWORD + b"\0\0\0\0\0" + xmp.encode())  # not compressed, no language
    packer = zlib.compressobj(COMPRESS_LEVEL if compressed else 0, strategy=zlib.Z_FILTERED)
    above = np.zeros((width, 3), np.uint8)
    for rows in picture:
        if packed := packer.compress(filtered(rows, above) if compressed else unfiltered(rows)):
            yield _chunk(b"IDAT", packed)
        above = rows[-1]
    yield _chunk(b"IDAT", packer.flush())
    yield _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


def unfiltered(rows: np.ndarray) -> bytes:
    """Rows (rows, width, 3) as PNG stores them as they are: by filter 0."""
    return np.pad(rows.reshape(len(rows), -1), ((0, 0), (1, 0))).tobytes()


def filtered(rows: np.ndarray, above: np.ndarray) -> bytes:
    """Rows (rows, width, 3) as PNG stores them: what each byte differs from its neighbours', and by which of 5 filters.

    Of each row the filter with the least sum of differences, as the format's authors advise (section 12.8). `above` is
    the row before, zeros for the first one.
    """
    here = rows.reshape(len(rows), -1).astype(np.int16)
    up = np.concatenate([above.reshape(1, -1), here[:-1]], dtype=np.int16)
    left, corner = (np.pad(values, ((0, 0), (3, 0)))[:, :-3] for values in (here, up))
    guesses = (0, left, up, (left + up) // 2, _paeth(left, up, corner))
    differences = np.stack([(here - guess).astype(np.uint8) for guess in guesses])
    sums = np.abs(differences.view(np.int8).astype(np.int16)).sum(-1, dtype=np.int64)
    best = sums.argmin(0)
    chosen = differences[best, np.arange(len(rows))]
    return np.concatenate([best[:, None].astype(np.uint8), chosen], axis=1).tobytes()


def _paeth(left: np.ndarray, up: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """Of the three neighbours the one nearest to left + up - corner; section 9.4."""
    to_left, to_up, to_corner = np.abs(up - corner), np.abs(left - corner), np.abs(left + up - 2 * corner)
    nearest = np.where(to_up <= to_corner, up, corner)
    return np.where((to_left <= to_up) & (to_left <= to_corner), left, nearest)
