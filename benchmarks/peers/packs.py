"""Other packs, loaded from where the user has them: nothing of them is in this repository.

ComfyUI-TiledDiffusion has a node TiledDiffusion, ComfyUI_UltimateSDUpscale a node UltimateSDUpscaleNoUpscale. The
host's own Context Windows are a node of its extras.
"""

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher
    from torch import Tensor

PIXELS_PER_CELL = 8  # a latent cell of the models here has so many on a side, and these nodes ask for pixels


class Pack:
    """A node of a pack of nodes in a folder.

    Attributes:
        name: the folder, with the version and the commit that it says of itself.
    """

    node: str
    pack: str
    arguments: tuple[str, ...]  # those that are required

    def __init__(self, path: Path, option: str):
        """Load the pack; `option` is that of the command line, for messages.

        Raises:
            SystemExit: it has no such node, or one that is called otherwise.
        """
        self._check(path, option)
        found = _load(path, option).get(self.node)
        inputs = tuple(found.INPUT_TYPES()["required"]) if found else ()
        if found is None or inputs != self.arguments:
            sys.exit(
                f"{option}: must be the folder of a ComfyUI pack with a node {self.node} that takes "
                f"{', '.join(self.arguments)} ({self.pack}), got {path}, "
                + (f"whose node takes {', '.join(inputs)}." if found else "which has no such node.")
            )
        self.name = named(path)
        self._node = found

    def _check(self, path: Path, option: str) -> None:
        """What a pack needs before it can be loaded."""

    def _called(self, **inputs: Any) -> Any:
        """The node's first output, by a node that is new, as the host makes one for every place in a graph."""
        node = self._node()
        return getattr(node, node.FUNCTION)(**inputs)[0]


class TiledDiffusion(Pack):
    """MODEL to MODEL: the model sees a canvas through windows."""

    node, pack = "TiledDiffusion", "ComfyUI-TiledDiffusion"
    arguments = ("model", "method", "tile_width", "tile_height", "tile_overlap", "tile_batch_size")

    def patch(
        self, model: "ModelPatcher", window: int, overlap: int, batch: int, method: str = "MultiDiffusion"
    ) -> "ModelPatcher":
        """The model with square windows, in latent cells; `batch` of them in one call."""
        sides = (PIXELS_PER_CELL * window, PIXELS_PER_CELL * window, PIXELS_PER_CELL * overlap)
        given = (model, method, *sides, batch)
        return self._called(**dict(zip(self.arguments, given, strict=True)))


class UltimateUpscale(Pack):
    """A picture that is as large as it shall be, painted over tile after tile."""

    node, pack = "UltimateSDUpscaleNoUpscale", "ComfyUI_UltimateSDUpscale"
    arguments = (
        *("upscaled_image", "model", "positive", "negative", "vae", "seed", "steps", "cfg", "sampler_name"),
        *("scheduler", "denoise", "mode_type", "tile_width", "tile_height", "mask_blur", "tile_padding"),
        *("seam_fix_mode", "seam_fix_denoise", "seam_fix_width", "seam_fix_mask_blur", "seam_fix_padding"),
        *("force_uniform_tiles", "tiled_decode", "batch_size"),
    )
    script = "repositories/ultimate_sd_upscale"

    def _check(self, path: Path, option: str) -> None:
        # The pack would download what is missing. A benchmark downloads nothing.
        if (path / "repositories").is_dir() and not any((path / self.script).glob("*")):
            sys.exit(
                f"{option}: {path / self.script} is empty; clone the pack with --recurse-submodules, or start ComfyUI "
                "with it once."
            )

    def refine(
        self,
        image: "Tensor",
        model: "ModelPatcher",
        vae: Any,
        prompts: tuple[Any, Any],
        *,
        denoise: float,
        tile: int,
        padding: int,
        blur: int,
        **ksampler: Any,
    ) -> "Tensor":
        """The picture (B, H, W, 3) painted over; all else is as the node has it by default.

        Pixels. The model sees `tile + padding` of them on each side. `ksampler` are seed, steps, cfg, sampler_name and
        scheduler.
        """
        required = self._node.INPUT_TYPES()["required"]
        by_default = {name: kind[1]["default"] for name, kind in required.items() if "default" in kind[-1]}
        given = by_default | {
            "upscaled_image": image,
            "model": model,
            "positive": prompts[0],
            "negative": prompts[1],
            "vae": vae,
            "denoise": denoise,
            "mode_type": "Linear",
            "seam_fix_mode": "None",
            "tile_width": tile,
            "tile_height": tile,
            "tile_padding": padding,
            "mask_blur": blur,
            **ksampler,
        }
        return self._called(**given)


def context_windows(model: "ModelPatcher", window: int, overlap: int, fuse: str, wrap: bool = False) -> "ModelPatcher":
    """The host's own windows along the x axis, in latent cells; import only after `host.start_host`.

    `fuse` is flat (all cells alike) or pyramid, the default. Windows over the edge move from step to step. The fixed
    frame in front of each window, which is on by default, is for videos: it would change pictures.
    """
    from comfy_extras.nodes_context_windows import ContextWindowsManualNode

    return ContextWindowsManualNode.execute(
        model,
        context_length=window,
        context_overlap=overlap,
        context_schedule="looped_uniform" if wrap else "standard_static",
        context_stride=1,
        closed_loop=wrap,
        fuse_method=fuse,
        dim=1 + model.get_model_object("latent_format").latent_dimensions,  # the last one: films have one more
        freenoise=False,
        causal_window_fix=False,
    ).args[0]


def named(path: Path) -> str:
    """The folder of a pack, the version in its pyproject.toml and the commit that is checked out, if it has them."""
    path, parts = path.resolve(), []
    if (project := path / "pyproject.toml").is_file():
        parts.append(tomllib.loads(project.read_text(encoding="utf-8")).get("project", {}).get("version", ""))
    if (path / ".git").exists():
        asked = ["git", "-C", str(path), "rev-parse", "--short", "HEAD"]
        parts.append(subprocess.run(asked, stdout=subprocess.PIPE, text=True).stdout.strip())
    return " ".join([path.name, *filter(None, parts)])


def _load(path: Path, option: str) -> dict[str, Any]:
    if not (path / "__init__.py").is_file():
        sys.exit(f"{option}: must be the folder of a ComfyUI pack, got {path}, which has no __init__.py.")
    name = "peer_" + re.sub(r"\W", "_", path.resolve().name)
    spec = importlib.util.spec_from_file_location(name, path / "__init__.py", submodule_search_locations=[str(path)])
    assert spec
    assert spec.loader
    sys.modules[name] = package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    return getattr(package, "NODE_CLASS_MAPPINGS", {})
