"""A new head on a pretrained body.

A model that was pretrained to fill gaps has no weights for another task's output layer.
transformers gives it random ones, and random ones for whatever else a file lacks. Here only the
first is let pass: every weight of the body must come from the file.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..errors import nearest_and_known

HEADS = {
    "token_classification": "AutoModelForTokenClassification",
    "sequence_classification": "AutoModelForSequenceClassification",
    "question_answering": "AutoModelForQuestionAnswering",
}


def require_head(head: str | None, num_labels: int | None) -> None:
    """Raise ValueError for a head that is not known, or labels that do not fit the head."""
    if head is not None and head not in HEADS:
        raise ValueError(f"no head called {head!r}{nearest_and_known(head, HEADS)}")
    classifies = head is not None and head.endswith("classification")
    if classifies and (not isinstance(num_labels, int) or num_labels < 1):
        raise ValueError(f"head={head!r} needs num_labels, a whole number; it is {num_labels!r}")
    if not classifies and num_labels is not None:
        raise ValueError(f"num_labels goes with a head that classifies, not with head={head!r}")


def head_class(head: str, config: Any) -> Any:
    """transformers' class for a head on this architecture, such as BertForTokenClassification."""
    import transformers

    classes = getattr(transformers, HEADS[head])._model_mapping
    if type(config) not in classes:
        raise ValueError(f"transformers has no head {head!r} for {config.model_type}")
    return classes[type(config)]


def new_keys(model: nn.Module, saved_class: Any) -> set[str]:
    """The weights of `model` that a model of `saved_class` does not have: the head's.

    For BERT's sequence classification that is the pooler too, which masked-language-model
    pretraining leaves out. The body's names are compared without their prefix ("bert.").
    """
    with torch.device("meta"):
        saved = saved_class(model.config)
    known = {_without_prefix(saved, key) for key in saved.state_dict()}
    return {key for key in model.state_dict() if _without_prefix(model, key) not in known}


def _without_prefix(model: nn.Module, key: str) -> str:
    return key.removeprefix(f"{model.base_model_prefix}.")
