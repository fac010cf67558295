"""A second world for benchmarks: a street of town houses, built of objects and straight lines instead of noise."""
