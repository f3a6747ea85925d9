"""An adapter's folder on the nano base, made once."""

from __future__ import annotations

import pytest

from lora_lessons.experiments.llama_server import drawn_adapter


@pytest.fixture(scope="session")
def adapter_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters") / "moby"
    drawn_adapter("nano", seed=1).save_pretrained(folder)
    return folder
