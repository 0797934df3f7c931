#!/usr/bin/env python3
"""Structured output end to end: what is generated under a schema is valid under it, and thousands of
malformed schemas, patterns and grammars are refused one by one without any harm to the others.

    test_structured.py [--generations N] [--malformed N] [--rate PER_SECOND] [--window SECONDS]
"""

import argparse
import concurrent.futures
import itertools
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


QUIET, CHEAP, MALFORMED, OVER = range(4)  # what the flood does in a window


def flood(url, seed, count, rate, mode, out):
    """A process of its own, so that its work does not hold up the clients that are timed. Ends when
    it has sent count malformed requests. CHEAP ones are refused before anything is compiled."""
    rng = random.Random(seed)
    sent, wrong = 0, []
    due = time.monotonic()
    with Connection(url) as c:
        while sent < count:
            now = time.monotonic()
            due = max(due + 1 / rate, now)  # what was late is not made up for
            time.sleep(due - now)
            if mode.value == QUIET:
                continue
            is_cheap = mode.value == CHEAP
            body = {"temperature": 9} if is_cheap else malformed(rng, sent)
            status, answer = c.post(CHAT, {"messages": USER, "max_tokens": 4, **body})
            sent += not is_cheap
            if status != 400:
                wrong.append((status, json.dumps(body)[:200], str(answer)[:200]))
    out.put((sent, wrong))


def stream_on(url, seed, mode, times, failures):
    """Streams one answer after the other and keeps when its tokens came, and after how long."""
    with Connection(url) as c:
        while mode.value != OVER:
            seed += 1
            body = {"messages": USER, "max_tokens": 100, "seed": seed, "ignore_eos": True}
            try:
                came = [t for t, _ in c.stream(CHAT, body)]
            except (RuntimeError, OSError) as error:
                failures.append(str(error))
                return
            times += [(b, b - a) for a, b in zip(came[1:], came[2:])]


def floods(report, daemon, n, rate, window):
    """Four streams go on while the flood comes and goes, a window in each mode in turns, so that the
    machine's mood is in all. Reports the time between tokens; that all are refused is checked."""
    context = multiprocessing.get_context("spawn")
    mode, results = context.Value("i", QUIET, lock=False), context.Queue()
    process = context.Process(target=flood, args=(daemon.url, 1, n, rate, mode, results))
    times, failures, windows = [], [], []
    threads = [
        threading.Thread(target=stream_on, args=(daemon.url, i * 10**6, mode, times, failures))
        for i in range(4)
    ]
    for t in [process, *threads]:
        t.start()
    time.sleep(2)  # Python starts
    for turn in itertools.cycle((QUIET, CHEAP, MALFORMED)):
        if not process.is_alive():
            break
        mode.value, began = turn, time.perf_counter()
        time.sleep(window)
        windows.append((turn, began, time.perf_counter()))
    mode.value = OVER
    sent, wrong = results.get(timeout=60)
    for t in [process, *threads]:
        t.join()
    report.check("no other request fails", not failures, failures[:3])
    report.check(f"each of {sent} malformed ones is refused", not wrong, (len(wrong), wrong[:9]))
    p99 = {kind: [] for kind in (QUIET, CHEAP, MALFORMED)}
    for turn, began, ended in windows:
        gaps = [gap for at, gap in times if began <= at < ended]
        if len(gaps) > 200:
            p99[turn].append(statistics.quantiles(gaps, n=100)[98] * 1000)
    quiet, cheap, loud = (statistics.median(values) if values else 0 for values in p99.values())
    print(
        f"{sent} malformed at {rate:g}/s: p99 between tokens {quiet:.2f} ms alone, {cheap:.2f} ms "
        f"beside as many of a wrong temperature, {loud:.2f} ms beside them "
        f"(medians of {len(p99[MALFORMED])} windows of {window:g} s)"
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default=TESTS / "data/goldens/dense/checkpoint")
    parser.add_argument("--generations", type=int, default=520)
    parser.add_argument("--malformed", type=int, default=10000)
    parser.add_argument("--rate", type=float, default=500, help="of malformed requests, a second")
    parser.add_argument("--window", type=float, default=2, help="seconds")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    report = Report()
    with Daemon(options.model) as daemon:
        n_valid = generations(report, daemon, options.generations, options.seed)
        report.check("nearly all come to their end", n_valid >= 0.95 * options.generations, n_valid)
        floods(report, daemon, options.malformed, options.rate, options.window)
    report.close()


if __name__ == "__main__":
    main()
