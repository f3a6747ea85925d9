"""Wrong answers that learners really give in lesson 07, and what the check must say to each."""

from . import WrongAnswer, afresh, joined, wrong_numbers
from .afresh07 import AFRESH


def _labels(body: str) -> str:
    return f"""
def labels_for(ids, prompt_lengths, lengths):
    place = torch.arange(ids.shape[1])
    after, before = place >= prompt_lengths[:, None], place < lengths[:, None]
    {body}
"""


def _loss(body: str) -> str:
    return f"""
def causal_loss(logits, labels):
    cross_entropy = torch.nn.functional.cross_entropy
    {body}
"""


def _shift(body: str) -> str:
    return f"""
def shift_right(labels, start, pad):
    first = labels.new_full((len(labels), 1), start)
    {body}
"""


def _distance(body: str) -> str:
    return f"""
def edit_distance(guess, target):
    {body}
"""


_ROWS = """row = list(range(len(target) + 1))
    for one in guess:
        before, row = row, [row[0] + 1]
        for j, other in enumerate(target, start=1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + {cost}))
    return row[-1]"""

_ENDS = """
def fitting_arguments(architecture, new_modules, saved_by):
    ends = {
        "ForCausalLM": "CAUSAL_LM",
        "ForConditionalGeneration": "SEQ_2_SEQ_LM",
        "ForSequenceClassification": "SEQ_CLS",
        "ForTokenClassification": "TOKEN_CLS",
        "ForQuestionAnswering": "QUESTION_ANS",
        "Model": "FEATURE_EXTRACTION",
    }
    task = next(task for end, task in ends.items() if architecture.endswith(end))
    rest = [name for name in new_modules if name not in saved_by[task]]
"""


def _arguments(body: str) -> str:
    return f"{_ENDS}    {body}\n"


