"""`lora-lessons capstone FILE`: the blank-file test of lesson 15, on a file."""

from __future__ import annotations

import argparse


def run_capstone(options: argparse.Namespace) -> int:
    """Print the report on a file; 0 if all tests passed, else 1."""
    from ..course.blank_file.run import blank_file_test

    report = blank_file_test(options.file, options.seed)
    print(report)
    return int(not report.right)
