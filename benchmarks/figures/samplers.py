"""Do layout and palette come right under every kind of sampler? In ComfyUI's own sampling, with the bundled model.

    COMFYUI_PATH=~/ComfyUI python -m benchmarks.figures.samplers

For each sampler the same seeds by MultiDiffusion, by Multi-Scale Diffusion and by that with SyncDiffusion, both at
their defaults. The prompt leaves the palette open.
"""

import argparse
from pathlib import Path

import torch

from ..bootstrap import mean_interval
from ..host import start_host
from ..table import RESULTS, Table
from .prompts import PROMPTS

SAMPLERS = ("euler", "ddim", "heun", "dpmpp_2m", "res_multistep", "uni_pc", "euler_cfg_pp", "euler_ancestral", "lcm")
METHODS = ("MultiDiffusion", "MSD", "MSD + Sync")  # the models of `sampled.Sampling`
METRICS = ("order violations", "palette distance")
COLUMNS = [f"{metric}, {method}" for metric in METRICS for method in METHODS]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--samplers", nargs="+", default=SAMPLERS)
    parser.add_argument("--scheduler", default="karras")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--prompt", default=PROMPTS["landscapes"].scene)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the table goes")
    return parser.parse_args()


def main() -> None:
    args = options()
    start_host()
    from .sampled import HEIGHT, Sampling

    note = (
        f"{args.seeds} seeds of '{args.prompt}', {args.width} x {HEIGHT} pixels, {args.scheduler}, {args.steps} steps; "
        "in brackets 95 % bootstrap intervals."
    )
    with torch.inference_mode():
        sampling = Sampling(args.prompt, args.scheduler, args.steps, args.width)
        table = Table("samplers", "sampler", COLUMNS, note=note)
        for sampler in args.samplers:
            values = {}
            for method, model in zip(METHODS, sampling.models, strict=True):
                panoramas = torch.tensor([sampling.measured(model, sampler, seed) for seed in range(args.seeds)])
                for metric, numbers in zip(METRICS, panoramas.T, strict=True):
                    values[f"{metric}, {method}"] = mean_interval(numbers)
            table.row(sampler, values, panoramas=args.seeds)
        table.save(args.results)


if __name__ == "__main__":
    main()
