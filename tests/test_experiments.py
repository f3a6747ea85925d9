"""What the experiments choose by."""

from __future__ import annotations

import math

from lora_lessons.experiments.lesson02 import _best_rate
from lora_lessons.experiments.lesson04 import stopping_report
from lora_lessons.experiments.lesson05 import best_rate
from lora_lessons.experiments.task import as_loss
from lora_lessons.train.history import History
from lora_lessons.train.sweep import JobResult


def test_a_loss_that_is_not_a_number_is_the_worst():
    assert [as_loss(x) for x in (math.nan, math.inf, 2.0)] == [math.inf, math.inf, 2.0]


def test_a_run_that_diverged_is_not_chosen():
    rows = [{"arm": "q", "lr": lr, "best": best} for lr, best in ((1.0, math.nan), (0.1, 2.0))]
    assert best_rate(rows, "q") == 0.1
    histories = {lr: History(eval_losses=[loss]) for lr, loss in ((1.0, math.nan), (0.1, 2.0))}
    trained = {lr: {"a": [JobResult(None, one, {})]} for lr, one in histories.items()}
    assert _best_rate(trained, "a") == 0.1
    assert stopping_report([3, 2, 1], [math.nan, 2.0, 3.0], [5.0, 4.0, 6.0]) == (1, 4.0, 2.0)
