"""Wrong answers that learners really give in lesson 06, and what the check must say to each."""

from . import WrongAnswer, afresh, joined, wrong_numbers

_TRAINS = """
def biases_that_train(model, wrapped, mode):
    if mode not in ("none", "lora_only", "all"):
        raise ValueError(mode)
    names = {n for n, _ in model.named_parameters() if n.split(".")[-1] == "bias"}
    own = names & {f"{layer}.bias" for layer in wrapped}
"""

_NUMBERS = """
def bias_numbers(hidden, heads, kv_heads, blocks, wrapped, mode):
    narrow = kv_heads * (hidden // heads)
    sizes = {"q_proj": hidden, "k_proj": narrow, "v_proj": narrow}
    counted = {"none": [], "lora_only": wrapped, "all": list(sizes)}[mode]
"""

_CONTENTS = """
def adapter_contents(model, biases):
    def factor(name):
        return bool({"lora_A", "lora_B"} & set(name.split(".")))
    def plain(name):
        return name.replace("base_layer.", "")
"""

_BASE = """
def measure_base(model, start, measure):
    layers = [m for m in model.modules() if hasattr(m, "branch_on")]
    was_on = [m.branch_on for m in layers]
    parameters = dict(model.named_parameters())
    kept = {n: parameters[n].detach().clone() for n in start}
    def put(on, values):
        with torch.no_grad():
            for n, v in values.items():
                parameters[n].copy_(v)
        for m, state in zip(layers, on):
            m.branch_on = state
    off = [False] * len(layers)
"""

_RUN = """
def run_blocks(embed, blocks, ids):
    from torch.utils.checkpoint import checkpoint, checkpoint_sequential
    hidden = embed(ids)
"""
_MENDED = "    if not hidden.requires_grad:\n        hidden = hidden.detach().requires_grad_()\n"
_LOOP = (
    "    for block in blocks:\n        hidden = checkpoint(block, hidden, use_reentrant=True)\n"
    "    return hidden\n"
)

