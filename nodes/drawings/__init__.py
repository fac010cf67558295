"""What nodes draw for people to read."""
