"""Where the weights are of the networks that judge pictures."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class WeightParams:
    """Those that may lie elsewhere; of LPIPS and DISTS they are torchvision's, which keeps them in TORCH_HOME."""

    clip_model: str = "openai/clip-vit-large-patch14"  # name on the Hugging Face hub, or a folder
    aesthetic_weights: str = (  # URL or file: one linear layer on the embeddings of that CLIP
        "https://github.com/LAION-AI/aesthetic-predictor/raw/main/sa_0_4_vit_l_14_linear.pth"
    )
    inception_weights: str | None = None  # a file of torch-fidelity's; None downloads it
