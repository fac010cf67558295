"""ComfyUI-Joint-Diffusion: panoramas and zooms from the models you already have, without training."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """Give ComfyUI the pack's extension; called once by the host at start-up."""
    # Imported here, not above: pytest and the demo import this file on machines without ComfyUI.
    from .nodes.entry import joint_diffusion_extension

    return joint_diffusion_extension()
