# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 06 Bias modes: which biases train, and who owns them
#
# A linear layer computes $W x + b$. LoRA leaves $W$ alone, but the argument `bias` of `LoraConfig` can
# train $b$: in no layer, in the layers with LoRA, or everywhere. [The card](00_start_here.ipynb) calls "none" the default and the
# safest. This lesson asks what is unsafe about the others, and whether they are worth it.
#
# **You will be able to**
#
# 1. say for each mode which biases train, how many numbers that is, and what the file must hold;
# 2. get the base back after its biases were trained;
# 3. find a bias that trains and does nothing, and the reason why no adapter gets a gradient;
# 4. compare the modes fairly, each at its own learning rate.
#
# **Time:** 38 minutes for the core path; what is marked *extra* takes 29 more.
#
# **You need:** names of modules and parameters (lesson 05), softmax attention, what a parameter's
# `requires_grad` does.
#
# **How it works:** replace the line in each exercise, run the cell, then run the check below it.
# `lesson.hint.NAME()` gives three hints, each stronger than the one before.
# `lesson.solution.NAME()` shows the answer. If you are stuck, go on: later cells use the package's
# own piece in place of yours and say so.

# %%
import tempfile
import warnings

import torch

import lora_lessons as ll
from lora_lessons.course.lesson06 import figures
from lora_lessons.experiments import key_bias
from lora_lessons.experiments import lesson06 as experiment

lesson = ll.lesson("06")
SIZE = experiment.SIZES[ll.preset()]  # quick, small or full: how long the live runs are
DEVICE = "cuda" if ll.preset() == "full" else "cpu"
_ = ll.seed_everything(0)

# %% [markdown]
# ## 1. Three modes (*core*)
#
# Where are biases at all? That depends on the architecture. Here are the kinds of bias of two small models:
# an **encoder** of the BERT kind, which was trained to name hidden words, and a **decoder** of the
# Qwen2 kind, which names the next token.

# %%
encoder, _ = ll.load_base("nano_encoder")
decoder, _ = ll.load_base("nano")
ll.Table(
    ("bias of the", "numbers in all blocks"),
    [
        (f"{title}: {kind}", f"{numbers:,d}")
        for title, model in {"encoder": encoder, "decoder": decoder}.items()
        for kind, numbers in experiment.sizes_by_kind(model).items()
    ],
)

# %% [markdown]
# The encoder has one in every linear layer and every norm, and one for each word of its vocabulary at the
# output. The decoder has them on q, k and v only: its norms (RMSNorm) have none. Many newer models, Llama
# and SmolLM2 among them, have none anywhere.
#
# | `bias=` | biases of the base that train |
# |---|---|
# | `"none"` | none (the default) |
# | `"lora_only"` | those of the layers that have LoRA |
# | `"all"` | every one in the model |
#
# `lora_bias=True` is another argument: it gives each $B$ a *new* bias, which belongs to the adapter. These
# three modes train the **base's own** numbers, in place. So one number has two owners, and the lesson is about that.
#
# ### Exercise 6.1: what trains (*core*, 7 minutes)
#
# Return the names of the biases that train in a mode. `wrapped` holds the full names of the layers that get
# LoRA. A parameter is a bias if the **last word** of its name is `bias`. Any other mode, `None` as well, is a
# `ValueError`.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "biases_that_train", "locked": false, "solution": true, "task": false}
def biases_that_train(model: torch.nn.Module, wrapped: list[str], mode: str) -> set[str]:
    """Return the names, as in model.named_parameters(), of the biases that train."""
    ### BEGIN SOLUTION
    names = {name for name, _ in model.named_parameters() if name.split(".")[-1] == "bias"}
    if mode == "none":
        return set()
    if mode == "lora_only":
        return names & {f"{layer}.bias" for layer in wrapped}
    if mode == "all":
        return names
    raise ValueError(f'bias must be "none", "lora_only" or "all", not {mode!r}')
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_biases_that_train", "locked": true, "points": 2, "solution": false, "task": false}
verdict = lesson.check.biases_that_train(biases_that_train)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# Does the package agree? Put LoRA on query and value, train for three steps, and look which biases have a new
# value. The text is Moby Dick: some of its tokens are hidden, and the loss is that of naming them.

# %% tags=["nbval-ignore-output"]
find_biases = lesson.use("biases_that_train", biases_that_train, experiment.biases_that_train)
QV = ["query", "value"]
LAYERS = [name for name, _ in encoder.named_modules() if name.split(".")[-1] in QV]
task = experiment.load_task(
    "nano_encoder", SIZE["batch"], SIZE["length"], SIZE["blocks"], device=DEVICE
)
start = {name: value.clone() for name, value in task.model.state_dict().items()}

