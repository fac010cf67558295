"""SyncDiffusion: every window gets the appearance of an anchor window.

Lee et al., "SyncDiffusion: Coherent Montage via Synchronized Joint Diffusions", NeurIPS 2023, Algorithm 1 and Eq. 14:

    x^_i = x_i - w grad L(decode(D(x_i)), decode(D(x_anchor)))       the anchor is not changed

The loss compares denoised predictions, because noisy pictures are all alike (Fig. 3 of the paper). There are two kinds
of guidance:

gradient    Eq. 14 itself. The gradient goes through decoder, classifier-free guidance and model, and the model denoises
            every view a second time.
direct      A correction of the fused canvas D. The gradient is taken with respect to its views D_i, not through the
            model, so the model denoises every view once:

                D' = D - fuse(k grad L(decode(D_i), decode(D_anchor)))

            The windows of the loss need not be those that were denoised.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from ..canvas.fusion import fuse, shared_weights
from ..canvas.windows import NO_WRAP, Size, Window, Wrap, canvas_size, crop_batch
from ..correction import RollOff
from ..perception.similarity import Features, LatentSimilarity, Similarity
from ..step import Step
from .gradient_guidance import Term, gradient
from .multidiffusion import WindowParams

Guidance = Literal["direct", "gradient"]
GUIDANCES: tuple[Guidance, ...] = get_args(Guidance)
Anchors = Literal["one per row", "one"]
ANCHORS: tuple[Anchors, ...] = get_args(Anchors)

PAPER_WEIGHT = 20.0  # of Fig. 4
PAPER_STEPS = 50  # of Fig. 3; the weight decays once per step (section 5.1)
# k of `direct` divided by the weight. With it palettes are nearer to each other than by `gradient`, and FID is that of
# MultiDiffusion (`python -m benchmarks.figures sync`).
DIRECT = 3.0
# As late as palettes drift apart again. If it ends at 0.1, they end farther apart, most of all with Multi-Scale
# Diffusion.
ROLL_OFF = RollOff(full=0.3, none=0.03)


@dataclass(frozen=True, kw_only=True)
class SyncParams:
    """How strongly windows are guided towards the appearance of an anchor.

    Attributes:
        weight: w of Eq. 14, >= 0; 0 is MultiDiffusion. The default is the paper's (Fig. 4).
        guidance: `direct` or `gradient`, see above.
        roll_off: for `direct`: how the weight falls with the noise level.
        decay: for `gradient`: factor of the weight after each fiftieth of `Step.progress`, 0..1; 0.95 after each of 50
            steps in section 5.1.
        anchors: `one` for the whole canvas, as in the paper, whose canvases are a single row; or `one per row`, because
            upper and lower windows show different things (`python -m benchmarks.figures sync-anchors` compares them).
            On a single row or a single column both mean one anchor.
        anchor_place: (y, x) on the canvas, 0..1. The window whose centre is nearest is the anchor. The default is the
            centre, as in section 5.1.
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
                raise ValueError(f"anchor_place {axis}: must be in 0..1 (a part of the canvas), got {place}.")

    @property
    def needs_gradients(self) -> bool:
        """Whether a backward pass through the model is needed."""
        return self.guidance == "gradient"

    @property
    def is_on(self) -> bool:
        """Whether any step is guided."""
        return self.weight > 0

    def weight_at(self, step: Step) -> float:
        """The weight in this step: w of `gradient`, k of `direct`."""
        if self.needs_gradients:
            return self.weight * self.decay ** (PAPER_STEPS * step.progress)
        return DIRECT * self.weight * self.roll_off.at(step.noise)

    def anchor_of(self, windows: Sequence[Window], canvas: Size, wrap: Wrap = NO_WRAP) -> dict[Window, Window]:
        """The anchor of every window of the canvas; an anchor is its own anchor."""

        def distance(window: Window) -> float:
            """From the centre of the window to `anchor_place`; the shorter way around a wrapping axis."""
            centre = (window.top + window.height / 2, window.left + window.width / 2)
            total = 0.0
            for at, place, side, wraps in zip(centre, self.anchor_place, canvas, wrap, strict=True):
                straight = abs(at % side - place * side)
                total += min(straight, side - straight) if wraps else straight
            return total

        if self.anchors == "one" or len({window.left for window in windows}) == 1:
            return dict.fromkeys(windows, min(windows, key=distance))
        rows: dict[int, list[Window]] = {}
        for window in windows:
            rows.setdefault(window.top, []).append(window)
        anchors = {top: min(row, key=distance) for top, row in rows.items()}
        return {window: anchors[window.top] for window in windows}


