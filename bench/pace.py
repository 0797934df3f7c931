#!/usr/bin/env python3
"""How evenly streams run beside images.

    bench/pace.py MODEL_DIR --build BUILD [--streams 8] [--images 10] [--tokens 1120] [-- FLAG...]

Starts gemmad (flags behind -- go to it), lets STREAMS clients decode, and sends one request with
IMAGES images of TOKENS soft tokens each, no two alike. Prints the times between two tokens of a
stream before the images came and while they were worked on, and how long the request took.
"""
import argparse
import base64
import http.client
import json
import os
import pathlib
import signal
import statistics
import struct
import subprocess
import sys
import threading
import time
import zlib


def png(width, height, seed):
    """A PNG of noisy stripes."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    row = bytes((x * (seed + 3) + x // 7) % 256 for x in range(width * 3))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) +
            chunk(b"IDAT", zlib.compress((b"\0" + row) * height, 1)) + chunk(b"IEND", b""))


def chat(address, body):
    connection = http.client.HTTPConnection(address, timeout=600)
    connection.request("POST", "/v1/chat/completions", json.dumps(body),
                       {"Content-Type": "application/json"})
    answer = connection.getresponse()
    if answer.status != 200:
        raise RuntimeError(f"{answer.status}: {answer.read().decode()}")
    return answer


class Stream(threading.Thread):
    """One client; notes when its tokens came."""

    def __init__(self, address, number, n_tokens):
        super().__init__(daemon=True)
        self.address, self.number, self.n_tokens = address, number, n_tokens
        self.times, self.error = [], None

    def run(self):
        body = {"messages": [{"role": "user", "content": f"Count from {self.number}."}],
                "max_tokens": self.n_tokens, "stream": True, "ignore_eos": True,
                "temperature": 1, "seed": self.number}
        try:
            for line in chat(self.address, body):
                if line.startswith(b"data: {"):
                    self.times.append(time.monotonic())
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            self.error = error


def gaps(streams, begin, end):
    return sorted(b - a for s in streams for a, b in zip(s.times, s.times[1:]) if begin <= b < end)


def describe(name, values):
    if len(values) < 10:
        print(f"{name}: only {len(values)} times")
        return None
    p99 = values[min(len(values) - 1, int(len(values) * 0.99))]
    print(f"{name}: {len(values)} times, p50 {1e3 * statistics.median(values):.1f} ms, "
          f"p99 {1e3 * p99:.1f} ms, worst {1e3 * values[-1]:.1f} ms")
    return p99


def measure(address, arguments):
    streams = [Stream(address, i, arguments.stream_tokens) for i in range(arguments.streams)]
    for stream in streams:
        stream.start()
    while not all(len(s.times) > 3 or s.error for s in streams):
        time.sleep(0.1)
    begin = time.monotonic()
    time.sleep(arguments.seconds)
    images = [base64.b64encode(png(1600 + 16 * i, 1200, i)).decode() for i in range(arguments.images)]
    body = {"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + image}}
        for image in images] + [{"type": "text", "text": "Compare them."}]}],
        "max_tokens": 4, "mm_processor_kwargs": {"max_soft_tokens": arguments.tokens}}
    sent = time.monotonic()
    usage = json.load(chat(address, body))["usage"]
    done = time.monotonic()
    errors = [s.error for s in streams if s.error]
    if errors:
        raise RuntimeError(errors[0])
    alone = describe("alone", gaps(streams, begin, sent))
    beside = describe("beside the images", gaps(streams, sent, done))
    print(f"the images' request: {usage['prompt_tokens']} prompt tokens in {done - sent:.1f} s; "
          f"{sum(len(s.times) >= arguments.stream_tokens for s in streams)} streams had ended")
    if alone and beside:
        print(f"p99 is {beside / alone:.2f} times that alone")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--stream-tokens", type=int, default=4000)
    parser.add_argument("--images", type=int, default=10)
    parser.add_argument("--tokens", type=int, default=1120)
    parser.add_argument("--seconds", type=float, default=15, help="alone, before the images")
    own, flags = sys.argv[1:], []
    if "--" in own:
        own, flags = own[:own.index("--")], own[own.index("--") + 1:]
    arguments = parser.parse_args(own)
    read, write = os.pipe()
    gemmad = subprocess.Popen(
        [arguments.build / "daemon" / "gemmad", arguments.model, "--listen", "127.0.0.1:0",
         "--http-listen", "127.0.0.1:0", "--ready-fd", str(write), "--log-level", "warn",
         "--drain-timeout", "0s", *flags],
        pass_fds=[write])
    os.close(write)
    try:
        addresses = os.fdopen(read).read().split()
        if not addresses:
            sys.exit("gemmad did not start")
        measure(addresses[-1].removeprefix("http://"), arguments)
    finally:
        gemmad.send_signal(signal.SIGINT)
        gemmad.wait()


if __name__ == "__main__":
    main()
