"""What a config or a call may add to the core. Importing it fills the tables of `lora.plugs`."""

from . import adapters, init, layers, task_models, variants

__all__ = ["adapters", "init", "layers", "task_models", "variants"]
