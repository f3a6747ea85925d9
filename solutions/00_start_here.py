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
# # 00 Start here: fine-tune a language model in a minute
#
# LoRA adapts a large model by training small matrices beside frozen ones. Before any theory, do it
# once: take a language model, give it the config from the card below, and let it read Moby Dick.
#
# **You will be able to**
#
# 1. run a LoRA fine-tune from text to generated text;
# 2. say which share of the weights was trained and what the adapter weighs on disk;
# 3. tell a difference from noise: what two runs differ by when only the seed differs.
#
# **Time:** 34 minutes for the core path; what is marked *extra* takes 4 more.
# (In all lessons: what has no mark belongs to the core.)
#
# **You need:** Python, and PyTorch as far as a training loop. Section 2 finds out what to read up on.
#
# **How it works:** replace the line in each exercise, run the cell, then run the check below it.
# `lesson.hint.NAME()` gives three hints, each stronger than the one before.
# `lesson.solution.NAME()` shows the answer. If you are stuck, go on: later cells use the package's
# own piece in place of yours and say so.

# %%
import math
from statistics import stdev

import torch

import lora_lessons as ll
from lora_lessons.course.lesson00 import drawings, figures
from lora_lessons.course.statistics import interval95, t_quantile
from lora_lessons.experiments import lesson00 as experiment

lesson = ll.lesson("00")
SIZE = experiment.SIZES[ll.preset()]  # quick, small or full: how long the live runs are
DEVICE = "cuda" if ll.preset() == "full" else "cpu"
_ = ll.seed_everything(0)  # the same random numbers in each run of this page

# %% [markdown]
# ## The card (*core*)
#
# Here is the card: a page as one finds many of them. The course takes each of its sentences, says what would
# make it false, and measures it. "The card" means this page in all lessons.

# %%
ll.card()

# %% [markdown]
# ## 1. Train once (*core*)
#
# `ll.load_base` returns an ordinary `transformers` model and its tokenizer. The decoder has the
# architecture of Qwen2 at a small size. It was pretrained for this course on presidents' addresses and
# dictionary definitions: what it knows of whales comes from there.

# %%
model, tokenizer = ll.load_base(SIZE["base"], device=DEVICE)
corpus = ll.load_text("moby_dick")
train_ids = ll.encode(tokenizer, corpus.train)
valid = ll.blocks(ll.encode(tokenizer, corpus.valid), SIZE["length"])[: SIZE["blocks"]]
print(type(model).__name__, f"{model.num_parameters():,d} parameters")
print(f"{len(train_ids):,d} tokens to learn from")

# %% tags=["nbval-ignore-output"]
text_before = ll.generate(model, tokenizer, experiment.PROMPT, max_new_tokens=40)
print(text_before)

# %% [markdown]
# Now the card's config, every argument spelt out. The lessons 01 to 08 take them one by one.

# %%
config = ll.LoraConfig(
    r=8,
    lora_alpha=32,
    lora_dropout=0.1,
    target_modules=["q_proj", "v_proj"],
    bias="none",
    task_type=ll.TaskType.CAUSAL_LM,
)
loss_before = ll.evaluate(model, valid)
adapted = ll.get_peft_model(model, config)

# %% [markdown]
# `ll.fit` is an ordinary training loop. It trains whatever requires a gradient, here the adapter. The same
# call runs on a CPU and on a GPU. Off a GPU it takes some ten seconds. It prints losses in **nats**: the loss with the
# natural logarithm, as PyTorch's cross-entropy gives it. The drawing has one of its steps, with the prompt for a text: what comes in,
# what the loss is made from, and what the step changes.

# %%
prompt_ids = ll.encode(tokenizer, experiment.PROMPT).tolist()
ll.show(drawings.one_step(experiment.PROMPT, prompt_ids, "q_proj and v_proj"))

