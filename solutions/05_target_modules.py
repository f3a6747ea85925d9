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
# `target_modules` names the layers that LoRA adapts. The card calls it the most important parameter. It
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
# **Time:** 60 minutes in all. The **core path** takes 30: the sections marked *core*.
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
from lora_lessons.course.lesson05 import figures
from lora_lessons.experiments import lesson05 as experiment
from lora_lessons.lora.inject import plan_injection

lesson = ll.lesson("05")
SIZE = experiment.SIZES[ll.preset()]
DEVICE = "cuda" if ll.preset() == "full" else "cpu"
_ = ll.seed_everything(0)

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
# `gate_proj`, `up_proj` and `down_proj`.
#
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
# The same as a still picture, for where no kernel runs:

# %%
lesson.explore.targets.static()

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
# ### Two ways to take layers out again
#
# `exclude_modules` follows the same two rules, and it is asked first: what it names is left as it is.
# `layers_to_transform` keeps only some blocks, by their number: `[0, 1]` the first two. It works with a
# list of targets only. The number of a block is the first word of the name that is a whole number.

# %%
for choice in (
    {"target_modules": ["q_proj", "v_proj"]},
    {"target_modules": ["q_proj", "v_proj"], "exclude_modules": r".*\.layers\.0\..*"},
    {"target_modules": ["q_proj", "v_proj"], "layers_to_transform": [4, 5]},
    {"target_modules": r".*\.layers\.[45]\.self_attn\.(q|v)_proj"},
):
    matched = plan_injection(model, ll.LoraConfig(**choice)).targets
    print(len(matched), "modules, the first", matched[0].name)

# %% [markdown]
# ### Exercise 5.2: in which block (5 minutes)
#
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
# ### The names are not the same everywhere
#
# The card lists `q_proj` and `v_proj`, "(Transformers)". These are names of one family of models. Here are
# the same layers in five architectures, and what the library takes if you give no `target_modules`:

# %%
from lora_lessons.lora.more.layers.default_targets import default_targets

for name, toy in experiment.toy_models().items():
    last_words = [n.rsplit(".", 1)[-1] for n, _ in toy.named_modules()]
    count = sum(word in ("q_proj", "v_proj") for word in last_words)
    standard = sorted(default_targets(toy.config.model_type))
    print(f"{name:8s} {count:2d} modules q_proj and v_proj; {standard} by default")

# %% [markdown]
# ## 2. "all-linear", and the layer it leaves out (*core*)
#
# `target_modules="all-linear"` needs no names: it takes every linear layer of any model. With one
# exception: the **output layer** of a language model, `lm_head` here, stays as it is. It is large (a row
# for each token of the vocabulary), and it often shares its weight with the input embedding, so that
# an update of one would be an update of the other when it is merged.
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
engine = plan_injection(model, ll.LoraConfig(target_modules="all-linear")).targets
assert {target.name for target in engine} == set(names)
print(len(names), "linear layers; lm_head among them:", "lm_head" in names)

# %% [markdown]
# ## 3. What a typo does (*core*)
#
# Before training, ask what matched. `plan_injection` finds everything and changes nothing; printed, it is
# the report:

# %%
plan = plan_injection(model, ll.LoraConfig(r=8, target_modules=["q_proj", "v_proj"]))
print("\n".join(str(plan).splitlines()[:4]), "\n...\n" + str(plan).splitlines()[-1])

# %% [markdown]
# Three mistakes that users make again and again. Commit to an answer first: in PEFT, what does
# `target_modules=["q_proj", "v_porj"]` do?

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "typo",
    "PEFT and a typo in one of two entries",
    options=["an error", "a warning", "q_proj alone trains, without a word", "nothing trains"],
)

# %%
mistakes = {
    "a typo beside a right entry": ["q_proj", "v_porj"],
    "a pattern inside a list": ["q_proj", r".*\.mlp\..*"],
    "a part of a name": ["proj"],
}
for label, targets in mistakes.items():
    try:
        plan_injection(model, ll.LoraConfig(target_modules=targets))
    except ll.PeftError as error:
        print(f"{label}, {targets}:\n    {error}\n")

