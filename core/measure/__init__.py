"""Measures of a panorama from its pixels, and the cost of a step before it runs."""
