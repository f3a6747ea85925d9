"""The verb `lora-lessons convert`: an adapter's old adapter_model.bin as safetensors.

lora-lessons convert FOLDER     writes FOLDER/adapter_model.safetensors; the old file stays
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

TEXT = "write an adapter's old adapter_model.bin as safetensors; nothing in it is run"


def add_to(verbs: Any) -> None:
    """Add the verb."""
    verb = verbs.add_parser("convert", help=TEXT, description=TEXT)
    verb.add_argument("folder", help="an adapter's folder, with adapter_model.bin")
    verb.set_defaults(run=run_convert)


def run_convert(options: argparse.Namespace) -> int:
    """Write it and say what it holds; 1 with a sentence where that cannot be done."""
    from lora_lessons.lora.more.old_files import OLD_NAME, convert_pickle

    try:
        path, tensors, numbers = convert_pickle(options.folder)
    except (ValueError, OSError) as error:
        print(f"lora-lessons: {error}", file=sys.stderr)
        return 1
    print(f"{path}: {tensors} tensors, {numbers:,} numbers. {OLD_NAME} is still there.")
    return 0
