"""The server killed in the middle of a run: what lies in its folders then, and what the next server paints."""

import hashlib
import random
import shutil
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import av
from av.error import FFmpegError

from .graphs import shown, written

if TYPE_CHECKING:
    from comfy_server import Server


@dataclass
class Kills:
    """How many kills there were in the middle of a run, and what was wrong."""

    tried: int = 0
    half_written: list[str] = field(default_factory=list)
    differ: list[str] = field(default_factory=list)


def kill_servers(folder: Path, count: int, seed: int) -> Kills:
    """`folder` is for the files of the servers, each of which begins where the one before was killed."""
    from comfy_server import running_server

    lot, kills, output = random.Random(seed), Kills(), folder / "output"
    with running_server(folder) as server:
        reference = _picture(server)
        start = time.monotonic()
        server.run(written())
        seconds = time.monotonic() - start
    whole = _seen(output)
    while kills.tried < count:
        number = kills.tried + 1
        shutil.rmtree(output)
        with running_server(folder) as server:
            if _picture(server) != reference:
                kills.differ.append(f"after kill {number}, the next picture is another")
            running = threading.Thread(target=_queue, args=(server,), daemon=True)
            running.start()
            time.sleep(lot.uniform(0.05, 0.95) * seconds)
            kills.tried += running.is_alive()  # a run that is over cannot be killed in the middle
            server.process.kill()
            server.process.wait()
            running.join()
        kills.half_written += [f"kill {number}: {name}" for name, is_ in _seen(output).items() if is_ != whole[name]]
    return kills


def _picture(server: "Server") -> bytes:
    return server.images(server.run(shown(1)), "save").tobytes()


def _queue(server: "Server") -> None:
    with suppress(Exception):  # the server is gone in the middle of it
        server.run(written())


def _seen(output: Path) -> dict[str, str]:
    """What people see in a folder, by names: files, what is in them; hidden ones are not for them."""
    names = {str(path.relative_to(output)): path for path in sorted(output.rglob("*")) if path.is_file()}
    return {name: _content(path) for name, path in names.items() if not name.startswith(".")}


def _content(path: Path) -> str:
    if path.name == "vips-properties.xml":  # has the hour
        return path.read_text(encoding="utf-8").rpartition(">")[0][-20:]
    if path.suffix not in (".mp4", ".webm"):
        return hashlib.sha256(path.read_bytes()).hexdigest()
    try:
        with av.open(str(path)) as video:  # whose encoder decides anew each time
            return f"{sum(1 for _ in video.decode(video=0))} frames"
    except FFmpegError as error:
        return f"no video: {error}"
