"""Who makes what of the inputs of `latent_cases` and `picture_cases`.

Right, wrong without a word, an error, or not supported.

Import only after `host.start_host`.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import comfy.model_management
import comfy.utils
from comfy.model_patcher import ModelPatcher
from joint_diffusion.nodes.joint_upscale import JointUpscale
from joint_diffusion.nodes.panorama_windows import MOVING, OVERLAPPING, PanoramaWindows
from torch import Tensor

from tests.support.host import HOST, ROOT

from ..table import Table, read
from .latent_cases import OF_LATENTS
from .packs import TiledDiffusion, UltimateUpscale, context_windows
from .picture_cases import OF_PICTURES
from .verdicts import NotSupported, Wrong
from .ways import SIDE, Enlarger, Sampler

RIGHT, WRONG, ERROR, NOT_SUPPORTED = "right", "silently wrong", "error", "not supported"
CONTEXT = "Context Windows"
BATCH = 4  # windows in a model call, where it can be chosen
LONGEST = 160  # characters of a message
MODELS = "its README does not list the model"
# Where a result that is not right is no fault: a pack says that it does not do this. Whose case, and what it says.
SAID: Mapping[tuple[str, str], str] = {
    **{
        (case, "TiledDiffusion"): MODELS
        for case in ("Z-Image", "Qwen-Image, latents of 5 dimensions", "Wan, a film of 3 frames")
    },
}
KSAMPLER = {"seed": 1, "steps": 3, "sampler_name": "euler", "scheduler": "normal"}


class Verdict(NamedTuple):
    """What came of a case."""

    word: str
    why: str = ""  # unless it is right


def samplers(pack: TiledDiffusion | None) -> list[Sampler]:
    """The ways through windows of `SIDE` cells."""

    def ours(model: ModelPatcher, windows: str, wrap: bool) -> ModelPatcher:
        side = 8 * SIDE
        given = {"wrap_x": wrap, "wrap_y": False, "windows_per_batch": BATCH}
        return PanoramaWindows.execute(model, side, side, 0.5, windows, **given).args[0]

    def host(model: ModelPatcher, wrap: bool) -> ModelPatcher:
        return context_windows(model, SIDE, SIDE // 2, "pyramid", wrap)

    def tiled(pack: TiledDiffusion, method: str, overlap: int, model: ModelPatcher) -> ModelPatcher:
        return pack.patch(model, SIDE, overlap, BATCH, method)

    found = [
        Sampler(
            "Panorama Windows",
            partial(ours, windows=OVERLAPPING, wrap=False),
            partial(ours, windows=OVERLAPPING, wrap=True),
        ),
        Sampler(
            "Panorama Windows, moving",
            partial(ours, windows=MOVING, wrap=False),
            partial(ours, windows=MOVING, wrap=True),
        ),
        Sampler(CONTEXT, partial(host, wrap=False), partial(host, wrap=True), one_axis=True),
    ]
    if pack:
        half = SIDE // 2
        moving = partial(tiled, pack, "SpotDiffusion", 0)
        found += [
            Sampler("TiledDiffusion, MultiDiffusion", partial(tiled, pack, "MultiDiffusion", half)),
            Sampler("TiledDiffusion, Mixture of Diffusers", partial(tiled, pack, "Mixture of Diffusers", half)),
            Sampler("TiledDiffusion, SpotDiffusion", moving, moving),  # its windows always cross the edges
        ]
    return found


def enlargers(pack: UltimateUpscale | None) -> list[Enlarger]:
    """The ways to enlarge through windows of `SIDE` cells."""
    pixels = 8 * SIDE

    def ours(model: ModelPatcher, vae: Any, image: Tensor, prompts: Any, by: float, cfg: float, wrap: bool) -> Tensor:
        windows = {"wrap_x": wrap, "wrap_y": False, "windows_per_batch": BATCH}
        (joint,) = PanoramaWindows.execute(model, pixels, pixels, 0.5, MOVING, **windows).args
        given = {"upscale_by": by, "structure": 0.0, "denoise": 0.5, "wrap_x": wrap, "cfg": cfg}
        return JointUpscale.execute(joint, *prompts, vae, image, **given, **KSAMPLER).args[0]

    def by_tiles(
        pack: UltimateUpscale,
        model: ModelPatcher,
        vae: Any,
        image: Tensor,
        prompts: Any,
        by: float,
        cfg: float,
        _: bool,
    ) -> Tensor:
        size = round(image.shape[2] * by), round(image.shape[1] * by)
        large = comfy.utils.common_upscale(image.movedim(-1, 1), *size, "bicubic", "disabled").movedim(1, -1)
        given = {"denoise": 0.5, "cfg": cfg, "tile": pixels - 8, "padding": 8, "blur": 2}
        return pack.refine(large.clamp(0, 1), model, vae, prompts, **given, **KSAMPLER)

    found = [Enlarger("Joint Upscale", ours, wraps=True)]
    if pack:
        found.append(Enlarger("Ultimate SD Upscale", partial(by_tiles, pack), wraps=False))
    return found


def judged(name: str, case: Callable[[Any], None], way: Any) -> Verdict:
    """What comes of a case; whatever it does, the run goes on."""
    try:
        with redirect_stdout(sys.stderr):
            case(way)
    except KeyboardInterrupt:
        raise
    except NotSupported as why:
        return Verdict(NOT_SUPPORTED, str(why))
    except BaseException as error:
        said = next((why for (of, whose), why in SAID.items() if of == name and way.name.startswith(whose)), None)
        if said:
            return Verdict(NOT_SUPPORTED, said)
        return Verdict(WRONG, str(error)) if isinstance(error, Wrong) else Verdict(ERROR, _first_line(error))
    finally:
        comfy.model_management.interrupt_current_processing(False)
        loaded = comfy.model_management.current_loaded_models
        loaded[:] = [model for model in loaded if model.model is not None]  # as the host does before it loads one
    return Verdict(RIGHT)


def judge_all(
    cases: Mapping[str, Callable[[Any], None]], ways: Sequence[Any]
) -> Iterator[tuple[str, dict[str, Verdict]]]:
    """Case after case, what came of it by the names of the ways."""
    for name, case in cases.items():
        found = {}
        for way in ways:
            found[way.name] = judged(name, case, way)
            print(f"{name}: {way.name}: {' '.join(found[way.name])}", file=sys.stderr, flush=True)
        yield name, found


def compare(tiled: TiledDiffusion | None, ultimate: UltimateUpscale | None, args: argparse.Namespace, who: str) -> None:
    """Try all, print and write."""
    comfy.utils.set_progress_bar_enabled(False)
    done: list[str] = []
    whys: dict[str, Verdict] = {}
    for table_name, cases, ways in (
        ("peers-inputs", OF_LATENTS, samplers(tiled)),
        ("peers-pictures", OF_PICTURES, enlargers(ultimate)),
    ):
        names = [way.name for way in ways]
        note = f"Tiny models with random weights. {who}"
        table = Table(table_name, "input", names, note=note, command=args.commands["inputs"])
        for case, verdicts in judge_all({name: cases[name] for name in cases if _chosen(name, args.cases)}, ways):
            table.row(case, {name: verdict.word for name, verdict in verdicts.items()})
            whys |= {f"{case}: {name}": verdict for name, verdict in verdicts.items() if verdict.why}
            done.append(case)
        _with_those_before(table, args.results, [*cases], done)
        table.save(args.results)
    note, columns = f"What is not right. {who}", ("what came of it", "why")
    messages = Table("peers-messages", "input, and who", columns, note=note, command=args.commands["inputs"])
    for row, verdict in whys.items():
        messages.row(row, {"what came of it": verdict.word, "why": verdict.why})
    _with_those_before(messages, args.results, [*OF_LATENTS, *OF_PICTURES], done)
    messages.save(args.results)


def _with_those_before(table: Table, results: Path, order: list[str], done: Sequence[str]) -> None:
    """Rows of cases that were not tried now stay as they are in the file."""
    path = results / f"{table.name}.csv"
    before = read(path)[1] if path.exists() else []
    kept = [(line["row"], line["metric"], line["value"], None) for line in before]
    lines = [line for line in kept if _case(line[0], order) and _case(line[0], done) is None]
    table.lines = sorted([*lines, *table.lines], key=lambda line: order.index(_case(line[0], order) or ""))


def _case(row: str, cases: Sequence[str]) -> str | None:
    """The case that a row is about, alone or with the name of who tried it."""
    return next((case for case in cases if row == case or row.startswith(f"{case}: ")), None)


def _chosen(name: str, wanted: Sequence[str] | None) -> bool:
    return not wanted or any(part in name for part in wanted)


def _first_line(error: BaseException) -> str:
    """Of its message, without folders of this machine."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    for folder in (HOST, ROOT, Path.home()):
        text = text.replace(f"{folder}/", "")
    return f"{type(error).__name__}: {text}"[:LONGEST]
