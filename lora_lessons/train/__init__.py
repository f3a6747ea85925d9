"""Training: one loop, and the steps it can take (eager, captured in a CUDA graph, many adapters)."""
