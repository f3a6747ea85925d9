"""Right answers to lesson 07 that are written in another way than the solution."""

from . import RightAnswer, afresh, joined
from .afresh07 import AFRESH

RIGHT = {
    "causal_loss": [
        RightAnswer(
            "logsumexp",
            """
def causal_loss(logits, labels):
    y = labels[:, 1:]
    z = logits[:, :-1]
    m = y != -100
    return (
        (z.logsumexp(-1) - z.gather(-1, y.clamp(min=0)[..., None])[..., 0])[m]
        .mean()
        .item()
    )
""",
        ),
        RightAnswer(
            "numpy f64",
            """
import numpy as np


def causal_loss(logits, labels):
    z = logits.double().numpy()[:, :-1]
    y = labels.numpy()[:, 1:]
    z = z - z.max(-1, keepdims=True)
    lp = z - np.log(np.exp(z).sum(-1, keepdims=True))
    m = y != -100
    return float(-lp[m][np.arange(m.sum()), y[m]].mean())
""",
        ),
        RightAnswer(
            "transpose CE",
            """
def causal_loss(logits, labels):
    ce = torch.nn.functional.cross_entropy
    return ce(logits[:, :-1].transpose(1, 2), labels[:, 1:]).item()
""",
        ),
        RightAnswer(
            "nll log_softmax",
            """
def causal_loss(logits, labels):
    return torch.nn.NLLLoss()(
        logits[:, :-1].log_softmax(-1).flatten(0, 1), labels[:, 1:].flatten()
    ).item()
""",
        ),
    ],
    "edit_distance": [
        RightAnswer(
            "plain",
            """
def edit_distance(guess, target):
    row = list(range(len(target) + 1))
    for i, g in enumerate(guess, 1):
        new = [i]
        for j, t in enumerate(target, 1):
            new.append(min(row[j] + 1, new[j - 1] + 1, row[j - 1] + (g != t)))
        row = new
    return row[-1]
""",
        ),
        RightAnswer(
            "numpy matrix",
            """
import numpy as np


def edit_distance(guess, target):
    D = np.zeros((len(guess) + 1, len(target) + 1), int)
    D[:, 0] = np.arange(len(guess) + 1)
    D[0] = np.arange(len(target) + 1)
    for i in range(len(guess)):
        for j in range(len(target)):
            D[i + 1, j + 1] = min(
                D[i, j + 1] + 1, D[i + 1, j] + 1, D[i, j] + (guess[i] != target[j])
            )
    return D[-1, -1]
""",
        ),
        RightAnswer(
            "A*/bfs",
            """
def edit_distance(guess, target):
    import heapq

    h = [(0, 0, 0)]
    seen = set()
    while h:
        c, i, j = heapq.heappop(h)
        if (i, j) == (len(guess), len(target)):
            return c
        if (i, j) in seen:
            continue
        seen.add((i, j))
        if i < len(guess):
            heapq.heappush(h, (c + 1, i + 1, j))
        if j < len(target):
            heapq.heappush(h, (c + 1, i, j + 1))
        if i < len(guess) and j < len(target):
            heapq.heappush(h, (c + (guess[i] != target[j]), i + 1, j + 1))
""",
        ),
    ],
    "fitting_arguments": [
        RightAnswer(
            "tuple",
            """
def fitting_arguments(architecture, new_modules, saved_by):
    ends = {
        "ForCausalLM": "CAUSAL_LM",
        "ForConditionalGeneration": "SEQ_2_SEQ_LM",
        "ForSequenceClassification": "SEQ_CLS",
        "ForTokenClassification": "TOKEN_CLS",
        "ForQuestionAnswering": "QUESTION_ANS",
        "Model": "FEATURE_EXTRACTION",
    }
    t = next(t for e, t in ends.items() if architecture.endswith(e))
    return dict(
        task_type=t,
        modules_to_save=tuple(m for m in new_modules if m not in saved_by[t]),
    )
""",
        ),
        RightAnswer(
            "regex/match",
            """
import re


def fitting_arguments(architecture, new_modules, saved_by):
    t = {
        "CausalLM": "CAUSAL_LM",
        "ConditionalGeneration": "SEQ_2_SEQ_LM",
        "SequenceClassification": "SEQ_CLS",
        "TokenClassification": "TOKEN_CLS",
        "QuestionAnswering": "QUESTION_ANS",
    }.get(
        (
            re.search(
                r"For(CausalLM|ConditionalGeneration|SequenceClassification|TokenClassification|QuestionAnswering)$",
                architecture,
            )
            or [0, 0]
        )[1],
        "FEATURE_EXTRACTION",
    )
    return {
        "task_type": t,
        "modules_to_save": list(filter(lambda m: m not in saved_by[t], new_modules)),
    }
""",
        ),
        RightAnswer(
            "set diff sorted",
            """
def fitting_arguments(architecture, new_modules, saved_by):
    ends = {
        "ForCausalLM": "CAUSAL_LM",
        "ForConditionalGeneration": "SEQ_2_SEQ_LM",
        "ForSequenceClassification": "SEQ_CLS",
        "ForTokenClassification": "TOKEN_CLS",
        "ForQuestionAnswering": "QUESTION_ANS",
        "Model": "FEATURE_EXTRACTION",
    }
    t = next(t for e, t in ends.items() if architecture.endswith(e))
    return dict(
        task_type=t, modules_to_save=sorted(set(new_modules) - set(saved_by[t]))
    )
""",
        ),
    ],
    "labels_for": [
        RightAnswer(
            "full + copy",
            """
def labels_for(ids, prompt_lengths, lengths):
    y = torch.full_like(ids, -100)
    for i, (p, n) in enumerate(zip(prompt_lengths, lengths)):
        y[i, p:n] = ids[i, p:n]
    return y
""",
        ),
        RightAnswer(
            "clone loop",
            """
def labels_for(ids, prompt_lengths, lengths):
    y = ids.clone()
    for i, (p, n) in enumerate(zip(prompt_lengths.tolist(), lengths.tolist())):
        y[i, :p] = -100
        y[i, n:] = -100
    return y
""",
        ),
        RightAnswer(
            "arith",
            """
def labels_for(ids, prompt_lengths, lengths):
    k = torch.arange(ids.shape[1])
    m = ((k >= prompt_lengths[:, None]) & (k < lengths[:, None])).long()
    return ids * m - 100 * (1 - m)
""",
        ),
    ],
    "shift_right": [
        RightAnswer(
            "numpy",
            """
import numpy as np


def shift_right(labels, start, pad):
    a = np.roll(labels.numpy(), 1, axis=1)
    a[:, 0] = start
    a[a == -100] = pad
    return torch.from_numpy(a)
""",
        ),
        RightAnswer(
            "new_full",
            """
def shift_right(labels, start, pad):
    r = labels.new_full(labels.shape, pad)
    r[:, 0] = start
    r[:, 1:] = torch.where(labels[:, :-1] == -100, pad, labels[:, :-1])
    return r
""",
        ),
        RightAnswer(
            "where cat",
            """
def shift_right(labels, start, pad):
    r = torch.cat((torch.full((labels.size(0), 1), start), labels), 1)[:, :-1]
    return r.where(r != -100, torch.tensor(pad))
""",
        ),
    ],
}

for name, more in AFRESH.items():
    RIGHT[name] = [*RIGHT.get(name, []), *more]

RIGHT = joined(RIGHT, afresh("07"))
