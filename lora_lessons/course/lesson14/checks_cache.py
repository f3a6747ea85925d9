"""The check of lesson 14 on the key of a cache.

Only whether two keys are equal is judged: how a key is built is the learner's own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import torch

from ..checks.core import Wrong
from ..checks.draws import whole
from .checks import word

# --- 14.3 ------------------------------------------------------------------------------------


def check_cache_key(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """14.3: equal keys where the cached values may be shared, and different ones where not."""
    name, version, tokens = word(rng), whole(rng, 2, 9), [whole(rng, 11, 99) for _ in range(4)]
    plainly = (name, version, 1.0, tokens)
    key = _key(answer, *plainly)
    if key != _key(answer, name, version, 1.0, list(tokens)):
        raise Wrong("Two equal requests have different keys: nothing would ever be found again.")
    others: list[tuple[str, tuple[Any, ...]]] = [
        (
            "Another adapter, the same prompt, the same key: one's text is served to the other.",
            (word(rng, 7), version, 1.0, tokens),
        ),
        (
            "No adapter (None) and an adapter have the same key: what the adapter left is served "
            "to the base.",
            (None, version, 1.0, tokens),
        ),
        (
            "The version does not count: after a reload the old text is served.",
            (name, version + 1, 1.0, tokens),
        ),
        (
            "The scale does not count: half an adapter is another model.",
            (name, version, 0.5, tokens),
        ),
        ("The scale is rounded: 1.0 and 1.01 differ.", (name, version, 1.01, tokens)),
        ("The last token does not count.", (name, version, 1.0, [*tokens[:-1], tokens[-1] + 1])),
        ("The first token does not count.", (name, version, 1.0, [tokens[0] + 1, *tokens[1:]])),
        ("A token more, and the same key.", (name, version, 1.0, [*tokens, 0])),
        (
            "The order of the tokens does not count.",
            (name, version, 1.0, [*tokens[:2], tokens[3] + 100, tokens[2]]),
        ),
    ]
    for message, other in others:
        if _key(answer, *other) == key:
            raise Wrong(message)
    _tell_apart(answer, _pairs(name, version, tokens))
    for who in (name, None):
        _tell_apart(answer, _prompts(who, version, [whole(rng, 11, 99) for _ in range(48)]))


Pairs = list[tuple[str, tuple[Any, ...], tuple[Any, ...]]]


def _pairs(name: str, version: int, tokens: list[int]) -> Pairs:
    """Pairs that run into each other where parts are only joined, or counted."""
    a, b = tokens[0], tokens[0] + 1
    return [
        (
            "The order of the tokens does not count.",
            (name, version, 1.0, [a, b]),
            (name, version, 1.0, [b, a]),
        ),
        (
            "The scale is rounded: 0.12345 and 0.12346 differ.",
            (name, version, 0.12345, tokens),
            (name, version, 0.12346, tokens),
        ),
        (
            "How often a token comes does not count.",
            (name, version, 1.0, [a, b, b]),
            (name, version, 1.0, [a, a, b]),
        ),
        (
            "The tokens are joined without a mark between: 1, 23 and 12, 3 become the same.",
            (name, version, 1.0, [1, 23]),
            (name, version, 1.0, [12, 3]),
        ),
        (
            "Name and version are joined without a mark between: 'a1', 2 and 'a', 12 become the "
            "same.",
            (f"{name}1", 2, 1.0, tokens),
            (name, 12, 1.0, tokens),
        ),
        (
            "An adapter that is called 'None' has the key of no adapter.",
            ("None", version, 1.0, tokens),
            (None, version, 1.0, tokens),
        ),
        (
            "An adapter whose name is empty has the key of no adapter.",
            ("", version, 1.0, tokens),
            (None, version, 1.0, tokens),
        ),
        (
            "A space in the adapter's name does not count.",
            (f" {name} ", version, 1.0, tokens),
            (name, version, 1.0, tokens),
        ),
        *(
            (
                f"An adapter that is called {word!r} has the key of no adapter.",
                (word, seen, 1.0, tokens),
                (None, seen, 1.0, tokens),
            )
            for word in ("base", "__base__")
            for seen in (0, 1)
        ),
        (
            "Names of adapters have a case.",
            (name.upper(), version, 1.0, tokens),
            (name, version, 1.0, tokens),
        ),
        (
            "A mark in the adapter's name makes its key that of another: keep the parts apart, in "
            "a tuple.",
            (f"{name}-{version}", version, 1.0, tokens),
            (name, version, 1.0, tokens),
        ),
        (
            "The sign of the scale does not count.",
            (name, version, -1.0, tokens),
            (name, version, 1.0, tokens),
        ),
        (
            "An empty prompt has the key of another.",
            (name, version, 1.0, []),
            (name, version, 1.0, [0]),
        ),
        (
            "Version and scale run together: version 2 at 0.5 has the key of version 1 at 1.0.",
            (name, 2, 0.5, tokens),
            (name, 1, 1.0, tokens),
        ),
        (
            "Version and scale run together: version 2 at 0.5 has the key of version 1 at 1.5.",
            (name, 2, 0.5, tokens),
            (name, 1, 1.5, tokens),
        ),
        (
            "Two reloads, and the same key: an old text is served.",
            (name, version, 1.0, tokens),
            (name, version + 2, 1.0, tokens),
        ),
        (
            "The scales -1.0 and -2.0 have one key. Python's hash() is the same for both: return "
            "the parts themselves, not their hash.",
            (name, version, -1.0, tokens),
            (name, version, -2.0, tokens),
        ),
    ]


def _prompts(who: str | None, version: int, long: list[int]) -> Pairs:
    """Prompts that differ in one thing, for an adapter or for the base."""
    a, b = long[0], long[0] + 1
    whose = "For the base (None): " if who is None else ""
    prompts = [
        ("Two prompts of one length have the same key.", [a, a], [b, b + 1]),
        ("The order of the tokens does not count.", [a, b], [b, a]),
        ("How often a token comes does not count.", [a, b, b], [a, a, b]),
        ("A token more, and the same key.", [a, b], [a, b, 0]),
        ("An empty prompt has the key of another.", [], [0]),
        ("The tokens are joined without a mark between.", [1, 23], [12, 3]),
        (f"The tokens {a} and {a + 256} have one key: a token is no byte.", [a], [a + 256]),
        (f"The tokens {a} and {a + 2**16} have one key.", [a], [a + 2**16]),
        (
            f"Two prompts of {len(long)} tokens differ in their first token, and have one key.",
            long,
            [b, *long[1:]],
        ),
        (
            f"Two prompts of {len(long)} tokens differ in their last token, and have one key.",
            long,
            [*long[:-1], long[-1] + 1],
        ),
    ]
    return [
        (whose + message, (who, version, 1.0, one), (who, version, 1.0, other))
        for message, one, other in prompts
    ]


def _tell_apart(answer: Callable[..., Any], pairs: Pairs) -> None:
    for message, one, other in pairs:
        if _key(answer, *one) == _key(answer, *other):
            raise Wrong(message)


def _key(answer: Callable[..., Any], *request: Any) -> Hashable:
    key = answer(*request[:3], list(request[3]))
    if key is None:
        raise Wrong("Return a key; got None.")
    try:
        hash(key)
    except TypeError as error:
        raise Wrong(
            f"A key of a dict must be hashable, and this is not: {error}. Make lists tuples."
        ) from error
    return key
