"""Do layout and palette come right under every kind of sampler? In ComfyUI's own sampling, with the bundled model.

    COMFYUI_PATH=~/ComfyUI python -m benchmarks.figures.samplers

For each sampler the same seeds by MultiDiffusion, by Multi-Scale Diffusion and by that with SyncDiffusion, both at
their defaults. The prompt leaves the palette open.
"""

import argparse
from pathlib import Path

import torch

from demo.panorama import measure_panorama
from demo.pipeline import LandscapePipeline

from ..bootstrap import mean_interval
from ..host import start_host
from ..table import RESULTS, Table
from .panoramas import SCENE

SAMPLERS = ("euler", "ddim", "heun", "dpmpp_2m", "res_multistep", "uni_pc", "euler_cfg_pp", "euler_ancestral", "lcm")
CFG_PP = 0.6  # these samplers take guidance scales of 0 to 1
METHODS = ("MultiDiffusion", "MSD", "MSD + Sync")
METRICS = {"order violations": "order_violations_per_column", "palette distance": "palette_distance"}
COLUMNS = [f"{metric}, {method}" for metric in METRICS for method in METHODS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--samplers", nargs="+", default=SAMPLERS)
    parser.add_argument("--scheduler", default="karras")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--prompt", default=SCENE)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the table goes")
    args = parser.parse_args()
    start_host()
    import comfy.sample
    from joint_diffusion.core.methods.multiscale import MultiScaleParams
    from joint_diffusion.core.methods.syncdiffusion import SyncParams
    from joint_diffusion.nodes.host.demo_model import demo_clip, demo_model
    from joint_diffusion.nodes.host.windows.patch import with_settings

    pipeline = LandscapePipeline()
    with torch.inference_mode():
        model, clip = demo_model(), demo_clip()
        positive, negative = (clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in (args.prompt, ""))
        ordered = with_settings(model, multiscale=MultiScaleParams())
        models = (with_settings(model), ordered, with_settings(ordered, sync=SyncParams()))
        note = (
            f"{args.seeds} seeds of '{args.prompt}', {args.width} x 256 pixels, {args.scheduler}, {args.steps} steps; "
            "in brackets 95 % bootstrap intervals."
        )
        table = Table("samplers", "sampler", COLUMNS, note=note)
        for sampler in args.samplers:
            cfg = CFG_PP if "cfg_pp" in sampler else 2.0
            values = {}
            for method, patched in zip(METHODS, models, strict=True):
                rows = []
                for seed in range(args.seeds):
                    latent = torch.zeros(1, 8, 32, args.width // 8)
                    noise = comfy.sample.prepare_noise(latent, seed)
                    options = {"seed": seed, "disable_pbar": True}
                    conds = (positive, negative)
                    sampled = comfy.sample.sample(
                        patched, noise, args.steps, cfg, sampler, args.scheduler, *conds, latent, **options
                    )
                    rows.append(measure_panorama(pipeline.decode(sampled), args.prompt))
                for metric, key in METRICS.items():
                    values[f"{metric}, {method}"] = mean_interval(torch.tensor([row[key] for row in rows]))
            table.row(sampler, values, panoramas=args.seeds)
        table.save(args.results)


if __name__ == "__main__":
    main()
