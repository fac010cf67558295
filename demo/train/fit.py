"""The training loop: it writes where it is once a minute, and goes on from there."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

EVERY = 60  # seconds between two checkpoints: what a stopped run loses at most
LOGGED = 100  # steps between two lines of the log


def learning_rate(step: int, steps: int, peak: float, warmup: int = 150) -> float:
    """Linear warm-up to the peak, then a cosine to 2 % of it."""
    if step < warmup:
        return peak * (step + 1) / warmup
    t = (step - warmup) / max(1, steps - warmup)
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * t)))


def fit(
    name: str,
    batch_loss: Callable[[int], Tensor],
    optimiser: torch.optim.Optimizer,
    peak: float,
    steps: int,
    kept: Mapping[str, Any],
    checkpoint: Path,
    after: Callable[[int], None] = lambda step: None,
) -> float:
    """Minimise `batch_loss(step)`, which draws the batch of that step and returns its loss.

    All chance of a step comes from its number, so a run that was stopped equals one that was not.

    Args:
        name: for the log.
        batch_loss: step -> loss.
        optimiser: of all weights that learn.
        peak: the highest learning rate.
        steps: how many in all, those of earlier runs included.
        kept: what has to be kept besides the optimiser, all with `state_dict` and `load_state_dict`.
        checkpoint: file of what is kept; a line of the log goes to the file of its name with `.log`.
        after: called with the step after each one.

    Returns:
        The running mean of the loss.
    """
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    kept = {**kept, "optimiser": optimiser}
    first, running, spent = 0, None, 0.0
    if checkpoint.exists():
        stored = torch.load(checkpoint, weights_only=True)
        for key, one in kept.items():
            one.load_state_dict(stored[key])
        first, running, spent = stored["step"], stored["running"], stored["seconds"]
        print(f"{name}: goes on at step {first} of {steps}", flush=True)
    start = written = time.time()

    def write(step: int) -> None:
        part = checkpoint.with_suffix(".part")
        state = {key: one.state_dict() for key, one in kept.items()}
        torch.save({**state, "step": step, "running": running, "seconds": spent + time.time() - start}, part)
        part.replace(checkpoint)

    for step in range(first, steps):
        torch.manual_seed(step)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, steps, peak)
        loss = batch_loss(step)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        running = loss.item() if running is None else 0.98 * running + 0.02 * loss.item()
        after(step)
        if step % LOGGED == 0 or step == steps - 1:
            line = f"{name} {step + 1}/{steps} loss {running:.4f} {spent + time.time() - start:.0f} s"
            print(line, flush=True)
            with checkpoint.with_suffix(".log").open("a") as log:
                log.write(line + "\n")
        if time.time() - written > EVERY or step == steps - 1:
            write(step + 1)
            written = time.time()
    return running if running is not None else math.nan
