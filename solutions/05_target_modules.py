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
# # 05 Target modules: which layers get an adapter
#
# `target_modules` names the layers that LoRA adapts. [The card](00_start_here.ipynb) calls it the most
# important parameter. It
# is also the one that fails most quietly: a name that matches nothing may raise no error at all. This
# lesson first makes the names safe, then measures what the choice is worth.
#
# **You will be able to**
#
# 1. say for any `target_modules` which modules match, and check it before you train;
# 2. find the mistakes that raise no error: a typo, a pattern inside a list;
# 3. compare two choices of layers fairly, at one budget of trained parameters;
# 4. adapt q and v, and not k, where all three are one fused layer.
#
# **Time:** 38 minutes for the core path; what is marked *extra* takes 23 more.
#
# **You need:** lists and strings in Python, what a regular expression is, and how many numbers $B$ and $A$
# hold (lesson 01).
#
# **How it works:** replace the line in each exercise, run the cell, then run the check below it.
# `lesson.hint.NAME()` gives three hints, each stronger than the one before.
# `lesson.solution.NAME()` shows the answer. If you are stuck, go on: later cells use the package's
# own piece in place of yours and say so.

# %%
import warnings

import torch

import lora_lessons as ll
from lora_lessons.course import mechanisms
from lora_lessons.course.lesson05 import figures
from lora_lessons.experiments import lesson05 as experiment
from lora_lessons.experiments import target_gradients

lesson = ll.lesson("05")
SIZE = experiment.SIZES[ll.preset()]  # quick, small or full: how long the live runs are
DEVICE = "cuda" if ll.preset() == "full" else "cpu"
_ = ll.seed_everything(0)  # the same random numbers in each run of this page

# %% [markdown]
# ## 1. Names (*core*)
#
# Every module of a model has a full name: the way to it, word by word, with dots between. These are
# the layers with weights in the first block of the decoder, and what stands outside the blocks:

# %%
model, tokenizer = ll.load_base("decoder")
for name, module in model.named_modules():
    if isinstance(module, torch.nn.Linear | torch.nn.Embedding) and ".layers.0" in name:
        print(f"{name:36s} {tuple(module.weight.shape)}")
print("outside the blocks: model.embed_tokens and lm_head, which share one weight")

# %% [markdown]
# The attention has four linear layers, `q_proj`, `k_proj`, `v_proj` and `o_proj`. k and v are half as wide as q:
# two query heads share one key and value head (*grouped-query attention*). The MLP has three,
# `gate_proj`, `up_proj` and `down_proj`. This is the block with `target_modules=["q_proj", "v_proj"]`:

# %%
ll.show(mechanisms.decoder_block(["q_proj", "v_proj"], biases=["q_proj", "k_proj", "v_proj"]))

# %% [markdown]
# `target_modules` picks from these names by two different rules:
#
# | you write | the rule | example |
# |---|---|---|
# | a **list** | an entry is plain text. It matches a name that *is* the entry, or that ends with a dot and the entry | `["q_proj", "mlp.up_proj"]` |
# | one **string** | a regular expression for the *full* name, from its start to its end | `r".*\.layers\.[45]\..*_proj"` |
#
# Try it. The panel asks the package's own matching. Choose from the lists, or type over them: what does
# `['proj']` do? And a pattern inside a list?

# %% tags=["nbval-ignore-output"]
lesson.explore.targets()

# %% [markdown]
# ### Exercise 5.1: what a name must be to match (*core*, 6 minutes)
#
# Write both rules. `targets` is a list of texts, or one string. `re.fullmatch(pattern, name)` returns None
# where the pattern does not fit the whole name.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "is_target", "locked": false, "solution": true, "task": false}
def is_target(name: str, targets: list[str] | str) -> bool:
    """Return True where a module of this full name is named by `targets`."""
    import re

    ### BEGIN SOLUTION
    if isinstance(targets, str):
        return re.fullmatch(targets, name) is not None
    return any(name == entry or name.endswith(f".{entry}") for entry in targets)
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_is_target", "locked": true, "points": 2, "solution": false, "task": false}
verdict = lesson.check.is_target(is_target)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# ### Two ways to take layers out again (*core*)
#
# `exclude_modules` follows the same two rules, and it is asked first: what it names is left as it is.
# `layers_to_transform` keeps only some blocks, by their number: `[0, 1]` the first two. It works with a
# list of targets only.

