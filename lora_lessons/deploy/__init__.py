"""Adapters on their way out: merged, in other formats, and served by SageMaker's contract."""
