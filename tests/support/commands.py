"""Python in processes of their own, from the root of the repository: forks of one that has imported PyTorch already."""

import atexit
import json
import os
import runpy
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m module ...` or `python -c code ...`, without the seconds that importing PyTorch takes."""
    if not hasattr(os, "fork"):
        return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True)
    forks = _forks()
    with tempfile.TemporaryDirectory(prefix="python-") as folder:
        print(json.dumps([folder, dict(os.environ), *arguments]), file=forks.stdin, flush=True)
        code = int(forks.stdout.readline())
        said = [Path(folder, stream).read_text(encoding="utf-8") for stream in ("stdout", "stderr")]
    return subprocess.CompletedProcess(["python", *arguments], code, *said)


def printed(code: str) -> list:
    """What Python code prints, a JSON value in each line."""
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    return [*map(json.loads, done.stdout.splitlines())]


@cache
def _forks() -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, __file__], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    atexit.register(process.communicate)
    return process


def _next_command() -> list[str]:
    """Forks for every command and goes on; only the forks come back, each with what it is to do."""
    import av  # noqa: F401
    import kornia.filters  # noqa: F401
    import PIL.Image  # noqa: F401
    import safetensors.torch  # noqa: F401
    import torch
    import torch._dynamo  # noqa: F401  (ComfyUI needs it, and it takes as long as all the rest)

    for line in sys.stdin:
        folder, environment, *arguments = json.loads(line)
        child = os.fork()
        if not child:
            for number, stream in ((1, "stdout"), (2, "stderr")):
                os.dup2(os.open(Path(folder, stream), os.O_WRONLY | os.O_CREAT), number)
            os.environ.clear()
            os.environ.update(environment)
            return arguments
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    sys.exit()


if __name__ == "__main__":
    how, what, *sys.argv[1:] = _next_command()
    sys.path[0] = str(ROOT)
    if how == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        sys.argv[0] = how
        exec(what, {"__name__": "__main__"})
