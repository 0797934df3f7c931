#!/usr/bin/env python3
"""Who may include whom: the table of style.md section 1, checked over every source file.

Prints each breach as file:line and exits 1 if there is any. Also keeps CUDA, NCCL and gRPC
headers where they belong, and files under 600 lines.
"""
import pathlib
import re
import sys

CHAIN = ["base", "device", "kernels", "tp", "kvcache", "moe", "model", "engine", "gateway", "daemon"]
ALLOWED = {room: set(CHAIN[: i + 1]) for i, room in enumerate(CHAIN)}
for room in ("text", "media"):
    ALLOWED[room] = {"base", room}
    for user in ("engine", "gateway", "daemon"):
        ALLOWED[user].add(room)
ALLOWED["proto"] = {"proto"}
ALLOWED["client"] = {"base", "text", "proto", "client"}
for user in ("gateway", "daemon"):
    ALLOWED[user].add("proto")
ANYTHING = {"tests", "bench"}
MAX_LINES = 600

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
# Package headers by prefix, and the rooms that may see them.
PACKAGES = {
    "grpc/": {"gateway", "client"},
    "microhttpd.h": {"gateway"},
    "cuda": {"device", "tp"},
    "nccl": {"tp"},
    "mpi.h": {"tp"},
    "hwloc": {"tp", "device"},
    "yaml.h": {"daemon"},
    "libav": {"media"},
    "libsw": {"media"},
    "seccomp.h": {"media"},
    "webp/": {"media"},
    "jpeglib.h": {"media"},
    "png.h": {"media"},
}


def breaches(top):
    for path in sorted(top.rglob("*.[ch]")):
        relative = path.relative_to(top)
        room = relative.parts[0]
        if room.startswith("build") or room == ".venv":
            continue
        if room not in ALLOWED and room not in ANYTHING:
            yield f"{relative}:1: {room}/ is no room of the table"
            continue
        lines = path.read_text().splitlines()
        if len(lines) > MAX_LINES:
            yield f"{relative}:{len(lines)}: over {MAX_LINES} lines: is it two concepts?"
        if room in ANYTHING:
            continue
        for number, line in enumerate(lines, 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            quote, name = match.groups()
            if quote == '"':
                target = name.split("/")[0]
                if "/" not in name:
                    yield f"{relative}:{number}: \"{name}\" does not name its room"
                elif target not in ALLOWED[room]:
                    yield f"{relative}:{number}: {room} may not include {target}"
                continue
            for prefix, rooms in PACKAGES.items():
                if name.startswith(prefix) and room not in rooms and path.suffix in (".c", ".h"):
                    yield f"{relative}:{number}: {room} may not see <{name}>"
            if path.suffix == ".h" and name.startswith(("grpc/", "cuda", "nccl")):
                yield f"{relative}:{number}: no header of ours includes <{name}>"


def main():
    top = pathlib.Path(__file__).resolve().parents[2]
    found = list(breaches(top))
    for breach in found:
        print(breach)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
