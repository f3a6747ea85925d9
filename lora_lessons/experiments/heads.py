"""The four tasks of lesson 08, each with its model, its rows of tensors, its loss and its score."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..base.tasks import definitions, neighbours, punctuation, spans
from ..base.tasks.rows import Rows, spread
from ..lora.config import TaskType
from ..train.modes import evaluation_mode
from ..train.optim import device_of

SCORED_AT_ONCE = 256  # rows
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
LABELS = ("labels", "start_positions", "end_positions")


class HeadTask(NamedTuple):
    """A task: what its model needs, its data as rows, its loss and its score.

    `new` names the modules that a model pretrained on masked words has no weights for: they start
    at random, and with LoRA they are trained whole. `metric` is the score that runs are
    compared by.
    """

    task_type: TaskType
    head: str | None  # for load_base; None is the body alone
    classes: int | None
    new: tuple[str, ...]
    rows: Callable[..., tuple[Rows, Rows]]
    loss: Callable[[nn.Module, Mapping[str, Tensor]], Tensor]
    scores: Callable[[nn.Module, Rows], dict[str, float]]
    baseline: Callable[[Rows, Rows], dict[str, float]]
    metric: str


# --- Losses ----------------------------------------------------------------------------------


def model_loss(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """The loss that the model's class computes from its labels."""
    batch = {name: values for name, values in batch.items() if name in (*INPUTS, *LABELS)}
    return model(**batch | {"attention_mask": spread(batch["attention_mask"])}).loss


