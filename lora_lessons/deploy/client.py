"""A client for the contract, and a load of many requests at once whose answers are compared."""

from __future__ import annotations

import http.client
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from .contract import ADAPTER_HEADER


class Answer(NamedTuple):
    """What came back: status 0 where nothing did."""

    status: int
    content: dict[str, Any]


def send(
    address: str,
    method: str,
    path: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    timeout: float = 60.0,
) -> Answer:
    """Send one request and read its JSON. Raises OSError where no server answers."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=timeout)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, json.loads(response.read() or b"{}"))
    finally:
        connection.close()


def invoke(address: str, inputs: str, adapter: str | None = None) -> Answer:
    """POST /invocations for one prompt; a connection that breaks is an answer of status 0."""
    headers = {"Content-Type": "application/json"}
    if adapter is not None:
        headers[ADAPTER_HEADER] = adapter
    try:
        return send(
            address, "POST", "/invocations", json.dumps({"inputs": inputs}).encode(), headers
        )
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, {"error": str(error)})


def load(
    address: str,
    requests: Sequence[tuple[str, str | None]],
    expected: Mapping[tuple[str, str | None], str],
    at_once: int = 32,
) -> dict[str, int]:
    """Send (prompt, adapter) pairs, `at_once` of them in flight, and compare with separate runs.

    Returns how many were sent, answered right, lost (no 200), and wrong; of the wrong, how many
    have the text that another adapter gives to the same prompt ("wrong_adapter").
    """
    with ThreadPoolExecutor(at_once) as pool:
        answers = list(pool.map(lambda request: invoke(address, *request), requests))
    found = Counter(_judged(*pair, expected) for pair in zip(requests, answers, strict=True))
    names = ("right", "lost", "wrong_adapter", "wrong_otherwise")
    return {"requests": len(requests)} | {name: found[name] for name in names}


def _judged(
    request: tuple[str, str | None],
    answer: Answer,
    expected: Mapping[tuple[str, str | None], str],
) -> str:
    if answer.status != 200:
        return "lost"
    text = answer.content.get("generated_text")
    if text == expected[request]:
        return "right"
    others = {given for (prompt, _), given in expected.items() if prompt == request[0]}
    return "wrong_adapter" if text in others else "wrong_otherwise"