# %% tags=["nbval-ignore-output"]
batches = ll.TokenBatches(train_ids, SIZE["batch"], SIZE["length"], seed=0, device=DEVICE)
history = ll.fit(
    adapted,
    batches,
    steps=SIZE["steps"],
    lr=5e-3,
    valid=valid,
    eval_every=max(1, SIZE["steps"] // 5),
    seed=0,
)
recorded = lesson.recorded("00_card_run")
print(f"loss before {loss_before:.3f}, after {history.last:.3f} nats per token")
print(f"{history.seconds:.1f} s for {SIZE['steps']} steps here")

# %%
assert history.last < loss_before, "the adapter must lower the loss on the new text"
print("the loss on held-out chapters fell")

# %% tags=["nbval-ignore-output"]
ll.show(figures.card_run(history, recorded.data, len(valid)))

# %% tags=["nbval-ignore-output"]
print("before:", text_before, sep="\n")
print("\nafter, here:", sep="\n")
print(ll.generate(adapted, tokenizer, experiment.PROMPT, max_new_tokens=40))

# %% [markdown]
# On a CPU your run is scored on less text than the recorded one, so the two curves do not start at the same loss.
# And few steps do not make a novelist: the loss says more than one sample of text does. This is the text of the
# recorded run, after 400 steps:

# %%
recorded

# %%
print(recorded.data["text_after"])

# %% [markdown]
# ## 2. What you should know already (*core*, 5 minutes)
#
# Seven quick questions. Nothing is graded; each answer tells you where to read if it was a guess.

# %% tags=["nbval-ignore-output"]
lesson.quiz()

# %% [markdown]
# ## 3. What was trained (*core*)
#
# Which share of the weights was that? Guess before you count: the card says "less than 1 %".

# %% tags=["nbval-ignore-output"]
lesson.predict("share", "Share of the weights that train, in percent", low=0, high=10, step=0.1)

# %% [markdown]
# ### Exercise 0.2: the share that trains (*core*, 5 minutes)
#
# Count *numbers*, not tensors. The share is of **all** parameters, the frozen ones and the adapter's
# own. A tensor that is used twice (the embedding is also the output layer here) counts once.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "trainable_share", "locked": false, "solution": true, "task": false}
def trainable_share(model: torch.nn.Module) -> float:
    """Return (numbers that require a gradient) / (all numbers), between 0 and 1."""
    ### BEGIN SOLUTION
    parameters = list(model.parameters())  # a shared tensor is listed once
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    return trained / sum(p.numel() for p in parameters)
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_trainable_share", "locked": true, "points": 2, "solution": false, "task": false}
verdict = lesson.check.trainable_share(trainable_share)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% tags=["nbval-ignore-output"]
trained, total = adapted.get_nb_trainable_parameters()
lesson.compare("share", 100 * trained / total, unit="%")

# %%
adapted.print_trainable_parameters()

# %% [markdown]
# A layer with a matrix $W$ of (out, in) numbers gets two thin ones beside it, $A$ (r, in) and $B$ (out, r). So the
# share falls with the width of the model: $r(\text{in}+\text{out})$ grows with the width and
# $\text{in}\cdot\text{out}$ with its square. Move the sliders to see where "less than 1 %" holds. (The panel leaves
# the embedding out: 1.03 % there at the decoder's width of 256, 0.78 % with it. By keyboard: Tab goes to a slider, the
# arrow keys move it; in a list of choices, press Space, an arrow key, then Enter.)

# %% tags=["nbval-ignore-output"]
lesson.explore.share()

# %% [markdown]
# ## 4. How it is scored (*core*)
#
# ### Exercise 0.1: perplexity (*core*, 6 minutes)
#
# Those losses say how well the next token is guessed. A language model is scored by its mean loss per token in
# nats, or by the **perplexity**, e to the power of that mean. Batches differ in size, so the mean must be taken over *tokens*, not over batches.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "perplexity", "locked": false, "solution": true, "task": false}
def perplexity(batch_losses: list[float], batch_tokens: list[int]) -> float:
    """Return the perplexity from each batch's mean loss (nats per token) and its token count."""
    ### BEGIN SOLUTION
    total = sum(loss * count for loss, count in zip(batch_losses, batch_tokens, strict=True))
    return math.exp(total / sum(batch_tokens))
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_perplexity", "locked": true, "points": 1, "solution": false, "task": false}
verdict = lesson.check.perplexity(perplexity)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# ## 5. What the adapter weighs (*core*)
#
# Only the trained matrices are saved. The file is in the format of PEFT, Hugging Face's library for adapters.
#
# ### Exercise 0.3: the bytes of the adapter (*core*, 6 minutes)
#
# Each targeted layer (out, in) holds $A$ (r, in) and $B$ (out, r). Return the bytes of all of them,
# without the file's header. `shapes` lists the (out, in) of each targeted layer.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "adapter_bytes", "locked": false, "solution": true, "task": false}
def adapter_bytes(shapes: list[tuple[int, int]], r: int, bytes_per_number: int = 4) -> int:
    """Return the bytes of A and B for every targeted layer of shape (out, in)."""
    ### BEGIN SOLUTION
    return sum(r * (out + in_) for out, in_ in shapes) * bytes_per_number
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_adapter_bytes", "locked": true, "points": 1, "solution": false, "task": false}
verdict = lesson.check.adapter_bytes(adapter_bytes)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %%
import tempfile
from pathlib import Path

with tempfile.TemporaryDirectory() as folder:
    adapted.save_pretrained(folder)
    size = (Path(folder) / "adapter_model.safetensors").stat().st_size
print("numbers that train:", trained, "so", 4 * trained, "bytes of float32")
assert 4 * trained < size < 4 * trained + 8_000, (
    "the file holds the adapter, a header, nothing else"
)

# %% [markdown]
# ## 6. The noise floor (*core*)
#
# Run the same job again with another seed and you get another loss. Any claim of the form "setting X
# is better" must beat that difference. So measure it once: five seeds, everything else equal.

# %% tags=["nbval-ignore-output"]
losses = experiment.noise_floor(
    base="nano",
    steps=SIZE["noise"],
    length=SIZE["length"] // 2,
    valid_blocks=SIZE["blocks"],
    device=DEVICE,
    progress=True,
)
print("five seeds:", ", ".join(f"{loss:.3f}" for loss in losses))

# %% [markdown]
# ### Exercise 0.4: an interval from five runs (*core*, 8 minutes)
#
# Return the 95 % confidence interval of the mean, from few runs. The half-width is
# $t \, s / \sqrt{n}$: $s$ is the sample standard deviation (divide by $n - 1$), and $t$ is Student's
# value for $n - 1$ degrees of freedom, which you are given (2.776 for five runs). The 1.96 of large
# samples is too small here.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "interval", "locked": false, "solution": true, "task": false}
def interval(values: list[float], t: float) -> tuple[float, float]:
    """Return (low, high), the confidence interval of the mean of a few values."""
    ### BEGIN SOLUTION
    n = len(values)
    mean = sum(values) / n
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1))
    half = t * spread / math.sqrt(n)
    return mean - half, mean + half
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_interval", "locked": true, "points": 1, "solution": false, "task": false}
verdict = lesson.check.interval(interval)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %%
noise = lesson.recorded("00_noise_floor")
noise

