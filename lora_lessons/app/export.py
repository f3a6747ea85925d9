"""The verb `lora-lessons export`: an adapter, or a model, in the form that another program reads.

lora-lessons export gguf FOLDER      for llama.cpp: an adapter's factors, or a whole Qwen2 model
lora-lessons export bedrock FOLDER   merged weights in a folder that Bedrock's import can read
lora-lessons export onnx FOLDER      merged weights as one ONNX file
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

FORMS = {
    "gguf": "for llama.cpp: an adapter as it is, or a whole model",
    "bedrock": "a folder for Bedrock's custom model import: merged",
    "onnx": "one ONNX file: merged",
}


def add_to(verbs: Any) -> None:
    """Add the verb, with one action for each form."""
    verb = verbs.add_parser("export", help="write an adapter or a model in another form")
    actions = verb.add_subparsers(required=True, metavar="|".join(FORMS))
    for form, text in FORMS.items():
        action = actions.add_parser(form, help=text, description=text)
        action.add_argument("folder", help="an adapter's folder, a model's, or a base's name")
        action.add_argument("--base", help="the base, if not the one that the adapter names")
        action.add_argument("--out", type=Path, help="where to (default: beside, by the form)")
        action.set_defaults(run=run_export, form=form)


def run_export(options: argparse.Namespace) -> int:
    """Write it and say where; 1 with a sentence where that cannot be done."""
    from lora_lessons.deploy import sources

    out = options.out or default_out(options.folder, options.form)
    try:
        if out.exists():
            raise sources.ExportError(f"{out} is there already: remove it, or give another --out")
        written = WRITERS[options.form](sources.read(options.folder, options.base), out)
    except (ValueError, OSError, ImportError) as error:
        print(f"lora-lessons: {error}", file=sys.stderr)
        return 1
    print(written)
    return 0


def default_out(folder: str, form: str) -> Path:
    """Beside the folder "moby": moby.gguf, moby.onnx, or the folder moby-bedrock."""
    path = Path(folder).expanduser()
    name = path.resolve().name
    return path.parent / (f"{name}-bedrock" if form == "bedrock" else f"{name}.{form}")


def _gguf(source: Any, out: Path) -> str:
    from lora_lessons.deploy.gguf import write_gguf

    what = "the model" if source.config is None else "the adapter alone: serve it beside its base"
    return f"{write_gguf(source, out)}: {what}"


def _bedrock(source: Any, out: Path) -> str:
    from lora_lessons.deploy.bedrock import write_bedrock

    names = write_bedrock(source, out)
    note = "Bedrock itself was not asked: no account was used."
    return f"{out}: {', '.join(names)}\n{note}"


def _onnx(source: Any, out: Path) -> str:
    from lora_lessons.deploy.onnx import write_onnx

    return f"{write_onnx(source, out)}: ids (batch, length) -> logits"


WRITERS: dict[str, Callable[[Any, Path], str]] = {
    "gguf": _gguf,
    "bedrock": _bedrock,
    "onnx": _onnx,
}
