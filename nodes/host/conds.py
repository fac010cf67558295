"""Conditioning as the host prepares it for a run."""

from collections.abc import Sequence
from typing import Any

Entry = dict[str, Any]
"""One prompt, area, ..., as `process_conds` left it."""
Conds = Sequence[list[Entry] | None]
"""[positive, negative, ...] as CALC_COND_BATCH gets them."""
