"""Where ComfyUI keeps a file that a node writes and what it puts into it; progress and interruption of the writing."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import folder_paths
import psutil
from comfy.cli_args import args
from comfy.model_management import throw_exception_if_processing_interrupted
from comfy.utils import ProgressBar
from comfy_api.latest import io, ui
from torch import Tensor

from ...core.canvas.windows import Size


def output_file(prefix: str, ending: str, size: Size) -> tuple[Path, ui.SavedResult]:
    """The next free name in ComfyUI's output folder, as a path and as the front end asks for it.

    Raises:
        ValueError: a prefix that no file can have in its name.
        OSError: the folder cannot be made or read. A prefix that leaves the output folder is refused by ComfyUI.
    """
    if "\0" in prefix:
        raise ValueError(
            f"filename_prefix: must be a name that a file can have, got {prefix!r}, which has a null character; leave "
            "it out."
        )
    output = folder_paths.get_output_directory()
    try:
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(prefix, output, size.width, size.height)
    except OSError as error:
        raise OSError(
            f"filename_prefix: {prefix!r} must lie in a folder that can be made and read in {output}, but there "
            f"{error}; choose another one."
        ) from error
    file = f"{name}_{counter:05}_.{ending}"
    return Path(folder) / file, ui.SavedResult(file, subfolder, io.FolderType.output)


def workflow_of(node: type[io.ComfyNode]) -> dict[str, str]:
    """The prompt and the workflow that made a file, unless ComfyUI was started with --disable-metadata."""
    if args.disable_metadata or node.hidden is None:  # which a node has in a running graph only
        return {}
    parts = dict(node.hidden.extra_pnginfo or {})
    if node.hidden.prompt is not None:
        parts["prompt"] = node.hidden.prompt
    return {name: json.dumps(part) for name, part in parts.items()}


def counted(frames: Iterable[Tensor], total: int) -> Iterator[Tensor]:
    """The frames, with the node's progress bar; ends with ComfyUI's own exception where the user interrupts."""
    progress = ProgressBar(total)
    for frame in frames:
        throw_exception_if_processing_interrupted()
        yield frame
        progress.update(1)


def free_memory() -> int:
    """Bytes of main memory that are free."""
    return psutil.virtual_memory().available
