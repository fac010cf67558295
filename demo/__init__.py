"""A small diffusion model of drawn landscapes: every workflow runs without a checkpoint, and the truth is known."""
