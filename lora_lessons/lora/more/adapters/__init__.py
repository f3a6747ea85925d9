"""Several adapters on one model: combining, mixing in a batch, reports, and what else trains."""

from . import (
    biases,
    card,
    combine,
    embeddings,
    from_state_dict,
    injection_report,
    load_report,
    merge_report,
    meta,
    mixed_batch,
    saved_modules,
    saving,
    spelling,
    status,
    switch,
    token_rows,
)

__all__ = [
    "biases",
    "card",
    "combine",
    "embeddings",
    "from_state_dict",
    "injection_report",
    "load_report",
    "merge_report",
    "meta",
    "mixed_batch",
    "saved_modules",
    "saving",
    "spelling",
    "status",
    "switch",
    "token_rows",
]
