"""Wrong answers that learners really give in lesson 05, and what the check must say to each."""

from . import WrongAnswer, afresh, joined, wrong_numbers

_FUSED = """
def fused_update(sizes, factors, scaling):
    width = next(iter(factors.values()))[0].shape[1]
"""

WRONG = {
    "is_target": [
        WrongAnswer(
            "a part of the name is enough",
            "import re\n"
            "def is_target(name, targets):\n"
            "    if isinstance(targets, str):\n"
            "        return re.fullmatch(targets, name) is not None\n"
            "    return any(entry in name for entry in targets)\n",
            "A part of a name is no match",
        ),
        WrongAnswer(
            "the end without the dot",
            "import re\n"
            "def is_target(name, targets):\n"
            "    if isinstance(targets, str):\n"
            "        return re.fullmatch(targets, name) is not None\n"
            "    return any(name.endswith(entry) for entry in targets)\n",
            "must begin after a dot",
        ),
        WrongAnswer(
            "re.search for a string",
            "import re\n"
            "def is_target(name, targets):\n"
            "    if isinstance(targets, str):\n"
            "        return re.search(targets, name) is not None\n"
            "    return any(name == e or name.endswith('.' + e) for e in targets)\n",
            "from its start",
        ),
        WrongAnswer(
            "re.match for a string",
            "import re\n"
            "def is_target(name, targets):\n"
            "    if isinstance(targets, str):\n"
            "        return re.match(targets, name) is not None\n"
            "    return any(name == e or name.endswith('.' + e) for e in targets)\n",
            "up to its end",
        ),
        WrongAnswer(
            "regular expressions in a list",
            "import re\n"
            "def is_target(name, targets):\n"
            "    if isinstance(targets, str):\n"
            "        return re.fullmatch(targets, name) is not None\n"
            "    return any(re.fullmatch('(.*[.])?' + e, name) is not None for e in targets)\n",
            "plain text, not a regular expression",
        ),
        WrongAnswer(
            "the last word only",
            "import re\n"
            "def is_target(name, targets):\n"
            "    if isinstance(targets, str):\n"
            "        return re.fullmatch(targets, name) is not None\n"
            "    return name.split('.')[-1] in targets\n",
            "may hold dots itself",
        ),
        WrongAnswer(
            "the list must match with every entry",
            "import re\n"
            "def is_target(name, targets):\n"
            "    if isinstance(targets, str):\n"
            "        return re.fullmatch(targets, name) is not None\n"
            "    return all(name == e or name.endswith('.' + e) for e in targets)\n",
            "One entry that matches is enough",
        ),
        WrongAnswer(
            "the beginning of the name counts",
            "import re\n"
            "def is_target(name, targets):\n"
            "    if isinstance(targets, str):\n"
            "        return re.fullmatch(targets, name) is not None\n"
            "    return any(name == e or name.startswith(e + '.') or name.endswith('.' + e) "
            "for e in targets)\n",
            "is its beginning",
        ),
    ],
    "in_blocks": [
        WrongAnswer(
            "the digit anywhere in the name",
            "def in_blocks(name, blocks):\n    return any(str(b) in name for b in blocks)\n",
            "Compare whole numbers",
        ),
        WrongAnswer(
            "the last number",
            "def in_blocks(name, blocks):\n"
            "    numbers = [int(w) for w in name.split('.') if w.isdigit()]\n"
            "    return bool(numbers) and numbers[-1] in blocks\n",
            "The first number is the block",
        ),
        WrongAnswer(
            "any of the numbers",
            "def in_blocks(name, blocks):\n"
            "    return any(int(w) in blocks for w in name.split('.') if w.isdigit())\n",
            "The first number is the block",
        ),
        WrongAnswer(
            "digits within a word",
            "import re\n"
            "def in_blocks(name, blocks):\n"
            "    found = re.search(r'[0-9]+', name)\n"
            "    return found is not None and int(found.group()) in blocks\n",
            "within a word",
        ),
        WrongAnswer(
            "modules outside the blocks pass",
            "def in_blocks(name, blocks):\n"
            "    numbers = [int(w) for w in name.split('.') if w.isdigit()]\n"
            "    return not numbers or numbers[0] in blocks\n",
            "outside the blocks",
        ),
        WrongAnswer(
            "one digit only",
            "import re\n"
            "def in_blocks(name, blocks):\n"
            "    found = re.search(r'[.]([0-9])', name)\n"
            "    return found is not None and int(found.group(1)) in blocks\n",
            "two digits",
        ),
        WrongAnswer(
            "after the word layers only",
            "def in_blocks(name, blocks):\n"
            "    return any('layers.' + str(b) + '.' in name for b in blocks)\n",
            "need not follow the word",
        ),
        WrongAnswer(
            "a range",
            "def in_blocks(name, blocks):\n"
            "    numbers = [int(w) for w in name.split('.') if w.isdigit()]\n"
            "    return bool(numbers) and min(blocks) <= numbers[0] <= max(blocks)\n",
            "not a range",
        ),
        WrongAnswer(
            "text for a number",
            "def in_blocks(name, blocks):\n"
            "    words = [w for w in name.split('.') if w.isdigit()]\n"
            "    return bool(words) and words[0] in blocks\n",
            "makes a number of it",
        ),
    ],
    "all_linear": [
        WrongAnswer(
            "the output layer is in",
            "def all_linear(model):\n"
            "    return [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)]\n",
            "The output layer",
        ),
        WrongAnswer(
            "goes by the name proj",
            "def all_linear(model):\n"
            "    return [n for n, m in model.named_modules() if n.endswith('proj')]\n",
            "Go by the type",
        ),
        WrongAnswer(
            "leaves out lm_head by name",
            "def all_linear(model):\n"
            "    return [n for n, m in model.named_modules()\n"
            "            if isinstance(m, torch.nn.Linear) and n != 'lm_head']\n",
            "Its name differs",
        ),
        WrongAnswer(
            "leaves out every head by name",
            "def all_linear(model):\n"
            "    return [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)\n"
            "            and 'head' not in n and 'out' not in n]\n",
            "'blocks.0.head_mix' is linear and it is missing. It is of type Linear",
        ),
        WrongAnswer(
            "short names",
            "def all_linear(model):\n"
            "    out = model.get_output_embeddings()\n"
            "    return sorted({n.split('.')[-1] for n, m in model.named_modules()\n"
            "                   if isinstance(m, torch.nn.Linear) and m is not out})\n",
            "full names",
        ),
        WrongAnswer(
            "everything that has a weight",
            "def all_linear(model):\n"
            "    out = model.get_output_embeddings()\n"
            "    return [n for n, m in model.named_modules() if hasattr(m, 'weight') "
            "and m is not out]\n",
            "not a Linear",
        ),
        WrongAnswer(
            "leaves out both names",
            "def all_linear(model):\n"
            "    return [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)\n"
            "            and n not in ('lm_head', 'embed_out')]\n",
            "Its name differs",
        ),
        WrongAnswer(
            "leaves out the last",
            "def all_linear(model):\n"
            "    found = [n for n, m in model.named_modules() if isinstance(m, "
            "torch.nn.Linear)]\n"
            "    return found[:-1]\n",
            "get_output_embeddings() returns",
        ),
        WrongAnswer(
            "goes by the shape",
            "def all_linear(model):\n"
            "    out = model.get_output_embeddings()\n"
            "    return [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)\n"
            "            and m.weight.shape != out.weight.shape]\n",
            "compare with `is`",
        ),
    ],
    "not_found": [
        WrongAnswer(
            "only where nothing matches at all",
            "def not_found(names, entries):\n"
            "    hit = lambda e: any(n == e or n.endswith('.' + e) for n in names)\n"
            "    return [] if any(hit(e) for e in entries) else list(entries)\n",
            "looked for by itself",
        ),
        WrongAnswer(
            "full names only",
            "def not_found(names, entries):\n    return [e for e in entries if e not in names]\n",
            "does match",
        ),
        WrongAnswer(
            "reports the matched",
            "def not_found(names, entries):\n"
            "    hit = lambda e: any(n == e or n.endswith('.' + e) for n in names)\n"
            "    return [e for e in entries if hit(e)]\n",
            "that do match",
        ),
        WrongAnswer(
            "a part of a name counts",
            "def not_found(names, entries):\n"
            "    return [e for e in entries if not any(e in n for n in names)]\n",
            "'proj' matches nothing",
        ),
        WrongAnswer(
            "returns the modules without an entry",
            "def not_found(names, entries):\n"
            "    return [n for n in names if not any(n.endswith('.' + e) or n == e "
            "for e in entries)]\n",
            "not modules of the model",
        ),
        WrongAnswer(
            "stops at the first",
            "def not_found(names, entries):\n"
            "    for e in entries:\n"
            "        if not any(n == e or n.endswith('.' + e) for n in names):\n"
            "            return [e]\n"
            "    return []\n",
            "it is missing",
        ),
        WrongAnswer(
            "a set",
            "def not_found(names, entries):\n"
            "    return {e for e in entries if not any(n == e or n.endswith('.' + e) for n "
            "in names)}\n",
            "no order",
        ),
    ],
    "rank_for_budget": [
        WrongAnswer(
            "the same r everywhere",
            "def rank_for_budget(shapes, budget):\n    return 8\n",
            "not the same for every choice",
        ),
        WrongAnswer(
            "in times out",
            "def rank_for_budget(shapes, budget):\n"
            "    return max(1, round(budget / sum(out * in_ for out, in_ in shapes)))\n",
            "in x out",
        ),
        WrongAnswer(
            "every layer as large as the first",
            "def rank_for_budget(shapes, budget):\n"
            "    out, in_ = shapes[0]\n"
            "    return max(1, round(budget / (len(shapes) * (out + in_))))\n",
            "grouped-query attention",
        ),
        WrongAnswer(
            "one layer only",
            "def rank_for_budget(shapes, budget):\n"
            "    return max(1, round(budget / sum(shapes[0])))\n",
            "for all layers together",
        ),
        WrongAnswer(
            "rounds down",
            "def rank_for_budget(shapes, budget):\n"
            "    return max(1, budget // sum(out + in_ for out, in_ in shapes))\n",
            "rounds down",
        ),
        WrongAnswer(
            "B left out",
            "def rank_for_budget(shapes, budget):\n"
            "    return max(1, round(budget / sum(in_ for out, in_ in shapes)))\n",
            "both train",
        ),
        WrongAnswer(
            "a float",
            "def rank_for_budget(shapes, budget):\n"
            "    return budget / sum(out + in_ for out, in_ in shapes)\n",
            "Return an int",
        ),
        WrongAnswer(
            "rank zero",
            "def rank_for_budget(shapes, budget):\n"
            "    return round(budget / sum(out + in_ for out, in_ in shapes))\n",
            "1 at least",
        ),
        WrongAnswer(
            "every layer square",
            "def rank_for_budget(shapes, budget):\n"
            "    return max(1, round(budget / sum(2 * in_ for out, in_ in shapes)))\n",
            "for square",
        ),
        WrongAnswer(
            "every layer as large as the last",
            "def rank_for_budget(shapes, budget):\n"
            "    return max(1, round(budget / (len(shapes) * sum(shapes[-1]))))\n",
            "as large as the last",
        ),
        WrongAnswer(
            "layers of one shape once",
            "def rank_for_budget(shapes, budget):\n"
            "    return max(1, round(budget / sum(map(sum, set(shapes)))))\n",
            "of one shape once",
        ),
        WrongAnswer(
            "twice the cost",
            "def rank_for_budget(shapes, budget):\n"
            "    return max(1, round(budget / sum(2 * (out + in_) for out, in_ in shapes)))\n",
            "This is half of it",
        ),
    ],
    "fused_update": [
        WrongAnswer(
            "one shared A",
            _FUSED + "    A = factors['q'][0]\n"
            "    blocks = [scaling * factors[p][1] @ A if p in factors else torch.zeros(s, width)\n"
            "              for p, s in sizes.items()]\n"
            "    return torch.cat(blocks)\n",
            "an A of its own",
        ),
        WrongAnswer(
            "equal thirds",
            _FUSED + "    rows = sum(sizes.values())\n"
            "    out = torch.zeros(rows, width)\n"
            "    for i, p in enumerate(sizes):\n"
            "        if p in factors:\n"
            "            A, B = factors[p]\n"
            "            start = i * (rows // 3)\n"
            "            out[start:start + len(B)] = scaling * B @ A\n"
            "    return out\n",
            "not thirds",
        ),
        WrongAnswer(
            "the order q, v, k",
            _FUSED + "    blocks = []\n"
            "    for p in ('q', 'v', 'k'):\n"
            "        A, B = factors.get(p, (torch.zeros(1, width), torch.zeros(sizes[p], 1)))\n"
            "        blocks.append(scaling * B @ A)\n"
            "    return torch.cat(blocks)\n",
            "where k belongs",
        ),
        WrongAnswer(
            "the order of the factors",
            _FUSED + "    blocks = [scaling * B @ A for A, B in factors.values()]\n"
            "    blocks += [torch.zeros(s, width) for p, s in sizes.items() if p not in factors]\n"
            "    return torch.cat(blocks)\n",
            "not in that of `factors`",
        ),
        WrongAnswer(
            "leaves out what is switched off",
            "def fused_update(sizes, factors, scaling):\n"
            "    on = [factors[p] for p in sizes if p in factors]\n"
            "    return torch.cat([scaling * B @ A for A, B in on])\n",
            "The rows of k are missing",
        ),
        WrongAnswer(
            "no scaling",
            _FUSED + "    blocks = [factors[p][1] @ factors[p][0] if p in factors\n"
            "              else torch.zeros(s, width) for p, s in sizes.items()]\n"
            "    return torch.cat(blocks)\n",
            "scaling is missing",
        ),
        WrongAnswer(
            "the order written down",
            _FUSED + "    parts = [factors.get(p) for p in ('q', 'k', 'v')]\n"
            "    blocks = [torch.zeros(sizes[p], width) if part is None else scaling * "
            "part[1] @ part[0]\n"
            "              for p, part in zip(('q', 'k', 'v'), parts)]\n"
            "    return torch.cat(blocks)\n",
            "Do not write the order down",
        ),
        WrongAnswer(
            "the order of the alphabet",
            _FUSED + "    blocks = [scaling * factors[p][1] @ factors[p][0] if p in factors\n"
            "              else torch.zeros(sizes[p], width) for p in sorted(sizes)]\n"
            "    return torch.cat(blocks)\n",
            "alphabet",
        ),
        WrongAnswer(
            "from the last to the first",
            _FUSED + "    blocks = [scaling * factors[p][1] @ factors[p][0] if p in factors\n"
            "              else torch.zeros(sizes[p], width) for p in reversed(sizes)]\n"
            "    return torch.cat(blocks)\n",
            "lies on top",
        ),
        WrongAnswer(
            "scaling twice",
            _FUSED + "    blocks = [scaling**2 * factors[p][1] @ factors[p][0] if p in factors\n"
            "              else torch.zeros(sizes[p], width) for p in sizes]\n"
            "    return torch.cat(blocks)\n",
            "there twice",
        ),
    ],
}

# The numbers of self-study.
WRONG["my_targets"] = wrong_numbers(
    "my_targets",
    {
        "every block": ("405_504", "every block"),
        "one block": ("67_584", "one block"),
        "k_proj as wide as q_proj": ("147_456", "half as wide"),
        "every linear layer": ("448_512", "your target_modules only"),
        "the frozen weights": ("327_680", "frozen"),
        "rank 1": ("2_816", "rank 1"),
        "A alone": ("73_728", "This is A alone"),
        "B alone": ("61_440", "This is B alone"),
        "another student's": ("98_304", "not the answer to your numbers"),
    },
)

WRONG = joined(WRONG, afresh("05"))
