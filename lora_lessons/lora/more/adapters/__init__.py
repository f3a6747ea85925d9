"""Several adapters on one model: switching, combining, mixing in a batch, and what else trains."""
