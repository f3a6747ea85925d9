"""JupyterLab's first layout: made once, the learner's from then on, and never in the way."""

from __future__ import annotations

import json

import pytest
from jupyterlab_server.workspaces_handler import WorkspacesManager

from lora_lessons.app import workspace


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.delenv("JUPYTERLAB_WORKSPACES_DIR", raising=False)
    monkeypatch.setenv("LORA_LESSONS_HOME", str(tmp_path))
    return tmp_path


def test_the_first_workspace_is_one_that_jupyterlab_finds(home):
    given = workspace.variables()
    assert given == {"JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces")}
    manager = WorkspacesManager(given["JUPYTERLAB_WORKSPACES_DIR"])
    layout = manager.load("default")["data"]["layout-restorer:data"]
    assert layout["left"]["current"] == "filebrowser" and sum(layout["relativeSizes"]) == 1


def test_the_learners_own_layout_stays(home):
    workspace.variables()
    (path,) = (home / "workspaces").iterdir()
    own = {"data": {"mine": 1}, "metadata": {"id": "default"}}
    path.write_text(json.dumps(own), "utf-8")
    workspace.variables()
    assert json.loads(path.read_text("utf-8")) == own


def test_a_folder_that_was_set_or_cannot_be_written_is_left_alone(home, monkeypatch):
    (home / "file").write_text("")
    monkeypatch.setenv("LORA_LESSONS_HOME", str(home / "file"))
    assert workspace.variables() == {}
    monkeypatch.setenv("JUPYTERLAB_WORKSPACES_DIR", "/elsewhere")
    assert workspace.workspaces() is None and workspace.variables() == {}