# %%
seen_to_move = []
for mode in figures.MODES:
    adapted = ll.get_peft_model(task.model, ll.LoraConfig(r=8, target_modules=QV, bias=mode))
    _ = ll.fit(adapted, task.batches(0), steps=3, lr=1e-2, progress=False)
    # inside a wrapped layer the base's own layer is called base_layer
    now = {n.replace(".base_layer.", "."): p for n, p in task.model.named_parameters()}
    moved = {n for n in now if n.endswith(".bias") and not torch.equal(now[n], start[n])}
    assert moved == set(find_biases(encoder, LAYERS, mode))
    first = sorted(experiment.kind(name) for name in moved if ".layer.0." in name)
    in_first = ", ".join(figures.short(kind) for kind in first) or "none"
    seen_to_move.append((mode, str(len(moved)), in_first))
    _ = adapted.unload()
ll.Table(("bias=", "biases that moved", "in the first block"), seen_to_move)

# %% [markdown]
# Look at other models. The map asks the package's engine. Which model has nothing to train under "all"?

# %% tags=["nbval-ignore-output"]
lesson.explore.biases()

# %% [markdown]
# ### `None` is not `"none"` (*core*)
#
# The mode is a text. A `None`, which in other places means "leave it out", is a mistake, and it is best found
# when the config is made, not when a model is loaded:

# %%
for mode in (None, "lora_bias", "lora-only"):
    try:
        ll.LoraConfig(target_modules=["query", "value"], bias=mode)
    except ll.PeftError as error:
        print(f"{mode!r}: {error}")

# %% [markdown]
# ## 2. How many numbers (*extra*)
#
# A bias has one number for each output of its layer, so even "all" is little beside $W$. Beside LoRA it need
# not be little.
#
# ### Exercise 6.2: how many numbers (*extra*, 5 minutes)
#
# For a decoder with biases on `q_proj`, `k_proj` and `v_proj` only: return how many numbers of biases train in
# a mode, in all blocks. q has `hidden` outputs, which its `heads` share equally. k and v have only
# `kv_heads` heads of the same size. `wrapped` holds the short names of those of the three
# that have LoRA.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "bias_numbers", "locked": false, "solution": true, "task": false}
def bias_numbers(
    hidden: int, heads: int, kv_heads: int, blocks: int, wrapped: list[str], mode: str
) -> int:
    """Return the number of biases that train; mode is "none", "lora_only" or "all"."""
    ### BEGIN SOLUTION
    narrow = kv_heads * (hidden // heads)
    sizes = {"q_proj": hidden, "k_proj": narrow, "v_proj": narrow}
    counted = {"none": [], "lora_only": wrapped, "all": list(sizes)}[mode]
    return blocks * sum(sizes[name] for name in counted)
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_bias_numbers", "locked": true, "points": 1, "solution": false, "task": false}
verdict = lesson.check.bias_numbers(bias_numbers)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# The larger decoder has 6 blocks of width 256, with 8 heads and 4 key and value heads. The engine counts what your
# function counts. And beside it two models from the map: the larger encoder, and one without biases.

# %% tags=["nbval-ignore-output"]
numbers_of = lesson.use("bias_numbers", bias_numbers, figures.bias_numbers)

# %%
from lora_lessons.course.lesson06.explorer import bias_map

counted = []
for mode in figures.MODES:
    maps = {name: bias_map(name, "q and v", mode, 8) for name in ("decoder", "encoder", "Llama")}
    assert maps["decoder"].biases == numbers_of(256, 8, 4, 6, ["q_proj", "v_proj"], mode)
    counted.append((mode, *(f"{m.biases:,d} / {m.factors:,d}" for m in maps.values())))
ll.Table(("numbers of biases / of A and B", "decoder", "encoder", "Llama"), counted)

# %% [markdown]
# Two things to keep for later. On this decoder the modes differ by very little: "all" adds k's bias to
# "lora_only", 768 numbers. And on the encoder "all" trains nearly half as many numbers as LoRA does; 4,096 of
# them are the output's, one for each word.
#
# ## 3. What the file must hold (*core*)
#
# Train the encoder on Moby Dick with `bias="all"`, a little longer this time. Then save it.

# %% tags=["nbval-ignore-output"]
base_loss = task.loss(task.model)
adapted, row = experiment.train_arm(task, "all", lr=1e-3, seed=0, steps=SIZE["steps"])
print(f"loss before {base_loss:.4f}, after {row['last']:.4f}")

# %% [markdown]
# ### Exercise 6.3: what the file must hold (*core*, 6 minutes)
#
# `biases` holds the names of the biases that were trained, **as they were before LoRA was put in**. Return a
# dict from name to a copy of the value: all factors (a word of their name is `lora_A` or `lora_B`) and exactly
# these biases. The names in the dict are the model's names *now*: a wrapped layer's own layer is called
# `base_layer`, so `first.bias` has become `first.base_layer.bias`.
#
# Don't go by `requires_grad`: an adapter that was loaded to be used has nothing that trains, and must be saved
# whole all the same.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "adapter_contents", "locked": false, "solution": true, "task": false}
def adapter_contents(model: torch.nn.Module, biases: set[str]) -> dict[str, torch.Tensor]:
    """Return copies of the factors and of the named biases, by their names in the model."""
    ### BEGIN SOLUTION
    contents = {}
    for name, parameter in model.named_parameters():
        is_factor = bool({"lora_A", "lora_B"} & set(name.split(".")))
        if is_factor or name.replace("base_layer.", "") in biases:
            contents[name] = parameter.detach().clone()
    return contents
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_adapter_contents", "locked": true, "points": 2, "solution": false, "task": false}
verdict = lesson.check.adapter_contents(adapter_contents)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% tags=["nbval-ignore-output"]
contents_of = lesson.use("adapter_contents", adapter_contents, experiment.adapter_contents)
mine = contents_of(adapted.get_base_model(), set(find_biases(encoder, LAYERS, "all")))
file = ll.get_peft_model_state_dict(adapted)

# %%
keys = {f"base_model.model.{name.replace('.default.', '.')}" for name in mine}
assert keys < set(file)
print(f"the package saves {len(file)} tensors, yours has {len(mine)}")
# one tensor that stands in the model under two names; PEFT's file lists both
print("one more, for the output's bias has two names:", set(file) - keys)

# %% [markdown]
# Save it, load it into a fresh base, and the loss is the same to the last bit. Then load the factors **without**
# the biases, as a file would have it that holds only what is called `lora_`. With
# `strict=False` nothing fails, and another model comes out.

# %% tags=["nbval-ignore-output"]
with tempfile.TemporaryDirectory() as folder:
    adapted.save_pretrained(folder)
    fresh, _ = ll.load_base("nano_encoder", device=DEVICE)
    loaded = ll.PeftModel.from_pretrained(fresh, folder)
loss_loaded = task.loss(loaded)

fresh, _ = ll.load_base("nano_encoder", device=DEVICE)
half = experiment.adapt(fresh, experiment.ARMS["all"])
factors = {key: value for key, value in file.items() if ".lora_" in key}
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the package warns of what the file lacks
    ll.set_peft_model_state_dict(half, factors, strict=False)
loss_half = task.loss(half)
print(f"trained {row['last']:.4f}, loaded {loss_loaded:.4f}, factors alone {loss_half:.4f}")

# %%
assert loss_loaded == task.loss(adapted)
assert loss_half != loss_loaded
print("loaded: the same loss, bit for bit; without the biases: another one")
try:
    ll.set_peft_model_state_dict(half, factors)
except ll.AdapterFileError as error:
    print("\n".join(str(error).splitlines()[:3]), "\n...")

# %% [markdown]
# This is no invented mistake. From the release that put the base's layer inside as `base_layer` (about 0.7.0) up to
# 0.20.0, PEFT trained the biases under "lora_only" and did not save them (its
# [issue 3306](https://github.com/huggingface/peft/issues/3306)). Here a file that lacks some is refused, and what is missing is named; only
# `strict=False` lets it pass.
#
# ## 4. What disabling gives back (*core*)
#
# With "none", $B A$ is beside $W$ and the base is untouched. So switching the branch off gives the base. Commit to an
# answer before you go on: after training with `bias="all"`, what does PEFT's `disable_adapter()` give?

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "disable",
    "PEFT, trained with bias='all', inside disable_adapter()",
    options=["the base", "the base with the trained biases", "the adapted model", "an error"],
)

