"""Networks that see pictures, and distances between pictures."""
