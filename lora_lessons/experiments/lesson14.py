"""The experiments of lesson 14: merged, separate and mixed; a load over loopback; AWS's shapes.

What is measured here runs on one machine and talks to the loopback address alone.
"""

from __future__ import annotations

import copy
import itertools
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch

from ..base.load import load_base
from ..deploy import requests as aws
from ..deploy.bedrock import bedrock_problems
from ..deploy.client import load
from ..deploy.contract import Handle, Reply, handle, serving
from ..deploy.mixed import Batcher, continuations, mixed_generate
from ..lora.model import PeftModel
from ..seeding import generator
from .llama_server import drawn_adapter, three_faults
from .progress import each

SIZES: dict[str, dict[str, Any]] = {
    "quick": {"counts": [1, 2], "tokens": 2, "rounds": 2, "requests": 16},
    "small": {"counts": [1, 4], "tokens": 6, "rounds": 3, "requests": 64},
    "full": {"counts": [1, 8], "tokens": 8, "rounds": 5, "requests": 200},
}
"""The live runs' sizes, by preset."""
PROMPTS = (
    "The state of the Union",
    "A whale is",
    "My fellow citizens, the year",
    "To the Congress of the United States:",
)
WAYS = ("merged", "separate", "mixed", "one at a time", "swapped")

# --- 0. The pieces that stand in where the learner's are not solved yet -------------------------


def package_bytes(n: int, base: int, adapter: int, width: int, merged: bool) -> int:
    """Bytes of n adapted models: for exercise 14.1."""
    return width * (n * base if merged else base + n * adapter)


def package_handle(
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    adapters: Sequence[str],
    generate: Callable[[str, str | None], str],
) -> Reply:
    """The container's contract: for exercise 14.2."""
    return handle(method, path, headers, body, adapters, generate)


def package_key(
    adapter: str | None, version: int, scale: float, tokens: Sequence[int]
) -> tuple[Any, ...]:
    """All that the cached keys and values depend on: for exercise 14.3."""
    return adapter, version, scale, tuple(tokens)


def package_ready(
    files: Sequence[str], config: Mapping[str, Any], listed: Sequence[str]
) -> list[str]:
    """What Bedrock's import would refuse or misread: for exercise 14.4."""
    return bedrock_problems(files, config, listed)


