#!/usr/bin/env python3
"""bench_serve against a server that has no model (tests/client/fake_server.py) and whose answers are
known: every request and token is accounted for. Ends with "N passed, N failed".
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "client"))
from fake_server import PATIENCE, TESTS, Server, delta, finish  # noqa: E402

BUILD = pathlib.Path(os.environ.get("GEMMAD_BUILD_DIR", TESTS.parent / "build"))
BENCH = str(BUILD / "bench" / "bench_serve")


class Failure(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failure(text)


def same(got, want):
    check(got == want, f"got {got!r}, want {want!r}")


def run(*arguments, address=None):
    where = ["--address", address] if address else []
    return subprocess.run([BENCH, *where, *arguments], timeout=PATIENCE, capture_output=True,
                          encoding="utf-8")


def measure(server, *arguments, code=0):
    result = run("--json", "-", *arguments, address=server.address)
    check(result.returncode == code, f"{arguments}: exit {result.returncode}: {result.stderr}")
    return json.loads(result.stdout)


def check_times(report, name, n):
    times = report[name]
    same(times["n"], n)
    check(0 < times["p50"] <= times["p90"] <= times["p99"] <= times["max"], f"{name}: {times}")


def test_every_request_and_token_is_accounted_for():
    with Server() as s:
        report = measure(s, "-c", "3", "-n", "7", "--warmup", "0", "-l", "5:4")
        same(report["requests"], {"ok": 7, "short": 0, "failed": {}, "prompt_tokens": 35,
                                  "answer_tokens": 28, "most_at_once": 3, "most_late_ms":
                                  report["requests"]["most_late_ms"]})
        check_times(report, "ttft_ms", 7)
        check_times(report, "tpot_ms", 7)
        check_times(report, "inter_token_ms", 21)
        check_times(report, "end_to_end_ms", 7)
        same(sum(report["answer_tokens_of_second"]), 28)
        rates = report["run"]
        check(abs(rates["answer_tokens_per_second"] * rates["seconds"] - 28) < 0.01, f"{rates}")
        check(rates["coordinator_cores"] is None and rates["client_cores"] > 0, f"{rates}")


def test_requests_are_random_tokens_and_the_same_for_the_same_seed():
    def prompts(*arguments):
        with Server() as s:
            measure(s, "-n", "6", "--warmup", "0", "-l", "3..9:1..4", *arguments)
            return {tuple(r.token_ids.ids): (r.stopping.max_tokens, r.sampling.seed)
                    for r in s.inference.requests}, s.inference.requests
    first, requests = prompts("-c", "1")
    same(len(first), 6)
    check(all(p[0] == 2 and all(250 <= i < 750 for i in p[1:]) for p in first), f"{first}")
    check(len({len(p) for p in first}) > 1, "lengths vary")
    check(all(r.stopping.ignore_eos and r.response.token_ids for r in requests), "as asked")
    check(not requests[0].sampling.HasField("temperature"), "absent flags are absent fields")
    same(prompts("-c", "4")[0], first)
    same(prompts("--rate", "500")[0], first)
    check(not prompts("--seed", "1")[0].keys() & first.keys(), "another seed, other prompts")


def test_the_warm_up_is_sent_and_not_measured():
    with Server() as s:
        report = measure(s, "-c", "2", "-n", "5", "--warmup", "4", "-l", "5:4")
        same(len(s.inference.requests), 9)
        same((report["requests"]["ok"], report["requests"]["answer_tokens"]), (5, 20))
        same((report["ttft_ms"]["n"], report["inter_token_ms"]["n"]), (5, 15))


def test_failures_are_counted_by_status():
    with Server() as s:
        s.inference.token_script = "refused"
        report = measure(s, "-n", "5", "--warmup", "2", code=1)
        same(report["requests"]["failed"], {"INVALID_ARGUMENT": 5})
        same((report["requests"]["ok"], report["ttft_ms"]["n"]), (0, 0))
        result = run("-n", "1", "--warmup", "0", address=s.address)
        check("temperature=3: 0 to 2" in result.stderr, result.stderr)
        check("0 OK, 1 INVALID_ARGUMENT" in result.stdout, result.stdout)


def test_a_request_that_takes_too_long_is_ended():
    with Server() as s:
        s.inference.token_script = "endless"
        report = measure(s, "-n", "3", "-c", "3", "--warmup", "0", "--timeout", "0.3", code=1)
        same(report["requests"]["failed"], {"DEADLINE_EXCEEDED": 3})


def test_an_answer_with_too_few_tokens_is_seen():
    with Server() as s:
        s.inference.script_brief = lambda context: iter(
            [delta(0, "ab", [1, 2]), delta(0, "cde", [3, 4, 5]), finish(0)])
        s.inference.token_script = "brief"
        report = measure(s, "-n", "2", "--warmup", "0", "-l", "4:6")
        same((report["requests"]["ok"], report["requests"]["short"]), (2, 2))
        # two tokens in the first event, three gaps in the second
        same((report["ttft_ms"]["n"], report["inter_token_ms"]["n"], report["tpot_ms"]["n"]), (2, 6, 2))


def test_an_open_loop_sends_whether_or_not_answers_come():
    with Server() as s:
        s.inference.token_script = "late"
        process = subprocess.Popen([BENCH, "-a", s.address, "--rate", "200", "-n", "9", "--warmup",
                                    "0", "--json", "-"], stdout=subprocess.PIPE, encoding="utf-8")
        for _ in range(9):
            check(s.inference.begun.acquire(timeout=PATIENCE), "all are sent, none has ended")
        s.inference.cancelled.set()
        report = json.loads(process.communicate(timeout=PATIENCE)[0])
        same((report["requests"]["ok"], report["requests"]["most_at_once"]), (9, 9))
        same(report["load"]["rate"], 200)


def test_requests_of_an_open_loop_come_at_their_rate():
    with Server() as s:
        started = time.monotonic()
        report = measure(s, "--rate", "100", "-n", "100", "--warmup", "0", "-l", "3:1")
        spent = time.monotonic() - started
        # the sum of 100 exponential gaps of 10 ms, with this seed; a slow machine is only later
        check(0.7 < spent, f"{spent}")
        same(report["requests"]["ok"], 100)
        check(report["full_load"]["seconds"] > 0.7, f"{report['full_load']}")


def test_the_plot_and_the_files_are_well_formed():
    with Server() as s, tempfile.TemporaryDirectory() as folder:
        plot, figures = pathlib.Path(folder, "p.svg"), pathlib.Path(folder, "f.json")
        result = run("-n", "5", "--plot", str(plot), "--json", str(figures), address=s.address)
        same((result.returncode, result.stderr), (0, ""))
        check("TTFT" in result.stdout and "answer tokens/s" in result.stdout, result.stdout)
        same(json.loads(figures.read_text())["requests"]["ok"], 5)
        root = xml.etree.ElementTree.parse(plot).getroot()
        same(root.tag, "{http://www.w3.org/2000/svg}svg")
        texts = [element.text for element in root.iter()]
        check("Time to first token" in texts and "Throughput" in texts, f"{texts}")
        result = run("-n", "1", "--plot", "/nowhere/p.svg", address=s.address)
        same(result.returncode, 1)
        check("/nowhere/p.svg: cannot be written" in result.stderr, result.stderr)


def test_exit_codes_say_what_went_wrong():
    same(run("--rate", "x").returncode, 2)
    same(run("--address", "nonsense").returncode, 2)
    with Server() as s:
        gone = s.address
        same(run("--pid", str(2**22 + 1), address=gone).returncode, 1)
    result = run(address=gone)
    same(result.returncode, 3)
    check("cannot connect" in result.stderr, result.stderr)


def test_help_fits_a_terminal():
    result = run("--help")
    same(result.returncode, 0)
    check("Examples" in result.stdout and "TTFT" in result.stdout, result.stdout)
    check(max(map(len, result.stdout.splitlines())) <= 90, "lines are short")


def main():
    wanted = sys.argv[1:]
    passed = failed = 0
    for name, test in list(globals().items()):
        if not name.startswith("test_") or (wanted and not any(w in name for w in wanted)):
            continue
        try:
            test()
            passed += 1
        except (Failure, subprocess.TimeoutExpired, ValueError, KeyError) as failure:
            failed += 1
            print(f"FAILED {name[5:]}: {failure!r}", flush=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
