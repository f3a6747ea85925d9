"""The kernel that runs a submission: Jupyter's own, started isolated."""

from __future__ import annotations

import os
from typing import Any

from jupyter_client.manager import AsyncKernelManager

from . import isolation


class IsolatedKernelManager(AsyncKernelManager):
    """Starts the kernel in `room`, isolated in the way of `mode`."""

    mode: str = "none"
    room: isolation.Room

    def settle(self, mode: str, room: isolation.Room) -> None:
        """Say how and where the kernel will run; before it starts."""
        self.mode, self.room = mode, room
        self.connection_file = str(room.root / "k.json")
        self.kernel_spec.interrupt_mode = "message"  # a signal would end the wrapper
        if mode == "sandbox":  # it has no network: sockets are files
            self.transport = "ipc"
            self.ip = str(room.root / "k")

    def write_connection_file(self, **kwargs: Any) -> None:
        """Write it into the room, where the account can read it."""
        super().write_connection_file(**kwargs)
        self.room.give_to_account()

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        """The kernel's command line, isolated."""
        inner = super().format_kernel_cmd(extra_arguments)
        return isolation.command(self.mode, self.room, inner)


def chosen_mode() -> str | None:
    """The way that `lora-lessons grade` chose for its workers; None outside of it."""
    return os.environ.get("LORA_LESSONS_ISOLATION")
