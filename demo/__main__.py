"""`python -m demo panorama | zoom | enlarge`: pictures from the bundled model, without ComfyUI or a checkpoint.

Progress goes to stderr. The last line on stdout is one JSON object with the measures of the picture.
"""

import argparse
import dataclasses
import json
import logging
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .enlarge import EnlargeParams, enlarge_picture, measure_enlarged
from .panorama import METHODS, Panorama, PanoramaParams, measure_panorama, paint_panorama
from .pipeline import LandscapePipeline
from .workers import workers_for
from .zoom import BLENDINGS, SAMPLERS, ZoomParams, measure_zoom, paint_zoom, write_zoom_video

log = logging.getLogger(__name__)

METHOD_OPTIONS = {  # option: the part of the method that it belongs to, its field there, and help
    "scales": ("multiscale", "scales", "msd: number of scales, 0 chooses it by the canvas"),
    "strength": ("multiscale", "strength", "msd: how closely windows follow the coarser scale, 0..1"),
    "sync_weight": ("sync", "weight", "sync: how strongly windows get the appearance of the middle one"),
    "adjacency": ("crop_fusion", "adjacency", "twin: lambda of Crop Fusion"),
    "groups": ("cross_sampling", "groups", "twin: sets of windows that take turns in Cross Sampling"),
}


def check_device(name: str) -> None:
    """Check that this machine and this build of PyTorch have the device."""
    try:
        torch.zeros(1, device=name).tolist()
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"--device: must be one that PyTorch can use here, got {name!r} ({str(error).splitlines()[0]}); leave the "
            "option out for cpu."
        ) from error


def check_image_path(path: Path) -> None:
    """Check that the file name ends in an image format that can be written."""
    if Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
        raise ValueError(f"--out: must end in an image format, such as .png, .jpg or .webp, got {path}.")


def make_folder(folder: Path) -> None:
    """Make it, and check that files can be written in it: before anything is painted."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f"--out: must be where files can be written, got {folder} ({error}).") from error


def save_image(image: Tensor, path: Path) -> None:
    """Write a (1, 3, H, W) image in [0, 1], cut to 8 bits as ComfyUI's SaveImage does, not rounded."""
    pixels = (image[0].permute(1, 2, 0) * 255).byte().cpu().numpy()
    Image.fromarray(pixels).save(path)


def show_progress(done: int, steps: int) -> None:
    """One line on stderr that counts up."""
    print(f"\rstep {done}/{steps}", end="\n" if done == steps else "", file=sys.stderr, flush=True)


def given(args: argparse.Namespace, params: type) -> dict[str, Any]:
    """The options that are fields of `params`."""
    fields = {field.name for field in dataclasses.fields(params)}
    return {key: value for key, value in vars(args).items() if key in fields}


def painted(args: argparse.Namespace, paint: Callable, params: Any, folder: Path) -> tuple[Any, dict]:
    """Load the model and paint what will be saved in `folder`: the result, and its cost."""
    check_device(args.device)
    make_folder(folder)
    pipeline = LandscapePipeline(args.device)
    start = time.perf_counter()
    result = paint(pipeline, params, show_progress)
    return result, {"seconds": time.perf_counter() - start, "views": result.views}


def panorama(args: argparse.Namespace) -> dict:
    """Paint, save and measure one panorama."""
    params = PanoramaParams(**given(args, PanoramaParams), **method(args))
    check_image_path(args.out)
    with workers_for(args.workers, args.address) as workers:
        result, cost = painted(args, partial(paint_panorama, workers=workers), params, args.out.parent)
        if workers is not None:
            cost["views_by_workers"] = sum(count for _, count in workers.views)
    save_image(result.image, args.out)
    measured = measure_panorama(result.image.cpu(), params.prompt, params.stride)
    return rounded(measured | cost) | {"method": args.method} | dataclasses.asdict(params) | {"out": str(args.out)}


def method(args: argparse.Namespace) -> dict:
    """The parameters that the chosen method sets, changed by the options given for it."""
    chosen = dict(METHODS[args.method])
    for option, (part, field, _) in METHOD_OPTIONS.items():
        value = getattr(args, option)
        if value is None:
            continue
        if part not in chosen:
            having = " or ".join(name for name, parts in METHODS.items() if part in parts)
            raise ValueError(f"{flag(option)}: belongs to the method {having}, not to {args.method}.")
        chosen[part] = dataclasses.replace(chosen[part], **{field: value})
    return chosen


def zoom(args: argparse.Namespace) -> dict:
    """Paint, save, film and measure one zoom stack."""
    if args.levels is not None and args.levels < 1:
        raise ValueError(f"--levels: must be at least 2, got {args.levels}; leave the option out for 8.")
    prompts = tuple(args.prompts) if args.prompts else ZoomParams().prompts[: args.levels]
    fields: dict[str, Any] = given(args, ZoomParams) | {"prompts": repeated(prompts, args.levels)}
    params = ZoomParams(**fields)
    result, cost = painted(args, paint_zoom, params, args.out)
    levels = result.levels.cpu()
    for number, level in enumerate(levels):
        save_image(level[None], args.out / f"level_{number:02}.png")
    write_zoom_video(levels, params.zoom_factor, args.out / "zoom.mp4")
    measured = measure_zoom(result, params.zoom_factor)
    return rounded(measured | cost) | dataclasses.asdict(params) | {"out": str(args.out)}


