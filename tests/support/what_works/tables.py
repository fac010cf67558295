"""The tables: what stands in their rows and columns, and what must hold where a row meets a column."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from comfy_extras.nodes_torch_compile import TorchCompileModel

from .families import FAMILIES, model_of
from .features import FEATURES, GUIDES, SAME, WITHOUT
from .patches import PATCHES
from .runs import METHODS, SAMPLERS, Asked, reference, sampled

NO_DIFFERENCE = 1e-5
JOINT = [*METHODS]
# Those that differ most; what others have of their own is in the table of ControlNets and reference latents.
OTHERS = ["SDXL", "Flux", "Qwen-Image", "Wan", "Chroma Radiance (pixels)"]


@dataclass(frozen=True)
class Table:
    """One table of the page.

    Attributes:
        title: its heading.
        tick: what a tick in it says.
        rows, columns: their names.
        run: runs what a row and a column stand for. AssertionError: it does not hold.
        cannot: {(row, column): (why, a word of the message)} of what is refused.
        nothing: {(row, column): why} of what there is not.
    """

    title: str
    tick: str
    rows: list[str]
    columns: list[str]
    run: Callable[[str, str], None]
    cannot: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    nothing: dict[tuple[str, str], str] = field(default_factory=dict)


# What must hold. ------------------------------------------------------------------------------------------------------


def _differ(result: torch.Tensor, other: torch.Tensor) -> None:
    assert result.isfinite().all(), "not finite"
    if result.shape == other.shape:
        difference = float((result - other).abs().max() / other.abs().max())
        assert difference > NO_DIFFERENCE, f"makes no difference ({difference:.1g})"


def _agree(result: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(result, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def _simpler(method: str) -> str | None:
    return None if method == "MultiDiffusion" else "MultiDiffusion"


def _model(family: str, method: str) -> None:
    _differ(sampled(Asked(family=family, method=method)), reference(family, _simpler(method)))


def _both_act(change: Callable[[Asked], Asked], family: str, method: str) -> None:
    """The picture is another without the change, and without the method."""
    asked = change(Asked(family=family, method=method))
    result = sampled(asked)
    _differ(result, reference(family, method))
    _differ(result, sampled(replace(asked, method=_simpler(method))))


def _condition(name: str, family: str, method: str) -> None:
    if name in SAME:
        _agree(SAME[name](Asked(family=family, method=method)), reference(family, method))
    else:
        _both_act(FEATURES[name], family, method)


def _guide(name: str, method: str) -> None:
    family, change = GUIDES[name]
    _both_act(change, family, method)


def _compiled(family: str, method: str) -> None:
    """By ComfyUI's own node; the backend counts graphs and runs them as they are. One for a device takes minutes."""
    graphs = []

    def backend(graph: torch.fx.GraphModule, _inputs: Any, **_options: Any) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    compiled = TorchCompileModel.execute(model_of(family), backend).args[0]
    _agree(sampled(Asked(family=family, method=method, model=compiled)), reference(family, method))
    assert graphs, "nothing was compiled"


def _patch(name: str, family: str, method: str) -> None:
    asked, without = PATCHES[name].on(Asked(family=family, method=method))
    _differ(sampled(asked), sampled(without))


# What cannot be, and what there is not. -------------------------------------------------------------------------------

CACHE = "it would take one window for the next"
EASY_CACHE = CACHE, "result of one window for the next"
LAZY_CACHE = CACHE, "Guidance of windows cannot be combined"
HOOKED_GRADIENT = "a gradient would have to pass through exchanged weights", "has LoRA hooks"

PATCHED = ["MultiDiffusion", "Multi-Scale", "Sync", "Twin Crop Fusion"]
OF_FIRST = [name for name in FEATURES if "SD 1.5" not in WITHOUT.get(name, ([], ""))[0]]
PATCHES_OF_FIRST = [name for name, patch in PATCHES.items() if "SD 1.5" in patch.families]
PATCHES_OF_OTHERS = [name for name, patch in PATCHES.items() if set(patch.families) & set(OTHERS)]


def _not_for(name: str) -> str:
    families = PATCHES[name].families
    if len(families) > len(FAMILIES) / 2:
        return f"it is not for {_listed([family for family in FAMILIES if family not in families])}."
    return f"it is for {_listed(families)}."


def _listed(names: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


TABLES: dict[str, Table] = {
    "models": Table(
        "Models and methods",
        "A tick: the numbers are finite, and the method makes another picture than MultiDiffusion "
        "(MultiDiffusion: than the model on the whole canvas).",
        [*FAMILIES],
        [*JOINT, *SAMPLERS],
        _model,
    ),
    "conditions": Table(
        "Conditions, options of a run, and methods",
        "On SD 1.5. A tick: without the condition, and without the method, the picture is another. What is marked "
        "with = must change nothing but the rounding, and a tick says that it does not.",
        [*OF_FIRST, *SAME],
        JOINT,
        lambda row, column: _condition(row, "SD 1.5", column),
        cannot={
            (row, column): HOOKED_GRADIENT
            for row in ("LoRA by hooks", "LoRA by hooks, scheduled")
            for column in ("Multi-Scale, gradient", "Sync, gradient")
        },
    ),
    "guides": Table(
        "ControlNets and reference latents of all kinds, and methods",
        "A tick: without the ControlNet or the reference, and without the method, the picture is another.",
        [*GUIDES],
        ["MultiDiffusion", "Multi-Scale", "Multi-Scale, gradient"],
        _guide,
    ),
    "conditions of families": Table(
        "Conditions, options of a run, and models",
        "With Multi-Scale, which has windows on the canvas and on a smaller one. A tick is as above.",
        [*FEATURES, *SAME],
        OTHERS,
        lambda row, column: _condition(row, column, "Multi-Scale"),
        nothing={
            (row, family): why for row, (families, why) in WITHOUT.items() for family in families if family in OTHERS
        },
    ),
    "compiled": Table(
        "Compiled models",
        "By ComfyUI's node TorchCompileModel, with a backend that runs the graphs in PyTorch. A tick: the model was "
        "compiled, and the picture is the same but for rounding.",
        ["SD 1.5"],  # to compile one takes as long as a hundred other cells
        ["MultiDiffusion"],
        _compiled,
    ),
    "patches": Table(
        "Patches of ComfyUI's own nodes, and methods",
        "On SD 1.5. A tick: with the patch the picture is another than without it.",
        PATCHES_OF_FIRST,
        PATCHED,
        lambda row, column: _patch(row, "SD 1.5", column),
        cannot={
            **{("EasyCache", column): EASY_CACHE for column in PATCHED},
            **{("LazyCache", column): LAZY_CACHE for column in ("Multi-Scale", "Sync")},
        },
    ),
    "patches of families": Table(
        "Patches of ComfyUI's own nodes, and models",
        "With MultiDiffusion. A tick is as above.",
        PATCHES_OF_OTHERS,
        OTHERS,
        lambda row, column: _patch(row, column, "MultiDiffusion"),
        cannot={("EasyCache", column): EASY_CACHE for column in OTHERS},
        nothing={
            (row, family): _not_for(row)
            for row in PATCHES_OF_OTHERS
            for family in OTHERS
            if family not in PATCHES[row].families
        },
    ),
}
