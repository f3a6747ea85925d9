"""Right answers to lesson 14 that are written in another way than the solution."""

from . import RightAnswer, afresh, joined

RIGHT = {
    "held_bytes": [
        RightAnswer(
            "summed one by one",
            """
def held_bytes(n, base, adapter, width, merged):
    if merged:
        return sum(base * width for _ in range(n))
    total = base * width
    for _ in range(n):
        total += adapter * width
    return total
""",
        ),
        RightAnswer(
            "by numpy",
            """
def held_bytes(n, base, adapter, width, merged):
    import numpy as np

    return np.int64(width) * (np.int64(n) * base if merged else base + np.int64(n) * adapter)
""",
        ),
        RightAnswer(
            "what is there once, and what n times",
            """
def held_bytes(n, base, adapter, width, merged):
    once, each = (0, base) if merged else (base, adapter)
    return width * once + width * each * n
""",
        ),
    ],
    "handle": [
        RightAnswer(
            "nested",
            """
import json
def handle(method, path, headers, body, adapters, generate):
    if (method, path) == ("GET", "/ping"):
        return 200, {"status": "ok"}
    if (method, path) == ("POST", "/invocations"):
        kind, name = "", None
        for key, value in headers.items():
            if key.lower() == "content-type":
                kind = value.partition(";")[0].strip().lower()
            if key.lower() == "x-amzn-sagemaker-adapter-identifier":
                name = value
        if kind == "application/json":
            if len(body) <= 6291456:
                if name is None or name in adapters:
                    try:
                        inputs = json.loads(body)["inputs"]
                        if type(inputs) is not str:
                            raise TypeError
                    except (ValueError, KeyError, TypeError):
                        return 400, {}
                    return 200, {"generated_text": generate(inputs, name)}
                return 404, {"known": list(adapters)}
            return 413, {}
        return 415, {}
    return 404, {}
""",
        ),
        RightAnswer(
            "match, and an exception of its own",
            """
import json
def handle(method, path, headers, body, adapters, generate):
    class Refused(Exception):
        pass

    def valid():
        low = dict((key.casefold(), value) for key, value in headers.items())
        if "application/json" != low.get("content-type", "").lower().split(";")[0].strip():
            raise Refused(415)
        if len(body) > 6 * 1024 * 1024:
            raise Refused(413)
        name = low.get("x-amzn-sagemaker-adapter-identifier")
        if not (name is None or any(name == one for one in adapters)):
            raise Refused(404)
        try:
            content = json.loads(body.decode("utf-8"))
        except (UnicodeDecodeError, json.JSONDecodeError):
            raise Refused(400)
        match content:
            case {"inputs": str(text)}:
                return text, name
        raise Refused(400)

    match method, path:
        case "GET", "/ping":
            return 200, {}
        case "POST", "/invocations":
            try:
                text, name = valid()
            except Refused as error:
                return error.args[0], {"error": "refused"}
            return 200, {"generated_text": generate(text, name), "adapter": name}
        case _, "/ping" | "/invocations":
            return 405, {}
    return 404, {}
""",
        ),
        RightAnswer(
            "a list in place of a tuple",
            """
import json
def handle(method, path, headers, body, adapters, generate):
    from http import HTTPStatus
    if path == "/ping":
        return [HTTPStatus.OK if method == "GET" else HTTPStatus.METHOD_NOT_ALLOWED, {}]
    if path != "/invocations" or method != "POST":
        return [HTTPStatus.NOT_FOUND, {}]
    get = {k.lower(): v for k, v in headers.items()}.get
    if (get("content-type") or "").lower().partition(";")[0].strip() != "application/json":
        return [415, {}]
    if len(body) > 6_291_456:
        return [413, {}]
    adapter = get("x-amzn-sagemaker-adapter-identifier")
    if adapter not in [None, *adapters]:
        return [404, {}]
    try:
        text = dict(json.loads(body)).get("inputs")
    except (ValueError, TypeError):
        return [400, {}]
    if not isinstance(text, str):
        return [400, {}]
    return [200, {"generated_text": generate(text, adapter)}]
""",
        ),
    ],
    "cache_key": [
        RightAnswer(
            "one text with marks that are escaped",
            """
def cache_key(adapter, version, scale, tokens):
    return repr([adapter, version, scale, list(tokens)])
""",
        ),
        RightAnswer(
            "a hash of JSON",
            """
def cache_key(adapter, version, scale, tokens):
    import hashlib, json

    return hashlib.sha256(json.dumps([adapter, version, scale, tokens]).encode()).hexdigest()
""",
        ),
        RightAnswer(
            "one flat tuple",
            """
def cache_key(adapter, version, scale, tokens):
    return (adapter, version, float(scale)) + tuple(int(t) for t in tokens)
""",
        ),
        RightAnswer(
            "the base has neither version nor scale",
            """
def cache_key(adapter, version, scale, tokens):
    who = None if adapter is None else (adapter, version, scale)
    return who, tuple(tokens)
""",
        ),
    ],
    "bedrock_ready": [
        RightAnswer(
            "a table of rules, as a set",
            """
def bedrock_ready(files, config, listed):
    from pathlib import PurePath

    own = {"adapter_config.json", "adapter_model.safetensors"}
    ends = [PurePath(name).suffix for name in files if name not in own]
    names = config.get("architectures", [])
    rules = {
        "adapter": not own.isdisjoint(files),
        "weights": ".safetensors" not in ends or ".bin" in ends,
        "tokenizer": sum(n in files for n in ("tokenizer.json", "tokenizer_config.json")) < 2,
        "architecture": not (names and all(name in listed for name in names)),
        "quantized": config.get("quantization_config") is not None,
        "rope_theta": "rope_parameters" in config.keys() - ({"rope_parameters"}
                      if "rope_theta" in config else set()),
        "context": not config.get("max_position_embeddings", 0) < 128 * 1024,
    }
    return {word for word, broken in rules.items() if broken}
""",
        ),
        RightAnswer(
            "the other order",
            """
def bedrock_ready(files, config, listed):
    found = []
    found += ["context"] * (config.get("max_position_embeddings", 1) >= 1 << 17)
    found += ["rope_theta"] * ("rope_parameters" in config and "rope_theta" not in config)
    found += ["quantized"] * (config.get("quantization_config") is not None)
    named = config.get("architectures") or [None]
    found += ["architecture"] * any(name not in listed for name in named)
    missing = {"tokenizer.json", "tokenizer_config.json"} - set(files)
    found += ["tokenizer"] * bool(missing)
    whole = [f for f in files if f[-12:] == ".safetensors" and "adapter" not in f]
    found += ["weights"] * (not whole or any(f[-4:] == ".bin" for f in files))
    found += ["adapter"] * ("adapter_config.json" in files or "adapter_model.safetensors" in files)
    return tuple(found)
""",
        ),
    ],
    "check_request": [
        RightAnswer(
            "it calls itself",
            """
import re
def check_request(shape, params):
    found = {(name, "required") for name in set(shape["required"]) - set(params)}
    for name, value in params.items():
        if name not in shape["members"]:
            found.add((name, "unknown"))
            continue
        member = shape["members"][name]
        if isinstance(value, dict):
            found |= {(f"{name}.{path}", rule) for path, rule in check_request(member, value)}
            continue
        if "max" in member and len(value) > member["max"]:
            found.add((name, "max"))
        if re.compile(member.get("pattern", "(?s:.*)")).fullmatch(value) is None:
            found.add((name, "pattern"))
    return found
""",
        ),
        RightAnswer(
            "a stack",
            """
import re
def check_request(shape, params):
    waiting, found = [(shape, params, ())], []
    while waiting:
        now, given, path = waiting.pop()
        if now["type"] == "structure":
            for name in now["required"]:
                if name not in given:
                    found.append((".".join([*path, name]), "required"))
            for name in given:
                if name in now["members"]:
                    waiting.append((now["members"][name], given[name], (*path, name)))
                else:
                    found.append((".".join([*path, name]), "unknown"))
        else:
            if not re.match("(?:" + now.get("pattern", "(?s:.*)") + r")\\Z", given):
                found.append((".".join(path), "pattern"))
            if len(given) > now.get("max", float("inf")):
                found.append((".".join(path), "max"))
    return found
""",
        ),
    ],
}
RIGHT = joined(RIGHT, afresh("14"))
