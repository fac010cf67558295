"""Which models, methods, conditions and patches of the host work together: one tiny run for each cell of some tables.

Import only from tests/nodes: this needs ComfyUI.

`families` are the models, `runs` what is asked of the host, `features` and `patches` what may take part, and `tables`
which of them meet. `cells` runs one cell, or all.
"""
