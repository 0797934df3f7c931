#!/usr/bin/env python3
"""Checks the suite of schemas itself against the jsonschema package: what it calls valid is, what it
calls invalid or loose is not, and every row holds enough of both.

A row: id, category, schema, valid and invalid instances; invalid_text are texts that are no JSON, or
hide a key behind escapes. Rows of exceptions/ also have loose, instances that are invalid but that the
grammar accepts, and why.
"""
import json
import pathlib
import sys

try:
    import jsonschema
except ImportError:
    print("skipped: no jsonschema; tools/setup --tests installs what is missing")
    sys.exit(77)

HERE = pathlib.Path(__file__).parent


def formats(schema):
    """All that are named in it."""
    if isinstance(schema, list):
        return {name for part in schema for name in formats(part)}
    if not isinstance(schema, dict):
        return set()
    own = {schema["format"]} if isinstance(schema.get("format"), str) else set()
    return own | formats(list(schema.values()))


def mistakes(row):
    schema = row["schema"]
    validator_class = jsonschema.Draft202012Validator
    validator_class.check_schema(schema)
    validator = validator_class(schema, format_checker=validator_class.FORMAT_CHECKER)
    for value in row["valid"]:
        for error in validator.iter_errors(value):
            yield f"not valid: {value!r}: {error.message}"
            break
    # without its extra packages jsonschema lets pass what it cannot check
    has_checkers = (formats(schema) - {"made-up-format"}) <= set(validator_class.FORMAT_CHECKER.checkers)
    for value in row["invalid"] + row.get("loose", []):
        if has_checkers and validator.is_valid(value):
            yield f"not invalid: {value!r}"
    for text in row.get("invalid_text", []):
        try:
            if validator.is_valid(json.loads(text)):
                yield f"not invalid: {text}"
        except ValueError:
            pass
    n_invalid = len(row["invalid"]) + len(row.get("invalid_text", []) + row.get("loose", []))
    if len(row["valid"]) < 2 or n_invalid < 2:
        yield "fewer than two instances of a kind"
    if ("loose" in row) != ("why" in row):
        yield "loose and why belong together"


def main():
    n_failed = n_rows = 0
    ids = set()
    for path in sorted(HERE.rglob("*.jsonl")):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            n_rows += 1
            found = list(mistakes(row)) + ["id is not unique"] * (row["id"] in ids)
            ids.add(row["id"])
            for text in found:
                print(f"{path.name}: {row['id']}: {text}")
            n_failed += bool(found)
    print(f"{n_rows - n_failed} passed, {n_failed} failed")
    return n_failed > 0 or n_rows < 200


sys.exit(main())
