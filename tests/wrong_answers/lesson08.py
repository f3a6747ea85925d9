"""Wrong answers that learners really give in lesson 08, and what the check must say to each."""

from . import WrongAnswer, afresh, joined, wrong_numbers
from .afresh08 import AFRESH

_MODULES = "def new_modules(in_model, in_file):\n"
_PIECES = "def label_pieces(word_ids, labels):\n"
_F1 = """
def table_macro_f1(table):
    table = table.double()
    tp, true, said = table.diagonal(), table.sum(1), table.sum(0)
"""
_TOKENS = """
def answer_tokens(offsets, sides, start, end):
    tokens = [(i, a, b) for i, (a, b) in enumerate(offsets) if sides[i] == 1]
"""
_SPAN = "def best_span(start, end, page, longest):\n    T = len(page)\n"
_POOL = "def masked_mean(hidden, mask):\n"


def _first_of_word(otherwise: str, special: str = "-100") -> str:
    """label_pieces with other values for a later piece and for what is no word."""
    return (
        f"{_PIECES}    out, before = [], None\n    for word in word_ids:\n"
        f"        if word is None:\n            out.append({special})\n"
        "        elif word != before:\n            out.append(labels[word])\n"
        f"        else:\n            out.append({otherwise})\n"
        "        before = word\n    return out\n"
    )


def _best_pair(pairs: str, score: str = "start[p[0]] + end[p[1]]") -> str:
    return f"{_SPAN}    pairs = [{pairs}]\n    return max(pairs, key=lambda p: float({score}))\n"


