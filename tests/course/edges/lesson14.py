"""Lesson 14: no adapters, every header and body that is nearly right, folders, shapes in shapes."""

import json
import re

from hypothesis import strategies as st

from . import Edge, whole

# --- 14.1, 14.2 -------------------------------------------------------------------------------


def _bytes(n, base, adapter, width, merged):
    counts = [base] * n if merged else [base, *[adapter] * n]
    return sum(count * width for count in counts)


HEADER = "X-Amzn-SageMaker-Adapter-Identifier"
TYPES = ["application/json", "APPLICATION/JSON ; charset=utf-8", "text/plain", "", "application/js"]
BODIES = [
    *(b"", b"{", b"[]", b"null", b"7", b'"a"', b"{}", b'{"inputs": null}', b'{"inputs": ["a"]}'),
    *(b'{"inputs": "a"}', '{"inputs": "\u00e9"}'.encode(), b'{"inputs": "a\xff"}'),
    b'{"inputs": "a", "adapter": "b"}',
]
FULL = b'{"inputs": "a"}'.ljust(6_291_456)


@st.composite
def _request(draw):
    headers = {}
    if draw(whole(0, 4)):
        headers[draw(st.sampled_from(["Content-Type", "content-TYPE"]))] = draw(
            st.sampled_from(TYPES)
        )
    if draw(st.booleans()):
        name = draw(st.sampled_from([HEADER, HEADER.upper(), HEADER.lower()]))
        headers[name] = draw(st.sampled_from(["a", "b", "A", "", "base"]))
    return (
        draw(st.sampled_from(["POST", "POST", "POST", "GET", "PUT"])),
        draw(st.sampled_from(["/invocations", "/invocations", "/ping", "/", "/ping/"])),
        headers,
        draw(st.sampled_from([*BODIES, FULL, FULL + b" "])),
        draw(st.sampled_from([[], ["a"], ["a", "b"]])),
        lambda prompt, adapter: f"{adapter}: {prompt}",
    )


def _faults(method, path, headers, body, adapters):
    """Every status that some fault of a request to /invocations calls for."""
    small = {name.lower(): value for name, value in headers.items()}
    if not re.fullmatch(r"\s*application/json\s*(;.*)?", small.get("content-type", ""), re.I):
        yield 415
    if len(body) > 6_291_456:
        yield 413
    if small.get(HEADER.lower()) not in [None, *adapters]:
        yield 404
    try:
        text = json.loads(body.decode("utf-8"))["inputs"]
        if not isinstance(text, str):
            yield 400
    except (ValueError, TypeError, KeyError, IndexError):
        yield 400


def _answers(method, path, headers, body, adapters, generate):
    """What may be said: the statuses of all its faults, or the one answer."""
    if path not in ("/ping", "/invocations"):
        return "404"
    if path == "/ping":
        return "200" if method == "GET" else "405"
    if method != "POST":
        return "405"
    if faults := set(_faults(method, path, headers, body, adapters)):
        return f"one of {sorted(faults)}"
    name = {key.lower(): value for key, value in headers.items()}.get(HEADER.lower())
    return generate(json.loads(body)["inputs"], name)


def _said(result, method, path, headers, body, adapters, generate):
    status, content = result
    if path == "/invocations" and method == "POST":
        if status == 200:
            return content["generated_text"]
        faults = set(_faults(method, path, headers, body, adapters))
        assert status in faults, (status, faults)
        return f"one of {sorted(faults)}"
    return str(status)


# --- 14.4, 14.5 -------------------------------------------------------------------------------

FILES = [
    *("adapter_config.json", "adapter_model.safetensors", "model.safetensors", "x.bin", "a.txt"),
    *("tokenizer.json", "tokenizer_config.json", "model.safetensors.index.json", "config.json"),
]
KEYS = {
    "architectures": st.lists(st.sampled_from(["Llama", "Qwen", "Other"]), max_size=2),
    "quantization_config": st.sampled_from([None, {}, {"bits": 4}]),
    "rope_parameters": st.just({"rope_theta": 1e4}),
    "rope_theta": st.just(1e4),
    "max_position_embeddings": st.sampled_from([1, 131_071, 131_072, 10**7]),
}


@st.composite
def _folder(draw):
    config = {key: draw(KEYS[key]) for key in draw(st.lists(st.sampled_from([*KEYS]), unique=True))}
    config.setdefault("max_position_embeddings", 512)
    return draw(st.lists(st.sampled_from(FILES), unique=True)), config, ("Llama", "Qwen")


def _words(files, config, listed):
    found = set()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        found |= set() if name in files else {"tokenizer"}
    found |= {"adapter" for name in files if re.fullmatch(r"adapter_(config|model)\..*", name)}
    whole_models = [n for n in files if n.endswith(".safetensors") and "adapter" not in n]
    found |= {"weights"} if "x.bin" in files or not whole_models else set()
    named = config.get("architectures", [])
    found |= {"architecture"} if "Other" in named or not named else set()
    found |= {"quantized"} if config.get("quantization_config") in ({}, {"bits": 4}) else set()
    if "rope_parameters" in config and "rope_theta" not in config:
        found.add("rope_theta")
    found |= {"context"} if config["max_position_embeddings"] > 131_071 else set()
    return sorted(found)


TEXTS = {
    "low": ({"type": "string", "pattern": "[a-z]+"}, r"[a-z]+\Z"),
    "short": ({"type": "string", "max": 2}, None),
    "either": ({"type": "string", "pattern": "a|bc", "max": 1}, r"(a|bc)\Z"),
}
VALUES = st.sampled_from(["", "a", "bc", "abc", "a\n", "A"])


@st.composite
def _shape(draw, depth=2):
    """A structure's shape, and parameters that fit it more or less."""
    members, params = {}, {}
    for name in draw(st.lists(st.sampled_from([*TEXTS, "inner"]), unique=True)):
        if name == "inner" and depth:
            members[name], value = draw(_shape(depth=depth - 1))
        elif name == "inner":
            continue
        else:
            members[name], value = TEXTS[name][0], draw(VALUES)
        if draw(whole(0, 3)):
            params[name] = value
    if not draw(whole(0, 3)):
        params["strange"] = "a"
    required = [name for name in members if draw(st.booleans())]
    return {"type": "structure", "members": members, "required": required}, params


def _wrong_in(shape, params, at=()):
    found = {(".".join((*at, n)), "unknown") for n in params.keys() - shape["members"].keys()}
    found |= {(".".join((*at, n)), "required") for n in set(shape["required"]) - params.keys()}
    for name in params.keys() & shape["members"].keys():
        path, value = (*at, name), params[name]
        if name == "inner":
            found |= set(_wrong_in(shape["members"][name], value, path))
            continue
        pattern = TEXTS[name][1]
        most = {"short": 2, "either": 1}.get(name, 99)
        if pattern and not re.match(pattern, value):
            found.add((".".join(path), "pattern"))
        found |= {(".".join(path), "max")} if len(value) > most else set()
    return sorted(found)


COUNT = whole(0, 10**6)
EDGES = {
    "held_bytes": Edge(
        st.tuples(whole(0, 9), COUNT, COUNT, st.sampled_from([1, 2, 4]), st.booleans()), _bytes
    ),
    "handle": Edge(_request(), _answers),
    "bedrock_ready": Edge(_folder(), _words),
    "check_request": Edge(_shape(), _wrong_in),
}
SEEN = {
    "handle": _said,
    "bedrock_ready": lambda result, *given: sorted(result),
    "check_request": lambda result, *given: sorted(result),
}
