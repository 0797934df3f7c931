#!/usr/bin/env python3
"""The daemon as its user and its machine meet it: start, stop, signals, deaths, wrong configuration.

Runs the built gemmad, gemmad-worker and gemmactl (GEMMAD_BUILD_DIR) on the tiny MoE checkpoint.
Needs nothing but Python's own library. Ends with "N passed, N failed".
"""
import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

TESTS = pathlib.Path(os.environ.get("GEMMAD_TESTS_DIR", pathlib.Path(__file__).parents[1]))
BUILD = pathlib.Path(os.environ.get("GEMMAD_BUILD_DIR", TESTS.parent / "build"))
GEMMAD = str(BUILD / "daemon" / "gemmad")
GEMMACTL = str(BUILD / "client" / "gemmactl")
MODEL = str(TESTS / "data" / "goldens" / "moe" / "checkpoint")
PATIENCE = 120  # seconds, for sanitizer builds on a busy machine


class Failure(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failure(text)


def eventually(condition, text, seconds=PATIENCE):
    """Waits until condition() is true; a state that others bring about is polled."""
    deadline = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < deadline, f"not in {seconds} s: {text}")
        time.sleep(0.02)


class Daemon:
    """with Daemon("--tp", "2") as d: a running gemmad, ready."""

    def __init__(self, *arguments, listen="127.0.0.1:0", model=MODEL):
        self.log_file = tempfile.NamedTemporaryFile("w+", prefix="gemmad-log-", suffix=".txt")
        read, write = os.pipe()
        self.process = subprocess.Popen(
            [GEMMAD, *([model] if model else []), "--listen", listen, "--http-listen",
             "off", "--ready-fd", str(write), "--max-context", "8192", *arguments],
            pass_fds=[write], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=self.log_file)
        os.close(write)
        ready, _, _ = select.select([read], [], [], PATIENCE)
        with os.fdopen(read) as lines:
            self.address = lines.readline().strip() if ready else ""
        if not self.address:
            self.process.kill()
            self.process.wait()
            raise Failure(f"gemmad did not start:\n{self.log()}")

    def log(self):
        return pathlib.Path(self.log_file.name).read_text()

    def workers(self):
        """Living workers that this coordinator started last, by pid."""
        pids = re.findall(r" worker_start worker=\d+ pid=(\d+)", self.log())
        return [int(pid) for pid in pids if alive(int(pid))]

    def ctl(self, *arguments, timeout=PATIENCE):
        return subprocess.run([GEMMACTL, "--address", self.address, *arguments], timeout=timeout,
                              capture_output=True, text=True)

    def stream(self, n_tokens):
        """A generate of many sequences that is running: the process, once its first text came."""
        process = subprocess.Popen(
            [GEMMACTL, "--address", self.address, "generate", "--json", "--n", "16",
             "--ignore-eos", "--max-tokens", str(n_tokens), "a b c"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        ready, _, _ = select.select([process.stdout], [], [], PATIENCE)
        check(ready and process.stdout.read(1), "no text came")
        return process

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        eventually(lambda: not self.workers(), "workers ended")
        self.log_file.close()


def alive(pid):
    """Whether there is such a process, and it is more than a zombie."""
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def fails_to_start(*arguments, config=None):
    """What a gemmad that cannot start says, and its exit code."""
    with tempfile.TemporaryDirectory() as folder:
        if config is not None:
            path = pathlib.Path(folder) / "g.yaml"
            path.write_text(config)
            arguments = ("--config", str(path), *arguments)
        run = subprocess.run([GEMMAD, "--listen", "127.0.0.1:0", "--http-listen", "off", *arguments], timeout=PATIENCE,
                             capture_output=True, text=True)
        return run.returncode, run.stderr.replace(folder + "/", "")


def test_a_daemon_starts_answers_and_stops_at_sigterm():
    with Daemon("--tp", "2") as d:
        check(len(d.workers()) == 2, "two workers")
        answer = d.ctl("generate", "--max-tokens", "5", "--temperature", "0", "hello")
        check(answer.returncode == 0, answer.stderr)
        check(d.ctl("status").returncode == 0, "status")
        workers = d.workers()
        d.process.send_signal(signal.SIGTERM)
        check(d.process.wait(PATIENCE) == 0, f"exit code {d.process.returncode}\n{d.log()}")
        check(not any(map(alive, workers)), "workers are gone with the coordinator")


def test_the_default_model_is_served_without_a_model_dir():
    with Daemon(model=None) as d:
        check(d.ctl("generate", "--max-tokens", "3", "hello").returncode == 0, "generate")


def test_with_a_file_of_keys_only_their_owners_call():
    made = subprocess.run([GEMMACTL, "key", "alice"], capture_output=True, text=True, check=True)
    key, line = made.stdout.splitlines()
    with tempfile.NamedTemporaryFile("w") as keys:
        keys.write(f"# of the test\n{line}\n")
        keys.flush()
        with Daemon("--api-keys-file", keys.name) as d:
            refused = d.ctl("status")
            check(refused.returncode == 1 and "UNAUTHENTICATED" in refused.stderr, refused.stderr)
            check(d.ctl("wait").returncode == 0, "health needs no key")
            check(d.ctl("--api-key", key, "status").returncode == 0, "the key opens")
            check(key not in d.log(), "no key in the log")


def test_wrong_files_of_keys_are_refused():
    code, text = fails_to_start(config="api_keys_file: none.txt\n")
    check(code == 64 and "none.txt" in text, text)
    with tempfile.NamedTemporaryFile("w") as keys:
        keys.write("alice:secret\n")
        keys.flush()
        code, text = fails_to_start("--check", "--api-keys-file", keys.name)
        check(code == 64 and ":1: want sha256:" in text and "secret" not in text, text)


def test_an_open_address_without_keys_is_logged():
    with Daemon(listen="0.0.0.0:0") as d:
        check("open address=0.0.0.0:0 api_keys_file=none" in d.log(), d.log())
    with Daemon() as d:
        check("api_keys_file" not in d.log(), d.log())


def test_port_0_is_said_as_a_number():
    with Daemon() as d:
        check(re.fullmatch(r"127\.0\.0\.1:[1-9]\d*", d.address), d.address)
        check(f" ready address={d.address}" in d.log(), "a log line says it too")


def test_a_unix_socket_is_served():
    with tempfile.TemporaryDirectory() as folder:
        with Daemon(listen=f"unix:{folder}/s") as d:
            check(d.address == f"unix:{folder}/s", d.address)
            check(d.ctl("generate", "--max-tokens", "3", "hello").returncode == 0, "generate")


def test_two_listeners_serve_the_same():
    with tempfile.TemporaryDirectory() as folder:
        with Daemon("--listen", f"unix:{folder}/s") as d:
            for address in (d.address, f"unix:{folder}/s"):
                run = subprocess.run([GEMMACTL, "--address", address, "status"], timeout=PATIENCE,
                                     capture_output=True, text=True)
                check(run.returncode == 0, run.stderr)


def test_sigterm_lets_a_running_stream_finish():
    with Daemon("--drain-timeout", "10m") as d:
        stream = d.stream(500)
        d.process.send_signal(signal.SIGTERM)
        eventually(lambda: " drain " in d.log(), "the drain is logged")
        refused = d.ctl("generate", "--max-tokens", "3", "hello")
        check(refused.returncode != 0, "a new request is refused while draining")
        out, err = stream.communicate(timeout=PATIENCE)
        check(stream.returncode == 0, err)
        check(d.process.wait(PATIENCE) == 0, "exit code")


def test_a_second_sigterm_stops_at_once():
    with Daemon("--drain-timeout", "10m", "--tp", "2") as d:
        stream = d.stream(8000)
        d.process.send_signal(signal.SIGTERM)
        eventually(lambda: " drain " in d.log(), "the drain is logged")
        started = time.monotonic()
        d.process.send_signal(signal.SIGTERM)
        d.process.wait(PATIENCE)
        check(time.monotonic() - started < 4, "it stopped at once, not killing its workers")
        check("killed by signal" not in d.log(), d.log())
        stream.communicate(timeout=PATIENCE)
        check(stream.returncode != 0, "the stream was cut")


def test_a_drain_that_takes_too_long_is_cut():
    with Daemon("--drain-timeout", "100ms") as d:
        stream = d.stream(8000)
        d.process.send_signal(signal.SIGTERM)
        d.process.wait(PATIENCE)
        stream.communicate(timeout=PATIENCE)
        check(stream.returncode != 0, "the stream was cut")


def test_a_killed_worker_fails_its_requests_and_the_group_recovers():
    with Daemon("--tp", "2") as d:
        stream = d.stream(8000)
        before = d.workers()
        os.kill(before[1], signal.SIGKILL)
        _, err = stream.communicate(timeout=PATIENCE)
        check(stream.returncode != 0 and b"UNAVAILABLE" in err, err)
        check(d.ctl("wait").returncode == 0, "it serves again")
        after = d.workers()
        check(len(after) == 2 and not set(after) & set(before), f"{before} -> {after}")
        answer = d.ctl("generate", "--max-tokens", "5", "hello")
        check(answer.returncode == 0, answer.stderr)
        check("was killed by signal 9" in d.log(), "the log says why")


def test_workers_that_die_too_often_end_the_daemon():
    with Daemon("--max-restarts", "1") as d:
        killed = set()  # may count as alive for a moment
        for _ in range(2):
            eventually(lambda: set(d.workers()) - killed and d.ctl("wait").returncode == 0,
                       "it serves")
            pid = (set(d.workers()) - killed).pop()
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        check(d.process.wait(PATIENCE) != 0, "the exit code is not 0")
        check("the workers died 2 times" in d.log(), d.log())


def test_no_worker_outlives_a_killed_coordinator():
    with Daemon("--tp", "4") as d:
        workers = d.workers()
        check(len(workers) == 4, f"{workers}")
        d.process.kill()
        d.process.wait()
        eventually(lambda: not any(map(alive, workers)), "workers ended", 10)


def test_no_worker_outlives_a_coordinator_that_is_killed_while_loading():
    with tempfile.NamedTemporaryFile("w+") as log:
        process = subprocess.Popen([GEMMAD, MODEL, "--tp", "4", "--listen", "127.0.0.1:0",
                                    "--http-listen", "off"],
                                   stderr=log)
        pids = []
        def started():
            pids[:] = re.findall(r" worker_start worker=\d+ pid=(\d+)",
                                 pathlib.Path(log.name).read_text())
            return pids
        eventually(started, "a worker is started")
        process.kill()
        process.wait()
        eventually(lambda: not any(alive(int(pid)) for pid in started()), "workers ended", 10)


def test_sigusr1_logs_the_state_of_all():
    with Daemon("--tp", "2") as d:
        d.process.send_signal(signal.SIGUSR1)
        for line in (" state ", " worker worker=1 ", "worker_state state=serving rank=1"):
            eventually(lambda: line in d.log(), f"{line!r} in the log")


def test_a_worker_cannot_be_started_by_hand():
    run = subprocess.run([str(BUILD / "daemon" / "gemmad-worker")], capture_output=True, text=True)
    check(run.returncode == 64 and "gemmad" in run.stderr, run.stderr)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        run = subprocess.run(
            [str(BUILD / "daemon" / "gemmad-worker"), "--control-fd", str(theirs.fileno()),
             "--rank", "0", "--parent", "1"], pass_fds=[theirs.fileno()], timeout=PATIENCE)
        check(run.returncode == 68, "a wrong parent is an orphan")


def test_wrong_configuration_is_said_with_its_place():
    for arguments, config, message in (
            (["--max-seq", "3"], None, "unknown flag --max-seq; did you mean --max-seqs?"),
            ([], "tp: 2\nlissten: a:1\n", 'g.yaml:2:1: unknown key "lissten"; did you mean "listen"?'),
            ([], "tp: 5\n", "g.yaml:1:5: tp: "),
            (["/nonexistent"], None, "/nonexistent"),
            ([MODEL, "--max-context", "9000"], None, "max_context=9000"),
            ([MODEL, "--chat-template", "/nonexistent.jinja"], None, "/nonexistent.jinja"),
    ):
        code, said = fails_to_start(*arguments, config=config)
        check(code not in (0, -6, -11) and message in said, f"{arguments}: {code} {said}")


def test_a_model_that_does_not_fit_is_said_before_loading():
    code, said = fails_to_start(MODEL, "--kv-memory", "900TiB")
    check(code != 0 and "does not fit" in said, said)
    check("worker_start" not in said, "no worker was started")


def test_a_port_in_use_is_said():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        run = subprocess.run([GEMMAD, MODEL, "--listen", address, "--http-listen", "off"], timeout=PATIENCE,
                             capture_output=True, text=True)
        check(run.returncode != 0 and address in run.stderr, run.stderr)


def test_http_is_where_it_was_asked_for():
    with Daemon("--http-listen", "127.0.0.1:0") as d:
        found = re.search(r" ready address=http://(127\.0\.0\.1:\d+)", d.log())
        check(found, d.log())
        with urllib.request.urlopen(f"http://{found[1]}/ready", timeout=PATIENCE) as answer:
            check(answer.status == 200, answer.status)
        said = subprocess.run([GEMMAD, MODEL, "--listen", "127.0.0.1:0", "--http-listen", found[1]],
                              timeout=PATIENCE, capture_output=True, text=True)
        check(said.returncode != 0 and f"HTTP address {found[1]}: " in said.stderr, said.stderr)
    with Daemon() as d:
        check("http://" not in d.log(), d.log())


def test_check_prints_the_plan_and_starts_nothing():
    run = subprocess.run([GEMMAD, MODEL, "--tp", "2", "--check"], timeout=PATIENCE,
                         capture_output=True, text=True)
    check(run.returncode == 0, run.stderr)
    check("weights" in run.stdout and "worker_start" not in run.stderr, run.stdout + run.stderr)


def test_packed_weights_are_kept_and_mapped_by_the_next_start():
    with tempfile.TemporaryDirectory() as folder:
        answers = []
        for state, count in (("saved", 3), ("mapped", 4)):  # each rank's, and the encoders'
            with Daemon("--tp", "2", "--weights", "int4", "--weights-cache", folder) as d:
                eventually(lambda: d.log().count(f"state={state} ") >= count, f"state={state}")
                answer = d.ctl("generate", "--max-tokens", "8", "--temperature", "0", "hello")
                check(answer.returncode == 0, answer.stderr)
                answers.append(answer.stdout)
        check(answers[0] == answers[1], f"the same answer: {answers}")
        files = sorted(path.name for path in pathlib.Path(folder).glob("*/*"))
        check([name.split("-")[0] for name in files] == ["encoders", "int4", "int4"], str(files))


def test_a_cache_that_cannot_be_written_is_said_and_served_without():
    with Daemon("--weights-cache", "/dev/null/no") as d:
        eventually(lambda: "state=not_saved" in d.log(), "state=not_saved")
        check(d.log().count("warn daemon weights_cache") == 2, d.log())  # and the encoders'
        check(d.ctl("generate", "--max-tokens", "2", "hello").returncode == 0, "it answers")


def test_help_and_version():
    for flag, text in (("--help", "--max-seqs"), ("--version", "gemmad ")):
        run = subprocess.run([GEMMAD, flag], capture_output=True, text=True)
        check(run.returncode == 0 and text in run.stdout, run.stdout + run.stderr)


def main():
    wanted = sys.argv[1:]
    passed = failed = 0
    for name, test in list(globals().items()):
        if not name.startswith("test_") or (wanted and not any(w in name for w in wanted)):
            continue
        started = time.monotonic()
        try:
            test()
            passed += 1
            print(f"ok {name[5:]} ({time.monotonic() - started:.1f} s)", flush=True)
        except (Failure, subprocess.TimeoutExpired) as failure:
            failed += 1
            print(f"FAILED {name[5:]}: {failure}", flush=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
