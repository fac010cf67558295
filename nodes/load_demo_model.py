"""The bundled model, for trying everything without a checkpoint."""

from comfy_api.latest import io

from .host.demo_model import LandscapeVAE, demo_clip, demo_model


class LoadDemoModel(io.ComfyNode):
    """A tiny landscape painter that comes with the pack."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LoadDemoModel",
            display_name="Load Demo Model",
            category="joint diffusion",
            description="A tiny model that comes with the pack. It paints landscapes, 128 pixels at a time. All demo "
            "workflows of the pack run with it, without a checkpoint.",
            search_aliases=["panorama", "demo", "test model", "checkpoint loader", "example"],
            inputs=[],
            outputs=[
                io.Model.Output("model", display_name="MODEL", tooltip="Was trained on pictures of 128 x 128 pixels."),
                io.Clip.Output(
                    "clip",
                    display_name="CLIP",
                    tooltip="Knows seasons, hours, distances and a few things. The help page lists them.",
                ),
                io.Vae.Output("vae", display_name="VAE", tooltip="8 channels, 8 pixels per latent cell."),
            ],
        )

    @classmethod
    def execute(cls):
        return io.NodeOutput(demo_model(), demo_clip(), LandscapeVAE())
