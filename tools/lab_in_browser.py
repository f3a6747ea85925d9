"""JupyterLab as a learner starts it, for tools and tests that look at it through Chromium."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lesson_env import lesson_environment

from lora_lessons.app import lab

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
BROWSER_OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
BROWSER_OPTIONS += ["--disable-background-networking", "--disable-component-update"]
READY = """async () => {
  const context = window.jupyterapp.shell.currentWidget.sessionContext;
  await window.jupyterapp.shell.currentWidget.context.ready;
  await context.ready;
  await context.session.kernel.info;
}"""
RUN_ALL = "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"


@contextmanager
def jupyterlab(folder: Path) -> Iterator[str]:
    """Start JupyterLab on the learner's copies in `folder`; yield its address (%s: a file)."""
    notebooks, port, token = folder / "my-lessons", _free_port(), secrets.token_hex(16)
    lab.copy_notebooks(notebooks)
    options = ["--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    options += [f"--IdentityProvider.token={token}", "--expose-app-in-browser"]
    server = subprocess.Popen(
        lab.lab_command("index.ipynb", browser=False, options=options),
        cwd=notebooks,
        env=_environment(folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_until_up(server, f"http://127.0.0.1:{port}/api?token={token}")
        yield f"http://127.0.0.1:{port}/lab/tree/%s?token={token}"
    finally:
        if server.poll() is None:  # the kernels are in the server's process group
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(timeout=30)


def _environment(folder: Path) -> dict[str, str]:
    env = lesson_environment(folder / "home", "quick")
    env.pop("PYTHONWARNINGS")  # it would reach the server too, whose packages warn
    env.pop("LORA_LESSONS_EXAMPLES")  # a learner sits there
    for name in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR"):
        env[f"JUPYTER_{name}"] = str(folder / name.lower())
    plugin = folder / "settings" / "@jupyterlab" / "apputils-extension"
    plugin.mkdir(parents=True)
    # without it a "Jupyter news?" question covers the page
    news = '{"fetchNews": "false", "checkForUpdates": false}'
    (plugin / "notification.jupyterlab-settings").write_text(news)
    whole = folder / "settings" / "@jupyterlab" / "notebook-extension"
    whole.mkdir(parents=True)
    (whole / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}')
    env["JUPYTERLAB_SETTINGS_DIR"] = str(folder / "settings")
    env["JUPYTERLAB_WORKSPACES_DIR"] = str(folder / "workspaces")
    return env


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_up(server: subprocess.Popen, url: str, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"JupyterLab stopped with {server.returncode}")
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.3)
    raise RuntimeError(f"JupyterLab did not answer in {seconds} s")
