"""Where things are on a canvas: windows, their fusion, sizes, and the way to and from pictures."""
