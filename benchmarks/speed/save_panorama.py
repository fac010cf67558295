"""What it takes to enlarge a picture to a large panorama, and to save it: row by row, and as an IMAGE that is whole.

    OMP_NUM_THREADS=1 python -m benchmarks.speed.save_panorama

A picture of 2048 x 1024 pixels is enlarged 8 times, by the bundled model in ComfyUI, with Structure Guidance and
windows that move. Then a latent of that size goes through the VAE, by Save Panorama in each of its formats, and by
Panorama Decode and Save Image. Each in a process of its own, which first loads the model, makes the latent and does the
same with a small part of it: peak memory is what comes on top of that. Seconds are of the processor, so that a busy
machine counts no more. `--width` and `--height` make it smaller.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from torch import Tensor

from ..host import start_host
from ..table import RESULTS, Table
from .measuring import peak_resident

COLUMNS = ("CPU seconds", "peak memory, MiB", "in canvases of 8 bits", "files, MiB")
FORMATS = ("png", "tif", "dzi")
WHOLE = "Panorama Decode, Save Image"
DECODER = "one window, decoded and thrown away"
SAMPLING = "Structure Guidance and KSampler, 2 steps"
LARGER = 8  # times as wide and high as the picture that is enlarged
SIDE = 1024  # of a window, in pixels
MIB = 2**20


def measure(name: str, width: int, height: int, folder: str) -> tuple[float, float]:
    """Seconds, and MiB of memory at the peak above those before, in this process."""
    start_host()
    import folder_paths
    import torch
    from joint_diffusion.nodes.load_demo_model import LoadDemoModel
    from joint_diffusion.nodes.panorama_decode import PanoramaDecode
    from joint_diffusion.nodes.panorama_windows import MOVING, PanoramaWindows
    from joint_diffusion.nodes.save_panorama import SavePanorama
    from joint_diffusion.nodes.structure_guidance import StructureGuidance

    host_nodes = import_module("nodes")  # the host's, not the pack's
    folder_paths.set_output_directory(folder)
    folder_paths.set_temp_directory(folder)

    def sample(latent: Tensor) -> None:
        picture = torch.nn.functional.interpolate(latent[:, :3].sigmoid(), scale_factor=8 / LARGER).movedim(1, -1)
        (moving,) = PanoramaWindows.execute(model, 0, 0, 0.5, MOVING, wrap_x=True, wrap_y=False).args
        (guided,) = StructureGuidance.execute(moving, picture, vae, structure=1.0).args
        prompt = host_nodes.CLIPTextEncode().encode(clip, "summer day near")
        settings = {"seed": 0, "steps": 2, "cfg": 1.0, "sampler_name": "euler", "scheduler": "karras"}
        empty = {"samples": torch.zeros_like(latent)}
        host_nodes.KSampler().sample(guided, **settings, positive=prompt[0], negative=prompt[0], latent_image=empty)

    def save(latent: dict) -> None:
        if name == SAMPLING:
            sample(latent["samples"])
        elif name == DECODER:
            vae.decode(latent["samples"][..., : SIDE // 8, : SIDE // 8])
        elif name == WHOLE:
            (image,) = PanoramaDecode.execute(latent, vae, wrap_x=True, window=SIDE).args
            host_nodes.SaveImage().save_images(image, "picture")
        else:
            source = {"source": "latent", "samples": latent, "vae": vae, "wrap_x": True, "window": SIDE}
            SavePanorama.execute(source, "picture", name, "none")

    with torch.inference_mode():
        model, clip, vae = LoadDemoModel.execute().args
        cells = torch.randn(
            1, vae.latent_channels, height // 64, width // 64, generator=torch.Generator().manual_seed(0)
        )
        large = torch.nn.functional.interpolate(cells, (height // 8, width // 8), mode="bicubic")
        save({"samples": large[..., : SIDE // 16, : SIDE // 16]})
        return peak_of(lambda: save({"samples": large}))


def peak_of(work: Callable[[], None]) -> tuple[float, float]:
    start = time.process_time()
    peak = peak_resident(work)
    return time.process_time() - start, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--width", type=int, default=16384, help="pixels, a multiple of 64")
    parser.add_argument("--height", type=int, default=8192, help="pixels, a multiple of 64")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS)
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the table goes")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(*measure(args.measure[0], args.width, args.height, args.measure[1]))
        return
    eight_bits = 3 * args.width * args.height / MIB
    note = (
        f"{args.width} x {args.height} pixels, {eight_bits:.0f} MiB in 8 bits and {4 * eight_bits:.0f} MiB as IMAGE, "
        f"in windows of {SIDE} x {SIDE}; memory on top of the loaded model and the latent."
    )
    table = Table("save-panorama", "saved by", COLUMNS, note=note)
    for name in [SAMPLING, DECODER, *args.formats, WHOLE]:
        with tempfile.TemporaryDirectory() as folder:
            what = ["--width", str(args.width), "--height", str(args.height), "--measure", name, folder]
            process = [sys.executable, "-m", "benchmarks.speed.save_panorama", *what]
            done = subprocess.run(process, stdout=subprocess.PIPE, text=True, check=True)
            seconds, peak = map(float, done.stdout.split()[-2:])
            written = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file()) / MIB
        metrics = {"CPU seconds": seconds, "peak memory, MiB": peak, "in canvases of 8 bits": peak / eight_bits}
        label = f"Save Panorama, {name}" if name in FORMATS else name
        table.row(label, metrics | ({"files, MiB": written} if written else {}))
    table.save(args.results)


if __name__ == "__main__":
    main()
