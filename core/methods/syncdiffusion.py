"""SyncDiffusion: every window is moved towards the look of an anchor window.

Lee et al., "SyncDiffusion: Coherent Montage via Synchronized Joint Diffusions", NeurIPS 2023, Algorithm 1 and Eq. 14:

    x^_i = x_i - w grad L(decode(D(x_i)), decode(D(x_anchor)))       the anchor stays

Compared are denoised predictions, because noisy pictures all look alike (Fig. 3 of the paper). That is
`guidance: gradient`, with the gradient through decoder, CFG and model and a second look at every window. `direct` takes
the gradient with respect to the prediction and corrects that, so the model is asked once:

    D' = D - fuse(k grad L(decode(D_i), decode(D_anchor)))

The D_i are parts of the *fused* canvas, so the windows of the loss need not be those that were denoised.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from ..canvas.fusion import fuse, fusion_precision, shared_weights
from ..canvas.windows import NO_WRAP, Size, Window, Wrap, canvas_size, crop_batch
from ..correction import RollOff
from ..perception.similarity import Features, LatentSimilarity, Similarity
from ..step import Step
from .gradient_guidance import Term
from .multidiffusion import WindowParams

Guidance = Literal["direct", "gradient"]
GUIDANCES: tuple[Guidance, ...] = get_args(Guidance)
Anchors = Literal["one per row", "one"]
ANCHORS: tuple[Anchors, ...] = get_args(Anchors)

PAPER_WEIGHT = 20.0  # section 5.1
PAPER_STEPS = 50  # section 5.1: the decay of `gradient` is one for each of them
DIRECT = 3.0  # k of `direct` over the weight
ROLL_OFF = RollOff()


@dataclass(frozen=True, kw_only=True)
class SyncParams:
    """How strongly windows are pulled towards the look of an anchor.

    Attributes:
        weight: w of Eq. 14, >= 0; 0 is MultiDiffusion.
        guidance: `direct` or `gradient`, see above.
        roll_off: of `direct`: where in the sampling the weight falls.
        decay: of `gradient`: factor on the weight after each fiftieth of the way from noise to picture, 0..1.
        anchors: `one` for the whole canvas as in the paper, whose canvases are a single row; `one per row` lets upper
            and lower windows, which show different things, keep different looks. The same on a single row, and on a
            single column, where each window would be its own anchor.
        anchor_place: (y, x) on the canvas, 0..1; the window whose centre is nearest is the anchor.
    """

    weight: float = PAPER_WEIGHT
    guidance: Guidance = "direct"
    roll_off: RollOff = ROLL_OFF
    decay: float = 0.95
    anchors: Anchors = "one per row"
    anchor_place: tuple[float, float] = (0.5, 0.5)

    def __post_init__(self) -> None:
        if not 0 <= self.weight < float("inf"):
            raise ValueError(f"weight: must be a number of at least 0, got {self.weight}.")
        if self.guidance not in GUIDANCES:
            raise ValueError(f"guidance: must be direct or gradient, got {self.guidance!r}.")
        if not 0 <= self.decay <= 1:
            raise ValueError(f"decay: must be in 0..1 (a factor), got {self.decay}.")
        if self.anchors not in ANCHORS:
            raise ValueError(f"anchors: must be {' or '.join(ANCHORS)}, got {self.anchors!r}.")
        for axis, place in zip("yx", self.anchor_place, strict=True):
            if not 0 <= place <= 1:
                raise ValueError(f"anchor {axis}: must be in 0..1 (a part of the canvas), got {place}.")

    @property
    def needs_gradients(self) -> bool:
        """Whether a backward pass through the model is needed."""
        return self.guidance == "gradient"

    def weight_at(self, step: Step) -> float:
        """The weight in this step; k of `direct`."""
        if self.needs_gradients:
            return self.weight * self.decay ** (PAPER_STEPS * step.progress)
        return DIRECT * self.weight * self.roll_off.at(step.noise)

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
          pictures are taken so. `direct` needs no such scale: for data of unit variance the scaled gradient is that
          with respect to the prediction
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
    return Term(loss=loss, unit_variance=of_pictures)


def synchronised(
    denoised: Tensor, step: Step, windows: WindowParams, params: SyncParams, similarity: Similarity
) -> Tensor:
    """`direct`: the denoised canvas (B, C, ..., H, W) with its windows moved towards their anchors.

    Raises:
        FloatingPointError: a non-finite gradient, which would become a black picture.
    """
    canvas = canvas_size(denoised)
    plan = windows.overlapping().plan(canvas)
    anchor_of = params.anchor_of(plan, canvas, windows.wrap)
    term = sync_term(anchor_of, step, params, similarity)
    if term is None or len(plan) == 1:
        return denoised
    plan = anchors_first(plan, anchor_of)
    with torch.inference_mode(False), torch.enable_grad():
        leaf = crop_batch(denoised, plan).detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(term.loss(leaf, leaf, plan), leaf)
    weights = shared_weights(windows.weights, plan, denoised.device, fusion_precision(denoised))
    return denoised - fuse(denoised, gradient, plan, weights)
