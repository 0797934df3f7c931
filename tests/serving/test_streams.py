#!/usr/bin/env python3
"""64 streams at once with a third of them cancelled somewhere, by a client with generated stubs and by
one that has only reflection: the others get every token, and every page comes back.
"""
import sys

from daemon import TESTS, Daemon, Report
from streams import reflected_generate, stream_and_cancel


def main():
    kinds = sys.argv[1:] or ["dense", "moe", "ple"]
    report = Report()
    for kind in kinds:
        with Daemon(TESTS / "data/goldens" / kind / "checkpoint", "--tp", "2") as daemon:
            for seed in range(2):
                stream_and_cancel(report, daemon, daemon.inference.Generate, seed)
            stream_and_cancel(report, daemon, reflected_generate(report, daemon), 2)
    report.close()


if __name__ == "__main__":
    main()
