"""A step's memory: predicted, measured, and saved by recomputing."""
