"""`python -m demo panorama | zoom`: pictures from the bundled model, without ComfyUI and without a checkpoint.

Progress goes to stderr; the last line on stdout is one JSON object with what was measured on the picture.
"""

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from .panorama import METHODS, PanoramaParams, measure_panorama, paint_panorama
from .pipeline import LandscapePipeline
from .zoom import BLENDINGS, SAMPLERS, ZoomParams, measure_zoom, paint_zoom, write_zoom_video

METHOD_OPTIONS = {  # option: the part of the method that it belongs to, and its field there
    "scales": ("multiscale", "scales"),
    "strength": ("multiscale", "strength"),
    "sync_weight": ("sync", "weight"),
    "adjacency": ("crop_fusion", "adjacency"),
    "groups": ("cross_sampling", "groups"),
}


def check_device(name: str) -> None:
    """Refuse a device that this machine, or this build of PyTorch, does not have."""
    try:
        torch.zeros(1, device=name).tolist()
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"--device: must be one that PyTorch can use here, got {name!r} ({str(error).splitlines()[0]}); leave the "
            "option out for cpu."
        ) from error


def check_image_path(path: Path) -> None:
    """Refuse a file name whose ending is no format that can be written."""
    if Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
        raise ValueError(f"--out: must end in an image format, such as .png, .jpg or .webp, got {path}.")


