"""axe finds nothing of ours in any lesson, run in JupyterLab, in Chromium, light and dark."""

from __future__ import annotations

import shutil
import sys

import pytest

from tests.open_points import each_lesson

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
import axe_lessons

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.browser,
    pytest.mark.skipif(axe_lessons.CHROMIUM is None, reason="no Chromium is installed"),
    pytest.mark.skipif(shutil.which("npm") is None, reason="axe comes from npm, which is missing"),
    pytest.mark.skipif(sys.platform == "win32", reason="process groups end by POSIX signals"),
]


@each_lesson("axe")
def test_axe_finds_nothing_of_ours(path, tmp_path):
    found = axe_lessons.look_at_all(tmp_path, [f"{path.stem}.ipynb"])
    wrong = [
        f"{name}: {violation['id']}, {violation['help']}: {violation['nodes'][0]['html']}"
        for name, violations in found
        for violation in violations
    ]
    assert wrong == []
