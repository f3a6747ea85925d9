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
# # 11 Memory and speed: what LoRA saves, and what it does not
#
# The card calls LoRA "efficient", "faster" and "cheaper". That is a claim about bytes and milliseconds, so it
# can be worked out before a run and measured after it. This lesson does both, from a model of 0.14 million
# numbers to one of 8 billion.
#
# **You will be able to**
#
# 1. predict each part of a training step's memory, and say which of them LoRA saves;
# 2. count to the byte what a layer keeps for the backward pass;
# 3. say what logits and recomputing cost, and what to change first when memory runs out;
# 4. time a step honestly, and say what a small step waits for.
#
# **Time:** 43 minutes for the core path; what is marked *extra* takes 9 more.
#
# **You need:** what AdamW keeps for each number (lesson 00), where LoRA's gradients come from (lesson 02).
#
# **How it works:** replace the line in each exercise, run the cell, then run the check below it.
# `lesson.hint.NAME()` gives three hints, each stronger than the one before.
# `lesson.solution.NAME()` shows the answer. If you are stuck, go on: later cells use the package's
# own piece in place of yours and say so.

# %%
import time
import warnings

import peft
import torch

import lora_lessons as ll
from lora_lessons.course.lesson11 import explorer, figures, results, tables
from lora_lessons.course.recorded import benchmark
from lora_lessons.experiments import capture_by_hand, step_memory, step_times, step_trace
from lora_lessons.experiments import lesson11 as experiment
from lora_lessons.train.step import training_step

lesson = ll.lesson("11")
ROWS, LENGTH = (4, 32) if ll.preset() == "quick" else (16, 128)
CUDA = torch.cuda.is_available() and ll.preset() == "full"
warnings.filterwarnings("ignore", category=FutureWarning)  # of transformers, about other things

# %% [markdown]
# ## 1. The states (*core*)
#
# A training step holds four kinds of numbers for as long as training lasts: **weights**, **gradients**, and
# AdamW's **two moments**. The last three are there for trained weights only. With the weights they are called
# the *states*.
#
# ### Exercise 11.1: the states (*core*, 4 minutes)
#
# Return the bytes of the states. `frozen` and `trained` count numbers; one weight takes `weight` bytes (2 for bf16,
# half a byte for a 4-bit base), one gradient `grad` bytes. Each moment is a float32 number here, 4 bytes.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "state_bytes", "locked": false, "solution": true, "task": false}
def state_bytes(frozen: int, trained: int, weight: float, grad: float) -> float:
    """Return the bytes of weights, gradients and AdamW's two float32 moments."""
    ### BEGIN SOLUTION
    weights = (frozen + trained) * weight
    return weights + trained * (grad + 4 + 4)
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_state_bytes", "locked": true, "points": 1, "solution": false, "task": false}
verdict = lesson.check.state_bytes(state_bytes)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# Apply it: LoRA at $r = 8$ on all linear layers, beside full fine-tuning, all weights and gradients in bf16. The
# counts come from the shapes of the models, which need no memory.

# %% tags=["nbval-ignore-output"]
states = lesson.use("state_bytes", state_bytes, experiment.state_bytes)

# %%
predicted = lesson.recorded("11_predicted")
for name, arms in figures.by_place(predicted.data["rows"]).items():
    frozen, trained = (arms["LoRA"][key] for key in ("frozen_count", "trained_count"))
    lora, full = states(frozen, trained, 2, 2), states(0, frozen, 2, 2)
    share = 100 * trained / (frozen + trained)
    print(
        f"{name:14s} {frozen / 1e6:8.1f} M frozen, {share:5.2f} % trained; states "
        f"{tables.size_words(lora):>9s}, full fine-tuning {tables.size_words(full):>9s}"
    )
    assert full == 6 * 2 * frozen

# %% [markdown]
# Full fine-tuning takes 12 bytes for each weight, LoRA a little over 2. If a step were its states, LoRA would save
# 80 %. It is not. Commit to a number before you go on.

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "saving",
    "The 5 M model, 16 rows of 128 tokens, both in bf16: by how many % is the peak of LoRA's step lower?",
    low=0,
    high=100,
    step=1,
)

