"""A gemmad that has no model: answers each call in a way that a test can foresee.

Generate echoes: the request as it arrived is in `requests`, the answer is the prompt's text word by
word (or a script that the prompt names). Stubs are generated from the project's .proto files.
"""
import concurrent.futures
import os
import pathlib
import sys
import tempfile
import threading

import grpc
from grpc_tools import protoc

TESTS = pathlib.Path(os.environ.get("GEMMAD_TESTS_DIR", pathlib.Path(__file__).parents[1]))
PROTO = TESTS.parent / "proto"
PATIENCE = 120  # seconds, for sanitizer builds on a busy machine


def _generate_stubs(out):
    names = ["gemmad/v1/inference.proto", "gemmad/v1/control.proto", "grpc/health/v1/health.proto"]
    # health.proto is moved out of package grpc's way: grpc is also the name of Python's library.
    for name in names:
        text = (PROTO / name).read_text()
        (pathlib.Path(out) / pathlib.Path(name).name).write_text(text)
    arguments = ["protoc", f"-I{out}", f"--python_out={out}", f"--grpc_python_out={out}"]
    if protoc.main(arguments + [pathlib.Path(name).name for name in names]) != 0:
        raise RuntimeError("protoc failed")
    sys.path.insert(0, out)


_stubs = tempfile.TemporaryDirectory(prefix="gemmad-stubs-")
_generate_stubs(_stubs.name)
import control_pb2 as control  # noqa: E402
import control_pb2_grpc  # noqa: E402
import health_pb2 as health  # noqa: E402
import health_pb2_grpc  # noqa: E402
import inference_pb2 as pb  # noqa: E402
import inference_pb2_grpc  # noqa: E402


def delta(index, text, ids=()):
    return pb.GenerateResponse(delta=pb.Delta(index=index, text=text, token_ids=ids))


def finish(index, reason=pb.STOP):
    usage = pb.Usage(prompt_tokens=3, completion_tokens=2)
    return pb.GenerateResponse(finish=pb.Finish(index=index, reason=reason, usage=usage))


class Inference(inference_pb2_grpc.InferenceServicer):
    def __init__(self):
        self.requests = []
        self.cancelled = threading.Event()
        self.aborts = []
        self.begun = threading.Semaphore(0)
        self.chat_script = self.token_script = ""  # names of the scripts of such prompts

    def Generate(self, request, context):
        self.requests.append(request)
        self.begun.release()
        by_kind = {"text": request.text, "chat_json": self.chat_script,
                   "token_ids": self.token_script}
        script = getattr(self, "script_" + by_kind[request.WhichOneof("prompt")], None)
        if script:
            yield from script(context)
            return
        if request.response.HasField("prompt_logprobs"):
            entry = pb.TokenLogprob(token_id=7, logprob=-0.2)
            yield pb.GenerateResponse(prompt=pb.Prompt(token_ids=[2, 7], logprobs=[entry]))
        for index in range(max(1, request.sampling.n)):
            if request.WhichOneof("prompt") == "token_ids":
                for i in range(request.stopping.max_tokens):
                    yield delta(index, "x", [i])
            else:
                for word in (request.text or "You said: ü").split(" "):
                    yield delta(index, word + " ")
            yield finish(index)

    def script_endless(self, context):
        over = threading.Event()  # of this call: another's end is not its

        def end():
            over.set()
            self.cancelled.set()

        context.add_callback(end)
        yield delta(0, "first")
        over.wait(PATIENCE)

    def script_refused(self, context):
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "sampling.temperature=3: 0 to 2")
        yield

    def script_mixed(self, context):
        yield delta(1, "second ")
        yield delta(0, "first ")
        yield delta(1, "answer")
        yield finish(1)
        yield delta(0, "one")
        yield finish(0)

    def script_aborted(self, context):
        yield delta(0, "half")
        yield finish(0, pb.ABORT)

    def script_stray(self, context):
        yield delta(5, "nobody asked")

    def script_infinite(self, context):
        entry = pb.TokenLogprob(token_id=3, logprob=float("-inf"))
        yield pb.GenerateResponse(delta=pb.Delta(text='"\n', token_ids=[3], logprobs=[entry]))
        yield finish(0)

    def script_late(self, context):
        yield delta(0, "a")
        context.add_callback(self.cancelled.set)
        self.cancelled.wait(PATIENCE)

    def Tokenize(self, request, context):
        self.requests.append(request)
        text = request.text or request.chat_json
        return pb.TokenizeResponse(token_ids=[2, *text.encode()], text=text)

    def Detokenize(self, request, context):
        self.requests.append(request)
        return pb.DetokenizeResponse(text=bytes(request.token_ids).decode())

    def GetModelInfo(self, request, context):
        return pb.GetModelInfoResponse(model="fake", vocab_size=1000, bos_token_id=2)

    def Abort(self, request, context):
        self.aborts.append(request.request_id)
        return pb.AbortResponse(found=request.request_id == "there")


class Control(control_pb2_grpc.ControlServicer):
    def __init__(self):
        self.drains = 0
        self.metadata = []  # of each GetServerInfo

    def GetServerInfo(self, request, context):
        self.metadata.append(dict(context.invocation_metadata()))
        return control.GetServerInfoResponse(version="1.2", model="fake", state="serving",
                                             world_size=2, compute="f32", uptime_ms=90061500)

    def GetStats(self, request, context):
        pages = [control.PageStats(total_pages=10, free_pages=4)]
        return control.GetStatsResponse(requests=2**40, steps=4, forward_us=8000, pages=pages)

    def Drain(self, request, context):
        self.drains += 1
        return control.DrainResponse()


class Health(health_pb2_grpc.HealthServicer):
    def __init__(self):
        self.serving = threading.Event()

    def Watch(self, request, context):
        context.add_callback(self.serving.set)
        if not self.serving.is_set():
            yield health.HealthCheckResponse(status=health.HealthCheckResponse.NOT_SERVING)
            self.serving.wait(PATIENCE)
        yield health.HealthCheckResponse(status=health.HealthCheckResponse.SERVING)
        while context.is_active():
            threading.Event().wait(0.05)


class Server:
    """with Server() as s: s.address, s.inference.requests"""

    def __init__(self, address="127.0.0.1:0"):
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(16))
        self.inference, self.control, self.health = Inference(), Control(), Health()
        inference_pb2_grpc.add_InferenceServicer_to_server(self.inference, self.server)
        control_pb2_grpc.add_ControlServicer_to_server(self.control, self.server)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self.server)
        port = self.server.add_insecure_port(address)
        self.address = address if address.startswith("unix:") else f"127.0.0.1:{port}"
        self.server.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.inference.cancelled.set()
        self.health.serving.set()
        self.server.stop(0).wait()
