#!/usr/bin/env python3
"""Makes tests/data/unified: a tiny unified (12B-like) checkpoint as transformers saves it, and what
transformers makes of an image, a frame and a clip with it (f32 from the bf16 weights).

    python3 tests/model/make_unified.py tests/data/unified      needs transformers >= 5.23 and torch
"""
import json
import pathlib
import sys

import numpy
import torch
from safetensors.torch import save_file
from transformers import Gemma4UnifiedConfig, Gemma4UnifiedForConditionalGeneration

EMBED, HIDDEN, SAMPLES, POSITIONS = 16, 24, 640, 40
GRIDS = {"image": (6, 9), "frame": (12, 3)}  # columns and lines of patches


def config():
    return Gemma4UnifiedConfig(
        text_config=dict(
            vocab_size=64, hidden_size=HIDDEN, intermediate_size=16, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=1, head_dim=8, global_head_dim=8,
            max_position_embeddings=512, sliding_window=16, bos_token_id=2, eos_token_id=1,
            pad_token_id=0),
        vision_config=dict(mm_embed_dim=EMBED, mm_posemb_size=POSITIONS, output_proj_dims=EMBED),
        audio_config=dict(audio_embed_dim=SAMPLES),
        boi_token_id=50, eoi_token_id=51, image_token_id=52, video_token_id=53, boa_token_id=54,
        eoa_token_index=55, audio_token_id=56)


def patches(pixels):
    """[lines, columns, 3] of 16 x 16 patches, row by row."""
    h, w, _ = pixels.shape
    grid = pixels.reshape(h // 16, 16, w // 16, 16, 3).transpose(0, 2, 1, 3, 4)
    return grid.reshape(-1, 768)


def merged(pixels):
    """The same of 48 x 48 patches, and their columns and lines."""
    h, w, _ = pixels.shape
    grid = pixels.reshape(h // 48, 48, w // 48, 48, 3).transpose(0, 2, 1, 3, 4)
    places = [(x, y) for y in range(h // 48) for x in range(w // 48)]
    return grid.reshape(len(places), -1), numpy.array(places)


def main(out):
    torch.manual_seed(7)
    random = numpy.random.default_rng(7)
    model = Gemma4UnifiedForConditionalGeneration(config())
    for parameter in model.parameters():
        parameter.data.copy_((torch.randn_like(parameter) * 0.3 + 0.1).bfloat16().float())
    expected = {}
    with torch.no_grad():
        for name, (columns, lines) in GRIDS.items():
            pixels = random.integers(0, 256, (lines * 16, columns * 16, 3), dtype=numpy.uint8)
            values, places = merged(pixels)
            factor = numpy.float32(1 / 255)
            x = values * factor if name == "image" else values / numpy.float32(255)
            embedder = model.model.embed_vision
            soft = embedder(torch.from_numpy(x.astype(numpy.float32))[None],
                            torch.from_numpy(places)[None]).pooler_output[0]
            expected[name + ".pixels_u8"] = torch.from_numpy(patches(pixels).copy())
            expected[name + ".soft_tokens"] = soft.contiguous()
        samples = torch.from_numpy(random.uniform(-1, 1, (5, SAMPLES)).astype(numpy.float32))
        expected["clip.samples"] = samples
        expected["clip.soft_tokens"] = model.model.embed_audio(samples[None])[0].contiguous()
    out.mkdir(parents=True, exist_ok=True)
    model.bfloat16().save_pretrained(out / "checkpoint")
    (out / "checkpoint" / "generation_config.json").unlink(missing_ok=True)
    save_file(expected, str(out / "expected.safetensors"))
    saved = json.loads((out / "checkpoint" / "config.json").read_text())
    print(saved["model_type"], sorted(expected))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