WRONG = {
    "biases_that_train": [
        WrongAnswer(
            "short names looked for among the full ones",
            _TRAINS + "    short = {n for n in names if n.split('.')[-2] in wrapped}\n"
            "    return {'none': set(), 'lora_only': short, 'all': names}[mode]\n",
            "`wrapped` holds full names",
        ),
        WrongAnswer(
            "short names compared",
            _TRAINS + "    last = {w.split('.')[-1] for w in wrapped}\n"
            "    short = {n for n in names if n.split('.')[-2] in last}\n"
            "    return {'none': set(), 'lora_only': short, 'all': names}[mode]\n",
            "compare the whole of them",
        ),
        WrongAnswer(
            "nothing for none", _TRAINS + "    return None\n", "an empty one where no bias trains"
        ),
        WrongAnswer(
            "the error returned",
            _TRAINS.replace("raise ValueError(mode)", "return ValueError(mode)")
            + "    return {'none': set(), 'lora_only': own, 'all': names}[mode]\n",
            "Raise the ValueError",
        ),
        WrongAnswer(
            "lora_only taken for lora_bias",
            _TRAINS + "    return names if mode == 'all' else set()\n",
            "Don't take it for `lora_bias`",
        ),
        WrongAnswer(
            "all means the wrapped layers",
            _TRAINS + "    return set() if mode == 'none' else own\n",
            "every bias of the model",
        ),
        WrongAnswer(
            "any name that holds bias",
            _TRAINS + "    anywhere = {n for n, _ in model.named_parameters() if 'bias' in n}\n"
            "    return {'none': set(), 'lora_only': own, 'all': anywhere}[mode]\n",
            "only the last word of a name counts",
        ),
        WrongAnswer(
            "any name that ends with bias",
            _TRAINS + "    ends = {n for n, _ in model.named_parameters() if n.endswith('bias')}\n"
            "    return {'none': set(), 'lora_only': own, 'all': ends}[mode]\n",
            "only the last word of a name counts",
        ),
        WrongAnswer(
            "linear layers only",
            _TRAINS + "    linear = {f'{n}.bias' for n, m in model.named_modules()\n"
            "              if isinstance(m, torch.nn.Linear) and m.bias is not None}\n"
            "    return {'none': set(), 'lora_only': own, 'all': linear}[mode]\n",
            "The norms have biases too",
        ),
        WrongAnswer(
            "names of biases that are not there",
            _TRAINS + "    every = {f'{layer}.bias' for layer in wrapped}\n"
            "    return {'none': set(), 'lora_only': every, 'all': names}[mode]\n",
            "may have no bias at all",
        ),
        WrongAnswer(
            "begins with a wrapped layer's name",
            _TRAINS + "    begins = {n for n in names if any(n.startswith(w) for w in wrapped)}\n"
            "    return {'none': set(), 'lora_only': begins, 'all': names}[mode]\n",
            "is not the bias of a wrapped layer",
        ),
        WrongAnswer(
            "everything that is not all or lora_only is none",
            "def biases_that_train(model, wrapped, mode):\n"
            "    names = {n for n, _ in model.named_parameters() if n.split('.')[-1] == 'bias'}\n"
            "    if mode == 'all':\n"
            "        return names\n"
            "    if mode == 'lora_only':\n"
            "        return names & {f'{layer}.bias' for layer in wrapped}\n"
            "    return set()\n",
            'None is not "none"',
        ),
        WrongAnswer(
            "none trains them too",
            _TRAINS + "    return own if mode == 'lora_only' else names\n",
            'With "none" no bias trains',
        ),
    ],
    "bias_numbers": [
        WrongAnswer(
            "one head of k and v",
            _NUMBERS + "    sizes = dict.fromkeys(sizes, hidden // heads) | {'q_proj': hidden}\n"
            "    return blocks * sum(sizes[name] for name in counted)\n",
            "This counts one",
        ),
        WrongAnswer(
            "the heads of k and v",
            _NUMBERS + "    sizes = dict.fromkeys(sizes, kv_heads) | {'q_proj': hidden}\n"
            "    return blocks * sum(sizes[name] for name in counted)\n",
            "counts the heads of k and v",
        ),
        WrongAnswer(
            "hidden // kv_heads",
            _NUMBERS + "    sizes = dict.fromkeys(sizes, hidden // kv_heads) | {'q_proj': hidden}\n"
            "    return blocks * sum(sizes[name] for name in counted)\n",
            "is no width",
        ),
        WrongAnswer(
            "hidden for each head",
            _NUMBERS
            + "    sizes = dict.fromkeys(sizes, hidden * kv_heads) | {'q_proj': hidden * heads}\n"
            "    return blocks * sum(sizes[name] for name in counted)\n",
            "its heads share them",
        ),
        WrongAnswer(
            "layers",
            _NUMBERS + "    return blocks * len(counted)\n",
            "counts the layers",
        ),
        WrongAnswer(
            "o_proj under all",
            _NUMBERS + "    o = hidden if mode == 'all' else 0\n"
            "    return blocks * (o + sum(sizes[name] for name in counted))\n",
            "o_proj has no bias here",
        ),
        WrongAnswer(
            "the same for lora_only and all",
            _NUMBERS + "    return 0 if mode == 'none' else blocks * sum(sizes.values())\n",
            "counts q, k and v in each mode",
        ),
        WrongAnswer(
            "all without k",
            _NUMBERS + "    layers = [] if mode == 'none' else wrapped\n"
            "    return blocks * sum(sizes[name] for name in layers)\n",
            "k's bias trains too",
        ),
        WrongAnswer(
            "norms counted",
            _NUMBERS + "    norms = (2 * blocks + 1) * hidden if mode == 'all' else 0\n"
            "    return blocks * sum(sizes[name] for name in counted) + norms\n",
            "RMSNorm has a weight and no bias",
        ),
        WrongAnswer(
            "k and v as wide as q",
            _NUMBERS + "    return blocks * hidden * len(counted)\n",
            "as wide as kv_heads heads",
        ),
        WrongAnswer(
            "one block",
            _NUMBERS + "    return sum(sizes[name] for name in counted)\n",
            "This is one block",
        ),
        WrongAnswer(
            "the weights",
            _NUMBERS + "    return blocks * hidden * sum(sizes[name] for name in counted)\n",
            "one number for each output",
        ),
        WrongAnswer(
            "a float",
            _NUMBERS + "    narrow = hidden / heads * kv_heads\n"
            "    sizes = {'q_proj': hidden, 'k_proj': narrow, 'v_proj': narrow}\n"
            "    return blocks * sum(sizes[name] for name in counted) * 1.0\n",
            "Return an int",
        ),
    ],
    "adapter_contents": [
        WrongAnswer(
            "the biases looked up by their old names",
            _CONTENTS + "    of = dict(model.named_parameters())\n"
            "    wanted = [*filter(factor, of), *biases]\n"
            "    return {n: of[n].detach().clone() for n in wanted}\n",
            "in its name now, and not in `biases`",
        ),
        WrongAnswer(
            "shapes",
            _CONTENTS + "    return {n: p.shape for n, p in model.named_parameters()\n"
            "            if factor(n) or plain(n) in biases}\n",
            "Return tensors",
        ),
        WrongAnswer(
            "the file's names",
            _CONTENTS + "    return {n.replace('.default', ''): p.detach().clone() for n, p in "
            "model.named_parameters()\n            if factor(n) or plain(n) in biases}\n",
            "with the adapter's name in them",
        ),
        WrongAnswer(
            "lora_A anywhere in the name",
            _CONTENTS + "    return {n: p.detach().clone() for n, p in model.named_parameters() "
            "if 'lora_A' in n or 'lora_B' in n or plain(n) in biases}\n",
            "'explora_A.weight' is the base's",
        ),
        WrongAnswer(
            "factors only",
            _CONTENTS + "    return {n: p.detach().clone() for n, p in model.named_parameters() "
            "if factor(n)}\n",
            "loaded again, the model would be another one",
        ),
        WrongAnswer(
            "the whole model",
            "def adapter_contents(model, biases):\n"
            "    return {n: p.detach().clone() for n, p in model.named_parameters()}\n",
            "the whole model",
        ),
        WrongAnswer(
            "untrained biases too",
            _CONTENTS + "    return {n: p.detach().clone() for n, p in model.named_parameters()\n"
            "            if factor(n) or n.endswith('.bias')}\n",
            "a bias that was not trained",
        ),
        WrongAnswer(
            "what requires a gradient",
            "def adapter_contents(model, biases):\n"
            "    return {n: p.detach().clone() for n, p in model.named_parameters() "
            "if p.requires_grad}\n",
            "loaded to be used",
        ),
        WrongAnswer(
            "the biases by their old names",
            _CONTENTS + "    return {n: p.detach().clone() for n, p in model.named_parameters()\n"
            "            if factor(n) or n in biases}\n",
            "`base_layer.` in its name now",
        ),
        WrongAnswer(
            "old names in the result",
            _CONTENTS + "    return {plain(n): p.detach().clone() for n, p in "
            "model.named_parameters()\n            if factor(n) or plain(n) in biases}\n",
            "use its names as they are now",
        ),
        WrongAnswer(
            "lora_ anywhere in the name",
            _CONTENTS + "    return {n: p.detach().clone() for n, p in model.named_parameters()\n"
            "            if 'lora_' in n or plain(n) in biases}\n",
            "is the base's",
        ),
        WrongAnswer(
            "references",
            _CONTENTS + "    return {n: p.detach() for n, p in model.named_parameters()\n"
            "            if factor(n) or plain(n) in biases}\n",
            "Return copies",
        ),
    ],
    "measure_base": [
        WrongAnswer(
            "the trained biases not put back",
            _BASE + "    try:\n"
            "        put(off, start)\n"
            "        return measure(model)\n"
            "    finally:\n"
            "        put(was_on, {})\n",
            "Put the trained one back",
        ),
        WrongAnswer(
            "the biases stay",
            _BASE + "    try:\n"
            "        put(off, {})\n"
            "        return measure(model)\n"
            "    finally:\n"
            "        put(was_on, {})\n",
            "the trained biases are still in place",
        ),
        WrongAnswer(
            "no finally",
            _BASE + "    put(off, start)\n"
            "    result = measure(model)\n"
            "    put(was_on, kept)\n"
            "    return result\n",
            "use try and finally",
        ),
        WrongAnswer(
            "a reference, not a clone",
            _BASE + "    kept = {n: parameters[n].detach() for n in start}\n"
            "    try:\n"
            "        put(off, start)\n"
            "        return measure(model)\n"
            "    finally:\n"
            "        put(was_on, kept)\n",
            "instead of a clone()",
        ),
        WrongAnswer(
            "all branches on after",
            _BASE + "    try:\n"
            "        put(off, start)\n"
            "        return measure(model)\n"
            "    finally:\n"
            "        put([True] * len(layers), kept)\n",
            "one of them may have been off",
        ),
        WrongAnswer(
            "the branches stay on",
            _BASE + "    try:\n"
            "        put(was_on, start)\n"
            "        return measure(model)\n"
            "    finally:\n"
            "        put(was_on, kept)\n",
            "did not see the base",
        ),
        WrongAnswer(
            "new parameters",
            _BASE + "    def replace(values):\n"
            "        for n, v in values.items():\n"
            "            owner, _, leaf = n.rpartition('.')\n"
            "            setattr(model.get_submodule(owner), leaf, torch.nn.Parameter(v.clone()))\n"
            "    try:\n"
            "        put(off, {})\n"
            "        replace(start)\n"
            "        return measure(model)\n"
            "    finally:\n"
            "        replace(kept)\n"
            "        put(was_on, {})\n",
            "new objects now",
        ),
        WrongAnswer(
            "the error is swallowed",
            _BASE + "    try:\n"
            "        put(off, start)\n"
            "        return measure(model)\n"
            "    except Exception:\n"
            "        return None\n"
            "    finally:\n"
            "        put(was_on, kept)\n",
            "must come through",
        ),
        WrongAnswer(
            "start is written to",
            _BASE + "    try:\n"
            "        for n in start:\n"
            "            parameters[n].data = start[n]\n"
            "        put(off, {})\n"
            "        return measure(model)\n"
            "    finally:\n"
            "        put(was_on, kept)\n",
            "Copy its values into the parameters",
        ),
    ],
    "fewer_biases": [
        WrongAnswer(
            "o's bias through W_o",
            "def fewer_biases(b_q, b_k, b_v, W_o, b_o):\n"
            "    zero = torch.zeros_like(b_q)\n"
            "    return b_q, zero, zero, W_o @ (b_v + b_o)\n",
            "comes after W_o",
        ),
        WrongAnswer(
            "k's moved into o's",
            "def fewer_biases(b_q, b_k, b_v, W_o, b_o):\n"
            "    zero = torch.zeros_like(b_q)\n"
            "    return b_q, zero, zero, b_o + W_o @ (b_v + b_k)\n",
            "never reaches the output",
        ),
        WrongAnswer(
            "o's bias changed in place",
            "def fewer_biases(b_q, b_k, b_v, W_o, b_o):\n"
            "    zero = torch.zeros_like(b_q)\n"
            "    return b_q, zero, zero, b_o.add_(W_o @ b_v)\n",
            "itself, which it was given",
        ),
        WrongAnswer(
            "q's bias dropped as well",
            "def fewer_biases(b_q, b_k, b_v, W_o, b_o):\n"
            "    zero = torch.zeros_like(b_q)\n"
            "    return zero, zero, zero, b_o + W_o @ b_v\n",
            "q's bias meets each key anew",
        ),
        WrongAnswer(
            "q's dropped and k's kept",
            "def fewer_biases(b_q, b_k, b_v, W_o, b_o):\n"
            "    zero = torch.zeros_like(b_q)\n"
            "    return zero, b_k, zero, b_o + W_o @ b_v\n",
            "The new bias of k must be zero",
        ),
        WrongAnswer(
            "k's moved into q's",
            "def fewer_biases(b_q, b_k, b_v, W_o, b_o):\n"
            "    zero = torch.zeros_like(b_q)\n"
            "    return b_q + b_k, zero, zero, b_o + W_o @ b_v\n",
            "does not move into q's",
        ),
        WrongAnswer(
            "v's lost",
            "def fewer_biases(b_q, b_k, b_v, W_o, b_o):\n"
            "    zero = torch.zeros_like(b_q)\n"
            "    return b_q, zero, zero, b_o\n",
            "v's bias is lost",
        ),
        WrongAnswer(
            "v's moved without W_o",
            "def fewer_biases(b_q, b_k, b_v, W_o, b_o):\n"
            "    zero = torch.zeros_like(b_q)\n"
            "    return b_q, zero, zero, b_o + b_v\n",
            "goes through W_o",
        ),
        WrongAnswer(
            "W_o transposed",
            "def fewer_biases(b_q, b_k, b_v, W_o, b_o):\n"
            "    zero = torch.zeros_like(b_q)\n"
            "    return b_q, zero, zero, b_o + b_v @ W_o\n",
            "not its transpose",
        ),
        WrongAnswer(
            "in place",
            "def fewer_biases(b_q, b_k, b_v, W_o, b_o):\n"
            "    new = b_o + W_o @ b_v\n"
            "    return b_q, b_k.zero_(), b_v.zero_(), new\n",
            "itself, which it was given",
        ),
        WrongAnswer(
            "the old bias of o lost",
            "def fewer_biases(b_q, b_k, b_v, W_o, b_o):\n"
            "    zero = torch.zeros_like(b_q)\n"
            "    return b_q, zero, zero, W_o @ b_v\n",
            "o's own bias is lost",
        ),
    ],
    "run_blocks": [
        WrongAnswer("nothing mended", _RUN + _LOOP, "no adapter gets a gradient"),
        WrongAnswer(
            "the embedding unfrozen",
            _RUN.replace("    hidden", "    embed.requires_grad_(True)\n    hidden") + _LOOP,
            "The embedding is frozen and now requires a gradient",
        ),
        WrongAnswer(
            "the blocks unfrozen",
            _RUN + "    for block in blocks:\n        block.requires_grad_(True)\n" + _LOOP,
            "is frozen and now requires a gradient",
        ),
        WrongAnswer(
            "the result made to require a gradient",
            _RUN + _LOOP.replace("return hidden", "return hidden.requires_grad_()"),
            "nothing leads back from it into the blocks",
        ),
        WrongAnswer(
            "cut before each block",
            _RUN + _LOOP.replace("(block, hidden,", "(block, hidden.detach().requires_grad_(),"),
            "Only the last block's adapter got a gradient",
        ),
        WrongAnswer(
            "cut where the embedding trains too",
            _RUN + "    hidden = hidden.detach().requires_grad_()\n" + _LOOP,
            "Here the embedding trains, and it got no gradient",
        ),
        WrongAnswer(
            "without checkpoints",
            _RUN + "    for block in blocks:\n        hidden = block(hidden)\n    return hidden\n",
            "checkpointing is gone",
        ),
        WrongAnswer(
            "the first block without a checkpoint",
            _RUN + "    hidden = blocks[0](hidden)\n" + _LOOP.replace("in blocks", "in blocks[1:]"),
            "Block 1 did not run again",
        ),
        WrongAnswer(
            "the last block without a checkpoint",
            _RUN + _MENDED + "    return checkpoint_sequential("
            "list(blocks), len(blocks), hidden, use_reentrant=True)\n",
            "Block 3 did not run again",
        ),
        WrongAnswer(
            "one checkpoint for all",
            _RUN + _MENDED + "    whole = torch.nn.Sequential(*blocks)\n"
            "    return checkpoint(whole, hidden, use_reentrant=True)\n",
            "Give each block a checkpoint of its own",
        ),
        WrongAnswer(
            "under no_grad",
            _RUN + _MENDED + "    with torch.no_grad():\n"
            "        for block in blocks:\n"
            "            hidden = checkpoint(block, hidden, use_reentrant=False)\n"
            "    return hidden\n",
            "cut off by detach() or no_grad",
        ),
        WrongAnswer(
            "two passes of its own",
            _RUN + _MENDED + "    for block in blocks:\n"
            "        block(hidden)\n"
            "        hidden = checkpoint(block, hidden, use_reentrant=True)\n"
            "    return hidden\n",
            "run once each",
        ),
    ],
}

