"""The checks of lesson 14 on what Amazon takes: a folder for its import, and a request's shape."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch

from ..checks.core import Wrong
from ..checks.draws import whole
from .checks import word

# --- 14.4 ------------------------------------------------------------------------------------

WORDS = ("adapter", "architecture", "context", "quantized", "rope_theta", "tokenizer", "weights")
TAKEN = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")
CONTEXT = 131_072
FILES = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")


def check_bedrock_ready(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """14.4: nothing to say of a folder that Bedrock imports, and each of the others' faults."""
    listed = (*TAKEN, word(rng).title() + "ForCausalLM")
    base = {
        "architectures": [TAKEN[whole(rng, 0, len(TAKEN) - 1)]],
        "max_position_embeddings": whole(rng, 100, 9000),
        "hidden_size": 64,
    }
    new = base | {"rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}}
    both = new | {"rope_theta": 1e6}
    whole_files = [*FILES, "model.safetensors"]
    pieces = [*FILES, "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    cases: list[tuple[str, list[str], dict[str, Any], set[str]]] = [
        ("A folder that is ready", whole_files, both, set()),
        ("Weights in two files, with an index", [*pieces, "x.index.json"], both, set()),
        ("A config of transformers 4, with rope_theta alone", whole_files,
         base | {"rope_theta": 1e4}, set()),
        ("A model without rotary positions, and neither key", whole_files, base, set()),
        ("rope_parameters without rope_theta beside it", whole_files, new, {"rope_theta"}),
        ("A context of one token below 131,072", whole_files, _longest(both, CONTEXT - 1), set()),
        ("A context of 131,072, which is not below it", whole_files, _longest(both, CONTEXT),
         {"context"}),
        ("quantization_config: null", whole_files, both | {"quantization_config": None}, set()),
        ("A quantized model", whole_files,
         both | {"quantization_config": {"quant_method": "bitsandbytes"}}, {"quantized"}),
        ("An architecture that is not imported", whole_files,
         both | {"architectures": [word(rng, 8).title() + "ForCausalLM"]}, {"architecture"}),
        ("No architecture named", whole_files, {k: v for k, v in both.items()
         if k != "architectures"}, {"architecture"}),
        ("No tokenizer_config.json", [f for f in whole_files if f != "tokenizer_config.json"], both,
         {"tokenizer"}),
        ("No tokenizer.json", [f for f in whole_files if f != "tokenizer.json"], both,
         {"tokenizer"}),
        ("tokenizer.model in place of tokenizer.json",
         [f.replace("tokenizer.json", "tokenizer.model") for f in whole_files], both,
         {"tokenizer"}),
        ("Weights as .bin", [*FILES, "pytorch_model.bin"], both, {"weights"}),
        ("No weights", [*FILES], both, {"weights"}),
        ("An index of weights, and no weights", [*FILES, "model.safetensors.index.json"], both,
         {"weights"}),
        ("A merged model with the adapter's files left in it",
         [*whole_files, "adapter_config.json", "adapter_model.safetensors"], both, {"adapter"}),
        ("A merged model with adapter_config.json left in it",
         [*whole_files, "adapter_config.json"], both, {"adapter"}),
        ("A merged model with adapter_model.safetensors left in it",
         [*whole_files, "adapter_model.safetensors"], both, {"adapter"}),
        ("A file adapter_notes.md, which is no adapter's", [*whole_files, "adapter_notes.md"],
         both, set()),
        ("Weights as .safetensors, and one of two .bin beside them",
         [*whole_files, "pytorch_model-00001-of-00002.bin"], both, {"weights"}),
        ("pytorch_model.bin.index.json, which is no .bin",
         [*whole_files, "pytorch_model.bin.index.json"], both, set()),
        ("Two architectures, both listed", whole_files,
         both | {"architectures": [*TAKEN[:2]]}, set()),
        ("Two architectures, the second not listed", whole_files,
         both | {"architectures": [TAKEN[0], word(rng, 8).title() + "ForCausalLM"]},
         {"architecture"}),
        ("An architecture whose name is only part of a listed one", whole_files,
         both | {"architectures": [TAKEN[0].removesuffix("LM")]}, {"architecture"}),
        ("quantization_config: {}, which is not null", whole_files,
         both | {"quantization_config": {}}, {"quantized"}),
        ("An adapter's folder", ["adapter_config.json", "adapter_model.safetensors"], {},
         {"adapter", "weights", "tokenizer", "architecture"}),
        ("A quantized .bin without a tokenizer", ["config.json", "pytorch_model.bin"],
         new | {"quantization_config": {"bits": 4}},
         {"weights", "tokenizer", "quantized", "rope_theta"}),
    ]  # fmt: skip
    cases += [
        (f"A {name}, which is listed", whole_files, both | {"architectures": [name]}, set())
        for name in listed
    ]
    for what, files, config, wanted in cases:
        found = _as_words(answer(list(files), copy.deepcopy(config), listed))
        if found != wanted:
            raise Wrong(_explain_ready(what, found, wanted))


def _longest(config: dict[str, Any], context: int) -> dict[str, Any]:
    return config | {"max_position_embeddings": context}


def _as_words(result: Any) -> set[str]:
    if isinstance(result, str | dict) or not isinstance(result, Iterable):
        raise Wrong(f"Return a list of words; got {type(result).__name__}.")
    words = list(result)
    for one in words:
        if one not in WORDS:
            raise Wrong(f"{one!r} is none of the seven words: {', '.join(WORDS)}.")
    if len(set(words)) < len(words):
        raise Wrong("A word is there twice.")
    return set(words)


def _explain_ready(what: str, found: set[str], wanted: set[str]) -> str:
    missed, extra = sorted(wanted - found), sorted(found - wanted)
    parts = [f"It misses {', '.join(missed)}."] * bool(missed)
    parts += [f"It need not say {', '.join(extra)}."] * bool(extra)
    return f"{what}: {' '.join(parts)}"


# --- 14.5 ------------------------------------------------------------------------------------


def shape_for(rng: torch.Generator) -> dict[str, Any]:
    """A shape like those of AWS: texts with patterns and maxima, a structure in a structure."""
    return {
        "type": "structure",
        "required": ["jobName", "source"],
        "members": {
            "jobName": {"type": "string", "pattern": "[a-z0-9](-*[a-z0-9])*", "max": 20},
            "note": {"type": "string", "max": whole(rng, 3, 9)},
            "unused": {"type": "string", "max": 0},
            "kind": {"type": "string", "pattern": "tune|import"},
            "source": {
                "type": "structure",
                "required": ["s3Uri"],
                "members": {
                    "s3Uri": {"type": "string", "pattern": "s3://[a-z]+/.*", "max": 60},
                    "owner": {"type": "string", "pattern": "[0-9]{12}"},
                    "place": {
                        "type": "structure",
                        "required": ["zone"],
                        "members": {"zone": {"type": "string", "pattern": "[a-z]+"}},
                    },
                },
            },
            "vpc": {
                "type": "structure",
                "required": ["subnet"],
                "members": {"subnet": {"type": "string"}},
            },
        },
    }


def check_request_shape(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """14.5: where a request breaks the service model's rules, and by which."""
    shape, owner = shape_for(rng), "123456789012"
    limit = shape["members"]["note"]["max"]
    good = {"jobName": word(rng), "source": {"s3Uri": f"s3://{word(rng)}/a"}}
    inner = good["source"]
    cases: list[tuple[str, dict[str, Any], set[tuple[str, str]]]] = [
        ("A request that is right", good, set()),
        ("Optional members that are right", good | {"note": "a" * limit,
         "source": inner | {"owner": owner}}, set()),
        ("No jobName", {"source": inner}, {("jobName", "required")}),
        ("Nothing at all", {}, {("jobName", "required"), ("source", "required")}),
        ("A member that the shape does not have", good | {"adapter": "x"},
         {("adapter", "unknown")}),
        ("An empty structure inside", good | {"source": {}}, {("source.s3Uri", "required")}),
        ("An unknown member inside", good | {"source": inner | {"region": "x"}},
         {("source.region", "unknown")}),
        ("An underscore in the name", good | {"jobName": "moby_1"}, {("jobName", "pattern")}),
        ("A name that only begins right", good | {"jobName": "moby!"}, {("jobName", "pattern")}),
        ("A name that only ends right", good | {"jobName": "!moby"}, {("jobName", "pattern")}),
        ("A name with a line's end behind it", good | {"jobName": "moby\n"},
         {("jobName", "pattern")}),
        ("A name of 20 letters, the most", good | {"jobName": "a" * 20}, set()),
        ("A name of 21 letters", good | {"jobName": "a" * 21}, {("jobName", "max")}),
        ("A long name with an underscore", good | {"jobName": "_" * 21},
         {("jobName", "max"), ("jobName", "pattern")}),
        ("One of the two that a pattern with | allows", good | {"kind": "import"}, set()),
        ("More behind the first that a pattern with | allows", good | {"kind": "tuned"},
         {("kind", "pattern")}),
        ("More before the second that a pattern with | allows", good | {"kind": "reimport"},
         {("kind", "pattern")}),
        ("An empty name, which the pattern refuses", good | {"jobName": ""},
         {("jobName", "pattern")}),
        ("A note above its maximum, without a pattern", good | {"note": "a" * (limit + 1)},
         {("note", "max")}),
        ("https for s3, inside", good | {"source": {"s3Uri": "https://x"}},
         {("source.s3Uri", "pattern")}),
        ("A long address, inside", good | {"source": {"s3Uri": "s3://a/" + "b" * 60}},
         {("source.s3Uri", "max")}),
        ("An optional structure without what it requires", good | {"vpc": {}},
         {("vpc.subnet", "required")}),
        ("A structure in a structure, that is right",
         good | {"source": inner | {"place": {"zone": "a"}}}, set()),
        ("A structure in a structure, without what it requires",
         good | {"source": inner | {"place": {}}}, {("source.place.zone", "required")}),
        ("Two faults, three deep", good | {"source": inner | {"place": {"zone": "7", "row": "1"}}},
         {("source.place.zone", "pattern"), ("source.place.row", "unknown")}),
        ("An empty text where the maximum is 0", good | {"unused": ""}, set()),
        ("A letter where the maximum is 0", good | {"unused": "a"}, {("unused", "max")}),
        ("A note of as many letters as it may have, each two bytes",
         good | {"note": "\u00e9" * limit}, set()),
        ("A note above its maximum by a space", good | {"note": "a" * limit + " "},
         {("note", "max")}),
        ("A line's end where the pattern has a dot",
         good | {"source": {"s3Uri": "s3://a/b\nc"}}, {("source.s3Uri", "pattern")}),
        ("Three faults at once", {"jobName": "A", "source": {"owner": "7"}},
         {("jobName", "pattern"), ("source.s3Uri", "required"), ("source.owner", "pattern")}),
    ]  # fmt: skip
    for what, params, wanted in cases:
        found = _as_problems(answer(copy.deepcopy(shape), copy.deepcopy(params)))
        if found != wanted:
            raise Wrong(_explain_request(what, found, wanted))


RULES = ("required", "unknown", "pattern", "max")


def _as_problems(result: Any) -> set[tuple[str, str]]:
    if isinstance(result, str | dict) or not isinstance(result, Iterable):
        raise Wrong(f"Return a list of pairs, (path, rule); got {type(result).__name__}.")
    pairs = list(result)
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise Wrong(f"Each problem is a pair, (path, rule); got {pair!r}.")
        if pair[1] not in RULES:
            raise Wrong(f"{pair[1]!r} is none of the rules: {', '.join(RULES)}.")
    return {(str(path), rule) for path, rule in pairs}


def _explain_request(what: str, found: set[tuple[str, str]], wanted: set[tuple[str, str]]) -> str:
    def told(problems: set[tuple[str, str]]) -> str:
        return ", ".join(f"{rule} at {path!r}" for path, rule in sorted(problems))

    missed, extra = wanted - found, found - wanted
    ends = {(path.split(".")[-1], rule) for path, rule in missed}
    if missed and extra == ends:
        return f"{what}: the path of a member inside is 'outer.inner', here {told(missed)}."
    parts = [f"it misses {told(missed)}."] * bool(missed)
    parts += [f"it need not say {told(extra)}."] * bool(extra)
    return f"{what}: {' '.join(parts)}"
