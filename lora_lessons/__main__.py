"""`python -m lora_lessons` is the command `lora-lessons`, also where that is not on the path."""

from __future__ import annotations

import sys

from lora_lessons.app.cli import main

if __name__ == "__main__":
    sys.exit(main())
