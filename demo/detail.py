"""Details of the layers for close-ups: boughs and needles, blades and petals, stones.

Every function takes the points of a picture that show its layer, and their colours, and returns new colours. A detail
appears as soon as the pixels can show it. Its mean is about 0, so a close-up agrees with the picture around it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .noise import fade, texture, value_noise
from .palette import Palette, mix
from .scatter import Leaves, leaves, spots, stones


@dataclass(frozen=True, kw_only=True)
class Points:
    """Points of a picture, each array (N,), in scene heights."""

    x: np.ndarray
    y: np.ndarray
    side: np.ndarray  # distance to the right of the middle of the thing there, such as the trunk
    depth: np.ndarray  # distance below its tip
    cloud: np.ndarray  # 0 (clear sky) to 1
    pixel: float
    seed: int


def _stripes(leaf: Leaves, number: int, lean: float, long: float, pixel: float) -> np.ndarray:
    """Needles of a twig or veins of a leaf: -0.5 to 0.5, slanted from the spine to the rims."""
    clear = fade(long / number, pixel)
    return 0.5 * clear * np.cos(2 * np.pi * number * (leaf.along - lean * np.abs(leaf.across)))


def _feather(leaf: Leaves, dark: float) -> np.ndarray:
    """Brightness of a leaf, about 0 on average: bright towards the tip and on one side, dark between the leaves."""
    lit = 0.55 * (leaf.tone - 0.5) + 0.35 * (leaf.along - 0.35) - 0.22 * leaf.across
    spine = 0.25 * np.clip(1 - np.abs(leaf.across) * 4, 0, 1)
    return leaf.cover * (lit + spine + 0.08) - (1 - leaf.cover) * dark


def forest(at: Points, colour: np.ndarray, palette: Palette, winter: bool) -> np.ndarray:
    """Tiers of boughs, sprays on the boughs, and twigs with needles in front of the dark tree."""
    tier, bough, twig = 0.0095, (0.0120, 0.0046), (0.0050, 0.0019)
    out = np.abs(at.side)
    mirrored = out + 3.1 * (at.side < 0)  # the same slope on both sides of the trunk, but other twigs
    bright = np.zeros_like(colour[:, 0])
    if clear := fade(tier, at.pixel):
        lumps = 0.3 * value_noise(mirrored / 0.004, at.depth / 0.02, at.seed + 1)
        fall = ((at.depth - 0.55 * out) / tier + lumps) % 1
        shade = np.minimum(0.62 - 1.15 * fall, fall * tier / (2 * at.pixel) - 0.5)
        bright += 0.36 * clear * shade
    if clear := fade(bough[1], at.pixel):
        leaf = leaves(mirrored, at.depth, bough, 0.55, at.pixel, at.seed + 2)
        stripes = _stripes(leaf, 7, 0.16, bough[0], at.pixel) * leaf.cover * (1 - fade(twig[1], at.pixel))
        bright += clear * (0.62 * _feather(leaf, 0.45) + 0.35 * stripes - 0.22)
    if clear := fade(twig[1], at.pixel):
        under = np.zeros_like(bright)
        wood = np.zeros_like(bright)
        for turn, dark, lit in ((1.30, 0.75, 0.25), (0.10, 0.0, 0.45), (0.75, 0.0, 0.70)):  # from below to the top
            leaf = leaves(mirrored, at.depth, twig, turn, at.pixel, at.seed + int(10 * turn), spread=0.9)
            needles = _stripes(leaf, 10, 0.20, twig[0], at.pixel)
            # Needles diverge, so more of the dark shows between them towards the rims.
            apart = 0.5 * fade(twig[0] / 10, at.pixel) * np.abs(leaf.across)
            comb = leaf.cover * np.clip(1 + 2.2 * needles - apart, 0, 1)
            here = comb if dark == 0 else np.ones_like(comb)
            value = comb * (lit - 0.30 + 0.7 * (leaf.tone - 0.4) + 0.4 * (leaf.along - 0.4)) - (1 - comb) * dark
            under += here * (value - under)
            stalk = np.clip(1.3 - np.abs(leaf.across) * 8, 0, 1) * leaf.cover * np.clip(1.2 - leaf.along, 0, 1)
            wood = np.maximum(wood * (1 - here), stalk)
        bright += 0.75 * clear * (under - 0.12)
        colour = mix(colour, palette.mountains * np.array([0.66, 0.44, 0.30], np.float32), 0.75 * clear * wood)
    bright += 0.08 * texture(at.x, at.y, 300.0, at.pixel, at.seed + 7)
    return colour * np.clip(1 + bright, 0.15, 2.0)[:, None]


def mountains(at: Points, colour: np.ndarray, palette: Palette, winter: bool) -> np.ndarray:
    """Strata, thinner beds in them, cracked stones, lichen, and the grains of the rock."""
    brightness = colour.mean(1) / max(float(palette.mountains.mean()), 0.05)
    rock = np.clip(1.6 - brightness * 0.6, 0.3, 1)  # less detail on snow
    bright = 0.20 * texture(at.x, at.y, 64.0, at.pixel, at.seed)
    bend = value_noise(at.x * 14, at.y * 14, at.seed + 1) + 0.24 * value_noise(at.x * 90, at.y * 90, at.seed + 2)
    for thick, much in ((0.0150, 0.22), (0.0045, 0.22), (0.0013, 0.13)):
        if clear := fade(thick, at.pixel):
            fall = (at.y + 0.35 * at.x + 0.02 * bend) / thick
            bed = np.floor(fall)
            step = fall - bed
            tone = value_noise(bed + 0.5, np.full_like(bed, 0.5), at.seed + 3) - 0.5
            ledge = np.clip(1 - step * 6, 0, 1) - 0.9 * np.clip(step * 5 - 4, 0, 1)
            bright += much * clear * (1.5 * tone + ledge)
    for size, much in ((0.0060, 0.22), (0.0007, 0.36)):
        if clear := fade(size, at.pixel):
            wobble = 0.25 * size * (value_noise(at.x * 3 / size, at.y * 3 / size, at.seed + 6) - 0.5)
            stone = stones(at.x + wobble, 1.4 * at.y + wobble, size, at.seed + 5)
            bright += much * clear * (1.1 * (stone.tone - 0.5) + 0.12 - 1.4 * np.clip(1 - stone.rim * 9, 0, 1))
    if clear := fade(0.0016, at.pixel):
        fray = 0.8 * texture(at.x, at.y, 620.0, at.pixel, at.seed + 9)
        patch = value_noise(at.x * 310, at.y * 310, at.seed + 8) + fray
        lichen = np.clip((patch - 0.66) * 9, 0, 1) * rock
        crust = 0.75 + 0.5 * (patch * 6 % 1)
        colour = mix(colour, (palette.meadow * 0.7 + palette.accent * 0.3) * crust[:, None], 0.8 * clear * lichen)
        bright *= 1 - 0.6 * clear * lichen
    return colour * np.clip(1 + bright * rock, 0.15, 2.0)[:, None]


def lake(at: Points, colour: np.ndarray, palette: Palette, winter: bool) -> np.ndarray:
    """Waves, glints on their crests, wavelets, the net of light below them, and bubbles."""
    deep, shine = palette.lake * 0.55, palette.lake * 0.25 + palette.horizon * 0.75
    # At dusk the sky is far brighter than the water.
    gentle = min(1.0, 0.50 / float(np.linalg.norm(shine - palette.lake)))
    shine = palette.lake + (shine - palette.lake) * gentle
    for size, much in (((0.040, 0.0060), 0.50), ((0.013, 0.0021), 0.42), ((0.0044, 0.0008), 0.30)):
        if clear := fade(size[1], at.pixel):
            leaf = leaves(at.x, at.y, size, 0.04, at.pixel, at.seed + int(1e4 * size[1]), spread=0.3)
            crest = np.clip(1.1 - np.abs(leaf.across + 0.35) * 1.8, 0, 1) * leaf.cover
            trough = np.clip(leaf.across * 1.6, 0, 1) * leaf.cover
            colour = mix(colour, deep, 0.8 * much * clear * trough)
            colour = mix(colour, shine, much * clear * crest * np.clip(leaf.tone * 2 - 0.5, 0, 1))
    for frequency, much in ((190.0, 0.35), (640.0, 0.45)):
        if clear := fade(1 / frequency, at.pixel):
            x, y = at.x * frequency, at.y * frequency
            warp = 0.35 * value_noise(x * 0.7, y * 0.7, at.seed + 5)
            net = np.abs(value_noise(x + warp, 1.8 * y - warp, at.seed + 6) - 0.5)
            net = np.minimum(net, np.abs(value_noise(0.8 * x - warp, 1.5 * y, at.seed + 7) - 0.5))
            line = np.clip(1 - net * 9, 0, 1)
            colour = mix(colour, deep, 0.30 * much * clear * (1 - line))
            colour = mix(colour, shine, much * clear * line**2)
    if clear := fade(0.0011, at.pixel):
        bubble = spots(at.x, at.y, 0.0042, at.seed + 8, share=0.4)
        ring = np.clip(1 - np.abs(bubble.radius - 0.85) * 6, 0, 1)
        glint = np.clip(2 - 5 * np.hypot(bubble.dx + 0.35, bubble.dy + 0.35), 0, 1)
        colour = mix(colour, palette.disc, clear * (0.65 * ring + glint))
    return colour * (1 + 0.10 * texture(0.3 * at.x, at.y, 120.0, at.pixel, at.seed + 9))[:, None]


def meadow(at: Points, colour: np.ndarray, palette: Palette, winter: bool) -> np.ndarray:
    """Blades of grass, their veins, flowers, and dew; in winter thin straw and flowers of ice."""
    bright = 0.14 * texture(at.x + 0.3 * at.y, at.y, 60.0, at.pixel, at.seed)
    much, grass = (0.85, palette.zenith * 0.4 + palette.accent * 0.3) if winter else (1.0, palette.forest * 0.45)
    blades, shadow = np.zeros_like(bright), np.zeros_like(bright)
    # From the finest, in the gaps, to the largest, in front.
    sizes = ((0.007, 0.0008, -1.6), (0.016, 0.0018, -1.25), (0.024, 0.0022, -1.85), (0.056, 0.0046, -1.5))
    for long, wide, turn in sizes:
        if clear := fade(wide, at.pixel):
            leaf = leaves(at.x, at.y, (long, wide), turn, at.pixel, at.seed + int(1e5 * wide), spread=1.6)
            veins = 0.16 * fade(wide / 6, at.pixel) * np.cos(leaf.across * 16)
            lit = 0.7 * (leaf.tone - 0.42) + 0.55 * (leaf.along - 0.35) - 0.28 * leaf.across + veins
            fold = np.clip(1 - np.abs(leaf.across) * 7, 0, 1) - 0.9 * np.clip(np.abs(leaf.across) * 4 - 3, 0, 1)
            front = clear * leaf.cover
            blades += front * (lit + 0.25 * fold - (0.26 if winter else 0.12) - blades)
            blades -= 0.28 * clear * (1 - leaf.cover) * (1 - shadow)
            shadow += clear * (0.5 * (1 - leaf.cover) - leaf.cover) * 0.5
    colour = mix(colour, grass, np.clip(0.5 * much * np.clip(shadow, 0, 1), 0, 0.6))
    colour = colour * np.clip(1 + bright + much * blades, 0.2, 1.8)[:, None]
    for spacing, share in ((0.026, 0.40), (0.0090, 0.22)):
        if not (clear := fade(0.4 * spacing, at.pixel)):
            continue
        flower = spots(at.x, at.y, spacing, at.seed + int(1e5 * spacing), share)
        arms = 6 if winter else 5
        radius = np.minimum(flower.radius, 9)
        turned = np.arctan2(flower.dy, flower.dx) + 6.3 * flower.tone
        wave = np.abs(np.cos(turned * arms / 2))
        rim = 0.25 + 0.75 * wave**4 if winter else 0.55 + 0.45 * wave**0.7
        soft = 0.2 * spacing / at.pixel
        petal = np.clip((rim - radius) * soft + 0.5, 0, 1)
        stamen = np.clip((0.26 - radius) * soft + 0.5, 0, 1)
        rays = fade(0.02 * spacing, at.pixel) * np.cos(turned * arms * 7) * 0.16
        shade = 0.72 + 0.40 * np.minimum(radius, 1) + rays + 0.22 * (wave - 0.6)
        colour = mix(colour, palette.accent * np.clip(shade, 0, 1.5)[:, None], 0.95 * clear * petal)
        speck = 1 + 0.5 * fade(0.03 * spacing, at.pixel) * np.cos(radius * 90) * np.cos(turned * 12)
        heart = palette.light if winter else palette.light * np.array([0.98, 0.72, 0.15], np.float32)
        colour = mix(colour, heart * speck[:, None], 0.9 * clear * stamen)
    if clear := fade(0.0008, at.pixel):
        drop = spots(at.x, at.y, 0.0028, at.seed + 60, share=0.22)
        body = np.clip((1 - drop.radius) * 6, 0, 1)
        glint = np.clip(2 - 5 * np.hypot(drop.dx + 0.35, drop.dy + 0.4), 0, 1)
        colour = mix(colour, colour * (0.75 + 0.45 * np.clip(drop.dy, -1, 1))[:, None], clear * body)
        colour = mix(colour, palette.disc, 0.9 * clear * (glint + 0.5 * body * np.clip(drop.radius * 4 - 3, 0, 1)))
    return colour


def sky(at: Points, colour: np.ndarray, palette: Palette, winter: bool) -> np.ndarray:
    """Billows on the clouds, wisps in them, and their droplets; streaks of haze where the sky is clear."""
    cloud, billow, wisp = at.cloud, np.zeros_like(at.cloud), np.zeros_like(at.cloud)
    x, y = at.x.copy(), at.y.copy()
    for octave in range(10):
        f, seed = 64.0 * 2**octave, at.seed + 3 * octave
        if not (clear := fade(1 / f, at.pixel)):
            break
        push = value_noise(x * f * 0.6, y * f * 0.6, seed) - 0.5
        n = np.abs(value_noise(x * f * 0.7 + push, y * f - push, seed + 1) - 0.5)
        billow += clear * (2 * n - 0.5)
        if octave > 1:
            thread = np.abs(value_noise(0.3 * x * f + push, 1.2 * y * f, seed + 2) - 0.5)
            wisp += clear * (np.clip(1 - 3.6 * thread, 0, 1) - 0.40)
        x, y = x + 0.25 * push / f, y + 0.25 * push / f  # finer curls follow the coarser ones
    lit = palette.horizon * 0.1 + palette.light * 0.9 + 0.1
    shade = np.where((billow > 0)[:, None], np.maximum(lit, colour), colour * 0.74 + palette.zenith * 0.10)
    colour = mix(colour, shade, np.clip(0.55 * np.abs(billow), 0, 0.7) * cloud)
    streak = np.where((wisp > 0)[:, None], palette.horizon * 0.5 + palette.light * 0.5, palette.zenith)
    colour = mix(colour, streak, np.clip(0.16 * np.abs(wisp), 0, 0.4) * (1 - 0.5 * cloud))
    if clear := fade(0.0006, at.pixel):
        drop = spots(at.x, at.y, 0.0021, at.seed + 50, share=0.5)
        ring = np.clip(1 - np.abs(drop.radius - 0.8) * 5, 0, 1)
        glint = np.clip(2 - 5 * np.hypot(drop.dx + 0.3, drop.dy + 0.3), 0, 1)
        colour = mix(colour, colour * 0.72, 0.7 * clear * cloud * ring)
        colour = mix(colour, palette.disc, clear * cloud * glint)
    return colour


DETAIL: tuple[Callable[[Points, np.ndarray, Palette, bool], np.ndarray], ...] = (sky, mountains, forest, lake, meadow)
"""In the order of `palette.LAYERS`."""
