"""SyncDiffusion: every window is pulled towards the look of an anchor window, in any sampler."""

from comfy_api.latest import io

from ..core.methods.syncdiffusion import ANCHORS, GUIDANCES, SyncParams
from .host.gradients.vae import load_along
from .host.perceptual_weights import load_lpips, load_style
from .host.settings import PictureLoss
from .host.windows.patch import with_settings

DEFAULT = SyncParams()
PERCEPTIONS = {"style": load_style, "lpips": load_lpips}


class SyncGuidance(io.ComfyNode):
    """MODEL to MODEL: windows that are far apart come to look alike."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SyncGuidance",
            display_name="Sync Guidance",
            category="joint diffusion",
            description="Pulls the look of every window towards that of an anchor window (SyncDiffusion), so that a "
            "long panorama has one palette and one style. Uses the windows of Panorama Windows, else the model's "
            "native window at half overlap.",
            search_aliases=["syncdiffusion", "coherence", "consistent style", "palette", "panorama", "lpips", "gram"],
            inputs=[
                io.Model.Input("model", tooltip="Any image model, with Panorama Windows before or after, or without."),
                io.Float.Input(
                    "weight",
                    default=DEFAULT.weight,
                    min=0.0,
                    max=1000.0,
                    step=1.0,
                    tooltip="How strongly windows are pulled. 0 is plain MultiDiffusion.",
                ),
                io.Combo.Input(
                    "loss",
                    options=["latent", *PERCEPTIONS],
                    default="latent",
                    tooltip="What is compared. latent: palette and contrast of the latent, no extra weights. style, "
                    "lpips: decoded pictures as VGG-16 sees them; needs a VAE and weights in models/perceptual.",
                ),
                io.Vae.Input("vae", optional=True, tooltip="Decodes what style and lpips compare. Not for latent."),
                io.Combo.Input(
                    "guidance",
                    options=[*GUIDANCES],
                    default=DEFAULT.guidance,
                    optional=True,
                    advanced=True,
                    tooltip="direct: the prediction is corrected, at hardly any cost, with any model and sampler. "
                    "gradient: the paper to the letter, through the model, four times as slow.",
                ),
                io.Combo.Input(
                    "anchors",
                    options=list(ANCHORS),
                    default=DEFAULT.anchors,
                    optional=True,
                    advanced=True,
                    tooltip="one per row: upper and lower windows, which show different things, keep different looks. "
                    "one: a single anchor for the whole canvas, as in the paper. The same on one row or one column.",
                ),
                io.Float.Input(
                    "anchor_x",
                    default=DEFAULT.anchor_place[1],
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    optional=True,
                    advanced=True,
                    tooltip="Where the anchor is: 0 is the left edge, 1 the right one.",
                ),
                io.Float.Input(
                    "anchor_y",
                    default=DEFAULT.anchor_place[0],
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    optional=True,
                    advanced=True,
                    tooltip="Where the anchor is: 0 is the top edge, 1 the bottom. Only for anchors: one.",
                ),
            ],
            outputs=[io.Model.Output("model", display_name="MODEL", tooltip="The model, for any sampler.")],
        )

    @classmethod
    def execute(
        cls,
        model,
        weight,
        loss,
        vae=None,
        anchor_x=DEFAULT.anchor_place[1],
        anchor_y=DEFAULT.anchor_place[0],
        **guidance,
    ):
        params = SyncParams(weight=weight, anchor_place=(anchor_y, anchor_x), **guidance)
        if loss == "latent":
            return io.NodeOutput(with_settings(model, sync=params, picture_loss=None))
        if loss not in PERCEPTIONS:
            raise ValueError(f"loss: must be latent, {' or '.join(PERCEPTIONS)}, got {loss!r}.")
        if vae is None:
            raise ValueError(f"vae: the loss {loss} compares decoded pictures; connect a VAE, or choose latent.")
        guided = with_settings(model, sync=params, picture_loss=PictureLoss(vae=vae, perception=PERCEPTIONS[loss]()))
        load_along(guided, vae)
        return io.NodeOutput(guided)