WRONG = {
    "labels_for": [
        WrongAnswer(
            "lengths taken for the answer's",
            _labels("return ids.where(after & (place < (prompt_lengths + lengths)[:, None]), "
                    "-100)"),
            "counts the prompt too",
        ),
        WrongAnswer(
            "only the prompt", _labels("return ids.where(~after, -100)"), "Only the prompts count"
        ),
        WrongAnswer("nothing left out", _labels("return ids.clone()"), "Nothing is left out"),
        WrongAnswer(
            "prompt counted", _labels("return ids.where(before, -100)"), "prompt still counts"
        ),
        WrongAnswer(
            "padding counted", _labels("return ids.where(after, -100)"), "padding still counts"
        ),
        WrongAnswer(
            "shifted here",
            _labels("return torch.nn.functional.pad(ids.where(after & before, -100)[:, 1:], (0, 1),"
                    " value=-100)"),
            "loss shifts them itself",
        ),
        WrongAnswer(
            "padding found by its id",
            _labels("return ids.where(after & (ids != 2), -100)"),
            "end of the answer, is left out",
        ),
        WrongAnswer(
            "first token of the answer left out",
            _labels("return ids.where((place > prompt_lengths[:, None]) & before, -100)"),
            "first token of the answer is left out",
        ),
        WrongAnswer(
            "last token of the prompt in",
            _labels("return ids.where((place >= prompt_lengths[:, None] - 1) & before, -100)"),
            "prompt's last token is counted here",
        ),
        WrongAnswer(
            "one of the padding in",
            _labels("return ids.where(after & (place <= lengths[:, None]), -100)"),
            "first token of the padding",
        ),
        WrongAnswer(
            "0 for -100", _labels("return ids * (after & before)"), "0 is the id of a token"
        ),
        WrongAnswer(
            "turned round", _labels("return ids.where(~(after & before), -100)"), "turned round"
        ),
        WrongAnswer(
            "in place",
            _labels("ids[~(after & before)] = -100; return ids"),
            "changes `ids` itself",
        ),
        WrongAnswer(
            "a mask for the labels", _labels("return after & before"), "Return ids"
        ),
    ],
    "causal_loss": [
        WrongAnswer(
            "softmax twice",
            _loss("return cross_entropy(logits[:, :-1].softmax(-1).flatten(0, 1), "
                  "labels[:, 1:].flatten())"),
            "softmax was taken twice",
        ),
        WrongAnswer(
            "no logarithm",
            _loss("p, y = logits[:, :-1].softmax(-1), labels[:, 1:]; return -p.gather("
                  "-1, y.clamp(min=0)[..., None])[..., 0][y != -100].mean()"),
            "logarithm is missing",
        ),
        WrongAnswer(
            "softmax over the places",
            _loss("p, y = logits[:, :-1].log_softmax(1), labels[:, 1:]; return -p.gather("
                  "-1, y.clamp(min=0)[..., None])[..., 0][y != -100].mean()"),
            "over the vocabulary",
        ),
        WrongAnswer(
            "shifted along the batch",
            _loss("return cross_entropy(logits[:-1].flatten(0, 1), labels[1:].flatten())"),
            "along the rows of the batch",
        ),
        WrongAnswer(
            "no shift",
            _loss("return cross_entropy(logits.flatten(0, 1), labels.flatten()).item()"),
            "Nothing is shifted",
        ),
        WrongAnswer(
            "shifted twice",
            _loss("return cross_entropy(logits[:, :-2].flatten(0, 1), labels[:, 2:].flatten())"),
            "shifted twice",
        ),
        WrongAnswer(
            "the wrong way",
            _loss("return cross_entropy(logits[:, 1:].flatten(0, 1), labels[:, :-1].flatten())"),
            "wrong way",
        ),
        WrongAnswer(
            "-100 counted as token 0",
            _loss("return cross_entropy(logits[:, :-1].flatten(0, 1), "
                  "labels[:, 1:].flatten().clamp(min=0))"),
            "counted as token 0",
        ),
        WrongAnswer(
            "divided by all places",
            _loss("return cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), "
                  "reduction='none').mean()"),
            "divided by all places",
        ),
        WrongAnswer(
            "divided by the labels before the shift",
            _loss("return cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), "
                  "reduction='sum') / (labels != -100).sum()"),
            "first label of a row",
        ),
        WrongAnswer(
            "mean of the rows' means",
            _loss("return sum(cross_entropy(x[:-1], y[1:]) for x, y in zip(logits, labels)) "
                  "/ len(labels)"),
            "mean of the rows' means",
        ),
        WrongAnswer(
            "sum",
            _loss("return cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), "
                  "reduction='sum')"),
            "This is the sum",
        ),
        WrongAnswer(
            "perplexity",
            _loss("return cross_entropy(logits[:, :-1].flatten(0, 1), "
                  "labels[:, 1:].flatten()).exp()"),
            "This is the perplexity",
        ),
        WrongAnswer(
            "sign",
            _loss("return -cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())"),
            "sign is turned",
        ),
        WrongAnswer(
            "the package's own loss",
            "from lora_lessons.train.loss import next_token_losses\n"
            "def causal_loss(logits, labels):\n"
            "    return next_token_losses(logits, labels).sum() / (labels[:, 1:] != -100).sum()\n",
            "Write it yourself",
        ),
    ],
    "shift_right": [
        WrongAnswer(
            "start at the end",
            _shift("read = torch.cat([labels[:, :-1], first], 1); "
                   "return read.masked_fill(read == -100, pad)"),
            "Only the last label was replaced",
        ),
        WrongAnswer(
            "leak", _shift("return labels.masked_fill(labels == -100, pad)"), "very token"
        ),
        WrongAnswer("the labels themselves", _shift("return labels.clone()"), "the answer leaks"),
        WrongAnswer(
            "-100 as an id",
            _shift("return torch.cat([first, labels[:, :-1]], 1)"),
            "-100 is still in it",
        ),
        WrongAnswer(
            "no start token",
            _shift("read = labels.roll(1, 1); return read.masked_fill(read == -100, pad)"),
            "come round to the front",
        ),
        WrongAnswer(
            "starts with the padding",
            _shift("read = torch.nn.functional.pad(labels[:, :-1], (1, 0), value=pad); "
                   "return read.masked_fill(read == -100, pad)"),
            "begins with `pad`",
        ),
        WrongAnswer(
            "start for -100",
            _shift("read = torch.cat([first, labels[:, :-1]], 1); "
                   "return read.masked_fill(read == -100, start)"),
            "reads `start` here",
        ),
        WrongAnswer(
            "shifted left",
            _shift("read = torch.cat([labels[:, 1:], first], 1); "
                   "return read.masked_fill(read == -100, pad)"),
            "shifted to the left",
        ),
        WrongAnswer(
            "shifted left, the first label at the end",
            _shift("read = labels.roll(-1, 1); return read.masked_fill(read == -100, pad)"),
            "shifted to the left",
        ),
        WrongAnswer(
            "shifted left, -100 at the end and as it was",
            _shift("return torch.nn.functional.pad(labels[:, 1:], (0, 1), value=-100)"),
            "shifted to the left",
        ),
        WrongAnswer(
            "start in place of the first label",
            _shift("read = torch.cat([first, labels[:, 1:]], 1); "
                   "return read.masked_fill(read == -100, pad)"),
            "Only the first label was replaced",
        ),
        WrongAnswer(
            "one longer",
            _shift("read = torch.cat([first, labels], 1); "
                   "return read.masked_fill(read == -100, pad)"),
            "shape must be",
        ),
        WrongAnswer(
            "in place",
            _shift("labels[:, 1:] = labels[:, :-1].clone(); labels[:, 0] = start; "
                   "return labels.masked_fill(labels == -100, pad)"),
            "changes `labels` itself",
        ),
        WrongAnswer(
            "all that is below the padding",
            _shift("return torch.cat([first, labels[:, :-1]], 1).clamp(min=pad)"),
            "the first of its row",
        ),
    ],
    "edit_distance": [
        WrongAnswer(
            "letters",
            _distance('guess, target = "".join(guess), "".join(target)\n    '
                      + _ROWS.format(cost="(one != other)")),
            "counts letters",
        ),
        WrongAnswer(
            "place by place",
            _distance("return sum(a != b for a, b in zip(guess, target)) "
                      "+ abs(len(guess) - len(target))"),
            "place by place",
        ),
        WrongAnswer(
            "the rest forgotten",
            _distance("return sum(a != b for a, b in zip(guess, target))"),
            "left over",
        ),
        WrongAnswer(
            "an exchange costs 2", _distance(_ROWS.format(cost="2 * (one != other)")), "counts 2"
        ),
        WrongAnswer(
            "sets", _distance("return len(set(guess) ^ set(target))"), "as sets"
        ),
        WrongAnswer(
            "length alone", _distance("return abs(len(guess) - len(target))"), "length alone"
        ),
        WrongAnswer(
            "a rate",
            _distance("return sum(a != b for a, b in zip(guess, target)) / max(1, len(target))"),
            "whole number",
        ),
        WrongAnswer(
            "the first row starts at zero",
            _distance("row = [0] * (len(target) + 1)\n    " + _ROWS.format(
                cost="(one != other)").split("\n", 1)[1].strip()),
            "The first row is zero here. From no sound read to the first j of",
        ),
    ],
    "fitting_arguments": [
        WrongAnswer(
            "the rest forgotten",
            _arguments('return {"task_type": task, "modules_to_save": None}'),
            "is new, and",
        ),
        WrongAnswer(
            "no task_type",
            _arguments('return {"modules_to_save": new_modules}'),
            "gets no task_type",
        ),
        WrongAnswer(
            "CAUSAL_LM for all",
            _arguments('return {"task_type": "CAUSAL_LM", "modules_to_save": new_modules}'),
            "is no model for CAUSAL_LM",
        ),
        WrongAnswer(
            "a head as a target",
            _arguments('return {"task_type": task, "target_modules": new_modules}'),
            "A and B only",
        ),
        WrongAnswer(
            "both known heads always",
            _arguments('return {"task_type": task, "modules_to_save": rest + ["classifier"]}'),
            "is not new",
        ),
        WrongAnswer(
            "what any task saves is left out",
            _arguments("known = {name for names in saved_by.values() for name in names}")
            + "    rest = [name for name in new_modules if name not in known]\n"
            + '    return {"task_type": task, "modules_to_save": rest}\n',
            "'classifier' is new, and QUESTION_ANS does not save it",
        ),
        WrongAnswer(
            "an end anywhere in the name",
            _arguments('return {"task_type": task, "modules_to_save": rest}').replace(
                "architecture.endswith(end)", "end in architecture"
            ),
            "ends in ForTokenClassification",
        ),
        WrongAnswer(
            "Model anywhere in the name, asked first",
            """
def fitting_arguments(architecture, new_modules, saved_by):
    if "Model" in architecture:
        task = "FEATURE_EXTRACTION"
    elif "CausalLM" in architecture[-8:]:
        task = "CAUSAL_LM"
    elif "Conditional" in architecture:
        task = "SEQ_2_SEQ_LM"
    elif architecture.endswith("Answering"):
        task = "QUESTION_ANS"
    else:
        task = "TOKEN_CLS" if "Token" in architecture else "SEQ_CLS"
    rest = [name for name in new_modules if name not in saved_by[task]]
    return {"task_type": task, "modules_to_save": rest}
""",
            "ends in ForSequenceClassification",
        ),
        WrongAnswer(
            "one text",
            _arguments('return {"task_type": task, "modules_to_save": ",".join(new_modules)}'),
            "a list of names",
        ),
        WrongAnswer(
            "only the task", _arguments("return task"), "Return a dict"
        ),
    ],
}  # fmt: skip

