"""The only code that knows the insides of ComfyUI."""
