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
# # 14 Deployment: serve adapters, and never the wrong one
#
# An adapter that is trained has to answer requests. You can merge it and ship a plain model, or keep it apart and let
# one base serve many adapters. The second is cheap, and has a fault of its own: a request can get the text of somebody
# else's adapter, without any error. In this lesson you write the server's contract, see three such faults on a real
# server, and prepare an adapter for SageMaker and Bedrock, as far as that can be tested without an account.
#
# **You will be able to**
#
# 1. choose between merged and separate adapters by bytes and by time;
# 2. write and test a server by SageMaker's contract, and prove that it mixes up no adapters;
# 3. get an adapter to Bedrock, to llama.cpp and to ONNX, and say what such tests do not prove.
#
# **Time:** 35 minutes for the core path; what is marked *extra* takes 25 more.
#
# **You need:** merging, files and mixed batches from lesson 09.
#
# **How it works:** replace the line in each exercise, run the cell, then run the check below it.
# `lesson.hint.NAME()` gives three hints, each stronger than the one before.
# `lesson.solution.NAME()` shows the answer. If you are stuck, go on: later cells use the package's
# own piece in place of yours and say so.

# %%
import json
import tempfile
from pathlib import Path

import lora_lessons as ll
from lora_lessons.course.lesson14 import figures
from lora_lessons.deploy import bedrock, client, contract, gguf, requests, sources
from lora_lessons.experiments import lesson14 as experiment
from lora_lessons.experiments import llama_server

lesson = ll.lesson("14")
SIZE = experiment.SIZES[ll.preset()]
_ = ll.seed_everything(0)

# %% [markdown]
# ## 1. Merged or separate?
#
# A **merged** model has $W + s B A$ in place of $W$. It is a plain model: no library for LoRA, no extra work. But
# it serves one adapter. A hundred customers with an adapter each (**tenants**) need a hundred whole models. Adapters kept
# **separate** share one base.
#
# ### Exercise 14.1: bytes held (3 minutes)
#
# Return the bytes of weights that serve `n` adapters. The base has `base` numbers, an adapter has `adapter`, and a number
# takes `width` bytes. `merged` says which of the two ways.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "held_bytes", "locked": false, "solution": true, "task": false}
def held_bytes(n: int, base: int, adapter: int, width: int, merged: bool) -> int:
    """Return the bytes of weights that serve n adapters."""
    ### BEGIN SOLUTION
    numbers = n * base if merged else base + n * adapter
    return width * numbers
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_held_bytes", "locked": true, "points": 1, "solution": false, "task": false}
verdict = lesson.check.held_bytes(held_bytes)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %%
count_bytes = lesson.use("held_bytes", held_bytes, experiment.package_bytes)
recorded = lesson.recorded("14_latency")
size = {name: recorded.data[name] for name in ("base", "adapter", "width")}
for n in (1, 8, 32):
    merged, separate = (count_bytes(n, **size, merged=way) / 1e6 for way in (True, False))
    print(f"decoder, {n:2d} adapters: {merged:6.1f} MB merged, {separate:5.1f} MB separate")

# %% tags=["nbval-ignore-output"]
lesson.explore.tenants()

# %% [markdown]
# Bytes are half of it. The other half is time. Separate adapters add two small products to each layer. And if every
# request in a batch wants its own adapter, `mixed_batch` (lesson 09) groups the rows:

# %%
figures.mixed_batch()

# %% [markdown]
# Five ways are compared. Where all requests want one adapter: **merged**, and **separate**. Where each wants its own:
# **mixed** in one batch; **one at a time**; and **swapped**, which merges, answers and unmerges for each. They take turns,
# so that a busy machine harms all alike.

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "mixed",
    "Eight requests for eight adapters on the decoder: one mixed batch is how many times as fast as one at a time?",
    low=0.5,
    high=10.0,
    step=0.1,
)

# %% tags=["nbval-ignore-output"]
live = experiment.latency(counts=SIZE["counts"], tokens=SIZE["tokens"], rounds=SIZE["rounds"])
figures.latency_table(live, "Live: nano, this machine")

# %%
recorded

# %%
figures.latency_table(recorded.data, "Recorded: decoder, one CPU thread")

# %%
ll.show(figures.latency_figure(recorded.data, "decoder, recorded on a CPU"))

