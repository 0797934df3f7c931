#!/usr/bin/env python3
"""The Shepherd gateway (smg, from PyPI) in front of the daemon: it finds the engine by
vllm.grpc.engine.VllmEngine, fetches what it needs to know, and answers OpenAI requests with it.
"""

import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from daemon import TESTS, Daemon, generate, pb
from plain_http import Connection
from report import Report, need

need("smg", "jsonschema")
import jsonschema  # noqa: E402

CHECKPOINT = TESTS / "data/goldens/dense/checkpoint"
CHAT = "/v1/chat/completions"
USER = [{"role": "user", "content": "Name three rivers."}]
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["a", "b"],
    "properties": {
        "a": {"type": "integer", "minimum": 0, "maximum": 99},
        "b": {"enum": ["x", "y"]},
    },
}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Gateway:
    """smg with one worker, the daemon."""

    def __init__(self, daemon, *arguments):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.log = tempfile.NamedTemporaryFile("w+", prefix="gemmad-smg-", suffix=".txt")
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "smg",
                "launch",
                "--host",
                "127.0.0.1",
                "--port",
                str(port),
                "--worker-urls",
                f"grpc://{daemon.address}",
                "--backend",
                "vllm",
                "--prometheus-port",
                str(free_port()),
                "--prometheus-host",
                "127.0.0.1",
                "--log-level",
                "warn",
                *arguments,
            ],
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self):
        for _ in range(600):
            try:
                with urllib.request.urlopen(self.url + "/readiness", timeout=5):
                    return self
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
            if self.process.poll() is not None:
                break
        text = self.log_text()
        self.__exit__()
        raise RuntimeError(f"smg is not ready:\n{text}")

    def log_text(self):
        return pathlib.Path(self.log.name).read_text()[-4000:]

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def same_logprobs(daemon, connection, body):
    """Whether the gateway's answer and the daemon's own have the same logprobs. (Texts differ where
    the gateway's detokenizer makes something else of bytes that are no character.)"""
    entries = connection.post(CHAT, {**body, "logprobs": True, "top_logprobs": 1})[1]["choices"][0][
        "logprobs"
    ]["content"]
    request = pb.GenerateRequest(chat_json=json.dumps({"messages": USER}))
    request.sampling.temperature = 0
    request.stopping.max_tokens = body["max_tokens"]
    request.response.logprobs = 1
    theirs = [round(e["logprob"], 4) for e in entries]
    ours = [round(e.logprob, 4) for e in generate(daemon, request)[0].logprobs]
    return theirs == ours, (theirs, ours)


def answers(report, daemon, gateway):
    with Connection(gateway.url) as c, urllib.request.urlopen(gateway.url + "/v1/models") as listed:
        model = json.load(listed)["data"][0]["id"]
        status, info = 200, daemon.inference.GetModelInfo(pb.GetModelInfoRequest())
        report.check("the model is listed by the daemon's name", bool(model), (model, info))
        body = {"model": model, "messages": USER, "max_tokens": 24, "temperature": 0, "seed": 5}
        status, answer = c.post(CHAT, body)
        report.check("an answer", status == 200, answer)
        if status != 200:
            return
        choice, usage = answer["choices"][0], answer["usage"]
        report.check(
            "usage", 0 < usage["completion_tokens"] <= 24 and usage["prompt_tokens"] > 0, usage
        )
        text = "".join(
            chunk["choices"][0]["delta"].get("content") or ""
            for _, chunk in c.stream(CHAT, body)
            if chunk["choices"]
        )
        report.check(
            "the stream says the same", text == (choice["message"]["content"] or ""), (text, choice)
        )
        report.check("greedy, it is the daemon's own answer", *same_logprobs(daemon, c, body))
        warm = {**body, "temperature": 1.0}
        report.check(
            "a seed holds across the gateway",
            c.post(CHAT, warm)[1]["choices"] == c.post(CHAT, warm)[1]["choices"],
        )
        status, answer = c.post(
            CHAT,
            {
                **body,
                "temperature": 1.0,
                "max_tokens": 200,
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "s", "schema": SCHEMA, "strict": True},
                },
            },
        )
        report.check("a schema holds across the gateway", status == 200, answer)
        if status == 200:
            jsonschema.validate(json.loads(answer["choices"][0]["message"]["content"]), SCHEMA)
        status, answer = c.post(CHAT, {**body, "n": 3, "temperature": 1.0})
        report.check(
            "n",
            status == 200 and sorted(c["index"] for c in answer["choices"]) == [0, 1, 2],
            answer,
        )
        status, answer = c.post(CHAT, {**body, "temperature": 9})
        report.check("an error is the client's", status == 400, (status, answer))


def main():
    report = Report()
    with Daemon(CHECKPOINT, "--tp", "2") as daemon:
        for arguments in (["--model-path", str(CHECKPOINT)], []):
            with Gateway(daemon, *arguments) as gateway:
                answers(report, daemon, gateway)
                log = gateway.log_text()
                report.check("the gateway has no errors", "ERROR" not in log, log)
    report.close()


if __name__ == "__main__":
    main()