# %%
choices = (
    {"target_modules": ["q_proj", "v_proj"]},
    {"target_modules": ["q_proj", "v_proj"], "exclude_modules": r".*\.layers\.0\..*"},
    {"target_modules": ["q_proj", "v_proj"], "layers_to_transform": [4, 5]},
    {"target_modules": r".*\.layers\.[45]\.self_attn\.(q|v)_proj"},
)
found = [ll.plan_injection(model, ll.LoraConfig(**choice)).targets for choice in choices]
ll.Table(
    ("arguments", "modules", "the first"),
    [
        (", ".join(f"{name}={value!r}" for name, value in choice.items()), str(len(f)), f[0].name)
        for choice, f in zip(choices, found, strict=True)
    ],
)

# %% [markdown]
# ### Exercise 5.2: in which block (*extra*, 5 minutes)
#
# The number of a block is the first word of the name that is a whole number.
# Return True where the module sits in one of the blocks of the list. Mind block 1 and block 11, lists with
# gaps such as `[0, 11]`, names with another word before the number (`h.11.attn.c_attn`) or with a second
# number (`layers.11.mlp.experts.1.up_proj`), and modules outside all blocks.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "in_blocks", "locked": false, "solution": true, "task": false}
def in_blocks(name: str, blocks: list[int]) -> bool:
    """Return True where the first number that stands alone between the dots is in `blocks`."""
    ### BEGIN SOLUTION
    numbers = [int(word) for word in name.split(".") if word.isdigit()]
    return len(numbers) > 0 and numbers[0] in blocks
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_in_blocks", "locked": true, "points": 1, "solution": false, "task": false}
verdict = lesson.check.in_blocks(in_blocks)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# PEFT's pattern, which the package follows, asks for more: a word before the list's own name, and one behind
# the number. So in a model whose list lies at its top the first number may be missed. There `layers_pattern`
# names the list:

# %%
from lora_lessons.lora.matching import layer_index

full_names = ("model.layers.3.mlp.up_proj", "h.11.attn.c_attn", "layers.11.mlp.experts.1.up_proj")
ll.Table(
    ("name", "block", "block with layers_pattern"),
    [
        (name, str(layer_index(name, None)), str(layer_index(name, ["layers", "h"])))
        for name in full_names
    ],
)

# %% [markdown]
# One more trap in PEFT: a target given by its *full* name is adapted whatever `layers_to_transform` says. Here it
# obeys.
#
# ### The names are not the same everywhere (*core*)
#
# The card lists `q_proj` and `v_proj`, "(Transformers)". These are names of one family of models. Here are
# the same layers in five architectures, and what the library takes if you give no `target_modules`:

# %%
# the package's own list, imported only to look into it here
from lora_lessons.lora.more.layers.default_targets import default_targets

by_model = []
for name, toy in experiment.toy_models().items():
    last_words = [n.rsplit(".", 1)[-1] for n, _ in toy.named_modules()]
    count = sum(word in ("q_proj", "v_proj") for word in last_words)
    standard = ", ".join(sorted(default_targets(toy.config.model_type)))
    by_model.append((name, str(count), standard))
ll.Table(("model", "modules q_proj and v_proj", "taken by default"), by_model)

# %% [markdown]
# ## 2. "all-linear", and the layer it leaves out (*core*)
#
# `target_modules="all-linear"` needs no names: it takes every linear layer of any model. With one
# exception: the **output layer** of a language model, `lm_head` here, stays as it is. It is large (a row
# for each token of the vocabulary), and it often shares its weight with the input embedding, so that
# an update of one would be an update of the other when it is merged. A model that sorts texts into classes
# (`task_type="SEQ_CLS"`, lesson 08) has no such layer; there its head, `score` or `classifier`, is left out.
#
# ### Exercise 5.3: every linear layer but one (*core*, 5 minutes)
#
# Return the full names of all `torch.nn.Linear` modules but the output layer. That layer is called
# `lm_head` here and `embed_out` elsewhere, so don't go by its name: `model.get_output_embeddings()` returns it.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "all_linear", "locked": false, "solution": true, "task": false}
def all_linear(model: torch.nn.Module) -> list[str]:
    """Return the full names of the linear layers, the output layer left out."""
    ### BEGIN SOLUTION
    output = model.get_output_embeddings()
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not output
    ]
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_all_linear", "locked": true, "points": 2, "solution": false, "task": false}
verdict = lesson.check.all_linear(all_linear)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% tags=["nbval-ignore-output"]
find_linear = lesson.use("all_linear", all_linear, figures.all_linear)
names = find_linear(model)