# %% tags=["nbval-ignore-output"]
import peft

warnings.filterwarnings("ignore", category=FutureWarning)  # of transformers, about other things


def in_library(library, mode):
    """A fresh nano encoder, adapted by a library; the factors and biases are made random."""
    base, _ = ll.load_base("nano_encoder")
    config = library.LoraConfig(r=8, target_modules=QV, bias=mode)
    _ = ll.seed_everything(0)  # the same factors to begin with
    adapted = library.get_peft_model(base, config)
    gen = ll.generator(1)
    with torch.no_grad():
        for parameter in (p for p in adapted.parameters() if p.requires_grad):
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=gen))
    return adapted.eval()


original, _ = ll.load_base("nano_encoder")
words = torch.randint(5, original.config.vocab_size, (2, 16), generator=ll.generator(0))


@torch.no_grad()
def logits(model):
    return model(input_ids=words).logits


base_logits = logits(original)

# %% tags=["nbval-ignore-output"]
theirs = in_library(peft, "all")
named = theirs.get_base_model().named_parameters()
biases = {name.replace(".base_layer.", "."): p for name, p in named if name.endswith(".bias")}
by_hand = ll.load_base("nano_encoder")[0].eval()  # the base with the trained biases
off, error = None, None
with torch.no_grad(), warnings.catch_warnings():
    warnings.simplefilter("ignore")
    for name, parameter in by_hand.named_parameters():
        parameter.copy_(biases.get(name, parameter))
    try:
        with theirs.disable_adapter():
            off = logits(theirs)
    except RuntimeError as raised:
        error = raised
lesson.compare(
    "disable",
    {
        "the base": error is None and torch.equal(off, base_logits),
        "the base with the trained biases": error is None and torch.allclose(off, logits(by_hand)),
        "the adapted model": error is None and torch.equal(off, logits(theirs)),
        "an error": error is not None,
    },
)

