"""The host in a process of its own, without a server and without a queue: all that nodes need to be run.

What is here is sent to the process by its text, so it uses nothing but itself until ComfyUI has loaded the pack there.
"""

from typing import Any


def boot(folder: str, arguments: list[str], on_gpu: bool) -> Any:
    """Start ComfyUI in this process, and give what this pack does in a worker.

    Args:
        folder: where ComfyUI is; the variable COMFYUI_PATH of this machine goes before.
        arguments: those that ComfyUI was started with where the work comes from.
        on_gpu: whether there is a GPU for this process.

    Raises:
        FileNotFoundError: ComfyUI is not there.
        LookupError: it has not loaded this pack.
    """
    import asyncio
    import importlib
    import os
    import platform
    import sys

    folder = os.environ.get("COMFYUI_PATH") or folder
    if not os.path.isfile(os.path.join(folder, "comfy", "samplers.py")):
        raise FileNotFoundError(
            f"there is no ComfyUI in {folder} on {platform.node()}: install it there, or set COMFYUI_PATH to its "
            "folder before `ray start`."
        )
    if not on_gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        arguments = ["--cpu", *(argument for argument in arguments if argument != "--cpu")]
    streams = sys.stdout, sys.stderr  # ComfyUI puts its own around them, and these must not be closed
    sys.argv = [os.path.join(folder, "main.py"), *arguments]
    sys.path.insert(0, folder)

    import main  # its folders, its start-up scripts and its way to keep models in memory; it starts nothing by itself

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    main.server.PromptServer(loop)  # packs add routes to it; nobody will call them
    with_packs = not main.args.disable_all_custom_nodes or bool(main.args.whitelist_custom_nodes)
    loop.run_until_complete(main.nodes.init_extra_nodes(init_custom_nodes=with_packs, init_api_nodes=False))
    node = main.nodes.NODE_CLASS_MAPPINGS.get("RayWorkers")
    if node is None:
        raise LookupError(f"ComfyUI in {folder} on {platform.node()} has not loaded Joint Diffusion: install it there.")
    package = node.__module__.rpartition(".")[0]
    return importlib.import_module(f"{package}.host.workers.served").Served(streams)
