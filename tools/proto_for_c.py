#!/usr/bin/env python3
"""Rewrites a published proto3 file for protobuf-c 1.4, which knows neither proto3's `optional` nor
strings that contain NUL. The wire format stays the same.

    proto_for_c.py IN OUT

- proto2 with every singular field `optional`: presence is a has_ member;
- `string` becomes `bytes`: texts carry their length;
- repeated numbers are packed, as proto3 packs them;
- imported files lie in the same folder, by their last name.
"""
import re
import sys

FIELD = re.compile(r"^(\s*)(optional |repeated )?([\w.]+|map<.*>) (\w+) = (\d+);(.*)$")
PACKABLE = {"uint32", "int32", "uint64", "int64", "float", "double", "bool"}


def main(source, target):
    lines, in_oneof = [], False
    for line in open(source):
        line = line.rstrip("\n").replace('syntax = "proto3"', 'syntax = "proto2"')
        match = FIELD.match(line)
        line = re.sub(r'^import ".*/', 'import "', line)
        if line.strip().startswith("oneof "):
            in_oneof = True
        elif line.strip() == "}":
            in_oneof = False
        elif match and match[3] not in ("option", "package"):
            indent, label, kind, name, number, rest = match.groups()
            label = label or ("" if in_oneof or kind.startswith("map<") else "optional ")
            kind = "bytes" if kind == "string" else kind
            options = " [packed = true]" if label == "repeated " and kind in PACKABLE else ""
            line = f"{indent}{label}{kind} {name} = {number}{options};{rest}"
        lines.append(line)
    with open(target, "w") as out:
        out.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:3])