# %%
engine = ll.plan_injection(model, ll.LoraConfig(target_modules="all-linear")).targets
assert {target.name for target in engine} == set(names)
print(len(names), "linear layers; lm_head among them:", "lm_head" in names)

# %% [markdown]
# ## 3. What a typo does (*core*)
#
# Before training, ask what matched. `ll.plan_injection` finds everything and changes nothing; printed, it is
# the report:

# %%
plan = ll.plan_injection(model, ll.LoraConfig(r=8, target_modules=["q_proj", "v_proj"]))
print("\n".join(str(plan).splitlines()[:4]), "\n...\n" + str(plan).splitlines()[-1])

# %% [markdown]
# Three mistakes that users make again and again:
#
# | mistake | `target_modules` |
# |---|---|
# | a typo beside a right entry | `["q_proj", "v_porj"]` |
# | a pattern inside a list | `["q_proj", ".*\.mlp\..*"]` |
# | a part of a name | `["proj"]` |
#
# Commit to an answer first: of how many of them does PEFT tell you, by an error or a warning?

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "typo", "Mistakes of the three that PEFT raises or warns of", options=["0", "1", "2", "3"]
)

# %% tags=["nbval-ignore-output"]
import peft

# PEFT asks a model for something by its old name; transformers warns, but it concerns PEFT alone
warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)


def adapted_by_peft(targets, **more):
    """The modules that PEFT adapts, and the numbers that train."""
    base, _ = ll.load_base("decoder")
    config = peft.LoraConfig(r=8, target_modules=targets, task_type="CAUSAL_LM", **more)
    their_model = peft.get_peft_model(base, config)
    layers = {n for n, m in their_model.base_model.model.named_modules() if hasattr(m, "lora_A")}
    return layers, their_model.get_nb_trainable_parameters()[0]


mistakes = {
    "a typo beside a right entry": ["q_proj", "v_porj"],
    "a pattern inside a list": ["q_proj", r".*\.mlp\..*"],
    "a part of a name": ["proj"],
}

# %%
in_peft = []
for label, targets in mistakes.items():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)  # the kind that PEFT gives
        try:
            (layers, trained), error = adapted_by_peft(targets), "none"
        except ValueError as raised:
            (layers, trained), error = (set(), 0), type(raised).__name__
    told = sum(issubclass(warning.category, UserWarning) for warning in caught)
    in_peft.append((label, error, told, len(layers), trained))
ll.Table(
    ("mistake", "error in PEFT", "warnings", "modules adapted", "numbers that train"),
    [
        (label, error, str(told), str(count), f"{trained:,d}")
        for label, error, told, count, trained in in_peft
    ],
)

# %% tags=["nbval-ignore-output"]
told = sum(error != "none" or warned > 0 for _, error, warned, *_ in in_peft)
lesson.compare("typo", {str(count): count == told for count in range(4)})

# %% [markdown]
# PEFT raises an error only where *nothing* matches. In the first two it says nothing: q alone is adapted and
# trains, and the loss falls, only less. The package here raises an error for each of the three, before anything is
# changed:

# %%
for label, targets in mistakes.items():
    try:
        ll.plan_injection(model, ll.LoraConfig(target_modules=targets))
    except ll.PeftError as error:
        print(f"{label}, {targets}:\n    {error}\n")

# %% [markdown]
# ### Exercise 5.4: the entries that matched nothing (*core*, 5 minutes)
#
# Write the test that finds the first two. `names` are the full names of the model's modules, `entries` the
# list given as `target_modules`. Return the entries that match no module, in their order.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "not_found", "locked": false, "solution": true, "task": false}
def not_found(names: list[str], entries: list[str]) -> list[str]:
    """Return the entries that are neither a module's full name nor its end after a dot."""
    ### BEGIN SOLUTION
    return [
        entry
        for entry in entries
        if not any(name == entry or name.endswith(f".{entry}") for name in names)
    ]
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_not_found", "locked": true, "points": 2, "solution": false, "task": false}
verdict = lesson.check.not_found(not_found)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# ## 4. Which layers, at one budget? (*core*)
#
# "All linear layers beat q and v" is easy to show: at the same `r` they have five times as many trained
# numbers. That compares two *sizes*. To compare two *choices*, give both the same number of trained
# parameters, and so different ranks. `lora_alpha` is twice the rank in each of them: so the scaling is 2 in
# all (lesson 03).
#
# ### Exercise 5.5: the rank for a budget (*core*, 6 minutes)
#
# `shapes` holds (out, in) for each adapted layer, and they differ. Return the rank, at least 1, whose number
# of trained parameters over *all* layers is **nearest** to `budget`.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "rank_for_budget", "locked": false, "solution": true, "task": false}
def rank_for_budget(shapes: list[tuple[int, int]], budget: int) -> int:
    """Return the rank r, 1 or more, for which the sum of r (in + out) is nearest to budget."""
    ### BEGIN SOLUTION
    cost_of_one_rank = sum(out + in_ for out, in_ in shapes)
    return max(1, round(budget / cost_of_one_rank))
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_rank_for_budget", "locked": true, "points": 2, "solution": false, "task": false}
verdict = lesson.check.rank_for_budget(rank_for_budget)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# The budget is what all-linear costs at `r = 8` on the decoder. Your function finds the other ranks:

# %% tags=["nbval-ignore-output"]
find_rank = lesson.use("rank_for_budget", rank_for_budget, figures.rank_for_budget)
BUDGET = 224_256
ranks = {}
for arm in figures.COMMON:
    targets = experiment.DECODER_ARMS[arm].targets
    layers = [
        t.module for t in ll.plan_injection(model, ll.LoraConfig(target_modules=targets)).targets
    ]
    ranks[arm] = int(find_rank([tuple(layer.weight.shape) for layer in layers], BUDGET))

# %%
at_budget = []
for arm, r in ranks.items():
    targets = experiment.DECODER_ARMS[arm].targets
    config = ll.LoraConfig(r=r, target_modules=targets)
    size = experiment.trained_parameters(model, config)
    at_budget.append((arm, str(r), f"{size:,d}", f"{size / BUDGET - 1:+.1%}"))
    assert abs(size / BUDGET - 1) < 0.01
ll.Table(("layers", "r", "numbers that train", "off the budget"), at_budget)

# %% [markdown]
# <details><summary>And on the nano model?</summary>
#
# There whole ranks are too coarse for this: the MLP at rank 12 lies more than 1 % below the budget, at 13 above.
# `rank_pattern={"down_proj": 13}` gives one kind of layer its own rank, and the four choices agree within 1 %.
#
# </details>
#
# Now predict. Same budget, each choice at its own best learning rate, on the recorded decoder: which has
# the lowest validation loss?

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "best_targets",
    "The choice with the lowest loss at one budget (recorded decoder)",
    options=list(figures.COMMON),
)

# %% [markdown]
# First live, on the nano model and Moby Dick. Each choice tries three learning rates with one seed. The
# best rate is then run with *other* seeds, and only those are compared: a rate that was lucky once
# gains nothing by it.

