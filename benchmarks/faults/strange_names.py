"""Names and addresses that try to leave the host's folders, files that are programs, and text that is a script."""

import contextlib
import http.client
import os
import pickle
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .graphs import Graph, node

if TYPE_CHECKING:
    from comfy_server import Server

SECRET = "what nobody may read over the network"
PARTS = ["..", ".", "", "a", "Wüste", "%year%", "%batch_num%", "~", "$HOME", "C:", "CON", " ", "x" * 300, "-", "\n"]
PARTS += ["\0", "%2e%2e", "<img src=x onerror=alert(1)>", "'; rm -rf *", "\u202e", "tmp", "\\..", "a.png"]
UP = ["..", "%2e%2e", "..%2f..", "%2e%2e%2f", "..\\", "..%5c", ".", "docs", "%00", "....//"]
SCRIPTS = ["<img src=x onerror=window.owned=1>", "<script>window.owned=1</script>", "<svg onload=window.owned=1>"]


def written_names(server: "Server", count: int, seed: int) -> tuple[int, list[str]]:
    """Files are saved under so many random prefixes: what lies outside of the output folder then, or has no answer."""
    from comfy_server import PromptFailed

    lot, wrong = random.Random(seed), []
    outside = _files_outside(server.base)
    for number in range(count):
        parts = lot.choices(PARTS, k=lot.randint(1, 4))
        prefix = lot.choice(["", "/", "//", "\\"]) + lot.choice(["/", "\\"]).join(parts)
        try:
            files = _saved(server.run(_saving(prefix, number)).outputs)
            lost = [name for name in files if not _is_output(server, name)]
            wrong += [f"{prefix!r}: {lost} are not in the output folder"] if lost else []
        except PromptFailed as error:
            if "filename_prefix" not in str(error) and "outside the output folder" not in str(error):
                wrong.append(f"{prefix!r}: {error}")
        if new := _files_outside(server.base) - outside:
            wrong.append(f"{prefix!r}: wrote {sorted(new)}")
            outside |= new
    return count, wrong


def read_addresses(server: "Server", count: int, seed: int) -> tuple[int, list[str]]:
    """So many random addresses below the pack's own: whether one gives a file from elsewhere."""
    from comfy_server import PACK

    (server.base / "secret.txt").write_text(SECRET)
    (server.base / "custom_nodes" / "secret.txt").write_text(SECRET)
    lot, wrong = random.Random(seed), []
    ends = ["secret.txt", "__init__.py", "nodes/entry.py", "pyproject.toml", "etc/passwd", ".git/config", "server.log"]
    for _ in range(count):
        way = "/".join(lot.choices(UP, k=lot.randint(1, 6))) + "/" + lot.choice(ends)
        address = lot.choice(
            [
                f"/extensions/{PACK}/{way}",
                f"/view?filename={way}&type=output",
                f"/view?filename=a&subfolder={way}&type=temp",
            ]
        )
        status, text = _asked(server, address)
        if status == 200 and (SECRET in text or "root:" in text or "import " in text or "[project]" in text):
            wrong.append(f"{address} gives {text[:60]!r}")
    return count, wrong


class Program:
    """What a file of weights may be, too."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


def weights_that_are_programs(server: "Server") -> tuple[int, list[str]]:
    """Pickles under every ending that weights may have, where the node looks for weights: none may run."""
    from comfy_server import PromptFailed

    (name,) = (name for name in server.get_json("/models") if "perceptual" in name)
    folder = server.base / "models" / name
    folder.mkdir(parents=True, exist_ok=True)
    wrong, trace = [], server.base / "was-run"
    endings = (".pth", ".pt", ".ckpt", ".bin", ".safetensors", ".pt2", ".pkl", ".sft")
    for ending in endings:
        path = folder / f"program{ending}"
        path.write_bytes(pickle.dumps({"features.0.weight": Program(trace)}))
        try:
            server.run(_perceptual())
            wrong.append(f"{path.name}: no answer")
        except PromptFailed as error:
            if f"{path.name} cannot be read" not in str(error):
                wrong.append(f"{path.name}: {error}")
        if trace.exists():
            wrong.append(f"{path.name} was run")
            trace.rmdir()
        path.unlink()
    return len(endings), wrong


def texts_that_are_scripts(server: "Server") -> tuple[int, list[str]]:
    """Captions that are scripts, shown in the browser: none may run, nor make an element."""
    import browser

    if browser.why_not():
        return 0, []
    wrong = []
    with browser.front_end(server) as front:
        for text in SCRIPTS:
            graph = {
                "levels": node("EmptyImage", width=64, height=64, batch_size=2, color=0x336699),
                "words": node("PrimitiveStringMultiline", value=f"{text}\n{text}"),
                "explorer": node(
                    "ExploreZoomStack", images=["levels", 0], zoom_factor=2, prompts=["words", 0], pixels_per_cell=8
                ),
            }
            front.build(graph)
            front.queue()
            front.page.wait_for_function("text => document.body.innerText.includes(text)", arg=text)
            if front.page.evaluate("window.owned || document.querySelectorAll('[onerror], [onload]').length"):
                wrong.append(f"{text} is no text any more")
    return len(SCRIPTS), wrong


def _saving(prefix: str, number: int) -> Graph:
    picture = node("EmptyImage", width=64, height=64, batch_size=2, color=number)
    if number % 2:
        save = node("SavePanorama", source="images", source__images=["picture", 0], format="png", projection="none")
    else:
        path = {"seconds_per_level": 0.1, "fps": 10.0, "easing": "linear", "direction": "in"}
        save = node("ZoomVideo", images=["picture", 0], zoom_factor=2, format="mp4", crf=40, **path)
    save["inputs"]["filename_prefix"] = prefix
    return {"picture": picture, "save": save}


def _saved(outputs: dict) -> list[str]:
    shown = outputs["save"].get("saved") or outputs["save"].get("images")
    return [os.path.join(file["subfolder"], file["filename"]) for file in shown]


def _is_output(server: "Server", name: str) -> bool:
    output = (server.base / "output").resolve()
    path = (output / name).resolve()
    return path.is_file() and path.is_relative_to(output)


def _files_outside(base: Path) -> set[str]:
    """All files of the server's folder but those that it may write, and those around it."""
    may = ("output", "temp", "user", "server.log")
    found = {str(path) for path in base.parent.glob("*")}
    for path in base.iterdir():
        if path.name not in may:
            found |= {str(path), *(str(inner) for inner in path.rglob("*"))}
    return found


def _asked(server: "Server", address: str) -> tuple[int, str]:
    """The answer to an address as it is, which other clients would tidy up."""
    host, port = server.address.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    with contextlib.closing(connection):
        connection.putrequest("GET", address, skip_host=False)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")


def _perceptual() -> Graph:
    return {
        "demo": node("LoadDemoModel"),
        "sync": node("SyncGuidance", model=["demo", 0], weight=1.0, loss="lpips", vae=["demo", 2]),
        "shown": node("PreviewAny", source=["sync", 0]),
    }
