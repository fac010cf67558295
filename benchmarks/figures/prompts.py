"""What the bundled model is asked for."""

SCENE = "sky mountains forest meadow"  # no season and no hour: every window may choose its own
PROMPTS = (f"summer day {SCENE}", f"autumn dusk {SCENE}", f"winter dawn {SCENE}")
STRIP = f"far {SCENE}"  # whole scenes side by side