# %% tags=["nbval-ignore-output"]
live = experiment.target_sweep(
    seeds=SIZE["seeds"],
    steps=SIZE["steps"],
    batch_size=SIZE["batch"],
    length=SIZE["length"],
    eval_every=max(1, SIZE["steps"] // 2),
    valid_blocks=SIZE["blocks"],
    device=DEVICE,
    progress=True,
)
figures.arms_table(live, caption="nano, live")

# %%
sizes = [about["parameters"] for about in live["arms"].values()]
assert max(sizes) / min(sizes) < 1.01
assert len(live["runs"]) == 4 * len(SIZE["seeds"])
assert all(row["best"] < live["before"] for row in live["runs"])
print("four choices at one budget within 1 %; every run lowered the loss")

# %% [markdown]
# Now the recorded run on the decoder of 5.5 M parameters: nine choices at one budget, four learning
# rates, five seeds, 200 steps of 8 x 128 tokens each. The bar is the 95 % interval of the mean over the
# seeds. A run reads about six tenths of the book once, so this shows which choice learns fastest from
# so much text, not where each would end.

# %%
recorded = lesson.recorded("05_targets")
recorded

# %% tags=["nbval-ignore-output"]
ll.show(figures.one_budget(live, recorded.data))

# %% tags=["nbval-ignore-output"]
lesson.compare("best_targets", figures.seeds_of(recorded.data, figures.COMMON), best="lowest")

# %%
figures.arms_table(recorded.data, figures.COMMON, caption="decoder, recorded")

# %%
ll.gap_table(figures.common_gaps(recorded.data), unit="nats per token")

# %% [markdown]
# At one budget all-linear and the MLP are lowest, and five seeds do not tell them apart. The other five
# differences are settled: all four of the attention come next, q and v last. So the choice of layers alone is
# worth 0.157 nats per token here. The live nano runs have fewer seeds and steps: read their intervals before
# you rank them.
#
# ### Does it carry to a larger model? (*extra*)
#
# The same question to SmolLM2-135M, 25 times the size: 120 steps of 8 x 64 tokens, three learning rates, three
# seeds.

# %%
larger = lesson.recorded("05_targets_smollm2")
larger

# %%
figures.arms_table(larger.data, figures.COMMON, caption="SmolLM2-135M, recorded")

# %%
ll.gap_table(figures.common_gaps(larger.data), unit="nats per token")

# %% [markdown]
# The order of the means is the same. Settled is that the MLP, and all-linear, lie below all four of the
# attention. Against q and v three seeds leave even that open (with Holm's correction over six pairs): q and v vary
# most from seed to seed.
#
# ### Why does the MLP help more than the attention? We do not know (*core*)
#
# Three reasons come to mind. Each can be measured, and none of them holds:
#
# - **more trained numbers?** All choices have the same. And all-linear with *half* of them, r = 4, still lies below all
#   four of the attention (the next table);
# - **a higher rank?** The MLP's is lower, 13 against 21 (q, k, v, o) and 42 (q, v);
# - **more to gain at the start?** The next cell takes the squares of the gradient of every linear layer before training,
#   and measures how much of their sum lies where LoRA's first step can reach it at each choice's rank (a share of
#   about $r/\text{in}$, lesson 02).

# %%
halved = figures.seeds_of(recorded.data, ["r = 4", "q, k, v, o"])
gap = ll.paired_gap(*halved.values(), names=("all-linear at r = 4", "q, k, v, o"))
ll.gap_table(gap, unit="nats per token")

# %% tags=["nbval-ignore-output"]
squares = target_gradients.squared_gradients(progress=True)
figures.gradient_table(recorded.data, squares)

# %%
kinds = {arm: experiment.DECODER_ARMS[arm].targets for arm in ("MLP", "q, k, v, o")}
ranks_there = {arm: recorded.data["arms"][arm]["r"] for arm in kinds}
met = {arm: target_gradients.reach(squares, kinds[arm], ranks_there[arm]) for arm in kinds}
assert met["q, k, v, o"] > 1.5 * met["MLP"]
print("a first step meets more of the gradient in the attention than in the MLP")

# %% [markdown]
# The attention meets more of the gradient at first, and ends higher. So it is something that happens in training, and
# these recordings do not say what. Others found the same order without a cause: *LoRA Without Regret* (2025) reports
# that attention alone stays behind even where a higher rank gives it as many trained numbers.
#
# ### The paper's table 5 (*extra*)
#
# The paper asks the same question of the attention alone (section 7.1): GPT-3 175B, 18 M trained
# parameters, so $r = 8$ for one matrix, 4 for two, 2 for all four. It did not try the MLP. Beside it, the same
# seven choices on our decoder.

# %%
ll.show(figures.table_5(recorded.data))

# %%
figures.against_paper(recorded.data)

# %%
seven = figures.seeds_of(recorded.data, figures.PAPER_TABLE_5)
ll.gap_table(
    ll.gaps_against(seven, "q, v", family="each choice against q, v"), unit="nats per token"
)

# %% [markdown]
# **Where it agrees:** k alone is the worst of the seven, then q alone, then q and k together; all four are best, as in
# the paper's second column. **Where not:** on WikiSQL q and v do as well as all four, and here they are
# worse. And o alone is better here than q and v; in the paper it lies between v alone and q with v, within one
# standard deviation of both. (The paper's ± is a standard deviation over seeds, ours the interval of a
# mean: they are not the same measure.)
#
# Two differences of the set-up: our k and v are half as wide as q and o, so the same budget gives k or v
# alone a rank of 97 of 128; and our text asks for a new style, not for a mapping to SQL. And what the
# paper left out, the MLP, matters most here.
#
# ### The paper's table 6 (*extra*)
#
# If more matrices beat a higher rank, how low may the rank be? The paper (section 7.2) takes three of the
# choices at $r$ = 1, 2, 4, 8 and 64, so *not* at one budget. It finds that $r = 1$ is enough for q and v, and
# that q alone needs more. Predict for our decoder: q and v at $r = 1$ train 5,376 numbers, q alone at $r = 64$
# trains 196,608.

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "rank_one",
    "Which has the lower loss on the decoder?",
    options=["q, v at r = 1", "q at r = 64", "the seeds cannot tell"],
)

