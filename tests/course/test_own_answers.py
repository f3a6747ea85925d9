"""The right answers to the students' own numbers, found by another way than the checks take."""

from __future__ import annotations

import itertools

import pytest
import torch

import lora_lessons as ll
from lora_lessons.lora.arithmetic import lora_scaling

each_student = pytest.mark.parametrize("student", ["self-study", "ada", "bob", "cyd"])


def question(number: str, name: str, student: str):
    """The student's numbers and the answer that the check wants."""
    own = ll.lesson(number).exercises[name].own
    mine = own.of(student, number)
    return mine, own.right(**mine)


@each_student
def test_the_bytes_are_those_of_the_tensors(student):
    mine, (size,) = question("00", "my_adapter_bytes", student)
    dtype = {2: torch.float16, 4: torch.float32}[mine["bytes_per_number"]]
    factors = [
        torch.empty(*shape, dtype=dtype, device="meta")
        for out, in_ in (mine["q_proj"], mine["v_proj"])
        for shape in ((out, mine["r"]), (mine["r"], in_))
    ]
    assert size == mine["blocks"] * sum(t.numel() * t.element_size() for t in factors)


@each_student
def test_one_rank_more_is_over_the_budget(student):
    mine, (held,) = question("01", "my_budget", student)
    in_, out = mine["in_features"], mine["out_features"]
    fitting = [
        count
        for r in range(1, min(in_, out))
        if 100 * (count := ll.parameter_count(in_, out, r)) <= mine["percent"] * in_ * out
    ]
    assert held == fitting[-1]


@each_student
def test_the_gradients_are_autograds(student):
    mine, (grad_A, grad_B) = question("02", "my_gradients", student)
    x, G = torch.tensor(mine["x"]).double(), torch.tensor(mine["G"]).double()
    A, B = (torch.tensor(mine[name]).double().requires_grad_() for name in "AB")
    (mine["lora_alpha"] / len(A) * B @ (A @ x) @ G).backward()
    assert (grad_A, grad_B) == (A.grad[0, 1].item(), B.grad[1, 0].item())


@each_student
@pytest.mark.parametrize("rslora", [False, True])
def test_the_alphas_keep_the_scaling(student, rslora):
    mine, alphas = question("03", "my_alphas", student)
    before = lora_scaling(mine["lora_alpha"], mine["r"], use_rslora=rslora)
    after = lora_scaling(alphas[rslora], mine["new_r"], use_rslora=rslora)
    assert after == pytest.approx(before)


@each_student
def test_the_penalty_is_the_mean_over_all_masks(student):
    mine, (zeros, penalty) = question("04", "my_dropout", student)
    p = mine["p"]
    x, delta = (torch.tensor(mine[name]).double() for name in ("x", "delta"))
    mean = 0.0
    for kept in itertools.product([0, 1], repeat=3):
        chance = torch.tensor([1 - p if k else p for k in kept]).prod().item()
        noise = torch.tensor(kept) * x / (1 - p) - x
        mean += chance * (delta @ noise).square().item()
    assert penalty == pytest.approx(mean, rel=1e-5)
    share = torch.dropout(torch.ones(2000, 500), p, train=True).eq(0).float().mean().item()
    assert zeros == pytest.approx(share * mine["tokens"] * mine["in_features"], rel=0.02)


@each_student
def test_the_targets_train_what_the_decoder_says(student):
    mine, (trained,) = question("05", "my_targets", student)
    model, _ = ll.load_base("decoder")
    adapted = ll.get_peft_model(model, ll.LoraConfig(**mine))
    assert adapted.get_nb_trainable_parameters()[0] == trained


@each_student
@pytest.mark.parametrize(("place", "bias"), [(0, "lora_only"), (1, "all")])
def test_the_file_holds_what_an_adapter_of_such_a_model_holds(student, place, bias):
    from transformers import Qwen2Config, Qwen2Model

    mine, held = question("06", "my_file", student)
    shape = {
        "hidden_size": mine["hidden"],
        "num_attention_heads": mine["heads"],
        "num_key_value_heads": mine["kv_heads"],
        "num_hidden_layers": mine["blocks"],
    }
    model = Qwen2Model(Qwen2Config(vocab_size=8, intermediate_size=8, **shape))
    config = ll.LoraConfig(r=mine["r"], target_modules=mine["target_modules"], bias=bias)
    saved = ll.get_peft_model_state_dict(ll.get_peft_model(model, config))
    assert held[place] == sum(tensor.numel() for tensor in saved.values())


@each_student
def test_the_loss_is_that_of_the_labelled_tokens(student):
    mine, (count, loss) = question("07", "my_loss", student)
    each = torch.zeros(3, mine["padded_to"]).double()
    labelled = torch.zeros_like(each, dtype=torch.bool)
    for row, (prompt, end) in enumerate(
        zip(mine["prompt_tokens"], mine["all_tokens"], strict=True)
    ):
        labelled[row, prompt:end] = True
        each[row, prompt:end] = mine["losses"][row]
    assert (count, loss) == (labelled.sum().item(), pytest.approx(each[labelled].mean().item()))


@each_student
def test_the_classifier_trains_what_such_a_model_says(student):
    mine, (trained, f1) = question("08", "my_classifier", student)
    model, _ = ll.load_base("encoder", head="sequence_classification", num_labels=mine["classes"])
    config = ll.LoraConfig(
        r=mine["r"],
        target_modules=["query", "value"],
        layers_to_transform=list(range(mine["adapted_blocks"])),
        modules_to_save=["pooler", "classifier"],
    )
    assert ll.get_peft_model(model, config).get_nb_trainable_parameters()[0] == trained
    table = torch.tensor(mine["table"]).double()
    precision, recall = table.diag() / table.sum(0), table.diag() / table.sum(1)
    assert f1 == pytest.approx((2 / (1 / precision + 1 / recall)).mean().item())


@each_student
def test_the_merges_are_what_bfloat16_tensors_give(student):
    mine, (at_once, one_by_one) = question("09", "my_merge", student)
    weight = torch.tensor(mine["weight"]).bfloat16()
    assert weight.item() == mine["weight"]
    first, second = (torch.tensor(mine[name]) for name in ("update_1", "update_2"))
    stored = (weight.float() + first).bfloat16()
    assert one_by_one == (stored.float() + second).bfloat16().item()
    assert at_once == (weight.float() + first + second).bfloat16().item() != one_by_one
