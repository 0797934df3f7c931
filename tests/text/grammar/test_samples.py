#!/usr/bin/env python3
"""What masks alone let a random sampler write is valid: 500 instances of the suite's schemas, judged
by the jsonschema package.

    test_samples.py SAMPLE_SCHEMAS [COUNT]
"""
import json
import os
import pathlib
import subprocess
import sys

try:
    import jsonschema
except ImportError:
    print("skipped: no jsonschema; tools/setup --tests installs what is missing")
    sys.exit(77)

SUITE = "data/json-schema/suite.jsonl"


def main():
    count = sys.argv[2] if len(sys.argv) > 2 else "500"
    lines = (pathlib.Path(os.environ["GEMMAD_TESTS_DIR"]) / SUITE).read_text().splitlines()
    schemas = {row["id"]: row["schema"] for row in map(json.loads, lines)}
    output = subprocess.run([sys.argv[1]], env=dict(os.environ, SAMPLE_SUITE=SUITE, SAMPLE_COUNT=count),
                            stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()
    samples = [json.loads(line) for line in output if line.startswith('{"id"')]
    validator = jsonschema.Draft202012Validator
    n_failed = 0
    for sample in samples:
        try:
            value = json.loads(sample["text"])
            validator(schemas[sample["id"]], format_checker=validator.FORMAT_CHECKER).validate(value)
        except (ValueError, jsonschema.ValidationError) as error:
            n_failed += 1
            print(f"{sample['id']}: {sample['text'][:300]!r}: {str(error)[:300]}")
    n_cut = sum(json.loads(line)["cut"] for line in output if line.startswith('{"cut"'))
    print(f"under {len({sample['id'] for sample in samples})} schemas; {n_cut} more came to no end")
    print(f"{len(samples) - n_failed} passed, {n_failed} failed")
    return n_failed > 0 or len(samples) != int(count)


sys.exit(main())
