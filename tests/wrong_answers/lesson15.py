# ruff: noqa: E501
"""Wrong answers that learners really give in lesson 15, and what the check must say to each."""

from __future__ import annotations

from pathlib import Path

from . import WrongAnswer, afresh, joined, wrong_numbers

_SAMPLES = Path(__file__).resolve().parents[2] / "docs" / "samples"


def good_file() -> str:
    """The text of the solution's mini-LoRA."""
    return (_SAMPLES / "mini_lora_good.txt").read_text(encoding="utf-8")


def _file(*changes: tuple[str, str]) -> str:
    """An answer: the solution's file with these texts exchanged."""
    text = good_file()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return f"def mini_lora():\n    return {text!r}\n"


def _with(label: str, says: str, *changes: tuple[str, str]) -> WrongAnswer:
    return WrongAnswer(label, _file(*changes), says)


_INIT = "nn.init.kaiming_uniform_(self.A, a=5**0.5)"
_FORWARD = "return y + self.scaling * (self.dropout(x) @ self.A.T @ self.B.T)"
_CHECKED = "    if wrong := sorted(set(found.items()) ^ set(expected.items())):\n"

MINI = [
    _with("A zero too", "no gradient ever flows", (_INIT, "nn.init.zeros_(self.A)")),
    _with(
        "B random", "At step 0 the output is not the base's",
        ("torch.zeros(base.out_features, r, **like)", "torch.randn(base.out_features, r, **like)"),
    ),
    _with("not divided by r", "divide alpha by r", ("alpha, alpha / r", "alpha, alpha")),
    _with("rsLoRA's scaling", "alpha / sqrt(r)", ("alpha, alpha / r", "alpha, alpha / r**0.5")),
    _with("whole-number division", "use / and not //", ("alpha, alpha / r", "alpha, alpha // r")),
    _with(
        "dropout on the base too", "it must not reach the base",
        ("y = self.base(x)", "x = self.dropout(x)\n        y = self.base(x)"),
    ),
    _with("no dropout", "no dropout", (_FORWARD, _FORWARD.replace("self.dropout(x)", "x"))),
    _with(
        "dropout in evaluation", "In evaluation",
        (_FORWARD, _FORWARD.replace("self.dropout(x)", "nn.functional.dropout(x, self.dropout.p)")),
    ),
    _with("the branch is detached", "No gradient reaches B",
          (_FORWARD, _FORWARD.replace("self.scaling * (", "self.scaling * (").replace(
              "@ self.B.T)", "@ self.B.T).detach()"))),
    _with(
        "float32 out of bfloat16",
        "cast the branch back",
        (_FORWARD, "return y.float() + self.scaling * (self.dropout(x) @ self.A.T @ self.B.T)"),
    ),
    _with(
        "merged twice", "Merging twice adds",
          ("        if self.kept is None:\n            self.kept = self.base.weight.clone()\n"
           "            self.base.weight += self.delta()",
           "        self.kept = self.base.weight.clone()\n"
           "        self.base.weight += self.delta()")),
    _with("the branch stays after merging", "Is the branch still added",
          ("        if self.kept is not None:\n            return y\n", "")),
    _with("unmerged by subtraction", "keep a copy",
          ("self.base.weight.copy_(self.kept)", "self.base.weight -= self.delta()")),
    _with("the base trains", "Freeze everything but A and B",
          ("    model.requires_grad_(False)\n", "")),
    _with("suffix by letters", "must not match layers.0.attn.not_q_proj",
          ('n == t or n.endswith("." + t)', "n.endswith(t)")),
    _with("match from the front only", "must not match", ("re.fullmatch(", "re.match(")),
    _with("suffixes left out", "must match", ('n == t or n.endswith("." + t)', "n == t")),
    _with("a typo is left out",
        "nothing was raised",
        ("        if not found:\n", "        if not entries:\n"),
    ),
    _with(
        "frozen before it looks", "weights were frozen before",
          ("    names = matched(model, targets)\n    model.requires_grad_(False)\n",
           "    model.requires_grad_(False)\n    names = matched(model, targets)\n")),
    _with("keys without PEFT's prefix", "PEFT read the file and found no update",
          ("base_model.model.{name}", "{name}")),
    _with("alpha not saved", "Are r and lora_alpha in it",
          ('"lora_alpha": one.alpha', '"lora_alpha": 1')),
    _with("alpha of the file ignored", "gives another output",
          ('config["lora_alpha"], config.get', '8, config.get')),
    _with("dropout of the file ignored", "forgets lora_dropout",
          ('config.get("lora_dropout", 0.0)', "0.0")),
    _with("not strict", "nothing was raised",
          (_CHECKED, "    if wrong := sorted(set(expected) - set(found)):\n")),
    WrongAnswer("changed before it looked (the fair sample)",
        "def mini_lora():\n    return "
        f"{(_SAMPLES / 'mini_lora_fair.txt').read_text('utf-8')!r}\n",
        "but layers were exchanged before"),
    _with("imports PEFT", "only torch, safetensors", ("import json\n", "import json\nimport peft\n")),
    _with("imports the course", "not 'lora_lessons.lora'",
          ("import json\n", "import json\nfrom lora_lessons.lora import layer\n")),
    _with("imports by name", "__import__ is not needed",
          ("import json\n", 'import json\nP = __import__("peft")\n')),
    _with("too long", "120 are allowed", ("import json\n", "import json\n" + "# more\n" * 10)),
    _with("too wide", "more than 100 characters", ("import json\n", f"import json  # {'x' * 100}\n")),
    _with("a name is missing", "does not define factors", ("def factors(", "def parts("),
          ("factors(layer)", "parts(layer)")),
    _with("no Python", "is no Python", ("def delta(self):", "def delta(self)")),
    _with("the file raises", "NameError in line", ("import re\n", "import re\nrx.compile\n")),
    WrongAnswer("a path without a file", "def mini_lora():\n    return 'no_such_file.py'\n",
                "cannot be read"),
    WrongAnswer("no return", "def mini_lora():\n    '''the file'''\n", "`return` missing"),
    WrongAnswer("the functions and not the text", "def mini_lora():\n    return [mini_lora]\n",
                "the file's text"),
]  # fmt: skip

