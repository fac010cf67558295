"""Batches whose rows belong together: zoom stacks and twin images."""
