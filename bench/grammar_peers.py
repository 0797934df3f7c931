#!/usr/bin/env python3
"""Constrained answers beside xgrammar and llguidance: the same schemas, instances and tokenizer.

    grammar_peers.py BENCH_GRAMMAR TOKENIZER.json SUITE.jsonl [--every N] [--peers NAMES]

Needs xgrammar, llguidance, tokenizers, transformers (PyPI) in the Python that runs it. BENCH_GRAMMAR
is our bench_grammar; all run one after the other, on one thread. Times are the best of 3 passes:
a new grammar and a new matcher each time, except for xgrammar, which compiles once (it takes
seconds). The peers' times contain a call from Python, about half a microsecond.
"""
import argparse
import json
import subprocess
import sys
import tempfile
import time

N_PASSES = 3


def timed(call, *args):
    start = time.perf_counter_ns()
    result = call(*args)
    return result, (time.perf_counter_ns() - start) / 1e3


class Xgrammar:
    compiles_once = True

    def __init__(self, path, n_ids):
        import transformers
        import xgrammar

        self.module, self.n_ids = xgrammar, n_ids
        tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=path)
        info = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=n_ids)
        self.compiler = xgrammar.GrammarCompiler(info, max_threads=1, cache_enabled=False)
        self.bits = xgrammar.allocate_token_bitmask(1, n_ids)

    def compile(self, schema):
        return self.compiler.compile_json_schema(schema, any_whitespace=True, strict_mode=False)

    def matcher(self, grammar):
        return self.module.GrammarMatcher(grammar)

    def mask(self, matcher):
        matcher.fill_next_token_bitmask(self.bits)

    def accept(self, matcher, token):
        return matcher.accept_token(token)


class Llguidance:
    compiles_once = False

    def __init__(self, path, n_ids):
        import llguidance
        import llguidance.numpy

        self.module, self.n_ids = llguidance, n_ids
        with open(path, encoding="utf-8") as file:
            self.tokenizer = llguidance.LLTokenizer(file.read(), n_vocab=n_ids)
        self.bits = llguidance.numpy.allocate_token_bitmask(1, n_ids)

    def compile(self, schema):
        grammar = self.module.LLMatcher.grammar_from_json_schema(schema)
        matcher = self.module.LLMatcher(self.tokenizer, grammar)
        if matcher.is_error():
            raise ValueError(matcher.get_error())
        return matcher

    def matcher(self, grammar):
        return grammar.deep_copy()

    def mask(self, matcher):
        self.module.numpy.fill_next_token_bitmask(matcher, self.bits, 0)

    def accept(self, matcher, token):
        return matcher.consume_token(token)


PEERS = {"xgrammar": Xgrammar, "llguidance": Llguidance}


def run_instance(peer, grammar, ids, masks):
    """Appends the times of the masks; False: the instance is refused."""
    matcher = peer.matcher(grammar)
    for token in ids:
        masks.append(timed(peer.mask, matcher)[1])
        if not peer.accept(matcher, token):
            return False
    return True


def run_schema(peer, row, encode):
    """(compile time, times of masks, instances refused); a schema it cannot compile: None."""
    schema = json.dumps(row["schema"])
    passes, refused, best, grammar = [], 0, None, None
    for _ in range(N_PASSES):
        if grammar is None or not peer.compiles_once:
            try:
                grammar, took = timed(peer.compile, schema)
            except (ValueError, RuntimeError) as error:
                print(f"{row['id']}: {str(error)[:100]}", file=sys.stderr)
                return None
            best = took if best is None else min(best, took)
        masks = []
        refused = sum(not run_instance(peer, grammar, encode(json.dumps(i, ensure_ascii=False)), masks)
                      for i in row["valid"])
        passes.append(masks)
    return best, [min(times) for times in zip(*passes)], refused


def run_peer(name, path, n_ids, rows, encode):
    peer, took = timed(PEERS[name], path, n_ids)
    compiles, masks, refused, unknown = [], [], 0, 0
    for row in rows:
        result = run_schema(peer, row, encode)
        if result is None:
            unknown += 1
            continue
        compiles.append(result[0])
        masks += result[1]
        refused += result[2]
    return {"start_ms": took / 1e3, "compile_us": compiles, "mask_us": masks, "refused": refused,
            "unknown": unknown}


def run_ours(bench, path, rows):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as suite:
        suite.writelines(json.dumps(row) + "\n" for row in rows)
        suite.flush()
        done = subprocess.run([bench, path, suite.name, "--times"], check=True,
                              stdout=subprocess.PIPE)
    times = json.loads(done.stdout)
    return {"start_ms": times["vocabulary_ms"], "compile_us": times["compile_us"],
            "mask_us": times["mask_us"], "refused": times["n_refused"], "unknown": 0}


def quantile(values, q):
    return sorted(values)[min(len(values) - 1, int(len(values) * q))] if values else float("nan")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench")
    parser.add_argument("tokenizer")
    parser.add_argument("suite")
    parser.add_argument("--every", type=int, default=1, help="take each n-th schema")
    parser.add_argument("--peers", default=",".join(PEERS))
    options = parser.parse_args()

    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(options.tokenizer)
    n_ids = tokenizer.get_vocab_size(with_added_tokens=True)
    with open(options.suite, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file][::options.every]

    def encode(text):
        return tokenizer.encode(text, add_special_tokens=False).ids

    results = {"gemmad": run_ours(options.bench, options.tokenizer, rows)}
    for name in options.peers.split(","):
        results[name] = run_peer(name, options.tokenizer, n_ids, rows, encode)
    print("| | schemas | compile p50 | p99 | masks | p50 | p99 | worst | refused instances |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, r in results.items():
        compiles, masks = r["compile_us"], r["mask_us"]
        print(f"| {name} | {len(compiles)} | {quantile(compiles, 0.5):.0f} us "
              f"| {quantile(compiles, 0.99):.0f} us | {len(masks)} | {quantile(masks, 0.5):.1f} us "
              f"| {quantile(masks, 0.99):.0f} us | {max(masks):.0f} us | {r['refused']} |")


if __name__ == "__main__":
    main()
