"""SyncDiffusion: every window is moved towards the look of an anchor window.

Lee et al., "SyncDiffusion: Coherent Montage via Synchronized Joint Diffusions", NeurIPS 2023, Algorithm 1 and Eq. 14:

    x^_i = x_i - w grad L(decode(D(x_i)), decode(D(x_anchor)))       the anchor stays

Compared are denoised predictions, because noisy pictures all look alike (Fig. 3 of the paper).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from .guidance import Term
from .similarity import Features, LatentSimilarity, Similarity
from .step import Step
from .windows import NO_WRAP, Size, Window, Wrap

Anchors = Literal["one per row", "one"]
ANCHORS: tuple[Anchors, ...] = get_args(Anchors)

PAPER_WEIGHT = 20.0  # section 5.1


@dataclass(frozen=True, kw_only=True)
class SyncParams:
    """How strongly windows are pulled towards the look of an anchor.

    Attributes:
        weight: w of Eq. 14, >= 0; 0 is MultiDiffusion.
        decay: factor on the weight after each step, 0..1.
        every: only every n-th step is guided, >= 1.
        stop: part of the steps after which guidance ends, 0..1.
        anchors: `one` for the whole canvas as in the paper, whose canvases are a single row; `one per row` lets upper
            and lower windows, which show different things, keep different looks. The same on a single row, and on a
            single column, where each window would be its own anchor.
        anchor_place: (y, x) on the canvas, 0..1; the window whose centre is nearest is the anchor.
        jacobian_free: the gradient with respect to the denoised prediction moves the view, without going back through
            the model.
    """

    weight: float = PAPER_WEIGHT
    decay: float = 0.95
    every: int = 1
    stop: float = 1.0
    anchors: Anchors = "one per row"
    anchor_place: tuple[float, float] = (0.5, 0.5)
    jacobian_free: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.weight < float("inf"):
            raise ValueError(f"weight: must be a number of at least 0, got {self.weight}.")
        if not 0 <= self.decay <= 1:
            raise ValueError(f"decay: must be in 0..1 (a factor per step), got {self.decay}.")
        if self.every < 1:
            raise ValueError(f"every: must be 1 (each step) or more, got {self.every}.")
        if not 0 <= self.stop <= 1:
            raise ValueError(f"stop: must be in 0..1 (a part of the steps), got {self.stop}.")
        if self.anchors not in ANCHORS:
            raise ValueError(f"anchors: must be {' or '.join(ANCHORS)}, got {self.anchors!r}.")
        for axis, place in zip("yx", self.anchor_place, strict=True):
            if not 0 <= place <= 1:
                raise ValueError(f"anchor {axis}: must be in 0..1 (a part of the canvas), got {place}.")

    def weight_at(self, step: Step) -> float:
        """The weight in this step; 0 in steps that are not guided."""
        if step.progress >= self.stop or step.index % self.every:
            return 0.0
        return self.weight * self.decay**step.index

    def anchor_of(self, windows: Sequence[Window], canvas: Size, wrap: Wrap = NO_WRAP) -> dict[Window, Window]:
        """For every window the one whose look it is given; an anchor is its own."""

        def distance(window: Window) -> float:
            """Of its centre to the place of the anchor; around a loop the shorter way."""
            centre = (window.top + window.height / 2, window.left + window.width / 2)
            total = 0.0
            for at, place, side, loop in zip(centre, self.anchor_place, canvas, wrap, strict=True):
                straight = abs(at % side - place * side)
                total += min(straight, side - straight) if loop else straight
            return total

        if self.anchors == "one" or len({window.left for window in windows}) == 1:
            return dict.fromkeys(windows, min(windows, key=distance))
        rows: dict[int, list[Window]] = {}
        for window in windows:
            rows.setdefault(window.top, []).append(window)
        anchors = {top: min(row, key=distance) for top, row in rows.items()}
        return {window: anchors[window.top] for window in windows}


def anchors_first(windows: Sequence[Window], anchor_of: Mapping[Window, Window]) -> list[Window]:
    """The windows in an order in which each follows its anchor, so that the anchor needs no pass of its own.

    Row by row, so that few anchors are remembered at a time.
    """
    return sorted(windows, key=lambda window: (anchor_of[window], anchor_of[window] != window))


def sync_term(
    anchor_of: Mapping[Window, Window], step: Step, params: SyncParams, similarity: Similarity
) -> Term | None:
    """What pulls windows towards the look of their anchors (`SyncParams.anchor_of`); None where guidance is off.

    The loss must see the windows in the order of `anchors_first`: it remembers the anchors that pass by. The anchor's
    prediction is a constant in the gradient, and the anchor itself gets none.

    Convention:
        - Eq. 14 is meant in the paper's x_t of unit variance (`Term.unit_variance`), and so are its weights: losses of
          pictures are taken so. Jacobian-free they need no such scale: for data of unit variance the scaled gradient
          is that with respect to the prediction
        - `LatentSimilarity` is not. It compares the statistics of whole windows, which the model knows long before it
          knows their cells: a gradient that is scaled so would overshoot at high noise
    """
    weight = params.weight_at(step)
    if weight == 0:
        return None
    waiting = Counter(anchor_of.values())
    known: dict[Window, list[Features]] = {}  # of every picture of the batch, while somebody waits for them

    def loss(_views: Tensor, denoised: Tensor, batch: Sequence[Window]) -> Tensor:
        by_window = dict(zip(batch, denoised.chunk(len(batch)), strict=True))
        followers: dict[Window, list[Tensor]] = {}
        for window, views in by_window.items():
            if anchor_of[window] == window:
                known[window] = [similarity.features(view) for view in views.detach().chunk(len(views))]
            else:
                followers.setdefault(anchor_of[window], []).append(views)
        total = 0 * denoised.sum()  # anchors do not move, but even if all are, this is a function of the views
        for anchor, its_followers in followers.items():
            for picture, features in enumerate(known[anchor]):
                views = torch.cat([views[picture : picture + 1] for views in its_followers])
                total = total + similarity.distance(views, features).sum()
        waiting.subtract(anchor_of[window] for window in batch)
        for anchor in [anchor for anchor in known if not waiting[anchor]]:
            del known[anchor]
        return weight * total

    of_pictures = not isinstance(similarity, LatentSimilarity)
    return Term(loss=loss, jacobian_free=params.jacobian_free, unit_variance=of_pictures)
