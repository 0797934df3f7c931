#!/usr/bin/env python3
"""Runs every example of docs/api.md against a daemon: fenced blocks of sh and python, in order. What a
reader would have to change is put in place of the addresses and the model's name. Each must end
with status 0 and print something, and none may print an error.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import daemon as daemon_module
from daemon import BUILD, TESTS, Daemon, pb
from report import Report, need

need("openai")

DOCS = TESTS.parent / "docs/api.md"
GRPC, HTTP, MODEL = "127.0.0.1:8431", "127.0.0.1:8432", "gemma-4-E2B-it"


def blocks():
    """(line, language, code) of each block that names sh or python."""
    text = DOCS.read_text()
    for found in re.finditer(r"^```(sh|python)\n(.*?)^```$", text, re.M | re.S):
        yield text.count("\n", 0, found.start()) + 1, found[1], found[2]


def tools_folder(folder):
    """Programs that the examples name: ours, the Python that has the packages, a stand-in for grpcurl."""
    (folder / "gemmactl").symlink_to(BUILD / "client/gemmactl")
    for name, script in (("python3", ""), ("grpcurl", TESTS / "serving/reflected_call.py")):
        (folder / name).write_text(f'#!/bin/sh\nexec {sys.executable} {script} "$@"\n')
        (folder / name).chmod(0o755)


def run(language, code, environment, folder):
    command = [sys.executable, "-"] if language == "python" else ["bash", "-euo", "pipefail"]
    return subprocess.run(
        command,
        input=code,
        text=True,
        capture_output=True,
        env=environment,
        cwd=folder,
        timeout=300,
    )


def main():
    if not shutil.which("curl"):
        print("skipped: no curl; tools/setup --tests installs it")
        sys.exit(77)
    report = Report()
    with tempfile.TemporaryDirectory(prefix="gemmad-docs-") as made:
        folder = pathlib.Path(made)
        tools_folder(folder)
        shutil.copytree(daemon_module.PROTO, folder / "proto")
        with Daemon(TESTS / "data/goldens/dense/checkpoint") as daemon:
            environment = {
                **os.environ,
                "PATH": f"{folder}:{os.environ['PATH']}",
                "GEMMAD_ADDRESS": daemon.address,
            }
            model = daemon.inference.GetModelInfo(pb.GetModelInfoRequest()).model
            for line, language, code in blocks():
                for word, real in (
                    (GRPC, daemon.address),
                    (HTTP, daemon.url.removeprefix("http://")),
                    (MODEL, model),
                ):
                    code = code.replace(word, real)
                done = run(language, code, environment, folder)
                report.check(
                    f"docs/api.md:{line}",
                    done.returncode == 0
                    and done.stdout.strip() != ""
                    and '"error"' not in done.stdout,
                    (code, done.stdout[-1000:], done.stderr[-2000:]),
                )
    report.check("there are examples", report.passed + report.failed > 15)
    report.close()


if __name__ == "__main__":
    main()
