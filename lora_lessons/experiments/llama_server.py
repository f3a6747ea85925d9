"""Three faults of a real server with many adapters: llama.cpp's, on this machine, with our decoder.

The adapters' B are drawn, not trained: what leaks between adapters does not ask what they learnt.
"""

from __future__ import annotations

import importlib.util
import json
import os
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ..base.load import generate, load_base
from ..deploy.gguf import write_gguf
from ..deploy.sources import read
from ..lora.config import LoraConfig
from ..lora.model import PeftModel, get_peft_model
from ..lora.more import task_models  # noqa: F401
from ..seeding import generator

ADVICE = "xllamacpp is not installed: pip install 'lora-lessons[llamacpp]'"
PROMPT = "To the Senate and House of Representatives: I am happy to report that"
AGAIN = "first, trained again"
AFTER = "nothing, after second"
TARGETS = ("q_proj", "v_proj", "up_proj")


def installed() -> bool:
    """Whether llama.cpp's server and the writer of its files can be imported."""
    return all(importlib.util.find_spec(name) is not None for name in ("xllamacpp", "gguf"))


def drawn_adapter(
    base: str, seed: int, r: int = 4, spread: float = 0.05, dtype: torch.dtype = torch.float32
) -> PeftModel:
    """A base with one adapter whose B is drawn: it writes another text than the base."""
    model, _ = load_base(base, dtype=dtype)
    config = LoraConfig(
        r=r,
        lora_alpha=2 * r,
        target_modules=list(TARGETS),
        task_type="CAUSAL_LM",
        base_model_name_or_path=base,
    )
    adapted = get_peft_model(model, config)
    random = generator(seed)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_" in name:
                size = spread if "lora_B" in name else weight.shape[1] ** -0.5
                weight.copy_(size * torch.randn(weight.shape, generator=random))
    return adapted.eval()


@contextmanager
def llama_server(model: Path, adapters: Sequence[Path], slots: int = 1) -> Iterator[str]:
    """A server of llama.cpp on the loopback address, all adapters at scale 0; gives its address.

    Raises ImportError where xllamacpp is not installed.
    """
    if not installed():
        raise ImportError(ADVICE)
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.n_gpu_layers, params.warmup, params.n_ctx = 0, False, 256 * slots
    params.n_parallel, params.verbosity = slots, -1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(path), 0.0) for path in adapters]
    with _silent():
        server = xllamacpp.Server(params)
    try:
        yield server.listening_address
    finally:
        with _silent():
            del server


@contextmanager
def _silent() -> Iterator[None]:
    """The library logs to the process's stderr, past Python's."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def complete(address: str, prompt: str = PROMPT, tokens: int = 24, **fields: Any) -> dict[str, Any]:
    """The greedy continuation, and how many of the prompt's tokens came from the cache."""
    body = {"prompt": prompt, "n_predict": tokens, "temperature": 0.0, "cache_prompt": True}
    request = urllib.request.Request(
        f"{address}/completion",
        json.dumps(body | fields).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        answer = json.load(response)
    return {"text": answer["content"], "from_cache": answer["timings"]["cache_n"]}


def scales(*values: float) -> list[dict[str, Any]]:
    """llama.cpp's way to say which adapters a request wants, all of them named."""
    return [{"id": i, "scale": value} for i, value in enumerate(values)]


def three_faults(
    base: str = "decoder", seeds: Sequence[int] = (1, 2, 3), tokens: int = 24
) -> dict[str, Any]:
    """Torch's texts, the server's, and the requests that get the wrong one, in their order.

    Two adapters are served, "first" and "second". The third seed is a second training of "first":
    its file takes the place of the first one's while the server runs.
    """
    if not installed():
        raise ImportError(ADVICE)
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        files, texts = _written(place, base, seeds, tokens)
        asked = _asked(files, tokens)
    import xllamacpp

    return {"version": xllamacpp.__version__, "prompt": PROMPT, "torch": texts, "asked": asked}


def _written(
    place: Path, base: str, seeds: Sequence[int], tokens: int
) -> tuple[dict[str, Path], dict[str, str]]:
    """The files of the base and the adapters, and torch's own text for each."""
    model, tokenizer = load_base(base)

    def text(adapted: Any) -> str:
        written = generate(adapted, tokenizer, PROMPT, tokens, repetition_penalty=1.0)
        return written.removeprefix(PROMPT)

    files = {"base": write_gguf(read(base), place / "base.gguf")}
    texts = {"base": text(model)}
    for name, seed in zip(("first", "second", AGAIN), seeds, strict=True):
        adapted = drawn_adapter(base, seed)
        adapted.save_pretrained(place / name)
        files[name] = write_gguf(read(place / name, base), place / f"{name}.gguf")
        texts[name] = text(adapted)
    return files, texts


def _trials() -> list[list[tuple[str, str, dict[str, Any]]]]:
    """Lists of requests (meant, sent, fields); each list is for a server that is new."""
    first = ("first", "lora: first 1, second 0", {"lora": scales(1, 0)})
    second = ("second", "lora: first 0, second 1", {"lora": scales(0, 1)})
    return [
        [("base", "nothing", {}), first, second],
        [second, ("base", AFTER, {})],
        [second, ("base", "lora: first 0, second 0", {"lora": scales(0, 0)})],
        [second, ("base", "nothing, and cache_prompt: false", {"cache_prompt": False})],
        [("first", 'model: "first"', {"model": "first"})],
        [("an error", "lora: number 7, which is not there", {"lora": [{"id": 7, "scale": 1.0}]})],
    ]


def _asked(files: dict[str, Path], tokens: int) -> list[dict[str, Any]]:
    """Each request: which server it went to, what it meant, what it sent, what came back."""
    found: list[dict[str, Any]] = []
    adapters = [files["first"], files["second"]]

    def ask(server: int, address: str, wanted: str, sent: str, fields: dict[str, Any]) -> None:
        answer = complete(address, tokens=tokens, **fields)
        found.append({"server": server, "wanted": wanted, "sent": sent} | answer)

    for number, requests in enumerate(_trials(), 1):
        with llama_server(files["base"], adapters) as address:
            for request in requests:
                ask(number, address, *request)
    with llama_server(files["base"], adapters) as address:
        number, on = number + 1, {"lora": scales(1, 0)}
        ask(number, address, "first", "lora: first 1, second 0", on)
        os.replace(files[AGAIN], files["first"])
        ask(number, address, AGAIN, "the same, after its file was replaced", on)
    return found