# The numbers of self-study.
WRONG["my_loss"] = wrong_numbers(
    "my_loss",
    {
        "in the wrong order": ("2.79824, 142", "the wrong order"),
        "all real tokens": ("193, 2.83964", "all real tokens"),
        "the whole batch": ("285, 2.79824", "the size of the batch"),
        "the prompts": ("51, 2.79824", "the prompts' tokens"),
        "weighed by all tokens": ("142, 2.83964", "all its tokens"),
        "weighed by one too few": ("142, 2.80302", "one token too few"),
        "perplexity": ("142, 16.41572", "the perplexity"),
        "rounded too far": ("142, 2.8", "rounded too far"),
        "both off": ("150, 2.9", "Neither number is. Take one at a time"),
        "prompts counted": ("190, 2.79824", "prompts are counted"),
        "padding counted": ("234, 2.79824", "padding is counted"),
        "every place": ("282, 2.79824", "Every place is counted"),
        "one too few in each row": ("139, 2.79824", "first token of each answer"),
        "mean of means": ("142, 2.576667", "mean of the rows' means"),
        "the sum": ("142, 397.35", "This is the sum"),
        "divided by all tokens": ("142, 2.0588083", "prompts too"),
        "divided by every place": ("142, 1.3942106", "padding too"),
        "another student's": ("142, 3.1", "second number is not the answer"),
    },
)

for name, more in AFRESH.items():
    WRONG[name] = [*WRONG.get(name, []), *more]

WRONG = joined(WRONG, afresh("07"))
