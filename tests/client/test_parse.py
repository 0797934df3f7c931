#!/usr/bin/env python3
"""gemmactl parse against the vectors of tool calls and reasoning, in every way of feeding it.

Runs the built gemmactl (GEMMAD_BUILD_DIR); the standard library is enough. Ends with "N passed,
N failed".
"""
import json
import os
import pathlib
import subprocess
import sys

TESTS = pathlib.Path(__file__).resolve().parents[1]
BUILD = pathlib.Path(os.environ.get("GEMMAD_BUILD_DIR", TESTS.parent / "build"))
VECTORS = TESTS / "data" / "text-cases"
SPLITS = ["all", "1"] + [f"random:{seed}" for seed in range(20)]


def parse(text, *arguments):
    return subprocess.run([str(BUILD / "client" / "gemmactl"), "parse", *arguments], input=text,
                          capture_output=True, encoding="utf-8", timeout=60)


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def exact(text):
    """A JSON value in which integers differ from floats, and objects have an order."""
    return json.loads(text, object_pairs_hook=lambda pairs: ("object", pairs),
                      parse_int=lambda digits: ("integer", digits),
                      parse_float=lambda digits: ("float", float(digits)))


def assert_vectors(name):
    lines = (VECTORS / name).read_text().splitlines()
    inputs = [{k: v for k, v in json.loads(line).items() if k != "expect"} for line in lines]
    text = "".join(json.dumps(row) + "\n" for row in inputs)
    for split in SPLITS:
        result = parse(text, "--split", split)
        check(result.returncode == 0, result.stderr)
        rows = result.stdout.splitlines()
        check(len(rows) == len(lines), f"{len(rows)} rows of {len(lines)}")
        for line, row in zip(lines, rows):
            want = dict(exact(line)[1])
            got = dict(exact(row)[1])
            check(got.pop("id") == want["id"], row)
            check(got == dict(want["expect"][1]), f"{split}: got {row}, want {line}")


def test_tool_calls_come_out_as_the_vectors_say():
    assert_vectors("tool_calls.jsonl")


def test_reasoning_comes_out_as_the_vectors_say():
    assert_vectors("reasoning.jsonl")


def test_a_line_may_be_a_vector_itself_and_other_members_are_carried_through():
    result = parse((VECTORS / "tool_calls.jsonl").read_text())
    for row in map(json.loads, result.stdout.splitlines()):
        check({k: row[k] for k in row["expect"]} == row["expect"], row)
    result = parse('{"a":[1,{"b":1e400}],"text":"x","content":"old","n":12345678901234567890}\n')
    check(result.stdout == '{"a": [1,{"b":1e400}], "n": 12345678901234567890, "content": "x", '
          '"stream_content": "x", "tool_calls": [], "malformed": false}\n', result.stdout)


def test_a_line_that_is_no_input_is_named_and_ends_it():
    good = '{"text": "x"}\n'
    for bad, why in [("nonsense", "line 3: line 1, column 1"), ("[1]", "line 3: not an object"),
                     ("{}", "line 3: neither text nor tokens"),
                     ('{"text": "", "tokens": []}', "line 3: both text and tokens"),
                     ('{"text": null}', "line 3: text: not a string"),
                     ('{"tokens": []}', "line 3: prompt_tokens: not a list"),
                     ('{"tokens": ["a", 1], "prompt_tokens": []}', "line 3: tokens[1]: not a text"),
                     ('{"text": "\\ud800"}', "line 3: line 1")]:
        result = parse(good + "\n" + bad + "\n" + good)
        check(result.returncode == 1, f"{bad}: exit {result.returncode}")
        check(why in result.stderr, f"{bad}: {result.stderr}")
        check(len(result.stdout.splitlines()) == 1, result.stdout)


def test_a_wrong_split_is_wrong_usage():
    for split in ["", "0", "2", "random", "random:", "random:x", "all:1"]:
        result = parse("", "--split", split)
        check(result.returncode == 2 and "--split" in result.stderr, f"{split}: {result.stderr}")


def main():
    n_failed = 0
    tests = [(name, run) for name, run in globals().items() if name.startswith("test_")]
    for name, run in tests:
        try:
            run()
        except AssertionError as failure:
            n_failed += 1
            print(f"{name}: {failure}")
    print(f"{len(tests) - n_failed} passed, {n_failed} failed")
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