# %% [markdown]
# Switching the branches off is not enough: trained biases lie *in* the base's own layers. To get the base back, its own
# biases must be kept aside, and copied back:

# %%
ll.show(figures.owners())

# %% [markdown]
# ### Exercise 6.4: what disabling must give back (*core*, 9 minutes)
#
# Write it so that the base comes back. In the toy model of the check each LoRA layer has an attribute `branch_on`;
# other modules have not. `start` holds the base's values of the biases, by their names in
# `model.named_parameters()`. Return `measure(model)`, called once, with all branches off and the biases of `start` in
# place.
#
# Afterwards all must be as it was, **also when `measure` fails**: each `branch_on` (one may have been off), and the
# trained values, in the same Parameter objects, since an optimizer holds those. So write the values into the parameters
# (`with torch.no_grad(): parameter.copy_(value)`); do not replace them.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "measure_base", "locked": false, "solution": true, "task": false}
def measure_base(model: torch.nn.Module, start: dict[str, torch.Tensor], measure):
    """Return measure(model) for the base; then put back the branches and the trained biases."""
    ### BEGIN SOLUTION
    layers = [module for module in model.modules() if hasattr(module, "branch_on")]
    was_on = [layer.branch_on for layer in layers]
    parameters = dict(model.named_parameters())
    trained = {name: parameters[name].detach().clone() for name in start}
    try:
        for layer in layers:
            layer.branch_on = False
        with torch.no_grad():
            for name, value in start.items():
                parameters[name].copy_(value)
        return measure(model)
    finally:
        for layer, on in zip(layers, was_on, strict=True):
            layer.branch_on = on
        with torch.no_grad():
            for name, value in trained.items():
                parameters[name].copy_(value)
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_measure_base", "locked": true, "points": 3, "solution": false, "task": false}
verdict = lesson.check.measure_base(measure_base)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# The package does the same: it keeps the base's values when the adapter is put in. So disabling, switching and
# unloading give back the base, bit for bit, in each of the three modes.

# %%
with adapted.disable_adapter():
    assert task.loss(adapted) == base_loss
assert task.loss(adapted) == loss_loaded
print("disabled: the base's loss, bit for bit; then the adapter's again")

what_biases_did = experiment.by_kind(task, task.loss(adapted))
restored = adapted.unload().state_dict()
assert all(torch.equal(restored[name], start[name]) for name in start)
print("unloaded: every tensor is the base's again, biases too")

# %% [markdown]
# What it costs: a second copy of the biases, and only **one** adapter of a model may train them. Two adapters
# that each train the same numbers in place could not both be right.
#
# ## 5. A bias that trains and does nothing (*extra*, 15 minutes)
#
# A gradient shows what a parameter can do for the loss. The next cell measures the gradient of every kind of
# bias, in float64, on one batch. One of the encoder's is special. Which?

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "no_gradient",
    "The bias of the encoder's attention that gets no gradient",
    options=["query", "key", "value", "output"],
)

# %% tags=["nbval-ignore-output"]
gradients = {
    "encoder (BERT)": key_bias.bias_gradients("nano_encoder"),
    "decoder (Qwen2)": key_bias.bias_gradients("nano"),
}
ll.show(figures.gradients(gradients))

# %% tags=["nbval-ignore-output"]
kinds_of = {name: f"attention.self.{name}" for name in ("query", "key", "value")}
kinds_of["output"] = "attention.output.dense"
sizes_of = {name: gradients["encoder (BERT)"][kind] for name, kind in kinds_of.items()}
lesson.compare("no_gradient", sizes_of, best="lowest")

# %% tags=["nbval-ignore-output"]
for title, sizes in gradients.items():
    shown = [kind for kind in sizes if ".self." in kind or "self_attn" in kind]
    print(title, ", ".join(f"{figures.short(kind)} {sizes[kind]:.1e}" for kind in shown))

# %%
bert, qwen2 = gradients.values()
assert bert["attention.self.key"] < 1e-12 * bert["attention.self.query"]
assert qwen2["self_attn.k_proj"] > 1e-3 * qwen2["self_attn.q_proj"]
print("BERT's key bias has no gradient, to machine precision; Qwen2's has one")

# %% [markdown]
# Why? The score of query $i$ for key $j$ is $(q_i + b_q) \cdot (k_j + b_k)$. Write it out:
#
# $$q_i \cdot k_j + b_q \cdot k_j + \underbrace{(q_i + b_q) \cdot b_k}_{\text{the same for every } j}$$
#
# A softmax over $j$ does not change if all scores of a row grow by the same number. So $b_k$ does nothing, and
# its gradient is zero. $b_q$ stays: $b_q \cdot k_j$ differs from key to key. Namazifar and others (2023) prove it and
# find that language models do not notice when the key's bias is replaced by noise.
#
# Qwen2 turns q and k by an angle that grows with the position before it multiplies them (rotary positions).
# There the last term is $(q_i + b_q) \cdot R_{j-i}\, b_k$, which does depend on $j$. So its key bias counts.
# Try it:

