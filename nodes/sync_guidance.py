"""SyncDiffusion: every window is pulled towards the look of an anchor window, in any sampler."""

from comfy_api.latest import io

from ..core.methods.syncdiffusion import ANCHORS, GUIDANCES, SyncParams
from .host.gradients.vae import load_along
from .host.latents import latent_space, require_vae_of
from .host.perceptual_weights import LOSSES, load_perception
from .host.settings import PictureLoss
from .host.windows.patch import with_settings
from .shared_inputs import ADVANCED, JOINT_MODEL, MODEL, USED_WINDOWS, part_input, require_choice

DEFAULT = SyncParams()


class SyncGuidance(io.ComfyNode):
    """MODEL to MODEL: windows that are far apart come to look alike."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SyncGuidance",
            display_name="Sync Guidance",
            category="joint diffusion",
            description="Pulls palette and style of every window towards those of an anchor window (SyncDiffusion), "
            f"so that a long panorama looks the same from end to end. {USED_WINDOWS}",
            search_aliases=[
                "syncdiffusion",
                "coherence",
                "consistent style",
                "one style",
                "palette",
                "colour match",
                "color match",
                "panorama",
                "lpips",
                "gram",
            ],
            inputs=[
                MODEL,
                io.Float.Input(
                    "weight",
                    default=DEFAULT.weight,
                    min=0.0,
                    max=1000.0,
                    step=1.0,
                    tooltip="How strongly windows are pulled towards the anchor. 20 is the value of the paper. 0: "
                    "plain MultiDiffusion.",
                ),
                io.Combo.Input(
                    "loss",
                    options=["latent", *LOSSES],
                    default="latent",
                    tooltip="What is compared. latent: palette and contrast of the latents; needs no other files. "
                    "style, lpips: decoded pictures, as a VGG-16 network sees them; needs vae, and files in "
                    "models/perceptual.",
                ),
                io.Vae.Input(
                    "vae", optional=True, tooltip="Only for style and lpips: decodes the pictures that they compare."
                ),
                io.Combo.Input(
                    "guidance",
                    options=[*GUIDANCES],
                    default=DEFAULT.guidance,
                    tooltip="direct: corrects the prediction; hardly slower, for every model and sampler. gradient: "
                    "as in the paper, with a gradient through the model; four times as slow.",
                    **ADVANCED,
                ),
                io.Combo.Input(
                    "anchors",
                    options=list(ANCHORS),
                    default=DEFAULT.anchors,
                    tooltip="one per row: each row of windows has an anchor of its own, so upper and lower windows "
                    "may look different. one: a single anchor for the whole canvas, as in the paper. Both are the "
                    "same if there is only one row or one column.",
                    **ADVANCED,
                ),
                part_input(
                    "anchor_x",
                    "Horizontal place of the anchor window. 0: left edge, 1: right edge.",
                    default=DEFAULT.anchor_place[1],
                    **ADVANCED,
                ),
                part_input(
                    "anchor_y",
                    "Vertical place of the anchor window. 0: top edge, 1: bottom edge. Only for anchors: one.",
                    default=DEFAULT.anchor_place[0],
                    **ADVANCED,
                ),
            ],
            outputs=[JOINT_MODEL],
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
        for name, place in (("anchor_x", anchor_x), ("anchor_y", anchor_y)):
            if not 0 <= place <= 1:
                raise ValueError(f"{name}: must be in 0..1 (a part of the canvas), got {place}; 0.5 is the middle.")
        params = SyncParams(weight=weight, anchor_place=(anchor_y, anchor_x), **guidance)
        require_choice("loss", loss, ["latent", *LOSSES])
        if loss == "latent":
            return io.NodeOutput(with_settings(model, sync=params, picture_loss=None))
        if vae is None:
            raise ValueError(f"vae: the loss {loss} compares decoded pictures; connect a VAE, or choose latent.")
        require_vae_of(latent_space(model), vae)
        guided = with_settings(model, sync=params, picture_loss=PictureLoss(vae=vae, perception=load_perception(loss)))
        load_along(guided, vae)
        return io.NodeOutput(guided)