# %%
ranks_run = lesson.recorded("05_ranks")
ranks_run

# %%
ll.show(figures.table_6(ranks_run.data))

# %%
figures.rank_table(ranks_run.data)

# %% tags=["nbval-ignore-output"]
two = figures.seeds_of(ranks_run.data, ["q, v: r = 1", "q: r = 64"])
lesson.compare(
    "rank_one",
    {"q, v at r = 1": two["q, v: r = 1"], "q at r = 64": two["q: r = 64"]},
    best="lowest",
    tied="the seeds cannot tell",
)

# %%
ends = [(f"{choice}: r = 64", f"{choice}: r = 1") for choice in figures.PAPER_TABLE_6]
by_arm = figures.seeds_of(ranks_run.data, ranks_run.data["arms"])
ll.gap_table(ll.paired_gaps(by_arm, ends, family="r = 64 against r = 1"), unit="nats per token")

# %% [markdown]
# Three seeds, 90 steps of 2 x 64 tokens on a CPU, each point at the best of three learning rates.
#
# - **Where it agrees:** which matrices matters more than the rank. q and v at $r = 1$ beat q alone at $r = 64$, with a
#   37th of the numbers.
# - **Where not:** all four gain from 1 to 64; in the paper they are flat within its ±0.5 %.
# - **Not settled:** whether q and v, or q alone, gain from a higher rank. Three seeds are too few for it.
#
# Mind the rates: the best one tried was the highest for q alone up to $r = 4$, and the lowest for all three at
# $r = 64$. A wider search could move these points. And a style is learnt here from few tokens: [lesson
# 01](01_rank_decomposition.ipynb) trains longer, on all linear layers, and there the rank counts for more.
#
# ### Is it the most important parameter? (*core*)
#
# To say so, one must compare it with the others. The recorded run also varies `r` (with `lora_alpha` twice
# as large), `lora_alpha` (at `r = 8`) and `lora_dropout` over the card's typical ranges, on the all-linear
# choice, each point at its own best learning rate (found with another seed). How far does each move the loss?

# %%
ll.show(figures.ranges(recorded.data))

# %%
widest = [
    ("q, v", "all-linear"),
    ("r = 4", "r = 16"),
    ("all-linear", "alpha = 32"),
    ("all-linear", "dropout = 0.1"),
]
every = figures.seeds_of(recorded.data, recorded.data["arms"])
ll.gap_table(
    ll.paired_gaps(every, widest, family="the widest gap of each argument"),
    unit="nats per token",
)

# %%
tuning = [row["best"] for row in recorded.data["tuning"] if row["arm"] == "all-linear"]
figures.spreads_table(
    recorded.data,
    {f"learning rate, the worst of {len(tuning)}, one seed": max(tuning) - min(tuning)},
)

# %% [markdown]
# On SmolLM2 two of these arguments were varied:

# %%
on_smollm2 = lesson.recorded("05_targets_smollm2").data
there = figures.seeds_of(on_smollm2, ("q", "MLP", "r = 4", "r = 16"))
ll.gap_table(
    ll.paired_gaps(
        there,
        [("q", "MLP"), ("r = 4", "r = 16")],
        family="SmolLM2: the widest gap of each argument",
    ),
    unit="nats per token",
)

