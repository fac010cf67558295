"""What a step costs, beside what it costs at least."""
