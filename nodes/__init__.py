"""ComfyUI's side of the pack: one file per node. Only `host/` knows more of ComfyUI than its public `comfy_api`."""