_SPLIT = """
import random


def split_by_stem(words, stem, valid, seed):
    kin = {}
    for word in words:
        kin.setdefault(stem(word), []).append(word)
    names = list(kin)
    random.Random(seed).shuffle(names)
    train, asked = [], []
"""


def _split(*lines: str) -> str:
    return _SPLIT + "".join(f"    {line}\n" for line in lines)


SPLIT = [
    WrongAnswer("by word", _split("mixed = list(words)", "random.Random(seed).shuffle(mixed)",
                                  "return mixed[valid:], mixed[:valid]"), "have words in "
                                  "both parts"),
    WrongAnswer("not shuffled", _split("for name in kin:",
        "    (asked if len(asked) < valid else train).extend(kin[name])", "return train, asked"),
        "shuffle the stems with the seed"),
    WrongAnswer("stems counted", _split("for i, name in enumerate(names):",
        "    (asked if i < valid else train).extend(kin[name])", "return train, asked"),
        "count words, not stems"),
    WrongAnswer("stems returned", _split("for name in names:",
        "    (asked if len(asked) < valid else train).append(name)", "return train, asked"),
        "Return words, not stems"),
    WrongAnswer("one word a stem", _split("for name in names:",
        "    (asked if len(asked) < valid else train).append(kin[name][0])", "return train, asked"),
        "are in neither part"),
    WrongAnswer("another split each time", _split("random.shuffle(names)", "for name in names:",
        "    (asked if len(asked) < valid else train).extend(kin[name])", "return train, asked"),
        "of your own"),
    WrongAnswer("stops a stem early", _split("for name in names:",
        "    (asked if len(asked) + len(kin[name]) < valid else train).extend(kin[name])",
        "return train, asked"), "are wanted at least"),
    WrongAnswer("the parts exchanged", _split("for name in names:",
        "    (asked if len(asked) < valid else train).extend(kin[name])", "return asked, train"),
        "."),
    WrongAnswer("validation words train too", _split("for name in names:",
        "    train.extend(kin[name])", "    if len(asked) < valid:",
        "        asked.extend(kin[name])", "return train, asked"), "twice, or in both parts"),
    WrongAnswer("one list", _split("return words"), "two lists of words"),
    WrongAnswer("no return", _split("pass"), "`return` missing"),
]  # fmt: skip

