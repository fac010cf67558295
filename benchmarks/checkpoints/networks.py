"""The networks that judge pictures, from the libraries that keep them; their weights are downloaded when first used."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn
from torchmetrics.functional.image.dists import DISTSNetwork
from torchmetrics.image.fid import NoTrainInceptionV3
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
from transformers import CLIPModel, CLIPProcessor

from .weights import WeightParams


class Networks:
    """Each is loaded when it is first asked, and looks at `batch` pictures at once.

    Pictures are (N, 3, H, W) bytes; answers are on the CPU.
    """

    def __init__(self, params: WeightParams, device: torch.device, batch: int):
        if batch < 1:
            raise ValueError(f"batch: must be at least 1, got {batch}.")
        self.params, self.device, self.batch = params, device, batch

    def inception(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, 2048) for FID and KID, and logits (N, 1008) for IS."""
        features = self._in_batches(self._inception, pictures)
        last = self._inception.get_parameter("fc.weight")
        return features, features @ last.T.cpu()

    def clip(self, pictures: Tensor, prompt: str) -> tuple[Tensor, Tensor]:
        """100 times the cosine of pictures and prompt, (N,), and the mark for beauty, about 1..10, (N,)."""
        model, processor = self._clip
        text = processor(text=[prompt], text_kwargs={"return_tensors": "pt", "truncation": True}).to(self.device)

        def embed(batch: Tensor) -> Tensor:
            shown = processor(images=list(batch.cpu()), images_kwargs={"return_tensors": "pt"}).to(self.device)
            seen = model(**text, **shown)
            return torch.cat([seen.image_embeds, seen.text_embeds.expand_as(seen.image_embeds)], dim=1)

        images, texts = self._in_batches(embed, pictures).chunk(2, dim=1)
        return 100 * (images * texts).sum(dim=1), self._aesthetic(images)[:, 0]

    def lpips(self, pictures: Tensor, others: Tensor) -> Tensor:
        """Distances (N,)."""
        return self._in_batches(lambda a, b: self._lpips(a / 255, b / 255, normalize=True).flatten(), pictures, others)

    def dists(self, pictures: Tensor, others: Tensor) -> Tensor:
        """Distances (N,)."""
        return self._in_batches(lambda a, b: self._dists(a / 255, b / 255).reshape(-1), pictures, others)

    @torch.inference_mode()
    def _in_batches(self, network: Callable[..., Tensor], *pictures: Tensor) -> Tensor:
        batches = zip(*(p.split(self.batch) for p in pictures), strict=True)
        return torch.cat([network(*(b.to(self.device) for b in batch)).float().cpu() for batch in batches])

    @cached_property
    def _inception(self) -> nn.Module:
        path = self.params.inception_weights
        return NoTrainInceptionV3("inception-v3-compat", ["2048"], path).to(self.device)

    @cached_property
    def _lpips(self) -> nn.Module:
        # Not on VGG: SyncDiffusion may descend just that, and would be judged by what it was told.
        return LearnedPerceptualImagePatchSimilarity("alex").net.to(self.device)

    @cached_property
    def _dists(self) -> nn.Module:
        # The metric of torchmetrics builds this network again for every batch.
        return DISTSNetwork().to(self.device)

    @cached_property
    def _clip(self) -> tuple[CLIPModel, CLIPProcessor]:
        name = self.params.clip_model
        model = CLIPModel.from_pretrained(name).eval()
        nn.Module.to(model, self.device)  # in place; the `to` of transformers has lost its types
        return model, CLIPProcessor.from_pretrained(name)

    @cached_property
    def _aesthetic(self) -> nn.Linear:
        where = self.params.aesthetic_weights
        if Path(where).is_file():
            weights = torch.load(where, map_location="cpu", weights_only=True)
        else:
            weights = torch.hub.load_state_dict_from_url(where, map_location="cpu", weights_only=True)
        wanted, got = self._clip[0].config.projection_dim, weights["weight"].shape[1]
        if wanted != got:
            raise ValueError(
                f"aesthetic-weights: must be for embeddings of {wanted} numbers, as {self.params.clip_model} gives "
                f"them, got {got}; choose the pair that belongs together."
            )
        layer = nn.Linear(got, 1)
        layer.load_state_dict(weights)
        return layer.requires_grad_(False)
