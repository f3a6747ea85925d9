"""The checks of lesson 14 on serving: bytes held, and the container's contract.

What is expected is worked out here, without the package's server.
"""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from ..checks.core import Wrong, plain, whole_number
from ..checks.draws import whole

HEADER = "X-Amzn-SageMaker-Adapter-Identifier"
LIMIT = 6_291_456


def word(rng: torch.Generator, length: int = 6) -> str:
    """Small letters."""
    return "".join(string.ascii_lowercase[whole(rng, 0, 25)] for _ in range(length))


# --- 14.1 ------------------------------------------------------------------------------------


def check_held_bytes(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """14.1: n merged models, or one base and n adapters."""
    for n in (whole(rng, 3, 99), 1, 0):
        base, adapter = whole(rng, 100_000, 900_000), whole(rng, 1000, 9000)
        for width in (4, 2):
            for merged in (False, True):
                _check_bytes(answer, n, base, adapter, width, merged)


def _check_bytes(
    answer: Callable[..., Any], n: int, base: int, adapter: int, width: int, merged: bool
) -> None:
    given = whole_number(answer(n, base, adapter, width, merged), "held_bytes")
    copies, beside = n * base, base + n * adapter
    right = width * (copies if merged else beside)
    if given == right:
        return
    if merged:
        mistakes = {
            width * beside: "Merged models do not share a base: each is a whole copy of it.",
            width * base: "This is one merged model. A merged model serves one adapter, so n "
            "adapters need n of them.",
            width * (copies + n * adapter): "A merged adapter is in the weights: it takes no bytes "
            "of its own.",
            width * (copies + base): "The unmerged base is counted too. Nothing serves it here.",
        }
    else:
        mistakes = {
            width * copies: "Separate adapters share one base: count it once.",
            width * n * (base + adapter): "The base is counted n times. Separate adapters share "
            "one.",
            width * base: "The adapters are free here. Each of the n takes its numbers too.",
            width * (base + adapter): "This is one adapter. There are n.",
            width * n * adapter: "The base is left out: without it adapters answer nothing.",
        }
    mistakes[right // width] = "These are numbers, not bytes: each number takes `width` bytes."
    mistakes[8 * right] = "These are bits. `width` is in bytes already."
    mistakes[4 * right // width] = "A number takes `width` bytes, not always 4."
    raise Wrong(
        mistakes.get(given)
        or f"For n={n}, base={base}, adapter={adapter}, width={width}, "
        f"merged={merged}: expected {right}, got {given}."
    )


# --- 14.2 ------------------------------------------------------------------------------------


class Model:
    """generate(prompt, adapter) -> text; it notes its calls. The guard does not look into it."""

    def __init__(self, rng: torch.Generator) -> None:
        self.calls: list[tuple[Any, Any]] = []
        self.salt = word(rng)
        self.fails: type[Exception] | None = None

    def generate(self, prompt: str, adapter: str | None) -> str:
        """Each pair gets a text of its own."""
        self.calls.append((prompt, adapter))
        return f"{prompt} {self.salt} {adapter}"


class _Request:
    """A valid request, of which a test changes one thing."""

    def __init__(self, rng: torch.Generator) -> None:
        self.method, self.path = "POST", "/invocations"
        self.prompt = word(rng)
        self.headers = {"Host": "x", "Content-Type": "application/json"}
        self.body = json.dumps({"inputs": self.prompt, "more": 1}).encode()

    def changed(self, **changes: Any) -> _Request:
        """The same with other fields; `header` adds or replaces headers, None takes one out."""
        other = object.__new__(_Request)
        vars(other).update(vars(self), headers=dict(self.headers))
        for name, value in changes.pop("header", {}).items():
            if value is None:
                other.headers.pop(name)
            else:
                other.headers[name] = value
        vars(other).update(changes)
        return other


def check_handle(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """14.2: the container's contract, asked for health, texts, adapters and every refusal."""
    model, names = Model(rng), [word(rng), word(rng)]

    def ask(request: _Request, loaded: list[str] = names) -> tuple[int, dict[str, Any]]:
        model.calls.clear()
        return _reply(
            answer(
                request.method,
                request.path,
                dict(request.headers),
                request.body,
                list(loaded),
                model.generate,
            )
        )

    request = _Request(rng)
    _check_answered(ask, request, model, names)
    _check_bodies(ask, request, model)
    _check_ping(ask, request, model)
    for wanted, one, message in _refused(request, names, rng):
        status, _ = ask(one)
        if model.calls:
            raise Wrong(f"{message} It must not reach the model, and `generate` was called.")
        if status not in wanted:
            raise Wrong(f"{message} The status must be {wanted[0]}; got {status}.")
    status, _ = ask(request.changed(header={HEADER: names[0]}), [])
    if status != 404 or model.calls:
        raise Wrong(f"No adapter is loaded at all, and one is asked for: 404, got {status}.")
    if ask(request, [])[0] != 200:
        raise Wrong("No adapter is loaded at all, and none is asked for: the base answers, 200.")


def _reply(result: Any) -> tuple[int, dict[str, Any]]:
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise Wrong(f"Return two things, (status, dict); got {type(result).__name__}.")
    status, content = plain(result[0]), result[1]
    if not isinstance(status, int) or isinstance(status, bool):
        raise Wrong(f"The status must be a whole number such as 200; got {status!r}.")
    if not isinstance(content, dict):
        raise Wrong(f"The second must be a dict, which becomes JSON; got {type(content).__name__}.")
    try:
        json.dumps(content)
    except (TypeError, ValueError) as error:
        raise Wrong(f"The dict must fit into JSON: {error}.") from error
    return status, content


def _check_answered(
    ask: Callable[[_Request], Any], request: _Request, model: Model, names: list[str]
) -> None:
    spelt = [HEADER, HEADER.lower(), HEADER.upper()]
    for header, adapter in [(None, None), *zip(spelt, [*names, names[0]], strict=True)]:
        one = request.changed(header={header: adapter} if header else {})
        status, content = ask(one)
        if status != 200:
            named = f" with the adapter {adapter!r} in the header {header!r}" if header else ""
            raise Wrong(f"A valid request{named} got {status}: {content}. It must be 200.")
        text = f"{request.prompt} {model.salt} {adapter}"
        if content.get("generated_text") == text and len(model.calls) == 1:
            continue
        if len(model.calls) > 1:
            raise Wrong("`generate` was called more than once for one request.")
        _explain_text(content, model, request.prompt, header, adapter)
    for kind in ("application/json; charset=utf-8", "Application/JSON"):
        if ask(request.changed(header={"Content-Type": kind}))[0] != 200:
            raise Wrong(
                f"Content-Type {kind!r} is JSON too: case does not matter, nor what follows ';'."
            )
    lower = request.changed(header={"Content-Type": None, "content-type": "application/json"})
    if ask(lower)[0] != 200:
        raise Wrong("Header names have no case: 'content-type' is 'Content-Type'.")


@cache
def _long_bodies() -> tuple[bytes, bytes, bytes]:
    """JSON of LIMIT bytes, of one more, and of more bytes than LIMIT in fewer characters."""
    start, end = b'{"inputs": "a", "more": "', b'"}'
    filled = LIMIT - len(start) - len(end)
    accents = "\u00e9".encode() * (LIMIT // 2)
    return start + b"a" * filled + end, start + b"a" * (filled + 1) + end, start + accents + end


def _check_bodies(ask: Callable[[_Request], Any], request: _Request, model: Model) -> None:
    status, _ = ask(request.changed(body=_long_bodies()[0]))
    if status != 200:
        raise Wrong(f"A body of {LIMIT:,d} bytes is not above the limit: 200, got {status}.")
    prompt = " \u00e9\n"
    body = json.dumps({"inputs": prompt}, ensure_ascii=False).encode()
    status, _ = ask(request.changed(body=body))
    if status != 200:
        raise Wrong(f"The body {body!r} is JSON in UTF-8: 200, got {status}.")
    if [called for called, _ in model.calls] != [prompt]:
        got = model.calls[0][0] if model.calls else None
        raise Wrong(
            f"`generate` must get the text of 'inputs' unchanged, {prompt!r}; it got {got!r}."
        )
    status, _ = ask(request.changed(body=b'{"inputs": "a", "adapter": "b"}'))
    if status != 200 or [adapter for _, adapter in model.calls] != [None]:
        raise Wrong(
            "The body has an 'adapter', and no header names one. The header alone does: the base "
            f"must answer, with 200; got {status}."
        )


def _explain_text(
    content: dict[str, Any], model: Model, prompt: str, header: str | None, adapter: str | None
) -> None:
    if "generated_text" not in content:
        raise Wrong(f"The text goes under 'generated_text'; the keys are {sorted(content)}.")
    called = model.calls[0] if model.calls else None
    if called is None:
        raise Wrong("`generate` was not called for a valid request.")
    if called[0] != prompt:
        raise Wrong(f"`generate` must get the text of 'inputs'; it got {called[0]!r}.")
    if called[1] is None:
        raise Wrong(
            f"The header {header!r} names an adapter, and the base answered. Header names have no "
            "case: look them up in small letters."
        )
    if called[1] != adapter:
        raise Wrong(f"The adapter must be {adapter!r}; `generate` got {called[1]!r}.")
    raise Wrong("'generated_text' must be what `generate` returned, unchanged.")


def _check_ping(ask: Callable[[_Request], Any], request: _Request, model: Model) -> None:
    status, _ = ask(request.changed(method="GET", path="/ping", body=b"", headers={}))
    if status != 200:
        raise Wrong(f"GET /ping must be 200, without any header or body; got {status}.")
    if model.calls:
        raise Wrong("/ping runs the model. It is asked every few seconds and must cost nothing.")


def _refused(
    request: _Request, names: list[str], rng: torch.Generator
) -> list[tuple[tuple[int, ...], _Request, str]]:
    """(statuses that are right, request, what is wrong in it)."""
    change = request.changed
    unknown = word(rng, 7)
    _, long, accents = _long_bodies()
    return [
        ((404,), change(path=f"/{word(rng)}"), "The path is none of the contract's."),
        ((404,), change(path="/invocations/more"), "The path is none of the contract's."),
        ((404, 405), change(method="GET"), "/invocations takes POST, and this was GET."),
        ((404, 405), change(path="/ping"), "/ping takes GET, and this was POST."),
        (
            (404,),
            change(header={HEADER: unknown}),
            f"No adapter is called {unknown!r}. The base must not answer in its place.",
        ),
        (
            (404,),
            change(header={HEADER: names[0].upper()}),
            "Names of adapters have a case: one in capitals is another.",
        ),
        ((404,), change(header={HEADER: ""}), "The adapter's name is empty, so it is unknown."),
        ((415,), change(header={"Content-Type": "text/csv"}), "The body was sent as text/csv."),
        ((415,), change(header={"Content-Type": None}), "No Content-Type says that this is JSON."),
        (
            (415,),
            change(header={"Content-Type": "application/jsonlines"}),
            "application/jsonlines only begins like application/json.",
        ),
        (
            (415,),
            change(header={"Content-Type": "text/plain; was=application/json"}),
            "The type is what stands before ';', here text/plain.",
        ),
        ((413,), change(body=long), f"The body has {len(long):,d} bytes, above the limit."),
        (
            (413,),
            change(body=accents),
            f"The body has {len(accents):,d} bytes, above the limit, in fewer characters.",
        ),
        ((400,), change(body=b"{"), "The body is no JSON: the client's fault, not the server's."),
        ((400,), change(body=b""), "The body is empty: no JSON."),
        ((400,), change(body=b"\xff\xfe{"), "The body is no text in UTF-8, so no JSON."),
        (
            (400,),
            change(body=b'{"inputs": "a\xff"}'),
            "A byte of the body is no UTF-8. What is left out or replaced is another prompt.",
        ),
        ((400,), change(body=b"{}"), "The JSON has no 'inputs'."),
        ((400,), change(body=b'["inputs"]'), "The JSON is a list, not an object."),
        ((400,), change(body=b'"inputs"'), "The JSON is a text, not an object."),
        ((400,), change(body=b"null"), "The JSON is null, not an object."),
        ((400,), change(body=b'{"inputs": 7}'), "'inputs' is a number, not a text."),
        ((400,), change(body=b'{"inputs": ["a"]}'), "'inputs' is a list, not a text."),
    ]