# %%
rounds = figures.by_round(recorded.data, 8)
ll.gap_table(
    ll.gaps_against(rounds, "mixed", family="each way against mixed, eight requests"),
    unit="milliseconds",
    caption="decoder, eight requests; the seeds are rounds",
)

# %% tags=["nbval-ignore-output"]
lesson.compare("mixed", figures.faster(recorded.data, 8))

# %% [markdown]
# ### What came out
#
# - Eight tenants in one mixed batch are answered faster than one at a time, for the base runs once for all.
# - Swapping is slower still: each merge and unmerge writes every weight that is adapted.
# - Merged is the fastest way where all want one adapter. That is what to ship for a single adapter.
#
# These are a small model and one CPU thread. How much each way costs on a GPU with a large model is not measured here.
#
# ## 2. The contract of a container
#
# SageMaker runs your container and speaks to it over HTTP, port 8080. It asks two things: `GET /ping`, every few
# seconds (are you up?), and `POST /invocations` (answer this). Where the container holds adapters, a header names one:
# `X-Amzn-SageMaker-Adapter-Identifier`. The rest is yours to decide, and the client must be able to tell what went
# wrong: **4xx** is the client's fault, **5xx** the server's.
#
# ### Exercise 14.2: the container's contract (10 minutes)
#
# Return `(status, dict)` for one request. `headers` is a dict; header names have no case. `body` is bytes. `adapters`
# are the names that are loaded, and `generate(prompt, adapter)` returns text (adapter `None`: the base).
#
# | request | status |
# |---|---|
# | GET /ping | 200, and the model is not run |
# | POST /invocations with `{"inputs": "some text"}` | 200, `{"generated_text": ...}` |
# | another path; an adapter that is not loaded | 404 |
# | another method on one of the two paths | 405 (404 is taken too) |
# | a body above 6,291,456 bytes | 413 |
# | a Content-Type other than `application/json` (in any case, what follows `;` aside) | 415 |
# | a body that is no JSON, no object, or has no text `inputs` | 400 |
#
# A refused request must not reach the model. What the dict of a refusal holds is up to you.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "handle", "locked": false, "solution": true, "task": false}
def handle(method, path, headers, body, adapters, generate) -> tuple[int, dict]:
    """Return the status and the JSON object that answer one request."""
    ### BEGIN SOLUTION
    import json

    methods = {"/ping": "GET", "/invocations": "POST"}
    if path not in methods:
        return 404, {"error": "no such path"}
    if method != methods[path]:
        return 405, {"error": f"use {methods[path]}"}
    if path == "/ping":
        return 200, {}
    if len(body) > 6_291_456:
        return 413, {"error": "too long"}
    fields = {name.lower(): value for name, value in headers.items()}
    if fields.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        return 415, {"error": "send application/json"}
    adapter = fields.get("x-amzn-sagemaker-adapter-identifier")
    if adapter is not None and adapter not in adapters:
        return 404, {"error": "no such adapter"}
    try:
        content = json.loads(body)
    except ValueError:
        return 400, {"error": "no JSON"}
    if not isinstance(content, dict) or not isinstance(content.get("inputs"), str):
        return 400, {"error": "no inputs"}
    return 200, {"generated_text": generate(content["inputs"], adapter)}
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_handle", "locked": true, "points": 3, "solution": false, "task": false}
verdict = lesson.check.handle(handle)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# Now serve it. `contract.serving` is Python's own HTTP server around your function. It listens on 127.0.0.1, which no
# other machine reaches, and it refuses a body that is declared too long before it reads it.

# %%
answer = lesson.use("handle", handle, experiment.package_handle)
JSON = {"Content-Type": "application/json"}
echo = experiment.answering(answer, ["moby"], lambda prompt, adapter: f"{prompt}, says {adapter}")
with contract.serving(echo) as address:
    for method, path, body, headers in (
        ("GET", "/ping", b"", {}),
        ("POST", "/invocations", b'{"inputs": "Call me"}', JSON),
        (
            "POST",
            "/invocations",
            b'{"inputs": "Call me"}',
            JSON | {contract.ADAPTER_HEADER: "moby"},
        ),
        (
            "POST",
            "/invocations",
            b'{"inputs": "Call me"}',
            JSON | {contract.ADAPTER_HEADER: "mobi"},
        ),
        ("POST", "/invocations", b"Call me", JSON),
        ("POST", "/invocations", b"Call me", {"Content-Type": "text/plain"}),
        ("GET", "/models", b"", {}),
    ):
        found = client.send(address, method, path, body, headers)
        print(
            method, path, body.decode(), "->", found.status, found.content.get("generated_text", "")
        )

