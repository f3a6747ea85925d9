"""Base models by name, ready to adapt, and text out of them.

`load_base` reads the models that ship with the course, the public ones that were added to it,
any folder in Hugging Face form, and, under a name like "owner/model", the hub. Only the last
goes to the network.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..errors import nearest_and_known
from ..seeding import require_seed
from . import model_packages
from .heads import head_class, new_keys, require_head
from .undisturbed import evaluation_mode, random_state

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MODELS = Path(__file__).resolve().parent / "models"
SHIPPED = {
    "decoder": "5.5 M parameters; writes on (Qwen2)",
    "nano": "0.15 M parameters; the same, for sweeps",
    "encoder": "5.9 M parameters; reads, for heads (BERT)",
    "nano_encoder": "0.15 M parameters; the same, for sweeps",
    "encoder_decoder": "6.4 M parameters; turns bytes into bytes (T5)",
}


def load_base(
    name: str = "decoder",
    dtype: torch.dtype = torch.float32,
    device: str | torch.device | None = None,
    head: str | None = None,
    num_labels: int | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A base model in eval mode, and its tokenizer.

    name: one that ships with the course: "decoder" (5.5 M parameters) or "nano" (0.15 M), "encoder"
        (5.9 M) or "nano_encoder" (0.15 M), "encoder_decoder" (6.4 M); "smollm2" or "minilm", once
        added; a folder; or a hub name, "owner/model".
    dtype: of the weights in memory. device: None leaves the model on the CPU.
    head: None loads the model as it was saved, with the head it was pretrained with.
        "token_classification", "sequence_classification" (both with `num_labels`) and
        "question_answering" put a new head on its body, with random weights from the global
        generator: call `seed_everything` before. It has to be trained. So has BERT's pooler, which
        "sequence_classification" brings along: PEFT's task type trains the classifier alone.

    Raises ValueError for a name that is none of these, for a folder that is not whole and for a
    head that is not known, FileNotFoundError for a model that was not added, OSError where the hub
    cannot be reached.
    """
    require_head(head, num_labels)
    source = _source(str(name))
    local = isinstance(source, Path)
    if local:
        _require_whole(source)
    with quiet_transformers():
        labels = {} if num_labels is None else {"num_labels": num_labels}
        model, tokenizer = _from_pretrained(str(source), dtype, local, head, labels)
    return model.to(device).eval() if device is not None else model.eval(), tokenizer


def is_available(name: str) -> bool:
    """Whether `load_base(name)` finds the model on this machine (the hub is not asked)."""
    try:
        source = _source(str(name))
    except (ValueError, FileNotFoundError):
        return False
    return isinstance(source, Path) and not _lacks(source)


def generate(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    prompt: str,
    max_new_tokens: int = 60,
    temperature: float = 0.0,
    seed: int = 0,
    repetition_penalty: float = 1.2,
) -> str:
    """The prompt with the model's continuation; special tokens are left out of what is new.

    Greedy at temperature 0; above it the logits are divided by the temperature and tokens are
    drawn with `seed`. Small models repeat themselves, so each token that has occurred has its
    logit weakened by `repetition_penalty` (Keskar et al. 2019, section 4.1); 1.0 switches it off.
    The model's train/eval modes and the global random state are as before when it returns.
    """
    require_seed(seed)
    if not 0 <= temperature < math.inf:
        raise ValueError(
            f"temperature must not be negative, and must be finite; it is {temperature}"
        )
    if not repetition_penalty > 0:
        raise ValueError(f"repetition_penalty must be above 0; it is {repetition_penalty}")
    device = next(model.parameters()).device
    ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").input_ids.to(device)
    _require_room(model, ids.shape[1], max_new_tokens)
    choice: dict[str, Any] = {"do_sample": temperature > 0}
    if temperature > 0:
        choice |= {"temperature": temperature, "top_k": 0, "top_p": 1.0}
    pad = tokenizer.pad_token_id
    with evaluation_mode(model), random_state(seed, device), quiet_transformers():
        out = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=max_new_tokens,
            repetition_penalty=repetition_penalty,
            pad_token_id=tokenizer.eos_token_id if pad is None else pad,
            **choice,
        )  # (1, T) -> (1, T + new)
    return prompt + tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars and no messages below an error from transformers, inside the block."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _source(name: str) -> Path | str:
    """The model's folder, or its name on the hub."""
    if name in SHIPPED:
        return MODELS / name
    if name in model_packages.PACKAGES:
        return model_packages.folder(name)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder.resolve()
    if name.count("/") == 1 and name[0] not in "./~":
        return name
    known = [*SHIPPED, *model_packages.PACKAGES]
    raise ValueError(
        f"no base model and no folder called {name!r}{nearest_and_known(name, known)};"
        " a model of the hub is named with its owner, as in 'owner/model'"
    )


def _from_pretrained(
    source: str, dtype: torch.dtype, local: bool, head: str | None, labels: dict[str, int]
) -> tuple[Any, Any]:
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoTokenizer

    try:
        config = AutoConfig.from_pretrained(source, local_files_only=local, **labels)
        saved_class = _model_class(config, source)
        wanted = saved_class if head is None else head_class(head, config)
        model, report = wanted.from_pretrained(
            source, config=config, dtype=dtype, local_files_only=local, output_loading_info=True
        )
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local)
    except SafetensorError as error:
        raise ValueError(f"a weights file of {source} is broken: {error}") from error
    except OSError as error:
        raise OSError(f"{source} could not be loaded: {error}") from error
    # transformers fills what a file lacks with random numbers, and only warns
    allowed = set() if head is None else new_keys(model, saved_class)
    if lacking := set(report["missing_keys"]) - allowed:
        raise ValueError(f"the weights of {source} lack {sorted(lacking)}")
    return model, tokenizer


def _model_class(config: Any, source: str) -> Any:
    """The class that the model was saved from, which config.json names."""
    import transformers

    names = config.architectures or []
    found = [getattr(transformers, name) for name in names if hasattr(transformers, name)]
    if not found:
        raise ValueError(f"config.json of {source} names no class of transformers: {names}")
    return found[0]


def _lacks(folder: Path) -> list[str]:
    """The kinds of file that a model's folder needs and this one has not."""
    lacking = [] if (folder / "config.json").is_file() else ["config.json"]
    if not any(folder.glob("*.safetensors")):
        lacking.append("*.safetensors (the weights)")
    if not any(folder.glob("tokenizer*")):
        lacking.append("tokenizer files")
    return lacking


def _require_whole(folder: Path) -> None:
    if lacking := _lacks(folder):
        raise ValueError(f"{folder} is not a model's folder: it has no {', no '.join(lacking)}")
    try:
        json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{folder / 'config.json'} is not JSON: {error}") from error


def _require_room(model: nn.Module, length: int, new: int) -> None:
    if length == 0:
        raise ValueError("the prompt is empty: the model needs a token to go on from")
    if new < 1:
        raise ValueError(f"max_new_tokens must be at least 1, not {new}")
    window = getattr(model.config, "max_position_embeddings", None)
    if window and length + new > window:
        raise ValueError(
            f"the prompt's {length} tokens and {new} new ones do not fit the model's window"
            f" of {window} tokens"
        )
