"""Does guidance order the layout under every kind of sampler? In ComfyUI's own sampling, with the bundled model.

    COMFYUI_PATH=~/ComfyUI python -m benchmarks.samplers

For each sampler the same seeds by MultiDiffusion and by Multi-Scale Diffusion at its defaults.
"""

import argparse
import statistics
from pathlib import Path

import torch

from demo.panorama import measure_panorama
from demo.pipeline import LandscapePipeline

from .host import start_host
from .table import RESULTS, Table

SAMPLERS = ("euler", "ddim", "heun", "dpmpp_2m", "res_multistep", "euler_cfg_pp", "euler_ancestral", "lcm")
CFG_PP = 0.6  # these samplers take guidance scales of 0 to 1
COLUMNS = ("order violations, MultiDiffusion", "order violations, MSD", "palette deviation, MSD / MultiDiffusion")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--samplers", nargs="+", default=SAMPLERS)
    parser.add_argument("--scheduler", default="karras")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--prompt", default="summer day")
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the table goes")
    args = parser.parse_args()
    start_host()
    import comfy.sample
    from joint_diffusion.core.multiscale import MultiScaleParams
    from joint_diffusion.nodes.host.demo_model import demo_clip, demo_model
    from joint_diffusion.nodes.host.sampling import with_settings

    pipeline = LandscapePipeline()
    with torch.inference_mode():
        model, clip = demo_model(), demo_clip()
        positive, negative = (clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in (args.prompt, ""))
        plain, guided = with_settings(model), with_settings(model, multiscale=MultiScaleParams())
        note = (
            f"{args.seeds} seeds of '{args.prompt}', {args.width} x 256 pixels, {args.scheduler}, {args.steps} steps."
        )
        table = Table("samplers", "sampler", COLUMNS, note=note)
        for sampler in args.samplers:
            cfg = CFG_PP if "cfg_pp" in sampler else 2.0
            measured = []
            for patched in (plain, guided):
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
                measured.append({name: statistics.mean(row[name] for row in rows) for name in rows[0]})
            before, after = measured
            ratio = after["palette_deviation"] / before["palette_deviation"]
            violations = (each["order_violations_per_column"] for each in measured)
            table.row(sampler, dict(zip(COLUMNS, (*violations, ratio), strict=True)), panoramas=args.seeds)
        table.save(args.results)


if __name__ == "__main__":
    main()
