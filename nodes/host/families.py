"""What the host's models were trained on: their native window and the grid that windows must lie on."""

import comfy.ldm.modules.diffusionmodules.openaimodel
import comfy.model_base
import comfy.supported_models
from comfy.model_patcher import ModelPatcher
from comfy.supported_models_base import BASE

from ...core.canvas.windows import Size

# (height, width) in pixels. The host does not know these; they are the sizes of its own workflow templates, or else the
# defaults of its nodes. Families are the classes of comfy.supported_models by name, because a host need not have all.
NATIVE_PIXELS = {
    "SD15": (512, 512),
    "SD20": (512, 512),  # 768 where the checkpoint predicts v
    "SVD_img2vid": (576, 1024),
    "SV3D_u": (576, 576),
    "Stable_Zero123": (256, 256),
    "GenmoMochi": (480, 848),
    "LTXV": (512, 768),
    "CosmosT2V": (704, 1280),
    "CosmosI2VPredict2": (480, 848),
    "WAN21_T2V": (720, 1280),
    "WAN22_T2V": (704, 1280),
    "HunyuanVideo": (480, 848),
    "HunyuanVideo15": (720, 1280),
    "HunyuanVideo15_SR_Distilled": (1080, 1920),
    "HunyuanImage21": (2048, 2048),
    "HunyuanImage21Refiner": (2048, 2048),
    "Kandinsky5": (512, 768),
    "Kandinsky5Image": (1024, 1024),
    "CogVideoX_T2V": (480, 720),  # of its paper
    "HiDreamO1": (2048, 2048),
    "QwenImage": (1328, 1328),
}
COMMON_PIXELS = (1024, 1024)


def native_window(model: ModelPatcher) -> Size:
    """The size of picture that the model was trained on, in latent cells, on its grid."""
    config = model.model.model_config
    pixels = native_pixels(type(config))
    predicts_v = model.model.model_type == comfy.model_base.ModelType.V_PREDICTION
    if isinstance(config, comfy.supported_models.SD20) and predicts_v:
        pixels = (768, 768)
    pixels_per_cell, step = model.get_model_object("latent_format").spacial_downscale_ratio, grid(model)
    return Size(*(max(side // pixels_per_cell // step, 1) * step for side in pixels))


def native_pixels(family: type[BASE]) -> tuple[int, int]:
    """(height, width) of a family: its own, or that of the nearest family that it is derived from."""
    # The demo model's own. Asked of the class: the host's configurations warn of what an instance does not have.
    return getattr(family, "native_pixels", None) or next(
        (NATIVE_PIXELS[known.__name__] for known in family.__mro__ if known.__name__ in NATIVE_PIXELS), COMMON_PIXELS
    )


def grid(model: ModelPatcher) -> int:
    """Windows must be multiples of this many latent cells: a transformer's patch, or what a U-Net halves down to."""
    network = model.model.diffusion_model
    if isinstance(network, comfy.ldm.modules.diffusionmodules.openaimodel.UNetModel):
        return 2 ** (len(network.channel_mult) - 1)
    patch = getattr(network, "patch_size", None) or getattr(network, "patch_spatial", None) or 1
    return patch if isinstance(patch, int) else max(patch[-2:])
