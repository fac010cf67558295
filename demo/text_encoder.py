"""The text encoder: one learned vector per word."""

import torch
from torch import Tensor, nn

from .model import CONTEXT_WIDTH
from .vocabulary import LANDSCAPE_WORDS, PAD, Vocabulary


class TextEncoder(nn.Module):
    """(B, T) token ids to (B, T, d). Padding becomes exactly 0, so an empty prompt is a context of zeros."""

    def __init__(
        self,
        width: int = CONTEXT_WIDTH,
        vocabulary: Vocabulary = LANDSCAPE_WORDS,
        operations=nn,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        self.words = operations.Embedding(1 + len(vocabulary.words), width, device=device, dtype=dtype)

    def forward(self, ids: Tensor) -> Tensor:
        """Context (B, T, d) of token ids (B, T)."""
        # A mask instead of `padding_idx`: the result is 0 whatever the stored row is.
        return self.words(ids) * (ids != PAD).unsqueeze(-1).to(self.words.weight.dtype)


def tokenise(
    prompts: list[str], device: torch.device | str = "cpu", vocabulary: Vocabulary = LANDSCAPE_WORDS
) -> Tensor:
    """Token ids (B, T) of B prompts."""
    ids = [vocabulary.padded_ids(vocabulary.known_words(prompt)) for prompt in prompts]
    return torch.tensor(ids, device=device)