# %% [markdown]
# ## 2. What is kept for the backward pass (*core*)
#
# The forward pass leaves tensors behind that the backward pass needs. These *activations* grow with the tokens of a
# batch, not with the weights. Which of them does a layer with LoRA keep?

# %%
ll.show(figures.kept_drawing())

# %% [markdown]
# A frozen layer alone would keep nothing: the gradient of $x$ needs $W$, which is there anyway. But $A$ trains, and
# its gradient needs $x$, just as $W$'s gradient did. So LoRA gives back the *gradient* of $W$, and not $x$.
#
# ### Exercise 11.2: count it (*core*, 9 minutes)
#
# Return the bytes that autograd keeps when `layer(x)` runs. `torch.autograd.graph.saved_tensors_hooks(pack, unpack)`
# is a context: inside it, `pack(tensor)` is called with each tensor that is kept, and what it returns is given to
# `unpack` later. Two rules:
#
# - Tensors can share their numbers: count each **storage** once. `tensor.untyped_storage()` has `data_ptr()`, which tells
#   storages apart, and `nbytes()`.
# - The layer's own parameters and buffers do not count. They are there without a backward pass too.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "kept_for_backward", "locked": false, "solution": true, "task": false}
def kept_for_backward(layer: torch.nn.Module, x: torch.Tensor) -> int:
    """Return the bytes that layer(x) keeps for the backward pass, each storage once."""
    ### BEGIN SOLUTION
    own = {t.untyped_storage().data_ptr() for t in [*layer.parameters(), *layer.buffers()]}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        layer(x)
    return sum(kept.values())
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_kept_for_backward", "locked": true, "points": 3, "solution": false, "task": false}
verdict = lesson.check.kept_for_backward(kept_for_backward)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# Now a whole block of the nano decoder: attention, MLP and norms, in float32. How much of what full fine-tuning
# keeps does LoRA on all linear layers keep?

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "kept",
    "A block with LoRA on all linear layers keeps, of what full fine-tuning keeps,",
    options=["less than a third", "about a half", "nearly all"],
)

# %% tags=["nbval-ignore-output"]
count_kept = lesson.use("kept_for_backward", kept_for_backward, experiment.kept_for_backward)

# %% [markdown]
# Each row is found twice: by your hooks, on real tensors, and from shapes alone, on *fake tensors*, which have a size
# and no numbers. That is how `ll.predict_memory` works: it runs the step instead of trusting a formula.

# %%
x = step_trace.hidden_states(ROWS, LENGTH)
kept = {arm: count_kept(step_trace.nano_block(arm), x) for arm in step_trace.BLOCK_ARMS}
for arm, size in kept.items():
    assert size == step_trace.kept_by_shapes(arm, ROWS, LENGTH)
    print(f"{arm:17s} keeps {size:10,d} bytes; from shapes alone the same, to the byte")

# %% tags=["nbval-ignore-output"]
share = kept["LoRA, all-linear"] / kept["full fine-tuning"]
lesson.compare(
    "kept",
    {
        "less than a third": share < 1 / 3,
        "about a half": 1 / 3 <= share < 3 / 4,
        "nearly all": share >= 3 / 4,
    },
)

# %% [markdown]
# LoRA on q and v alone keeps less: the inputs of the other layers are not needed. Even a *frozen* block keeps most of
# it: products of activations (attention, the gate of the MLP, the norms) have no weights and need their inputs.
#
# ## 3. A step from begin to end (*core*)
#
# Follow the memory of one whole step, operation by operation, on the nano model:

# %% tags=["nbval-ignore-output"]
ll.show(
    figures.trace(
        {
            arm: step_trace.memory_trace("nano", arm, ROWS, LENGTH)
            for arm in ("full, bf16", "LoRA", "LoRA, recomputed")
        }
    )
)

# %% [markdown]
# The peak is not at the end of a step but in its middle, around the loss, when everything is kept and the logits are
# there. While the backward pass makes gradients it gives activations back. So the parts do not simply add up, and
# the number that must fit is the peak.
#
# **Recomputing** (gradient checkpointing) is the lowest line: each block keeps its input alone and runs a second time
# when the backward pass gets to it.
#
# Is the prediction right for a whole step? On the CPU it can be checked to the byte:

