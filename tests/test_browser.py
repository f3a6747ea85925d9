"""JupyterLab in a real browser: lesson 01 runs, and a slider moved by keyboard redraws it."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from lesson_env import lesson_environment

from lora_lessons.app import lab

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
LESSON = "01_rank_decomposition.ipynb"
SECONDS = 1000  # Playwright counts in milliseconds

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
]
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

BROWSER_OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
BROWSER_OPTIONS += ["--disable-background-networking", "--disable-component-update"]
# Without it a "Jupyter news?" question covers the page.
NOTIFICATIONS = '{"fetchNews": "false", "checkForUpdates": false}'
KERNEL_READY = """async () => {
  const context = window.jupyterapp.shell.currentWidget.sessionContext;
  await window.jupyterapp.shell.currentWidget.context.ready;
  await context.ready;
  await context.session.kernel.info;
}"""
TRACEBACK = ".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']"
RUN_ALL = "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def jupyter_environment(folder: Path) -> dict[str, str]:
    """Return the lesson's environment, with Jupyter's own folders empty."""
    env = lesson_environment(folder / "home", "quick")
    env.pop("LORA_LESSONS_EXAMPLES")  # a learner sits there
    env.pop("PYTHONWARNINGS")  # it would reach the server too, whose packages warn
    for name in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR"):
        env[f"JUPYTER_{name}"] = str(folder / name.lower())
    settings = folder / "settings"
    plugin = settings / "@jupyterlab" / "apputils-extension"
    plugin.mkdir(parents=True)
    (plugin / "notification.jupyterlab-settings").write_text(NOTIFICATIONS)
    env["JUPYTERLAB_SETTINGS_DIR"] = str(settings)
    env["JUPYTERLAB_WORKSPACES_DIR"] = str(folder / "workspaces")
    return env


@pytest.fixture
def address(tmp_path):
    """Start JupyterLab by the learner's own command; yield the address of lesson 01 in it."""
    notebooks, port, token = tmp_path / "my-lessons", free_port(), secrets.token_hex(16)
    lab.copy_notebooks(notebooks)
    options = ["--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    options += [f"--IdentityProvider.token={token}", "--expose-app-in-browser"]
    server = subprocess.Popen(
        lab.lab_command("index.ipynb", browser=False, options=options),
        cwd=notebooks,
        env=jupyter_environment(tmp_path),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until_up(server, f"http://127.0.0.1:{port}/api?token={token}")
        yield f"http://127.0.0.1:{port}/lab/tree/{LESSON}?token={token}"
    finally:
        if server.poll() is None:  # the kernels are in the server's process group
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(timeout=30)


def wait_until_up(server: subprocess.Popen, url: str, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert server.poll() is None, f"JupyterLab stopped with {server.returncode}"
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"JupyterLab did not answer in {seconds} s")


@pytest.fixture
def page(address):
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=BROWSER_OPTIONS)
        page = browser.new_page(viewport={"width": 1280, "height": 1600})
        page.set_default_timeout(120 * SECONDS)
        page.goto(address)
        yield page
        browser.close()


@pytest.mark.skipif(sys.platform == "win32", reason="process groups are ended by POSIX signals")
def test_a_slider_moved_by_keyboard_changes_the_picture(page):
    page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.sessionContext")
    page.evaluate(KERNEL_READY)
    ran = page.evaluate(RUN_ALL)  # false as soon as one cell raises
    assert ran, page.locator(TRACEBACK).first.inner_text()

    panel = page.get_by_role("group").filter(has=page.locator("input[type=range]")).first
    panel.scroll_into_view_if_needed()
    picture = panel.locator("img").first
    picture.wait_for()
    before, alt = picture.get_attribute("src"), picture.get_attribute("alt")
    assert alt

    slider = panel.get_by_role("slider").first  # with a name, by its label
    assert panel.get_by_label(panel.locator("label").first.inner_text()).count()
    said = slider.get_attribute("aria-valuetext")
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    playwright.expect(panel.locator("img").first).not_to_have_attribute(
        "src", before, timeout=30 * SECONDS
    )
    assert panel.locator("img").first.get_attribute("alt") != alt
    assert slider.get_attribute("aria-valuetext") != said
    screen = panel.locator("[aria-live=polite]")
    playwright.expect(screen).to_have_attribute("aria-busy", "false", timeout=30 * SECONDS)