# %% [markdown]
# Here each of the three is an error, raised before anything is changed. PEFT raises one for the third
# only, where *nothing* matches. In the first two it says nothing: q alone is adapted and trains, the loss
# falls, only less. The last section shows it.
#
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
        t.module for t in plan_injection(model, ll.LoraConfig(target_modules=targets)).targets
    ]
    ranks[arm] = find_rank([tuple(layer.weight.shape) for layer in layers], BUDGET)

# %%
for arm, r in ranks.items():
    targets = experiment.DECODER_ARMS[arm].targets
    config = ll.LoraConfig(r=r, target_modules=targets)
    size = experiment.trained_parameters(model, config)
    print(f"{arm:12s} r = {r:2d}: {size:,d} numbers, {size / BUDGET - 1:+.1%}")
    assert abs(size / BUDGET - 1) < 0.01

# %% [markdown]
# On the small nano model whole ranks are too coarse for this: an MLP rank of 12 lies 3.6 % below the
# budget, 13 lies 4.5 % above. `rank_pattern={"down_proj": 13}` gives one kind of layer its own rank, and
# the four choices agree within 1 %.
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
for arm, size, loss, half in figures.table(live):
    print(f"{arm:12s} {size:,d} numbers, loss {loss:.3f} +- {half:.3f}")

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
ll.show(
    figures.one_budget(live, recorded.data),
    alt="Best validation loss of four choices of target modules at one budget, on the live nano model "
    "and on the recorded decoder, each with its seeds, mean and interval. "
    "On the decoder all-linear and the MLP lie together, lowest; q, k, v, o is far above them, and "
    "q, v is highest.",
)

# %% tags=["nbval-ignore-output"]
lesson.compare("best_targets", figures.winner(recorded.data))

# %% [markdown]
# At one budget all-linear and the MLP are lowest, 4.170 ± 0.007 and 4.172 ± 0.017: too close to tell
# apart. Then come all four of the attention, 4.278 ± 0.010, and last q and v, 4.327 ± 0.009. So the
# choice of layers alone is worth 0.157 nats per token here. On the nano model the same
# two lead, and the two of the attention cannot be told apart: compare the panels.
#
# Does it carry to a larger model? The same question to SmolLM2-135M, 25 times the size: 120 steps of
# 8 x 64 tokens, three learning rates, three seeds.

# %%
larger = lesson.recorded("05_targets_smollm2")
larger

# %%
for arm, size, loss, half in figures.table(larger.data, figures.COMMON):
    print(f"{arm:12s} {size:,d} numbers, loss {loss:.3f} +- {half:.3f}")

# %% [markdown]
# The order is the same: the MLP and all-linear lie together, and seed by seed the MLP is better than all
# four of the attention by 0.064 ± 0.017. Whether those are better than q and v three seeds do not
# settle: 0.029 ± 0.066.
#
# ### The paper's table 5
#
# The paper asks the same question of the attention alone (section 7.1): GPT-3 175B, 18 M trained
# parameters, so $r = 8$ for one matrix, 4 for two, 2 for all four. It did not try the MLP. Beside it, the same
# seven choices on our decoder.

# %%
ll.show(
    figures.table_5(recorded.data),
    alt="Two panels with seven choices of attention matrices. Left, the paper: q and k alone are the "
    "lowest in accuracy, about 70 percent; v and o alone reach 73; q with v and all four 73.7. Right, "
    "our decoder's loss for the same choices: k alone is worst, then q alone, q with k, v alone, q "
    "with v and o alone; all four are best. The intervals are small beside most differences.",
)

# %%
print(f"{'choice':12s} {'paper, WikiSQL':>15s} {'here, loss':>18s}")
for arm, _, loss, half in figures.table(recorded.data, list(figures.PAPER_TABLE_5)):
    print(f"{arm:12s} {figures.PAPER_TABLE_5[arm][0]:13.1f} % {loss:10.3f} +- {half:.3f}")

