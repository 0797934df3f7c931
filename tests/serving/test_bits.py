#!/usr/bin/env python3
"""The same request gives the same bits, whatever surrounds it.

Requests (greedy and seeded sampling, with logprobs) are run alone, in a mixed batch of 16, with
prefill chunks of 1, 7, 64 and whole, with so few (and smaller) pages that sequences are preempted,
and at world sizes 1, 2, 4 and 8: every token and every logprob must be the same float.
"""
import concurrent.futures
import os
import sys

from daemon import TESTS, Daemon, Report, control_pb2, generate, pb

N_REQUESTS = 16


def make_request(i):
    request = pb.GenerateRequest()
    length = (3, 150, 33, 64, 7, 90)[i % 6] + i
    request.token_ids.ids.extend([2] + [100 + (i * 37 + j * 11) % 800 for j in range(length)])
    if i % 2:
        request.sampling.temperature = 0.9
        request.sampling.top_k = (0, 20, 64)[i % 3]
        request.sampling.top_p = (1.0, 0.9)[i % 2]
        request.sampling.seed = 1000 + i
    else:
        request.sampling.temperature = 0
    if i % 4 == 3:
        request.sampling.repetition_penalty = 1.2
        request.sampling.presence_penalty = 0.3
    request.stopping.max_tokens = 24 + i
    request.stopping.ignore_eos = True
    request.response.token_ids = True
    request.response.logprobs = 5
    if i % 3 == 0:
        request.response.prompt_logprobs = 2
    return request


def alone(daemon, requests):
    return [generate(daemon, request)[0].bits for request in requests]


def together(daemon, requests):
    with concurrent.futures.ThreadPoolExecutor(N_REQUESTS) as pool:
        return [a[0].bits for a in pool.map(lambda r: generate(daemon, r), requests)]


def compare(report, name, got, want):
    for i, (a, b) in enumerate(zip(got, want)):
        what = ["tokens", "logprobs", "prompt logprobs"]
        differ = [what[k] for k in range(3) if a[k] != b[k]]
        report.check(f"{name} request {i}", not differ, f"{differ} differ")


def main():
    kinds = sys.argv[1:] or ["dense", "moe", "ple"]
    computes = os.environ.get("GEMMAD_TEST_COMPUTES", "f32,bf16").split(",")
    report = Report()
    requests = [make_request(i) for i in range(N_REQUESTS)]
    for kind in kinds:
        model = TESTS / "data" / "goldens" / kind / "checkpoint"
        for compute in computes:
            base = ("--compute", compute, "--max-context", "256")
            with Daemon(model, "--tp", "1", *base) as daemon:
                want = alone(daemon, requests)
                compare(report, f"{kind} {compute} batch", together(daemon, requests), want)
            for chunk in (1, 7, 64):
                with Daemon(model, "--tp", "1", "--max-chunk-tokens", str(chunk), *base) as daemon:
                    compare(report, f"{kind} {compute} chunk={chunk}",
                            together(daemon, requests), want)
            with Daemon(model, "--tp", "1", "--page-tokens", "16", "--kv-pages", "18",
                        *base) as daemon:
                preempted = 0
                for _ in range(20):  # how many requests meet is up to the clients' timing
                    compare(report, f"{kind} {compute} preempted", together(daemon, requests), want)
                    preempted = daemon.control.GetStats(control_pb2.GetStatsRequest()).preemptions
                    if preempted:
                        break
                report.check(f"{kind} {compute} preemptions", preempted > 0,
                             "the pool was not small enough to preempt")
            for world in (2, 4, 8):
                with Daemon(model, "--tp", str(world), *base) as daemon:
                    compare(report, f"{kind} {compute} world={world}",
                            together(daemon, requests), want)
            print(f"{kind} {compute}: {report.passed} passed, {report.failed} failed so far",
                  flush=True)
    report.close()


if __name__ == "__main__":
    main()
