"""The blank-file test of lesson 15: LoRA from memory, in one file of at most 120 lines.

`source` reads the file, `run` runs it in a process of its own, where `child` loads it behind
`fence` and puts it to the tests of `layer_tests`, `model_tests` and `file_tests`.
"""
