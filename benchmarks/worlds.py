"""The worlds that can be measured, by the names of `--world`."""

from argparse import ArgumentParser

from demo.worlds import LANDSCAPES, World

from .town.world import TOWN

WORLDS = {world.name: world for world in (LANDSCAPES, TOWN)}


def add_world(parser: ArgumentParser) -> None:
    """The option; `WORLDS[args.world]` is the world."""
    parser.add_argument("--world", choices=WORLDS, default=LANDSCAPES.name, help="what is painted")


def table_name(name: str, world: World) -> str:
    """Of the files in `results/`: every world has a table of its own."""
    return name if world is LANDSCAPES else f"{name}-{world.name}"
