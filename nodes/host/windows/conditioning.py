"""The conditioning of windows: all that ComfyUI prepared for the whole canvas, cut or encoded again for the views."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, NamedTuple

import comfy.conds
import comfy.samplers
import torch
from comfy.model_base import BaseModel
from comfy.model_patcher import ModelPatcher

from ....core.canvas.windows import Size, Window, canvas_size
from ..conds import Conds, Entry
from ..replaced import replaced
from .control import Hints, WindowControl
from .spatial import NODE, REFERENCES, Placement, Views, attention_mask_of

Active = tuple[tuple[int, ...], ...]  # of each list of conds, the entries that have something to say


class Origin(NamedTuple):
    """Where a model cond comes from: the entry it was encoded from and the name of the list of that entry."""

    value: comfy.conds.CONDRegular
    entry: Entry
    prompt_type: str


class WindowConditioning:
    """The conditioning of one sampling run, cut to batches of windows. Lives for one run.

    Areas and masks are cut; so is every spatial tensor, and every reference latent as large as the canvas. What was
    encoded for the *shape* of the canvas (the size embedding of SDXL, ...) is encoded again for the shape of the
    window, once per shape. ControlNets get a wrapper that cuts their hints. All the rest is passed on as it is.
    """

    def __init__(self, model: BaseModel, canvas: Size, conds: Mapping[str, list[Entry]], seed: int = 0):
        """Remember the run of a model.

        `canvas` is the size of the run's own x, for which `process_conds` encoded the conditioning. `conds` are the
        guider's by name: they tell how an entry was encoded, even where a node gives us lists of its own. Some encoders
        add noise, by the `seed` of the run.
        """
        self._model = model
        self._canvas = canvas
        self._seed = seed
        self._placement = Placement(canvas)
        self.cuts_references = False  # whether a window is shown its part of a reference
        self._hints = Hints()
        self._controls: dict[tuple[Any, ...], WindowControl] = {}
        self._encodings: dict[tuple[int, Size], dict[str, comfy.conds.CONDRegular]] = {}
        self._origins: dict[int, Origin] = {}
        self._cutting = Lock()  # several devices may ask at once
        # The first entry with a value is the one that it was encoded from. `process_conds` appends twins of the areas
        # of the opposite list, which have the values of this list but the prompt of the other.
        for prompt_type, entries in conds.items():
            for entry in entries:
                for key, value in entry["model_conds"].items():
                    self._origins.setdefault(id(value), Origin(value, entry, prompt_type))
                    self.cuts_references |= key in REFERENCES and self._placement.has(key, value)

    def groups(self, conds: Conds, windows: Sequence[Window], canvas: Size) -> dict[Active, list[Window]]:
        """The windows by what the conditioning has to say there. Those of a group may share a model batch.

        `canvas` is the size of the canvas that they lie on, the run's own or a coarser one.

        Raises:
            ValueError: the conditioning has something that cannot be cut to windows.
        """
        heard = [[self._heard(entry, windows, canvas) for entry in entries or ()] for entries in conds]
        groups: dict[Active, list[Window]] = {}
        for number, window in enumerate(windows):
            active = tuple(
                tuple(index for index, where in enumerate(entries) if where is None or where[number])
                for entries in heard
            )
            groups.setdefault(active, []).append(window)
        return groups

    def cut(
        self, conds: Conds, active: Active, windows: Sequence[Window], canvas: Size, batch: int
    ) -> list[list[Entry] | None]:
        """The conds for the views `crop_batch(x, windows)`, only the entries that are active by `groups`.

        The N windows have one size. Their `canvas` is the run's own or a coarser one. x has `batch` (B) rows, and the
        views have N*B, row = window * B + image.
        """
        views = Views(tuple(windows), canvas, batch)
        smaller = views.shape != self._canvas
        with self._cutting:
            return [
                None if entries is None else [self._cut(entries[index], views, smaller) for index in chosen]
                for entries, chosen in zip(conds, active, strict=True)
            ]

    def sizes(self, entries: Iterable[Entry], view: Size) -> list[dict[str, list[int]]]:
        """The size of each model cond of each entry, as a view of that size gets it."""
        found = []
        for entry in entries:
            values = entry["model_conds"]
            sizes = {key: list(value.size()) for key, value in values.items()}
            for key in REFERENCES:
                if isinstance(getattr(values.get(key), "cond", None), list):
                    sizes[key] = self._placement.size_of_references(values[key], view)
            found.append(sizes)
        return found

    def forget_windows(self) -> None:
        """What was cut or looked up for single windows; it is found again when it is needed."""
        self._controls.clear()
        self._placement.forget_windows()

    def _heard(self, entry: Entry, windows: Sequence[Window], canvas: Size) -> Sequence[bool] | None:
        """In which of the windows the entry counts; None for all."""
        if "gligen" in entry:
            raise ValueError(
                f"{NODE} cannot be combined with GLIGEN: its boxes are places on the whole picture, which a window "
                f"does not see. Remove GLIGENTextBoxApply and place the prompts with Conditioning (Set Area) or "
                f"Conditioning (Set Mask) instead."
            )
        mask = self._mask(entry, canvas)
        return None if mask is None or "default" in entry else self._placement.covers(mask, windows)

    def _cut(self, entry: Entry, views: Views, smaller: bool) -> Entry:
        cut = {key: value for key, value in entry.items() if key != "area"}
        mask = self._mask(entry, views.canvas)
        if mask is not None:
            cut["mask"] = views.crop(mask)
        if entry.get("control") is not None:
            # One wrapper for all entries with this control: the host batches only what has the same control object.
            key = (id(entry["control"]), views)
            if key not in self._controls:
                self._controls[key] = WindowControl(entry["control"], views, self._hints)
            cut["control"] = self._controls[key]
        cut["model_conds"] = {
            key: self._model_cond(key, value, views, smaller) for key, value in entry["model_conds"].items()
        }
        return cut

    def _mask(self, entry: Entry, canvas: Size) -> torch.Tensor | None:
        if entry.get("mask") is None and entry.get("area") is None:
            return None
        return self._placement.mask(entry, (*self._inner_shape[1:], *self._canvas), self._device, canvas)

    def _model_cond(
        self, key: str, value: comfy.conds.CONDRegular, views: Views, smaller: bool
    ) -> comfy.conds.CONDRegular:
        if self._placement.has(key, value):
            return value._copy_with(self._placement.crop(key, value.cond, views))
        origin = self._origins.get(id(value))
        if smaller and origin is not None:
            if key == "attention_mask" and origin.entry.get("attention_mask_img_shape", (1, 1)) != (1, 1):
                of_canvas = self._encoded(origin, views.canvas, views.batch).get(key, value)
                return value._copy_with(attention_mask_of(views, of_canvas.cond))
            value = self._encoded(origin, views.shape, views.batch).get(key, value)
        return _in_step(value, views.batch)

    def _encoded(self, origin: Origin, shape: Size, batch: int) -> dict[str, comfy.conds.CONDRegular]:
        """What the model encodes differently for a canvas of that shape."""
        key = (id(origin.entry), shape)
        if key not in self._encodings:
            whole = origin.entry["model_conds"]
            entry = {name: value for name, value in origin.entry.items() if name != "area"}
            noise = torch.zeros(batch, *self._inner_shape, *shape, device=self._device)
            # As the host encodes: in inference mode, which some models ask for, even when we need gradients. The
            # latent image and its mask only enter spatial values, and those are cut from the canvas.
            with torch.inference_mode():
                encoded = comfy.samplers.encode_model_conds(
                    self._model.extra_conds,
                    [entry],
                    noise,
                    self._device,
                    origin.prompt_type,
                    latent_image=noise,
                    denoise_mask=None,
                    seed=self._seed,
                    latent_shapes=[noise.shape],
                )[0]["model_conds"]
            self._encodings[key] = {
                name: encoded[name]
                for name, value in whole.items()
                if not self._placement.has(name, value) and not comfy.conds.is_equal(encoded[name].cond, value.cond)
            }
        return self._encodings[key]

    @property
    def _inner_shape(self) -> tuple[int, ...]:
        """What stands between rows and height in a latent: (channels,) or (channels, frames)."""
        shapes = getattr(self._model, "latent_shapes", None)
        if shapes:
            return tuple(shapes[0][1:-2])
        latent_format = self._model.latent_format
        return (latent_format.latent_channels, *(1,) * (latent_format.latent_dimensions - 2))

    @property
    def _device(self) -> torch.device:
        return self._model.current_patcher.load_device


def scheduled(entries: list[Entry], sigma: float) -> list[Entry]:
    """The entries that are on at `sigma`, from then on without a schedule, for a call at another noise level."""
    on = [e for e in entries if e.get("timestep_end", 0.0) <= sigma <= e.get("timestep_start", float("inf"))]
    return [{k: v for k, v in e.items() if k not in ("timestep_start", "timestep_end")} for e in on]


@contextmanager
def references_of_a_view(conds: Mapping[str, list[Entry]], canvas: Size, view: Size) -> Iterator[None]:
    """Inside, references as large as the canvas are as large as a view of it: ComfyUI asks for memory by their size."""

    def seen(latent: torch.Tensor) -> torch.Tensor:
        return latent[..., : view.height, : view.width] if canvas_size(latent) == canvas else latent

    entries = [entry for of_name in conds.values() for entry in of_name if entry.get("reference_latents")]
    with replaced((entry, "reference_latents", [*map(seen, entry["reference_latents"])]) for entry in entries):
        yield


@contextmanager
def hook_keyframes_at(patchers: Iterable[ModelPatcher], sigma: float) -> Iterator[None]:
    """Inside, keyframes of hooks (LoRA strengths that change over the steps) go by `sigma`, whatever the call's is."""

    def at_sigma(prepare: Callable[..., None]) -> Callable[..., None]:
        return lambda t, *rest: prepare(torch.full_like(t, sigma), *rest)

    name = "prepare_hook_patches_current_keyframe"
    with replaced([(vars(patcher), name, at_sigma(getattr(patcher, name))) for patcher in patchers]):
        yield


def _in_step(value: comfy.conds.CONDRegular, batch: int) -> comfy.conds.CONDRegular:
    """The value with rows that stay in step with window-major views when the host tiles them to N*B.

    That is so for 1 and for B rows. Other numbers are brought to B first, as the host does for the canvas.
    """
    tensors = value.cond if isinstance(value.cond, list) else [value.cond]
    if all(not isinstance(tensor, torch.Tensor) or batch % tensor.shape[0] == 0 for tensor in tensors):
        return value
    return value.process_cond(batch_size=batch, area=None)