# The numbers of self-study.
WRONG["my_file"] = wrong_numbers(
    "my_file",
    {
        "the biases alone": ("396, 1_584", "The factors are in the file too"),
        "a bias for o_proj": ("12_276, 13_464", "o_proj has no bias"),
        "all as lora_only": ("11_484, 11_484", "layers without LoRA too"),
        "lora_only as all": ("12_672, 12_672", "layers with LoRA alone"),
        "one block": ("1_914, 2_112", "one block"),
        "k and v as wide as q": ("13_464, 15_048", "narrower than q"),
        "in the wrong order": ("12_672, 11_484", "the wrong order"),
        "o_proj's factors forgotten": ("5_148, 6_336", "A and B of o_proj"),
        "k_proj's factors forgotten": ("6_732, 7_920", "A and B of k_proj"),
        "one key head": ("10_164, 11_088", "This counts one"),
        "hidden // kv_heads": ("10_824, 11_880", "A head has hidden // heads numbers"),
        "norms counted": ("11_484, 14_388", "RMSNorm has a weight and no bias"),
        "o_proj's bias under all": ("11_484, 13_464", 'so that "all" trains none there'),
        "two mistakes": ("1_914, 15_048", "Your first number: This is one block"),
        "both off": ("11_000, 12_000", "Neither number is. Take one at a time"),
        "no biases": ("11_088, 12_672", 'the file of "none"'),
        "another student's": ("11_485, 12_672", "first number is not the answer to your numbers"),
    },
)

WRONG = joined(WRONG, afresh("06"))
