"""What `lora_lessons` gives by name; each is loaded when it is first used."""

from .base.load import generate, is_available, load_base
from .base.text import load_text
from .base.tokens import TokenBatches, blocks, encode
from .course import lesson
from .course.card import card
from .course.explorers.memory import memory_panel
from .course.plots import show
from .course.preset import preset
from .course.statistics import by_seed, gap_table, gaps_against, paired_gap, paired_gaps
from .course.tables import Table
from .errors import (
    AdapterFileError,
    ConfigError,
    MergeError,
    NoMatchingPeftModuleError,
    PeftError,
    PeftWarning,
)
from .lora.arithmetic import lora_scaling
from .lora.config import LoraConfig, PeftConfig, PeftType, TaskType
from .lora.files import get_peft_model_state_dict, load_peft_weights, set_peft_model_state_dict
from .lora.inject import plan_injection
from .lora.layer import LoraLayer, LoraLinear
from .lora.matching import check_target_module_exists
from .lora.model import PeftModel, get_peft_model, inject_adapter_in_model
from .lora.more.adapters.base_state import (
    get_base_model_state_dict,
    set_base_model_state_dict,
)
from .lora.more.adapters.hotswap import hotswap_adapter
from .lora.more.adapters.injection_report import inspect_matched_modules
from .lora.more.adapters.merge_report import MergeReport
from .lora.more.adapters.rank_room import prepare_model_for_compiled_hotswap
from .lora.more.adapters.saved_modules import ModulesToSaveWrapper
from .lora.more.adapters.status import get_layer_status, get_model_status
from .lora.more.adapters.token_rows import TrainableTokensWrapper
from .lora.more.auto import (
    AutoPeftModel,
    AutoPeftModelForCausalLM,
    AutoPeftModelForFeatureExtraction,
    AutoPeftModelForQuestionAnswering,
    AutoPeftModelForSeq2SeqLM,
    AutoPeftModelForSequenceClassification,
    AutoPeftModelForTokenClassification,
)
from .lora.more.helpers import disable_input_dtype_casting, rescale_adapter_scale
from .lora.more.init.eva import EvaConfig, initialize_lora_eva_weights
from .lora.more.init.eva_svd import get_eva_state_dict
from .lora.more.init.loftq import LoftQConfig
from .lora.more.init.loftq_replace import replace_lora_weights_loftq
from .lora.more.kbit import prepare_model_for_kbit_training
from .lora.more.layers.attention import attention_parts
from .lora.more.layers.fused_qkv import fused_qkv
from .lora.more.low_rank import parameter_count, truncate
from .lora.more.task_models import (
    PeftModelForCausalLM,
    PeftModelForFeatureExtraction,
    PeftModelForQuestionAnswering,
    PeftModelForSeq2SeqLM,
    PeftModelForSequenceClassification,
    PeftModelForTokenClassification,
)
from .lora.more.variants.lora_fa import freeze_A
from .lora.tuner import LoraModel
from .lora.tuner_layer import BaseTunerLayer
from .seeding import generator, seed_everything
from .train.fast.sweep import Job, train_many
from .train.history import History
from .train.loop import evaluate, fit
from .train.memory.predict import MemoryEstimate, predict_memory
from .train.packing import pack
from .train.sharded import shard

__version__: str

__all__ = [
    "AdapterFileError",
    "AutoPeftModel",
    "AutoPeftModelForCausalLM",
    "AutoPeftModelForFeatureExtraction",
    "AutoPeftModelForQuestionAnswering",
    "AutoPeftModelForSeq2SeqLM",
    "AutoPeftModelForSequenceClassification",
    "AutoPeftModelForTokenClassification",
    "BaseTunerLayer",
    "ConfigError",
    "EvaConfig",
    "History",
    "Job",
    "LoftQConfig",
    "LoraConfig",
    "LoraLayer",
    "LoraLinear",
    "LoraModel",
    "MemoryEstimate",
    "MergeError",
    "MergeReport",
    "ModulesToSaveWrapper",
    "NoMatchingPeftModuleError",
    "PeftConfig",
    "PeftError",
    "PeftModel",
    "PeftModelForCausalLM",
    "PeftModelForFeatureExtraction",
    "PeftModelForQuestionAnswering",
    "PeftModelForSeq2SeqLM",
    "PeftModelForSequenceClassification",
    "PeftModelForTokenClassification",
    "PeftType",
    "PeftWarning",
    "Table",
    "TaskType",
    "TokenBatches",
    "TrainableTokensWrapper",
    "attention_parts",
    "blocks",
    "by_seed",
    "card",
    "check_target_module_exists",
    "disable_input_dtype_casting",
    "encode",
    "evaluate",
    "fit",
    "freeze_A",
    "fused_qkv",
    "gap_table",
    "gaps_against",
    "generate",
    "generator",
    "get_base_model_state_dict",
    "get_eva_state_dict",
    "get_layer_status",
    "get_model_status",
    "get_peft_model",
    "get_peft_model_state_dict",
    "hotswap_adapter",
    "initialize_lora_eva_weights",
    "inject_adapter_in_model",
    "inspect_matched_modules",
    "is_available",
    "lesson",
    "load_base",
    "load_peft_weights",
    "load_text",
    "lora_scaling",
    "memory_panel",
    "pack",
    "paired_gap",
    "paired_gaps",
    "parameter_count",
    "plan_injection",
    "predict_memory",
    "prepare_model_for_compiled_hotswap",
    "prepare_model_for_kbit_training",
    "preset",
    "replace_lora_weights_loftq",
    "rescale_adapter_scale",
    "seed_everything",
    "set_base_model_state_dict",
    "set_peft_model_state_dict",
    "shard",
    "show",
    "train_many",
    "truncate",
]
