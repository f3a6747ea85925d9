"""The contract of a SageMaker container, as a function, and a server for it on this machine only.

GET /ping says that the container is up. POST /invocations takes JSON with `inputs`, and answers
with `generated_text`; a header names the adapter. Whatever the client did wrong has a status of its
own (4xx); 5xx is left for what the server did wrong.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ..errors import did_you_mean

ADAPTER_HEADER = "X-Amzn-SageMaker-Adapter-Identifier"
MAX_BODY = 6_291_456  # bytes: what InvokeEndpoint takes
LOOPBACK = "127.0.0.1"
PATHS = {"/ping": "GET", "/invocations": "POST"}

Reply = tuple[int, dict[str, Any]]
Handle = Callable[[str, str, Mapping[str, str], bytes], Reply]


def handle(
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    adapters: Collection[str],
    generate: Callable[[str, str | None], str],
) -> Reply:
    """(status, JSON) for one request.

    `generate(prompt, adapter)` is called for a valid invocation and for nothing else; the adapter
    is None where no header names one. 404 for another path or an unknown adapter, 405 for another
    method, 413 for a body that is too long, 415 for one that is not sent as JSON, 400 for JSON that
    is none, or has no text `inputs`.
    """
    if path not in PATHS:
        return _refusal(404, f"no path {path!r}.{did_you_mean(path, PATHS)}")
    if method != PATHS[path]:
        return _refusal(405, f"{path} takes {PATHS[path]}, not {method}")
    if path == "/ping":
        return 200, {}
    fields = {name.lower(): value for name, value in headers.items()}
    if len(body) > MAX_BODY:
        return _refusal(413, f"the body has {len(body):,d} bytes; {MAX_BODY:,d} at most")
    kind = fields.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/json":
        return _refusal(415, f"send application/json, not {kind or 'an unnamed type'}")
    adapter = fields.get(ADAPTER_HEADER.lower())
    if adapter is not None and adapter not in adapters:
        return _refusal(404, f"no adapter {adapter!r}.{did_you_mean(adapter, adapters)}")
    try:
        inputs = json.loads(body)["inputs"]
    except (ValueError, KeyError, TypeError):
        return _refusal(400, "the body must be a JSON object with `inputs`")
    if not isinstance(inputs, str) or not inputs:
        return _refusal(400, "`inputs` must be a text that is not empty")
    return 200, {"generated_text": generate(inputs, adapter)}


def _refusal(status: int, message: str) -> Reply:
    return status, {"error": message}


@contextmanager
def serving(answer: Handle, port: int = 0) -> Iterator[str]:
    """While it is open, `answer` is served over HTTP at the address given back.

    It listens on the loopback address, which no other machine reaches; port 0 takes a free one. A
    body that is too long is refused by its declared length, before it is read. An exception of
    `answer` becomes a 500 that does not tell the client what it was.
    """
    server = _Server((LOOPBACK, port), _handler(answer))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # connections that may wait; 5 lose requests under load
    daemon_threads = True


def _handler(answer: Handle) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30  # seconds; a client that says nothing must not hold a thread for ever

        def answer_one(self) -> None:
            length = self.headers.get("Content-Length", "0")
            if "Transfer-Encoding" in self.headers:
                return self.reply(*_refusal(411, "send Content-Length"), last=True)
            if not length.isdecimal():
                return self.reply(*_refusal(400, "Content-Length is no number"), last=True)
            if int(length) > MAX_BODY:
                return self.reply(*_refusal(413, f"{length} bytes; {MAX_BODY} at most"), last=True)
            body = self.rfile.read(int(length))
            try:
                reply = answer(self.command, self.path, dict(self.headers), body)
            except Exception:
                reply = _refusal(500, "the server failed")
            return self.reply(*reply)

        do_GET = do_POST = do_PUT = do_DELETE = answer_one

        def reply(self, status: int, content: dict[str, Any], last: bool = False) -> None:
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            if last:  # the body was not read, so the connection cannot go on
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Requests are not printed: they are other people's text."""

    return Handler
