"""Multi-Scale Diffusion: as a sampler, and as a patch for every other sampler."""

from comfy_api.latest import io

from ..core.methods.multiscale import GUIDANCES, MOST_SCALES, MultiScaleParams
from .host.ksampler import sample
from .host.windows.patch import with_settings
from .ksampler_inputs import denoise_input, ksampler_inputs

CATEGORY = "joint diffusion"
ALIASES = ["msd", "multi-scale diffusion", "multidiffusion", "panorama", "tiled diffusion", "high resolution", "layout"]
DEFAULT = MultiScaleParams()


def _guidance_inputs() -> list:
    return [
        io.Int.Input(
            "scales",
            default=DEFAULT.scales,
            min=0,
            max=MOST_SCALES,
            tooltip="Resolutions, each half of the one before; the smallest decides the layout. 0: as many as the "
            "canvas asks for. 1: plain MultiDiffusion.",
        ),
        io.Float.Input(
            "strength",
            default=DEFAULT.strength,
            min=0.0,
            max=1.0,
            step=0.05,
            tooltip="How closely the windows follow the low-resolution panorama. 0: plain MultiDiffusion.",
        ),
        io.Combo.Input(
            "guidance",
            options=[*GUIDANCES],
            default=DEFAULT.guidance,
            optional=True,
            advanced=True,
            tooltip="projected: the prediction is corrected, at hardly any cost, with any model and sampler. gradient: "
            "the paper to the letter, through the model, four times as slow; its strength is the weight.",
        ),
        io.Float.Input(
            "weight",
            default=DEFAULT.weight,
            min=0.0,
            max=100.0,
            step=0.5,
            optional=True,
            advanced=True,
            tooltip="Only for guidance gradient: how strongly windows are moved. Good are 2 to 10.",
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
            category=CATEGORY,
            description="Low-resolution panoramas guide the layout of high-resolution windows (Multi-Scale Diffusion), "
            "in any sampler. Uses the windows of Panorama Windows, else the model's native window at half overlap.",
            search_aliases=ALIASES,
            inputs=[
                io.Model.Input("model", tooltip="Any image model, with Panorama Windows before or after, or without."),
                *_guidance_inputs(),
            ],
            outputs=[io.Model.Output("model", display_name="MODEL", tooltip="The model, for any sampler.")],
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
            category=CATEGORY,
            description="Samples a panorama whose layout is guided by low-resolution versions of itself "
            "(Multi-Scale Diffusion). For canvases larger than the model's size in both directions.",
            search_aliases=[*ALIASES, "ksampler"],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="Any image model. Its Panorama Windows are used if it has any, else windows of its own "
                    "size at half overlap.",
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
    def execute(
        cls,
        model,
        seed,
        steps,
        cfg,
        sampler_name,
        scheduler,
        positive,
        negative,
        latent_image,
        denoise,
        **guidance,
    ):
        latent = sample(
            _guided(model, **guidance),
            seed=seed,
            steps=steps,
            cfg=cfg,
            sampler_name=sampler_name,
            scheduler=scheduler,
            positive=positive,
            negative=negative,
            latent_image=latent_image,
            denoise=denoise,
        )
        return io.NodeOutput(latent)
