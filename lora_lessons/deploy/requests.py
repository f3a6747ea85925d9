"""Requests to AWS, checked without an account: by the SDK's own model of each operation.

botocore's Stubber checks what is required, unknown, of the wrong type or too short. Patterns and
maxima stand in the same model, and it does not check them: `request_problems` does.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Mapping
from typing import Any

ADVICE = "botocore is not installed: pip install 'lora-lessons[aws]'"
REGION = "us-east-1"
LIMITS = ("min", "max", "pattern")
Problem = tuple[str, str]
KINDS: dict[str, type | tuple[type, ...]] = {
    "structure": dict, "map": dict, "list": list, "string": str, "integer": int,
    "float": (int, float), "boolean": bool, "blob": bytes,
}  # fmt: skip


def installed() -> bool:
    """Whether botocore can be imported."""
    return importlib.util.find_spec("botocore") is not None


def request_problems(shape: Mapping[str, Any], params: Any, path: str = "") -> list[Problem]:
    """(path, rule) of all that is wrong in a request, members of members included.

    Rules: "required", "unknown", "type", "pattern" (the whole text must match), "min" and "max"
    (of a text's or a list's length, of a number's value). Paths are "a.b", and "a[0]" in lists.
    """
    return list(_problems(shape, params, path))


def _problems(shape: Mapping[str, Any], value: Any, path: str) -> Iterator[Problem]:
    kind = shape["type"]
    if not isinstance(value, KINDS[kind]) or (isinstance(value, bool) and kind != "boolean"):
        yield path, "type"
        return
    if kind == "structure":
        yield from _members(shape, value, path)
    if kind in ("structure", "boolean"):
        return
    size = value if kind in ("integer", "float") else len(value)
    if size < shape.get("min", size):
        yield path, "min"
    if size > shape.get("max", size):
        yield path, "max"
    if "pattern" in shape and not _matches(shape["pattern"], value, path):
        yield path, "pattern"
    if kind == "map":
        for key, item in value.items():
            yield from _problems(shape["value"], item, f"{path}.{key}")
    if kind == "list":
        for i, item in enumerate(value):
            yield from _problems(shape["member"], item, f"{path}[{i}]")


def _matches(pattern: str, value: str, path: str) -> bool:
    """AWS writes some patterns in Java's dialect: better no answer than a wrong one."""
    try:
        return re.fullmatch(pattern, value) is not None
    except re.error as error:
        raise ValueError(f"the pattern of {path} is none of Python's: {pattern}") from error


def _members(shape: Mapping[str, Any], value: Mapping[str, Any], path: str) -> Iterator[Problem]:
    def inside(name: str) -> str:
        return f"{path}.{name}" if path else name

    for name in shape.get("required", ()):
        if name not in value:
            yield inside(name), "required"
    for name, member in value.items():
        if name not in shape["members"]:
            yield inside(name), "unknown"
        else:
            yield from _problems(shape["members"][name], member, inside(name))


def client_of(service: str) -> Any:
    """A client that can reach nothing: its keys are made up, its endpoint is a closed port here.

    Raises ImportError where botocore is not installed.
    """
    if not installed():
        raise ImportError(ADVICE)
    import botocore.session

    session = botocore.session.Session()
    return session.create_client(
        service,
        region_name=REGION,
        aws_access_key_id="none",
        aws_secret_access_key="none",
        endpoint_url="http://127.0.0.1:9",
    )


def shape_of(service: str, operation: str) -> dict[str, Any]:
    """The input of an operation as plain dicts: type, members, required, pattern, min, max."""
    model = client_of(service).meta.service_model.operation_model(operation)
    return _plain(model.input_shape)


def _plain(shape: Any) -> dict[str, Any]:
    """botocore keeps what its model says of a shape in `metadata`."""
    kind = {"long": "integer", "double": "float"}.get(shape.type_name, shape.type_name)
    if kind not in KINDS:
        raise ValueError(f"{shape.name} is of type {kind}, which is not handled here")
    found: dict[str, Any] = {"type": kind}
    found |= {key: shape.metadata[key] for key in LIMITS if key in shape.metadata}
    if kind == "structure":
        found["members"] = {name: _plain(member) for name, member in shape.members.items()}
        found["required"] = list(shape.required_members)
    if kind == "list":
        found["member"] = _plain(shape.member)
    if kind == "map":
        found["value"] = _plain(shape.value)
    return found


def stubber_says(service: str, method: str, params: Mapping[str, Any]) -> str:
    """What botocore's Stubber says to a request: "" if it lets it pass, else its first line."""
    from botocore.exceptions import ParamValidationError
    from botocore.stub import Stubber

    client = client_of(service)
    operation = client.meta.method_to_api_mapping[method]
    answer = client.meta.service_model.operation_model(operation).output_shape
    canned = {
        name: "x" * answer.members[name].metadata.get("min", 1) for name in answer.required_members
    }
    with Stubber(client) as stubber:
        stubber.add_response(method, canned)
        try:
            getattr(client, method)(**params)
        except ParamValidationError as error:
            return str(error).split("\n")[-1].strip()
    return ""
