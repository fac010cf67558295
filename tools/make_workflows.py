"""Make everything in workflows/: UI files, API files and thumbnails. `make workflows` runs it.

Each workflow is written down in `workflows/` beside this file as an API prompt, built in ComfyUI's front end in
headless Chromium, and saved by the front end itself, so both files are what a person would get from its menus. The
demo workflows are then run for their thumbnails; those for checkpoints that are not here show their plan
instead. With names as arguments only these workflows are made.
"""

import json
import sys
import tempfile
import uuid
from pathlib import Path

from browser import front_end
from comfy_server import Server, running_server
from workflows.thumbnails import thumbnail
from workflows.zoom_thumbnails import zoom_thumbnail

from workflows import enlarging, guidance, transformers, windows, zoom

WORKFLOWS = Path(__file__).parents[1] / "workflows"
GRAPHS = windows.GRAPHS | enlarging.GRAPHS | guidance.GRAPHS | transformers.GRAPHS | zoom.GRAPHS


def make_files(server: Server, names: list[str]) -> None:
    """UI and API files."""
    with front_end(server) as editor:
        for name in names:
            editor.build(GRAPHS[name], uuid.uuid5(uuid.NAMESPACE_URL, name))
            workflow, prompt = editor.serialised()
            workflow.setdefault("extra", {})["ds"] = {"scale": 0.6, "offset": [160, 160]}
            write(WORKFLOWS / f"{name}.json", workflow)
            write(WORKFLOWS / "api" / f"{name}.json", prompt)


def write(path: Path, data: dict) -> None:
    """JSON as the front end exports it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def make_thumbnail(server: Server, name: str) -> None:
    """The picture of a workflow in the template browser."""
    prompt = json.loads((WORKFLOWS / "api" / f"{name}.json").read_text())
    picture = zoom_thumbnail(server, prompt) if name in zoom.GRAPHS else thumbnail(server, name, prompt)
    picture.save(WORKFLOWS / f"{name}.jpg", quality=88, optimize=True)


def main() -> None:
    """All workflows, or those named."""
    names = sys.argv[1:] or list(GRAPHS)
    with tempfile.TemporaryDirectory() as base, running_server(Path(base)) as server:
        make_files(server, names)
        for name in names:
            make_thumbnail(server, name)


if __name__ == "__main__":
    main()