def anchors_first(windows: Sequence[Window], anchor_of: Mapping[Window, Window]) -> list[Window]:
    """The windows in an order in which every anchor comes before its followers, as `sync_term` needs it.

    Windows of one anchor stay together, so few anchors are kept in memory at a time.
    """
    return sorted(windows, key=lambda window: (anchor_of[window], anchor_of[window] != window))


def sync_term(
    anchor_of: Mapping[Window, Window], step: Step, params: SyncParams, similarity: Similarity
) -> Term | None:
    """The loss of Eq. 14 for all windows, with the weight of this step; None if the weight is 0.

    Call the loss with the windows in the order of `anchors_first`: it stores the features of an anchor until the last
    follower is done. They are constants in the gradient, and the gradient of the anchor itself is 0.

    Convention:
        - losses of pictures have `Term.unit_variance`, because the weights of the paper are meant for its x_t
        - `LatentSimilarity` does not. It compares statistics of whole windows. The model predicts these well at noise
          levels at which it does not yet know single cells, and a gradient in x_t would overshoot there
        - `direct` ignores this scale: it uses the gradient with respect to the prediction
    """
    weight = params.weight_at(step)
    if weight == 0:
        return None
    windows_left = Counter(anchor_of.values())  # of each anchor, those that the loss has not seen yet
    anchor_features: dict[Window, list[Features]] = {}  # for every image of the batch

    def loss(_views: Tensor, denoised: Tensor, batch: Sequence[Window]) -> Tensor:
        followers: dict[Window, list[Tensor]] = {}
        for window, views in zip(batch, denoised.chunk(len(batch)), strict=True):
            if anchor_of[window] == window:
                anchor_features[window] = [similarity.features(view) for view in views.detach().chunk(len(views))]
            else:
                followers.setdefault(anchor_of[window], []).append(views)
        total = 0 * denoised.sum()  # a batch of anchors only must still depend on the views
        for anchor, its_followers in followers.items():
            for image, features in enumerate(anchor_features[anchor]):
                views = torch.cat([views[image : image + 1] for views in its_followers])
                total = total + similarity.distance(views, features).sum()
        windows_left.subtract(anchor_of[window] for window in batch)
        for anchor in [anchor for anchor in anchor_features if not windows_left[anchor]]:
            del anchor_features[anchor]
        return weight * total

    return Term(loss=loss, unit_variance=not isinstance(similarity, LatentSimilarity))


def synchronised(
    denoised: Tensor, step: Step, windows: WindowParams, params: SyncParams, similarity: Similarity
) -> Tensor:
    """The correction of `direct`: the denoised canvas (B, C, ..., H, W), its windows moved towards their anchors."""
    canvas = canvas_size(denoised)
    plan = windows.overlapping().plan(canvas)
    anchor_of = params.anchor_of(plan, canvas, windows.wrap)
    term = sync_term(anchor_of, step, params, similarity)
    if term is None or len(plan) == 1:
        return denoised
    plan = anchors_first(plan, anchor_of)
    shift = gradient(lambda views: term.loss(views, views, plan), crop_batch(denoised, plan))
    return denoised - fuse(denoised, shift, plan, shared_weights(windows.weights, plan, denoised))
