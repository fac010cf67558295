"""Make the pictures in docs/images: `make pictures` runs it. Needs ComfyUI and Chromium.

Two panoramas by `python -m demo`, what a newcomer sees of ComfyUI (the template browser, and the first workflow after
Run), the icon and the banner of the pack, and faults with their repair. With names as arguments only these pictures are
made.
"""

import io
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from browser import FrontEnd, front_end
from comfy_server import PACK, running_server
from fault_pictures import FAULTS, fault_picture
from pack_pictures import PAINTED, banner, icon
from PIL import Image

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "images"
FIRST_WORKFLOW = "panorama_msd_demo"
VIEW = (1600, 760)
PATIENCE_MS = 300_000
WIDTH = 1200  # pixels of a screenshot in the document
SHOWN = """app.canvas.setDirty(true, true), app.graph.nodes.find(node => node.type === 'SaveImage').imgs?.length"""


def panorama(method: str, *options: str) -> Image.Image:
    """As the command below the picture paints it."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "panorama.png"
        command = ["-m", "demo", "panorama", "--method", method, *(options or ["--seed", "1"]), "--out", str(out)]
        subprocess.run([sys.executable, *command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        return Image.open(out).convert("RGB")


def templates(editor: FrontEnd) -> Image.Image:
    """The pack's workflows in the template browser."""
    editor.page.evaluate("app.extensionManager.command.execute('Comfy.BrowseTemplates')")
    press(editor.page.get_by_text(PACK))
    look_for(editor, "demo")
    return screenshot(editor)


def look_for(editor: FrontEnd, words: str) -> None:
    """In the template browser, which lists files in the order of the disk and shows the first few."""
    editor.page.get_by_placeholder("Search ...").last.fill(words)
    editor.page.get_by_text(words).first.wait_for()


def after_run(editor: FrontEnd) -> Image.Image:
    """The first workflow, opened from there and run."""
    templates(editor)
    look_for(editor, FIRST_WORKFLOW)
    press(editor.page.get_by_text(FIRST_WORKFLOW, exact=True))
    editor.page.wait_for_function("app.graph.nodes.some(node => node.type === 'MultiScaleSampler')")
    press(editor.page.get_by_role("button", name="Run", exact=True).first)
    editor.page.wait_for_function(SHOWN)
    return screenshot(editor)


def press(element) -> None:
    """At once: on a machine without a GPU the page moves for so long that a pointer waits in vain."""
    element.wait_for()
    element.evaluate("element => element.click()")


def screenshot(editor: FrontEnd) -> Image.Image:
    """What is to be seen once pictures have loaded and notices are gone."""
    editor.page.wait_for_function("[...document.images].every(image => image.complete)")
    editor.page.wait_for_timeout(6000)
    shot = Image.open(io.BytesIO(editor.page.screenshot())).convert("RGB")
    return shot.resize((WIDTH, WIDTH * shot.height // shot.width), Image.Resampling.LANCZOS)


def in_front_end(picture: Callable[[FrontEnd], Image.Image]) -> Image.Image:
    """A picture of a fresh front end."""
    with tempfile.TemporaryDirectory() as base, running_server(Path(base)) as server, front_end(server) as editor:
        editor.page.set_default_timeout(PATIENCE_MS)
        editor.page.set_viewport_size({"width": VIEW[0], "height": VIEW[1]})
        return picture(editor)


def fault(name: str) -> Image.Image:
    """A fault and its repair, by a fresh server."""
    with tempfile.TemporaryDirectory() as base, running_server(Path(base)) as server:
        return fault_picture(server, name)


MAKERS = {
    "msd": partial(panorama, "msd"),
    "multidiffusion": partial(panorama, "multidiffusion"),
    "templates": partial(in_front_end, templates),
    "front_end": partial(in_front_end, after_run),
    "icon": lambda: icon(panorama("msd", *PAINTED)),
    "banner": lambda: banner(panorama("msd", *PAINTED)),
    **{f"fault_{name}": partial(fault, name) for name in FAULTS},
}


def main() -> None:
    """All pictures, or those named."""
    for name in sys.argv[1:] or MAKERS:
        MAKERS[name]().save(PICTURES / f"{name}.jpg", quality=88, optimize=True)


if __name__ == "__main__":
    main()