# %%
ARMS = ["full, float32", "full, bf16", "LoRA, whole logits", "LoRA", "LoRA, recomputed"]
size = [["nano", ROWS, LENGTH]]
told = step_memory.predicted_memory(size, ARMS, predicts="cpu")["rows"]
seen = step_memory.measured_memory(size, ARMS)["rows"]
for one, other in zip(told, seen, strict=True):
    assert one["peak"] == other["peak"]
    print(f"{one['arm']:19s} the peak of a real step is the predicted one, to the byte")

# %% tags=["nbval-ignore-output"]
tables.step_parts(told)

# %% [markdown]
# ### Exercise 11.3: the logits (*core*, 6 minutes)
#
# The scores of the next token are a tensor of batch x length x vocabulary: with 128,256 words no single tensor of a step is as large.
# And it is there several times: in bf16, in float32 for the softmax, as a gradient. `copies` lists the bytes of a
# number in each copy that is alive at one time, `[2, 4, 4]` say.
#
# Behind a frozen head the loss can also be taken **in pieces**: a row's gradient needs that row's logits only. Then the
# copies exist for one piece at a time. A piece has `at_once` rows (a row is a token here), or all rows where there are
# fewer. Beside it the gradient of the hidden states is kept for all rows: `hidden` numbers of 2 bytes each. Return the bytes; `at_once=None` means whole.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "logits_bytes", "locked": false, "solution": true, "task": false}
def logits_bytes(
    batch: int, length: int, hidden: int, vocab: int, copies: list[int], at_once: int | None
) -> int:
    """Return the bytes of the logits' copies; in pieces, with the gradient that is kept."""
    ### BEGIN SOLUTION
    rows = batch * length
    if at_once is None:
        return rows * vocab * sum(copies)
    return min(at_once, rows) * vocab * sum(copies) + rows * hidden * 2
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_logits_bytes", "locked": true, "points": 2, "solution": false, "task": false}
verdict = lesson.check.logits_bytes(logits_bytes)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% tags=["nbval-ignore-output"]
logits = lesson.use("logits_bytes", logits_bytes, experiment.logits_bytes)

# %%
for batch in (1, 8):
    whole = logits(batch, 2048, 2048, 128_256, [4], None)
    pieces = logits(batch, 2048, 2048, 128_256, [4], 1024)
    print(
        f"{batch} x 2048, 128,256 words: one float32 copy {tables.size_words(whole)}, "
        f"in pieces of 1,024 rows {tables.size_words(pieces)}"
    )

# %% [markdown]
# Formulas of "16 bytes for each parameter" forget this part, and the activations. So: full fine-tuning of the 1 B
# shape, 8 rows of 2,048 tokens, in bf16, logits whole. What is the largest part?

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "largest",
    "1 B, 8 x 2048, full fine-tuning in bf16: the largest part",
    options=["weights", "gradients and moments", "activations", "logits"],
)

# %% [markdown]
# ## 4. From nano to 8 B (*core*)
#
# The recorded predictions, and what one H200 measured (`torch.cuda.max_memory_allocated`), random weights,
# $r = 8$ on all linear layers. "LoRA, whole logits" has the loss of full fine-tuning; "LoRA" takes its logits in
# pieces, as `fit` does behind a frozen head. With one pair you see what *LoRA* saves, with the other what your
# run saves. In "full, bf16" the moments are bf16 too, as PyTorch's AdamW makes them for bf16 weights: 8 bytes for each
# weight. That is the thriftiest full fine-tuning, so LoRA is not flattered.

# %%
predicted

# %%
measured = lesson.recorded("11_measured")
measured

# %%
rows = explorer.measured_rows()
tables.beside(predicted.data["rows"], rows)

# %%
pairs = tables.pairs(predicted.data["rows"], rows)
assert pairs and all(tables.near(told["peak"], seen["peak"]) for told, seen in pairs)
print(f"{len(pairs)} steps: each prediction within 10 % of the GPU's peak, or within 64 MB")

