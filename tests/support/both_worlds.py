"""The worlds, for tests of both.

The town is in benchmarks, which say `demo` for what is `joint_diffusion.demo` in the tests: while it is imported, the
modules have that name too, so they are not loaded a second time.
"""

import sys
from importlib import import_module

from joint_diffusion.demo import dataset, layer_colours, pipeline, worlds  # noqa: F401

_ALIASES = {
    name.removeprefix("joint_diffusion."): module
    for name, module in sys.modules.items()
    if name.startswith("joint_diffusion.demo")
}
sys.modules |= _ALIASES
try:
    TOWN = import_module("joint_diffusion.benchmarks.town.world").TOWN
finally:
    for _name in _ALIASES:
        del sys.modules[_name]

LANDSCAPES = worlds.LANDSCAPES
WORLDS = (LANDSCAPES, TOWN)


def named(part: object) -> str:
    """For the names of tests: that of a world, or the part as it is."""
    return part.name if isinstance(part, worlds.World) else str(part)
