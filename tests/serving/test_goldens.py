#!/usr/bin/env python3
"""The reference implementation's answers, through gRPC.

    test_goldens.py [FIXTURE...]     folders as tools of the model contract write them: checkpoint/,
                                     text.json, text.safetensors; default: tests/data/goldens/*

--compute f32: greedy tokens equal, prompt logprobs and top-8 logprobs within 1e-3.
--compute bf16: along the reference's fp32 tokens, the best token is the reference's wherever its
margin is at least 1.  World sizes 1, 2, 4.
"""
import json
import os
import pathlib
import struct
import sys

from daemon import TESTS, Daemon, Report, generate, pb

TOLERANCE = 1e-3
MARGIN = 1.0


def read_tensor(path, name):
    """A float32 array of a safetensors file as a list."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        entry = json.loads(file.read(length))[name]
        begin, end = entry["data_offsets"]
        file.seek(8 + length + begin)
        return struct.unpack(f"<{(end - begin) // 4}f", file.read(end - begin))


def request_for(prompt, max_tokens, logprobs=8, prompt_logprobs=0):
    request = pb.GenerateRequest()
    request.token_ids.ids.extend(prompt)
    request.sampling.temperature = 0
    request.stopping.max_tokens = max_tokens
    request.stopping.ignore_eos = True
    request.response.token_ids = True
    request.response.logprobs = logprobs
    request.response.prompt_logprobs = prompt_logprobs
    return request


def check_f32(report, daemon, name, fixture, case):
    greedy = case["greedy"]
    (answer,) = generate(daemon, request_for(case["prompt_ids"], len(greedy["tokens"])))
    report.check(f"{name} tokens", answer.tokens == greedy["tokens"],
                 f"{answer.tokens}\n  want {greedy['tokens']}")
    if case["n_prompt"] > 1:
        want = read_tensor(fixture / "text.safetensors", f"{case['name']}.prompt_logprobs")
        got = [entry.logprob for entry in answer.prompt_logprobs]
        worst = max((abs(a - b) for a, b in zip(got, want)), default=0)
        report.check(f"{name} prompt logprobs", len(got) == len(want) and worst <= TOLERANCE,
                     f"{len(got)} of {len(want)}, worst {worst}")
    worst = 0
    for entry, want in zip(answer.logprobs, greedy["top_logprobs"]):
        got = [top.logprob for top in entry.top]
        worst = max([worst] + [abs(a - b) for a, b in zip(got, want)])
        if len(got) != len(want):
            worst = float("inf")
    report.check(f"{name} top logprobs", worst <= TOLERANCE, f"worst {worst}")


def check_bf16(report, daemon, name, case):
    greedy = case["greedy"]
    prompt = case["prompt_ids"] + greedy["tokens"]
    (answer,) = generate(daemon, request_for(prompt, 1, logprobs=0, prompt_logprobs=1))
    best = [entry.top[0].token_id for entry in answer.prompt_logprobs[case["n_prompt"] - 1:]]
    wrong = [i for i, (got, want) in enumerate(zip(best, greedy["tokens"]))
             if got != want and greedy["margin"][i] >= MARGIN]
    report.check(f"{name} best tokens", len(best) == len(greedy["tokens"]) and not wrong,
                 f"differ at {wrong}")


def main():
    fixtures = [pathlib.Path(argument) for argument in sys.argv[1:]]
    fixtures = fixtures or sorted((TESTS / "data" / "goldens").iterdir())
    worlds = [int(w) for w in os.environ.get("GEMMAD_TEST_WORLDS", "1,2,4").split(",")]
    report = Report()
    for fixture in fixtures:
        cases = json.loads((fixture / "text.json").read_text())["cases"]
        for compute in ("f32", "bf16"):
            for world in worlds:
                with Daemon(fixture / "checkpoint", "--tp", str(world), "--compute",
                            compute) as daemon:
                    for case in cases:
                        name = f"{fixture.name} {compute} world={world} {case['name']}"
                        if compute == "f32":
                            check_f32(report, daemon, name, fixture, case)
                        else:
                            check_bf16(report, daemon, name, case)
                print(f"{fixture.name} {compute} world={world}: {report.passed} passed, "
                      f"{report.failed} failed so far", flush=True)
    report.close()


if __name__ == "__main__":
    main()
