"""What every node that samples asks for: the inputs of the host's KSampler, in its order."""

from comfy_api.latest import io

from .host.ksampler import SAMPLERS, SCHEDULERS
from .shared_inputs import part_input


def ksampler_inputs(steps: int = 20, sampler_tooltip: str = "The sampling algorithm; every one works.") -> list:
    """seed, steps, cfg, sampler_name and scheduler."""
    return [
        io.Int.Input(
            "seed",
            default=0,
            min=0,
            max=0xFFFFFFFFFFFFFFFF,
            control_after_generate=True,
            tooltip="The random seed used for creating the noise.",
        ),
        io.Int.Input("steps", default=steps, min=1, max=10000, tooltip="The number of denoising steps."),
        io.Float.Input(
            "cfg", default=7.0, min=0.0, max=100.0, step=0.1, round=0.01, tooltip="How closely to follow the prompt."
        ),
        io.Combo.Input("sampler_name", options=SAMPLERS, tooltip=sampler_tooltip),
        io.Combo.Input("scheduler", options=SCHEDULERS, tooltip="How the noise falls over the steps."),
    ]


def denoise_input(less: str) -> io.Float.Input:
    """denoise; `less` says what a value below 1 does."""
    return part_input("denoise", f"1: starts from pure noise. Below 1: {less}", default=1.0, step=0.01)
