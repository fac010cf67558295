"""Multi-Scale Diffusion: as a sampler, and as a patch for every other sampler."""

from comfy_api.latest import io

from ..core.methods.multiscale import GUIDANCES, MOST_SCALES, MultiScaleParams
from .host.ksampler import sample
from .host.windows.patch import with_settings
from .ksampler_inputs import denoise_input, ksampler_inputs
from .search_words import LARGE
from .shared_inputs import ADVANCED, JOINT_MODEL, MODEL, USED_WINDOWS, part_input

ALIASES = [*LARGE, "msd", "multi-scale diffusion", "hires fix", "high resolution", "layout", "repeated subjects"]
DEFAULT = MultiScaleParams()


def _guidance_inputs() -> list:
    return [
        io.Int.Input(
            "scales",
            default=DEFAULT.scales,
            min=0,
            max=MOST_SCALES,
            tooltip="Number of resolutions of the canvas, each half of the one before. The smallest one decides the "
            "layout. 0: as many as suit the canvas. 1: plain MultiDiffusion.",
        ),
        part_input(
            "strength",
            "How closely the windows follow the low-resolution panorama. 1: fully. 0: plain MultiDiffusion.",
            default=DEFAULT.strength,
        ),
        io.Combo.Input(
            "guidance",
            options=[*GUIDANCES],
            default=DEFAULT.guidance,
            tooltip="projected: corrects the prediction; hardly slower, for every model and sampler; uses strength. "
            "gradient: as in the paper, with a gradient through the model; four times as slow; uses weight.",
            **ADVANCED,
        ),
        io.Float.Input(
            "weight",
            default=DEFAULT.weight,
            min=0.0,
            max=100.0,
            step=0.5,
            tooltip="Only for guidance gradient: how strongly the windows follow the low-resolution panorama. Good "
            "values are 2 to 10.",
            **ADVANCED,
        ),
    ]


def _guided(model, **guidance):
    return with_settings(model, multiscale=MultiScaleParams(**guidance))


class MultiScaleGuidance(io.ComfyNode):
    """MODEL to MODEL: low-resolution panoramas guide the windows, in any sampler."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="MultiScaleGuidance",
            display_name="Multi-Scale Guidance",
            category="joint diffusion",
            description="A low-resolution panorama guides the layout of the windows (Multi-Scale Diffusion), in any "
            f"sampler. {USED_WINDOWS}",
            search_aliases=ALIASES,
            inputs=[
                MODEL,
                *_guidance_inputs(),
            ],
            outputs=[JOINT_MODEL],
        )

    @classmethod
    def execute(cls, model, **guidance):
        return io.NodeOutput(_guided(model, **guidance))


class MultiScaleSampler(io.ComfyNode):
    """KSampler with Multi-Scale Diffusion."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="MultiScaleSampler",
            display_name="Multi-Scale Sampler",
            category="joint diffusion",
            description="A KSampler for panoramas that are larger than the model's size in both directions. A "
            "low-resolution panorama guides the layout (Multi-Scale Diffusion).",
            search_aliases=[*ALIASES, "ksampler"],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="Any image model. Without Panorama Windows: windows of the size that the model was "
                    "trained on, with half overlap.",
                ),
                *ksampler_inputs(),
                io.Conditioning.Input("positive", tooltip="What to show."),
                io.Conditioning.Input("negative", tooltip="What not to show."),
                io.Latent.Input("latent_image", tooltip="The canvas, from Panorama Latent."),
                denoise_input("keeps the structure of the latent (img2img)."),
                *_guidance_inputs(),
            ],
            outputs=[io.Latent.Output("latent", display_name="LATENT", tooltip="The panorama, for Panorama Decode.")],
        )

    @classmethod
    def execute(cls, model, scales, strength, guidance=DEFAULT.guidance, weight=DEFAULT.weight, **as_in_ksampler):
        guided = _guided(model, scales=scales, strength=strength, guidance=guidance, weight=weight)
        return io.NodeOutput(sample(guided, **as_in_ksampler))
