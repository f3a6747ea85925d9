"""Lesson 14, deployment: the exercises with their hints, and the review cards."""

from __future__ import annotations

from ..cards import Card
from ..checks.core import Exercise
from .checks import check_handle, check_held_bytes
from .checks_aws import check_bedrock_ready, check_request_shape
from .checks_cache import check_cache_key
from .own import MY_BATCH

EXERCISES = [
    Exercise(
        name="held_bytes",
        title="14.1 Bytes held",
        points=1,
        minutes=3,
        hints=(
            "Two cases. What is shared, and what is there n times?",
            "Merged: n whole copies of the base. Separate: one base, and n adapters.",
            "numbers = n * base if merged else base + n * adapter; each takes `width` bytes.",
        ),
        check=check_held_bytes,
        takes=("n", "base", "adapter", "width", "merged"),
        returns="int",
    ),
    Exercise(
        name="handle",
        title="14.2 The container's contract",
        points=3,
        minutes=10,
        hints=(
            "Refuse one thing after another, each by its own `return status, {...}`; what is left "
            "at the end is valid. Path and method come first, then /ping.",
            "fields = {name.lower(): value for name, value in headers.items()}. The type is "
            "fields.get('content-type', '').split(';')[0].strip().lower(). An adapter that is "
            "not None and not in adapters is a 404.",
            "Put json.loads(body) into try ... except ValueError (a wrong encoding is one too). "
            "Then ask isinstance(content, dict), and isinstance(content.get('inputs'), str).",
        ),
        check=check_handle,
        takes=("method", "path", "headers", "body", "adapters", "generate"),
    ),
    Exercise(
        name="cache_key",
        title="14.3 The key of a cache",
        points=2,
        minutes=4,
        hints=(
            "Ask of each argument: if it changed, would the keys and values in the cache change?",
            "All four count. A key must be hashable, and a list is not: make it a tuple.",
            "Do not join texts: keep the parts apart in one tuple, (adapter, version, ...).",
        ),
        check=check_cache_key,
        takes=("adapter", "version", "scale", "tokens"),
    ),
    Exercise(
        name="bedrock_ready",
        title="14.4 Ready for Bedrock?",
        points=2,
        minutes=8,
        hints=(
            "Start with an empty list, and append a word by one `if` each.",
            "adapter_model.safetensors ends in .safetensors too, and is no model's weights: take "
            "it out before you look for weights.",
            "quantization_config may be there and null: config.get(...) is not None. Context: "
            "config.get('max_position_embeddings', 0) >= 131072.",
        ),
        check=check_bedrock_ready,
        takes=("files", "config", "listed"),
    ),
    Exercise(
        name="check_request",
        title="14.5 What the SDK lets pass",
        points=3,
        minutes=10,
        hints=(
            "First what is required and missing; then go through the members that are given.",
            "A member whose shape is a structure: call check_request on it, and put its name and a "
            "dot before each path that comes back.",
            "re.fullmatch(pattern, value) asks for the whole text; re.match and re.search do not. "
            "len(value) > shape.get('max', len(value)) is too long.",
        ),
        check=check_request_shape,
        takes=("shape", "params"),
    ),
    MY_BATCH,
]

WHY = {
    "crosstalk": "What is cached are keys and values. They were computed with the adapter that was "
    "in use then, and the server looks them up by the prompt's tokens alone.",
    "mixed": "The base's products run once for the whole batch, and they are nearly all of the "
    "work. Asked one at a time, each request pays for them alone.",
    "stubber": "It validates presence, types and minimum lengths. Patterns and maxima stand in the "
    "same model of the service, and are left to the service.",
}

CARDS = [
    Card(
        "When do you merge an adapter before you ship it?",
        "When one adapter serves all requests, or the other side takes no adapter. Many tenants "
        "with few requests each want one base and separate adapters.",
    ),
    Card(
        "What must the key of a cache of keys and values hold?",
        "The tokens in their order, and all that made the values: the adapter, its version, its "
        "scale. Else one tenant is served what another left.",
    ),
    Card(
        "A request names an adapter that is not loaded. What do you answer?",
        "An error, 404. The base's text in its place is a wrong answer that nobody sees.",
    ),
    Card(
        "What does SageMaker ask of a container?",
        "GET /ping and POST /invocations on port 8080. The adapter is named by a header, "
        "X-Amzn-SageMaker-Adapter-Identifier.",
    ),
    Card(
        "How does an adapter get into Bedrock's custom model import?",
        "Merged. It takes a folder in Hugging Face's form, whole weights as .safetensors, of a "
        "listed architecture. It has no place for an adapter.",
    ),
    Card(
        "A request passes botocore's Stubber. What is not proven?",
        "Patterns and maxima, whether the meaning is right, and whether the service takes it. A "
        "job name with an underscore passes.",
    ),
    Card(
        "How do you test that a server never mixes up adapters?",
        "Make adapters whose texts differ, send mixed requests at once, and compare each answer "
        "with the text of that adapter alone.",
    ),
]
