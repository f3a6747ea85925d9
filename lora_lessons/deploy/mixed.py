"""Text for many adapters at once: one base, one batch, and each row its own adapter."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, NamedTuple

import torch
from torch import nn

from ..lora.more.adapters.mixed_batch import BASE


def mixed_generate(
    model: nn.Module,
    tokenizer: Any,
    prompts: Sequence[str],
    adapters: Sequence[str | None],
    max_new_tokens: int = 16,
) -> list[str]:
    """The greedy continuation of each prompt by its own adapter (None: by the base alone).

    Raises ValueError for an adapter that the model does not have, or for an empty prompt.
    """
    if len(prompts) != len(adapters):
        raise ValueError(f"{len(prompts)} prompts and {len(adapters)} adapters: one for each")
    names = [BASE if name is None else name for name in adapters]
    return continuations(model, tokenizer, prompts, max_new_tokens, adapter_names=names)


def continuations(
    model: nn.Module, tokenizer: Any, prompts: Sequence[str], max_new_tokens: int, **options: Any
) -> list[str]:
    """The greedy continuation of each prompt by the model as it is.

    Prompts are padded on the left to one length, (batch, T), and the padding is masked.
    """
    rows = [tokenizer(prompt, add_special_tokens=False).input_ids for prompt in prompts]
    if not all(rows):
        raise ValueError("a prompt has no token")
    length, pad = max(map(len, rows)), tokenizer.pad_token_id
    ids = torch.tensor([[pad] * (length - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows])
    with torch.no_grad():
        out = model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            pad_token_id=pad,
            **options,
        )  # (batch, T) -> (batch, T + new)
    return tokenizer.batch_decode(out[:, length:], skip_special_tokens=True)


class _Request(NamedTuple):
    prompt: str
    adapter: str | None
    answer: Future[str]


class Batcher:
    """Collects requests of many threads into mixed batches, which one thread computes.

    `wait` is how many seconds the first request of a batch waits for others. Use it by `with`: at
    the end what was asked is still answered, and the thread stops.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        max_batch: int = 8,
        wait: float = 0.01,
        max_new_tokens: int = 16,
    ) -> None:
        if max_batch < 1:
            raise ValueError(f"max_batch must be 1 or more; it is {max_batch}")
        self.model, self.tokenizer, self.wait = model, tokenizer, wait
        self.max_batch, self.max_new_tokens = max_batch, max_new_tokens
        self.sizes: list[int] = []  # of the batches so far
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)

    def __enter__(self) -> Batcher:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._closed = True
            self._requests.put(None)
        self._thread.join()

    def generate(self, prompt: str, adapter: str | None = None) -> str:
        """The continuation by this adapter, when its batch is done. Call it from any thread."""
        request = _Request(prompt, adapter, Future())
        with self._lock:
            if self._closed:
                raise RuntimeError("the batcher is closed")
            self._requests.put(request)
        return request.answer.result()

    def _work(self) -> None:
        while (first := self._requests.get()) is not None:
            batch, last = self._collect(first)
            self._answer(batch)
            if last:
                return

    def _collect(self, first: _Request) -> tuple[list[_Request], bool]:
        """The first request and those that come while it waits; True where no more will come."""
        batch = [first]
        while len(batch) < self.max_batch:
            try:
                request = self._requests.get(timeout=self.wait)
            except queue.Empty:
                break
            if request is None:
                return batch, True
            batch.append(request)
        return batch, False

    def _answer(self, batch: list[_Request]) -> None:
        self.sizes.append(len(batch))
        try:
            texts = mixed_generate(
                self.model,
                self.tokenizer,
                [request.prompt for request in batch],
                [request.adapter for request in batch],
                self.max_new_tokens,
            )
        except Exception as error:
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
                return
            for request in batch:  # one bad request must not take the others with it
                self._answer([request])
            return
        for request, text in zip(batch, texts, strict=True):
            request.answer.set_result(text)
