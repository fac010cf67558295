"""Figures of the papers, and others, on the bundled model."""