# %% tags=["nbval-ignore-output"]
lesson.explore.attention()

# %%
lesson.explore.attention.static(positions="rotary, as in Qwen2")

# %% [markdown]
# ### Exercise 6.5: fewer biases, the same function (*extra*, 6 minutes)
#
# Attention as in BERT, with biases on q, k, v and on the output layer $W_o$ (out, in). Return new biases of q, k,
# v and o, in this order, with **zero for k and for v**, that compute the same for every input. What must become
# of v's bias? Each row of the attention weights sums to 1.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "fewer_biases", "locked": false, "solution": true, "task": false}
def fewer_biases(
    b_q: torch.Tensor,
    b_k: torch.Tensor,
    b_v: torch.Tensor,
    W_o: torch.Tensor,
    b_o: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return (b_q, b_k, b_v, b_o) with zeros for k and v, for the same attention."""
    ### BEGIN SOLUTION
    return b_q, torch.zeros_like(b_k), torch.zeros_like(b_v), b_o + W_o @ b_v
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_fewer_biases", "locked": true, "points": 2, "solution": false, "task": false}
verdict = lesson.check.fewer_biases(fewer_biases)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# Use it on a real model: give every block of the encoder the fewer biases, and look at its outputs.

# %% tags=["nbval-ignore-output"]
fewer = lesson.use("fewer_biases", fewer_biases, experiment.fewer_biases)
model, _ = ll.load_base("nano_encoder", dtype=torch.float64)
ids = torch.randint(5, model.config.vocab_size, (2, 16), generator=ll.generator(0))
with torch.no_grad():
    before = model(input_ids=ids).logits
    for block in model.bert.encoder.layer:
        of, out = block.attention.self, block.attention.output.dense
        layers = (of.query, of.key, of.value, out)
        new = fewer(of.query.bias, of.key.bias, of.value.bias, out.weight, out.bias)
        for layer, bias in zip(layers, new, strict=True):
            layer.bias.copy_(bias)
    after = model(input_ids=ids).logits

# %%
torch.testing.assert_close(after, before, rtol=1e-10, atol=1e-10)
print("the encoder computes the same without a bias on k or v")

# %% [markdown]
# So of BERT's four biases of the attention two are spare. Under "lora_only" with LoRA on query and value, two train:
# q's, and v's, which does what a bias of the output would do. On Qwen2 all three count, v's because its output layer
# has no bias of its own.
#
# ### It moves all the same
#
# No gradient means no movement? Not with Adam. In float32 the key's gradient is not zero but rounding noise,
# and Adam divides each gradient by its own size. From section 3, the model trained with `bias="all"`. *Moved* is how
# far an entry moved, in the mean; *worth* is how much the loss rises if this kind of bias alone is put back to the
# base's values.

# %% tags=["nbval-ignore-output"]
figures.kinds_table({"kinds": what_biases_did})

# %%
key = what_biases_did["attention.self.key"]
assert abs(key["worth"]) < 1e-3, "the key's bias does nothing, wherever it went"
print("putting the key's bias back changes nothing; the file holds it all the same")

# %% [markdown]
# ## 6. A gradient that gets lost (*extra*, 10 minutes)
#
# One more gradient that does not arrive, and this time it is that of every adapter. **Gradient checkpointing** saves
# memory: a block keeps its input alone, and computes its inside a second time in the backward pass.
# PyTorch's first kind of checkpoint, called *reentrant*, records a block only if the block's **input** requires a
# gradient. That the block's own parameters do is not looked at. In full training the input always does, for the
# embedding trains. With LoRA the embedding is frozen.

# %%
from torch.utils.checkpoint import checkpoint

from lora_lessons.experiments import checkpointing


def as_it_stands(embed, blocks, ids):
    """Run the blocks of a model, each under a reentrant checkpoint."""
    hidden = embed(ids)
    for block in blocks:
        hidden = checkpoint(block, hidden, use_reentrant=True)
    return hidden


# %% [markdown]
# LoRA is on query and value of the nano encoder, which makes six adapters. Predict: with which `bias=` does each $B$
# get a gradient? What trains in each mode is in section 1.

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "checkpointed",
    "Reentrant checkpoints: the adapters get a gradient with",
    options=["no mode", "all alone", "lora_only and all", "each mode"],
)

# %%
learning, told = {}, []
for mode in figures.MODES:
    for head_trains in (False, True):
        found = checkpointing.gradients(as_it_stands, mode, head_trains)
        learn = sum(gradient is not None for gradient in found["B"].values())
        learning[mode, head_trains] = learn == len(found["B"])
        head = "a head that trains" if head_trains else "a frozen head"
        said = "backward() raises an error" if found["error"] else "no error"
        told.append((f"{mode}, and {head}", f"{learn} of {len(found['B'])}", said))
ll.Table(("bias=, and the head", "adapters that learn", "what is said"), told)

# %% tags=["nbval-ignore-output"]
with_gradient = [mode for mode in figures.MODES if learning[mode, False]]
lesson.compare(
    "checkpointed",
    {
        "no mode": with_gradient == [],
        "all alone": with_gradient == ["all"],
        "lora_only and all": with_gradient == ["lora_only", "all"],
        "each mode": len(with_gradient) == 3,
    },
)

# %% [markdown]
# Under "all" the bias of the embedding's own norm trains, so the input of the first block requires a gradient, and all
# is well, by luck. Under "none" and "lora_only" nothing arrives. If nothing else trains, `backward()` raises an error.
# If a head trains as well (lesson 08), it does not: the head learns, the loss falls, and every $B$ stays
# zero. PyTorch gives a warning, which a long log hides.
#
# ### Exercise 6.6: the gradient that checkpointing loses (*extra*, 8 minutes)
#
# Mend it. Return the output of the last block for the token ids. Each block runs under a checkpoint of its own, and
# the adapters get the very gradients of a run without checkpoints, also where a block has dropout. What is frozen
# stays frozen. Where the embedding does train, it must get its gradient too.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "run_blocks", "locked": false, "solution": true, "task": false}
def run_blocks(
    embed: torch.nn.Module, blocks: torch.nn.ModuleList, ids: torch.Tensor
) -> torch.Tensor:
    """Return the blocks' output (batch, time, width) for ids (batch, time), checkpointed."""
    ### BEGIN SOLUTION
    hidden = embed(ids)
    if not hidden.requires_grad:
        hidden.requires_grad_()  # the flag of this tensor: the embedding's weight stays frozen
    for block in blocks:
        hidden = torch.utils.checkpoint.checkpoint(block, hidden, use_reentrant=True)
    return hidden
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_run_blocks", "locked": true, "points": 2, "solution": false, "task": false}
verdict = lesson.check.run_blocks(run_blocks)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% tags=["nbval-ignore-output"]
run = lesson.use("run_blocks", run_blocks, checkpointing.run_blocks)

# %%
for mode in figures.MODES:
    plain = checkpointing.gradients(checkpointing.run_plain, mode)
    assert checkpointing.furthest_apart(checkpointing.gradients(run, mode), plain) < 1e-10
print("with checkpoints and without, each B gets the same gradient, in all three modes")

# %% [markdown]
# The other cure is the newer kind, `use_reentrant=False`. It records what the block uses, its parameters too, and is
# what transformers takes today. So you meet this trap in older code and where you call `checkpoint` yourself.
#
# ## 7. What is it worth? (*core*)
#
# Five arms on the same text, Moby Dick, with LoRA on q and v:
#
# - the three modes, at $r = 8$;
# - **none, wider**: no bias, but a larger $r$, so that as many numbers train as under "all". Are the numbers
#   better spent on biases? (Recorded on the encoder alone.)
# - **biases alone**: all biases and no LoRA at all. This is known as BitFit.
#
# Each arm chooses its learning rate with one seed, among three in the recorded runs and two in the live ones; for the
# biases alone the rates tried are three times as high. The losses that are compared come from other seeds. A seed gives every
# arm the same batches, so two arms can be compared seed by seed, which takes away the noise that they share. Predict
# the larger, recorded encoder:

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "best_mode",
    "The arm with the lowest loss (recorded encoder)",
    options=list(experiment.ARMS),
)

