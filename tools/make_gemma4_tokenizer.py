#!/usr/bin/env python3
"""Turn the Gemma 3 tokenizer.json into a Gemma-4-like tokenizer.json.

usage: make_gemma4_tokenizer.py IN(.json|.json.xz) OUT(.json)

What is known of Gemma 4's tokenizer:
the same 262,144-entry BPE vocabulary and the same 514,906 merges as Gemma 3,
with 19 reserved entries given names, exactly 24 added tokens (all special, not
normalized), no automatic <bos> (the chat template writes it), and Gemma 3's
262145th token (<image_soft_token>, id 262144) gone.

Only the Python standard library is needed.  The result is a stand-in for tests:
ordinary text encodes as in Gemma 4 as far as is publicly known, and the control
tokens have the real ids; it is not Google's file byte for byte.
"""
import json
import lzma
import sys

RENAMED = {
    46: "<|tool>", 47: "<tool|>",
    48: "<|tool_call>", 49: "<tool_call|>",
    50: "<|tool_response>", 51: "<tool_response|>",
    52: '<|"|>',
    98: "<|think|>",
    100: "<|channel>", 101: "<channel|>",
    105: "<|turn>", 106: "<turn|>",
    255999: "<|image>", 256000: "<|audio>",
    258880: "<|image|>", 258881: "<|audio|>",
    258882: "<image|>", 258883: "<audio|>",
    258884: "<|video|>",
}
KEPT = {0: "<pad>", 1: "<eos>", 2: "<bos>", 3: "<unk>", 4: "<mask>"}


def convert(tok):
    vocab = tok["model"]["vocab"]
    by_id = {i: s for s, i in vocab.items()}
    old_names = set()
    for i, name in RENAMED.items():
        old = by_id[i]
        if not (old.startswith("<unused") or old in (
                "<start_of_turn>", "<end_of_turn>",
                "<start_of_image>", "<end_of_image>")):
            raise SystemExit(f"id {i} holds {old!r}, not a reserved entry")
        if name in vocab:
            raise SystemExit(f"{name!r} is already in the vocabulary")
        old_names.add(old)
        by_id[i] = name
    for i, name in KEPT.items():
        if by_id[i] != name:
            raise SystemExit(f"id {i} holds {by_id[i]!r}, expected {name!r}")
    tok["model"]["vocab"] = {by_id[i]: i for i in sorted(by_id)}
    bad = [m for m in tok["model"]["merges"]
           if any(p in old_names for p in m) or "".join(m) in old_names]
    if bad:
        raise SystemExit(f"merges mention renamed entries: {bad[:3]}")
    tok["added_tokens"] = [
        {"id": i, "content": s, "single_word": False, "lstrip": False,
         "rstrip": False, "normalized": False, "special": True}
        for i, s in sorted({**KEPT, **RENAMED}.items())]
    tok["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}},
                 {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {},
    }
    tok["truncation"] = tok["padding"] = None
    return tok


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    op = lzma.open if sys.argv[1].endswith(".xz") else open
    with op(sys.argv[1], "rt", encoding="utf-8") as f:
        tok = json.load(f)
    with open(sys.argv[2], "w", encoding="utf-8") as f:
        json.dump(convert(tok), f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    main()
