"""The canvas: windows, their fusion, resampling, decoding, and images placed on it."""
