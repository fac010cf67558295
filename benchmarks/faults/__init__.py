"""What goes wrong: faults at random moments, thousands of runs, many clients and bad input, counted."""

from .. import host as host  # finds ComfyUI, and what the tests have of tiny models and of its server
