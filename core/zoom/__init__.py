"""The geometry of a stack of zoom levels, and what it shows."""