# %% [markdown]
# ### Is it ever the wrong adapter?
#
# One request at a time proves little. So: several adapters and the base, a mix of requests, 32 of them in flight at
# once. One thread collects what has come and answers it in mixed batches. Each answer is compared with the text of that
# adapter **alone on a base of its own**. The adapters' B are drawn, not trained: their texts must differ, or a mix-up
# would not be seen. All is in float64, so that rounding decides between no two tokens.

# %% tags=["nbval-ignore-output"]
found = experiment.load_test(adapters=3, requests=SIZE["requests"], tokens=4, answer=answer)
print(f"{found['requests']} requests: {found['right']} right, {found['lost']} lost,")
print(f"{found['wrong_adapter']} from the wrong adapter; {found['batches']} batches")
assert found["right"] == found["requests"]

# %%
load = lesson.recorded("14_load")
load

# %%
of_load = load.data
print(
    f"{of_load['requests']:,d} requests over {of_load['adapters']} adapters and the base, {of_load['at_once']} at once:"
)
print(
    f"{of_load['right']:,d} right, {of_load['lost']} lost, {of_load['wrong_adapter']} from the wrong adapter"
)
print(f"{of_load['told_apart']:.1%} of the pairs of adapters write different texts to one prompt")

# %% [markdown]
# ## 3. What leaks: the cache
#
# A server keeps the keys and values of a prompt (the **cache**), so that the next request with the same beginning need
# not compute them again. But an adapter on `v_proj` *changes* the values. What one adapter left is wrong for all others.
#
# ### Exercise 14.3: the key of a cache (4 minutes)
#
# Return a key under which the cached keys and values of `tokens` may be found again: equal for equal requests, and
# never equal for two whose cached numbers may differ. `adapter` is a name, or None for the base; `version` counts how
# often a file of that name was loaded; `scale` is the strength at which it is used. The key must be hashable. (Two keys
# for the same numbers cost a second computing, no wrong text: the base has no version, and your key may know it or not.)


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "cache_key", "locked": false, "solution": true, "task": false}
def cache_key(adapter: str | None, version: int, scale: float, tokens: list[int]):
    """Return a hashable key of all that the cached numbers depend on."""
    ### BEGIN SOLUTION
    return adapter, version, scale, tuple(tokens)
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_cache_key", "locked": true, "points": 2, "solution": false, "task": false}
verdict = lesson.check.cache_key(cache_key)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# ### A real server
#
# llama.cpp serves a base and LoRA adapters from files in its own format, **GGUF**. We write our decoder and two adapters
# as GGUF and start its server. Each request may say which adapters it wants, and how strongly. A request that says
# nothing should get the base: that is the scale at which the server was started.

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "crosstalk",
    "A new server answers the second adapter, then the same prompt without any adapter. Whose text is the second answer?",
    options=["the base's", "not the base's"],
)

# %% tags=["nbval-ignore-output"]
if llama_server.installed():
    print(figures.transcript(llama_server.three_faults()))
else:
    print(llama_server.ADVICE, "The recorded transcript follows.")

# %%
transcript = lesson.recorded("14_llama")
transcript

# %%
figures.transcript(transcript.data)

# %% tags=["nbval-ignore-output"]
lost = figures.leaked(transcript.data)
lesson.compare("crosstalk", {"the base's": not lost, "not the base's": lost})