_RULE = """
from collections import Counter, defaultdict


def by_ending(train, asked, longest):
    seen = defaultdict(Counter)
    for word, kind in train:
        for n in range(longest + 1):
            seen[word[len(word) - n:] if n <= len(word) else None][kind] += 1
    best = lambda c: min(c, key=lambda k: (-c[k], k))
"""


def _rule(*lines: str) -> str:
    return _RULE + "".join(f"    {line}\n" for line in lines)


_PICK = "    guesses.append(next(best(seen[e]) for e in ends if e in seen))"
ENDING = [
    WrongAnswer("majority alone", _rule("return [best(seen[''])] * len(asked)"),
                "commonest class for every word"),
    WrongAnswer("shortest ending", _rule("guesses = []", "for w in asked:",
        "    ends = [w[-n:] for n in range(1, min(longest, len(w)) + 1)] + ['']", _PICK,
        "return guesses"), "takes the shortest ending"),
    WrongAnswer("beginnings", """
from collections import Counter, defaultdict


def by_ending(train, asked, longest):
    seen = defaultdict(Counter)
    for word, kind in train:
        for n in range(min(longest, len(word)) + 1):
            seen[word[:n]][kind] += 1
    best = lambda c: min(c, key=lambda k: (-c[k], k))
    return [
        next(best(seen[w[:n]]) for n in range(longest, -1, -1) if n <= len(w) and w[:n] in seen)
        for w in asked
    ]
""", "These are beginnings"),
    WrongAnswer("word[-0:]", """
from collections import Counter, defaultdict


def by_ending(train, asked, longest):
    seen = defaultdict(Counter)
    for word, kind in train:
        for n in range(longest + 1):
            seen[n, word[-n:]][kind] += 1
    best = lambda c: min(c, key=lambda k: (-c[k], k))
    every = Counter(kind for _, kind in train)
    return [
        next((best(seen[n, w[-n:]]) for n in range(longest, -1, -1) if (n, w[-n:]) in seen), 0)
        for w in asked
    ]
""", "."),
    WrongAnswer("unknown words get 0", _rule("guesses = []", "for w in asked:",
        "    ends = [w[-n:] for n in range(min(longest, len(w)), 0, -1)]",
        "    guesses.append(next((best(seen[e]) for e in ends if e in seen), -1))",
        "return guesses"), "no known ending"),
    WrongAnswer("ties to the larger number", _rule("last = lambda c: max(c, key=lambda k: (c[k], k))",
        "guesses = []", "for w in asked:",
        "    ends = [w[len(w) - n:] for n in range(min(longest, len(w)), -1, -1)]",
        _PICK.replace("best", "last"), "return guesses"), "take the smaller number"),
    WrongAnswer("one letter short", _rule("guesses = []", "for w in asked:",
        "    ends = [w[len(w) - n:] for n in range(max(0, min(longest - 1, len(w))), -1, -1)]", _PICK,
        "return guesses"), "."),
    WrongAnswer("no return", _rule("pass"), "`return` missing"),
    WrongAnswer("one class", _rule("return [0]"), "a class for each word"),
]  # fmt: skip

WRONG = {
    "mini_lora": MINI,
    "split_by_stem": SPLIT,
    "by_ending": ENDING,
    "my_flaw": wrong_numbers(
        "my_flaw",
        {
            "another flaw": ("4, 197", "No line of your report shows flaw 4"),
            "a sound line": ("2, 420", "Rank is what is asked"),
            "its place": ("2, 1", "not its place in the report"),
            "the line twice": ("197, 197", "from the list of six, comes first"),
            "seeds": ("2, 837", "the same seeds, and several"),
        },
    ),
}
WRONG = joined(WRONG, afresh("15"))