# %% [markdown]
# First live, the three modes and the biases alone, on the nano encoder:

# %% tags=["nbval-ignore-output"]
live = experiment.bias_sweep(
    arms=["none", "lora_only", "all", "biases alone"],
    lrs=(1e-3, 3e-3),
    seeds=SIZE["seeds"],
    steps=SIZE["steps"],
    batch_size=SIZE["batch"],
    length=SIZE["length"],
    valid_blocks=SIZE["blocks"],
    device=DEVICE,
    progress=True,
)
figures.arms_table(live, "nano encoder, live")

# %% tags=["nbval-ignore-output"]
ll.gap_table(
    ll.gaps_against(figures.seeds_of(live), "none", family="each arm against none"),
    unit="nats per token",
)

# %%
assert len(live["runs"]) == 4 * len(SIZE["seeds"])
assert live["arms"]["all"]["biases"] == live["arms"]["biases alone"]["parameters"]
print("four arms; the biases that train under 'all' are those of the biases alone")

# %% [markdown]
# Look at the last column before you rank these arms: a few seeds of few, short steps settle little.
#
# Now the recorded runs, larger models and more seeds: the encoder and the decoder, 200 steps of 8 x 64 tokens, three
# learning rates, five seeds. The bar is the 95 % interval of the mean.

# %%
encoder_run = lesson.recorded("06_bias_modes_encoder")
encoder_run

# %%
decoder_run = lesson.recorded("06_bias_modes_decoder")
decoder_run

# %% tags=["nbval-ignore-output"]
lesson.compare("best_mode", figures.seeds_of(encoder_run.data), best="lowest")

# %%
ll.show(figures.gaps({"encoder": encoder_run.data, "decoder": decoder_run.data}))

# %%
figures.arms_table(encoder_run.data, "encoder")