# %% [markdown]
# So the card is right over these ranges: targets move the loss most, and on the decoder each of the four gaps is
# settled. On SmolLM2 that of the targets is, and whether r matters there is not settled with three seeds. A little
# dropout helps here, against none. Mind what is compared: r from 4 to 16 also means four times as many trained
# numbers, while the targets share one budget. And the learning rate, tuned for each point, is not in this contest:
# the worst of four costs more than the choice among the four common targets, less than that among all nine.
#
# ## 5. One fused layer for q, k and v (*extra*, 10 minutes)
#
# GPT-2 and others compute q, k and v in one layer, `c_attn`, whose output holds the three one after the other.
# A plain adapter on it cannot leave k out. And it has one $A$ for all three: q, k and v must read
# the same $r$ directions of the input.
#
# The cure is a block for each part. In a `torch.nn.Linear` the fused weight has q + k + v rows, and its update is
# the parts' own updates one below the other, with zeros where a part is switched off. (GPT-2's own class
# `Conv1D` stores the transpose, so there the blocks lie side by side. GPT-NeoX and BLOOM interleave q, k and v
# head by head: there three blocks would be wrong.)
#
# $$\Delta W = s \begin{pmatrix} B_q A_q \\ 0 \\ B_v A_v \end{pmatrix}$$
#
# ### Exercise 5.6: a fused layer, part by part (8 minutes)
#
# `sizes` holds each part's number of rows, in the order in which they lie in the layer. `factors` holds (A, B)
# for the parts that are switched on, in any order. Each part has its own $A$, and its own rank. The update is what
# a merge adds, so no gradient need flow through it.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "fused_update", "locked": false, "solution": true, "task": false}
def fused_update(
    sizes: dict[str, int], factors: dict[str, tuple[torch.Tensor, torch.Tensor]], scaling: float
) -> torch.Tensor:
    """Return the update (sum of sizes, in); A is (r, in) and B is (size, r) for each part."""
    width = next(iter(factors.values()))[0].shape[1]
    ### BEGIN SOLUTION
    blocks = []
    for part, size in sizes.items():
        if part in factors:
            A, B = factors[part]
            blocks.append(scaling * B @ A)
        else:
            blocks.append(torch.zeros(size, width))
    return torch.cat(blocks)
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_fused_update", "locked": true, "points": 3, "solution": false, "task": false}
verdict = lesson.check.fused_update(fused_update)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# The package's engine does this with `fused_qkv`. In a file it stays a plain adapter of the summed rank, whose
# $B$ is zero outside the blocks, so PEFT loads it and computes the same.

# %%
from lora_lessons.lora.more.layers.fused_qkv import fused_qkv

fused = torch.nn.ModuleDict({"c_attn": torch.nn.Linear(64, 64 + 16 + 16)})
config = ll.LoraConfig(r=8, target_modules=["c_attn"], init_lora_weights=False)
fused_qkv(config, sizes={"q": 64, "k": 16, "v": 16}, ranks={"q": 4, "v": 4})
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the engine notes that a layer class of our own is used
    adapted = ll.get_peft_model(fused, config)
update = adapted.base_model.model.c_attn.get_delta_weight("default")  # (96, 64)
for part, rows in {"q": slice(0, 64), "k": slice(64, 80), "v": slice(80, 96)}.items():
    print(f"{part}: rank {int(torch.linalg.matrix_rank(update[rows]))} of its own")
assert update[64:80].abs().max() == 0

# %% [markdown]
# ## 6. Does every argument do something? (*extra*)
#
# The card ends: "`LoraConfig` controls how low-rank adapters are injected into a pretrained model". Change one
# argument at a time and look at what differs: the wrapper's class, the numbers that train, or the loss
# after a few steps on the same text with the same seed.

# %% tags=["nbval-ignore-output"]
effects = experiment.argument_effects()
figures.effects_table(effects)

# %%
seen = {(row["wrapper"], row["trained"], round(row["loss"], 9)) for row in effects}
assert len(seen) == len(effects)
print("each argument changes the wrapper, what trains, or the loss")

# %% [markdown]
# `task_type` changes the wrapper's class alone: same numbers, same loss. Lesson 07 says what it is for. And a larger
# `r` need not lower the loss of the first steps: `lora_alpha` stays, so the scaling alpha / r is halved (lesson 03).
#
# Recorded on SmolLM2-135M, five of the six do something too. `bias="all"` does nothing there: same wrapper, same
# numbers, same loss. That model has no biases (lesson 06), so there is nothing that it could train.

# %% [markdown]
# ## 7. Your turn (*core*)
#
# ### Question 5.7: your choice (*core*, written, 5 minutes, 3 points)
#
# A colleague adapts a new model with `target_modules=["q_proj", "v_proj"]` and `r=8`, "because the paper
# does", and asks whether to change it. In at most five sentences: what do you check first about
# the names, what would you try, how do you keep the comparison fair, and which numbers of this page
# support you? Use at least two of them.

# %% [markdown] nbgrader={"schema_version": 3, "grade": true, "grade_id": "verdict_on_targets", "locked": false, "points": 3, "solution": true, "task": false}
# First I would print what matched and count what trains: the names differ between models, and in PEFT an
# entry that matches nothing is silent as long as another one matches. Then I would try all-linear and the
# MLP at the same number of trained parameters, which on our decoder means r = 8 and r = 13 against
# r = 42 for q and v, each with its learning rate tuned and with several seeds.
# There they lie 0.157 and 0.155 nats below q and v, five seeds, both settled after Holm's correction.
# The paper's table 5 compares attention matrices only, so it cannot speak against the MLP. At equal
# r, all-linear would win partly because it trains five times as many numbers.