WRONG = {
    "new_modules": [
        WrongAnswer(
            "what the file has and the model lacks",
            _MODULES + "    return sorted({n.rpartition('.')[0] for n in in_file"
            " if n not in in_model})\n",
            "left unused",
        ),
        WrongAnswer(
            "both differences",
            _MODULES + "    return sorted({n.rpartition('.')[0] for n in set(in_file) ^ "
            "set(in_model)})\n",
            "left unused",
        ),
        WrongAnswer(
            "weights, not modules",
            _MODULES + "    return sorted(set(in_model) - set(in_file))\n",
            "names of weights",
        ),
        WrongAnswer(
            "each module twice",
            _MODULES + "    return [n.rpartition('.')[0] for n in in_model if n not in in_file]\n",
            "each module once",
        ),
        WrongAnswer(
            "the first word",
            _MODULES
            + "    return sorted({n.split('.')[0] for n in in_model if n not in in_file})\n",
            "Only the last word goes",
        ),
        WrongAnswer(
            "the classifier by its name",
            _MODULES + "    return sorted({n.rpartition('.')[0] for n in in_model"
            " if 'classifier' in n})\n",
            "is new and it is missing",
        ),
        WrongAnswer(
            "every module",
            _MODULES + "    return sorted({n.rpartition('.')[0] for n in in_model})\n",
            "whose weights are in the file",
        ),
        WrongAnswer(
            "modules compared instead of weights",
            _MODULES + "    new, old = ({n.rpartition('.')[0] for n in names} for names in "
            "(in_model, in_file))\n    return new - old\n",
            "compare the names of weights",
        ),
    ],
    "label_pieces": [
        WrongAnswer(
            "word 0 taken for no word",
            _first_of_word("-100").replace("if word is None", "if not word"),
            "Word 0 is a word too",
        ),
        WrongAnswer(
            "every piece has the label",
            _PIECES + "    return [-100 if w is None else labels[w] for w in word_ids]\n",
            "Every piece of a word has the label",
        ),
        WrongAnswer(
            "specials get 0",
            _first_of_word("-100", special="0"),
            "must get -100 too",
        ),
        WrongAnswer(
            "later pieces get 0",
            _first_of_word("0"),
            "Later pieces of a word",
        ),
        WrongAnswer(
            "0 for all that must not count",
            _first_of_word("0", special="0"),
            "Label 0 is a class of its own",
        ),
        WrongAnswer(
            "[CLS] forgotten: one place early",
            _first_of_word("-100").replace("return out", "return [*out[1:], -100]"),
            "off by one",
        ),
        WrongAnswer(
            "the last piece",
            _PIECES + "    return [labels[w] if w is not None and w != v else -100\n"
            "            for w, v in zip(word_ids, [*word_ids[1:], None])]\n",
            "Put it on the first",
        ),
        WrongAnswer(
            "specials left out",
            _PIECES + "    out, before = [], None\n    for w in word_ids:\n"
            "        if w is not None:\n"
            "            out.append(labels[w] if w != before else -100)\n"
            "        before = w\n    return out\n",
            "one label for each piece",
        ),
    ],
    "table_macro_f1": [
        WrongAnswer(
            "hits counted twice below the line",
            _F1 + "    return (2 * tp / (2 * tp + true + said).clamp(min=1)).mean()\n",
            "TP is counted twice",
        ),
        WrongAnswer("accuracy", _F1 + "    return tp.sum() / table.sum()\n", "accuracy"),
        WrongAnswer(
            "weighted by the class's size",
            _F1 + "    f = 2 * tp / (true + said).clamp(min=1)\n"
            "    return (f * true).sum() / true.sum()\n",
            "weighs each class",
        ),
        WrongAnswer(
            "0 / 0", _F1 + "    return (2 * tp / (true + said)).mean()\n", "divides 0 by 0"
        ),
        WrongAnswer(
            "the mean of precision and recall first",
            _F1 + "    p, r = (tp / said.clamp(min=1)).mean(), (tp / true.clamp(min=1)).mean()\n"
            "    return 2 * p * r / (p + r)\n",
            "averages precision and recall first",
        ),
        WrongAnswer(
            "arithmetic mean of precision and recall",
            _F1 + "    p, r = tp / said.clamp(min=1), tp / true.clamp(min=1)\n"
            "    return ((p + r) / 2).mean()\n",
            "harmonic mean",
        ),
        WrongAnswer(
            "precision", _F1 + "    return (tp / said.clamp(min=1)).mean()\n", "mean precision"
        ),
        WrongAnswer("recall", _F1 + "    return (tp / true.clamp(min=1)).mean()\n", "mean recall"),
        WrongAnswer(
            "classes without hits left out",
            _F1 + "    f = 2 * tp / (true + said).clamp(min=1)\n    return f[f > 0].mean()\n",
            "number of all classes",
        ),
        WrongAnswer(
            "the sum", _F1 + "    return (2 * tp / (true + said).clamp(min=1)).sum()\n", "the sum"
        ),
    ],
    "answer_tokens": [
        WrongAnswer(
            "the last ends one before end",
            _TOKENS + "    f = [i for i, a, b in tokens if a == start]\n"
            "    l = [i for i, a, b in tokens if b == end - 1]\n"
            "    return (f[0], l[0]) if f and l else (0, 0)\n",
            ", whole on this page, and yours says (0, 0). Its first token begins",
        ),
        WrongAnswer(
            "the token after the last",
            _TOKENS + "    f = [i for i, a, b in tokens if a == start]\n"
            "    l = [i for i, a, b in tokens if b == end]\n"
            "    return (f[0], l[0] + 1) if f and l else (0, 0)\n",
            "one too far",
        ),
        WrongAnswer(
            "the question is searched too",
            """
def answer_tokens(offsets, sides, start, end):
    f = [i for i, (a, b) in enumerate(offsets) if a == start and b > a]
    l = [i for i, (a, b) in enumerate(offsets) if b == end and b > a]
    return (f[0], l[0]) if f and l else (0, 0)
""",
            "out of the page",
        ),
        WrongAnswer(
            "the last before end only",
            _TOKENS + "    f = [i for i, a, b in tokens if a == start]\n"
            "    l = [i for i, a, b in tokens if b < end]\n"
            "    return (f[0], l[-1]) if f and l else (0, 0)\n",
            "one too early",
        ),
        WrongAnswer(
            "counted from the page",
            """
def answer_tokens(offsets, sides, start, end):
    page = [o for o, side in zip(offsets, sides) if side == 1]
    f = [i for i, (a, b) in enumerate(page) if a == start]
    l = [i for i, (a, b) in enumerate(page) if b == end]
    return (f[0], l[0]) if f and l else (0, 0)
""",
            "Count from [CLS]",
        ),
        WrongAnswer(
            "end before start",
            _TOKENS + "    f = [i for i, a, b in tokens if a == start]\n"
            "    l = [i for i, a, b in tokens if b == end]\n"
            "    return (l[0], f[0]) if f and l else (0, 0)\n",
            "First the first token",
        ),
        WrongAnswer(
            "the full stop after the answer",
            _TOKENS + "    inside = [i for i, a, b in tokens if b > start and a <= end]\n"
            "    return (inside[0], inside[-1]) if inside else (0, 0)\n",
            "one too far",
        ),
        WrongAnswer(
            "the piece before the answer",
            _TOKENS + "    inside = [i for i, a, b in tokens if b >= start and a < end]\n"
            "    return (inside[0], inside[-1]) if inside else (0, 0)\n",
            "first token is one too early",
        ),
        WrongAnswer(
            "a cut answer in part",
            _TOKENS + "    inside = [i for i, a, b in tokens if a >= start and b <= end]\n"
            "    return (inside[0], inside[-1]) if inside else (0, 0)\n",
            "cut within the answer",
        ),
    ],
    "best_span": [
        WrongAnswer(
            "counted from the page",
            _best_pair(
                "(i, j) for i in range(T) for j in range(i, min(i + longest, T))"
                " if page[i] and page[j]"
            ).replace("return max(", "first = int(page.int().argmax())\n    i, j = max(")
            + "    return i - first, j - first\n",
            "count from the row's first place",
        ),
        WrongAnswer(
            "two argmaxes",
            _SPAN + "    return int(start.argmax()), int(end.argmax())\n",
            "must not end before it starts",
        ),
        WrongAnswer(
            "the question is in",
            _best_pair("(i, j) for i in range(T) for j in range(i, min(i + longest, T))"),
            "the question is no part of the page",
        ),
        WrongAnswer(
            "only the start must be on the page",
            _best_pair(
                "(i, j) for i in range(T) for j in range(i, min(i + longest, T)) if page[i]"
            ),
            "what follows the page",
        ),
        WrongAnswer(
            "any length",
            _best_pair("(i, j) for i in range(T) for j in range(i, T) if page[i] and page[j]"),
            "at most",
        ),
        WrongAnswer(
            "one token too long",
            _best_pair(
                "(i, j) for i in range(T) for j in range(i, min(i + longest + 1, T))"
                " if page[i] and page[j]"
            ),
            "first and last counted",
        ),
        WrongAnswer(
            "one token too short",
            _best_pair(
                "(i, j) for i in range(T) for j in range(i, min(i + longest - 1, T))"
                " if page[i] and page[j]"
            ),
            "exactly `longest`",
        ),
        WrongAnswer(
            "the product of the logits",
            _best_pair(
                "(i, j) for i in range(T) for j in range(i, min(i + longest, T))"
                " if page[i] and page[j]",
                "start[p[0]] * end[p[1]]",
            ),
            "largest sum",
        ),
        WrongAnswer(
            "no answer of one token",
            _best_pair(
                "(i, j) for i in range(T) for j in range(i + 1, min(i + longest, T))"
                " if page[i] and page[j]"
            ),
            "one token",
        ),
        WrongAnswer(
            "the end is looked for after the best start",
            _SPAN + "    i = int(start.masked_fill(~page, -99).argmax())\n"
            "    j = max((j for j in range(i, min(i + longest, T)) if page[j]), "
            "key=lambda j: float(end[j]))\n    return i, j\n",
            "compare all pairs",
        ),
    ],
    "masked_mean": [
        WrongAnswer(
            "the mask turned round",
            _POOL + "    m = 1 - mask\n"
            "    return (hidden * m[..., None]).sum(1) / m.sum(1, keepdim=True)\n",
            "turned round",
        ),
        WrongAnswer(
            "the last token",
            _POOL + "    return hidden[torch.arange(len(hidden)), mask.sum(1) - 1]\n",
            "last token alone",
        ),
        WrongAnswer(
            "one too many",
            _POOL + "    return (hidden * mask[..., None]).sum(1) / (mask.sum(1)[:, None] + 1)\n",
            "one token too many",
        ),
        WrongAnswer("padding is in", _POOL + "    return hidden.mean(1)\n", "Padding is in"),
        WrongAnswer("the first token", _POOL + "    return hidden[:, 0]\n", "[CLS]"),
        WrongAnswer(
            "divided by the row's length",
            _POOL + "    return (hidden * mask[..., None]).mean(1)\n",
            "length of the row",
        ),
        WrongAnswer(
            "divided by the longest",
            _POOL + "    return (hidden * mask[..., None]).sum(1) / mask.sum(1).max()\n",
            "longest text",
        ),
        WrongAnswer(
            "the sum", _POOL + "    return (hidden * mask[..., None]).sum(1)\n", "This is the sum."
        ),
        WrongAnswer(
            "the mask in the number only",
            _POOL + "    return hidden.sum(1) / mask.sum(1, keepdim=True)\n",
            "out of the sum too",
        ),
        WrongAnswer(
            "over the batch's tokens",
            _POOL + "    return (hidden * mask[..., None]).sum(1) / mask.sum()\n",
            "whole batch",
        ),
        WrongAnswer(
            "over the features", _POOL + "    return hidden.mean(2)\n", "The shape must be (4, 5)"
        ),
    ],
}

# The numbers of self-study.
WRONG["my_classifier"] = wrong_numbers(
    "my_classifier",
    {
        "in the wrong order": ("0.849611, 125_457", "the wrong order"),
        "mean recall": ("125_457, 0.854083", "mean recall"),
        "mean precision": ("125_457, 0.845555", "mean precision"),
        "the sum": ("125_457, 2.548834", "sum over the classes"),
        "pooler and F1 both off": ("59_665, 0.5", "pooler is missing"),
        "the pooler forgotten": ("59_665, 0.849611", "pooler is missing"),
        "the head forgotten": ("121_088, 0.849611", "head is missing"),
        "no biases": ("125_184, 0.849611", "biases of pooler and head"),
        "LoRA alone": ("55_296, 0.849611", "LoRA alone"),
        "one layer a block": ("97_809, 0.849611", "Query and value are two"),
        "accuracy": ("125_457, 226 / 260", "accuracy"),
        "weighted by size": ("125_457, 0.870033", "by its size"),
        "another student's": ("99_999, 0.5", "not the answer to your numbers"),
    },
)

for name, more in AFRESH.items():
    WRONG[name] = [*WRONG.get(name, []), *more]

WRONG = joined(WRONG, afresh("08"))
