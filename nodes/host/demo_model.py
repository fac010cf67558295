"""The bundled landscape model as the host's MODEL, CLIP and VAE."""

from typing import Any, ClassVar

import comfy.latent_formats
import comfy.model_base
import comfy.model_management
import comfy.ops
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models_base
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor, nn

from ...core.methods.scale_map import ScaleMap
from ...demo.autoencoder import CHANNELS, PIXELS_PER_CELL, Autoencoder
from ...demo.model import DOWNSAMPLING, SIGMA_DATA, SIGMA_MAX, SIGMA_MIN, LandscapeUNet
from ...demo.pipeline import DENOISER, load_autoencoder, loaded, read_weights
from ...demo.text_encoder import TextEncoder
from ...demo.vocabulary import LANDSCAPE_WORDS, LENGTH, PAD

NATIVE_PIXELS = (128, 128)
PRECISION = torch.float32  # half of it saves nothing for so small a model


class LandscapeFormat(comfy.latent_formats.LatentFormat):
    """Latents of unit variance; previews use the straight line nearest to the decoder.

    `scale_map` is what Multi-Scale Diffusion knows of such latents.
    """

    latent_channels = CHANNELS
    spacial_downscale_ratio = PIXELS_PER_CELL

    def __init__(self):
        autoencoder = load_autoencoder()
        *factors, bias = _colours(autoencoder).tolist()
        self.latent_rgb_factors, self.latent_rgb_factors_bias = factors, bias
        self.scale_map = ScaleMap(matrix=autoencoder.half_matrix, offset=autoencoder.half_offset)


def _colours(autoencoder: Autoencoder) -> Tensor:
    """(channels + 1, 3): what each latent channel, and then the constant, adds to the mean colour of a cell, -1..1."""
    flat = torch.randn(256, CHANNELS, 1, 1, generator=torch.Generator().manual_seed(0)).repeat(1, 1, 8, 8)
    colours = 2 * autoencoder.decode(flat).mean(dim=(-2, -1)) - 1
    inputs = torch.cat([flat[..., 0, 0], torch.ones(len(flat), 1)], dim=1)
    return torch.linalg.lstsq(inputs, colours).solution


class LandscapeConfig(comfy.supported_models_base.BASE):
    """What the host asks of a model family."""

    unet_extra_config: ClassVar[dict[str, Any]] = {}
    sampling_settings: ClassVar[dict[str, float]] = {
        "sigma_min": SIGMA_MIN,
        "sigma_max": SIGMA_MAX,
        "sigma_data": SIGMA_DATA,
    }
    latent_format = LandscapeFormat
    memory_usage_factor = 0.1  # 20 MiB for 16 rows of 16 x 16 cells
    native_pixels = NATIVE_PIXELS


class LandscapeNetwork(LandscapeUNet):
    """The network, saying on which grid its input must lie."""

    patch_size = DOWNSAMPLING


def demo_model() -> ModelPatcher:
    """The denoiser, an EDM model (Karras et al. 2022)."""
    config = LandscapeConfig({"channels": CHANNELS})
    config.set_inference_dtype(PRECISION, None)
    device = comfy.model_management.unet_offload_device()
    model = comfy.model_base.BaseModel(config, comfy.model_base.ModelType.EDM, device, LandscapeNetwork)
    loaded(model.diffusion_model, DENOISER, "unet.")
    return ModelPatcher(model, comfy.model_management.get_torch_device(), device)


class LandscapeTokenizer:
    """Words that the model knows, with the weights of `(word:1.2)`."""

    def __init__(self, embedding_directory=None, tokenizer_data=None):
        pass

    def tokenize_with_weights(self, text: str, return_word_ids: bool = False, **options):
        """One section of LENGTH pairs (token, weight)."""
        weights = {}
        for part, weight in comfy.sd1_clip.token_weights(comfy.sd1_clip.escape_important(text), 1.0):
            for word in LANDSCAPE_WORDS.known_words(comfy.sd1_clip.unescape_important(part)):
                weights.setdefault(word, weight)
        pairs = [(LANDSCAPE_WORDS.ids[word], weights[word]) for word in LANDSCAPE_WORDS.within_length(weights)]
        pairs += [(PAD, 1.0)] * (LENGTH - len(pairs))
        return {"landscape": [[(*pair, place) for place, pair in enumerate(pairs)] if return_word_ids else pairs]}

    def state_dict(self):
        """Nothing is learned here."""
        return {}


class LandscapeText(nn.Module):
    """The text encoder behind the interface of the host's."""

    def __init__(self, device=None, dtype=None, model_options=None):
        super().__init__()
        self.text = TextEncoder(operations=comfy.ops.manual_cast, device=device, dtype=PRECISION)
        self.dtypes = {PRECISION}
        self.execution_device = None

    def set_clip_options(self, options):
        """The host says where to run; there are no layers to choose from."""
        self.execution_device = options.get("execution_device", self.execution_device)

    def reset_clip_options(self):
        """Forget what was set."""
        self.execution_device = None

    def encode_token_weights(self, token_weight_pairs):
        """Context (1, tokens, d), each word's vector times its weight, and no pooled output."""
        (sections,) = token_weight_pairs.values()
        pairs = torch.tensor([pair[:2] for section in sections for pair in section], device=self.execution_device)
        context = self.text(pairs[None, :, 0].long()) * pairs[None, :, 1:]
        return context.to(comfy.model_management.intermediate_device()), None

    def load_sd(self, weights):
        """Missing and unexpected names."""
        return self.text.load_state_dict(weights)


def demo_clip() -> comfy.sd.CLIP:
    """The text encoder; it knows two dozen words."""
    target = comfy.supported_models_base.ClipTarget(LandscapeTokenizer, LandscapeText)
    return comfy.sd.CLIP(target, state_dict=[read_weights(DENOISER, "text.")], disable_dynamic=True)


class LandscapeVAE(comfy.sd.VAE):
    """The autoencoder, in place of the only VAE that the host builds without weights."""

    def __init__(self):
        super().__init__(sd={"pixel_space_vae": torch.tensor(1.0)}, dtype=PRECISION)
        self.first_stage_model = load_autoencoder()
        self.patcher = ModelPatcher(
            self.first_stage_model, self.device, comfy.model_management.vae_offload_device(), size=0
        )
        self.size = None
        self.latent_channels = CHANNELS
        self.upscale_ratio = self.downscale_ratio = PIXELS_PER_CELL
        self.process_input = lambda image: image
        self.process_output = lambda image: image.clamp_(0.0, 1.0)
        # About so many numbers live at once for each latent cell, whichever way it goes.
        self.memory_used_decode = lambda shape, dtype: 4000 * shape[2] * shape[3] * dtype.itemsize
        self.memory_used_encode = lambda shape, dtype: 4000 // PIXELS_PER_CELL**2 * shape[2] * shape[3] * dtype.itemsize
