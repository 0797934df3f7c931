#!/usr/bin/env python3
"""bench_serve against gemmad itself with a small model: what both counted is the same, and the CPU
time of the coordinator and of the workers is seen.
"""
import json
import subprocess
import sys
import pathlib

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "serving"))
from daemon import BUILD, TESTS, Daemon, Report, control_pb2  # noqa: E402


def main():
    report = Report()
    checkpoint = TESTS / "data/goldens/dense/checkpoint"
    with Daemon(checkpoint, "--tp", "2") as daemon:
        out = subprocess.run(
            [BUILD / "bench/bench_serve", "--address", daemon.address, "--pid",
             str(daemon.process.pid), "-c", "8", "-n", "40", "--warmup", "8", "--lengths",
             "8..32:4..16,64:8*2", "--json", "-"], check=True, capture_output=True, timeout=240)
        figures = json.loads(out.stdout)
        stats = daemon.control.GetStats(control_pb2.GetStatsRequest())
        requests = figures["requests"]
        report.check("all went well", requests["ok"] == 40 and not requests["failed"], requests)
        report.check("no answer is short", requests["short"] == 0, requests)
        report.check("both counted the requests", stats.requests == 48, stats)
        # the warm-up's are the server's only
        report.check("both counted the prompts",
                     8 * 8 <= stats.prompt_tokens - requests["prompt_tokens"] <= 8 * 64, stats)
        report.check("both counted the answers",
                     8 * 4 <= stats.generated_tokens - requests["answer_tokens"] <= 8 * 16, stats)
        run = figures["run"]
        report.check("workers compute", run["workers_cores"] > 0, run)
        report.check("the coordinator is seen", run["coordinator_cores"] is not None, run)
    report.close()


if __name__ == "__main__":
    main()
