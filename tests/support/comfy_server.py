"""The real ComfyUI server with this pack in its custom_nodes, as a client sees it. Nothing is written to its folder."""

import io
import json
import os
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import websocket
from host import HOST, ROOT
from PIL import Image

PACK = "ComfyUI-Joint-Diffusion"
STARTUP_SECONDS = 180
TEXT, PREVIEW_WITH_METADATA = 3, 4  # kinds of binary messages
LOCAL = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class PromptFailed(Exception):
    """The server refused a prompt or a node raised; the message is what a user of the API reads."""


@dataclass
class Run:
    """What one queued prompt sent back."""

    prompt_id: str
    events: list[dict] = field(default_factory=list)
    previews: list[Image.Image] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)  # (node, what is said in it)
    outputs: dict = field(default_factory=dict)
    interrupted: bool = False

    @property
    def progress(self) -> list[tuple[str, int, int]]:
        """(node, value, maximum), in the order of arrival."""
        messages = [event["data"] for event in self.events if event["type"] == "progress"]
        return [(message["node"], message["value"], message["max"]) for message in messages]

    @property
    def cached(self) -> list[str]:
        """Nodes whose result was still known from an earlier prompt."""
        return [node for event in self.events if event["type"] == "execution_cached" for node in event["data"]["nodes"]]


class Server:
    process: subprocess.Popen

    def __init__(self, base: Path, port: int):
        self.base = base
        self.address = f"127.0.0.1:{port}"

    @property
    def log(self) -> str:
        return (self.base / "server.log").read_text(errors="replace")

    def get(self, path: str) -> bytes:
        with LOCAL.open(f"http://{self.address}{path}", timeout=60) as answer:
            return answer.read()

    def get_json(self, path: str):
        return json.loads(self.get(path))

    def post(self, path: str, data: dict) -> dict:
        body = json.dumps(data).encode()
        request = urllib.request.Request(f"http://{self.address}{path}", body, {"Content-Type": "application/json"})
        try:
            with LOCAL.open(request, timeout=60) as answer:
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            raise PromptFailed(f"HTTP {error.code}: {error.read().decode(errors='replace')}") from None

    def run(self, prompt: dict, timeout: float = 300, on_event: Callable[[Run, dict], None] | None = None) -> Run:
        """Queue an API-format prompt and wait until it has run or was interrupted.

        `on_event` sees every text message as it arrives, so a test can interrupt in the middle.

        Raises:
            PromptFailed: any node was refused or failed.
        """
        client = uuid.uuid4().hex
        channel = websocket.create_connection(
            f"ws://{self.address}/ws?clientId={client}", timeout=timeout, http_no_proxy=["127.0.0.1"]
        )
        try:
            channel.send(json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}}))
            answer = self.post("/prompt", {"prompt": prompt, "client_id": client})
            if answer["node_errors"]:
                raise PromptFailed(json.dumps(answer["node_errors"]))
            run = Run(answer["prompt_id"])
            self._follow(channel, run, time.monotonic() + timeout, on_event)
        finally:
            channel.close()
        run.outputs = self._history(run.prompt_id)["outputs"]
        return run

    def _history(self, prompt_id: str) -> dict:
        """What the server keeps of a prompt. It is written shortly after the last message."""
        for _ in range(100):
            history = self.get_json(f"/history/{prompt_id}")
            if history:
                return history[prompt_id]
            time.sleep(0.05)
        raise TimeoutError(f"the server has no history of prompt {prompt_id}")

    def _follow(self, channel, run: Run, deadline: float, on_event) -> None:
        while True:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the prompt did not end in time; the server's log:\n{self.log[-4000:]}")
            message = channel.recv()
            if isinstance(message, bytes):
                (kind,) = struct.unpack(">I", message[:4])
                if kind == TEXT:
                    run.texts.append(_text(message))
                else:
                    run.previews.append(_preview(message, kind))
                continue
            event = json.loads(message)
            run.events.append(event)
            if on_event is not None:
                on_event(run, event)
            if event["data"].get("prompt_id") != run.prompt_id:
                continue
            if event["type"] == "execution_error":
                raise PromptFailed(f"{event['data']['node_type']}: {event['data']['exception_message']}")
            run.interrupted = event["type"] == "execution_interrupted"
            if run.interrupted or event["type"] == "execution_success":
                return

    def interrupt(self, run: Run) -> None:
        self.post("/interrupt", {"prompt_id": run.prompt_id})

    def images(self, run: Run, node: str) -> np.ndarray:
        """The pictures that an output node saved, (B, H, W, C) in 0..1."""
        files = [self.get(f"/view?{urllib.parse.urlencode(image)}") for image in run.outputs[node]["images"]]
        return np.stack([np.asarray(Image.open(io.BytesIO(file)), dtype=np.float32) / 255 for file in files])

    def add_input(self, name: str, image: np.ndarray) -> str:
        """Put a picture (H, W, 3) in 0..1 where LoadImage finds it; returns its name."""
        Image.fromarray((image * 255).round().astype(np.uint8)).save(self.base / "input" / name)
        return name


def _text(message: bytes) -> tuple[str, str]:
    (length,) = struct.unpack(">I", message[4:8])
    return message[8 : 8 + length].decode(), message[8 + length :].decode()


def _preview(message: bytes, kind: int) -> Image.Image:
    if kind == PREVIEW_WITH_METADATA:
        (length,) = struct.unpack(">I", message[4:8])
        return Image.open(io.BytesIO(message[8 + length :]))
    return Image.open(io.BytesIO(message[8:]))


@contextmanager
def running_server(base: Path, *beside: Path) -> Iterator[Server]:
    """Start the server on a free port, with a folder of its own for models, input, output and users.

    `beside` are packs of nodes that it loads beside this one. The folder may be that of a server that ended.
    """
    for folder in ("custom_nodes", "input", "output", "temp", "user"):
        (base / folder).mkdir(exist_ok=True)
    for name, pack in ((PACK, ROOT), *((pack.name, pack) for pack in beside)):
        if not (link := base / "custom_nodes" / name).is_symlink():
            link.symlink_to(pack, target_is_directory=pack.is_dir())
    port = _free_port()
    server = Server(base, port)
    command = [sys.executable, str(HOST / "main.py"), "--cpu", "--port", str(port), "--disable-api-nodes"]
    command += ["--base-directory", str(base), "--database-url", "sqlite:///:memory:", "--preview-method", "latent2rgb"]
    with open(base / "server.log", "wb") as log:
        process = subprocess.Popen(command, cwd=base, stdout=log, stderr=subprocess.STDOUT, env=_environment())
        server.process = process
        try:
            _wait_until_up(server, process)
            yield server
        finally:
            process.terminate()
            process.wait(timeout=30)


def _environment() -> dict[str, str]:
    nothing_beside_the_sources = {} if "PYTHONPYCACHEPREFIX" in os.environ else {"PYTHONDONTWRITEBYTECODE": "1"}
    return os.environ | nothing_beside_the_sources | {"HF_HUB_OFFLINE": "1"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_up(server: Server, process: subprocess.Popen) -> None:
    for _ in range(STARTUP_SECONDS * 2):
        if process.poll() is not None:
            raise RuntimeError(f"ComfyUI ended with code {process.returncode}; its log:\n{server.log[-8000:]}")
        try:
            server.get("/system_stats")
            return
        except OSError:
            time.sleep(0.5)
    raise RuntimeError(f"ComfyUI did not answer within {STARTUP_SECONDS} s; its log:\n{server.log[-8000:]}")
