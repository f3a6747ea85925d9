"""The figure of lesson 00: the learner's run beside the recorded one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..plots import PALETTE, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ...train.history import History


def card_run(history: History, recorded: dict[str, Any], blocks: int) -> Figure:
    """Validation loss against step, from before the first step on, live and recorded.

    `blocks` of the held-out text score the live run; the recorded one is scored on all of it.
    """
    figure, axes = new_figure(1, 1, about="The card's run: the loss on chapters it never saw.")
    axis = axes[0]
    axis.plot(
        history.eval_steps,
        history.eval_losses,
        "o-",
        color=PALETTE[0],
        label=f"your run, on {blocks} blocks",
    )
    axis.plot(
        recorded["eval_steps"],
        recorded["eval_losses"],
        "s--",
        color=PALETTE[1],
        label="recorded, H100, on all blocks",
    )
    axis.set_xlabel("training step")
    axis.set_ylabel("validation loss (nats per token)")
    axis.legend()
    return figure
