"""The denoiser compiled, for painting many pictures on a CPU that computes with bfloat16."""

import torch
from torch import Tensor, nn

from demo.autoencoder import CHANNELS
from demo.model import NATIVE, LandscapeUNet

BATCH = 32  # views in a call: what is compiled has one shape


class Compiled(nn.Module):
    """In place of the denoiser. Native windows are computed in bfloat16 by compiled code, in calls of BATCH views.

    Other sizes and gradients go to the denoiser itself. The first call takes half a minute and needs a C++ compiler.
    """

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet
        half = LandscapeUNet(CHANNELS, device=next(unet.parameters()).device, dtype=torch.bfloat16)
        half.load_state_dict(unet.state_dict())
        half.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.compiled = torch.compile(half, dynamic=False, options={"freezing": True})

    def forward(self, x: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        """As `LandscapeUNet`."""
        if x.requires_grad or x.shape[-2:] != (NATIVE, NATIVE):
            return self.unet(x, timesteps, context)
        outputs = []
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            for views, levels, words in zip(x.split(BATCH), timesteps.split(BATCH), context.split(BATCH), strict=True):
                short = BATCH - len(views)  # the last call is filled up
                views, words = (nn.functional.pad(t, (*[0] * (2 * t.ndim - 1), short)) for t in (views, words))
                filled = views.bfloat16().contiguous(memory_format=torch.channels_last)
                outputs.append(self.compiled(filled, nn.functional.pad(levels, (0, short)), words.bfloat16()))
        return torch.cat(outputs)[: len(x)].to(x.dtype)
