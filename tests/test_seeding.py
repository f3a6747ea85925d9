"""Seeds: the same numbers again, and generators that do not disturb each other."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from lora_lessons.seeding import generator, seed_everything


def draws():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_one_seed_fixes_all_three_generators():
    seed_everything(5)
    first = draws()
    assert all(a != b for a, b in zip(first, draws(), strict=True))
    seed_everything(5)
    assert draws() == first
    seed_everything(6)
    assert all(a != b for a, b in zip(first, draws(), strict=True))


def test_a_generator_leaves_the_global_ones_alone():
    seed_everything(5)
    expected = draws()
    seed_everything(5)
    torch.rand(100, generator=generator(1))
    assert draws() == expected


def test_a_generator_depends_on_its_seed_alone():
    torch.manual_seed(3)
    first = torch.rand(4, generator=generator(1))
    torch.manual_seed(4)
    assert torch.equal(torch.rand(4, generator=generator(1)), first)
    assert not torch.equal(torch.rand(4, generator=generator(2)), first)


@pytest.mark.parametrize("seed", [-1, 2**63, 1.0, "0", None, True])
@pytest.mark.parametrize("use", [seed_everything, generator])
def test_what_is_no_seed_is_refused_and_changes_nothing(use, seed):
    seed_everything(5)
    expected = draws()
    seed_everything(5)
    with pytest.raises(ValueError, match="seed must be a whole number"):
        use(seed)
    assert draws() == expected


def test_the_largest_seed_works():
    seed_everything(2**63 - 1)
    assert generator(2**63 - 1).initial_seed() == 2**63 - 1
