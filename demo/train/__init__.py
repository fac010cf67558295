"""Training of the bundled model: `python -m demo.train`."""