# %% [markdown]
# The 1 B shape with 8 rows of 2,048 tokens, part by part (predicted):

# %%
of_1b = figures.by_place(predicted.data["rows"])["1 B, 8 x 2048"]
tables.step_parts(
    [
        of_1b[arm]
        for arm in ("full, bf16", "LoRA, whole logits", "LoRA", "LoRA, recomputed", "QLoRA")
    ]
)

# %%
ll.show(figures.sizes(predicted.data["rows"], rows))

# %%
tables.savings(predicted.data["rows"])

# %% tags=["nbval-ignore-output"]
places = figures.by_place(rows)
lesson.compare("saving", round(100 * figures.saving(places["5 M, 16 x 128"])), unit="%")

# %% tags=["nbval-ignore-output"]
full = of_1b["full, bf16"]
lesson.compare(
    "largest",
    {
        "weights": full["trained"] / 2**30,
        "gradients and moments": (full["gradients"] + full["optimizer"]) / 2**30,
        "activations": full["activations"] / 2**30,
        "logits": full["logits"] / 2**30,
    },
    best="highest",
)

# %% [markdown]
# A small model shows what is not counted: libraries and kernels take some tens of MiB for themselves. Three things to
# read off:
#
# - **States grow with the parameters, activations and logits with the tokens.** On small models, and with large batches,
#   the states are the small part, and LoRA saves little.
# - **Part of what "LoRA saves" is the loss.** A frozen head lets the logits be taken in pieces. On the 5 M model that is
#   nearly half of the saving, at 1 B with 8 x 2048 most of it.
# - **Recompute on both sides, or on none.** Once activations are recomputed, the states are what is left, and LoRA's
#   share of the saving shows.
#
# Try a size and a batch of your own. The dashed line is the peak.

# %% tags=["nbval-ignore-output"]
lesson.explore.memory()

# %% tags=["nbval-ignore-output"]
lesson.explore.sizes()

# %% [markdown]
# ## 5. Time, honestly (*core*)
#
# A GPU works on while Python goes on: `step()` returns when the work is *launched*. And first steps are slow, for
# compilers and caches start there. A stopwatch must know both.
#
# ### Exercise 11.4: a stopwatch that waits (*core*, 7 minutes)
#
# Run `step()` `warm` times untimed. Then time `n` steps, each **from a device that is idle to a device that is done**, and
# return their median in milliseconds. `sync()` waits until the device has done all it was given; it may be busy when
# you are called. `clock()` returns seconds. The check hands you a simulated device, with a clock of its own.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "median_ms", "locked": false, "solution": true, "task": false}
def median_ms(step, sync, n: int, warm: int, clock) -> float:
    """Return the median milliseconds of n steps, after `warm` steps that are not timed."""
    ### BEGIN SOLUTION
    for _ in range(warm):
        step()
    times = []
    for _ in range(n):
        sync()
        start = clock()
        step()
        sync()
        times.append(clock() - start)
    times.sort()
    middle = n // 2
    return 1e3 * (times[middle] if n % 2 else (times[middle - 1] + times[middle]) / 2)
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_median_ms", "locked": true, "points": 2, "solution": false, "task": false}
verdict = lesson.check.median_ms(median_ms)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# Use it. On a GPU, with each operation launched by Python one after another: how long does a LoRA step of the *nano* model
# take beside one of full fine-tuning?

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "small_step",
    "nano, 16 x 128, on an H200, launched one by one: LoRA's step is",
    options=["faster", "as fast, within 10 %", "slower"],
)

# %% [markdown]
# First here, on this machine, on one random batch, with the number of operations that each step asks for:

