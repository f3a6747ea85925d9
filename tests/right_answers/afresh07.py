"""More right answers to lesson 07, written without a look at what its checks draw."""

from . import RightAnswer

# fmt: off
AFRESH = {
    "labels_for": [
        RightAnswer('cumsum', """
def labels_for(ids, prompt_lengths, lengths):
    one = torch.ones_like(ids).cumsum(1) - 1
    bad = one.lt(prompt_lengths.unsqueeze(1)).logical_or(one.ge(lengths.unsqueeze(1)))
    return ids.masked_fill(bad, -100)
"""),
        RightAnswer('python lists', """
def labels_for(ids, prompt_lengths, lengths):
    out = []
    for row, p, n in zip(ids.tolist(), prompt_lengths.tolist(), lengths.tolist()):
        out.append([v if p <= t < n else -100 for t, v in enumerate(row)])
    return torch.tensor(out)
"""),
        RightAnswer('numpy', """
import numpy as np


def labels_for(ids, prompt_lengths, lengths):
    a = ids.numpy().copy()
    t = np.arange(a.shape[1])
    a[(t < prompt_lengths.numpy()[:, None]) | (t >= lengths.numpy()[:, None])] = -100
    return torch.as_tensor(a)
"""),
        RightAnswer('stack of rows', """
def labels_for(ids, prompt_lengths, lengths):
    return torch.stack(
        [
            torch.cat(
                [torch.full((int(p),), -100), row[p:n], torch.full((len(row) - int(n),), -100)]
            )
            for row, p, n in zip(ids, prompt_lengths, lengths)
        ]
    )
"""),
        RightAnswer('scatter', """
def labels_for(ids, prompt_lengths, lengths):
    y = torch.full_like(ids, -100)
    t = torch.arange(ids.shape[1]).expand_as(ids)
    ok = (t >= prompt_lengths.view(-1, 1)) & (t < lengths.view(-1, 1))
    y[ok] = ids[ok]
    return y
"""),
    ],
    "causal_loss": [
        RightAnswer('tensor 0-d', """
def causal_loss(logits, labels):
    return torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
    )
"""),
        RightAnswer('double', """
def causal_loss(logits, labels):
    return torch.nn.functional.cross_entropy(
        logits[:, :-1].double().flatten(0, 1), labels[:, 1:].flatten()
    ).item()
"""),
        RightAnswer('padded', """
def causal_loss(logits, labels):
    y = torch.nn.functional.pad(labels, (0, 1), value=-100)[:, 1:]
    return float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten()))
"""),
        RightAnswer('numpy float', """
import numpy as np


def causal_loss(logits, labels):
    return np.float64(
        torch.nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
        ).item()
    )
"""),
        RightAnswer('loops', """
def causal_loss(logits, labels):
    t = 0.0
    n = 0
    for z, y in zip(logits.double(), labels):
        for j in range(len(y) - 1):
            k = int(y[j + 1])
            if k != -100:
                t += float(z[j].logsumexp(0) - z[j, k])
                n += 1
    return t / n
"""),
        RightAnswer('sum over count', """
def causal_loss(logits, labels):
    y = labels[:, 1:].reshape(-1)
    return (
        torch.nn.functional.cross_entropy(
            logits[:, :-1].reshape(len(y), -1), y, reduction="sum"
        )
        / (y != -100).sum()
    ).item()
"""),
        RightAnswer('mask select', """
def causal_loss(logits, labels):
    y = labels[:, 1:]
    m = y != -100
    return torch.nn.functional.cross_entropy(logits[:, :-1][m], y[m]).item()
"""),
    ],
    "shift_right": [
        RightAnswer('loop', """
def shift_right(labels, start, pad):
    r = labels.clone()
    for i in range(len(labels)):
        for j in range(labels.shape[1]):
            v = start if j == 0 else int(labels[i, j - 1])
            r[i, j] = pad if v == -100 else v
    return r
"""),
        RightAnswer('pad func', """
def shift_right(labels, start, pad):
    r = torch.nn.functional.pad(labels[:, :-1], (1, 0), value=start)
    return r.where(r != -100, pad)
"""),
        RightAnswer('roll', """
def shift_right(labels, start, pad):
    r = labels.roll(1, dims=-1)
    r[:, 0] = start
    r[r == -100] = pad
    return r
"""),
        RightAnswer('lists', """
def shift_right(labels, start, pad):
    return torch.tensor(
        [[start] + [pad if v == -100 else v for v in row[:-1]] for row in labels.tolist()]
    )
"""),
    ],
    "edit_distance": [
        RightAnswer('recursive cache', """
def edit_distance(guess, target):
    import functools

    @functools.lru_cache(None)
    def d(i, j):
        if i == len(guess):
            return len(target) - j
        if j == len(target):
            return len(guess) - i
        if guess[i] == target[j]:
            return d(i + 1, j + 1)
        return 1 + min(d(i + 1, j), d(i, j + 1), d(i + 1, j + 1))

    return d(0, 0)
"""),
        RightAnswer('torch table', """
def edit_distance(guess, target):
    t = torch.zeros(len(guess) + 1, len(target) + 1, dtype=torch.long)
    t[:, 0] = torch.arange(len(guess) + 1)
    t[0] = torch.arange(len(target) + 1)
    for i in range(len(guess)):
        for j in range(len(target)):
            t[i + 1, j + 1] = min(
                t[i, j + 1] + 1, t[i + 1, j] + 1, t[i, j] + (guess[i] != target[j])
            )
    return t[-1, -1]
"""),
        RightAnswer('trimmed', """
def edit_distance(guess, target):
    g, t = list(guess), list(target)
    while g and t and g[0] == t[0]:
        g.pop(0)
        t.pop(0)
    while g and t and g[-1] == t[-1]:
        g.pop()
        t.pop()
    g0, t0 = g, t
    row = list(range(len(t0) + 1))
    for i, g in enumerate(g0, 1):
        new = [i]
        for j, t in enumerate(t0, 1):
            new.append(min(row[j] + 1, new[j - 1] + 1, row[j - 1] + (g != t)))
        row = new
    return row[-1]
"""),
        RightAnswer('swapped', """
def edit_distance(guess, target):
    guess, target = target, guess
    row = list(range(len(target) + 1))
    for i, g in enumerate(guess, 1):
        new = [i]
        for j, t in enumerate(target, 1):
            new.append(min(row[j] + 1, new[j - 1] + 1, row[j - 1] + (g != t)))
        row = new
    return row[-1]
"""),
        RightAnswer('dict', """
def edit_distance(guess, target):
    m = {}
    for i in range(len(guess) + 1):
        for j in range(len(target) + 1):
            m[i, j] = (
                max(i, j)
                if not i or not j
                else min(
                    m[i - 1, j] + 1,
                    m[i, j - 1] + 1,
                    m[i - 1, j - 1] + (guess[i - 1] != target[j - 1]),
                )
            )
    return m[len(guess), len(target)]
"""),
    ],
    "fitting_arguments": [
        RightAnswer('all new', """
def fitting_arguments(architecture, new_modules, saved_by):
    ends = {
        "ForCausalLM": "CAUSAL_LM",
        "ForConditionalGeneration": "SEQ_2_SEQ_LM",
        "ForSequenceClassification": "SEQ_CLS",
        "ForTokenClassification": "TOKEN_CLS",
        "ForQuestionAnswering": "QUESTION_ANS",
        "Model": "FEATURE_EXTRACTION",
    }
    t = next(v for k, v in ends.items() if architecture.endswith(k))
    return dict(task_type=t, modules_to_save=list(new_modules))
"""),
        RightAnswer('None if none', """
def fitting_arguments(architecture, new_modules, saved_by):
    ends = {
        "ForCausalLM": "CAUSAL_LM",
        "ForConditionalGeneration": "SEQ_2_SEQ_LM",
        "ForSequenceClassification": "SEQ_CLS",
        "ForTokenClassification": "TOKEN_CLS",
        "ForQuestionAnswering": "QUESTION_ANS",
        "Model": "FEATURE_EXTRACTION",
    }
    t = next(v for k, v in ends.items() if architecture.endswith(k))
    return dict(
        task_type=t, modules_to_save=[m for m in new_modules if m not in saved_by[t]] or None
    )
"""),
        RightAnswer('set', """
def fitting_arguments(architecture, new_modules, saved_by):
    ends = {
        "ForCausalLM": "CAUSAL_LM",
        "ForConditionalGeneration": "SEQ_2_SEQ_LM",
        "ForSequenceClassification": "SEQ_CLS",
        "ForTokenClassification": "TOKEN_CLS",
        "ForQuestionAnswering": "QUESTION_ANS",
        "Model": "FEATURE_EXTRACTION",
    }
    t = next(v for k, v in ends.items() if architecture.endswith(k))
    return dict(task_type=t, modules_to_save=set(new_modules) - set(saved_by[t]))
"""),
        RightAnswer('ifs', """
def fitting_arguments(architecture, new_modules, saved_by):
    a = architecture
    if a.endswith("Model"):
        t = "FEATURE_EXTRACTION"
    elif a.endswith("LM"):
        t = "CAUSAL_LM"
    elif a.endswith("Generation"):
        t = "SEQ_2_SEQ_LM"
    elif a.endswith("Answering"):
        t = "QUESTION_ANS"
    elif a.endswith("TokenClassification"):
        t = "TOKEN_CLS"
    else:
        t = "SEQ_CLS"
    return {
        "task_type": t,
        "modules_to_save": [n for n in new_modules if n not in saved_by.get(t, ())],
    }
"""),
        RightAnswer('enum', """
def fitting_arguments(architecture, new_modules, saved_by):
    ends = {
        "ForCausalLM": "CAUSAL_LM",
        "ForConditionalGeneration": "SEQ_2_SEQ_LM",
        "ForSequenceClassification": "SEQ_CLS",
        "ForTokenClassification": "TOKEN_CLS",
        "ForQuestionAnswering": "QUESTION_ANS",
        "Model": "FEATURE_EXTRACTION",
    }
    t = next(v for k, v in ends.items() if architecture.endswith(k))
    return dict(
        task_type=ll.TaskType(t),
        modules_to_save=[m for m in new_modules if m not in saved_by[t]],
    )
"""),
    ],
}
