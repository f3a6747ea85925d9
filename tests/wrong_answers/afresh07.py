"""More wrong answers to lesson 07, written without a look at what its checks draw."""

from . import WrongAnswer

# fmt: off
AFRESH = {
    "labels_for": [
        WrongAnswer('one length for all', """
def labels_for(ids, prompt_lengths, lengths):
    place = torch.arange(ids.shape[1])
    ok = (place >= prompt_lengths[0]) & (place < lengths[0])
    return ids.where(ok, -100)
""", '(prompt_lengths[1] ='),
        WrongAnswer('the longest prompt for all', """
def labels_for(ids, prompt_lengths, lengths):
    place = torch.arange(ids.shape[1])
    ok = (place >= prompt_lengths.max()) & (place < lengths[:, None])
    return ids.where(ok, -100)
""", "is the answer's (prompt_lengths["),
        WrongAnswer('an answer of length zero counts one', """
def labels_for(ids, prompt_lengths, lengths):
    y = torch.full_like(ids, -100)
    for i in range(len(ids)):
        p, n = int(prompt_lengths[i]), int(lengths[i])
        j = p
        while True:
            y[i, j] = ids[i, j]
            j += 1
            if j >= n:
                break
    return y
""", 'Row 2, place 4 is padding (prompt_lengths[2] = 4, lengths[2] = 4), so'),
        WrongAnswer('masked by the first end', """
def labels_for(ids, prompt_lengths, lengths):
    y = ids.clone()
    for i in range(len(ids)):
        y[i, : prompt_lengths[i]] = -100
        e = (ids[i] == 2).nonzero()
        if len(e):
            y[i, e[0] + 1 :] = -100
    return y
""", "is the answer's (prompt_lengths[0] = 0, lengths[0] = 9): it must be"),
        WrongAnswer('zero ids lost', """
def labels_for(ids, prompt_lengths, lengths):
    place = torch.arange(ids.shape[1])
    ok = (place >= prompt_lengths[:, None]) & (place < lengths[:, None])
    z = ids * ok
    z[z == 0] = -100
    return z
""", "is the answer's (prompt_lengths[3] ="),
        WrongAnswer('negative index when prompt is 0', """
def labels_for(ids, prompt_lengths, lengths):
    y = ids.clone()
    for i in range(len(ids)):
        y[i, : prompt_lengths[i] - 1] = -100
        y[i, prompt_lengths[i] - 1] = -100
        y[i, lengths[i] :] = -100
    return y
""", "Row 0, place 0 is the answer's (prompt_lengths[0] = 0, lengths[0] ="),
        WrongAnswer('-lengths slicing', """
def labels_for(ids, prompt_lengths, lengths):
    y = ids.clone()
    T = ids.shape[1]
    for i in range(len(ids)):
        y[i, : prompt_lengths[i]] = -100
        y[i, -(T - int(lengths[i])) :] = -100
    return y
""", "is the answer's (prompt_lengths[1] ="),
        WrongAnswer('last row skipped', """
def labels_for(ids, prompt_lengths, lengths):
    y = ids.clone()
    for i in range(len(ids) - 1):
        y[i, : prompt_lengths[i]] = -100
        y[i, lengths[i] :] = -100
    return y
""", 'Row 3, place 0 is a token of the prompt (prompt_lengths[3] ='),
        WrongAnswer('float labels', """
def labels_for(ids, prompt_lengths, lengths):
    place = torch.arange(ids.shape[1])
    ok = (place >= prompt_lengths[:, None]) & (place < lengths[:, None])
    return torch.where(ok, ids.float(), -100.0)
""", 'Return ids, which are whole numbers (int64); got torch.float32.'),
        WrongAnswer('-1 for -100', """
def labels_for(ids, prompt_lengths, lengths):
    place = torch.arange(ids.shape[1])
    ok = (place >= prompt_lengths[:, None]) & (place < lengths[:, None])
    return ids.where(ok, -1)
""", 'Row 0, place 0 is a token of the prompt (prompt_lengths[0] ='),
        WrongAnswer('squeezed', """
def labels_for(ids, prompt_lengths, lengths):
    place = torch.arange(ids.shape[1])
    ok = (place >= prompt_lengths[:, None]) & (place < lengths[:, None])
    return ids.where(ok, -100).squeeze()
""", 'The shape must be (1, 6); got (6,).'),
        WrongAnswer('lists', """
def labels_for(ids, prompt_lengths, lengths):
    place = torch.arange(ids.shape[1])
    ok = (place >= prompt_lengths[:, None]) & (place < lengths[:, None])
    return ids.where(ok, -100).tolist()
""", 'Return a tensor; got list.'),
        WrongAnswer('in place by copy of reference', """
def labels_for(ids, prompt_lengths, lengths):
    y = ids
    place = torch.arange(ids.shape[1])
    y[(place < prompt_lengths[:, None]) | (place >= lengths[:, None])] = -100
    return y
""", 'Your code changes `ids` itself, which it was given. Make a new'),
        WrongAnswer('lengths changed', """
def labels_for(ids, prompt_lengths, lengths):
    lengths -= prompt_lengths
    y = torch.full_like(ids, -100)
    for i, (p, n) in enumerate(zip(prompt_lengths, lengths)):
        y[i, p : p + n] = ids[i, p : p + n]
    return y
""", 'Your code changes `lengths` itself, which it was given. Make a new'),
    ],
    "causal_loss": [
        WrongAnswer('first row alone', """
def causal_loss(logits, labels):
    return torch.nn.functional.cross_entropy(logits[0, :-1], labels[0, 1:]).item()
""", 'Only the first row is scored'),
        WrongAnswer('mean of row means, nan skipped', """
def causal_loss(logits, labels):
    m = []
    for z, y in zip(logits, labels):
        if (y[1:] != -100).any():
            m.append(torch.nn.functional.cross_entropy(z[:-1], y[1:]).item())
    return sum(m) / len(m)
""", "The mean of the rows' means counts a short answer as much as a long"),
        WrongAnswer('label 0 left out', """
def causal_loss(logits, labels):
    y = labels[:, 1:].clone()
    y[y <= 0] = -100
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), y.flatten()).item()
""", 'Label 0 is a token like any other'),
        WrongAnswer('last place dropped twice', """
def causal_loss(logits, labels):
    return torch.nn.functional.cross_entropy(
        logits[:, :-2].flatten(0, 1), labels[:, 1:-1].flatten()
    ).item()
""", 'The last label is not scored'),
        WrongAnswer('smoothed', """
def causal_loss(logits, labels):
    return torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), label_smoothing=0.1
    ).item()
""", 'Expected'),
        WrongAnswer('argmax accuracy', """
def causal_loss(logits, labels):
    y = labels[:, 1:]
    m = y != -100
    return (logits[:, :-1].argmax(-1) != y)[m].float().mean().item()
""", 'Expected'),
        WrongAnswer('half', """
def causal_loss(logits, labels):
    return torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1).half(), labels[:, 1:].flatten()
    ).item()
""", 'Near, but not it'),
        WrongAnswer('rounded', """
def causal_loss(logits, labels):
    return round(
        torch.nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
        ).item(),
        2,
    )
""", 'Near, but not it'),
        WrongAnswer('softmax then log', """
def causal_loss(logits, labels):
    y = labels[:, 1:]
    p = logits[:, :-1].softmax(-1)
    return -p.gather(-1, y.clamp(min=0)[..., None])[..., 0].log()[y != -100].mean().item()
""", 'This is not finite. exp of a logit of 400 overflows: use log_softmax,'),
        WrongAnswer('shifts labels in place', """
def causal_loss(logits, labels):
    labels[:, :-1] = labels[:, 1:].clone()
    labels[:, -1] = -100
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten()).item()
""", 'Your code changes `labels` itself, which it was given. Make a new'),
        WrongAnswer('rolled', """
def causal_loss(logits, labels):
    y = labels.roll(-1, 1)
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten()).item()
""", 'The first label came round'),
        WrongAnswer('-100 as last token', """
def causal_loss(logits, labels):
    y = labels[:, 1:]
    return -logits[:, :-1].log_softmax(-1).gather(-1, (y % 13)[..., None]).mean().item()
""", 'Expected'),
        WrongAnswer('masked logits by labels of same place', """
def causal_loss(logits, labels):
    y = labels[:, 1:]
    m = labels[:, :-1] != -100
    l = -logits[:, :-1].log_softmax(-1).gather(-1, y.clamp(min=0)[..., None])[..., 0]
    return l[m].mean().item()
""", 'Expected'),
        WrongAnswer('a vector', """
def causal_loss(logits, labels):
    return torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="none"
    )
""", 'Return a number; got a tensor of shape (30,).'),
        WrongAnswer('sum / real labels incl first', """
def causal_loss(logits, labels):
    return torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum"
    ).item() / max(1, (labels != -100).sum().item())
""", 'The sum is right, but it is divided by all labels that are not -100.'),
    ],
    "shift_right": [
        WrongAnswer('only trailing', """
def shift_right(labels, start, pad):
    r = labels.new_full(labels.shape, pad)
    r[:, 0] = start
    for i, row in enumerate(labels):
        n = int((row != -100).sum())
        r[i, 1 : n + 1] = row[:n][: labels.shape[1] - 1]
    return r
""", 'Row 0, place 3 is after the label -100, with pad = 9: it must be 9,'),
        WrongAnswer('pad before shift, start after -100', """
def shift_right(labels, start, pad):
    r = torch.cat([labels.new_full((len(labels), 1), start), labels[:, :-1]], 1)
    r[r < 0] = start
    return r
""", 'Where the label is -100 the decoder reads `start` here. It reads'),
        WrongAnswer('flattened roll', """
def shift_right(labels, start, pad):
    r = labels.flatten().roll(1).view(labels.shape).clone()
    r[r == -100] = pad
    r[0, 0] = start
    return r
""", 'Row 1, place 0 is the first of its row, with start = 3: it must be 3,'),
        WrongAnswer('T+1', """
def shift_right(labels, start, pad):
    r = torch.cat([labels.new_full((len(labels), 1), start), labels], 1)
    return r.masked_fill(r == -100, pad)
""", 'The shape must be (3, 8); got (3, 9).'),
        WrongAnswer('zero treated as pad', """
def shift_right(labels, start, pad):
    r = torch.cat([labels.new_full((len(labels), 1), start), labels[:, :-1]], 1)
    return torch.where(r <= 0, pad, r)
""", 'Row 0, place 0 is the first of its row, with start = 0: it must be 0,'),
        WrongAnswer('start if pad', """
def shift_right(labels, start, pad):
    r = torch.cat([labels.new_full((len(labels), 1), pad), labels[:, :-1]], 1)
    return r.masked_fill(r == -100, pad)
""", 'The decoder begins with `pad` here. It begins with `start`.'),
        WrongAnswer('float', """
def shift_right(labels, start, pad):
    r = torch.cat([torch.full((len(labels), 1), float(start)), labels[:, :-1]], 1)
    return r.masked_fill(r == -100, pad)
""", 'Return ids, which are whole numbers (int64); got torch.float32.'),
        WrongAnswer('along batch', """
def shift_right(labels, start, pad):
    r = torch.cat([labels.new_full((1, labels.shape[1]), start), labels[:-1]], 0)
    return r.masked_fill(r == -100, pad)
""", 'Row 0, place 1 is after the label'),
        WrongAnswer('int32', """
def shift_right(labels, start, pad):
    r = torch.cat([labels.new_full((len(labels), 1), start), labels[:, :-1]], 1)
    return r.masked_fill(r == -100, pad).int()
""", '`labels` is torch.int64 and the result is torch.int32: it must have'),
        WrongAnswer('start replaced', """
def shift_right(labels, start, pad):
    r = torch.cat([labels.new_full((len(labels), 1), start), labels[:, :-1]], 1)
    r = r.masked_fill(r == -100, pad)
    return r.masked_fill(r == start, pad)
""", 'The decoder begins with `pad` here. It begins with `start`.'),
    ],
    "edit_distance": [
        WrongAnswer('first zero', """
def edit_distance(guess, target):
    row = list(range(len(target) + 1))
    for i, g in enumerate(guess, 1):
        new = [0]
        for j, t in enumerate(target, 1):
            new.append(min(row[j] + 1, new[j - 1] + 1, row[j - 1] + (g != t)))
        row = new
    return row[-1]
""", "A row begins with zero here. From i sounds read to none of `target`"),
        WrongAnswer('min of row', """
def edit_distance(guess, target):
    row = list(range(len(target) + 1))
    for i, g in enumerate(guess, 1):
        new = [i]
        for j, t in enumerate(target, 1):
            new.append(min(row[j] + 1, new[j - 1] + 1, row[j - 1] + (g != t)))
        row = new
    return min(row)
""", "The least of the last row is returned. The whole of `target` is its"),
        WrongAnswer('no insertion', """
def edit_distance(guess, target):
    row = list(range(len(target) + 1))
    for i, g in enumerate(guess, 1):
        new = [i]
        for j, t in enumerate(target, 1):
            new.append(min(row[j] + 1, row[j - 1] + (g != t)))
        row = new
    return row[-1]
""", "An insertion is not among the three ways to a cell: the one from the"),
        WrongAnswer('no deletion', """
def edit_distance(guess, target):
    row = list(range(len(target) + 1))
    for i, g in enumerate(guess, 1):
        new = [i]
        for j, t in enumerate(target, 1):
            new.append(min(new[j - 1] + 1, row[j - 1] + (g != t)))
        row = new
    return row[-1]
""", "Leaving a sound out is not among the three ways to a cell: the one"),
        WrongAnswer('no exchange', """
def edit_distance(guess, target):
    row = list(range(len(target) + 1))
    for i, g in enumerate(guess, 1):
        new = [i]
        for j, t in enumerate(target, 1):
            new.append(min(row[j] + 1, new[j - 1] + 1, row[j - 1] + (0 if g == t else 9)))
        row = new
    return row[-1]
""", 'An exchange counts 2 here. It is one edit.'),
        WrongAnswer('prefix equal', """
def edit_distance(guess, target):
    row = list(range(len(target) + 1))
    for i, g in enumerate(guess, 1):
        new = [i]
        for j, t in enumerate(target, 1):
            new.append(
                min(
                    row[j] + 1,
                    new[j - 1] + 1,
                    row[j - 1] + (not (g.startswith(t) or t.startswith(g))),
                )
            )
        row = new
    return row[-1]
""", "For ['SH', 'AE'] and ['S', 'AH'] the distance is 2, not 1: for"),
        WrongAnswer('case', """
def edit_distance(guess, target):
    row = list(range(len(target) + 1))
    for i, g in enumerate(guess, 1):
        new = [i]
        for j, t in enumerate(target, 1):
            new.append(min(row[j] + 1, new[j - 1] + 1, row[j - 1] + (g.lower() != t.lower())))
        row = new
    return row[-1]
""", "Small letters count as large ones here. A name is a sound: compare it"),
        WrongAnswer('first letter', """
def edit_distance(guess, target):
    row = list(range(len(target) + 1))
    for i, g in enumerate(guess, 1):
        new = [i]
        for j, t in enumerate(target, 1):
            new.append(min(row[j] + 1, new[j - 1] + 1, row[j - 1] + (g[0] != t[0])))
        row = new
    return row[-1]
""", "For ['K', 'AE', 'T'] and ['K', 'AH', 'T'] the distance is 1, not 0:"),
        WrongAnswer('float', """
def edit_distance(guess, target):
    row = list(range(len(target) + 1))
    for i, g in enumerate(guess, 1):
        new = [i]
        for j, t in enumerate(target, 1):
            new.append(min(row[j] + 1, new[j - 1] + 1, row[j - 1] + (g != t)))
        row = new
    return float(row[-1])
""", 'Return an int, a whole number; got float.'),
        WrongAnswer('bool for one', """
def edit_distance(guess, target):
    row = list(range(len(target) + 1))
    for i, g in enumerate(guess, 1):
        new = [i]
        for j, t in enumerate(target, 1):
            new.append(min(row[j] + 1, new[j - 1] + 1, row[j - 1] + (g != t)))
        row = new
    return row[-1] if row[-1] > 1 else bool(row[-1])
""", 'Return an int, a whole number; got bool.'),
        WrongAnswer('empty None', """
def edit_distance(guess, target):
    if not guess:
        return 0
    row = list(range(len(target) + 1))
    for i, g in enumerate(guess, 1):
        new = [i]
        for j, t in enumerate(target, 1):
            new.append(min(row[j] + 1, new[j - 1] + 1, row[j - 1] + (g != t)))
        row = new
    return row[-1]
""", "For [] and ['K', 'AE'] the distance is 2, not 0: for example, from"),
        WrongAnswer('empty target 0', """
def edit_distance(guess, target):
    if not target:
        return 0
    row = list(range(len(target) + 1))
    for i, g in enumerate(guess, 1):
        new = [i]
        for j, t in enumerate(target, 1):
            new.append(min(row[j] + 1, new[j - 1] + 1, row[j - 1] + (g != t)))
        row = new
    return row[-1]
""", "For ['K', 'AE'] and [] the distance is 2, not 0: for example, from"),
        WrongAnswer('counters', """
def edit_distance(guess, target):
    from collections import Counter

    a, b = Counter(guess), Counter(target)
    return max(sum((a - b).values()), sum((b - a).values()))
""", "The order is lost: this counts how often each sound occurs."),
        WrongAnswer('max len - lcs', """
def edit_distance(guess, target):
    row = [0] * (len(target) + 1)
    for i, g in enumerate(guess, 1):
        new = [0]
        for j, t in enumerate(target, 1):
            new.append((max(row[j], new[j - 1], row[j - 1] + (g == t))))
        row = new
    return max(len(guess), len(target)) - row[-1]
""", "This is the longer length less the longest common part. Not all of"),
        WrongAnswer('lcs distance', """
def edit_distance(guess, target):
    row = [0] * (len(target) + 1)
    for i, g in enumerate(guess, 1):
        new = [0]
        for j, t in enumerate(target, 1):
            new.append((max(row[j], new[j - 1], row[j - 1] + (g == t))))
        row = new
    return len(guess) + len(target) - 2 * row[-1]
""", 'An exchange counts 2 here. It is one edit.'),
        WrongAnswer('transposition', """
def edit_distance(guess, target):
    import functools

    @functools.cache
    def d(i, j):
        if i == 0 or j == 0:
            return i + j
        m = min(
            d(i - 1, j) + 1, d(i, j - 1) + 1, d(i - 1, j - 1) + (guess[i - 1] != target[j - 1])
        )
        if i > 1 and j > 1 and guess[i - 1] == target[j - 2] and guess[i - 2] == target[j - 1]:
            m = min(m, d(i - 2, j - 2) + 1)
        return m

    return d(len(guess), len(target))
""", "Two neighbours that changed places count as one edit here. They are"),
        WrongAnswer('difflib', """
def edit_distance(guess, target):
    import difflib

    return sum(
        max(b - a, d - c)
        for t, a, b, c, d in difflib.SequenceMatcher(None, guess, target).get_opcodes()
        if t != "equal"
    )
""", "This keeps the longest equal piece first. That need not lie on a"),
        WrongAnswer('pops', """
def edit_distance(guess, target):
    n = 0
    while guess and target:
        n += guess.pop() != target.pop()
    return n + len(guess) + len(target)
""", 'Your code changes the list `guess` itself, which it was given. Work'),
        WrongAnswer('normalised', """
def edit_distance(guess, target):
    row = list(range(len(target) + 1))
    for i, g in enumerate(guess, 1):
        new = [i]
        for j, t in enumerate(target, 1):
            new.append(min(row[j] + 1, new[j - 1] + 1, row[j - 1] + (g != t)))
        row = new
    return row[-1] // max(1, len(target))
""", "For ['K', 'AE', 'T'] and ['K', 'AH', 'T'] the distance is 1, not 0:"),
        WrongAnswer('greedy', """
def edit_distance(guess, target):
    i = j = n = 0
    while i < len(guess) and j < len(target):
        if guess[i] == target[j]:
            i += 1
            j += 1
        elif len(guess) - i > len(target) - j:
            i += 1
            n += 1
        elif len(guess) - i < len(target) - j:
            j += 1
            n += 1
        else:
            i += 1
            j += 1
            n += 1
    return n + len(guess) - i + len(target) - j
""", "For ['A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J'] and ['B', 'C',"),
    ],
    "fitting_arguments": [
        WrongAnswer('any end', """
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
        task_type=t,
        modules_to_save=[m for m in new_modules if not any(m.endswith(h) for h in saved_by[t])],
    )
""", "DistilBertForSequenceClassification: 'pre_classifier' is new, and"),
        WrongAnswer('startswith', """
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
        task_type=t,
        modules_to_save=[
            m for m in new_modules if not any(m.startswith(h) for h in saved_by[t])
        ],
    )
""", "TinyForSequenceClassification: 'classifier.dense' is new, and SEQ_CLS"),
        WrongAnswer('substring in joined', """
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
        task_type=t, modules_to_save=[m for m in new_modules if m not in " ".join(saved_by[t])]
    )
""", "TinyForSequenceClassification: 'class' is new, and SEQ_CLS does not"),
        WrongAnswer('first of rest', """
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
        task_type=t, modules_to_save=[m for m in new_modules if m not in saved_by[t]][:1]
    )
""", "TinyForSequenceClassification: 'classifier.dense' is new, and SEQ_CLS"),
        WrongAnswer('last of rest', """
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
        task_type=t, modules_to_save=[m for m in new_modules if m not in saved_by[t]][-1:]
    )
""", "TinyForSequenceClassification: 'class' is new, and SEQ_CLS does not"),
        WrongAnswer('hardcoded', """
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
        task_type=t,
        modules_to_save=[
            m for m in new_modules if m not in ("classifier", "score", "qa_outputs")
        ],
    )
""", "BertForQuestionAnswering: 'classifier' is new, and QUESTION_ANS does"),
        WrongAnswer('saved_by of SEQ_CLS', """
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
        task_type=t, modules_to_save=[m for m in new_modules if m not in saved_by["SEQ_CLS"]]
    )
""", "BertForQuestionAnswering: 'classifier' is new, and QUESTION_ANS does"),
        WrongAnswer('only pooler', """
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
    return dict(task_type=t, modules_to_save=["pooler"] if "pooler" in new_modules else None)
""", "' is new, and SEQ_2_SEQ_LM does not save it. It would stay frozen and"),
        WrongAnswer('mutated', """
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
    for m in saved_by[t]:
        if m in new_modules:
            new_modules.remove(m)
    return dict(task_type=t, modules_to_save=new_modules)
""", 'Your code changes the list `new_modules` itself, which it was given.'),
        WrongAnswer('lower task', """
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
        task_type=t.lower(), modules_to_save=[m for m in new_modules if m not in saved_by[t]]
    )
""", 'LlamaForCausalLM is no model for causal_lm: its head and loss are for'),
        WrongAnswer('includes saved heads', """
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
    return dict(task_type=t, modules_to_save=list(dict.fromkeys([*new_modules, *saved_by[t]])))
""", "Qwen2ForSequenceClassification: 'classifier' in modules_to_save is"),
        WrongAnswer('extra keys', """
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
        task_type=t, modules_to_save=[m for m in new_modules if m not in saved_by[t]], r=8
    )
""", "'r' is not asked for: return task_type and modules_to_save."),
        WrongAnswer('empty task for Model', """
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
        task_type=None if t == "FEATURE_EXTRACTION" else t,
        modules_to_save=[m for m in new_modules if m not in saved_by[t]],
    )
""", 'BertModel gets no task_type. Here it is FEATURE_EXTRACTION.'),
        WrongAnswer('Model before', """
def fitting_arguments(architecture, new_modules, saved_by):
    ends = {
        "Model": "FEATURE_EXTRACTION",
        "ForCausalLM": "CAUSAL_LM",
        "ForConditionalGeneration": "SEQ_2_SEQ_LM",
        "ForSequenceClassification": "SEQ_CLS",
        "ForTokenClassification": "TOKEN_CLS",
        "ForQuestionAnswering": "QUESTION_ANS",
    }
    t = next(v for k, v in ends.items() if k in architecture)
    return dict(task_type=t, modules_to_save=[m for m in new_modules if m not in saved_by[t]])
""", 'TinyModelForSequenceClassification ends in ForSequenceClassification,'),
        WrongAnswer('dict of bools', """
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
        task_type=t, modules_to_save={m: True for m in new_modules if m not in saved_by[t]}
    )
""", 'modules_to_save is a list of names; got dict.'),
        WrongAnswer('any task saves', """
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
        task_type=t,
        modules_to_save=[m for m in new_modules if all(m not in h for h in saved_by.values())],
    )
""", "BertForQuestionAnswering: 'classifier' is new, and QUESTION_ANS does"),
    ],
}
