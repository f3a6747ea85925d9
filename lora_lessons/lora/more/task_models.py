"""The class for each task type: it says which heads are saved whole with the adapter.

The loss and the head belong to the model; task_type only picks the wrapper.
"""

from __future__ import annotations

import warnings
from typing import Any

from torch import nn

from ...errors import PeftWarning
from ..config import LoraConfig, TaskType
from ..model import PeftModel
from ..plugs import MODELS_CALLED, MODELS_WITH, TASKS
from ..tuner import injected_model
from .adapters.loading import with_heads


class PeftModelWithHead(PeftModel):
    """A task whose heads, `heads`, are saved whole with the adapter where the model has them."""

    def __init__(
        self,
        model: nn.Module,
        peft_config: LoraConfig,
        adapter_name: str = "default",
        autocast_adapter_dtype: bool = True,
        **options: Any,
    ) -> None:
        config = with_heads(peft_config, self.heads)
        options["optional"] = self.heads
        super().__init__(model, config, adapter_name, autocast_adapter_dtype, **options)


class PeftModelForCausalLM(PeftModel):
    """Language models that predict the next token."""


class PeftModelForSeq2SeqLM(PeftModel):
    """Language models with an encoder and a decoder."""


class PeftModelForSequenceClassification(PeftModelWithHead):
    """One class for each text: the head is `classifier` or `score`."""

    heads = ("classifier", "score")


class PeftModelForTokenClassification(PeftModelWithHead):
    """One class for each token: the head is `classifier` or `score`."""

    heads = ("classifier", "score")


class PeftModelForQuestionAnswering(PeftModelWithHead):
    """The span of an answer: the head is `qa_outputs`."""

    heads = ("qa_outputs",)


class PeftModelForFeatureExtraction(PeftModel):
    """Embeddings: no head."""


TASK_CLASSES: dict[TaskType, type[PeftModel]] = {
    TaskType.CAUSAL_LM: PeftModelForCausalLM,
    TaskType.SEQ_2_SEQ_LM: PeftModelForSeq2SeqLM,
    TaskType.SEQ_CLS: PeftModelForSequenceClassification,
    TaskType.TOKEN_CLS: PeftModelForTokenClassification,
    TaskType.QUESTION_ANS: PeftModelForQuestionAnswering,
    TaskType.FEATURE_EXTRACTION: PeftModelForFeatureExtraction,
}
CLASSIFIERS = ("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering")


def warn_of_forgotten_task(model: nn.Module, config: LoraConfig) -> None:
    """Warn of a classifier whose head would stay frozen and random: nothing names it.

    LoRA on the head, as by "all-linear", is no cure: the file holds A and B, not the weight.
    """
    if _saves_a_head(model, config):
        return
    name = type(model).__name__
    task = config.task_type
    given = "no task_type" if task is None else f"task_type {TaskType(task).value}"
    named = sorted(config.modules_to_save or ())
    saved = f"modules_to_save {named}, where it is not" if named else "no modules_to_save"
    warnings.warn(
        f"{name} has a head for its task, but the config has {given} and {saved}: the "
        "head's own weight will stay frozen and out of the adapter's file, even where LoRA is on "
        "the head. If it is new, it is random now, and another random one after loading.",
        PeftWarning,
        stacklevel=3,
    )


def _saves_a_head(model: nn.Module, config: LoraConfig) -> bool:
    """Whether the task type or modules_to_save names a head of this model, or a part of one.

    Where the model has no head of a usual name, modules_to_save is taken to name it.
    """
    usual = {head for kind in TASK_CLASSES.values() for head in kind.heads}
    saved = {*TASKS.get(config.task_type or "", PeftModel).heads, *(config.modules_to_save or ())}
    in_heads = [n for n, _ in model.named_modules() if usual & set(n.split("."))]
    if not in_heads:
        return bool(config.modules_to_save)
    return any(f".{name}".endswith(f".{end}") for name in in_heads for end in saved)


def let_inputs_require_grad(wrapper: Any) -> None:
    """Under gradient checkpointing, give the frozen embedding's output a gradient.

    A reentrant checkpoint passes gradients on only where an input asks for them; without this the
    adapters inside would get none.
    """
    model: Any = injected_model(wrapper)
    names = ("is_activation_checkpointing", "is_gradient_checkpointing")  # new and old name
    known = [name for name in names if hasattr(type(model), name)]
    if known and getattr(model, known[0]):
        model.enable_input_require_grads()


TASKS.update({task.value: kind for task, kind in TASK_CLASSES.items()})
MODELS_CALLED.update(dict.fromkeys(CLASSIFIERS, warn_of_forgotten_task))
MODELS_WITH["enable_input_require_grads"] = let_inputs_require_grad
