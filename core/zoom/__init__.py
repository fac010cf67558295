"""Stacks of zoom levels: their geometry, and the picture at any zoom."""
