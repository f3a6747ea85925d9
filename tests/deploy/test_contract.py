"""The container's contract over loopback: statuses, limits, many at once."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from lora_lessons.deploy import client
from lora_lessons.deploy.contract import ADAPTER_HEADER, MAX_BODY, handle, serving

JSON = {"Content-Type": "application/json"}


def answer(method, path, headers, body):
    """Two adapters; the text says who answered. "fail" makes the model fail."""

    def generate(prompt, adapter):
        if prompt == "fail":
            raise RuntimeError("secret")
        return f"{prompt} by {adapter}"

    return handle(method, path, headers, body, ["ada", "bob"], generate)


@pytest.fixture(scope="module")
def address():
    with serving(answer) as address:
        yield address


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status"),
    [
        ("GET", "/ping", {}, b"", 200),
        ("POST", "/ping", {}, b"", 405),
        ("GET", "/invocations", {}, b"", 405),
        ("GET", "/pong", {}, b"", 404),
        ("POST", "/invocations", JSON, b'{"inputs": "a"}', 200),
        ("POST", "/invocations", JSON | {ADAPTER_HEADER.lower(): "ada"}, b'{"inputs": "a"}', 200),
        ("POST", "/invocations", JSON | {ADAPTER_HEADER: "eve"}, b'{"inputs": "a"}', 404),
        ("POST", "/invocations", {"Content-Type": "text/csv"}, b'{"inputs": "a"}', 415),
        ("POST", "/invocations", {}, b'{"inputs": "a"}', 415),
        ("POST", "/invocations", JSON, b"", 400),
        ("POST", "/invocations", JSON, b"\xff", 400),
        ("POST", "/invocations", JSON, b"[]", 400),
        ("POST", "/invocations", JSON, b'{"inputs": ""}', 400),
        ("POST", "/invocations", JSON, b'{"inputs": 3}', 400),
        ("POST", "/invocations", JSON, b'{"inputs": "fail"}', 500),
    ],
)
def test_each_request_gets_its_status(address, method, path, headers, body, status):
    found = client.send(address, method, path, body, headers)
    assert found.status == status
    assert ("error" in found.content) == (status >= 400)


def test_a_nearly_right_name_is_named_and_an_exception_is_not_told(address):
    headers = JSON | {ADAPTER_HEADER: "adaa"}
    found = client.send(address, "POST", "/invocations", b'{"inputs": "a"}', headers)
    assert "Did you mean 'ada'?" in found.content["error"]
    found = client.send(address, "POST", "/invocations", b'{"inputs": "fail"}', JSON)
    assert "secret" not in json.dumps(found.content)


def test_a_body_above_the_limit_is_refused_before_it_is_read(address):
    connection = socket.create_connection(tuple(urlsplit(address).netloc.split(":")), timeout=10)
    with connection:
        head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: {MAX_BODY + 1}\r\n\r\n"
        connection.sendall(head.encode())  # and not one byte of the body
        assert b" 413 " in connection.recv(4096)
    assert handle("POST", "/invocations", JSON, b" " * (MAX_BODY + 1), [], None)[0] == 413


@pytest.mark.parametrize(("length", "status"), [("-1", 400), ("x", 400)])
def test_a_length_that_is_none_is_refused(address, length, status):
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)
    connection.putrequest("POST", "/invocations")
    connection.putheader("Content-Length", length)
    connection.endheaders()
    assert connection.getresponse().status == status
    connection.close()


def test_thirty_two_at_once_lose_and_mix_nothing():
    """All 32 are in flight together: each waits inside until the last has come."""
    together = threading.Barrier(32, timeout=30)

    def slow(method, path, headers, body):
        together.wait()
        return answer(method, path, headers, body)

    requests = [(f"p{i}", (None, "ada", "bob")[i % 3]) for i in range(64)]
    with serving(slow) as address, ThreadPoolExecutor(32) as pool:
        found = list(pool.map(lambda pair: client.invoke(address, *pair), requests))
    assert [f.content.get("generated_text") for f in found] == [
        f"{prompt} by {adapter}" for prompt, adapter in requests
    ]


def test_the_server_is_on_loopback_and_stops(address):
    assert urlsplit(address).hostname == "127.0.0.1"
    with serving(answer) as other:
        assert client.send(other, "GET", "/ping").status == 200
    assert client.invoke(other, "a").status == 0


def test_a_mix_up_is_counted_as_one():
    """The load's judge: another adapter's text, a text of nobody, an answer that was lost."""
    expected = {("p", "ada"): "A", ("p", "bob"): "B", ("p", None): "C", ("p", "eve"): "E"}

    def wrong(method, path, headers, body):
        fields = {name.lower(): value for name, value in headers.items()}
        given = {"ada": (200, "B"), "bob": (200, "?"), "eve": (500, "")}
        status, text = given.get(fields.get(ADAPTER_HEADER.lower()), (200, "C"))
        return status, {"generated_text": text}

    with serving(wrong) as address:
        counts = client.load(address, list(expected), expected, at_once=4)
    assert counts == {
        "requests": 4, "right": 1, "lost": 1, "wrong_adapter": 1, "wrong_otherwise": 1,
    }  # fmt: skip
