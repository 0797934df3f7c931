#!/usr/bin/env python3
"""Compare our tokenizer's ids with those of Hugging Face tokenizers.

usage: compare_tokenizer.py BENCH_TOKENIZER TOKENIZER.json [--count N] [--seed N] [FILE...]
       compare_tokenizer.py --time BENCH_TOKENIZER TOKENIZER.json FILE...

BENCH_TOKENIZER is the built bench/tokenizer. The first form compares N random strings (random
Unicode, runs of white space, snippets and edits of the FILEs, pieces of special tokens, entries
of the vocabulary) and every whole FILE; the exit status says whether all ids are identical. The
second times both on the same FILEs, in turn, five times, one thread each, and prints medians.
Needs the Python package `tokenizers`; the project itself does not.
"""
import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
import time

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
from tokenizers import Tokenizer  # noqa: E402 (after the environment is set)

SPACES = [" ", "\n", "\t", "\r", "\u00a0", "\u3000", "\u2581", "\u200b", "  ", "\n\n", "\u2028"]


def read_texts(paths):
    texts = []
    for path in paths:
        with open(path, "rb") as f:
            try:
                texts.append(f.read().decode("utf-8"))
            except UnicodeDecodeError:
                pass
    return texts


def random_character(rng):
    ranges = [(0, 0x7F), (0x20, 0x7E), (0x80, 0x24F), (0x370, 0x52F), (0x590, 0x6FF),
              (0x900, 0xDFF), (0xE00, 0xEFF), (0x1100, 0x11FF), (0x2000, 0x2BFF), (0x3040, 0x30FF),
              (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xE000, 0xFFFF), (0x10000, 0x10FFFF),
              (0x1F300, 0x1FAFF)]
    low, high = rng.choice(ranges)
    code = rng.randint(low, high)
    return "?" if 0xD800 <= code <= 0xDFFF else chr(code)


class Strings:
    """Random strings that are likely to find a difference."""

    def __init__(self, rng, tokenizer_path, texts):
        with open(tokenizer_path, encoding="utf-8") as f:
            file = json.load(f)
        self.rng = rng
        self.entries = [e.replace("\u2581", " ") for e in file["model"]["vocab"]]
        self.added = [a["content"] for a in file["added_tokens"]]
        self.texts = texts or ["no files were given, so this is all the prose there is"]

    def unicode(self):
        return "".join(random_character(self.rng) for _ in range(self.rng.randint(0, 40)))

    def spaces(self):
        rng = self.rng
        return "".join(rng.choice(SPACES) * rng.choice([1, 1, 2, 3, 7, 31, 32, 33, 70])
                       + rng.choice(["", "a", "if", "</", ">", "\u00e9", "1", "<b>"])
                       for _ in range(rng.randint(1, 6)))

    def snippet(self):
        text = self.rng.choice(self.texts)
        start = self.rng.randrange(len(text) + 1)
        return text[start:start + self.rng.randint(1, 400)]

    def edited(self):
        text = list(self.snippet())
        for _ in range(self.rng.randint(1, 8)):
            if text:
                text[self.rng.randrange(len(text))] = self.rng.choice(
                    [random_character(self.rng), self.rng.choice(SPACES), ""])
        return "".join(text)

    def special(self):
        rng = self.rng
        parts = []
        for _ in range(rng.randint(1, 6)):
            token = rng.choice(self.added)
            cut = rng.randint(0, len(token))
            parts.append(rng.choice([token, token[:cut], token[cut:], "<", "|>", "<|", " ", "x",
                                     "<0x41>", "> </", "<start_of_turn>", "<|turn>user\n"]))
        return "".join(parts)

    def joined_entries(self):
        return "".join(self.rng.choices(self.entries, k=self.rng.randint(1, 12)))

    def repeated(self):
        unit = self.rng.choice([self.joined_entries()[:4], random_character(self.rng)])
        return unit * self.rng.randint(1, 200)

    def next(self):
        kinds = [self.unicode, self.spaces, self.snippet, self.edited, self.special,
                 self.joined_entries, self.repeated]
        return self.rng.choice(kinds)()


def our_ids(bench, tokenizer, strings):
    lines = "".join(json.dumps(s, ensure_ascii=False) + "\n" for s in strings)
    out = subprocess.run([bench, "--ids", tokenizer], input=lines.encode("utf-8"), check=True,
                         stdout=subprocess.PIPE).stdout.decode().splitlines()
    return [[int(i) for i in line.split()] for line in out]


def compare(args):
    texts = read_texts(args.files)
    random_strings = Strings(random.Random(args.seed), args.tokenizer, texts)
    strings = [random_strings.next() for _ in range(args.count)] + texts
    theirs = Tokenizer.from_file(args.tokenizer)
    n_different = 0
    ours = our_ids(args.bench, args.tokenizer, strings)
    if len(ours) != len(strings):
        raise SystemExit(f"{len(ours)} answers to {len(strings)} strings")
    for string, got in zip(strings, ours):
        want = theirs.encode(string, add_special_tokens=False).ids
        if got != want:
            n_different += 1
            if n_different <= 5:
                print(f"different: {string[:300]!r}\n  ours   {got[:60]}\n  theirs {want[:60]}")
    n_bytes = sum(len(s.encode("utf-8")) for s in strings)
    print(f"{len(strings)} strings, {n_bytes} bytes, {sum(map(len, ours))} ids: "
          f"{n_different} different")
    return 1 if n_different else 0


def time_ours(bench, tokenizer, paths):
    out = subprocess.run([bench, tokenizer, *paths], check=True, stdout=subprocess.PIPE)
    found = re.findall(r"^(cold|warm): median ([0-9.]+)", out.stdout.decode(), re.M)
    return {kind: float(speed) for kind, speed in found}


def time_both(args):
    texts = read_texts(args.files)
    n_mb = sum(len(t.encode("utf-8")) for t in texts) / 1e6
    figures = {"cold": [], "warm": [], "theirs, new": [], "theirs, again": []}
    for _ in range(5):
        for kind, speed in time_ours(args.bench, args.tokenizer, args.files).items():
            figures[kind].append(speed)
        theirs = Tokenizer.from_file(args.tokenizer)
        for kind in ("theirs, new", "theirs, again"):
            start = time.perf_counter()
            for text in texts:
                theirs.encode(text, add_special_tokens=False)
            figures[kind].append(n_mb / (time.perf_counter() - start))
    for kind, speeds in figures.items():
        print(f"{kind}: median {statistics.median(speeds):.2f} MB/s "
              f"({min(speeds):.2f} to {max(speeds):.2f})")
    return 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--time", action="store_true")
    parser.add_argument("--count", type=int, default=100000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("bench")
    parser.add_argument("tokenizer")
    parser.add_argument("files", nargs="*")
    args = parser.parse_args()
    return time_both(args) if args.time else compare(args)


if __name__ == "__main__":
    sys.exit(main())