def save_image(image: Tensor, path: Path) -> None:
    """Write a (1, 3, H, W) image in [0, 1], cut to 8 bits as ComfyUI's SaveImage does, not rounded."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (image[0].permute(1, 2, 0) * 255).byte().cpu().numpy()
    Image.fromarray(pixels).save(path)


def show_progress(done: int, steps: int) -> None:
    """One line on stderr that counts up."""
    print(f"\rstep {done}/{steps}", end="\n" if done == steps else "", file=sys.stderr, flush=True)


def panorama(args: argparse.Namespace) -> dict:
    """Paint, save and measure one panorama."""
    fields = {field.name for field in dataclasses.fields(PanoramaParams)}
    given = {key: value for key, value in vars(args).items() if key in fields and key not in METHOD_OPTIONS}
    params = PanoramaParams(**given, **method(args))
    check_image_path(args.out)
    check_device(args.device)
    pipeline = LandscapePipeline(args.device)
    start = time.perf_counter()
    result = paint_panorama(pipeline, params, show_progress)
    seconds = time.perf_counter() - start
    save_image(result.image, args.out)
    measured = measure_panorama(result.image.cpu(), params.prompt, params.stride)
    report = measured | {"seconds": seconds, "views": result.views}
    return rounded(report) | {"method": args.method} | dataclasses.asdict(params) | {"out": str(args.out)}


def method(args: argparse.Namespace) -> dict:
    """What the chosen method sets, with the options given for it."""
    chosen = dict(METHODS[args.method])
    for option, (part, field) in METHOD_OPTIONS.items():
        value = getattr(args, option)
        if value is None:
            continue
        if part not in chosen:
            having = " or ".join(name for name, parts in METHODS.items() if part in parts)
            raise ValueError(f"--{option.replace('_', '-')}: belongs to the method {having}, not to {args.method}.")
        chosen[part] = dataclasses.replace(chosen[part], **{field: value})
    return chosen


def zoom(args: argparse.Namespace) -> dict:
    """Paint, save, film and measure one zoom stack."""
    fields = {field.name for field in dataclasses.fields(ZoomParams)}
    given: dict[str, Any] = {key: value for key, value in vars(args).items() if key in fields}
    prompts = tuple(args.prompts) if args.prompts else ZoomParams().prompts[: args.levels]
    given["prompts"] = repeated(prompts, args.levels)
    params = ZoomParams(**given)
    check_device(args.device)
    pipeline = LandscapePipeline(args.device)
    start = time.perf_counter()
    result = paint_zoom(pipeline, params, show_progress)
    seconds = time.perf_counter() - start
    levels = result.levels.cpu()
    for number, level in enumerate(levels):
        save_image(level[None], args.out / f"level_{number:02}.png")
    write_zoom_video(levels, params.zoom_factor, args.out / "zoom.mp4")
    measured = measure_zoom(result, params.zoom_factor)
    report = measured | {"seconds": seconds, "views": result.views}
    return rounded(report) | dataclasses.asdict(params) | {"out": str(args.out)}


def repeated(prompts: tuple[str, ...], levels: int | None) -> tuple[str, ...]:
    """One prompt for each level."""
    if levels is None:
        return prompts
    if levels < len(prompts):
        raise ValueError(f"--levels: must be at least the number of prompts ({len(prompts)}), got {levels}.")
    return prompts + prompts[-1:] * (levels - len(prompts))


def rounded(report: dict) -> dict:
    """Numbers to four digits, in lists as well."""
    return {
        key: [round(number, 4) for number in value] if isinstance(value, list) else round(value, 4)
        for key, value in report.items()
    }


def parser() -> argparse.ArgumentParser:
    """The command line."""
    defaults = PanoramaParams()
    top = argparse.ArgumentParser(prog="python -m demo", description=(__doc__ or "").partition("\n")[0])
    commands = top.add_subparsers(dest="command", required=True)
    sub = commands.add_parser("panorama", help="a wide landscape, many windows denoised jointly")
    sub.add_argument("--method", choices=METHODS, default="msd")
    sub.add_argument("--height", type=int, default=defaults.height, help="pixels")
    sub.add_argument("--width", type=int, default=defaults.width, help="pixels")
    sub.add_argument("--prompt", default=defaults.prompt, help="season, hour, features, zoom; see demo/README.md")
    sub.add_argument("--seed", type=int, default=defaults.seed)
    sub.add_argument("--steps", type=int, default=defaults.steps)
    sub.add_argument("--cfg", type=float, default=defaults.cfg, help="guidance scale, 1 is none")
    sub.add_argument("--stride", type=int, default=defaults.stride, help="latent cells (8 pixels) between windows")
    sub.add_argument("--moving", action="store_true", help="windows that move from step to step, without overlap")
    sub.add_argument("--scales", type=int, help="msd: resolutions, 0 as many as the canvas asks for")
    sub.add_argument("--strength", type=float, help="msd: how closely windows follow the lower resolution, 0..1")
    sub.add_argument("--sync-weight", type=float, help="sync: strength of the pull towards the middle window")
    sub.add_argument("--adjacency", type=float, help="twin: lambda of Crop Fusion")
    sub.add_argument("--groups", type=int, help="twin: sets of windows that take turns in Cross Sampling")
    sub.add_argument("--device", default="cpu")
    sub.add_argument("--out", type=Path, default=Path("panorama.png"))
    sub.set_defaults(run=panorama)
    add_zoom(commands.add_parser("zoom", help="one scene at many zoom levels, and a video through them"))
    return top


def add_zoom(sub: argparse.ArgumentParser) -> None:
    """The options of `zoom`."""
    defaults = ZoomParams()
    sub.add_argument("--prompts", nargs="+", help="one per level, the most zoomed out first; by default into a meadow")
    sub.add_argument("--levels", type=int, help="how many, by default 8; the last prompt is repeated if need be")
    sub.add_argument("--zoom-factor", type=int, default=defaults.zoom_factor, help="zoom factor between levels")
    sub.add_argument("--height", type=int, default=defaults.height, help="pixels")
    sub.add_argument("--width", type=int, default=defaults.width, help="pixels")
    sub.add_argument("--seed", type=int, default=defaults.seed)
    sub.add_argument("--steps", type=int, default=defaults.steps)
    sub.add_argument("--cfg", type=float, default=defaults.cfg, help="guidance scale, 1 is none")
    sub.add_argument("--sampler", choices=SAMPLERS, default=defaults.sampler)
    sub.add_argument("--blending", choices=BLENDINGS, default=defaults.blending, help="none paints each level alone")
    sub.add_argument("--pixel-steps", type=int, default=defaults.pixel_steps, help="mixed: last steps, in pixels")
    sub.add_argument("--independent-noise", dest="shared_noise", action="store_false", help="as in the ablation")
    sub.add_argument("--stride", type=int, default=defaults.stride, help="latent cells (8 pixels) between windows")
    sub.add_argument("--device", default="cpu")
    sub.add_argument("--out", type=Path, default=Path("zoom"), help="folder for the levels and the video")
    sub.set_defaults(run=zoom)


def main() -> None:
    """Entry point."""
    args = parser().parse_args()
    try:
        report = args.run(args)
    except ValueError as error:
        sys.exit(f"demo: {error}")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
