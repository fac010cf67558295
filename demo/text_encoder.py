"""Tokens to context: one learned vector per word."""

import torch
from torch import Tensor, nn

from .model import CONTEXT_WIDTH
from .vocabulary import PAD, WORDS, tokens


class TextEncoder(nn.Module):
    """(B, T) token ids to (B, T, d); padding becomes exactly zero, so an empty prompt is a context of zeros."""

    def __init__(self, width: int = CONTEXT_WIDTH, operations=nn, device=None, dtype=None) -> None:
        super().__init__()
        self.words = operations.Embedding(1 + len(WORDS), width, device=device, dtype=dtype)

    def forward(self, ids: Tensor) -> Tensor:
        """Context (B, T, d) of token ids (B, T)."""
        # Masked here and not by `padding_idx`: the zero then holds whatever the stored row says.
        return self.words(ids) * (ids != PAD).unsqueeze(-1).to(self.words.weight.dtype)


def tokenise(prompts: list[str], device: torch.device | str = "cpu") -> Tensor:
    """(B, T) token ids of some prompts."""
    return torch.tensor([tokens(prompt) for prompt in prompts], device=device)
