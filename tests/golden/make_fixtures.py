#!/usr/bin/env python3
"""Writes the fixtures beside this file: tiny random models in published layouts, with what transformers computes.

    python make_fixtures.py [CASE ...]      # needs transformers 5 and torch; the same files for the same versions

CASE/ holds config.json, model.safetensors, expected.safetensors (ids, attention_mask, logits, hidden.LAYERS, loss; loss64
and grad64.NAME in double) and expected.json (prompt, greedy).
"""
import json
import pathlib
import sys

import torch
import transformers
from safetensors.torch import save_file

FOLDER = pathlib.Path(__file__).parent
SIZES = dict(vocab_size=40, bos_token_id=2, eos_token_id=3, pad_token_id=1)
LLAMA = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=64, rms_norm_eps=1e-5, **SIZES)
CASES = {
    "qwen2": (transformers.Qwen2Config(tie_word_embeddings=False, **LLAMA), transformers.Qwen2ForCausalLM),
    "qwen3": (transformers.Qwen3Config(head_dim=6, tie_word_embeddings=True, **LLAMA), transformers.Qwen3ForCausalLM),
    "mistral": (transformers.MistralConfig(sliding_window=5, head_dim=4, **LLAMA), transformers.MistralForCausalLM),
    "gpt2": (transformers.GPT2Config(n_embd=16, n_layer=2, n_head=4, n_positions=48, n_inner=None, resid_pdrop=0,
                                     embd_pdrop=0, attn_pdrop=0, **SIZES), transformers.GPT2LMHeadModel),
    "opt_bare": (transformers.OPTConfig(hidden_size=16, ffn_dim=24, num_hidden_layers=2, num_attention_heads=4,
                                        max_position_embeddings=48, dropout=0.0, enable_bias=False,
                                        layer_norm_elementwise_affine=False, **SIZES), transformers.OPTForCausalLM),
}


def next_id_loss(logits, ids):
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


def write(name, config, kind):
    torch.manual_seed(sum(name.encode()))
    model = kind(config).eval()
    with torch.no_grad():
        for key, p in model.named_parameters():
            p.normal_(0, 0.1 if p.dim() == 1 else 0.3).add_(1.0 if p.dim() == 1 and key.endswith("weight") else 0.0)
    out = FOLDER / name
    model.save_pretrained(out)
    (out / "generation_config.json").unlink(missing_ok=True)
    ids = torch.randint(4, config.vocab_size, (2, 20))
    want = {"ids": ids, "attention_mask": torch.ones_like(ids)}
    with torch.no_grad():
        result = model(ids, output_hidden_states=True, use_cache=False)
        text = ids[:1, :6]
        while text.shape[1] < 18:
            text = torch.cat([text, model(text, use_cache=False).logits[:, -1:].argmax(-1)], 1)
    want["logits"], want["loss"] = result.logits, next_id_loss(result.logits, ids)
    want[f"hidden.{config.num_hidden_layers}"] = result.hidden_states[-1]
    model.double()
    loss = next_id_loss(model(ids, use_cache=False).logits, ids)
    loss.backward()
    want["loss64"] = loss.detach()
    for key, p in model.named_parameters():
        want["grad64." + key] = p.grad.float()
    save_file({k: v.contiguous() for k, v in want.items()}, out / "expected.safetensors")
    greedy = {"prompt": text[0, :6].tolist(), "greedy": text[0, 6:].tolist()}
    (out / "expected.json").write_text(json.dumps(greedy) + "\n")


for case in sys.argv[1:] or CASES:
    write(case, *CASES[case])
