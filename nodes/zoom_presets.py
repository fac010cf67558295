"""Ready-made prompts for zoom stacks, each from far to near.

What they keep to (Generative Powers of Ten, appendix C to E): the subject of the next level stands in the middle of
this one; the viewpoint never changes on the way in; a step is as large as the zoom factor says, with a level added
where the subject would jump; and every level names the scene that it is part of.
"""

from typing import NamedTuple

from ..demo.vocabulary import ZOOMS


class Preset(NamedTuple):
    """Prompts of N levels, the most zoomed out first, and the zoom factor between them that they were written for."""

    zoom_factor: int
    prompts: tuple[str, ...]


PRESETS = {
    "space to desert": Preset(
        2,
        (
            "deep space, a tiny bright spiral galaxy in the middle of black emptiness, faint distant stars",
            "deep space, a small spiral galaxy in the middle, seen face-on, dark sky with stars around it",
            "a spiral galaxy seen face-on, filling the picture, blue arms around a golden core",
            "the inner arms and the golden core of a spiral galaxy, dense clouds of stars",
            "dense field of stars in the heart of a galaxy, glowing dust",
            "dark sky full of stars, one of them slightly brighter in the middle",
            "dark starry sky with a small orange planet in the middle, far away",
            "an orange desert planet in the middle of a dark starry sky",
            "an orange desert planet seen from space, filling the picture, bands of dust and dry basins",
            "top-down satellite image of an orange desert planet, dry continents and craters",
            "top-down satellite image of a vast orange desert, dune seas and a dark rocky plain in the middle",
            "top-down aerial photo of an orange desert, rows of dunes around a dark rock in the middle",
            "top-down aerial photo of orange sand dunes around a large dark rock, long shadows",
        ),
    ),
    "road to climbers": Preset(
        2,
        (
            "a straight road through autumn forest leading to a huge snowy mountain in the middle, blue sky, eye level",
            "autumn forest at the foot of a huge snowy mountain that fills the middle of the picture, blue sky",
            "a huge snowy mountain above the last trees, rocky flanks and glaciers, clear light, telephoto",
            "the steep face of a snowy mountain, rock ribs and ice fields, filling the picture, telephoto",
            "rocky cliff with bands of snow on a mountain face, filling the picture, telephoto",
            "a rocky cliff with patches of snow, a small group of climbers in the middle, telephoto",
            "three climbers in red jackets on a rope on a rocky cliff, telephoto",
        ),
    ),
    "hand to cell": Preset(
        4,
        (
            "top-down photo of a person asleep on a picnic blanket in a meadow, a hand resting in the middle",
            "close-up photo of the back of a hand resting on white cloth, directly from above, soft even light",
            "macro photo of the skin on the back of a hand, fine lines and pores, soft even light",
            "extreme macro photo of human skin, a mesh of fine lines, soft even light",
            "light microscope image of human skin, a mosaic of flat cells, pale pink stain",
            "light microscope image of a few skin cells side by side, one in the middle, pale pink stain",
            "light microscope image of a single round skin cell with a dark nucleus in the middle, pale pink stain",
            "light microscope image of a cell nucleus, dark purple grains, pale pink stain",
        ),
    ),
    "leaf to veins": Preset(
        2,
        (
            "portrait of a woman holding a red autumn maple leaf in front of her face, park in soft light",
            "a large red and yellow maple leaf held in front of a face, soft light",
            "a red and yellow maple leaf filling the picture, its veins spreading from the middle, soft light",
            "macro photo of a red and yellow maple leaf, the main veins meeting in the middle",
            "macro photo of a red maple leaf, a branching net of yellow veins",
            "extreme macro photo of a red leaf, the finest veins around small glowing patches",
        ),
    ),
    "island to crater": Preset(
        2,
        (
            "top-down satellite image of a small green island in the middle of a vast blue ocean",
            "top-down satellite image of a green volcanic island, surf along its coast, a dark mountain in the middle",
            "top-down aerial photo of a volcanic mountain, green forest giving way to dark lava towards the middle",
            "top-down aerial photo of a volcano, ridges of dark lava around a round crater in the middle",
            "top-down aerial photo of a round volcanic crater with steep grey walls",
            "top-down aerial photo of a crater floor, cracked grey lava, a turquoise lake in the middle",
            "top-down aerial photo of a turquoise crater lake with pale yellow shores, wisps of steam",
        ),
    ),
    "forest to bark": Preset(
        2,
        (
            "a meadow path leading to the edge of a green forest, a tall oak in the middle, eye level, morning light",
            "the edge of a green forest, a tall old oak in the middle, eye level, morning light",
            "the trunk and lower branches of an old oak in the middle of a green forest, eye level, morning light",
            "the thick trunk of an old oak in a green forest, rough bark, eye level, morning light",
            "close-up of the trunk of an old oak, deep ridges of bark, soft light",
            "close-up of oak bark, deep vertical ridges with green moss between them, soft light",
            "macro photo of a ridge of oak bark with moss and pale lichen, soft light",
            "extreme macro photo of pale lichen and tiny moss on oak bark, soft light",
        ),
    ),
    "field to flower": Preset(
        2,
        (
            "a wide field of sunflowers under a blue sky, seen from its edge, eye level",
            "a field of sunflowers, rows of flowers facing the camera, eye level",
            "a few large sunflowers facing the camera, one in the middle, field behind them",
            "a single sunflower facing the camera, yellow petals around a dark centre, filling the picture",
            "close-up of the dark centre of a sunflower with a ring of yellow petals",
            "macro photo of the dark centre of a sunflower, small florets in spirals, a bee in the middle",
            "extreme macro photo of a bee on the florets of a sunflower, grains of pollen",
        ),
    ),
    "planet to lake": Preset(
        4,
        (
            "satellite image of the Earth from space, a green continent in the middle of blue oceans",
            "satellite image of a green continent under thin clouds, directly from above",
            "satellite image of forested hills and rivers, small towns, directly from above",
            "satellite image of countryside, forest with a small lake in the middle, directly from above",
            "aerial photo of a forest lake, directly from above, dark water, calm",
            "aerial photo of the middle of a calm lake with a red kayak, directly from above",
        ),
    ),
    "demo model": Preset(
        2,
        tuple(f"{zoom} meadow, spring dawn" for zoom in ZOOMS),
    ),
}
