"""GPano, the metadata by which photo sites and viewers know a panorama and turn it around the one who looks.

https://developers.google.com/streetview/spherical-metadata
"""

from typing import Literal, get_args

from ..core.canvas.windows import Size

Projection = Literal["none", "equirectangular"]
PROJECTIONS: tuple[Projection, ...] = get_args(Projection)

PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:GPano="http://ns.google.com/photos/1.0/panorama/"
   {fields}/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


def gpano(projection: Projection, size: Size) -> str:
    """The XMP packet of a picture of `size` pixels; empty for `none`.

    Convention: the width is a full turn. The whole sphere is half as high as wide; a lower picture is the part of it
    around the horizon, which GPano calls the cropped area.

    Raises:
        ValueError: a width that does not halve, or a picture higher than half its width.
    """
    if projection == "none":
        return ""
    if size.width % 2 or 2 * size.height > size.width:
        raise ValueError(
            f"projection: an equirectangular picture must have an even width, a full turn, and be at most half as high "
            f"as wide, got {size.width} x {size.height} pixels; choose none, or make it wider or lower."
        )
    whole = Size(size.width // 2, size.width)
    fields = {
        "ProjectionType": "equirectangular",
        "UsePanoramaViewer": "True",
        "FullPanoWidthPixels": whole.width,
        "FullPanoHeightPixels": whole.height,
        "CroppedAreaImageWidthPixels": size.width,
        "CroppedAreaImageHeightPixels": size.height,
        "CroppedAreaLeftPixels": 0,
        "CroppedAreaTopPixels": (whole.height - size.height) // 2,
    }
    return PACKET.format(fields="\n   ".join(f'GPano:{name}="{value}"' for name, value in fields.items()))
