"""The benchmark of faults in its short form, and that it sees what is wrong."""

import pytest
from commands import python
from host import HOST
from joint_diffusion.benchmarks.table import read

pytestmark = pytest.mark.skipif(HOST is None, reason="needs ComfyUI")
LAX = """
import sys
from benchmarks.faults import __main__ as command
from benchmarks.faults import bad_inputs
command.start_host()
from benchmarks.faults import moments, subjects
from joint_diffusion.nodes.host import memory
{change}
with command.torch.inference_mode():
    import tempfile, pathlib
    scene = subjects.scene(pathlib.Path(tempfile.mkdtemp()))
    chosen = [subject for subject in scene.subjects() if subject.name == {subject!r}]
    for outcome in moments.disturbances(scene, chosen, {count}, 0):
        print(*outcome.complaints, sep="\\n")
"""

BROKEN = """
def no_memory():
    raise command.torch.OutOfMemoryError("none")
memory.comfy.model_management.soft_empty_cache = no_memory
"""
LEAKY = """
attempt = memory.BatchSize.attempt
def leaky(self, call, size):
    try:
        return attempt(self, call, size)
    except Exception:
        memory.HEADROOM += 1
        raise
memory.BatchSize.attempt = leaky
"""


def test_a_few_of_each_end_well(tmp_path):
    done = python("-m", "benchmarks.faults", "--short", "--results", str(tmp_path))
    assert done.returncode == 0, done.stderr
    lines = read(tmp_path / "faults.csv")[1]
    values = {(line["row"], line["metric"]): float(line["value"]) for line in lines}
    assert sum(value for (_, metric), value in values.items() if metric == "tried") > 200
    bad = ("ended wrongly", "something changed", "next run differs", "half-written files")
    assert not any(value for (_, metric), value in values.items() if metric in bad)
    assert values["interrupt", "tried"] > 1
    assert values["a full disk", "tried"] > 1


@pytest.mark.parametrize(
    ("of", "change", "seen"),
    [
        ("an error in what makes a batch smaller", BROKEN, "ended with OutOfMemoryError"),
        ("a global that an error leaves changed", LEAKY, "changed: joint_diffusion.nodes.host.memory.HEADROOM"),
    ],
)
def test_what_is_wrong_is_seen(of, change, seen):
    done = python("-c", LAX.format(change=change, subject="MultiDiffusion", count=24))
    assert done.returncode == 0, done.stderr
    assert seen in done.stdout
