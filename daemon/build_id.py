#!/usr/bin/env python3
"""Write the C file that says which build this is: build_id.py VERSION SOURCE_ROOT OUT_C OUT_DEPFILE.

The id is the version and a digest of all sources of the rooms that the coordinator and the worker
share, so it needs no version control and two equal trees give the same one.
"""
import hashlib
import pathlib
import sys

ROOMS = ["base", "device", "kernels", "tp", "kvcache", "moe", "model", "engine", "proto", "daemon"]
SUFFIXES = {".c", ".h", ".cu", ".proto", ".build"}


def main():
    version, root, out_c, out_depfile = sys.argv[1:]
    root = pathlib.Path(root)
    paths = sorted(path for room in ROOMS for path in (root / room).iterdir()
                   if path.suffix in SUFFIXES)
    digest = hashlib.sha256()
    for path in paths:
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    pathlib.Path(out_c).write_text(
        '#include "daemon/build_id.h"\n\n'
        f'const char build_id[] = "{version}-{digest.hexdigest()[:16]}";\n'
        f'const char build_version[] = "{version}";\n')
    names = " ".join(str(path).replace(" ", "\\ ") for path in paths)
    pathlib.Path(out_depfile).write_text(f"{out_c}: {names}\n")


if __name__ == "__main__":
    main()