# %%
low, high = interval95(noise.data)
spread = stdev(noise.data)
apart = t_quantile(0.975, len(noise.data) - 1) * math.sqrt(2) * spread
ll.Table(
    ("recorded on the decoder, five seeds", "nats per token"),
    [
        ("the lowest and the highest run", f"{min(noise.data):.4f} to {max(noise.data):.4f}"),
        ("their standard deviation s", f"{spread:.4f}"),
        ("their mean, 95 % interval", f"{low:.4f} to {high:.4f}"),
        ("two single runs may differ by (95 %)", f"{apart:.4f}"),
    ],
)

# %% [markdown]
# Two questions, two widths. The interval says where the **mean** of many runs lies. It narrows with the root
# of n. What **two single runs** differ by does not narrow: variances add, so their difference has the deviation
# $\sqrt 2 \, s$, and they may be $t \sqrt 2 \, s = 0.012$ apart with nothing changed but the seed. That is
# $\sqrt{2 n}$ times the half-width of the mean's interval, with five runs about three times. One run against one run proves a
# gain of 0.01 no more than two throws of a die prove it loaded.
#
# The way out is to give both settings the *same* seeds, so that they share batches and random starts, and to
# take the difference **seed by seed**. What the seed does to both then cancels. The lessons compare so, with
# the interval of the mean difference. Under each such sentence stands a table like this one, of four *invented*
# settings with five seeds each:

# %%
seed_effect = (4.2611, 4.2692, 4.2634, 4.2683, 4.2641)
gains = {
    "A": (0, 0, 0, 0, 0),
    "B": (0.0060, 0.0031, 0.0082, 0.0053, 0.0049),
    "C": (0.0050, 0.0011, 0.0040, 0.0006, 0.0045),
    "D": (0.0031, -0.0010, 0.0024, 0.0035, -0.0004),
}
settings = {
    name: {
        seed: loss - gain for seed, (loss, gain) in enumerate(zip(seed_effect, gain, strict=True))
    }
    for name, gain in gains.items()
}
ll.gap_table(ll.gaps_against(settings, "A", family="B, C and D against A"), unit="nats per token")

# %% [markdown]
# - **p** is the chance of a gap at least as large if the two settings did the same.
# - Who compares three pairs finds a small p by luck sooner than who compares one. **Holm's correction** makes up for
#   it: the smallest p is multiplied by 3, the next by 2, the last by 1, and none may be smaller than the one before.
# - A gap is **settled** where the corrected p is below 0.05. B's is. C's would be if it were the only question; among
#   three it is not. **Not settled** means: these seeds do not say. It does not mean that the two are equal.
#
# (Bouthillier and others 2021 measure the noise of seeds, data and settings; Miller 2024 says why to pair.)

