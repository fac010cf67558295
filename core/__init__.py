"""Joint diffusion without a framework: torch tensors in, torch tensors out, no ComfyUI.

`denoise_step` is a whole step. It needs a model of views. This one knows a single picture, grey:

>>> import torch
>>> from core import Size, Step, WindowParams, JointParams, denoise_step
>>> def denoise(views, sigma, windows, canvas):
...     return torch.full_like(views, 0.5)
>>> windows = WindowParams(window=Size(16, 16), stride=Size(8, 8))
>>> x = torch.randn(1, 4, 32, 64)
>>> denoised = denoise_step(x, Step(sigma=2.0), denoise, JointParams(windows=windows))
>>> denoised.shape, round(denoised.std().item(), 6)
(torch.Size([1, 4, 32, 64]), 0.0)

`denoise` also gets the `Window`s of the views, in the order of the batch, and the `Size` of their canvas. A model may
use them, for instance to crop its conditioning.

>>> from core import Window
>>> seen = []
>>> def denoise_and_record(views, sigma, windows, canvas):
...     seen.extend(windows)
...     return torch.zeros_like(views)
>>> _ = denoise_step(x, Step(sigma=2.0), denoise_and_record, JointParams(windows=windows))
>>> len(seen), seen[1]
(21, Window(top=0, left=8, height=16, width=16))

Any sampler can step with the result. Here is Euler, with all methods turned on:

>>> from core import CropFusionParams, CrossSamplingParams, MultiScaleParams, SyncParams
>>> params = JointParams(
...     windows=windows,
...     multiscale=MultiScaleParams(scales=2),
...     sync=SyncParams(weight=20.0),
...     crop_fusion=CropFusionParams(adjacency=1.0),
...     cross_sampling=CrossSamplingParams(groups=2),
... )
>>> sigmas = [10.0, 3.0, 1.0, 0.0]
>>> x = sigmas[0] * x
>>> for sigma, after in zip(sigmas, sigmas[1:]):
...     denoised = denoise_step(x, Step(sigma=sigma, kept=after / sigma), denoise, params)
...     x = denoised + after / sigma * (x - denoised)
>>> torch.allclose(x, torch.full_like(x, 0.5))
True

A canvas can keep the structure of a picture, whatever the model says:

>>> from core import Aids, StructureParams
>>> params = JointParams(windows=windows, structure=StructureParams())
>>> aids = Aids(picture=torch.full((1, 4, 32, 64), 0.25))
>>> denoised = denoise_step(x, Step(sigma=5.0), denoise, params, aids)
>>> round(denoised.mean().item(), 4)
0.25

CONTRIBUTING.md has the vocabulary: one word for one thing.
"""

from .canvas.windows import Size, Window
from .joint_params import JointParams
from .joint_step import Aids, denoise_step
from .methods.multidiffusion import WindowParams
from .methods.multiscale import MultiScaleParams
from .methods.structure import StructureParams
from .methods.syncdiffusion import SyncParams
from .methods.twindiffusion import CropFusionParams, CrossSamplingParams
from .step import Step

__all__ = [
    "Aids",
    "CropFusionParams",
    "CrossSamplingParams",
    "JointParams",
    "MultiScaleParams",
    "Size",
    "Step",
    "StructureParams",
    "SyncParams",
    "Window",
    "WindowParams",
    "denoise_step",
]
