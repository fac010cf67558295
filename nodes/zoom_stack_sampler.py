"""KSampler for a whole zoom stack (Generative Powers of Ten)."""

from comfy_api.latest import io

from ..core.canvas.windows import canvas_size
from .colours import colours_of
from .host.joined.level_blending import SPACES, ZoomBlending
from .host.joined.zoom_stack import sample_zoom_stack
from .host.latents import empty, latent_space, stack_latent
from .ksampler_inputs import denoise_input, ksampler_inputs
from .pixels import check_size, size_inputs, size_or_native
from .search_words import ZOOM
from .shared_inputs import ADVANCED, part_input
from .zoom_prompts import StackPrompts, ZoomPromptsType

DEFAULT = ZoomBlending(zoom_factor=2)


class ZoomStackSampler(io.ComfyNode):
    """All levels of a zoom at once, consistent with one another."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ZoomStackSampler",
            display_name="Zoom Stack Sampler",
            category="joint diffusion",
            description="Samples one scene at many zoom levels at once. Each level has its own prompt, and is the "
            "centre of the level before (Generative Powers of Ten). Can zoom into a photograph.",
            search_aliases=[*ZOOM, "zoom stack", "ksampler"],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="Any image model. With Panorama Windows, levels can be larger than the model's own size.",
                ),
                ZoomPromptsType.Input("zoom_prompts", tooltip="What each level shows. Comes from Zoom Prompts."),
                io.Vae.Input("vae", tooltip="The VAE of the model."),
                *ksampler_inputs(
                    steps=30,
                    sampler_tooltip="The sampling algorithm; every one works. The paper's is ddpm; samplers that add "
                    "noise join the levels best.",
                ),
                denoise_input("keeps the structure of latent_image, to refine a finished stack."),
                *size_inputs("each level", ", or that of latent_image"),
                io.Combo.Input(
                    "blending",
                    options=list(SPACES),
                    default=DEFAULT.space,
                    tooltip="How levels are joined. pixel: as pictures, through the VAE at every step, as in the "
                    "paper. latent: as latents, without the VAE; fast, less exact. mixed: as pictures in some steps, "
                    "as latents in the others.",
                ),
                io.Latent.Input(
                    "latent_image",
                    optional=True,
                    tooltip="A stack to start from, one row for each level (set denoise below 1). Or an empty latent, "
                    "for the size.",
                ),
                io.Image.Input(
                    "photograph", optional=True, tooltip="What the outermost level must show. The stack zooms into it."
                ),
                io.Int.Input(
                    "pixel_every",
                    default=4,
                    min=1,
                    max=1000,
                    tooltip="Only for mixed: every how many steps levels are joined as pictures, counted from the "
                    "last step. 1: in every step.",
                    **ADVANCED,
                ),
                part_input(
                    "pixel_from",
                    "Only for mixed: levels are joined as latents before this part of the steps.",
                    default=0.0,
                    **ADVANCED,
                ),
                part_input(
                    "pixel_to",
                    "Only for mixed: levels are joined as latents after this part of the steps.",
                    default=1.0,
                    **ADVANCED,
                ),
                io.Int.Input(
                    "photograph_steps",
                    default=DEFAULT.photograph_steps,
                    min=0,
                    max=100,
                    tooltip="Steps of the optimiser towards the photograph at each denoising step. The paper uses 5.",
                    **ADVANCED,
                ),
                part_input(
                    "photograph_rate",
                    "Learning rate of these steps. The paper uses 0.1.",
                    default=DEFAULT.photograph_rate,
                    step=0.01,
                    **ADVANCED,
                ),
            ],
            outputs=[
                io.Latent.Output(
                    "latent", display_name="LATENT", tooltip="One row for each level. To refine the stack."
                ),
                io.Image.Output(
                    "image",
                    display_name="IMAGE",
                    tooltip="The levels. Each one is the centre of the level before.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        model,
        zoom_prompts: StackPrompts,
        vae,
        seed,
        steps,
        cfg,
        sampler_name,
        scheduler,
        denoise,
        width,
        height,
        blending,
        latent_image=None,
        photograph=None,
        pixel_every=4,
        **photograph_and_range,
    ):
        levels = len(zoom_prompts.levels)
        how = ZoomBlending(
            zoom_factor=zoom_prompts.zoom_factor, space=blending, pixel_every=pixel_every, **photograph_and_range
        )
        if photograph is not None and len(photograph) != 1:
            raise ValueError(
                f"photograph: must be one image, what the outermost level shows, got {len(photograph)}; choose one, "
                "for example with Get Image from Batch."
            )
        if latent_image is None:
            latent = empty(latent_space(model), levels, size_or_native(model, height, width))
        else:
            latent = stack_latent(model, latent_image, levels)
            check_size(model, height, width, canvas_size(latent))
        if denoise < 1 and photograph is None and not latent.any():
            raise ValueError(
                f"denoise: must be 1 with neither a finished stack in latent_image nor a photograph, got {denoise}: "
                "less leaves the grey of an empty latent in the pictures; set 1, or connect one of them."
            )
        latent, image = sample_zoom_stack(
            model,
            latent,
            zoom_prompts.levels,
            zoom_prompts.negative,
            how,
            vae=vae,
            photograph=None if photograph is None else colours_of("photograph", photograph),
            seed=seed,
            steps=steps,
            cfg=cfg,
            sampler_name=sampler_name,
            scheduler=scheduler,
            denoise=denoise,
        )
        return io.NodeOutput({"samples": latent}, image)
