#!/usr/bin/env python3
"""Structured output end to end: what is generated under a schema is valid under it, and thousands of
malformed schemas, patterns and grammars are refused one by one without any harm to the others.

    test_structured.py [--generations N] [--malformed N] [--rate PER_SECOND]
"""

import argparse
import concurrent.futures
import json
import multiprocessing
import random
import statistics
import threading
import time

from daemon import TESTS, Daemon
from plain_http import Connection
from random_schemas import random_schema
from report import Report, need

need("jsonschema")
import jsonschema  # noqa: E402

CHAT = "/v1/chat/completions"
USER = [{"role": "user", "content": "Go."}]
N_AT_ONCE = 16


def suite_schemas():
    """Those of tests/data/json-schema."""
    return [
        json.loads(line)["schema"]
        for path in sorted((TESTS / "data/json-schema").glob("*.jsonl"))
        for line in path.read_text().splitlines()
    ]


def is_valid(text, schema):
    validator = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        validator(schema, format_checker=validator.FORMAT_CHECKER).validate(json.loads(text))
    except (ValueError, jsonschema.ValidationError) as error:
        return False, str(error)[:300]
    return True, ""


def generations(report, daemon, n, seed):
    """n answers under random schemas, half of them from the suite. A bias on what ends things, and a
    penalty on endless digits, make an instance end in the tokens that there are; the rest is chance."""
    rng = random.Random(seed)
    suite = suite_schemas()
    with Connection(daemon.url) as c:
        ids = [
            c.post("/tokenize", {"prompt": text, "add_special_tokens": False})[1]["tokens"]
            for text in ('"', "}", "]", "<turn|>")
        ]
    bias = {str(i[0]): 9 for i in ids}
    jobs = [(rng.choice(suite) if suite and i % 2 else random_schema(rng), i) for i in range(n)]
    lock = threading.Lock()
    counts = {"valid": 0, "cut": 0, "refused": 0}

    def one(job):
        schema, i = job
        with Connection(daemon.url) as c:
            status, answer = c.post(
                CHAT,
                {
                    "messages": USER,
                    "max_tokens": 2000,
                    "seed": i,
                    "logit_bias": bias,
                    "frequency_penalty": 0.5,
                    "response_format": {
                        "type": "json_schema",
                        "json_schema": {"name": "s", "schema": schema, "strict": True},
                    },
                },
            )
        if status != 200:
            kind, ok = "refused", status == 400 and "schema" in answer["error"]["message"]
            why = answer
        elif answer["choices"][0]["finish_reason"] == "length":
            kind, ok, why = "cut", True, ""
        else:
            kind = "valid"
            text = answer["choices"][0]["message"]["content"]
            ok, why = is_valid(text, schema)
            why = (why, text[:300])
        with lock:
            counts[kind] += 1
            report.check(
                "what is generated under a schema is valid", ok, (json.dumps(schema)[:600], why)
            )

    with concurrent.futures.ThreadPoolExecutor(N_AT_ONCE) as pool:
        list(pool.map(one, jobs))
    print(f"{n} generations (seed {seed}): {counts}")
    return counts["valid"]


def nested(n):
    schema = {"type": "integer"}
    for _ in range(n):
        schema = {"type": "array", "items": schema}
    return schema


BAD_SCHEMAS = [
    {"type": "nothing"},
    {"type": 5},
    {"properties": []},
    {"required": "a"},
    {"pattern": "("},
    {"enum": {}},
    {"enum": []},
    {"minLength": -1},
    {"minLength": "x"},
    {"$ref": "#/nowhere"},
    {"$ref": 7},
    {"items": 3},
    {"anyOf": {}},
    {"allOf": [1]},
    {"type": "string", "pattern": "[z-a]"},
    {"type": "integer", "multipleOf": 0},
    {"additionalProperties": 1},
    {"not": {"type": "string"}},
    {"if": True, "then": False},
    {"unevaluatedProperties": False},
    "text",
    7,
    [],
    nested(400),
    {"type": "string", "minLength": 10**12},
]
BAD_REGEXES = [
    "(",
    "a)",
    "[",
    "[z-a]",
    "a{5,2}",
    "*a",
    "a**+",
    "(?=x)",
    "(?<!x)y",
    "\\1",
    "\\k<a>",
    "a{1000000000}",
    "\\",
    "(" * 5000 + ")" * 5000,
    "\\x{110000}",
    "(?P<n",
    "[[:nope:]]",
]
BAD_GRAMMARS = [
    "",
    "start",
    "start: missing",
    'start: "open',
    "start: /[/",
    "start: (",
    'start: "a" |* "b"',
    'root ::= "a',
    "root ::= nope",
    "root ::= [z-a]",
    "start: <[99999999]>",
    "start: %json {",
    'start: "a"{5,2}',
    "start: " + "(" * 5000,
    "a: b\nb: a",
    "\x00\x01",
    "start: /(?=a)/",
    'root ::= "a"{1000000000}',
]


