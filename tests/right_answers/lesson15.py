"""Right answers of lesson 15 that look unlike the solution."""

from pathlib import Path

from . import RightAnswer, afresh, joined

_GOOD = Path(__file__).resolve().parents[2] / "docs" / "samples" / "mini_lora_good.txt"


def _changed(*changes: tuple[str, str]) -> str:
    text = _GOOD.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return f"def mini_lora():\n    return {text!r}\n"


RIGHT = {
    "mini_lora": [
        RightAnswer("a path", f"def mini_lora():\n    return {str(_GOOD)!r}\n"),
        RightAnswer(
            "the paper's Gaussian",
            _changed(
                ("nn.init.kaiming_uniform_(self.A, a=5**0.5)", "nn.init.normal_(self.A, std=0.02)")
            ),
        ),
        RightAnswer(
            "other names",
            _changed(
                ("self.A", "self.down"),
                ("self.B", "self.up"),
                ("layer.A, layer.B", "layer.down, layer.up"),
            ),
        ),
        RightAnswer("nothing is returned", _changed(("    return model\n", ""))),
        RightAnswer(
            "factors kept in float32",
            _changed(
                ('like = {"dtype": base.weight.dtype, ', 'like = {"dtype": torch.float32, '),
                (
                    "return y + self.scaling * (self.dropout(x) @ self.A.T @ self.B.T)",
                    "z = self.scaling * (self.dropout(x).float() @ self.A.T @ self.B.T)\n"
                    "        return y + z.to(y.dtype)",
                ),
            ),
        ),
    ],
    "split_by_stem": [
        RightAnswer(
            "by the last word",
            """
import random


def split_by_stem(words, stem, valid, seed):
    names = sorted({stem(word) for word in words})
    random.Random(seed).shuffle(names)
    asked = []
    while len(asked) < valid:
        name = names.pop()
        asked += [word for word in words if stem(word) == name]
    left = set(names)
    return [word for word in words if stem(word) in left], asked
""",
        ),
        RightAnswer(
            "with torch",
            """
def split_by_stem(words, stem, valid, seed):
    import torch
    names = list(dict.fromkeys(map(stem, words)))
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).tolist()
    chosen, count = set(), 0
    for i in order:
        if count >= valid:
            break
        chosen.add(names[i])
        count += sum(stem(word) == names[i] for word in words)
    parts = [], []
    for word in words:
        parts[stem(word) in chosen].append(word)
    return parts
""",
        ),
    ],
    "by_ending": [
        RightAnswer(
            "searching the words each time",
            """
def by_ending(train, asked, longest):
    def guess(word):
        for n in range(min(longest, len(word)), -1, -1):
            kinds = [kind for text, kind in train if text.endswith(word[len(word) - n:])]
            if kinds:
                return max(sorted(set(kinds)), key=kinds.count)
    return [guess(word) for word in asked]
""",
        ),
        RightAnswer(
            "as a tensor",
            """
def by_ending(train, asked, longest):
    import torch
    out = []
    for word in asked:
        n = min(longest, len(word))
        while not any(t.endswith(word[len(word) - n:]) for t, _ in train):
            n -= 1
        kinds = torch.tensor([k for t, k in train if t.endswith(word[len(word) - n:])])
        out.append(int(torch.bincount(kinds).argmax()))
    return torch.tensor(out)
""",
        ),
    ],
}
RIGHT = joined(RIGHT, afresh("15"))
