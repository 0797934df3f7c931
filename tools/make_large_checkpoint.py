#!/usr/bin/env python3
"""Writes a random-weight checkpoint with the published shape of Gemma 4 E2B (text part, 9.3 GB).

    make_large_checkpoint.py OUT --tokenizer tokenizer.json [--chat-template FILE] [--layers 35]

For measuring: start time, decode and prefill speed, memory. Needs numpy. Weights are normal draws
scaled by 1/sqrt(inputs), taken from one random block at varying offsets, so that 9 GB take a minute.
"""
import argparse
import json
import pathlib
import shutil
import struct

import numpy as np

H, V, P, I, HEADS, WINDOW = 1536, 262144, 256, 6144, 8, 512
BLOCK = 1 << 24


def config(n_layers, n_shared):
    kinds = ["full_attention" if i % 5 == 4 else "sliding_attention" for i in range(n_layers)]
    text = {
        "model_type": "gemma4_text", "hidden_size": H, "intermediate_size": I,
        "num_hidden_layers": n_layers, "num_attention_heads": HEADS, "num_key_value_heads": 1,
        "num_global_key_value_heads": None, "head_dim": 256, "global_head_dim": 512,
        "attention_k_eq_v": False, "sliding_window": WINDOW, "num_kv_shared_layers": n_shared,
        "use_double_wide_mlp": True, "hidden_size_per_layer_input": P,
        "vocab_size_per_layer_input": V, "vocab_size": V, "enable_moe_block": False,
        "max_position_embeddings": 131072, "rms_norm_eps": 1e-6, "final_logit_softcapping": 30.0,
        "hidden_activation": "gelu_pytorch_tanh", "tie_word_embeddings": True,
        "layer_types": kinds, "dtype": "bfloat16", "bos_token_id": 2, "eos_token_id": 1,
        "pad_token_id": 0, "use_bidirectional_attention": None,
        "rope_parameters": {
            "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25,
                               "rope_theta": 1000000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}},
    }
    return {"architectures": ["Gemma4ForConditionalGeneration"], "model_type": "gemma4",
            "dtype": "bfloat16", "text_config": text, "vision_config": None, "audio_config": None,
            "eos_token_id": [1, 106], "tie_word_embeddings": True, "image_token_id": 258880,
            "audio_token_id": 258881, "video_token_id": 258884}


def tensors(c):
    """(name, shape, scale, mean) of every tensor."""
    text = c["text_config"]
    n = text["num_hidden_layers"]
    first_shared = n - text["num_kv_shared_layers"]
    prefix = "model.language_model."

    def linear(name, out, inputs):
        return prefix + name, (out, inputs), inputs ** -0.5, 0.0

    def norm(name, dim):
        return prefix + name, (dim,), 0.1, 1.0

    yield prefix + "embed_tokens.weight", (V, H), H ** -0.5, 0.0
    yield norm("norm.weight", H)
    yield prefix + "embed_tokens_per_layer.weight", (V, n * P), P ** -0.5, 0.0
    yield linear("per_layer_model_projection.weight", n * P, H)
    yield norm("per_layer_projection_norm.weight", P)
    for l, kind in enumerate(text["layer_types"]):
        at = f"layers.{l}."
        d = 512 if kind == "full_attention" else 256
        for name in ("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm",
                     "post_feedforward_layernorm", "post_per_layer_input_norm"):
            yield norm(f"{at}{name}.weight", H)
        yield prefix + at + "layer_scalar", (1,), 0.0, 0.7
        yield linear(at + "self_attn.q_proj.weight", HEADS * d, H)
        yield linear(at + "self_attn.o_proj.weight", H, HEADS * d)
        yield norm(at + "self_attn.q_norm.weight", d)
        if l < first_shared:
            yield linear(at + "self_attn.k_proj.weight", d, H)
            yield linear(at + "self_attn.v_proj.weight", d, H)
            yield norm(at + "self_attn.k_norm.weight", d)
        wide = I if l < first_shared else 2 * I
        yield linear(at + "mlp.gate_proj.weight", wide, H)
        yield linear(at + "mlp.up_proj.weight", wide, H)
        yield linear(at + "mlp.down_proj.weight", H, wide)
        yield linear(at + "per_layer_input_gate.weight", P, H)
        yield linear(at + "per_layer_projection.weight", H, P)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--tokenizer", type=pathlib.Path, required=True)
    parser.add_argument("--chat-template", type=pathlib.Path)
    parser.add_argument("--layers", type=int, default=35)
    parser.add_argument("--shared", type=int, default=20)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    c = config(arguments.layers, arguments.shared)
    (arguments.out / "config.json").write_text(json.dumps(c, indent=2))
    (arguments.out / "generation_config.json").write_text(json.dumps(
        {"do_sample": True, "temperature": 1.0, "top_k": 64, "top_p": 0.95,
         "eos_token_id": [1, 106, 50]}))
    shutil.copy(arguments.tokenizer, arguments.out / "tokenizer.json")
    if arguments.chat_template:
        shutil.copy(arguments.chat_template, arguments.out / "chat_template.jinja")

    header, end = {}, 0
    for name, shape, _, _ in tensors(c):
        n_bytes = 2 * int(np.prod(shape, dtype=np.int64))
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [end, end + n_bytes]}
        end += n_bytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    draws = np.random.default_rng(1).standard_normal(BLOCK, dtype=np.float32)
    with open(arguments.out / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for i, (name, shape, scale, mean) in enumerate(tensors(c)):
            block = ((draws * scale + mean).view(np.uint32) >> 16).astype("<u2")
            left, at = int(np.prod(shape, dtype=np.int64)), (i * 7919) % BLOCK
            while left:
                piece = block[at:at + left]
                file.write(piece.tobytes())
                left, at = left - len(piece), (at + 12347) % (BLOCK // 2)
            print(f"\r{file.tell() / 1e9:.1f} of {end / 1e9:.1f} GB", end="", flush=True)
    print()


if __name__ == "__main__":
    main()