def malformed(rng, i):
    """A body that must be refused, the i-th of its kind."""
    kind = rng.randrange(3)
    if kind == 0:
        schema = rng.choice(BAD_SCHEMAS)
        if rng.random() < 0.5:  # under something good, with a name that makes it new to any cache
            schema = {"type": "object", "properties": {f"p{i}": schema}, "required": [f"p{i}"]}
        return {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "s", "schema": schema, "strict": True},
            }
        }
    if kind == 1:
        text = rng.choice(BAD_REGEXES)
        return {"structured_outputs": {"regex": text + (f"k{i}" if rng.random() < 0.5 else "")}}
    text = rng.choice(BAD_GRAMMARS)
    return {"structured_outputs": {"grammar": text + (f"\n# {i}" if rng.random() < 0.5 else "")}}


def flood(url, seed, start, count, rate, out):
    """A process of its own, so that its work does not hold up the clients that are timed."""
    rng = random.Random(seed)
    wrong = []
    began = time.monotonic()
    with Connection(url) as c:
        for i in range(count):
            time.sleep(max(0.0, began + i / rate - time.monotonic()))
            body = malformed(rng, start + i)
            status, answer = c.post(CHAT, {"messages": USER, "max_tokens": 4, **body})
            if status != 400:
                wrong.append((status, json.dumps(body)[:200], str(answer)[:200]))
    out.put((count, wrong, time.monotonic() - began))


def gaps_until(url, seed, over, gaps, failures):
    """Streams one answer after the other and keeps the times between their tokens."""
    with Connection(url) as c:
        while not over.is_set():
            seed += 1
            try:
                times = [
                    t
                    for t, _ in c.stream(
                        CHAT,
                        {"messages": USER, "max_tokens": 100, "seed": seed, "ignore_eos": True},
                    )
                ]
            except (RuntimeError, OSError) as error:
                failures.append(str(error))
                return
            gaps += [b - a for a, b in zip(times[1:], times[2:])]


def phase(report, daemon, seed, work):
    """p99 of the time between tokens of 4 streams while work() runs."""
    gaps, failures, over = [], [], threading.Event()
    threads = [
        threading.Thread(
            target=gaps_until, args=(daemon.url, seed * 10**6 + i * 10**4, over, gaps, failures)
        )
        for i in range(4)
    ]
    for t in threads:
        t.start()
    work()
    over.set()
    for t in threads:
        t.join()
    report.check("no other request fails", not failures, failures[:3])
    return statistics.quantiles(gaps, n=100)[98] * 1000


def floods(report, daemon, n, rate, n_pairs=5):
    """Phases with and without the flood take turns, so that the machine's mood is in both."""
    context = multiprocessing.get_context("spawn")
    quiet, loud, seconds = [], [], 0.0
    for i in range(n_pairs):
        count = n // n_pairs
        results = context.Queue()

        def work():
            process = context.Process(
                target=flood, args=(daemon.url, i, i * count, count, rate, results)
            )
            process.start()
            process.join()

        loud.append(phase(report, daemon, 2 * i, work))
        sent, wrong, seconds = results.get()
        report.check(
            f"each of {sent} malformed ones is refused", not wrong, (len(wrong), wrong[:3])
        )
        quiet.append(phase(report, daemon, 2 * i + 1, lambda: time.sleep(seconds)))
    ratio = statistics.median(loud) / statistics.median(quiet)
    print(
        f"{n} malformed at {n / n_pairs / seconds:.0f}/s: p99 between tokens {statistics.median(quiet):.2f} ms alone, "
        f"{statistics.median(loud):.2f} ms beside them, {ratio:.3f} times (medians of {n_pairs})"
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--generations", type=int, default=520)
    parser.add_argument("--malformed", type=int, default=10000)
    parser.add_argument("--rate", type=float, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    report = Report()
    with Daemon(TESTS / "data/goldens/dense/checkpoint") as daemon:
        n_valid = generations(report, daemon, options.generations, options.seed)
        report.check("nearly all come to their end", n_valid >= 0.95 * options.generations, n_valid)
        floods(report, daemon, options.malformed, options.rate)
    report.close()


if __name__ == "__main__":
    main()