def pair_loss(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """The contrastive loss of a batch of pairs, (B, 2, T)."""
    first, second = _both_halves(model, batch)
    return neighbours.contrastive_loss(first, second)


def _both_halves(model: nn.Module, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    ids, mask = batch["input_ids"].flatten(0, 1), batch["attention_mask"].flatten(0, 1)
    embeddings = neighbours.embed(model, ids, mask)  # (2 B, h)
    return embeddings[0::2], embeddings[1::2]


# --- Scores ----------------------------------------------------------------------------------


def in_parts(model: nn.Module, rows: Rows, apply: Callable[[dict[str, Tensor]], Tensor]) -> Tensor:
    """apply(batch) for all rows, some at a time, in evaluation mode; joined on the CPU."""
    device = device_of(model)
    rows = {name: values for name, values in rows.items() if name in INPUTS}
    parts = []
    with evaluation_mode(model):
        for start in range(0, len(rows["input_ids"]), SCORED_AT_ONCE):
            batch = {name: v[start : start + SCORED_AT_ONCE] for name, v in rows.items()}
            parts.append(apply({name: v.to(device) for name, v in batch.items()}).cpu())
    return torch.cat(parts)


def predicted_classes(model: nn.Module, rows: Rows) -> Tensor:
    """The class with the largest logit: (n,) or, for a class for each token, (n, T)."""
    return in_parts(model, rows, lambda batch: model(**batch).logits.argmax(-1))


def predicted_spans(model: nn.Module, rows: Rows) -> Tensor:
    """The best span on each page, (n, 2)."""

    def best(batch: dict[str, Tensor]) -> Tensor:
        output = model(**batch)
        return spans.best_spans(output.start_logits, output.end_logits, spans.page_mask(batch))

    return in_parts(model, rows, best)


def score_punctuation(model: nn.Module, rows: Rows) -> dict[str, float]:
    """F1 of each mark and of capitals, and their mean."""
    return punctuation.scores(predicted_classes(model, rows), rows["labels"])


def score_definitions(model: nn.Module, rows: Rows) -> dict[str, float]:
    """Macro F1 over the classes, and accuracy."""
    return definitions.scores(predicted_classes(model, rows), rows["labels"])


def score_spans(model: nn.Module, rows: Rows) -> dict[str, float]:
    """Exact match, over all and for each sort of question, and token F1."""
    true = torch.stack([rows["start_positions"], rows["end_positions"]], dim=1)
    return spans.scores(predicted_spans(model, rows), true, rows["sort"])


def score_neighbours(model: nn.Module, rows: Rows) -> dict[str, float]:
    """Recall at 1 and at 10 of the other half, and the mean reciprocal rank."""
    halves = in_parts(model, rows, lambda batch: torch.stack(_both_halves(model, batch), dim=1))
    return neighbours.scores(halves[:, 0], halves[:, 1])


# --- What takes no model -----------------------------------------------------------------------


def without_model_punctuation(train: Rows, valid: Rows) -> dict[str, float]:
    """Each word's label is the commonest one of its first piece in the training part."""
    ids, true = train["input_ids"], train["labels"]
    ids, true = ids[true >= 0], true[true >= 0]
    pieces = 1 + int(torch.maximum(ids.max(), valid["input_ids"].max()))
    counts = torch.zeros(pieces, len(punctuation.LABELS), dtype=torch.long)
    counts.index_put_((ids, true), torch.ones_like(true), accumulate=True)
    return punctuation.scores(counts.argmax(1)[valid["input_ids"]], valid["labels"])


def without_model_definitions(train: Rows, valid: Rows) -> dict[str, float]:
    """The commonest class of the training part for all."""
    commonest = train["labels"].bincount().argmax()
    return definitions.scores(commonest.expand_as(valid["labels"]), valid["labels"])


def without_model_spans(train: Rows, valid: Rows) -> dict[str, float]:
    """The right sort of answer from an entry of the page drawn at random, in expectation."""
    return {"exact match": (1 / valid["entries"]).mean().item()}


def without_model_neighbours(train: Rows, valid: Rows) -> dict[str, float]:
    """A half drawn at random, in expectation."""
    return {"recall@1": 1 / len(valid["input_ids"])}


# --- Rows ------------------------------------------------------------------------------------


def punctuation_rows(
    tokenizer: Any, train: int, valid: int, length: int, words: int = 32
) -> tuple[Rows, Rows]:
    """Passages from all over the addresses, `words` words each."""
    return tuple(
        punctuation.encode(tokenizer, punctuation.passages(part, words, count), length)
        for part, count in (("train", train), ("valid", valid))
    )


def definition_rows(tokenizer: Any, train: int, valid: int, length: int) -> tuple[Rows, Rows]:
    """WordNet's definitions with their classes, `length` tokens each."""
    known, unseen = definitions.definitions()
    return tuple(
        definitions.encode(tokenizer, part, length) for part in (known[:train], unseen[:valid])
    )


def span_rows(
    tokenizer: Any, train: int, valid: int, length: int, entries: int = 4
) -> tuple[Rows, Rows]:
    """Made-up pages of `entries` definitions each."""
    return tuple(
        spans.encode(tokenizer, spans.questions(count, entries, unseen), length)
        for count, unseen in ((train, False), (valid, True))
    )


def pair_rows(tokenizer: Any, train: int, valid: int, length: int) -> tuple[Rows, Rows]:
    """Two halves of one definition, a pair to a row: (n, 2, length)."""
    known, unseen = neighbours.pairs()
    return tuple(
        neighbours.encode(tokenizer, part, length) for part in (known[:train], unseen[:valid])
    )


TASKS = {
    "punctuation": HeadTask(
        TaskType.TOKEN_CLS,
        "token_classification",
        len(punctuation.LABELS),
        ("classifier",),
        punctuation_rows,
        model_loss,
        score_punctuation,
        without_model_punctuation,
        "mean",
    ),
    "definitions": HeadTask(
        TaskType.SEQ_CLS,
        "sequence_classification",
        len(definitions.CLASSES),
        ("bert.pooler", "classifier"),
        definition_rows,
        model_loss,
        score_definitions,
        without_model_definitions,
        "macro F1",
    ),
    "spans": HeadTask(
        TaskType.QUESTION_ANS,
        "question_answering",
        None,
        ("qa_outputs",),
        span_rows,
        model_loss,
        score_spans,
        without_model_spans,
        "exact match",
    ),
    "neighbours": HeadTask(
        TaskType.FEATURE_EXTRACTION,
        None,
        None,
        (),
        pair_rows,
        pair_loss,
        score_neighbours,
        without_model_neighbours,
        "recall@1",
    ),
}
