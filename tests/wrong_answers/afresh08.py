"""More wrong answers to lesson 08, written without a look at what its checks draw."""

from . import WrongAnswer

# fmt: off
AFRESH = {
    "new_modules": [
        WrongAnswer('strip weight chars', """
def new_modules(in_model, in_file):
    return sorted({n.rstrip(".weight").rstrip(".bias") for n in in_model if n not in in_file})
""", "Expected ['bert.pooler.dense', 'classifier']; got ['bert.pooler.den',"),
        WrongAnswer('module compare', """
def new_modules(in_model, in_file):
    f = {n.rpartition(".")[0] for n in in_file}
    return sorted({n.rpartition(".")[0] for n in in_model} - f)
""", '.output.dense.bias leaves that bias new: compare the names of'),
        WrongAnswer('first two words', """
def new_modules(in_model, in_file):
    return sorted({".".join(n.split(".")[:2]) for n in in_model if n not in in_file})
""", 'These are names of weights. Return modules: the name without its last'),
        WrongAnswer('any prefix', """
def new_modules(in_model, in_file):
    return sorted(
        {
            n.rpartition(".")[0]
            for n in in_model
            if not any(f.startswith(n.rpartition(".")[0]) for f in in_file)
        }
    )
""", "'bert.pool' is new and it is missing: no name in the file is"),
        WrongAnswer('in joined text', """
def new_modules(in_model, in_file):
    t = " ".join(in_file)
    return sorted({n.rpartition(".")[0] for n in in_model if n not in t})
""", "'output.dense' is new and it is missing: no name in the file is"),
        WrongAnswer('only weights', """
def new_modules(in_model, in_file):
    return sorted(
        {
            n.removesuffix(".weight")
            for n in in_model
            if n.endswith(".weight") and n not in in_file
        }
    )
""", "'head.bias' is new and it is missing: no name in the file is"),
        WrongAnswer('partition', """
def new_modules(in_model, in_file):
    return sorted({n.partition(".")[0] for n in in_model if n not in in_file})
""", 'Only the last word goes: not all of `bert` is new,'),
        WrongAnswer('duplicates', """
def new_modules(in_model, in_file):
    return [n.rpartition(".")[0] for n in in_model if n not in in_file]
""", 'Name each module once: weight and bias belong to one module.'),
        WrongAnswer('leaf names', """
def new_modules(in_model, in_file):
    return sorted({n.split(".")[-2] for n in in_model if n not in in_file})
""", "'bert.pooler.dense' is new and it is missing: no name in the file is"),
        WrongAnswer('heads only', """
def new_modules(in_model, in_file):
    return sorted(
        {
            n.rpartition(".")[0]
            for n in in_model
            if n not in in_file and not n.startswith("bert")
        }
    )
""", "'bert.pooler.dense' is new and it is missing: no name in the file is"),
        WrongAnswer('symmetric', """
def new_modules(in_model, in_file):
    return sorted({n.rpartition(".")[0] for n in set(in_model) ^ set(in_file)})
""", 'These lie in the file and not in the model: they are left unused.'),
        WrongAnswer('outermost', """
def new_modules(in_model, in_file):
    m = sorted({n.rpartition(".")[0] for n in in_model if n not in in_file})
    return [x for x in m if not any(x.startswith(y + ".") for y in m)]
""", 'Only the last word goes: not all of `bert` is new,'),
        WrongAnswer('removes from in_file', """
def new_modules(in_model, in_file):
    for n in list(in_model):
        if n in in_file:
            in_model.remove(n)
    return sorted({n.rpartition(".")[0] for n in in_model})
""", 'Your code changes the list `in_model` itself, which it was given.'),
        WrongAnswer('string', """
def new_modules(in_model, in_file):
    return ", ".join(sorted({n.rpartition(".")[0] for n in in_model if n not in in_file}))
""", 'Return a list of names of modules; got str.'),
        WrongAnswer('zip', """
def new_modules(in_model, in_file):
    return sorted({a.rpartition(".")[0] for a, b in zip(in_model, in_file) if a != b})
""", "'classifier' is new and it is missing: no name in the file is"),
        WrongAnswer('len', """
def new_modules(in_model, in_file):
    return sorted({n.rpartition(".")[0] for n in in_model[len(in_file) :]})
""", "'classifier' is new and it is missing: no name in the file is"),
    ],
    "label_pieces": [
        WrongAnswer('seen set by label', """
def label_pieces(word_ids, labels):
    out = []
    last = None
    for w in word_ids:
        l = -100 if w is None else labels[w]
        out.append(l if l != last else -100)
        last = l
    return out
""", "Two neighbours with one label are two words: compare the words, not"),
        WrongAnswer('truthy', """
def label_pieces(word_ids, labels):
    out = []
    b = None
    for w in word_ids:
        out.append(labels[w] if w and w != b else -100)
        b = w
    return out
""", 'Word 0 is a word too: ask whether word_ids is None, not whether it is'),
        WrongAnswer('index counter', """
def label_pieces(word_ids, labels):
    out = []
    b = None
    k = 0
    for w in word_ids:
        if w is not None and w != b:
            out.append(labels[k])
            k += 1
        else:
            out.append(-100)
        b = w
    return out
""", "The labels are taken one after the other. Here a word has no piece"),
        WrongAnswer('assumes CLS', """
def label_pieces(word_ids, labels):
    out = [-100]
    for a, b in zip(word_ids, word_ids[1:]):
        out.append(labels[b] if b is not None and a != b else -100)
    return out
""", "For word_ids [0, 0, 1], place 0 must be 3; got -100. This row begins"),
        WrongAnswer('index()', """
def label_pieces(word_ids, labels):
    return [
        labels[w] if w is not None and word_ids.index(w) == i and labels[w] != 0 else -100
        for i, w in enumerate(word_ids)
    ]
""", "Label 0 was taken for no label (`if label`, `label or -100`). It is a"),
        WrongAnswer('pop labels', """
def label_pieces(word_ids, labels):
    out = []
    b = None
    for w in word_ids:
        out.append(labels.pop(0) if w is not None and w != b else -100)
        b = w
    return out
""", 'Your code changes the list `labels` itself, which it was given. Work'),
        WrongAnswer('until none', """
def label_pieces(word_ids, labels):
    out = [-100]
    b = None
    for w in word_ids[1:]:
        if w is None:
            break
        out.append(labels[w] if w != b else -100)
        b = w
    return out + [-100] * (len(word_ids) - len(out))
""", 'The label is on the last piece of each word. Put it on the first.'),
        WrongAnswer('last only', """
def label_pieces(word_ids, labels):
    return [
        labels[w]
        if w is not None and (i + 1 == len(word_ids) or word_ids[i + 1] != w)
        else -100
        for i, w in enumerate(word_ids)
    ]
""", 'The label is on the last piece of each word. Put it on the first.'),
        WrongAnswer('None labels', """
def label_pieces(word_ids, labels):
    out = []
    b = None
    for w in word_ids:
        out.append(labels[w] if w is not None and w != b else None)
        b = w
    return out
""", "What does not count gets -100, which the loss leaves out; here it"),
        WrongAnswer('len labels', """
def label_pieces(word_ids, labels):
    out = []
    b = None
    for w in word_ids:
        if w is not None and w != b:
            out.append(labels[w])
        b = w
    return out
""", 'here with [CLS], [SEP] and padding; got 5.'),
    ],
    "table_macro_f1": [
        WrongAnswer('nan skipped', """
def table_macro_f1(table):
    t = table.double()
    h = t.diagonal()
    f = 2 * h / (t.sum(0) + t.sum(1))
    return f.nanmean().item()
""", 'A class without hits has F1 0, and it counts: divide by the number of'),
        WrongAnswer('classes that occur', """
def table_macro_f1(table):
    t = table.double()
    h = t.diagonal()
    f = 2 * h / (t.sum(0) + t.sum(1)).clamp(min=1)
    return f[t.sum(1) > 0].mean().item()
""", 'A class without hits has F1 0, and it counts: divide by the number of'),
        WrongAnswer('classes predicted', """
def table_macro_f1(table):
    t = table.double()
    h = t.diagonal()
    f = 2 * h / (t.sum(0) + t.sum(1)).clamp(min=1)
    return f[t.sum(0) > 0].mean().item()
""", 'A class without hits has F1 0, and it counts: divide by the number of'),
        WrongAnswer('eps big', """
def table_macro_f1(table):
    t = table.double()
    h = t.diagonal()
    return (2 * h / (t.sum(0) + t.sum(1) + 1)).mean().item()
""", "1 is added below the line, or some other number against 0/0: where a"),
        WrongAnswer('pr with eps 1e-3', """
def table_macro_f1(table):
    t = table.double()
    h = t.diagonal()
    p = h / (t.sum(0) + 1e-3)
    r = h / (t.sum(1) + 1e-3)
    return (2 * p * r / (p + r + 1e-3)).mean().item()
""", 'Expected 0.'),
        WrongAnswer('percent', """
def table_macro_f1(table):
    t = table.double()
    h = t.diagonal()
    return 100 * (2 * h / (t.sum(0) + t.sum(1)).clamp(min=1)).mean().item()
""", "This is in percent: return a number from 0 to 1."),
        WrongAnswer('median', """
def table_macro_f1(table):
    t = table.double()
    h = t.diagonal()
    return (2 * h / (t.sum(0) + t.sum(1)).clamp(min=1)).median().item()
""", "This is the median of the classes' F1. Macro F1 is their mean."),
        WrongAnswer('integer division', """
def table_macro_f1(table):
    h = table.diagonal()
    return float((2 * h // (table.sum(0) + table.sum(1)).clamp(min=1)).double().mean())
""", 'Is a fraction cut off, by'),
        WrongAnswer('jaccard', """
def table_macro_f1(table):
    t = table.double()
    h = t.diagonal()
    return (h / (t.sum(0) + t.sum(1) - h).clamp(min=1)).mean().item()
""", 'The 2 in 2 TP is missing, above the line, below it or both.'),
        WrongAnswer('rounded', """
def table_macro_f1(table):
    t = table.double()
    h = t.diagonal()
    return round((2 * h / (t.sum(0) + t.sum(1)).clamp(min=1)).mean().item(), 2)
""", 'It is rounded to 2 decimals'),
        WrongAnswer('zeros diag', """
def table_macro_f1(table):
    t = table.double()
    h = t.diagonal().clone()
    f = 2 * h / (t.sum(0) + t.sum(1)).clamp(min=1)
    table.fill_diagonal_(0)
    return f.mean().item()
""", 'Your code changes `table` itself, which it was given. Make a new'),
        WrongAnswer('vector', """
def table_macro_f1(table):
    t = table.double()
    h = t.diagonal()
    return 2 * h / (t.sum(0) + t.sum(1)).clamp(min=1)
""", 'Return a number; got a tensor of shape ('),
    ],
    "answer_tokens": [
        WrongAnswer('start truthy', """
def answer_tokens(offsets, sides, start, end):
    if not start:
        return 0, 0
    p = [i for i, s in enumerate(sides) if s == 1]
    f = [i for i in p if offsets[i][0] == start]
    l = [i for i in p if offsets[i][1] == end]
    return (f[0], l[0]) if f and l else (0, 0)
""", ", whole on this page, and yours says (0, 0). Its first token begins"),
        WrongAnswer('side truthy/ all sides', """
def answer_tokens(offsets, sides, start, end):
    f = [i for i, o in enumerate(offsets) if o[0] == start and sides[i] is not None]
    l = [i for i, o in enumerate(offsets) if o[1] == end and sides[i] is not None]
    return (f[-1], l[-1]) if f and l else (0, 0)
""", "The page was cut within the answer, and a token of the question ends"),
        WrongAnswer('covers when cut', """
def answer_tokens(offsets, sides, start, end):
    p = [
        i
        for i, s in enumerate(sides)
        if s == 1 and offsets[i][0] >= start and offsets[i][1] <= end
    ]
    return (p[0], p[-1]) if p else (0, 0)
""", 'The row was cut within the answer: return (0, 0), the place of [CLS].'),
        WrongAnswer('exception', """
def answer_tokens(offsets, sides, start, end):
    p = [i for i, s in enumerate(sides) if s == 1]
    f = [i for i in p if offsets[i][0] == start]
    l = [i for i in p if offsets[i][1] == end]
    return f[0], l[0]
""", 'Your code raised IndexError: list index out of range. It reaches past'),
        WrongAnswer('start only clipped', """
def answer_tokens(offsets, sides, start, end):
    p = [i for i, s in enumerate(sides) if s == 1]
    f = [i for i in p if offsets[i][0] == start]
    if not f:
        return 0, 0
    l = [i for i in p if offsets[i][1] <= end]
    return f[0], l[-1]
""", 'The row was cut within the answer: return (0, 0), the place of [CLS].'),
        WrongAnswer('end-only', """
def answer_tokens(offsets, sides, start, end):
    p = [i for i, s in enumerate(sides) if s == 1]
    l = [i for i in p if offsets[i][1] == end]
    if not l:
        return 0, 0
    f = [i for i in p if offsets[i][0] >= start]
    return f[0], l[-1]
""", "The page's tokens here begin at character 40, and the answer at 3: it"),
        WrongAnswer('page from first sep', """
def answer_tokens(offsets, sides, start, end):
    k = sides.index(1)
    f = [i for i in range(k, len(offsets)) if offsets[i][0] == start]
    l = [i for i in range(k, len(offsets)) if offsets[i][1] == end]
    return (f[-1], l[-1]) if f and l else (0, 0)
""", "Place 18 is [SEP] or padding: its side is None, and its offset (0, 0)"),
        WrongAnswer('overlap >', """
def answer_tokens(offsets, sides, start, end):
    p = [
        i
        for i, s in enumerate(sides)
        if s == 1 and offsets[i][1] > start and offsets[i][0] <= end
    ]
    if not p or offsets[p[-1]][1] < end:
        return 0, 0
    return p[0], p[-1]
""", 'The last token is one too far. `end` is the first character after the'),
        WrongAnswer('None', """
def answer_tokens(offsets, sides, start, end):
    p = [i for i, s in enumerate(sides) if s == 1]
    f = [i for i in p if offsets[i][0] == start]
    l = [i for i in p if offsets[i][1] == end]
    return (f[0], l[0]) if f and l else None
""", 'Return two places, the first and the last token; got NoneType.'),
        WrongAnswer('cut at end returns last', """
def answer_tokens(offsets, sides, start, end):
    p = [i for i, s in enumerate(sides) if s == 1]
    f = [i for i in p if offsets[i][0] == start]
    l = [i for i in p if offsets[i][1] == end]
    return (f[0] if f else 0, l[0] if l else 0)
""", 'The row was cut within the answer: return (0, 0), the place of [CLS].'),
        WrongAnswer('side 1 any position >=', """
def answer_tokens(offsets, sides, start, end):
    f = l = 0
    for i, (a, b) in enumerate(offsets):
        if sides[i] == 1:
            if a <= start:
                f = i
            if b <= end:
                l = i
    return f, l
""", 'The row was cut within the answer: return (0, 0), the place of [CLS].'),
    ],
    "best_span": [
        WrongAnswer('fill 0', """
def best_span(start, end, page, longest):
    T = len(page)
    s = (start * page)[:, None] + (end * page)[None]
    ok = torch.ones(T, T).triu().tril(longest - 1).bool()
    k = int(s.masked_fill(~ok, -1e9).argmax())
    return k // T, k % T
""", '), got (0, 0): logits may all be negative: add them, do not multiply.'),
        WrongAnswer('fill -1e3', """
def best_span(start, end, page, longest):
    T = len(page)
    s = start.masked_fill(~page, -1e3)[:, None] + end.masked_fill(~page, -1e3)[None]
    ok = torch.ones(T, T).triu().tril(longest - 1).bool()
    k = int(s.masked_fill(~ok, -1e9).argmax())
    return k // T, k % T
""", '), got (0, 0): not on the page. The logits here lie between -100'),
        WrongAnswer('product', """
def best_span(start, end, page, longest):
    T = len(page)
    c = [(i, j) for i in range(T) for j in range(i, min(T, i + longest)) if page[i] and page[j]]
    return max(c, key=lambda p: float(start[p[0]] * end[p[1]]))
""", '): take the pair with the largest sum of its start and its end logit.'),
        WrongAnswer('best start first', """
def best_span(start, end, page, longest):
    T = len(page)
    i = int(start.masked_fill(~page, -float("inf")).argmax())
    j = max((j for j in range(i, min(T, i + longest)) if page[j]), key=lambda j: float(end[j]))
    return i, j
""", '): the largest start logit need not be in the best pair: compare all'),
        WrongAnswer('best end first', """
def best_span(start, end, page, longest):
    T = len(page)
    j = int(end.masked_fill(~page, -float("inf")).argmax())
    i = max(
        (i for i in range(max(0, j - longest + 1), j + 1) if page[i]),
        key=lambda i: float(start[i]),
    )
    return i, j
""", 'Expected (6, 7), got (5, 5): a span must not begin before the page:'),
        WrongAnswer('longest+1', """
def best_span(start, end, page, longest):
    T = len(page)
    c = [
        (i, j)
        for i in range(T)
        for j in range(i, min(T, i + longest + 1))
        if page[i] and page[j]
    ]
    return max(c, key=lambda p: float(start[p[0]] + end[p[1]]))
""", '): a span has `longest` tokens at most, first and last counted.'),
        WrongAnswer('strict order', """
def best_span(start, end, page, longest):
    T = len(page)
    c = [
        (i, j)
        for i in range(T)
        for j in range(i + 1, min(T, i + longest))
        if page[i] and page[j]
    ]
    return max(c, key=lambda p: float(start[p[0]] + end[p[1]])) if c else (0, 0)
""", '): an answer of one token.'),
        WrongAnswer('page relative', """
def best_span(start, end, page, longest):
    p = page.nonzero().flatten()
    s, e = start[p], end[p]
    T = len(p)
    c = [(i, j) for i in range(T) for j in range(i, min(T, i + longest))]
    return max(c, key=lambda q: float(s[q[0]] + e[q[1]]))
""", "): count from the row's first place."),
        WrongAnswer('skips CLS', """
def best_span(start, end, page, longest):
    T = len(page)
    c = [
        (i, j)
        for i in range(1, T)
        for j in range(i, min(T, i + longest))
        if page[i] and page[j]
    ]
    return max(c, key=lambda p: float(start[p[0]] + end[p[1]])) if c else (0, 0)
""", ']. Compare all pairs on the page by the sum of their logits, which'),
        WrongAnswer('drops last', """
def best_span(start, end, page, longest):
    T = len(page) - 1
    c = [(i, j) for i in range(T) for j in range(i, min(T, i + longest)) if page[i] and page[j]]
    return max(c, key=lambda p: float(start[p[0]] + end[p[1]])) if c else (0, 0)
""", ']. Compare all pairs on the page by the sum of their logits, which'),
        WrongAnswer('best init 0', """
def best_span(start, end, page, longest):
    best = 0
    r = (0, 0)
    T = len(page)
    for i in range(T):
        for j in range(i, min(T, i + longest)):
            if page[i] and page[j] and start[i] + end[j] > best:
                best = start[i] + end[j]
                r = (i, j)
    return r
""", '), got (0, 0): logits may all be negative: add them, do not multiply.'),
        WrongAnswer('best init -100', """
def best_span(start, end, page, longest):
    best = -100
    r = (0, 0)
    T = len(page)
    for i in range(T):
        for j in range(i, min(T, i + longest)):
            if page[i] and page[j] and start[i] + end[j] > best:
                best = start[i] + end[j]
                r = (i, j)
    return r
""", '), got (0, 0): not on the page. The logits here lie between -100'),
        WrongAnswer('only start on page', """
def best_span(start, end, page, longest):
    T = len(page)
    c = [(i, j) for i in range(T) for j in range(i, min(T, i + longest)) if page[i]]
    return max(c, key=lambda p: float(start[p[0]] + end[p[1]]))
""", 'Expected (15, 16), got (15, 17): what follows the page, [SEP] and'),
        WrongAnswer('topk 3', """
def best_span(start, end, page, longest):
    T = len(page)
    S = start.masked_fill(~page, -float("inf")).topk(min(3, T)).indices.tolist()
    E = end.masked_fill(~page, -float("inf")).topk(min(3, T)).indices.tolist()
    c = [(i, j) for i in S for j in E if 0 <= j - i < longest and page[i] and page[j]]
    return max(c, key=lambda p: float(start[p[0]] + end[p[1]])) if c else (0, 0)
""", ']. Compare all pairs on the page by the sum of their logits, which'),
        WrongAnswer('exp overflow', """
def best_span(start, end, page, longest):
    T = len(page)
    s = start.exp()
    e = end.exp()
    c = [(i, j) for i in range(T) for j in range(i, min(T, i + longest)) if page[i] and page[j]]
    return max(c, key=lambda p: float(s[p[0]] * e[p[1]]))
""", '] is larger than start[3] + end[3]. Compare all pairs on the page by'),
        WrongAnswer('in place', """
def best_span(start, end, page, longest):
    T = len(page)
    start[~page] = -float("inf")
    end[~page] = -float("inf")
    c = [(i, j) for i in range(T) for j in range(i, min(T, i + longest))]
    return max(c, key=lambda p: float(start[p[0]] + end[p[1]]))
""", 'Your code changes `start` itself, which it was given. Make a new'),
        WrongAnswer('longest first', """
def best_span(start, end, page, longest):
    T = len(page)
    c = [(i, j) for i in range(T) for j in range(i, min(T, i + longest)) if page[i] and page[j]]
    b = max(c, key=lambda p: (round(float(start[p[0]] + end[p[1]])), p[1] - p[0]))
    return b
""", ']. Compare all pairs on the page by the sum of their logits, which'),
        WrongAnswer('ints', """
def best_span(start, end, page, longest):
    T = len(page)
    c = [(i, j) for i in range(T) for j in range(i, min(T, i + longest)) if page[i] and page[j]]
    return max(c, key=lambda p: int(start[p[0]]) + int(end[p[1]]))
""", ']. Compare all pairs on the page by the sum of their logits, which'),
    ],
    "masked_mean": [
        WrongAnswer('nan for gaps: first n', """
def masked_mean(hidden, mask):
    n = mask.sum(1)
    return torch.stack([h[:k].mean(0) for h, k in zip(hidden, n)])
""", 'This takes the first tokens of each row, as many as count. Padding'),
        WrongAnswer('last n', """
def masked_mean(hidden, mask):
    n = mask.sum(1)
    return torch.stack([h[len(h) - int(k) :].mean(0) for h, k in zip(hidden, n)])
""", 'This takes the last tokens of each row'),
        WrongAnswer('detached', """
def masked_mean(hidden, mask):
    return (hidden.detach() * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
""", 'The numbers are right, but no gradient flows back to `hidden`:'),
        WrongAnswer('in place', """
def masked_mean(hidden, mask):
    hidden *= mask[..., None]
    return hidden.sum(1) / mask.sum(1, keepdim=True)
""", 'Your code changes `hidden` itself, which it was given. Make a new'),
        WrongAnswer('mask eps 1', """
def masked_mean(hidden, mask):
    return (hidden * mask[..., None]).sum(1) / (mask.sum(1, keepdim=True) + 1e-2)
""", "Nearly right: was it rounded, computed in a lower precision, or"),
        WrongAnswer('squeeze', """
def masked_mean(hidden, mask):
    return ((hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)).squeeze()
""", 'The shape must be (1, 3); got (3,).'),
        WrongAnswer('nonzero feature', """
def masked_mean(hidden, mask):
    h = hidden * mask[..., None]
    return h.sum(1) / mask.sum()
""", "This divides by the mask's sum over the whole batch."),
        WrongAnswer('float32 result', """
def masked_mean(hidden, mask):
    return ((hidden.float() * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)).float()
""", '`hidden` is torch.float64 and the result is torch.float32: it must'),
        WrongAnswer('without CLS', """
def masked_mean(hidden, mask):
    m = mask.clone()
    m[:, 0] = 0
    return (hidden * m[..., None]).sum(1) / m.sum(1, keepdim=True).clamp(min=1)
""", "The first token that counts is left out. It is one of them."),
        WrongAnswer('normalized', """
def masked_mean(hidden, mask):
    v = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    return torch.nn.functional.normalize(v, dim=-1)
""", 'It was brought to length 1'),
        WrongAnswer('min denominators', """
def masked_mean(hidden, mask):
    return (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=2)
""", "A text may have one token, and then its sum is divided by 1."),
        WrongAnswer('clamp T', """
def masked_mean(hidden, mask):
    m = mask.cumprod(1)
    return (hidden * m[..., None]).sum(1) / m.sum(1, keepdim=True).clamp(min=1)
""", 'It is 0 everywhere; expected'),
        WrongAnswer('sqrt', """
def masked_mean(hidden, mask):
    return (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).sqrt()
""", "This divides by the root of the number of tokens: divide by the"),
        WrongAnswer('numpy', """
def masked_mean(hidden, mask):
    return torch.from_numpy(
        (hidden.numpy() * mask.numpy()[..., None]).sum(1) / mask.numpy().sum(1, keepdims=True)
    ).to(hidden.dtype)
""", "Your code raised RuntimeError: Can't call numpy() on Tensor that"),
    ],
}
