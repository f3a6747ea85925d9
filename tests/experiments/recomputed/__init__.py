"""Every stored comparison once more: other arithmetic, other selection, straight from the JSON.

Nothing here imports `lora_lessons`: what the pages show is computed a second time, not read again.
"""