# %% [markdown]
# ### What came out
#
# Where a request names every adapter with its scale, the text is that of torch, token by token. Four requests are wrong,
# and none of them gets an error:
#
# 1. **The cache leaks.** Without a word on adapters, the base's request takes over what the second adapter left.
#    The text is nobody's. To name all scales, or to switch the cache off, is right here.
# 2. **A name is ignored.** `"model": "first"` gets the base.
# 3. **An unknown adapter is ignored.** It gets the base, not an error.
# 4. **An old text is served.** The file was replaced by a new training; the server goes on with what it had read.
#
# So in production: name all adapters in each request, refuse unknown names before the server sees them (your `handle`
# does), give a new version a new name, and test by texts that differ.
#
# ## 4. Amazon Bedrock takes no adapter
#
# Bedrock's *custom model import* reads a folder in Hugging Face's form: whole weights. An adapter must be merged first. Its
# user guide lists what it takes, and says that the import runs transformers 4.51.3. There is a trap in that: transformers
# 5 writes `rope_parameters`, where version 4 reads `rope_theta`, and takes **its default where it finds none**. A model
# with another theta would be loaded without an error, with its positions wrong. So write both.
#
# ### Exercise 14.4: ready for Bedrock? (8 minutes)
#
# Return a list of what is wrong with a folder, in these words. `files` are the names in it; `config` is its config.json;
# `listed` are the architectures that are imported.
#
# | word | when |
# |---|---|
# | `adapter` | an `adapter_config.json` or `adapter_model.safetensors` is there |
# | `weights` | no `.safetensors` of a model is there, or there is a `.bin` |
# | `tokenizer` | `tokenizer.json` or `tokenizer_config.json` is missing |
# | `architecture` | not all `architectures` are in `listed`, or none is named |
# | `quantized` | there is a `quantization_config` that is not null |
# | `rope_theta` | there is `rope_parameters`, and no `rope_theta` beside it |
# | `context` | `max_position_embeddings` is not below 131,072 |


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "bedrock_ready", "locked": false, "solution": true, "task": false}
def bedrock_ready(files: list[str], config: dict, listed: tuple[str, ...]) -> list[str]:
    """Return the words for what Bedrock's import would refuse or misread."""
    ### BEGIN SOLUTION
    problems = []
    own = {"adapter_config.json", "adapter_model.safetensors"}
    if own & set(files):
        problems.append("adapter")
    weights = [name for name in files if name.endswith(".safetensors") and name not in own]
    if not weights or any(name.endswith(".bin") for name in files):
        problems.append("weights")
    if not {"tokenizer.json", "tokenizer_config.json"} <= set(files):
        problems.append("tokenizer")
    named = config.get("architectures") or []
    if not named or not set(named) <= set(listed):
        problems.append("architecture")
    if config.get("quantization_config") is not None:
        problems.append("quantized")
    if "rope_parameters" in config and "rope_theta" not in config:
        problems.append("rope_theta")
    if config.get("max_position_embeddings", 0) >= 131_072:
        problems.append("context")
    return problems
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_bedrock_ready", "locked": true, "points": 2, "solution": false, "task": false}
verdict = lesson.check.bedrock_ready(bedrock_ready)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# An adapter's folder before, and what `lora-lessons export bedrock FOLDER` makes of it:

# %%
is_ready = lesson.use("bedrock_ready", bedrock_ready, experiment.package_ready)
with tempfile.TemporaryDirectory() as made:
    place = Path(made)
    adapted = llama_server.drawn_adapter("nano", seed=1)
    adapted.save_pretrained(place / "moby")
    names = sorted(path.name for path in (place / "moby").iterdir())
    print("adapter: ", ", ".join(names), "->", is_ready(names, {}, bedrock.ARCHITECTURES))
    names = bedrock.write_bedrock(sources.read(place / "moby", "nano"), place / "merged")
    config = json.loads((place / "merged" / "config.json").read_text())
    print("exported:", ", ".join(names), "->", is_ready(names, config, bedrock.ARCHITECTURES))
    merged, tokenizer = ll.load_base(str(place / "merged"))
for key in ("rope_parameters", "rope_theta", "dtype", "torch_dtype"):
    print(f"  {key}: {config[key]}")
prompt = experiment.PROMPTS[1]
assert ll.generate(merged, tokenizer, prompt, 12) == ll.generate(adapted, tokenizer, prompt, 12)
print("merged and adapted write the same text:", True)

# %% [markdown]
# ## 5. A request that is refused at home (*extra*)
#
# To start an import you send `CreateModelImportJob`. The SDK ships a model of each request, and botocore's `Stubber`
# checks a request against it, without an account and without a network. Which faults does that find? One `Stubber`
# verdict for each of twelve requests, and beside it what the same model of the service says of **patterns and maxima**:

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "stubber",
    'The job name "moby_1" breaks the pattern in the service\'s model. Does Stubber let it pass?',
    options=["it passes", "it is refused"],
)

# %%
trials = lesson.recorded("14_requests")
trials

# %%
figures.requests_table(trials.data)

# %% tags=["nbval-ignore-output"]
passed = "_ in the job's name" in figures.let_pass(trials.data)
lesson.compare("stubber", {"it passes": passed, "it is refused": not passed})

