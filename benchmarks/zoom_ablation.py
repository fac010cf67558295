"""The ablations of Generative Powers of Ten, section 5.3, on the bundled model: what each part is there for.

    python -m benchmarks.zoom_ablation

independent         every level sampled for itself
naive averaging     observations enlarged and averaged, without a pyramid
no shared noise     each level its own noise
iterative update    each level takes what the levels inside it show, from the innermost outwards, without blending
ours                blending, rendering and shared noise

Inconsistency is measured between the levels as sampled, before they are rendered once more, which makes every stack
consistent; frames are those that the levels leave in the rendered stack.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from core.powers_of_ten import blend, render_image
from core.pyramid import enlarge
from core.windows import Size, canvas_size, crop
from core.zoom_geometry import footprints
from demo.__main__ import save_image
from demo.autoencoder import FACTOR
from demo.metrics import ring_energy, sharpness, zoom_inconsistency
from demo.pipeline import LandscapePipeline
from demo.zoom import ZoomParams, paint_zoom

SCENES = ("autumn day", "summer dawn", "winter dusk")
LEVELS = ("far sky forest meadow", "wide forest", "near forest", "close forest")


def average(observed, p, unit):
    """Layer i is the mean of all observations j <= i, enlarged to its size."""
    steps = footprints(canvas_size(observed), p, unit)
    layers = []
    for level in range(len(observed)):
        enlarged = [observed[level]]
        for outside in range(1, min(level, len(steps)) + 1):
            image = crop(observed[level - outside], steps[outside - 1].outer)
            for depth in reversed(range(outside)):
                size = steps[depth - 1].outer if depth else None
                image = enlarge(
                    image, p, steps[depth].inner, Size(size.height, size.width) if size else canvas_size(observed)
                )
            enlarged.append(image)
        layers.append(torch.stack(enlarged).mean(0))
    return torch.stack(layers)


def as_they_are(observed, p, unit):
    return observed


METHODS = {
    "independent": ({"blending": "none", "shared_noise": False}, blend),
    "naive averaging": ({}, average),
    "no shared noise": ({"shared_noise": False}, blend),
    "iterative update": ({}, as_they_are),
    "ours": ({}, blend),
}


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=4, help="zoom stacks per scene")
    parser.add_argument("--blending", default=ZoomParams.blending, help="of all but `independent`")
    parser.add_argument("--p", type=int, default=2)
    parser.add_argument("--picture", type=Path, help="PNG of the first stack of every method, a row each")
    return parser.parse_args()


def main():
    args = options()
    torch.set_num_threads(1)
    pipeline = LandscapePipeline()
    stacks = [
        ZoomParams(prompts=tuple(f"{scene} {level}" for level in LEVELS), seed=seed, p=args.p, blending=args.blending)
        for scene in SCENES
        for seed in range(args.seeds)
    ]
    rows, independent = [], None
    print("| method | inconsistency | of independent | sharpness, innermost | of independent | frames |")
    print("|---|---|---|---|---|---|")
    for name, (changes, merge) in METHODS.items():
        zooms = [paint_zoom(pipeline, replace(params, **changes), merge=merge) for params in stacks]
        apart = torch.stack([zoom_inconsistency(zoom.sampled, args.p).mean() for zoom in zooms]).mean()
        sharp = torch.stack([sharpness(zoom.levels)[-1] for zoom in zooms]).mean()
        rendered = [render_image(zoom.levels, args.p, FACTOR) for zoom in zooms]
        frames = torch.stack([ring_energy(levels, args.p).mean() for levels in rendered]).mean()
        independent = independent or (apart, sharp)
        print(
            f"| {name} | {apart:.4f} | 1 / {independent[0] / apart:.1f} | {sharp:.4f} | {sharp / independent[1]:.0%} "
            f"| {frames:.2f} |",
            flush=True,
        )
        rows.append(torch.cat(list(rendered[0]), dim=-1))
    if args.picture:
        save_image(torch.cat(rows, dim=-2)[None].clamp(0, 1), args.picture)


if __name__ == "__main__":
    main()
