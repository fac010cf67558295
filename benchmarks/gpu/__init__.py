"""All that is worth knowing of a GPU, in one command."""