def enlarge(args: argparse.Namespace) -> dict:
    """Enlarge a picture from a file, save and measure it."""
    params = EnlargeParams(**given(args, EnlargeParams))
    check_image_path(args.out)
    try:
        with Image.open(args.image) as file:
            if file.has_transparency_data:
                log.warning(
                    "--image: %s has transparency, which is left out: what is transparent becomes opaque.", args.image
                )
            pixels = np.array(file.convert("RGB"))  # only here a damaged file is noticed
    except OSError as error:
        raise ValueError(f"--image: must be a picture that can be read, got {args.image} ({error}).") from error
    picture = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255

    def paint(pipeline: LandscapePipeline, *rest: Any) -> Panorama:
        return enlarge_picture(pipeline, picture.to(pipeline.device), *rest)

    result, cost = painted(args, paint, params, args.out.parent)
    save_image(result.image, args.out)
    measured = measure_enlarged(result.image.cpu(), picture)
    return rounded(measured | cost) | dataclasses.asdict(params) | {"out": str(args.out)}


def repeated(prompts: tuple[str, ...], levels: int | None) -> tuple[str, ...]:
    """One prompt for each level: the last one is repeated."""
    if levels is None:
        return prompts
    if levels < len(prompts):
        raise ValueError(f"--levels: must be at least the number of prompts ({len(prompts)}), got {levels}.")
    return prompts + prompts[-1:] * (levels - len(prompts))


def rounded(report: dict) -> dict:
    """Numbers with four decimals, also in lists."""
    return {
        key: [round(number, 4) for number in value] if isinstance(value, list) else round(value, 4)
        for key, value in report.items()
    }


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m demo", description=(__doc__ or "").partition("\n")[0])
    commands = top.add_subparsers(dest="command", required=True)

    sub = commands.add_parser("panorama", help="a wide landscape, many windows denoised jointly")
    sub.add_argument("--method", choices=METHODS, default="msd")
    add_fields(sub, PanoramaParams(), prompt="season, hour, features, zoom; see demo/README.md")
    sub.add_argument("--moving", action="store_true", help="windows that move from step to step, without overlap")
    sub.add_argument("--workers", type=int, default=0, help="processes that share the windows, by Ray")
    sub.add_argument("--address", default="", help="of the Ray cluster of the workers, else they are on this machine")
    for option, (part, field, text) in METHOD_OPTIONS.items():
        sub.add_argument(flag(option), type=type(getattr(METHODS["full"][part], field)), help=text)
    sub.add_argument("--out", type=Path, default=Path("panorama.png"))
    sub.set_defaults(run=panorama)

    sub, defaults = commands.add_parser("zoom", help="one scene at many zoom levels, and a video of it"), ZoomParams()
    sub.add_argument("--prompts", nargs="+", help="one per level, the most zoomed out first; by default into a meadow")
    sub.add_argument("--levels", type=int, help="how many, by default 8; the last prompt is repeated if need be")
    add_fields(sub, defaults, zoom_factor="between neighbouring levels", pixel_steps="mixed: last steps, in pixels")
    sub.add_argument("--sampler", choices=SAMPLERS, default=defaults.sampler)
    sub.add_argument("--blending", choices=BLENDINGS, default=defaults.blending, help="none paints each level alone")
    sub.add_argument("--independent-noise", dest="shared_noise", action="store_false", help="as in the ablation")
    sub.add_argument("--out", type=Path, default=Path("zoom"), help="folder for the levels and the video")
    sub.set_defaults(run=zoom)

    sub = commands.add_parser("enlarge", help="a picture made larger, its layout kept")
    sub.add_argument("--image", type=Path, required=True, help="the picture; sides are multiples of 8 pixels")
    add_fields(
        sub,
        EnlargeParams(),
        upscale_by="1, 2, 4 or 8",
        prompt="what it shows; see demo/README.md",
        denoise="1 starts from pure noise",
        structure="how closely the layout is kept, 0..1",
    )
    sub.add_argument("--moving", action="store_true", help="windows that move from step to step, without overlap")
    sub.add_argument("--out", type=Path, default=Path("enlarged.png"))
    sub.set_defaults(run=enlarge)
    return top


def add_fields(sub: argparse.ArgumentParser, defaults: Any, **texts: str) -> None:
    """Options for fields of `defaults`: those of several commands, and the others in `texts`, with their help."""
    common = {"height": "pixels", "width": "pixels", "seed": "of the noise", "steps": "of the sampler"}
    common |= {"cfg": "guidance scale, 1 is none", "stride": "latent cells (8 pixels) between windows"}
    for name, text in (texts | {name: text for name, text in common.items() if hasattr(defaults, name)}).items():
        default = getattr(defaults, name)
        sub.add_argument(flag(name), type=type(default), default=default, help=f"{text} (default: {default})")
    sub.add_argument("--device", default="cpu", help="of PyTorch, such as cuda (default: cpu)")


def flag(name: str) -> str:
    """The option of a field."""
    return f"--{name.replace('_', '-')}"


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
