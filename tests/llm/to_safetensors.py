"""The embedded model for servers that read no GGUF: ``python to_safetensors.py WEIGHTS.gguf FOLDER``.

Runs in vLLM's environment (torch, transformers, gguf). The 4-bit weights become float32; the tokenizer and
its chat template come from the same file, so both servers see the same prompts.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def convert(weights: Path, folder: Path) -> None:
    source = {"pretrained_model_name_or_path": weights.parent, "gguf_file": weights.name}
    read = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    # What was read from a GGUF refuses to be saved, and says that it is quantized: a fresh model is neither.
    del read.config.quantization_config
    model = AutoModelForCausalLM.from_config(read.config, dtype=torch.float32)
    model.load_state_dict(read.state_dict())
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**source).save_pretrained(folder)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