# %% tags=["nbval-ignore-output"]
stopwatch = lesson.use("median_ms", median_ms, experiment.median_ms)
device = "cuda" if CUDA else "cpu"
ids = step_times.random_ids(512, *((16, 128) if CUDA else (4, 32)), device)
base, ours = (
    step_memory.build("nano", step_memory.ARMS[a], 8, device) for a in ("full, bf16", "LoRA")
)
adapted = peft.get_peft_model(
    step_memory.build("nano", step_memory.ARMS["full, bf16"], 8, device),
    peft.LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"),
)
for name, model in {
    "full fine-tuning": base,
    "LoRA, as fit trains it": ours,
    "LoRA in PEFT": adapted,
}.items():
    how = {"precision": "bf16", "capture": False, "compile": False}
    with training_step(model.train(), steps=10**6, lr=1e-4, **how) as step:

        def take():
            return step([{"input_ids": ids, "labels": ids}])

        repeats = [
            stopwatch(take, lambda: step_times.synchronize(device), 20, 3, time.perf_counter)
            for _ in range(5)
        ]
        count = step_trace.operations_of(
            lambda: step.step.gradients([{"input_ids": ids, "labels": ids}])
        )
    print(
        f"{name:22s} {sorted(repeats)[2]:6.2f} ms ({min(repeats):.2f} to {max(repeats):.2f} over five "
        f"repeats); forward and backward ask for {count} operations"
    )

# %% [markdown]
# Now the recorded H200. Each step is timed twice at once: until it is **launched**, and until it is **done**.

# %%
timed = lesson.recorded("11_step_times")
timed

# %%
tables.times(timed.data["rows"])

# %%
ll.show(figures.times(timed.data["rows"]))

# %% tags=["nbval-ignore-output"]
ratio = tables.ratio(timed.data["rows"], "nano", "eager")
lesson.compare(
    "small_step",
    {"faster": ratio < 0.9, "as fast, within 10 %": 0.9 <= ratio <= 1.1, "slower": ratio > 1.1},
)

# %% [markdown]
# ### Launch-bound
#
# Look at the nano's eager rows: until it is launched and until it is done take the same time. The GPU has finished each
# kernel before the next one comes; it waits for the host. Such a step is **launch-bound**: what counts is how many
# operations there are, and how much Python stands around each, not how large they are. PEFT's LoRA asks for many more.
# `fit` joins the layers that read one input, so it asks for about as many as full fine-tuning, through functions that are
# written in Python; its step is slower too. (Where a step is long, the two times come near each other as well, for the
# queue of launches is full and the host must wait. The proof is what capturing gains.)
#
# The cure is to launch once. A **CUDA graph** records the kernels of one step and replays them at fixed addresses. In
# `fit` this happens by itself (`history.captured`). Here it is by hand; it needs a GPU, and elsewhere you see what
# the recorded one printed.


