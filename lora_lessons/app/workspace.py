"""JupyterLab's first layout: a list of files wide enough for the names of the notebooks.

JupyterLab keeps the layout of its window in a workspace, and has no setting for the width. Where
the course has no workspace yet, one with the files open is made; from then on it is the learner's.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

FILES = 0.24  # of the window's width
LAYOUT = {
    "left": {
        "collapsed": False,
        "visible": True,
        "current": "filebrowser",
        "widgets": ["filebrowser", "running-sessions", "@jupyterlab/toc:plugin"],
    },
    "right": {"collapsed": True, "visible": True, "widgets": []},
    "relativeSizes": [FILES, 1 - FILES, 0],
}


def workspaces() -> Path | None:
    """The course's own folder of workspaces; None where the learner set one."""
    from platformdirs import user_data_dir

    if os.environ.get("JUPYTERLAB_WORKSPACES_DIR"):
        return None
    home = os.environ.get("LORA_LESSONS_HOME") or user_data_dir("lora-lessons")
    return Path(home) / "workspaces"


def prepare(folder: Path) -> None:
    """Make the first workspace in `folder`, unless there is one. Raises OSError."""
    from jupyterlab_server.workspaces_handler import WorkspacesManager

    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        first = {"data": {"layout-restorer:data": LAYOUT}, "metadata": {"id": "default"}}
        WorkspacesManager(str(folder)).save("default", json.dumps(first))


def variables() -> dict[str, str]:
    """The variable that tells JupyterLab of the folder; none where it is not ours to choose."""
    folder = workspaces()
    if folder is None:
        return {}
    try:
        prepare(folder)
    except OSError:
        return {}
    return {"JUPYTERLAB_WORKSPACES_DIR": str(folder)}