# %%
ll.gap_table(
    ll.gaps_against(
        figures.seeds_of(encoder_run.data), "none", family="encoder: each arm against none"
    ),
    unit="nats per token",
)

# %%
figures.arms_table(decoder_run.data, "decoder")

# %%
ll.gap_table(
    ll.gaps_against(
        figures.seeds_of(decoder_run.data), "none", family="decoder: each arm against none"
    ),
    unit="nats per token",
)

# %% [markdown]
# ### What came out (*core*)
#
# - **Every difference to "none" is settled, and those of the modes are small.** On the decoder "lora_only" and "all"
#   gain less than 1 % of what LoRA gains; on the encoder "all" gains 5 %, "lora_only" next to nothing.
# - **A wider rank gains too**, on the encoder by 0.0079 ± 0.0046. "All" and "none" with as many numbers in the rank
#   are not told apart (the next table).
# - **Biases alone go far for so few numbers**, and stay behind LoRA on both models.
#
# So "all" is no free gift: where it helps, the rank helps too, and "none" leaves the base untouched.

# %%
both = figures.seeds_of(encoder_run.data)
ll.gap_table(
    ll.paired_gap(both["all"], both["none, wider"], names=("all", "none, wider")),
    unit="nats per token",
    caption="encoder",
)

# %% [markdown]
# ### Which biases earn it, and two cautions (*extra*)
#
# In one recorded run with "all" each kind of bias was put back to the base's values, alone: the table below. *Moved* and
# *worth* are explained in section 5. On the encoder one kind stands out, the output's, with one number for each
# word: it learns which words the new text likes, whatever stands around them. The key's bias moved almost as far as the
# query's and has next to no worth; on the GPU the products are in bfloat16, so that its gradient is rounding noise,
# and so may any other worth as small be.
#
# A worth is that of one kind put back *alone*: several are negative, for the biases were trained together and lean on
# each other. And the rates, which were chosen with another seed: on the encoder every arm chose the lowest of its
# three, on the decoder the biases alone chose their highest. The end of a list need not be the best rate.

# %%
ll.show(figures.kinds(encoder_run.data))

# %%
figures.kinds_table(encoder_run.data, "encoder")

# %%
figures.kinds_table(decoder_run.data, "decoder")

# %% [markdown]
# ## Your turn (*core*)
#
# ### Question 6.7: your verdict (*core*, written, 5 minutes, 3 points)
#
# A colleague writes: "I always set `bias='all'`. It costs almost no parameters, the loss can only get better, and
# with `disable_adapter()` I still have the base for comparison." In at most five sentences: which of the three
# statements do you accept, for which models, and what would you ask them to do? Use at least two numbers
# from this page.

# %% [markdown] nbgrader={"schema_version": 3, "grade": true, "grade_id": "verdict_on_biases", "locked": false, "points": 3, "solution": true, "task": false}
# The first holds on the decoder, where "all" adds 3,072 numbers to 43,008, less so on the encoder, where it adds
# 21,760 to 49,152, and a model without biases gains none. The second was so in these runs, but nothing promises it,
# and it is no reason for biases: on the encoder "all" was lower by 0.0094 ± 0.0054, a wider rank with as many numbers
# by 0.0079 ± 0.0046, and the two cannot be told apart. The third is wrong in PEFT: disable_adapter() leaves the
# trained biases in place, so what they compare with is not the base. I would ask them to load the base anew for the
# comparison, and to show each mode at its own learning rate, seed by seed.

# %% [markdown]
# ### Exercise 6.8: what your own file holds (*extra*, 4 minutes)
#
# These numbers are your own. In a course, write your student id between the quotes, as your teacher
# gave it to you; alone, leave it empty.
#
# A decoder of the Qwen2 kind: biases on `q_proj`, `k_proj` and `v_proj` only, and `o_proj` maps `hidden` numbers to
# `hidden`. LoRA of rank `r` on the two `target_modules`. Return how many numbers the adapter's file holds
# with `bias="lora_only"`, and how many with `bias="all"`. Work them out by hand or in any cell, and return what
# came out: `return 1_000, 2_000`.

# %%
STUDENT = ""
mine = lesson.mine("my_file", STUDENT)
mine


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "my_file", "locked": false, "solution": true, "task": false}
def my_file() -> tuple[int, int]:
    """Return the numbers in the file with "lora_only" and with "all"."""
    ### BEGIN SOLUTION
    return 11_484, 12_672  # for self-study: 6 * 4 * (66 + 132 + 132 + 132) + 6 * 66, or 6 * 264
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_my_file", "locked": true, "points": 1, "solution": false, "task": false}
verdict = lesson.check.my_file(my_file)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# ## 8. The same in PEFT (*core*)
#
# The same three modes train as many numbers, and a file with biases goes both ways.

