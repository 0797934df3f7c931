"""Starts gemmad for a test, gives stock gRPC stubs for it, and stops it.

The stubs are generated from the project's .proto files by grpcio-tools at run time, as a user
would. The folder of built programs comes from GEMMAD_BUILD_DIR.
"""
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

import grpc
from grpc_tools import protoc

TESTS = pathlib.Path(os.environ.get("GEMMAD_TESTS_DIR", pathlib.Path(__file__).parents[1]))
BUILD = pathlib.Path(os.environ.get("GEMMAD_BUILD_DIR", TESTS.parent / "build"))
PROTO = TESTS.parent / "proto"


def _generate_stubs():
    out = tempfile.mkdtemp(prefix="gemmad-stubs-")
    names = ["gemmad/v1/inference.proto", "gemmad/v1/control.proto"]
    arguments = ["protoc", f"-I{PROTO}", f"--python_out={out}", f"--grpc_python_out={out}"]
    if protoc.main(arguments + names) != 0:
        raise RuntimeError("protoc failed")
    sys.path.insert(0, out)


_generate_stubs()
from gemmad.v1 import control_pb2, control_pb2_grpc  # noqa: E402
from gemmad.v1 import inference_pb2 as pb  # noqa: E402
from gemmad.v1 import inference_pb2_grpc  # noqa: E402
from report import Report  # noqa: E402, F401


class Daemon:
    """with Daemon(folder, "--tp", "2") as d: d.inference.Generate(...)

    With http=True also d.http_address ("127.0.0.1:PORT") and d.url."""

    def __init__(self, model, *arguments, http=False):
        read, write = os.pipe()
        self.log = tempfile.NamedTemporaryFile("w+", prefix="gemmad-log-", suffix=".txt")
        self.process = subprocess.Popen(
            [str(BUILD / "daemon" / "gemmad"), str(model), "--listen", "127.0.0.1:0",
             "--http-listen", "127.0.0.1:0", "--ready-fd", str(write), *arguments],
            pass_fds=[write], stdout=self.log, stderr=subprocess.STDOUT)
        os.close(write)
        with os.fdopen(read) as ready:
            addresses = ready.read().split()
        if not addresses:
            self.process.kill()
            raise RuntimeError(f"gemmad did not start:\n{self.log_text()}")
        self.address, self.url = addresses  # gRPC, HTTP
        self.channel = grpc.insecure_channel(self.address)
        self.inference = inference_pb2_grpc.InferenceStub(self.channel)
        self.control = control_pb2_grpc.ControlStub(self.channel)

    def log_text(self):
        with open(self.log.name) as log:
            return log.read()[-4000:]

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.channel.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        text = self.log_text()
        self.log.close()
        if self.process.returncode != 0 and kind is None:  # a sanitizer that found something, too
            raise RuntimeError(f"gemmad ended with {self.process.returncode}:\n{text}")


class Answer:
    """All that came back for one sequence of a request."""

    def __init__(self):
        self.tokens, self.text, self.logprobs = [], "", []
        self.prompt_logprobs, self.finish = [], None

    @property
    def bits(self):
        """What two runs of the same request must share exactly."""
        def flat(entries):
            return tuple((e.token_id, e.logprob, tuple((t.token_id, t.logprob) for t in e.top))
                         for e in entries)
        return tuple(self.tokens), flat(self.logprobs), flat(self.prompt_logprobs)


def generate(daemon, request, timeout=300):
    """Answers by index."""
    answers = [Answer() for _ in range(max(1, request.sampling.n))]
    for response in daemon.inference.Generate(request, timeout=timeout):
        kind = response.WhichOneof("event")
        if kind == "prompt":
            for answer in answers:
                answer.prompt_logprobs = list(response.prompt.logprobs)
        elif kind == "delta":
            answer = answers[response.delta.index]
            answer.tokens += response.delta.token_ids
            answer.text += response.delta.text
            answer.logprobs += response.delta.logprobs
        elif kind == "finish":
            answers[response.finish.index].finish = response.finish
    return answers
