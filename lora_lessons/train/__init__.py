"""Training: one loop, and the steps it can take: eager, captured, many adapters at once."""