def package_problems(shape: Mapping[str, Any], params: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is wrong in a request: for exercise 14.5."""
    return aws.request_problems(shape, params)


# --- 1. Merged, separate, mixed ----------------------------------------------------------------


def tenant(i: int) -> str:
    """The name of an adapter."""
    return f"tenant-{i}"


def tenants(count: int) -> list[str]:
    """The names of `count` adapters."""
    return [tenant(i) for i in range(count)]


def many_adapters(base: str, count: int, dtype: torch.dtype = torch.float32) -> PeftModel:
    """A base with `count` adapters, "tenant-0" and so on, written to files and loaded from them."""
    model, _ = load_base(base, dtype=dtype)
    with tempfile.TemporaryDirectory() as made:
        for i in range(count):
            drawn_adapter(base, seed=i, dtype=dtype).save_pretrained(Path(made) / tenant(i))
        first, *others = tenants(count)
        served = PeftModel.from_pretrained(model, Path(made) / first, adapter_name=first)
        for name in others:
            served.load_adapter(Path(made) / name, adapter_name=name)
    return served.eval()


def latency(
    base: str = "nano",
    counts: Sequence[int] = (1, 4),
    tokens: int = 6,
    rounds: int = 3,
    progress: bool = False,
    device: str = "cpu",
) -> dict[str, Any]:
    """Seconds to answer n requests, by each way to hold the adapters; and what they weigh.

    "merged" and "separate" answer all n by one adapter, in one batch: that is all a merged model
    can do. In the others each request wants its own adapter: "mixed" in one batch; "one at a time";
    "swapped": merge, answer, unmerge. The ways take turns, `rounds` times, after one to warm up.
    """
    rows = []
    _, tokenizer = load_base(base)
    for count in each(counts, "numbers of adapters", progress):
        model = many_adapters(base, count)
        ways = _ways(model, tokenizer, count, tokens)
        for turn in range(rounds + 1):
            for way in WAYS:
                start = time.perf_counter()
                ways[way]()
                seconds = time.perf_counter() - start
                if turn:
                    rows.append({"way": way, "adapters": count, "seed": turn, "seconds": seconds})
    return {"rows": rows, "tokens": tokens} | sizes_of(model)


def sizes_of(model: PeftModel) -> dict[str, int]:
    """The numbers in the base and in one adapter, and the bytes of a number."""
    named = dict(model.named_parameters())
    own = [W for name, W in named.items() if "lora_" in name and name.endswith(".tenant-0.weight")]
    base = [W for name, W in named.items() if "lora_" not in name]
    return {
        "base": sum(W.numel() for W in base),
        "adapter": sum(W.numel() for W in own),
        "width": base[0].element_size(),
    }


def _ways(
    model: PeftModel, tokenizer: Any, count: int, tokens: int
) -> dict[str, Callable[[], object]]:
    """One call for each way. The one merged model is made here: that is not a part of its time."""
    prompts = [PROMPTS[0]] * count
    names = tenants(count)
    alone = copy.deepcopy(model)
    alone.set_adapter(tenant(0))
    plain = alone.merge_and_unload()

    def mixed(prompts: list[str], names: list[str]) -> list[str]:
        return mixed_generate(model, tokenizer, prompts, names, tokens)

    def swapped() -> None:
        for name in names:
            model.set_adapter(name)
            model.merge_adapter()
            continuations(model, tokenizer, prompts[:1], tokens)
            model.unmerge_adapter()

    return {
        "merged": lambda: continuations(plain, tokenizer, prompts, tokens),
        "separate": lambda: mixed(prompts, names[:1] * count),
        "mixed": lambda: mixed(prompts, names),
        "one at a time": lambda: [mixed(prompts[:1], [name]) for name in names],
        "swapped": swapped,
    }


def medians(data: Mapping[str, Any]) -> dict[tuple[str, int], float]:
    """{(way, adapters): the median seconds of its rounds}."""
    rows = data["rows"]
    arms = sorted({(row["way"], row["adapters"]) for row in rows})
    return {
        arm: median(r["seconds"] for r in rows if (r["way"], r["adapters"]) == arm) for arm in arms
    }


# --- 2. One server, many adapters ----------------------------------------------------------------


def separate_runs(
    base: str, adapters: int, tokens: int, dtype: torch.dtype = torch.float64
) -> dict[tuple[str, str | None], str]:
    """{(prompt, adapter): text}, each adapter alone on a base of its own, prompt by prompt.

    In float64: where rounding decides between two tokens, no mix-up looks like one.
    """
    model, tokenizer = load_base(base, dtype=dtype)
    found = {}
    for i in range(-1, adapters):
        if i >= 0:
            model = drawn_adapter(base, seed=i, dtype=dtype)
        for prompt in PROMPTS:
            (text,) = continuations(model, tokenizer, [prompt], tokens)
            found[prompt, None if i < 0 else tenant(i)] = text
    return found


def told_apart(expected: Mapping[tuple[str, str | None], str]) -> float:
    """The share of pairs of adapters whose texts to one prompt differ: only these show a mix-up."""
    pairs = [
        expected[a] != expected[b] for a, b in itertools.combinations(expected, 2) if a[0] == b[0]
    ]
    return sum(pairs) / len(pairs)


def load_test(
    base: str = "nano",
    adapters: int = 8,
    requests: int = 64,
    at_once: int = 32,
    tokens: int = 8,
    seed: int = 0,
    answer: Callable[..., Reply] = package_handle,
    device: str = "cpu",
) -> dict[str, Any]:
    """Send requests for all adapters and the base, mixed, and compare with separate runs.

    The server runs `answer`, by the contract, and one `Batcher`. Prompts and adapters are drawn.
    """
    expected = separate_runs(base, adapters, tokens)
    pairs = list(expected)
    drawn = torch.randint(len(pairs), (requests,), generator=generator(seed)).tolist()
    model = many_adapters(base, adapters, torch.float64)
    _, tokenizer = load_base(base)
    start = time.perf_counter()
    with (
        Batcher(model, tokenizer, max_new_tokens=tokens) as batcher,
        serving(answering(answer, tenants(adapters), batcher.generate)) as address,
    ):
        counts = load(address, [pairs[i] for i in drawn], expected, at_once)
    seconds = time.perf_counter() - start
    batches = batcher.sizes
    return counts | {
        "adapters": adapters,
        "at_once": at_once,
        "told_apart": told_apart(expected),
        "batches": len(batches),
        "largest_batch": max(batches),
        "seconds": seconds,
    }


def answering(
    answer: Callable[..., Reply],
    adapters: Sequence[str],
    generate: Callable[[str, str | None], str],
) -> Handle:
    """A contract's function, told which adapters there are and how text is made."""

    def one(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        return answer(method, path, headers, body, adapters, generate)

    return one


# --- 3. Requests to AWS --------------------------------------------------------------------------

IMPORT = {
    "jobName": "moby-1",
    "importedModelName": "moby",
    "roleArn": "arn:aws:iam::123456789012:role/import",
    "modelDataSource": {"s3DataSource": {"s3Uri": "s3://my-bucket/moby/"}},
}
COMPONENT = {
    "InferenceComponentName": "moby",
    "EndpointName": "one-base",
    "Specification": {
        "BaseInferenceComponentName": "decoder",
        "Container": {"ArtifactUrl": "s3://my-bucket/moby.tar.gz"},
    },
}
OPERATIONS = {
    "CreateModelImportJob": ("bedrock", "create_model_import_job"),
    "CreateInferenceComponent": ("sagemaker", "create_inference_component"),
}


def _changed(params: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    return copy.deepcopy({k: v for k, v in {**params, **changes}.items() if v is not None})


def trial_requests() -> list[tuple[str, str, dict[str, Any]]]:
    """(what is wrong in it, operation, parameters)."""
    job, component = "CreateModelImportJob", "CreateInferenceComponent"
    return [
        ("nothing", job, IMPORT),
        ("no role", job, _changed(IMPORT, roleArn=None)),
        ("an adapter field", job, _changed(IMPORT, adapterUri="s3://my-bucket/a/")),
        ("a number for a name", job, _changed(IMPORT, jobName=7)),
        ("an empty name", job, _changed(IMPORT, jobName="")),
        ("_ in the job's name", job, _changed(IMPORT, jobName="moby_1")),
        ("a name of 70 letters", job, _changed(IMPORT, importedModelName="a" * 70)),
        ("a role that is no ARN", job, _changed(IMPORT, roleArn="admin")),
        (
            "https for s3",
            job,
            _changed(IMPORT, modelDataSource={"s3DataSource": {"s3Uri": "https://x"}}),
        ),
        ("nothing", component, COMPONENT),
        ("_ in the endpoint's name", component, _changed(COMPONENT, EndpointName="one_base")),
        (
            "an adapter without its files",
            component,
            _changed(COMPONENT, Specification={"BaseInferenceComponentName": "decoder"}),
        ),
    ]


def aws_requests() -> dict[str, Any]:
    """The shapes of two operations; and what Stubber and `request_problems` say to each trial.

    Raises ImportError where botocore is not installed. Nothing is sent.
    """
    shapes = {name: aws.shape_of(service, name) for name, (service, _) in OPERATIONS.items()}
    import botocore

    rows = []
    for what, operation, params in trial_requests():
        says = aws.stubber_says(*OPERATIONS[operation], params)
        rows.append(
            {
                "wrong": what,
                "operation": operation,
                "stubber": says,
                "ours": [list(problem) for problem in package_problems(shapes[operation], params)],
            }
        )
    return {"version": botocore.__version__, "shapes": shapes, "rows": rows}


RECORDINGS = {
    "14_latency": (
        latency,
        {"base": "decoder", "counts": [1, 4, 8, 16], "tokens": 8, "rounds": 5, "device": "cpu"},
        None,
    ),
    "14_load": (
        load_test,
        {
            "base": "nano", "adapters": 8, "requests": 1000, "at_once": 32, "tokens": 16,
            "device": "cpu",
        },
        None,
    ),
    "14_llama": (three_faults, {"base": "decoder", "seeds": [1, 2, 3], "tokens": 24}, None),
    "14_requests": (aws_requests, {}, None),
}  # fmt: skip
"""Name -> (experiment, settings of the recorded run, settings of its fingerprint)."""
