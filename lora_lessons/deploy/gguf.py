"""GGUF, the file of llama.cpp: a Qwen2 base, and adapters beside it.

The names of tensors and keys are llama.cpp's. Qwen2 needs no permutation of rows (Llama does), so
nothing else than Qwen2 is written. All is float32: the text must be that of torch.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..lora.layer import LoraLayer
from ..storage import write_whole
from .sources import ExportError, Source, require_plain_lora

ARCHITECTURE = "qwen2"
ADVICE = "writing GGUF needs the package gguf: pip install 'lora-lessons[models]'"
LAYERS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
OUTSIDE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
NORMAL_TOKEN, CONTROL_TOKEN = 1, 3


def installed() -> bool:
    """Whether the package gguf can be imported."""
    return importlib.util.find_spec("gguf") is not None


def tensor_name(module: str) -> str:
    """llama.cpp's name of a module's tensors: "model.layers.3.mlp.up_proj" is "blk.3.ffn_up".

    Raises ExportError for a module that the format has no place for.
    """
    if module in OUTSIDE:
        return OUTSIDE[module]
    parts = module.split(".", 3)
    if module.startswith("model.layers.") and len(parts) == 4 and parts[3] in LAYERS:
        return f"blk.{parts[2]}.{LAYERS[parts[3]]}"
    raise ExportError(f"llama.cpp's {ARCHITECTURE} has no tensor for {module!r}")


def write_gguf(source: Source, path: str | Path) -> Path:
    """Write the source to `path`, whole or not at all: an adapter's factors, or a whole model."""
    if not installed():
        raise ExportError(ADVICE)
    config = source.model.config
    if config.model_type != ARCHITECTURE:
        raise ExportError(
            f"only {ARCHITECTURE} is written as GGUF, and this is {config.model_type!r}. Use "
            "llama.cpp's own converter: other kinds need their rows in another order."
        )
    if source.config is not None:
        require_plain_lora(source.config, "A GGUF adapter")
    write = _write_model if source.config is None else _write_adapter
    path = Path(path)
    write_whole({path: lambda temporary: write(source, temporary)})
    return path


def _write_adapter(source: Source, path: Path) -> None:
    """B is written times scaling · r / alpha: llama.cpp multiplies by alpha / r."""
    writer = _writer(path)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    assert source.config is not None
    alpha = float(source.config.lora_alpha)
    writer.add_float32("adapter.lora.alpha", alpha)
    for name, A, B, scaling in factors(source):
        writer.add_tensor(f"{name}.weight.lora_a", _array(A))
        writer.add_tensor(f"{name}.weight.lora_b", _array(B * (scaling * len(A) / alpha)))
    _finish(writer)


def factors(source: Source) -> Iterator[tuple[str, Tensor, Tensor, float]]:
    """(llama.cpp's name, A, B, scaling) of each adapted layer."""
    for name, layer in source.model.get_base_model().named_modules():
        if isinstance(layer, LoraLayer):
            if not isinstance(layer.base_layer, nn.Linear):
                raise ExportError(f"{name} is no linear layer: merge the adapter")
            _, A, B, scaling, _ = layer.adapter("default")
            yield tensor_name(name), A.weight.detach(), B.weight.detach(), scaling


def _write_model(source: Source, path: Path) -> None:
    config, writer = source.model.config, _writer(path)
    _add_shape(writer, config)
    _add_tokens(writer, source.tokenizer, config.vocab_size)
    for name, tensor in source.model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue  # llama.cpp takes the embedding where there is no output
        module, kind = name.rsplit(".", 1)
        writer.add_tensor(f"{tensor_name(module)}.{kind}", _array(tensor))
    _finish(writer)


def _add_shape(writer: Any, config: Any) -> None:
    rope = config.rope_parameters
    if rope.get("rope_type", "default") != "default" or config.use_sliding_window:
        raise ExportError("only plain rotary positions and full attention are written as GGUF")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_file_type(0)  # all in float32


def _add_tokens(writer: Any, tokenizer: Any, size: int) -> None:
    """The tokens by id, the merges, and how text is cut before (as Qwen2's is)."""
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    if model["type"] != "BPE":
        raise ExportError(f"only BPE tokenizers are written as GGUF, this is {model['type']}")
    by_id = {number: token for token, number in tokenizer.get_vocab().items()}
    special = set(tokenizer.all_special_ids)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([by_id.get(i, f"[unused{i}]") for i in range(size)])
    writer.add_token_types([CONTROL_TOKEN if i in special else NORMAL_TOKEN for i in range(size)])
    pairs = (pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"])
    writer.add_token_merges(list(pairs))
    writer.add_eos_token_id(tokenizer.eos_token_id)
    if tokenizer.pad_token_id is not None:
        writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_add_bos_token(False)


def _writer(path: Path) -> Any:
    import gguf

    return gguf.GGUFWriter(str(path), ARCHITECTURE)


def _array(tensor: Tensor) -> Any:
    return tensor.detach().float().contiguous().numpy()


def _finish(writer: Any) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