# %% [markdown]
# **Where it agrees:** k alone is the worst of the seven and q alone the next, with q and k together
# third; v alone and o alone beat all of these; all four are best, as in the paper's second column
# (MultiNLI, 91.7 % for all four, 91.3 % for q and v). **Where not:** on WikiSQL q and v do as well as
# all four, and here they are worse by 0.050 ± 0.009. And o alone is better here than q and v, by
# 0.019 ± 0.011, and better than v alone; in the paper it lies between them, within ±0.5 % of both.
#
# Two differences of the set-up: our k and v are half as wide as q and o, so the same budget gives k or v
# alone a rank of 97 of 128; and our text asks for a new style, not for a mapping to SQL. And what the
# paper left out matters most here: the MLP, 4.172, against 4.278 for the best choice within the
# attention.
#
# ### The paper's table 6
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
ll.show(
    figures.table_6(ranks_run.data),
    alt="Two panels, the rank from 1 to 64 across. Left, the paper: q alone rises from 68.8 to 70.5 "
    "percent at rank 4 and not further; q with v, and all four, are flat near 73.5 and 74. Right, our "
    "decoder's loss: q alone is highest, 4.66 to 4.64; q with v goes from 4.55 to 4.50, and all four "
    "from 4.53 to 4.44, where the slope is steepest.",
)

# %%
print("loss at r =  ", "".join(f"{r:<16d}" for r in figures.RANKS))
for choice in figures.PAPER_TABLE_6:
    cells = figures.rank_losses(ranks_run.data, choice)
    print(f"{choice:12s}", "  ".join(f"{loss:.3f} +- {half:.3f}" for loss, half in cells))

# %% tags=["nbval-ignore-output"]
lesson.compare("rank_one", "q, v at r = 1")

# %% [markdown]
# Three seeds, 90 steps of 2 x 64 tokens on a CPU, each point at the best of three learning rates. The
# differences here are seed by seed.
#
# - **Where it agrees:** which matrices matters more than the rank. q and v at $r = 1$ are better than q alone at
#   $r = 64$, by 0.083 ± 0.019, with a 37th of the numbers. And $r = 1$ already brings q and v from 4.845, the base, to
#   4.554, where $r = 64$ brings 4.504.
# - **Where not:** $r = 1$ is not all that can be had. From 1 to 64 q and v gain 0.050 ± 0.041, and all four
#   0.089 ± 0.032, each of their four steps more than its interval. In the paper both are flat within ±0.5 %.
# - **Not settled:** whether q alone needs a higher rank. In the paper it gains 1.7 % from 1 to 4; here
#   0.006 ± 0.042, and 0.025 ± 0.027 up to 64.
#
# Mind the rates: the best one tried was the highest for q alone up to $r = 4$, and the lowest for all three at
# $r = 64$. A wider search could move these points a little. And a style is learnt here from few tokens: lesson
# 01 trains longer, on all linear layers, and there the rank counts for more.
#
# ### Is it the most important parameter?
#
# To say so, one must compare it with the others. The recorded run also varies `r` (with `lora_alpha` twice
# as large), `lora_alpha` (at `r = 8`) and `lora_dropout` over the card's typical ranges, on the all-linear
# choice, each point at its own best learning rate. How far does each argument move the loss?

# %%
ll.show(
    figures.ranges(recorded.data),
    alt="A line for each argument from the lowest to the highest mean loss that it gave: the targets, "
    "r from 4 to 16, alpha from 16 to 32, dropout from 0.05 to 0.1. "
    "The longest line is that of targets, all nine.",
)

# %%
for argument in figures.RANGES:
    print(f"{argument:22s} moves the loss by {figures.spread(recorded.data, argument):.3f}")

# %% [markdown]
# The four common choices move the loss by 0.157, all nine by 0.396; r from 4 to 16 by 0.050, alpha by
# 0.012, dropout by 0.003. So the card is right over these ranges: targets move the loss most. Mind
# what is compared: r from 4 to 16 also means four times as many trained numbers, while the targets
# share one budget. And the learning rate, tuned for each point, is not in this contest. On the
# all-linear choice the worst of the four rates, 0.01, costs 0.266 against the best (one seed): more
# than the choice among the four, less than that among all nine.
#
# ## 5. One fused layer for q, k and v (10 minutes)
#
# GPT-2 and others compute q, k and v in one layer, `c_attn`, whose output holds the three one after the other.
# A plain adapter on it cannot leave k out. And it has one $A$ for all three: q, k and v must read
# the same $r$ directions of the input.
#
# The cure is a block for each part: the update of the fused weight, (q + k + v rows, in), is the parts' own
# updates one below the other, with zeros where a part is switched off:
#
# $$\Delta W = s \begin{pmatrix} B_q A_q \\ 0 \\ B_v A_v \end{pmatrix}$$
#
# ### Exercise 5.6: a fused layer, part by part (8 minutes)
#
# `sizes` holds each part's number of rows, in the order in which they lie in the layer. `factors` holds (A, B)
# for the parts that are switched on, in any order. Each part has its own $A$, and its own rank.


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
# ## 6. Does every argument do something? (5 minutes)
#
# The card ends: "`LoraConfig` controls how low-rank adapters are injected into a pretrained model". Change one
# argument at a time and look at what differs: the wrapper's class, the numbers that train, or the loss
# after a few steps on the same text with the same seed.

