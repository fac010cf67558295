"""Networks that look at pictures, and what they say of two."""
