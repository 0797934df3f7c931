#!/usr/bin/env python3
"""Writes C that holds files as constants: embed_text.py OUT.c HEADER NAME=FILE ...

Each NAME becomes `const char NAME[]` (with a NUL behind) and `const size_t NAME_length`, which
HEADER declares.
"""
import sys


def main():
    out, header, *pairs = sys.argv[1:]
    with open(out, "w") as c:
        c.write(f'#include "{header}"\n')
        for pair in pairs:
            name, path = pair.split("=", 1)
            data = open(path, "rb").read()
            c.write(f"\nconst char {name}[] = {{\n")
            for at in range(0, len(data), 20):
                c.write("".join(f"{b}," for b in data[at:at + 20]) + "\n")
            c.write(f"0}};\nconst size_t {name}_length = {len(data)};\n")


if __name__ == "__main__":
    sys.exit(main())
