"""The icon and the banner that the Comfy registry shows, from a panorama of the bundled model."""

from PIL import Image, ImageDraw, ImageFont

PAINTED = ["--prompt", "autumn dusk sky mountains forest lake", "--width", "896", "--height", "384", "--seed", "2"]
ICON, BANNER = (400, 400), (1344, 576)  # pixels: square and at most 400 high; 21 : 9
NAME, SAYS = "Joint Diffusion", "Panoramas, zooms and large pictures from the models you have"
WHITE, DARK = (255, 255, 255), (24, 18, 36)
WINDOW = 0.54  # side of a window in the icon, in parts of the icon


def icon(panorama: Image.Image) -> Image.Image:
    """Two windows that overlap, on a square of the panorama."""
    height = panorama.height
    square = panorama.crop((0, 0, height, height)).resize(ICON, Image.Resampling.LANCZOS)
    dim = Image.blend(square, Image.new("RGB", ICON, DARK), 0.55)
    side, margin = round(WINDOW * ICON[0]), round(0.09 * ICON[0])
    corners = (margin, margin), (ICON[0] - margin - side, ICON[1] - margin - side)
    for left, top in corners:
        dim.paste(square.crop((left, top, left + side, top + side)), (left, top))
    draw = ImageDraw.Draw(dim)
    for left, top in corners:
        draw.rounded_rectangle((left, top, left + side, top + side), radius=10, outline=WHITE, width=10)
    return dim


def banner(panorama: Image.Image) -> Image.Image:
    """The panorama and the name of the pack."""
    wide = panorama.resize(BANNER, Image.Resampling.LANCZOS)
    draw, middle = ImageDraw.Draw(wide), BANNER[0] / 2
    for text, y, size in ((NAME, 190, 120), (SAYS, 300, 40)):
        font = ImageFont.load_default(size)
        draw.text((middle, y), text, WHITE, font, anchor="mm", stroke_width=max(2, size // 24), stroke_fill=DARK)
    return wide