# %% [markdown]
# ### Exercise 14.5: what the SDK lets pass (*extra*, 10 minutes)
#
# Return a list of `(path, rule)` for all that is wrong in `params`. `shape` is a structure of the service's model as plain
# dicts:
#
# - A structure has `"type": "structure"`, `"members"` (name to shape) and `"required"` (names).
# - A text has `"type": "string"`, and may have `"pattern"` and `"max"` (its length at most).
#
# The rules are `"required"` (missing), `"unknown"` (not in the shape), `"pattern"` (the **whole** text must match) and
# `"max"`. Structures lie in structures: the path of a member inside is `"outer.inner"`. All values have the right type.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "check_request", "locked": false, "solution": true, "task": false}
def check_request(shape: dict, params: dict) -> list[tuple[str, str]]:
    """Return (path, rule) for all that is wrong in a request."""
    ### BEGIN SOLUTION
    import re

    def look(shape, params, before):
        found = [(before + name, "required") for name in shape["required"] if name not in params]
        for name, value in params.items():
            member = shape["members"].get(name)
            if member is None:
                found.append((before + name, "unknown"))
            elif member["type"] == "structure":
                found += look(member, value, f"{before}{name}.")
            else:
                if "pattern" in member and not re.fullmatch(member["pattern"], value):
                    found.append((before + name, "pattern"))
                if len(value) > member.get("max", len(value)):
                    found.append((before + name, "max"))
        return found

    return look(shape, params, "")
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_check_request", "locked": true, "points": 3, "solution": false, "task": false}
verdict = lesson.check.check_request(check_request)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %%
look_through = lesson.use("check_request", check_request, experiment.package_problems)
shape = trials.data["shapes"]["CreateModelImportJob"]
wrong = experiment.IMPORT | {"jobName": "moby_1", "importedModelName": "a" * 70}
print("a request that is right:", look_through(shape, experiment.IMPORT))
print("a request that Stubber lets pass:", look_through(shape, wrong))

# %% [markdown]
# Even these rules know no meaning: a component for an adapter without the adapter's files breaks none of them. Where
# botocore is installed, the verdicts of `Stubber` are taken anew and compared:

# %% tags=["nbval-ignore-output"]
if requests.installed():
    now = experiment.aws_requests()
    same = [(r["wrong"], bool(r["stubber"])) for r in now["rows"]] == [
        (r["wrong"], bool(r["stubber"])) for r in trials.data["rows"]
    ]
    assert same
    print("asked anew: Stubber's verdicts are those that were recorded")
else:
    print(requests.ADVICE)

# %% [markdown]
# A library named **moto** goes further: it plays the services in your own process. It was tried for this page. It knows
# *order*: an endpoint configuration that names a model never made is refused, so a script's steps can be tested with
# it. It is not honest about the rest. A name that breaks the pattern passes, as with `Stubber`. An endpoint is
# `InService` at once, though no container ran; and `invoke_endpoint` answers the same few words for every adapter, and
# for an endpoint that was never made. It has no inference components and no model import. So no text that it returns
# says anything of your model.

# %% [markdown]
# ## 6. Other formats (*extra*)
#
# `lora-lessons export gguf FOLDER` writes an adapter's factors, or a whole Qwen2 model, for llama.cpp. It refuses what
# the format has no place for: other architectures (Llama's rows need another order), DoRA, trained biases, layers
# that were trained whole. `lora-lessons export onnx FOLDER` merges, and writes one ONNX file. It needs the extra `onnx`.

# %%
for module in ("model.layers.3.self_attn.q_proj", "model.layers.0.mlp.down_proj", "model.norm"):
    print(f"{module} -> {gguf.tensor_name(module)}")
try:
    gguf.tensor_name("model.layers.0.self_attn.qkv_proj")
except sources.ExportError as error:
    print(error)

# %% [markdown]
# ### Exercise 14.6: a batch of your own (*extra*, 6 minutes)
#
# These numbers are your own. In a course, write your student id between the quotes, as your teacher
# gave it to you; alone, leave it empty.
#
# Your batch has nine rows, each a whole number, and each names its adapter. The base gives `base` times the row. An adapter
# adds its factor times the row. `__base__` wants the base alone. A name without a factor is not loaded: its row is
# refused, and its result is 0. First number: the sum of the results in the rows' order, the first once, the second
# twice, the third three times, and so on. Second number: how many passes a mixed batch makes, one for the base and one for
# each loaded adapter that has a row. Write numbers: `return 1_234, 5`.

