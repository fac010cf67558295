"""The denoiser: a small convolutional U-Net for latents of any size.

The preconditioning is that of EDM (Karras et al. 2022, Table 1) with sigma_data = 1. As in ComfyUI, the network gets
`c_in * x` and `0.25 * log(sigma)` and returns F, and `denoised` computes D from F and x.
"""

import math

import torch
from torch import Tensor, nn

SIGMA_MIN, SIGMA_MAX, SIGMA_DATA = 0.02, 80.0, 1.0
CONTEXT_WIDTH = 128
DOWNSAMPLING = 4  # height and width in latent cells must be multiples of this
NATIVE = 16  # latent cells: the side of the windows in training


def scaled_input(x: Tensor, sigma: Tensor) -> Tensor:
    """c_in(sigma) * x; sigma broadcasts against x."""
    return x / (sigma**2 + SIGMA_DATA**2).sqrt()


def denoised(x: Tensor, output: Tensor, sigma: Tensor) -> Tensor:
    """D = c_skip x + c_out F."""
    variance = sigma**2 + SIGMA_DATA**2
    return x * SIGMA_DATA**2 / variance + output * sigma * SIGMA_DATA / variance.sqrt()


def network_error(predicted: Tensor, latents: Tensor, sigma: Tensor) -> Tensor:
    """Mean square error of F, from that of D: (B,). It is 1, at every noise level, if nothing is known of the picture.

    Args:
        predicted: D, (B, C, h, w).
        latents: without noise, (B, C, h, w).
        sigma: broadcasts against them.
    """
    c_out = sigma * SIGMA_DATA / (sigma**2 + SIGMA_DATA**2).sqrt()
    return ((predicted - latents) / c_out).square().mean(dim=(1, 2, 3))


class ResBlock(nn.Module):
    """Two convolutions. The noise level and the text scale and shift the features between them (FiLM)."""

    def __init__(self, inner: int, outer: int, condition: int, operations, **factory) -> None:
        super().__init__()
        self.norm1 = operations.GroupNorm(8, inner, **factory)
        self.conv1 = operations.Conv2d(inner, outer, 3, padding=1, **factory)
        self.film = operations.Linear(condition, 2 * outer, **factory)
        self.norm2 = operations.GroupNorm(8, outer, **factory)
        self.conv2 = operations.Conv2d(outer, outer, 3, padding=1, **factory)
        self.skip = operations.Conv2d(inner, outer, 1, **factory) if inner != outer else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Features (B, inner, h, w) to (B, outer, h, w) under a condition (B, d)."""
        scale, shift = self.film(condition)[:, :, None, None].chunk(2, dim=1)
        h = self.conv1(nn.functional.silu(self.norm1(x)))
        h = self.norm2(h) * (1 + scale) + shift
        return self.skip(x) + self.conv2(nn.functional.silu(h))


class LandscapeUNet(nn.Module):
    """F(c_in x, 0.25 log sigma, context).

    Args:
        channels: latent channels.
        widths: feature channels at full, half and quarter resolution.
        context_width: d of the context.
        operations: the module of the layers: `torch.nn`, or ComfyUI's own with the same names.
    """

    def __init__(
        self,
        channels: int = 8,
        widths: tuple[int, int, int] = (64, 128, 160),
        context_width: int = CONTEXT_WIDTH,
        operations=nn,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        self.dtype = dtype or torch.get_default_dtype()
        factory = {"device": device, "dtype": dtype}
        a, b, c = widths
        condition = 2 * b
        self.frequencies = 32
        self.time1 = operations.Linear(2 * self.frequencies, condition, **factory)
        self.time2 = operations.Linear(condition, condition, **factory)
        self.text = operations.Linear(context_width, condition, **factory)

        def block(inner: int, outer: int) -> ResBlock:
            return ResBlock(inner, outer, condition, operations, **factory)

        self.conv_in = operations.Conv2d(channels, a, 3, padding=1, **factory)
        self.down1 = nn.ModuleList([block(a, a), block(a, a)])
        self.half1 = operations.Conv2d(a, b, 3, stride=2, padding=1, **factory)
        self.down2 = nn.ModuleList([block(b, b), block(b, b)])
        self.half2 = operations.Conv2d(b, c, 3, stride=2, padding=1, **factory)
        self.middle = nn.ModuleList([block(c, c), block(c, c)])
        self.double2 = operations.Conv2d(c, b, 3, padding=1, **factory)
        self.up2 = nn.ModuleList([block(2 * b, b), block(2 * b, b)])
        self.double1 = operations.Conv2d(b, a, 3, padding=1, **factory)
        self.up1 = nn.ModuleList([block(2 * a, a), block(2 * a, a)])
        self.norm_out = operations.GroupNorm(8, a, **factory)
        self.conv_out = operations.Conv2d(a, channels, 3, padding=1, **factory)

    def _condition(self, timesteps: Tensor, context: Tensor | None, dtype: torch.dtype) -> Tensor:
        # timesteps = 0.25 log sigma is in about -1..1.1; sines of rising frequency resolve it.
        octave = torch.arange(self.frequencies, device=timesteps.device, dtype=torch.float32)
        angle = timesteps.float()[:, None] * torch.exp(octave * (math.log(60.0) / (self.frequencies - 1)))
        time = self.time1(torch.cat([angle.sin(), angle.cos()], dim=1).to(dtype))
        condition = self.time2(nn.functional.silu(time))
        if context is not None:
            # Padding is exactly 0. The mean over the other tokens does not depend on how ComfyUI repeats or pads them.
            used = (context.abs().amax(dim=2, keepdim=True) > 0).to(context.dtype)
            mean = (context * used).sum(dim=1) / used.sum(dim=1).clamp(min=1)
            condition = condition + self.text(mean.to(dtype))
        return nn.functional.silu(condition)

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        context: Tensor | None = None,
        control=None,
        transformer_options=None,
        **kwargs,
    ) -> Tensor:
        """Network output F.

        Args:
            x: (B, C, h, w) scaled noisy latent, c_in * x; sides are padded to multiples of DOWNSAMPLING.
            timesteps: (B,) 0.25 * log(sigma).
            context: (B, T, d) of `TextEncoder`; all zeros or None means no prompt.
            control, transformer_options, kwargs: ComfyUI passes them to every model; they are not used.
        """
        h, w = x.shape[-2:]
        x = nn.functional.pad(x, (0, -w % DOWNSAMPLING, 0, -h % DOWNSAMPLING), mode="replicate")
        condition = self._condition(timesteps, context, x.dtype)
        x = self.conv_in(x)
        saved = [x := block(x, condition) for block in self.down1]
        x = self.half1(x)
        saved += [x := block(x, condition) for block in self.down2]
        x = self.half2(x)
        for block in self.middle:
            x = block(x, condition)
        for double, blocks in ((self.double2, self.up2), (self.double1, self.up1)):
            x = double(nn.functional.interpolate(x, scale_factor=2.0, mode="nearest"))
            for block in blocks:
                x = block(torch.cat([x, saved.pop()], dim=1), condition)
        return self.conv_out(nn.functional.silu(self.norm_out(x)))[..., :h, :w]
