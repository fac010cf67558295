"""The pack against its peers in one run: other packs that are loaded from where they are, and the host itself.

    OMP_NUM_THREADS=1 python -m benchmarks.peers --tiled-diffusion ~/ComfyUI/custom_nodes/ComfyUI-TiledDiffusion \\
        --ultimate-upscale ~/ComfyUI/custom_nodes/ComfyUI_UltimateSDUpscale

Each pack is optional; the host's own sampling and its Context Windows always take part. Three parts: panoramas of the
bundled model, a picture enlarged, and inputs that people have, with tiny models. All are in one process, as with a user
who has installed all of them, and take turns.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..host import start_host
from ..table import RESULTS
from .packs import TiledDiffusion, UltimateUpscale

if TYPE_CHECKING:
    from .panoramas import Wanted

PARTS = ("panoramas", "enlarging", "inputs")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tiled-diffusion", type=Path, help="folder of ComfyUI-TiledDiffusion")
    parser.add_argument("--ultimate-upscale", type=Path, help="folder of ComfyUI_UltimateSDUpscale")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--columns", type=int, default=8, help="windows side by side")
    parser.add_argument("--seeds", type=int, default=1, help="panoramas for each of 3 prompts")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument(
        "--cases", nargs="+", help="only inputs whose names have one of these; other rows stay as they are"
    )
    parser.add_argument("--memory", action=argparse.BooleanOptionalAction, default=True, help="measure it, too")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the tables go")
    args = parser.parse_args()
    args.commands = {part: _command(args, part) for part in PARTS}
    return args


def _command(args: argparse.Namespace, part: str) -> str:
    """What makes the tables of a part again, whatever else this process does."""
    packs = {"--tiled-diffusion": args.tiled_diffusion, "--ultimate-upscale": args.ultimate_upscale}
    words = [f"{option} {folder.resolve().name}" for option, folder in packs.items() if folder]
    sizes = "" if part == "inputs" else f" --columns {args.columns} --seeds {args.seeds} --steps {args.steps}"
    return " ".join(["python -m benchmarks.peers", *words, f"--parts {part}"]) + sizes


def true_pictures(wanted: "list[Wanted]") -> "dict[Wanted, torch.Tensor]":
    """Pictures (3, height, width), by a process without the host."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pictures.pt"
        subprocess.run([sys.executable, "-m", "benchmarks.peers.truth", str(path), json.dumps(wanted)], check=True)
        return dict(zip(wanted, torch.load(path), strict=True))


def main() -> None:
    args = options()
    start_host()
    # A pack may remove from sys.modules what is loaded for the first time while the pack is.
    for name in ("nodes", "comfy_extras.nodes_custom_sampler", "comfy_extras.nodes_upscale_model"):
        import_module(name)
    tiled = TiledDiffusion(args.tiled_diffusion, "--tiled-diffusion") if args.tiled_diffusion else None
    ultimate = UltimateUpscale(args.ultimate_upscale, "--ultimate-upscale") if args.ultimate_upscale else None
    who = _versions(tiled, ultimate)
    with torch.inference_mode():
        if "panoramas" in args.parts or "enlarging" in args.parts:
            _pictures(tiled, ultimate, args, who)
        if "inputs" in args.parts:
            from . import inputs

            inputs.compare(tiled, ultimate, args, who)


def _pictures(
    tiled: TiledDiffusion | None, ultimate: UltimateUpscale | None, args: argparse.Namespace, who: str
) -> None:
    from . import enlarging, panoramas
    from .painter import DemoPainter

    painter = DemoPainter(args.steps)
    canvases = panoramas.canvases(args.columns) if "panoramas" in args.parts else []
    pictures = enlarging.wanted(args.columns, args.seeds) if "enlarging" in args.parts else []
    painted = [picture for canvas in canvases for picture in canvas.pictures(args.seeds)]
    truth = true_pictures(list(dict.fromkeys([*painted, *pictures])))
    tables = [panoramas.Panoramas(painter, canvas, tiled) for canvas in canvases]
    enlarged = enlarging.Enlarging(painter, tiled, ultimate)
    if args.memory:
        for table in tables:
            table.measure_memory()
        if pictures:
            enlarged.measure_memory(truth[pictures[0]])
    for table in tables:
        table.compare(truth, args, who)
    if pictures:
        enlarged.compare(truth, args, who)


def _versions(*packs: TiledDiffusion | UltimateUpscale | None) -> str:
    import comfyui_version

    others = [pack.name for pack in packs if pack]
    return f"{', '.join([f'ComfyUI {comfyui_version.__version__}', *others])}."


if __name__ == "__main__":
    main()