# %% [markdown]
# ### Exercise 5.8: what your own targets train (*extra*, 4 minutes)
#
# These numbers are your own. In a course, write your student id between the quotes, as your teacher
# gave it to you; alone, leave it empty.
#
# How many numbers does this config train on the decoder, `ll.LoraConfig(**mine)`? Its first block has the
# number 0. Add it up from the shapes of section 1, or ask `print(ll.plan_injection(model, ll.LoraConfig(**mine)))`,
# which changes nothing (`get_peft_model` would change `model` itself). Return the number that came out:
# `return 1_234`.

# %%
STUDENT = ""
mine = lesson.mine("my_targets", STUDENT)
mine


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "my_targets", "locked": false, "solution": true, "task": false}
def my_targets() -> int:
    """Return how many numbers your config trains."""
    ### BEGIN SOLUTION
    return 135_168  # for self-study: 2 blocks * 48 * (384 + 512 + 512)
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_my_targets", "locked": true, "points": 1, "solution": false, "task": false}
verdict = lesson.check.my_targets(my_targets)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# ## 8. The same in PEFT (*core*)
#
# PEFT matches by the same two rules. The same config adapts the same modules, and trains as many numbers.

# %% tags=["nbval-ignore-output"]
choices = [(["q_proj", "v_proj"], {}), (r".*\.(q|v)_proj", {}), ("all-linear", {})]
choices += [(["q_proj", "v_proj"], {"layers_to_transform": [4, 5]})]
choices += [(["q_proj", "v_proj"], {"exclude_modules": r".*\.layers\.0\..*"})]
theirs = [adapted_by_peft(targets, **more) for targets, more in choices]

# %%
model, _ = ll.load_base("decoder")  # a fresh one, whatever was put into the first
agreed = []
for (targets, more), (layers, trained) in zip(choices, theirs, strict=True):
    ours = ll.LoraConfig(r=8, target_modules=targets, **more)
    assert layers == {target.name for target in ll.plan_injection(model, ours).targets}
    assert trained == experiment.trained_parameters(model, ours)
    agreed.append((f"{targets} {more or ''}".strip(), str(len(layers)), f"{trained:,d}"))
ll.Table(("config", "modules, the same in both", "numbers that train, the same"), agreed)

# %% [markdown]
# ## What the card says, and what was measured

# %%
lesson.claims()

# %% [markdown]
# ## Summary
#
# - A list matches by suffix after a dot; one string is a regular expression for the full name. A pattern
#   inside a list is plain text and matches nothing.
# - "all-linear" takes every linear layer but the output layer. `exclude_modules` comes first,
#   `layers_to_transform` last.
# - PEFT says nothing about an entry that matches nothing beside one that matches. Print the report, or
#   count what trains.
# - Compare choices at one number of trained parameters, $\sum r(\text{in}+\text{out})$, each at its own learning
#   rate.
# - A fused qkv layer needs a block of $B$ and an $A$ for each part to adapt q and v alone.
#
# ### Cards for review
#
# Read the question, answer aloud, then open the card. Come back tomorrow, in three days and in a week.

# %%
lesson.cards()

# %% [markdown]
# ### Further reading
#
# - Hu and others, *LoRA: Low-Rank Adaptation of Large Language Models*, 2021, [arXiv 2106.09685](https://arxiv.org/abs/2106.09685): sections
#   7.1 and 7.2, tables 5 and 6.
# - Dettmers and others, *QLoRA: Efficient Finetuning of Quantized LLMs*, 2023, [arXiv 2305.14314](https://arxiv.org/abs/2305.14314): adapters on
#   all linear layers were needed to match full fine-tuning.
# - Biderman and others, *LoRA Learns Less and Forgets Less*, 2024, [arXiv 2405.09673](https://arxiv.org/abs/2405.09673): targets, ranks and rates
#   at 7 B.
# - Schulman and others, *LoRA Without Regret*, Thinking Machines Lab, 2025,
#   [thinkingmachines.ai/blog/lora](https://thinkingmachines.ai/blog/lora/): attention alone stays behind at equal size.
# - PEFT's documentation of
#   [`LoraConfig`](https://huggingface.co/docs/peft/package_reference/lora): `target_modules`, `exclude_modules`,
#   `layers_to_transform`, `layers_pattern`.
#
# Next: [lesson 06](06_bias_modes.ipynb), which biases train, and who owns them.

# %%
lesson.summary()