# %% [markdown]
# ### Exercise 0.5: the bytes of your own adapter (*extra*, 3 minutes)
#
# These numbers are your own. In a course, write your student id between the quotes, as your teacher
# gave it to you; alone, leave it empty.
#
# A model has `blocks` blocks, and in each a `q_proj` and a `v_proj` of the shapes (out, in) below. How
# many bytes do $A$ and $B$ of all of them take, at your rank and with so many bytes for each number?
# Call your function of exercise 0.3 in a cell of its own. Here return the plain number that came out, as in
# `return 1_234`: only numbers are read.

# %%
STUDENT = ""
mine = lesson.mine("my_adapter_bytes", STUDENT)
mine


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "my_adapter_bytes", "locked": false, "solution": true, "task": false}
def my_adapter_bytes() -> int:
    """Return the bytes of your adapter, as a number."""
    ### BEGIN SOLUTION
    return 31_930_624  # for self-study: 29 blocks * 46 * (7,808 + 4,160) * 2 bytes
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_my_adapter_bytes", "locked": true, "points": 1, "solution": false, "task": false}
verdict = lesson.check.my_adapter_bytes(my_adapter_bytes)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# ## 7. A real language model, where you have it (*extra*)
#
# This section needs SmolLM2-135M (`lora-lessons models add smollm2`, 93 MB). It computes
# for one to four minutes on two cores. Thirty steps, each on one of three examples, change how the
# model answers a question that it never saw in training. Set `RUN_SMOLLM2 = True` to run it.

# %%
RUN_SMOLLM2 = ll.preset() == "full"

# %% tags=["nbval-ignore-output"]
if RUN_SMOLLM2 and ll.is_available("smollm2"):
    answers = experiment.smollm2_pirate(device=DEVICE)
    print("question:", answers["question"])
    print("before:  ", answers["before"])
    print("after:   ", answers["after"])
else:
    print("not run: the recorded answers follow")

# %%
smollm2 = lesson.recorded("00_smollm2")
print("question:", smollm2.data["question"])
print("before:  ", smollm2.data["before"])
print("after:   ", smollm2.data["after"])

# %% [markdown]
# ## 8. The same in PEFT (*core*)
#
# The production library takes the same config. With the same starting values it computes the same
# numbers, so what you learn here carries over.

# %% tags=["nbval-ignore-output"]
import warnings

import peft

# PEFT asks a model for something by its old name; transformers warns, but it concerns PEFT alone
warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
base, _ = ll.load_base(SIZE["base"], device=DEVICE)
with tempfile.TemporaryDirectory() as folder:
    adapted.save_pretrained(folder)
    theirs = peft.PeftModel.from_pretrained(base, folder)

# %%
ids = valid[:2].to(DEVICE)
with torch.no_grad():
    ours_logits, their_logits = adapted.eval()(ids).logits, theirs.eval()(ids).logits
torch.testing.assert_close(ours_logits, their_logits, rtol=1e-4, atol=1e-4)
print("PEFT reads our file and computes the same logits")

# %% [markdown]
# The same with SmolLM2-135M, 25 times the size: the card's adapter after three steps, recorded on a CPU.

# %%
smollm2_in_peft = lesson.recorded("00_read_by_peft_smollm2")
smollm2_in_peft

# %%
moved, apart = (smollm2_in_peft.data[key] for key in ("moved", "apart"))
print(f"largest change of a logit by the adapter: {moved:.1f}")
print(f"largest difference between PEFT's logits and ours: {apart:g}")

# %% [markdown]
# ## What the card says, and what was measured

# %%
lesson.claims()

# %% [markdown]
# ## Summary
#
# - A LoRA fine-tune is: base model, config, injection, training of what requires a gradient, a small
#   file.
# - The share that trains depends on the model's width and on the targets: count it, do not quote it.
# - Two runs that differ in the seed alone differ in the loss. Five runs give an interval of the mean, with
#   Student's t; two single runs may differ by three times its half-width. So compare seed by seed.
#
# ### Review cards

# %%
lesson.cards()

# %% [markdown]
# ### Further reading
#
# - Hu and others, [*LoRA: Low-Rank Adaptation of Large Language
#   Models*](https://arxiv.org/abs/2106.09685), 2021.
# - Bouthillier and others, [*Accounting for Variance in Machine Learning
#   Benchmarks*](https://arxiv.org/abs/2103.03098), 2021: how much seeds, data and settings move a result.
# - Miller, [*Adding Error Bars to Evals*](https://arxiv.org/abs/2411.00640), 2024: pairing.
# - [The documentation of PEFT](https://huggingface.co/docs/peft), the library that this course compares
#   itself with.
#
# Next: [lesson 01](01_rank_decomposition.ipynb) takes the first argument of the config, `r`.

# %%
lesson.summary()
