"""The app: the command `lora-lessons` and what it does."""
