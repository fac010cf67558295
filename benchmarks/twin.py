"""Does TwinDiffusion hide the borders of windows that overlap little? On the bundled model, palettes left open.

    python -m benchmarks.twin                   stride s against MultiDiffusion at s and at s / 2, 1 x 8 windows
    python -m benchmarks.twin --ablation lambda of Crop Fusion (Fig. 7 of the paper)
    python -m benchmarks.twin --ablation tau    when Crop Fusion ends (Fig. 6)
    python -m benchmarks.twin --ablation cross  sets of windows in Cross Sampling and their distance (Table 1)

Every row paints the same seeds. Printed are means over the panoramas, with the standard error of the mean. With the
palette open, windows disagree as much as they can, so this is the hardest case for their borders.

- seam energy at s and at s / 2: at the borders of the windows of these strides, whichever the row was painted with
- neighbour distance: between the palettes of native windows side by side
- window deviation: of every native window from the best palette of all
"""

import argparse
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from core.coherence import palette_distance
from core.twindiffusion import CropFusionParams, CrossSamplingParams
from core.windows import Size
from demo.autoencoder import FACTOR
from demo.metrics import window_deviation
from demo.panorama import NATIVE, PanoramaParams, measure_panorama, native_strips
from demo.pipeline import LandscapePipeline

from .paint import header, paint, row

WINDOW = FACTOR * NATIVE  # pixels
FREE = "far sky mountains forest meadow"
COLUMNS = ("seam energy at s", "seam energy at s / 2", "neighbour distance", "window deviation", "model calls")


class Comparison:
    """Rows of one table: the same seeds by different methods, looked at where windows of one stride have borders."""

    def __init__(self, pipeline: LandscapePipeline, args: argparse.Namespace):
        self.pipeline = pipeline
        size = {"height": WINDOW, "width": args.windows * WINDOW}
        self.variants = [PanoramaParams(prompt=FREE, seed=seed, steps=args.steps, **size) for seed in range(args.seeds)]

    def start(self, stride: int) -> None:
        """The head of a table on windows `stride` latent cells apart."""
        self.stride = stride
        first = self.variants[0]
        print(
            f"\n{len(self.variants)} seeds, {first.height} x {first.width} pixels, stride s = {stride} latent cells\n"
        )
        header("method", COLUMNS)

    def show(self, label: str, **method: Any) -> None:
        """Paint and measure one row; `method` has fields of `PanoramaParams`."""
        painted = paint(self.pipeline, [replace(p, **({"stride": self.stride} | method)) for p in self.variants])
        seams = (self._seams(painted.images, stride) for stride in (self.stride, self.stride // 2))
        neighbours = list(pairwise(native_strips(painted.images)))
        others = palette_distance(painted.images, neighbours), window_deviation(painted.images, FREE)
        row(label, [*seams, *others, painted.model_calls])

    def _seams(self, images: Tensor, stride: int) -> Tensor:
        return torch.tensor([measure_panorama(image[None], FREE, stride)["seam_energy"] for image in images])


def against_multidiffusion(table: Comparison, strides: list[int]) -> None:
    """Weights that fall to the edge of a window hide its border by themselves, so both kinds are shown."""
    crop_fusion, cross_sampling = CropFusionParams(), CrossSamplingParams()
    for stride in strides:
        table.start(stride)
        for weights in ("uniform", "feathered"):
            table.show(f"MultiDiffusion at s / 2, {weights}", weights=weights, stride=stride // 2)
            table.show(f"MultiDiffusion at s, {weights}", weights=weights)
            table.show(f"Crop Fusion at s, {weights}", weights=weights, crop_fusion=crop_fusion)
            table.show(f"Cross Sampling at s, {weights}", weights=weights, cross_sampling=cross_sampling)
            both = {"crop_fusion": crop_fusion, "cross_sampling": cross_sampling}
            table.show(f"TwinDiffusion at s, {weights}", weights=weights, **both)


def over_lambda(table: Comparison, stride: int) -> None:
    """Both parts of the method, as in the paper's figure."""
    table.start(stride)
    for adjacency in (0.1, 0.3, 1.0, 3.0, 10.0, 100.0):
        crop_fusion = CropFusionParams(adjacency=adjacency)
        table.show(f"lambda {adjacency:g}", crop_fusion=crop_fusion, cross_sampling=CrossSamplingParams())


def over_tau(table: Comparison, stride: int) -> None:
    """From no Crop Fusion to Crop Fusion in every step."""
    table.start(stride)
    for stop in (0.0, 0.25, 0.5, 0.75, 1.0):
        crop_fusion = CropFusionParams(stop=stop)
        table.show(f"Crop Fusion in {stop:.0%} of the steps", crop_fusion=crop_fusion)


def over_cross_stride(table: Comparison, stride: int) -> None:
    """Sets of windows evenly spaced within the stride; with uniform weights, which hide nothing."""
    table.start(stride)
    table.show("no Cross Sampling", weights="uniform")
    for groups in (2, 4, 8, 16):
        if stride % groups == 0:
            cells = Size(stride // groups, stride // groups)
            cross_sampling = CrossSamplingParams(groups=groups, cross_stride=cells)
            table.show(f"s_c = s / {groups}", weights="uniform", cross_sampling=cross_sampling)


ABLATIONS = {"lambda": over_lambda, "tau": over_tau, "cross": over_cross_stride}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--windows", type=int, default=8, help="width in native windows")
    parser.add_argument("--strides", type=int, nargs="+", default=[16, 12, 8], help="latent cells")
    parser.add_argument("--ablation", choices=ABLATIONS)
    parser.add_argument("--steps", type=int, default=PanoramaParams().steps)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bfloat16", action="store_true", help="the model in bfloat16: faster on CPUs that have it")
    args = parser.parse_args()
    with torch.autocast(args.device, torch.bfloat16, enabled=args.bfloat16):
        table = Comparison(LandscapePipeline(args.device), args)
        if args.ablation:
            for stride in args.strides:
                ABLATIONS[args.ablation](table, stride)
        else:
            against_multidiffusion(table, args.strides)


if __name__ == "__main__":
    main()
