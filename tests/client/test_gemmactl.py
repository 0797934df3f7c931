#!/usr/bin/env python3
"""gemmactl as its user meets it, against a server that has no model (fake_server.py).

Runs the built gemmactl (GEMMAD_BUILD_DIR). Needs grpcio and grpcio-tools: run by the Python of
.venv (tools/setup --tests). Ends with "N passed, N failed".
"""
import hashlib
import json
import os
import pathlib
import pty
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time

from fake_server import PATIENCE, TESTS, Server, pb

BUILD = pathlib.Path(os.environ.get("GEMMAD_BUILD_DIR", TESTS.parent / "build"))
GEMMACTL = str(BUILD / "client" / "gemmactl")
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("GEMMAD_ADDRESS", "GEMMAD_API_KEY")}


class Failure(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failure(text)


def same(got, want):
    check(got == want, f"got {got!r}, want {want!r}")


def run(*arguments, address=None, stdin="", env=None):
    where = ["--address", address] if address else []
    return subprocess.run([GEMMACTL, *where, *arguments], input=stdin, timeout=PATIENCE,
                          capture_output=True, encoding="utf-8",
                          env={**ENVIRONMENT, **(env or {})})


def ok(server, *arguments, stdin=""):
    result = run(*arguments, address=server.address, stdin=stdin)
    check(result.returncode == 0, f"{arguments}: exit {result.returncode}: {result.stderr}")
    return result.stdout


def free_address():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return "127.0.0.1:%d" % taken.getsockname()[1]


def read_until(fd, text):
    """What comes out of a terminal or pipe until text is in it."""
    seen = b""
    while text not in seen:
        ready, _, _ = select.select([fd], [], [], PATIENCE)
        check(ready, f"{text!r} did not come after {seen!r}")
        part = os.read(fd, 4096)
        check(part, f"it ended after {seen!r}")
        seen += part
    return seen.decode()


def test_generate_streams_text_as_it_is():
    with Server() as s:
        same(ok(s, "generate", "Grüße, 世界 🙂"), "Grüße, 世界 🙂 ")
        request = s.inference.requests[0]
        same(request.text, "Grüße, 世界 🙂")
        check(not request.sampling.HasField("temperature"), "absent flags are absent fields")
        check(not request.stopping.HasField("max_tokens"), "absent flags are absent fields")


def test_generate_reads_a_file_and_standard_input():
    with Server() as s, tempfile.NamedTemporaryFile("w") as file:
        file.write("from a file\n")
        file.flush()
        ok(s, "generate", "-f", file.name)
        ok(s, "generate", stdin="from stdin")
        ok(s, "generate", "-", stdin="dash")
        ok(s, "generate", "--", "--not-a-flag")
        same([r.text for r in s.inference.requests],
             ["from a file\n", "from stdin", "dash", "--not-a-flag"])


def test_each_flag_of_generate_sets_its_field():
    with Server() as s:
        ok(s, "generate", "--temperature", "0.5", "--top-p", "0.25", "--min-p=0.125", "--top-k",
           "-1", "--repetition-penalty", "1.5", "--frequency-penalty", "-2", "--presence-penalty",
           "1", "--seed", "18446744073709551615", "--logit-bias", "5=-1.5", "--logit-bias", "9=2",
           "--n", "2", "--max-tokens", "7", "--min-tokens", "1", "--stop", "a", "--stop", "ö",
           "--stop-token-id", "3,4", "--stop-token-id", "5", "--ignore-eos", "--include-stop",
           "--time-limit-ms", "900", "--json", "--logprobs", "2", "--prompt-logprobs", "-1",
           "--return-token-ids", "--return-prompt-token-ids", "--no-text", "--show-special",
           "--priority", "-3", "--request-id", "r1", "--cache-salt", "salt", "hello")
        want = pb.GenerateRequest(
            request_id="r1", text="hello", priority=-3, cache_salt="salt",
            sampling=pb.Sampling(
                temperature=0.5, top_p=0.25, min_p=0.125, top_k=-1, repetition_penalty=1.5,
                frequency_penalty=-2, presence_penalty=1, seed=2**64 - 1,
                logit_bias={5: -1.5, 9: 2}, n=2),
            stopping=pb.Stopping(max_tokens=7, min_tokens=1, stop=["a", "ö"],
                                 stop_token_ids=[3, 4, 5], ignore_eos=True, include_stop=True,
                                 time_limit_ms=900),
            response=pb.ResponseOptions(text=False, token_ids=True, logprobs=2,
                                        prompt_logprobs=-1, prompt_token_ids=True,
                                        skip_special_tokens=False))
        same(s.inference.requests[0], want)


def test_generate_takes_tokens_and_conversations():
    chat = '{"messages": [{"role": "user", "content": "Hi"}]}'
    with Server() as s, tempfile.NamedTemporaryFile("w") as file:
        file.write(chat)
        file.flush()
        ok(s, "generate", "--token-ids", "2,1059,10")
        ok(s, "generate", "--chat-json", chat)
        ok(s, "generate", "--chat-json", file.name)
        ids, text, from_file = s.inference.requests
        same(list(ids.token_ids.ids), [2, 1059, 10])
        same(text.chat_json, chat)
        same(from_file.chat_json, chat)


def test_json_is_one_object_for_each_event():
    with Server() as s:
        lines = [json.loads(line) for line in
                 ok(s, "generate", "--json", "--prompt-logprobs", "1", "a b").splitlines()]
        same(lines[0], {"prompt": {"token_ids": [2, 7], "cached_tokens": 0, "logprobs": [
            {"token_id": 7, "logprob": -0.2, "top": []}]}})
        same(lines[1], {"delta": {"index": 0, "text": "a ", "token_ids": [], "logprobs": [],
                                  "kind": "CONTENT"}})
        same(lines[-1], {"finish": {"index": 0, "reason": "STOP", "usage": {
            "prompt_tokens": 3, "completion_tokens": 2, "cached_tokens": 0,
            "reasoning_tokens": 0}}})


def test_json_of_what_json_has_not_is_null():
    with Server() as s:
        line = json.loads(ok(s, "generate", "--json", "infinite").splitlines()[0])
        same(line["delta"]["text"], '"\n')
        same(line["delta"]["logprobs"], [{"token_id": 3, "logprob": None, "top": []}])


def test_several_answers_stand_one_below_the_other():
    with Server() as s:
        same(ok(s, "generate", "--n", "2", "mixed"), "first one\nsecond answer")


def test_a_refused_request_is_exit_1_with_the_servers_words():
    with Server() as s:
        result = run("generate", "refused", address=s.address)
        same(result.returncode, 1)
        same(result.stdout, "")
        same(result.stderr, "gemmactl: INVALID_ARGUMENT: sampling.temperature=3: 0 to 2\n")


def test_an_aborted_or_broken_answer_is_exit_1():
    with Server() as s:
        result = run("generate", "aborted", address=s.address)
        same((result.returncode, result.stdout), (1, "half"))
        check("aborted" in result.stderr, result.stderr)
        result = run("generate", "stray", address=s.address)
        same(result.returncode, 1)
        check("not asked for" in result.stderr, result.stderr)
        same(run("generate", "--json", "stray", address=s.address).returncode, 1)


def test_a_timeout_ends_a_call():
    with Server() as s:
        result = run("--timeout", "0.5", "generate", "late", address=s.address)
        same((result.returncode, result.stdout), (1, "a"))
        check("DEADLINE_EXCEEDED" in result.stderr, result.stderr)


def test_wrong_usage_is_exit_2_before_anything_is_sent():
    for arguments, text in (
            ([], "Usage"), (["generat"], "unknown command generat"),
            (["generate", "--tempature", "1", "x"], "unknown flag --tempature"),
            (["generate", "--temperature", "warm", "x"], "--temperature: \"warm\": expected a number"),
            (["generate", "--temperature"], "--temperature needs a value: T"),
            (["generate", "--json=1", "x"], "--json takes no value"),
            (["generate", "a", "b"], "one argument only"),
            (["generate", "a", "--token-ids", "1"], "not several"),
            (["generate", "a", "--logprobs", "1"], "--json"),
            (["tokenize", "a", "--chat-json", "{}"], "not several"),
            (["abort"], "abort needs ID"),
            (["drain", "now"], "takes no argument"),
            (["--address", "nowhere", "status"], "expected HOST:PORT"),
            (["--address", "h:99999", "status"], "expected HOST:PORT")):
        result = run(*arguments, address=None if "--address" in arguments else free_address())
        same((arguments, result.returncode, result.stdout), (arguments, 2, ""))
        check(text in result.stderr, f"{arguments}: {result.stderr}")


def test_a_file_or_ids_that_cannot_be_read_are_exit_2():
    with Server() as s:
        for arguments, text in ((["generate", "-f", "/nonexistent/file"], "No such file"),
                                (["detokenize", "1,x"], "expected token ids")):
            result = run(*arguments, address=s.address)
            same((result.returncode, result.stdout), (2, ""))
            check(text in result.stderr, result.stderr)
        same(s.inference.requests, [])


def test_no_server_is_exit_3_with_a_hint():
    address = free_address()
    for command in ("status", "generate"):
        result = run(command, address=address)
        same(result.returncode, 3)
        check(f"cannot connect to {address}" in result.stderr, result.stderr)
        check("gemmad" in result.stderr, result.stderr)
    same(run("status", address="unix:/nonexistent/socket").returncode, 3)


def test_unix_sockets_and_the_environment_name_the_server():
    with tempfile.TemporaryDirectory() as folder:
        with Server(f"unix:{folder}/s") as s:
            same(ok(s, "generate", "hi"), "hi ")
            same(run("generate", "hi", env={"GEMMAD_ADDRESS": s.address}).stdout, "hi ")


def test_a_proxy_of_the_environment_is_not_asked():
    with Server() as s:
        proxy = {"http_proxy": "http://127.0.0.1:1", "grpc_proxy": "http://127.0.0.1:1"}
        same(run("generate", "hi", address=s.address, env=proxy).stdout, "hi ")


def test_ctrl_c_ends_a_stream_and_tells_the_server():
    with Server() as s:
        process = subprocess.Popen([GEMMACTL, "--address", s.address, "generate", "endless"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        same(process.stdout.read(5), b"first")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
        same((process.returncode, out, err), (130, b"", b""))
        check(s.inference.cancelled.wait(PATIENCE), "the server's call was cancelled")


def test_a_second_ctrl_c_or_one_without_a_call_ends_the_program():
    process = subprocess.Popen([GEMMACTL, "--address", free_address(), "wait"],
                               stderr=subprocess.PIPE)
    read_until(process.stderr.fileno(), b"nothing answers there yet")
    process.send_signal(signal.SIGINT)
    same(process.wait(PATIENCE), 130)
    process.stderr.close()


def test_output_that_cannot_be_written_is_exit_1():
    with Server() as s, open("/dev/full", "w") as full:
        for arguments in (["generate", "hi"], ["status"]):
            process = subprocess.run([GEMMACTL, "--address", s.address, *arguments], stdout=full,
                                     stderr=subprocess.PIPE, timeout=PATIENCE)
            same((arguments, process.returncode), (arguments, 1))
            check(process.stderr, "it says so")


def test_status_is_a_table_or_json():
    with Server() as s:
        table = ok(s, "status")
        for part in ("serving", "1 d 1 h 1 min 2 s", "1099511627776", "4 of 10 pages free",
                     "NOT up",
                     "forward 2.00 ms"):
            check(part in table, f"{part!r} in {table}")
        status = json.loads(ok(s, "status", "--json"))
        same(status["server"]["world_size"], 2)
        same(status["stats"]["requests"], 2**40)
        same(status["stats"]["pages"], [{"total_pages": 10, "free_pages": 4}])
        same(status["stats"]["workers_up"], False)


def test_status_watch_goes_on_until_ctrl_c():
    with Server() as s:
        process = subprocess.Popen([GEMMACTL, "--address", s.address, "status", "--json", "--watch",
                                    "0.05"], stdout=subprocess.PIPE)
        for _ in range(3):
            json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        process.stdout.close()
        check(process.wait(PATIENCE) in (130, -signal.SIGPIPE), f"{process.returncode}")


def test_tokenize_and_detokenize_are_each_others_inverse():
    with Server() as s:
        same(ok(s, "tokenize", "Hi"), "2,72,105\n")
        same(ok(s, "tokenize", stdin="Hi\n"), "2,72,105,10\n")
        same(json.loads(ok(s, "tokenize", "--json", "Hi")), {"token_ids": [2, 72, 105],
                                                               "text": "Hi"})
        ok(s, "tokenize", "--plain", "<eos>")
        check(s.inference.requests[-1].HasField("parse_special") and
              not s.inference.requests[-1].parse_special, "--plain")
        ok(s, "tokenize", "--chat-json", '{"messages":[]}')
        same(s.inference.requests[-1].chat_json, '{"messages":[]}')
        same(ok(s, "detokenize", "72,105"), "Hi")
        same(ok(s, "detokenize", stdin="72 105\n33"), "Hi!")
        same(json.loads(ok(s, "detokenize", "--json", "--show-special", "72")), {"text": "H"})
        same(s.inference.requests[-1].skip_special_tokens, False)


def test_wait_returns_when_the_server_serves():
    address = free_address()
    process = subprocess.Popen([GEMMACTL, "--address", address, "wait", "--timeout", "100"],
                               stderr=subprocess.PIPE)
    read_until(process.stderr.fileno(), b"nothing answers there yet")
    with Server(address) as s:
        read_until(process.stderr.fileno(), b"loading")
        check(process.poll() is None, "it waits while the server loads")
        s.health.serving.set()
        same(process.wait(PATIENCE), 0)
    process.stderr.close()


def test_wait_gives_up_after_its_time():
    same(run("wait", "--timeout", "0.3", address=free_address()).returncode, 3)
    with Server() as s:
        result = run("wait", "--timeout", "0.3", address=s.address)
        same(result.returncode, 1)
        check("loading" in result.stderr, result.stderr)


def test_chat_keeps_the_history():
    with Server() as s:
        out = ok(s, "chat", "--system", "Be brief.", "--temperature", "0", stdin="one\ntwo\n")
        same(out, "You said: ü \nYou said: ü \n")
        first, second = [json.loads(r.chat_json) for r in s.inference.requests]
        same(first, {"messages": [{"role": "system", "content": "Be brief."},
                                  {"role": "user", "content": "one"}], "enable_thinking": False})
        same(second["messages"][1:], [{"role": "user", "content": "one"},
                                      {"role": "assistant", "content": "You said: ü "},
                                      {"role": "user", "content": "two"}])
        check(s.inference.requests[0].sampling.HasField("temperature"), "sampling flags are sent")


def test_media_go_with_a_prompt_and_with_a_chats_first_message():
    with Server() as s, tempfile.TemporaryDirectory() as folder:
        files = {}
        for name in ("a.png", "b.mp4", "c.wav", "empty"):
            files[name] = f"{folder}/{name}"
            with open(files[name], "wb") as f:
                f.write(b"" if name == "empty" else b"\0bytes of " + name.encode())
        flags = ["--audio", files["c.wav"], "--image", files["a.png"], "--video", files["b.mp4"],
                 "--max-soft-tokens", "560"]
        ok(s, "generate", "<|image|>", *flags)
        media = s.inference.requests[0].media
        same([m.data for m in media], [b"\0bytes of a.png", b"\0bytes of b.mp4", b"\0bytes of c.wav"])
        same([m.mime_type.split("/")[0] for m in media], ["image", "video", "audio"])
        same([m.max_soft_tokens for m in media], [560, 560, 0])
        ok(s, "chat", *flags, stdin="one\ntwo\n/reset\nthree\n")
        first, second, third = [json.loads(r.chat_json)["messages"] for r in s.inference.requests[1:]]
        same(first[0]["content"], [{"type": "image"}, {"type": "video"}, {"type": "audio"},
                                   {"type": "text", "text": "one"}])
        same(second[0], first[0])
        same(second[2]["content"], "two")
        same([part.get("text") for part in third[0]["content"]], [None, None, None, "three"])
        same([len(r.media) for r in s.inference.requests], [3, 3, 3, 3])
        for command in (["generate", "x"], ["chat", "--once", "x"]):
            for path in (f"{folder}/missing", files["empty"]):
                done = run(*command, "--image", path, address=s.address)
                same((done.returncode, len(s.inference.requests)), (2, 4))
                check(path in done.stderr, done.stderr)


def test_chat_obeys_its_commands():
    with Server() as s:
        ok(s, "chat", stdin="one\n/reset\n/system New.\n\ntwo\n/unknown\n/exit\nthree\n")
        same(len(s.inference.requests), 2)
        same(json.loads(s.inference.requests[1].chat_json)["messages"],
             [{"role": "system", "content": "New."}, {"role": "user", "content": "two"}])


def test_chat_once_says_one_thing():
    with Server() as s:
        same(ok(s, "chat", "--once", "hi", "--thinking"), "You said: ü \n")
        request = s.inference.requests[0]
        same(json.loads(request.chat_json)["enable_thinking"], True)
        same(request.response.skip_special_tokens, False)


def test_chat_in_a_terminal_has_a_prompt_and_ends_at_ctrl_d():
    with Server() as s:
        ours, theirs = pty.openpty()
        process = subprocess.Popen([GEMMACTL, "--address", s.address, "chat"], stdin=theirs,
                                   stdout=theirs, stderr=theirs, start_new_session=True)
        os.close(theirs)
        read_until(ours, b"> ")
        os.write(ours, b"hi\n")
        read_until(ours, b"said: \xc3\xbc \r\n> ")
        os.write(ours, b"\x04")
        same(process.wait(PATIENCE), 0)
        os.close(ours)


def test_ctrl_c_in_chat_ends_the_answer_then_the_program():
    with Server() as s:
        ours, theirs = pty.openpty()
        process = subprocess.Popen([GEMMACTL, "--address", s.address, "chat"], stdin=theirs,
                                   stdout=theirs, stderr=theirs, start_new_session=True)
        os.close(theirs)
        read_until(ours, b"> ")
        s.inference.chat_script = "endless"
        os.write(ours, b"hi\n")
        read_until(ours, b"first")
        process.send_signal(signal.SIGINT)
        read_until(ours, b"> ")
        check(s.inference.cancelled.wait(PATIENCE), "the server's call was cancelled")
        s.inference.chat_script = ""
        os.write(ours, b"again\n")
        read_until(ours, b"said: \xc3\xbc \r\n> ")
        messages = json.loads(s.inference.requests[1].chat_json)["messages"]
        same([m["content"] for m in messages], ["hi", "first", "again"])
        process.send_signal(signal.SIGINT)
        same(process.wait(PATIENCE), 130)
        os.close(ours)


def test_drain_and_abort_call_the_server():
    with Server() as s:
        ok(s, "drain")
        same(s.control.drains, 1)
        ok(s, "abort", "there")
        result = run("abort", "gone", address=s.address)
        same((result.returncode, s.inference.aborts), (1, ["there", "gone"]))
        check("gone" in result.stderr, result.stderr)


def test_a_key_goes_with_every_call():
    with Server() as s:
        ok(s, "status")
        ok(s, "--api-key", "from-flag", "status")
        same(run("status", address=s.address, env={"GEMMAD_API_KEY": "from-env"}).returncode, 0)
        same([m.get("authorization") for m in s.control.metadata],
             [None, "Bearer from-flag", "Bearer from-env"])
        result = run("--api-key", "two words", "status", address=s.address)
        same(result.returncode, 2)
        check("API key" in result.stderr and "two words" not in result.stderr, result.stderr)


def test_a_new_key_comes_with_the_line_of_its_hash():
    keys = []
    for _ in range(2):
        result = run("key", "alice")
        same(result.returncode, 0)
        key, line = result.stdout.splitlines()
        same(line, f"alice:sha256:{hashlib.sha256(key.encode()).hexdigest()}")
        keys.append(key)
    check(keys[0] != keys[1] and len(keys[0]) > 32, keys)
    for name in ("", "a b", "a:b", "#a", "x" * 65):
        same(run("key", name).returncode, 2)


def test_help_teaches_each_command():
    commands = ("generate chat status tokenize detokenize wait drain abort key").split()
    overview = run("--help")
    same(overview.returncode, 0)
    for command in commands:
        check(f"\n    {command} " in overview.stdout, f"{command} in the overview")
        result = run(command, "--help")
        same(result.returncode, 0)
        check("Examples" in result.stdout and "--address" in result.stdout, result.stdout)
        check(max(map(len, result.stdout.splitlines())) <= 100, f"{command}: lines are short")


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
        except (Failure, subprocess.TimeoutExpired, ValueError) as failure:
            failed += 1
            print(f"FAILED {name[5:]}: {failure}", flush=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
