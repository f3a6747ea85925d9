"""What a config or a call may add to the core. Importing it fills the tables of `lora.plugs`."""

from . import adapters, bridge, helpers, init, layers, task_models, variants

__all__ = ["adapters", "bridge", "helpers", "init", "layers", "task_models", "variants"]
