"""Queue a workflow in API format in a running ComfyUI, watch it, and fetch what it saves.

    pip install websocket-client
    python tools/queue_workflow.py workflows/api/panorama_demo.json
    python tools/queue_workflow.py my_workflow.json --server http://192.168.0.5:8188 --out pictures

Only files that the workflow saves are fetched (Save Image, Zoom Video, ...), under their own names; previews are not.
"""

import argparse
import json
import sys
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import websocket

PATIENCE = 3600  # seconds without any word from the server


class WorkflowFailed(Exception):
    """The server refused the workflow, or a node failed; the message names the node."""


def run(server: str, prompt: dict[str, Any]) -> dict[str, Any]:
    """Run a prompt and return what each node has put out.

    Args:
        server: address, such as http://127.0.0.1:8188.
        prompt: workflow in API format.

    Raises:
        WorkflowFailed: the server refused it, a node failed, or somebody interrupted it.
        OSError, websocket.WebSocketException: there is no server, or it is no ComfyUI.
    """
    client = uuid.uuid4().hex
    channel = websocket.create_connection(f"ws{server.removeprefix('http')}/ws?clientId={client}", timeout=PATIENCE)
    try:
        prompt_id = queue(server, prompt, client)
        for line in follow(channel, prompt, prompt_id):
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
    finally:
        channel.close()
        print(file=sys.stderr)
    return json.load(urllib.request.urlopen(f"{server}/history/{prompt_id}"))[prompt_id]["outputs"]


def read(path: Path) -> dict[str, Any]:
    """The prompt in a file.

    Raises:
        WorkflowFailed: it cannot be read, or is not in API format.
    """
    try:
        prompt = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WorkflowFailed(f"workflow: must be a JSON file that can be read, got {path} ({error}).") from error
    nodes = prompt.values() if isinstance(prompt, dict) else [None]
    if not all(isinstance(node, dict) and "class_type" in node for node in nodes):
        raise WorkflowFailed(
            f"workflow: must be in API format, and {path} is not; take a file of workflows/api/, or write one with "
            "File > Export (API) in ComfyUI."
        )
    return prompt


def queue(server: str, prompt: dict[str, Any], client: str) -> str:
    """Queue a prompt and return its id."""
    body = json.dumps({"prompt": prompt, "client_id": client}).encode()
    request = urllib.request.Request(f"{server}/prompt", body, {"Content-Type": "application/json"})
    try:
        answer = json.load(urllib.request.urlopen(request))
    except urllib.error.HTTPError as error:
        answer = json.load(error)
    wrong = [
        f"{name_of(prompt, key)}: {one['message']}: {one['details']}"
        for key, node in answer.get("node_errors", {}).items()
        for one in node["errors"]
    ]
    if wrong or "error" in answer:
        raise WorkflowFailed("\n".join(wrong) or f"{answer['error']['message']} {answer['error']['details']}".strip())
    return answer["prompt_id"]


def follow(channel, prompt: dict[str, Any], prompt_id: str) -> Iterator[str]:
    """What the server is doing, line by line, until the prompt is done."""
    while True:
        message = channel.recv()
        if isinstance(message, bytes):  # a preview
            continue
        event = json.loads(message)
        kind, data = event["type"], event["data"]
        if data.get("prompt_id") != prompt_id:
            continue
        if kind == "execution_error":
            raise WorkflowFailed(f"{name_of(prompt, data['node_id'])}: {data['exception_message'].strip()}")
        if kind == "execution_interrupted":
            raise WorkflowFailed(f"{name_of(prompt, data['node_id'])}: was interrupted")
        if kind == "executing" and data["node"] is None:  # all is done, and the history has the outputs
            return
        if kind == "executing":
            yield name_of(prompt, data["node"])
        if kind == "progress":
            yield f"{name_of(prompt, data['node'])}: {data['value']} of {data['max']}"


def name_of(prompt: dict[str, Any], key: str) -> str:
    """A node as people know it."""
    node = prompt.get(key.partition(".")[0], {"class_type": "a node"})  # a node that expands has children like 5.0.1
    return f"{node.get('_meta', {}).get('title', node['class_type'])} (node {key})"


def fetch(server: str, outputs: dict[str, Any], folder: Path) -> list[Path]:
    """Fetch the files that nodes have saved, not their previews, into a folder."""
    listed = [entry for output in outputs.values() for entries in output.values() for entry in entries]
    saved = [entry for entry in listed if isinstance(entry, dict) and entry.get("type") == "output"]
    # Save Panorama names a file twice: as what the graph shows, and as what is saved.
    places = dict.fromkeys((entry["filename"], entry["subfolder"]) for entry in saved)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, subfolder in places:
        place = {"filename": name, "subfolder": subfolder, "type": "output"}
        path = folder / Path(name).name
        path.write_bytes(urllib.request.urlopen(f"{server}/view?{urllib.parse.urlencode(place)}").read())
        paths.append(path)
    return paths


def main(arguments: list[str] | None = None) -> None:
    """Command line; see the module's first lines."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("workflow", type=Path, help="in API format")
    parser.add_argument("--server", default="http://127.0.0.1:8188", help="address of ComfyUI, by default %(default)s")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for what is saved, by default this one")
    args = parser.parse_args(arguments)
    server = args.server.rstrip("/")
    if "://" not in server:
        server = f"http://{server}"
    try:
        outputs = run(server, read(args.workflow))
    except WorkflowFailed as error:
        sys.exit(f"{args.workflow.name} failed.\n{error}")
    except (OSError, websocket.WebSocketException) as error:
        sys.exit(f"--server: no ComfyUI answers at {server} ({error}); start it, or give the address of one.")
    paths = fetch(server, outputs, args.out)
    if not paths:
        sys.exit(f"{args.workflow.name} saves nothing: add Save Image or another node that saves.")
    print(*paths, sep="\n")


if __name__ == "__main__":
    main()