# %% tags=["nbval-ignore-output"]
effects = experiment.argument_effects()
for row in effects:
    print(
        f"{row['argument']:15s} {row['wrapper']:21s} {row['trained']:6,d} train, "
        f"loss {row['loss']:.4f}"
    )

# %%
seen = {(row["wrapper"], row["trained"], round(row["loss"], 9)) for row in effects}
assert len(seen) == len(effects)
print("each argument changes the wrapper, what trains, or the loss")

# %% [markdown]
# `task_type` changes the wrapper's class alone: same numbers, same loss. Lesson 07 says what it is for.
#
# Recorded on SmolLM2-135M, five of the six do something too. `bias="all"` does nothing there: same wrapper, same
# numbers, same loss. That model has no biases (lesson 06), so there is nothing that it could train.

# %% [markdown]
# ### Question 5.7: your choice (written, 5 minutes, 3 points)
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
# There they reach 4.170 and 4.172 against 4.327, with intervals of 0.017 or less.
# The paper's table 5 compares attention matrices only, so it cannot speak against the MLP. At equal
# r, all-linear would win partly because it trains five times as many numbers.

# %% [markdown]
# ### Exercise 5.8: what your own targets train (4 minutes)
#
# These numbers are your own. In a course, write your student id between the quotes, as your teacher
# gave it to you; alone, leave it empty.
#
# How many numbers does this config train on the decoder, `ll.LoraConfig(**mine)`? Its first block has the
# number 0. Add it up from the shapes of section 1, or ask the model. Return the number that came
# out: `return 1_234`.

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
# ## 7. The same in PEFT (*core*)
#
# PEFT matches by the same two rules. The same config adapts the same modules, and trains as many numbers.

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


choices = [(["q_proj", "v_proj"], {}), (r".*\.(q|v)_proj", {}), ("all-linear", {})]
choices += [(["q_proj", "v_proj"], {"layers_to_transform": [4, 5]})]
choices += [(["q_proj", "v_proj"], {"exclude_modules": r".*\.layers\.0\..*"})]
theirs = [adapted_by_peft(targets, **more) for targets, more in choices]

# %%
for (targets, more), (layers, trained) in zip(choices, theirs, strict=True):
    ours = ll.LoraConfig(r=8, target_modules=targets, **more)
    assert layers == {target.name for target in plan_injection(model, ours).targets}
    assert trained == experiment.trained_parameters(model, ours)
    print(f"the same {len(layers)} modules, {trained:,d} numbers: {targets} {more or ''}")

# %% [markdown]
# And the mistakes of section 3. Every `UserWarning`, which is what PEFT gives, is turned into an error here,
# and still the first two pass:

# %%
for label, targets in mistakes.items():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        try:
            layers, trained = adapted_by_peft(targets)
            print(f"{label}, {targets}: no word; {len(layers)} modules, {trained:,d} numbers train")
        except ValueError as error:
            print(f"{label}, {targets}: {type(error).__name__}")

# %% tags=["nbval-ignore-output"]
lesson.compare("typo", "q_proj alone trains, without a word")

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
# - Hu and others, *LoRA: Low-Rank Adaptation of Large Language Models*, 2021, arXiv 2106.09685: sections
#   7.1 and 7.2, tables 5 and 6.
# - Dettmers and others, *QLoRA: Efficient Finetuning of Quantized LLMs*, 2023, arXiv 2305.14314: adapters on
#   all linear layers were needed to match full fine-tuning.
# - Biderman and others, *LoRA Learns Less and Forgets Less*, 2024, arXiv 2405.09673: targets, ranks and rates
#   at 7 B.
# - PEFT's documentation of `LoraConfig`: `target_modules`, `exclude_modules`, `layers_to_transform`.

# %%
lesson.summary()
