#!/usr/bin/env python3
"""Images and audio through the daemon: the reference's prompts and continuations from the files
themselves, at world sizes 1, 2 and 4; a repeated image is not encoded again; what is broken, too
large or out of place is refused by name and disturbs nobody; a decoder that dies is replaced.
"""
import base64
import concurrent.futures
import json
import os
import pathlib
import signal
import struct
import sys
import time
import urllib.error
import urllib.request
import zlib

from daemon import TESTS, Daemon, Report, generate, pb
from test_goldens import read_tensor, request_for

GOLDENS = TESTS / "data" / "goldens"
TOLERANCE = 0.1  # of logprobs after one's own resize
CLEAR = 0.25  # a margin above which the same token must come


def png(width, height, colour=(200, 30, 30)):
    """A PNG of one colour."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(
            ">I", zlib.crc32(kind + data))
    rows = (b"\0" + bytes(colour) * width) * height
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def media_request(fixture, case, logprobs=8):
    request = request_for([], len(case["greedy"]["tokens"]), logprobs=logprobs)
    request.text = case["text"]
    request.response.prompt_token_ids = True
    for name in case.get("images", []):
        media = request.media.add()
        media.data = (fixture / "images" / f"{name}.png").read_bytes()
        media.mime_type = "image/png"
        if case.get("max_soft_tokens"):
            media.max_soft_tokens = case["max_soft_tokens"]
    for name in case.get("audio", []):
        media = request.media.add()
        media.data = (fixture / "audio" / f"{name}.wav").read_bytes()
        media.mime_type = "audio/wav"
    return request


def prompt_ids(daemon, request):
    for response in daemon.inference.Generate(request, timeout=120):
        if response.WhichOneof("event") == "prompt":
            return list(response.prompt.token_ids)
    return None


def check_case(report, daemon, name, fixture, kind, case):
    request = media_request(fixture, case)
    greedy = case["greedy"]
    report.check(f"{name} prompt ids", prompt_ids(daemon, request) == case["prompt_ids"])
    (answer,) = generate(daemon, request)
    for i, (got, want) in enumerate(zip(answer.tokens, greedy["tokens"])):
        if got != want:
            break
    else:
        i = len(greedy["tokens"])
    # After the first token that differs everything may; it may differ where nothing is clear.
    report.check(f"{name} tokens",
                 i == len(greedy["tokens"]) or greedy["margin"][i] < CLEAR,
                 f"token {i}: {answer.tokens}\n  want {greedy['tokens']}")
    want = read_tensor(fixture / f"{kind}.safetensors", f"{case['name']}.prompt_logprobs")
    got = [entry.logprob for entry in answer.prompt_logprobs]
    worst = max((abs(a - b) for a, b in zip(got, want)), default=0)
    report.check(f"{name} prompt logprobs", len(got) == len(want) and worst <= TOLERANCE,
                 f"{len(got)} of {len(want)}, worst {worst}")
    return answer.bits


def check_goldens(report, fixture, world, bits):
    with Daemon(fixture / "checkpoint", "--compute", "f32", "--tp", str(world)) as daemon:
        for kind in ("image", "audio"):
            path = fixture / f"{kind}.json"
            if not path.exists():
                continue
            for case in json.loads(path.read_text())["cases"]:
                name = f"{fixture.name} world={world} {kind} {case['name']}"
                key = (fixture.name, kind, case["name"])
                got = check_case(report, daemon, name, fixture, kind, case)
                report.check(f"{name} has the bits of world 1", bits.setdefault(key, got) == got)


def metric(daemon, name):
    text = urllib.request.urlopen(daemon.url + "/metrics", timeout=10).read().decode()
    for line in text.splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    return None


def chat(daemon, content, **fields):
    body = {"messages": [{"role": "user", "content": content}], "temperature": 0, "max_tokens": 8,
            "seed": 1, **fields}
    request = urllib.request.Request(daemon.url + "/v1/chat/completions",
                                     json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def image_part(data, **more):
    uri = "data:image/png;base64," + base64.b64encode(data).decode()
    return {"type": "image_url", "image_url": {"url": uri, **more}}


def check_chat(report, daemon):
    content = [{"type": "text", "text": "What is it?"}, image_part(png(64, 48))]
    before = metric(daemon, "gemmad_encoded_parts_total")
    status, first = chat(daemon, content)
    report.check("a picture is answered", status == 200, first)
    n = first["usage"]["prompt_tokens"]
    status, second = chat(daemon, content)
    report.check("the same picture gives the same answer",
                 second["choices"][0]["message"] == first["choices"][0]["message"])
    report.check("and is encoded once", metric(daemon, "gemmad_encoded_parts_total") == before + 1)
    report.check("and found", metric(daemon, "gemmad_encoder_cache_hits_total") >= 1)
    status, other = chat(daemon, content, mm_processor_kwargs={"max_soft_tokens": 140})
    report.check("a larger budget takes more tokens",
                 status == 200 and other["usage"]["prompt_tokens"] > n + 30, other)
    status, two = chat(daemon, [image_part(png(64, 48)), image_part(png(48, 64, (1, 2, 3)))])
    report.check("two pictures are two", status == 200 and two["usage"]["prompt_tokens"] > n + 30,
                 two)


KINDS = {"mp4": "video", "webm": "video", "mkv": "video", "gif": "video", "jpg": "image",
         "png": "image", "wav": "audio", "mp3": "audio", "flac": "audio", "ogg": "audio",
         "m4a": "audio"}


def check_files(report, daemon):
    """A file of each container and codec; videos of the same length are as many tokens."""
    n_tokens = {}
    for path in sorted((TESTS / "data" / "media").iterdir()):
        kind = "audio" if path.name == "tone.webm" else KINDS.get(path.suffix[1:])
        if not kind:
            continue
        uri = f"data:{kind}/x;base64," + base64.b64encode(path.read_bytes()).decode()
        status, answer = chat(daemon, [{"type": f"{kind}_url", f"{kind}_url": {"url": uri}},
                                       {"type": "text", "text": "What is it?"}])
        report.check(f"{path.name} is answered", status == 200, answer)
        n_tokens[path.name] = answer.get("usage", {}).get("prompt_tokens", 0)
    long = {n_tokens[name] for name in ("h264.mp4", "h264.mkv", "vp8.webm", "vp9.webm", "av1.webm")}
    report.check("32 frames are as many tokens in any container", len(long) == 1, n_tokens)
    report.check("fewer frames are fewer tokens", n_tokens["h264_few.mp4"] < min(long) / 2, n_tokens)


def check_refusals(report, daemon):
    whole = png(64, 48)
    cases = [
        ("a cut picture", [image_part(whole[:-30])], "image_url"),
        ("no picture", [image_part(b"GIF89a")], "image_url"),
        ("an empty picture", [image_part(b"")], "image_url"),
        ("a picture of 4 GiB", [image_part(bytes(whole[:16]) + struct.pack(">II", 65535, 65535)
                                           + whole[24:])], "image_url"),
        ("an address", [{"type": "image_url", "image_url": {"url": "http://127.0.0.1:1/a.png"}}],
         "image_url"),
        ("a path", [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}],
         "image_url"),
        ("a budget of 100", [image_part(whole)], "max_soft_tokens"),
    ]
    for name, content, field in cases:
        fields = {"mm_processor_kwargs": {"max_soft_tokens": 100}} if "budget" in name else {}
        status, answer = chat(daemon, content, **fields)
        message = answer.get("error", {}).get("message", "")
        report.check(f"{name} is refused by name", status == 400 and field in message,
                     (status, answer))
        report.check(f"{name}: no path and no address in the message",
                     "/tmp" not in message and "127.0.0.1" not in message, message)
    status, answer = chat(daemon, [image_part(whole)])
    report.check("and the next picture is served", status == 200, answer)


def children_of(pid, name):
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:
            continue
        if f"({name})" in text and text.rsplit(")", 1)[1].split()[1] == str(pid):
            found.append(int(path.parent.name))
    return found


def check_deaths(report, daemon):
    """While clients send pictures, decoders are killed: each picture is decoded all the same."""
    def ask(i):
        return chat(daemon, [image_part(png(32 + i, 48, (i, 0, 0)))])
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(ask, i) for i in range(16)]
        for _ in range(6):
            for pid in children_of(daemon.process.pid, "gemmad-media"):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.05)
        results = [future.result() for future in futures]
    wrong = [r for r in results if r[0] not in (200, 400)]
    report.check("killed decoders: answers or clear refusals", not wrong, wrong[:1])
    status, answer = chat(daemon, [image_part(png(40, 40))])
    report.check("after that pictures are served", status == 200, answer)


def main():
    fixtures = [pathlib.Path(argument) for argument in sys.argv[1:]]
    fixtures = fixtures or sorted(GOLDENS.iterdir())
    worlds = [int(w) for w in os.environ.get("GEMMAD_TEST_WORLDS", "1,2,4").split(",")]
    report, bits = Report(), {}
    for fixture in fixtures:
        for world in worlds:
            check_goldens(report, fixture, world, bits)
        print(f"{fixture.name}: {report.passed} passed, {report.failed} failed so far", flush=True)
    with Daemon(GOLDENS / "moe" / "checkpoint", "--tp", "2") as daemon:
        check_chat(report, daemon)
        check_refusals(report, daemon)
        check_deaths(report, daemon)
    with Daemon(GOLDENS / "ple" / "checkpoint", "--tp", "2") as daemon:
        check_files(report, daemon)
    report.close()


if __name__ == "__main__":
    main()
