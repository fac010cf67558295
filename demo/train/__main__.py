"""Train the bundled model: draw pictures, fit the autoencoder, then the denoiser.

    python -m demo.train

A run that was stopped goes on where it was: everything is kept in one folder, which can be deleted at the end. All is
seeded. README.md tells how long it takes.
"""

import argparse
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from ..autoencoder import CHANNELS, Autoencoder
from ..model import SIGMA_MAX, SIGMA_MIN
from ..pipeline import loaded
from ..worlds import LANDSCAPES, World
from .autoencoder import finish_decoder, fit_half_size, train_autoencoder
from .denoiser import train_denoiser
from .pictures import draw_pictures, encode_pictures


def save(model: nn.Module, path: Path, metadata: dict[str, str] | None = None) -> None:
    """Store the weights in half precision; they are read into float32."""
    tensors = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, path, {"channels": str(CHANNELS)} | (metadata or {}))


def stored_autoencoder(path: Path, device: str) -> Autoencoder:
    """The autoencoder as users read it, after rounding: the next parts are fitted to that."""
    return loaded(Autoencoder(), path).to(device).to(memory_format=torch.channels_last)


def main(world: World = LANDSCAPES, kept: Path = Path("out/train")) -> None:
    """Entry point; `kept` is the default of that option."""
    parser = argparse.ArgumentParser(description=f"Train the model of the {world.name}.")
    parser.add_argument("--pictures", type=int, default=4100, help="drawn pictures in the training set")
    parser.add_argument("--autoencoder-steps", type=int, default=1500)
    parser.add_argument("--autoencoder-batch", type=int, default=16)
    parser.add_argument("--decoder-steps", type=int, default=2200, help="further steps of the decoder alone")
    parser.add_argument("--steps", type=int, default=17000, help="steps of the denoiser")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="processes that draw")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--kept", type=Path, default=kept, help="folder from which a stopped run goes on")
    parser.add_argument("--out", type=Path, default=world.weights, help="folder of the weights")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.kept.mkdir(parents=True, exist_ok=True)
    args.out.mkdir(parents=True, exist_ok=True)
    stored, denoiser = args.out / world.autoencoder.name, args.out / world.denoiser.name

    start = time.time()
    pictures = draw_pictures(args.pictures, args.workers, args.kept, world)
    print(f"{len(pictures)} pictures in {time.time() - start:.0f} s", flush=True)

    def checkpoint(part: str) -> Path:
        return args.kept / f"{part}.pt"

    batch, device = args.autoencoder_batch, args.device
    if not checkpoint("decoder").exists():
        steps = args.autoencoder_steps
        save(train_autoencoder(pictures, steps, batch, device, checkpoint("autoencoder")), stored)
    autoencoder = stored_autoencoder(stored, device)
    finish_decoder(autoencoder, pictures, args.decoder_steps, batch, device, checkpoint("decoder"))
    fit_half_size(autoencoder, pictures, device)
    save(autoencoder, stored)

    latents = encode_pictures(stored_autoencoder(stored, device), pictures, device)
    print(f"latents ready at {time.time() - start:.0f} s", flush=True)
    model, loss = train_denoiser(pictures, latents, args.steps, args.batch, device, checkpoint("denoiser"), world)
    levels = {"sigma_min": str(SIGMA_MIN), "sigma_max": str(SIGMA_MAX)}
    save(model, denoiser, levels | {"step": str(args.steps), "loss": f"{loss:.4f}"})


if __name__ == "__main__":
    main()
