"""Gradients through the host's models, for guidance to the letter of the papers."""