# %%
STUDENT = ""
mine = lesson.mine("my_batch", STUDENT)
mine


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "my_batch", "locked": false, "solution": true, "task": false}
def my_batch() -> tuple[int, int]:
    """Return the weighted sum of your results, and the number of passes."""
    ### BEGIN SOLUTION
    return 76_091, 4  # for self-study
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_my_batch", "locked": true, "points": 2, "solution": false, "task": false}
verdict = lesson.check.my_batch(my_batch)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# ### Question 14.7: your verdict (written, 5 minutes, 3 points)
#
# A company has 100 customers, each with an adapter on one 8 B base, and one GPU. A colleague writes: "We merge all
# hundred, cache prompts for speed, and if a customer's adapter is missing the base answers, so nobody sees an error." In at
# most five sentences: put right what is wrong in it, and say what you would test before it goes live. Use at least two
# numbers from this page.

# %% [markdown] nbgrader={"schema_version": 3, "grade": true, "grade_id": "verdict_on_deployment", "locked": false, "points": 3, "solution": true, "task": false}
# A hundred merged copies are a hundred bases, and one GPU does not hold them; one base with adapters beside it does, and
# a mixed batch answers all of them. The key of the cache must hold the adapter, its version and its scale: on the recorded
# server the base's request took over what the second adapter had left, and the text was nobody's. A missing adapter must be
# an error, 404: the base's text is a wrong answer that nobody sees. Before it goes live I would send 1,000 mixed requests,
# 32 at once, for adapters whose texts differ, compare each with that adapter alone, and demand 0 from the wrong adapter.

# %% [markdown]
# ## 7. The same in PEFT
#
# PEFT has mixed batches too, by the same argument, `adapter_names`. The same two adapters, from the same files:

# %%
import warnings

import torch
from peft import PeftModel

warnings.simplefilter("ignore")  # transformers' and PEFT's notes on themselves
with tempfile.TemporaryDirectory() as made:
    for seed in (1, 2):
        llama_server.drawn_adapter("nano", seed=seed).save_pretrained(f"{made}/author-{seed}")
    logits = []
    for wrapper in (ll.PeftModel, PeftModel):
        base, tokenizer = ll.load_base("nano")
        served = wrapper.from_pretrained(base, f"{made}/author-1", adapter_name="author-1")
        served.load_adapter(f"{made}/author-2", adapter_name="author-2")
        ids = torch.tensor([tokenizer(prompt).input_ids] * 3)
        with torch.no_grad():
            found = served.eval()(ids, adapter_names=["author-2", "__base__", "author-1"])
        logits.append(found.logits)
apart = (logits[0] - logits[1]).abs().max().item()
assert apart < 1e-4
print("three rows, two adapters and the base: ours and PEFT's logits agree to 1e-4:", True)

# %% [markdown]
# ## What was not proven
#
# - No account was used and nothing left this machine. Whether SageMaker runs the container, and Bedrock takes the
#   folder, nobody has seen here.
# - No container was built. The contract was tested over HTTP on 127.0.0.1.
# - transformers 4.51.3 was not run. That it reads `rope_theta` and not `rope_parameters` is what its version implies.
# - The load test has one process, one model and no cache. It does not speak for another server.
#
# ## Summary
#
# - Merge for one adapter; keep adapters separate for many. One mixed batch serves them all.
# - The client's faults are 4xx. An unknown adapter is one of them.
# - A cache key holds the tokens, the adapter, its version and its scale.
# - Bedrock's import takes merged weights. Write `rope_theta` beside `rope_parameters`.
# - A request that the SDK lets pass can still break the service's own patterns.
#
# The card names deployment as a use of LoRA, and makes no claim on it that could be measured.
#
# ### Cards for review
#
# Read the question, answer aloud, then open the card. Come back tomorrow, in three days and in a week.

# %%
lesson.cards()

# %% [markdown]
# ### Further reading
#
# - [How your container should respond](https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html):
#   SageMaker's contract.
# - [Import a customized model](https://docs.aws.amazon.com/bedrock/latest/userguide/model-customization-import-model.html):
#   what Bedrock takes.
# - Sheng and others, *S-LoRA: Serving Thousands of Concurrent LoRA Adapters*, 2023, [arXiv
#   2311.03285](https://arxiv.org/abs/2311.03285).
# - Chen and others, *Punica: Multi-Tenant LoRA Serving*, 2023, [arXiv 2310.18547](https://arxiv.org/abs/2310.18547).

# %%
lesson.summary()