# %%
def capture(step):
    """Return a function that replays step() as one CUDA graph. The warm-up takes three steps."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


# %% tags=["nbval-ignore-output"]
by_hand = lesson.recorded("11_capture")
if CUDA:
    for how in ("eager", "captured"):
        step, loss = capture_by_hand.make_step("nano", ROWS, LENGTH, "cuda")
        take = capture(step) if how == "captured" else step
        ms = stopwatch(take, torch.cuda.synchronize, 20, 3, time.perf_counter)
        print(f"{how:9s} {ms:6.2f} ms a step, loss {float(loss):.4f}")
else:
    print(by_hand)
    for how, found in by_hand.data.items():
        ms = figures.milliseconds(found)
        print(f"{how:9s} {ms:6.2f} ms a step, losses {[round(one, 4) for one in found['losses']]}")

# %%
for a, b in zip(by_hand.data["eager"]["losses"], by_hand.data["captured"]["losses"], strict=True):
    assert abs(a - b) < 1e-3
print("recorded: the captured step trains as the eager one does")

# %% [markdown]
# Mind the traps: the warm-up *trains* (three steps, which `fit` puts back); the batch must be copied into the same tensor;
# and nothing in the step may wait for the GPU, such as `.item()`.
#
# ## 6. The arithmetic: 4N against 6N (*core*)
#
# A product with a matrix of $N$ numbers takes $2N$ operations for each token: a multiplication and an addition. The
# backward pass has two such products: the gradient of the input, and the gradient of the weights. That makes $6N$ for
# full fine-tuning. Which of the three can LoRA leave out, and what does it add? Predict for the 1 B shape, LoRA on all
# linear layers:

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "flops",
    "1 B: the operations of LoRA's step, in % of full fine-tuning's",
    low=0,
    high=100,
    step=1,
)

# %% [markdown]
# $W$ is frozen, so its gradient is not computed: $4N$ are left, and the thin products with $A$ and $B$ come on top. PyTorch
# counts operations from shapes; attention's own products, which have no weights, are left out:

# %%
CHOICES = {"full fine-tuning": None, "all-linear": "all-linear", "q and v": ["q_proj", "v_proj"]}
flops = {}
for size in ("nano", "1 B"):
    for name, targets in CHOICES.items():
        found = step_times.product_flops(step_memory.shape_config(size), targets, 1, 16)
        flops[size, name] = found["step"]
        print(
            f"{size:5s} {name:17s} forward {found['forward'] / found['weights']:.2f} N, "
            f"whole step {found['step'] / found['weights']:.2f} N"
        )

# %% tags=["nbval-ignore-output"]
share = 100 * flops["1 B", "all-linear"] / flops["1 B", "full fine-tuning"]
lesson.compare("flops", round(share), unit="%")

# %% [markdown]
# So a step can be 1.5 times as fast at most, where products are all of it. The 1 B shape at 8 x 2048 keeps a GPU busy.
# What came out on the H200?

# %%
at_1b = lesson.recorded("11_step_times_1b")
at_1b

# %%
tables.times(at_1b.data["rows"])

# %% [markdown]
# LoRA is faster here, by less than the operations say: attention, norms and the loss are the same for both. Recomputing
# takes one more forward pass, and a 4-bit base decodes each weight at each use. Both buy memory with time.
#
# ## 7. Beside other ways (*extra*)
#
# The repository's benchmark compares this package with PEFT and with full fine-tuning on one H200 (adapters of
# $r = 16$; `benchmarks/gpu.py`). "As it comes" is PEFT's default: float32 adapters on a bf16 base.

# %%
ll.show(figures.contestants(benchmark("gpu")))

# %% [markdown]
# On the small shapes the way the step is launched changes its time more than anything that is trained. At 1 B
# launching hardly matters, and fewer passes over memory do: that is what compiling saves.
#
# Several GPUs (`benchmarks/many_gpus.py`): with the base whole on each, every GPU takes its own rows, and only the
# adapters' gradients travel. With a part of every weight on each, a block's whole weights are gathered while it runs:
# so a model trains that is too large for one GPU.

# %%
tables.several_gpus(benchmark("many_gpus"))

# %% [markdown]
# The paper reports GPT-3 175B: 1.2 TB of memory down to 350 GB, and 25 % faster training (Hu and others, section 4.2:
# 43.1 against 32.5 tokens a second on each V100). Those are states of a very large model, spread over many GPUs;
# the number does not carry over to yours.

# %% [markdown]
# ## 8. What came out (*core*)

# %%
for line in results.came_out(predicted.data["rows"], rows, timed.data["rows"], at_1b.data["rows"]):
    print("-", line)

# %% [markdown]
# ### Question 11.5: your verdict (written, 5 minutes, 3 points)
#
# A colleague has one GPU of 24 GiB and the 1 B shape, 8 rows of 2,048 tokens. "With LoRA we run out of memory at
# $r = 8$, so let us take $r = 4$. It will be faster too." In at most five sentences: what will $r = 4$ change, what
# would you change first, and what will it cost in time? Use at least two numbers from this page.

# %% [markdown] nbgrader={"schema_version": 3, "grade": true, "grade_id": "verdict_on_memory", "locked": false, "points": 3, "solution": true, "task": false}
# r = 4 halves the 5.6 M trained numbers. With gradients and moments they take 0.16 GiB of a peak of 29.60, so 24 GiB
# are still too few. I would recompute first: 5.62 GiB measured, for 367 ms a step in place of 273. Fewer rows with
# accumulation help too, one row takes 6.90 GiB; a 4-bit base alone does not, 26.94. It will not be faster: LoRA's step
# is 4.02 N operations at r = 8, and no r brings it below 4 N.

# %% [markdown]
# ### Exercise 11.6: does your step fit? (*extra*, 7 minutes)
#
# These numbers are your own. In a course, write your student id between the quotes, as your teacher
# gave it to you; alone, leave it empty.
#
# A decoder of Llama's kind: no biases, a head tied to the embedding, seven linear layers in each block. LoRA of rank
# `r` on all seven, in float32, with float32 gradients; everything else is frozen in bf16. Leave the norms out. A
# row of a batch takes `mib_per_row` MiB of activations and logits. Return three numbers: how many are **trained**; the
# **GiB of the states** (five digits); and how many whole **rows** fit beside them on 24 GiB:
# `return 1_234_567, 2.3456, 7`.

# %%
STUDENT = ""
mine = lesson.mine("my_step", STUDENT)
mine


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "my_step", "locked": false, "solution": true, "task": false}
def my_step() -> tuple[int, float, int]:
    """Return the trained numbers, the GiB of the states, and the rows that fit."""
    ### BEGIN SOLUTION
    return (
        3_072_000,
        3.94775,
        56,
    )  # for self-study: 20 blocks; 2 bytes x 2,095,054,848 and 16 x 3,072,000
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_my_step", "locked": true, "points": 2, "solution": false, "task": false}
verdict = lesson.check.my_step(my_step)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# ## 9. The same in PEFT (*core*)
#
# Does PEFT keep the same? Your count on a block that PEFT adapted, beside ours:

# %%
for arm in ("LoRA, q and v", "LoRA, all-linear"):
    theirs = step_trace.nano_block(arm, library=peft)
    assert count_kept(theirs, x) == kept[arm]
    trained = sum(p.numel() for p in theirs.parameters() if p.requires_grad)
    print(f"{arm:17s} PEFT keeps {kept[arm]:,d} bytes, as we do; {trained:,d} numbers train")

# %% [markdown]
# To the byte: both compute $W x + s\,B A x$ and autograd keeps what that needs. Memory is a property of the mathematics
# and of the loss, not of the library, until someone fuses, recomputes or compiles.
#
# `ll.predict_memory(model_or_config, lora_config, batch_size=..., length=...)` predicts a step of yours before you run
# it, from a config of transformers alone.

# %%
config = step_memory.shape_config("5 M")
print(ll.predict_memory(config, step_memory.adapters(8), batch_size=16, length=128))

# %% [markdown]
# ## What the card says, and what was measured

# %%
lesson.claims()

# %% [markdown]
# ## Summary
#
# - A step's memory: weights, gradients, moments, activations, logits. LoRA saves gradients and moments, not activations.
# - States grow with parameters, the rest with tokens. So LoRA saves little on a small model with a large batch, and half
#   and more on a large one.
# - Take logits in pieces, recompute, store the base in 4 bits: each saves more than a smaller $r$.
# - Wait for the device before both clocks, warm up, take the median, show the range.
# - $4N$ against $6N$: at most 1.5 times as fast. A small step is launch-bound: capture it.
#
# ### Cards for review
#
# Read the question, answer aloud, then open the card. Come back tomorrow, in three days and in a week.

# %%
lesson.cards()

# %% [markdown]
# ### Further reading
#
# - Hu and others, *LoRA: Low-Rank Adaptation of Large Language Models*, 2021, arXiv 2106.09685: section 4.2 on memory and speed.
# - Chen, Xu, Zhang and Guestrin, *Training Deep Nets with Sublinear Memory Cost*, 2016, arXiv 1604.06174: recomputing.
# - Ko, *LoRA Is Slower Than You Think*, 2025, arXiv 2507.08833: where LoRA does not make a step faster.
# - Schulman and others, *LoRA Without Regret*, 2025: the operations of LoRA and of full fine-tuning.
# - PyTorch's documentation: `torch.autograd.graph.saved_tensors_hooks`, CUDA semantics (asynchronous execution, CUDA graphs).
# - `docs/training.md` of this project: what `fit` does to be fast, and its measurements.
#
# Next: lesson 12 stores the base in four bits.

# %%
lesson.summary()