# %%
assert ll.LoraConfig().bias == peft.LoraConfig().bias == "none"
in_both = []
for mode in figures.MODES:
    ours, theirs = in_library(ll, mode), in_library(peft, mode)
    assert ours.get_nb_trainable_parameters() == theirs.get_nb_trainable_parameters()
    torch.testing.assert_close(logits(ours), logits(theirs), rtol=1e-5, atol=1e-5)
    with tempfile.TemporaryDirectory() as folder:
        ours.save_pretrained(folder)
        back = peft.PeftModel.from_pretrained(ll.load_base("nano_encoder")[0], folder).eval()
    torch.testing.assert_close(logits(back), logits(ours), rtol=1e-5, atol=1e-5)
    trained = ours.get_nb_trainable_parameters()[0]
    in_both.append((mode, f"{trained:,d}", "yes"))
ll.Table(("bias=", "numbers that train in both", "PEFT reads our file"), in_both)

# %% [markdown]
# Now disable it. PEFT warns, and then leaves the trained biases where they are; `unload()` does so without a
# word.

# %%
after = []
for mode in figures.MODES:
    for library in (ll, peft):
        model = in_library(library, mode)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            warnings.simplefilter("ignore", FutureWarning)
            with model.disable_adapter():
                disabled = torch.equal(logits(model), base_logits)
        unloaded = torch.equal(logits(model.unload()), base_logits)
        assert (disabled and unloaded) == (library is ll or mode == "none")
        name = f"{mode}, {'here' if library is ll else 'in PEFT'}"
        says = ("yes" if same else "NO" for same in (disabled, unloaded))
        after.append((name, *says, str(len(caught))))
ll.Table(("bias=", "disabled, it is the base", "unloaded, it is the base", "warnings"), after)

# %% [markdown]
# The cure of section 6, in one line. transformers and PEFT call it by themselves where a model's checkpointing is on.

# %%
theirs = in_library(peft, "none")
before = theirs.get_input_embeddings()(words).requires_grad
theirs.enable_input_require_grads()
print("the embedding's output requires a gradient:", before, "before,", end=" ")
print(theirs.get_input_embeddings()(words).requires_grad, "after")

# %% [markdown]
# And `bias=None`: PEFT takes the config, and fails when the model is adapted, in words that don't name the mistake.

# %%
config = peft.LoraConfig(target_modules=QV, bias=None)
try:
    peft.get_peft_model(ll.load_base("nano_encoder")[0], config)
except AttributeError as error:
    print(f"AttributeError: {error}")

# %% [markdown]
# ## What the card says, and what was measured

# %%
lesson.claims()

# %% [markdown]
# ## Summary
#
# - "none" trains no bias, "lora_only" those of the layers with LoRA, "all" every one, in norms and heads too. Some
#   models have none at all. `lora_bias` is something else.
# - The biases are the base's own numbers, trained in place. So they must be in the file, and they must be put
#   back when the adapter is switched off. PEFT does the first in both modes since 0.21, and not the second.
# - BERT's key bias has no gradient, since the softmax cancels it; with rotary positions it has one. Adam moves
#   it all the same.
# - A reentrant checkpoint behind a frozen embedding gives no adapter a gradient. Let the embedding's *output* require
#   one, or take `use_reentrant=False`.
# - Measured here, "all" gained less than 1 % on the decoder and 5 % on the encoder of what LoRA gains; on the encoder a
#   wider rank of as many numbers gains as much, as far as five seeds can tell. "none" is the mode that costs nothing to
#   leave.
#
# ### Cards for review
#
# Read the question, answer aloud, then open the card. Come back tomorrow, in three days and in a week.

# %%
lesson.cards()

# %% [markdown]
# ### Further reading
#
# - Ben Zaken, Ravfogel and Goldberg, *BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based
#   Masked Language-models*, 2021, [arXiv 2106.10199](https://arxiv.org/abs/2106.10199): the biases alone.
# - Devlin and others, *BERT*, 2018, [arXiv 1810.04805](https://arxiv.org/abs/1810.04805): the encoder and its masking of words.
# - Su and others, *RoFormer: Enhanced Transformer with Rotary Position Embedding*, 2021, [arXiv 2104.09864](https://arxiv.org/abs/2104.09864).
# - Hu and others, *LoRA: Low-Rank Adaptation of Large Language Models*, 2021, [arXiv 2106.09685](https://arxiv.org/abs/2106.09685): trains no biases.
# - Namazifar, Hazarika and Hakkani-Tur, *Role of Bias Terms in Dot-Product Attention*, 2023, [arXiv 2302.08626](https://arxiv.org/abs/2302.08626): the
#   key's bias is redundant, the value's counts for more than the query's.
# - PEFT's documentation of [`LoraConfig`](https://huggingface.co/docs/peft/package_reference/lora): `bias`, `lora_bias`.
# - Chen, Xu, Zhang and Guestrin, *Training Deep Nets with Sublinear Memory Cost*, 2016, [arXiv 1604.06174](https://arxiv.org/abs/1604.06174): checkpointing.
# - PyTorch's documentation of `torch.utils.checkpoint`: the two kinds. Users who met the trap: PEFT's issues 137 and 1142.
#
# Next: [lesson 07](07_task_types.ipynb) asks what `task_type` does.

# %%
lesson.summary()
