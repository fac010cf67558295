"""What SyncDiffusion compares of the windows of a run: their latents, or their pictures."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from ....core.canvas.windows import canvas_size, crop
from ....core.perception.similarity import LatentSimilarity, PictureSimilarity, Similarity
from ..gradients.vae import decoder_gradients, latents_out, views_at_once
from .run import Run


@contextmanager
def similarity(run: Run, canvas: Tensor) -> Iterator[Similarity]:
    """Yields it for windows of the canvas (B, C, ..., H, W)."""
    loss = run.picture_loss
    if loss is None:
        yield LatentSimilarity()
        return
    at_once = views_at_once(loss.vae, crop(canvas, run.params.windows.overlapping().plan(canvas_size(canvas))[0]))
    with decoder_gradients(loss.vae, checkpoint=at_once < 1) as decode, latents_out(run.model) as to_vae:
        yield PictureSimilarity(loss.perception, lambda denoised: decode(to_vae(denoised)), max(int(at_once), 1))
