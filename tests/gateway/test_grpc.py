#!/usr/bin/env python3
"""The gateway as stock clients see it: generated stubs, reflection, health. The engine is real, the
device is a fake (server.c).
"""
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "serving"))
from daemon import (BUILD, TESTS, Report, control_pb2, control_pb2_grpc, generate,  # noqa: E402
                    inference_pb2_grpc, pb)
from streams import (idle_stats, make_request, pages_are_whole, reflected_generate,  # noqa: E402
                     stream_and_cancel)

Code = grpc.StatusCode
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
report = Report()
check = report.check


class Server:
    """Told what to do by lines on its input."""

    def __init__(self, loaded=True, keys=None):
        self.folder = tempfile.TemporaryDirectory(prefix="gemmad-test-")
        self.process = subprocess.Popen(
            [BUILD / "tests/gateway/gateway_test_server",
             TESTS / "data/goldens/dense/checkpoint", f"unix:{self.folder.name}/socket",
             *([keys] if keys else [])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addresses = self.process.stdout.readline().split()[1:]
        self.channel = grpc.insecure_channel(self.addresses[0])
        self.inference = inference_pb2_grpc.InferenceStub(self.channel)
        self.control = control_pb2_grpc.ControlStub(self.channel)
        self.health = health_pb2_grpc.HealthStub(self.channel)
        if loaded:
            self.tell("load")

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n", line

    def stats(self):
        return self.control.GetStats(control_pb2.GetStatsRequest())

    def stop(self, grace_ms=1000):
        self.tell(f"quit {grace_ms}")
        last = self.process.stdout.readline().strip()
        code = self.process.wait(60)
        self.channel.close()
        self.folder.cleanup()
        check("the server ends with all pages in place", code == 0 and last == "pages whole",
              f"{code} {last}")


def error_of(call):
    """(code, details) of what fails; (OK, "") if it does not."""
    try:
        result = call()
        if hasattr(result, "__next__"):
            list(result)
        return Code.OK, ""
    except grpc.RpcError as error:
        return error.code(), error.details()


def test_loading():
    server = Server(loaded=False)
    watched = server.health.Watch(health_pb2.HealthCheckRequest())
    check("health is NOT_SERVING while loading", next(watched).status == NOT_SERVING)
    ask = health_pb2.HealthCheckRequest(service="gemmad.v1.Inference")
    check("Check says so too", server.health.Check(ask).status == NOT_SERVING)
    ask = health_pb2.HealthCheckRequest(service="gemmad.v1.Control")
    check("Control serves while loading", server.health.Check(ask).status == SERVING)
    code, why = error_of(lambda: server.inference.Generate(make_request()))
    check("Generate is UNAVAILABLE while loading", code == Code.UNAVAILABLE and "loading" in why)
    code, why = error_of(lambda: server.inference.GetModelInfo(pb.GetModelInfoRequest()))
    check("GetModelInfo is UNAVAILABLE while loading", code == Code.UNAVAILABLE, (code, why))
    info = server.control.GetServerInfo(control_pb2.GetServerInfoRequest())
    check("the state is loading", info.state == "loading" and info.version == "test", info)
    server.stats()
    server.tell("load")
    check("Watch sees SERVING", next(watched).status == SERVING)
    server.tell("serving 0")
    check("Watch sees that workers are restarted", next(watched).status == NOT_SERVING)
    server.tell("serving 1")
    check("Watch sees them back", next(watched).status == SERVING)
    info = server.control.GetServerInfo(control_pb2.GetServerInfoRequest())
    check("the state is serving", info.state == "serving" and info.max_context_tokens == 1000, info)
    watched.cancel()
    server.stop()


def test_health(server):
    code, _ = error_of(lambda: server.health.Check(health_pb2.HealthCheckRequest(service="no")))
    check("Check of an unknown service is NOT_FOUND", code == Code.NOT_FOUND, code)
    watched = server.health.Watch(health_pb2.HealthCheckRequest(service="no"))
    got = next(watched).status
    check("Watch of one is SERVICE_UNKNOWN", got == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
    watched.cancel()


def test_generate(server):
    answer = generate(server, make_request())[0]
    check("tokens come", len(answer.tokens) == 20, len(answer.tokens))
    check("text comes", len(answer.text) > 0)
    check("the end is by length", answer.finish.reason == pb.LENGTH, answer.finish)
    usage = answer.finish.usage
    check("usage counts", (usage.prompt_tokens, usage.completion_tokens) == (5, 20), usage)

    r = make_request(n=3, seed=7)
    r.response.prompt_token_ids = True
    r.response.logprobs = 2
    r.response.prompt_logprobs = 1
    events = list(server.inference.Generate(r))
    check("the prompt event is first", events[0].WhichOneof("event") == "prompt")
    check("it has the ids", list(events[0].prompt.token_ids) == [100, 101, 102, 103, 104])
    check("it has logprobs of all but the first", len(events[0].prompt.logprobs) == 4)
    check("of the best ones too", all(len(p.top) == 1 for p in events[0].prompt.logprobs))
    finishes = [e.finish.index for e in events if e.WhichOneof("event") == "finish"]
    check("every sequence finishes once", sorted(finishes) == [0, 1, 2], finishes)
    for index in range(3):
        deltas = [e.delta for e in events
                  if e.WhichOneof("event") == "delta" and e.delta.index == index]
        check("each has its tokens", sum(len(d.token_ids) for d in deltas) == 20)
        entries = [p for d in deltas for p in d.logprobs]
        check("each token has logprobs", len(entries) == 20 and
              all(len(p.top) == 2 for p in entries))
    one, two = generate(server, make_request(seed=3))[0], generate(server, make_request(seed=3))[0]
    check("a seed repeats itself", one.tokens == two.tokens)
    one, two = generate(server, make_request())[0], generate(server, make_request())[0]
    check("no seed does not", one.tokens != two.tokens)

    r = make_request(seed=3)
    r.stopping.stop_token_ids.append(generate(server, make_request(seed=3))[0].tokens[4])
    answer = generate(server, r)[0]
    check("a stop id ends and is named", answer.finish.reason == pb.STOP and
          answer.finish.WhichOneof("matched") == "stop_token_id" and
          answer.finish.stop_token_id == r.stopping.stop_token_ids[0], answer.finish)
    text = generate(server, make_request(seed=3))[0].text
    r = make_request(seed=3)
    r.stopping.stop.extend(["\x00never", text[4:7]])
    answer = generate(server, r)[0]
    check("a stop string ends and is named", answer.finish.stop_string == text[4:7] and
          answer.text == text[:text.index(text[4:7])], (answer.finish, answer.text, text))
    r = make_request(max_tokens=5000)
    r.response.text = False
    answer = generate(server, r)[0]
    check("max_tokens beyond the context is the rest of it",
          answer.finish.usage.completion_tokens == 995 and not answer.text, answer.finish.usage)
    with grpc.insecure_channel(server.addresses[1]) as channel:
        stub = inference_pb2_grpc.InferenceStub(channel)
        check("unix sockets work", len(list(stub.Generate(make_request()))) > 0)


def test_prompts(server):
    def prompt_ids(**kind):
        r = pb.GenerateRequest(**kind)
        r.stopping.max_tokens = 1
        r.response.prompt_token_ids = True
        return list(next(iter(server.inference.Generate(r))).prompt.token_ids)

    def tokenize(**kind):
        return server.inference.Tokenize(pb.TokenizeRequest(**kind))

    plain = list(tokenize(text="hello world").token_ids)
    check("a text gets its <bos>", prompt_ids(text="hello world") == [2] + plain, plain)
    check("once", prompt_ids(text="<bos>hello world") == [2] + plain)
    chat = '{"messages": [{"role": "user", "content": "hi <bos>"}]}'
    rendered = tokenize(chat_json=chat)
    check("a chat is rendered", rendered.text.startswith("<bos>") and "hi" in rendered.text)
    check("the same for both", prompt_ids(chat_json=chat) == list(rendered.token_ids))
    check("special tokens of users are text", list(rendered.token_ids).count(2) == 1)
    parsed = tokenize(chat_json=chat, parse_special=True)
    check("unless they are asked for", list(parsed.token_ids).count(2) == 2)
    check("text without special tokens", tokenize(text="<bos>", parse_special=False).token_ids
          != [2] and list(tokenize(text="<bos>").token_ids) == [2])
    for text in ("", "a", "a\x00b", "\x00", "h\u00e9llo \u4e16\u754c \U0001f600\u200d", "x" * 5000,
                 "  two  spaces\n\n"):
        ids = tokenize(text=text, parse_special=False).token_ids
        back = server.inference.Detokenize(pb.DetokenizeRequest(token_ids=ids)).text
        check(f"{text[:20]!r} comes back", back == text, back[:50])
    ids = [2, 100, 1]
    kept = server.inference.Detokenize(
        pb.DetokenizeRequest(token_ids=ids, skip_special_tokens=False)).text
    check("special tokens are shown when asked for", kept.startswith("<bos>"), kept)
    for kind, field in (({}, "input"), ({"chat_json": "{"}, "chat_json"),
                        ({"chat_json": "{}"}, "chat_json")):
        code, why = error_of(lambda kind=kind: tokenize(**kind))
        check(f"Tokenize({kind}) is refused", code == Code.INVALID_ARGUMENT and field in why, why)
    code, why = error_of(
        lambda: server.inference.Detokenize(pb.DetokenizeRequest(token_ids=[5, 1024])))
    check("unknown ids have no text", code == Code.INVALID_ARGUMENT and "token_ids[1]" in why, why)
    info = server.inference.GetModelInfo(pb.GetModelInfoRequest())
    check("model info", (info.model, info.vocab_size, list(info.stop_token_ids), info.bos_token_id)
          == ("fixture", 1024, [1, 9, 16], 2) and info.has_chat_template, info)


def test_bad_requests(server):
    def bad(field, change, code=Code.INVALID_ARGUMENT, r=None):
        r = r or make_request()
        change(r)
        got, why = error_of(lambda: server.inference.Generate(r))
        check(f"{field} is refused", got == code and field in why, f"{got} {why}")

    for name, value in (("temperature", 2.5), ("temperature", float("nan")), ("top_p", 1.5),
                        ("min_p", -0.1), ("top_k", -2), ("repetition_penalty", 0.0),
                        ("frequency_penalty", 3), ("presence_penalty", float("inf")), ("n", 129)):
        bad(name, lambda r, n=name, v=value: setattr(r.sampling, n, v))
    bad("logit_bias", lambda r: r.sampling.logit_bias.update({1024: 1}))
    bad("logprobs", lambda r: setattr(r.response, "logprobs", 21))
    bad("prompt_logprobs", lambda r: setattr(r.response, "prompt_logprobs", 21))
    bad("max_tokens", lambda r: setattr(r.stopping, "max_tokens", 0))
    bad("min_tokens", lambda r: setattr(r.stopping, "min_tokens", 21))
    bad("stop", lambda r: r.stopping.stop.append(""))
    bad("prompt", lambda r: r.ClearField("token_ids"))
    bad("prompt", lambda r: r.token_ids.ids.append(1024))
    bad("image", lambda r: r.token_ids.ids.append(1019))
    bad("1000", lambda r: r.token_ids.ids.extend([5] * 995))
    bad("request_id", lambda r: setattr(r, "request_id", "a\nb"))

    def raw(path, payload):
        call = server.channel.unary_unary(path, request_serializer=None,
                                          response_deserializer=None)
        return error_of(lambda: call(payload, timeout=10))

    for payload in (b"\xff", b"\x12\x05abc", b"\x1a\x02\x0a\x80"):
        code, why = raw("/gemmad.v1.Inference/Generate", payload)
        check("garbage is refused", code == Code.INVALID_ARGUMENT, (code, why))
    code, why = raw("/gemmad.v1.Inference/Generate", b"\x12\x02\xc3\x28")
    check("bytes that are no text too", code == Code.INVALID_ARGUMENT and "UTF-8" in why, why)
    code, why = raw("/gemmad.v1.Inference/Generate", b"\x2a" + b"\xff\xff\xff\x06" + b"\x4a\x00" * (
        7 << 20))
    check("what needs too much memory", code in (Code.RESOURCE_EXHAUSTED, Code.INVALID_ARGUMENT),
          (code, why))
    code, why = raw("/gemmad.v1.Inference/Nothing", b"")
    check("unknown methods are UNIMPLEMENTED", code == Code.UNIMPLEMENTED, (code, why))
    code, why = raw("/gemmad.v1.Inference/Generate", b"x" * (65 << 20))
    check("messages have a limit", code == Code.RESOURCE_EXHAUSTED, (code, why))
    call = server.channel.unary_unary("/gemmad.v1.Inference/Tokenize", request_serializer=None,
                                      response_deserializer=None)
    code, why = error_of(lambda: call(b"\x0a\x01a", timeout=10, compression=grpc.Compression.Gzip))
    check("compression is refused", code == Code.UNIMPLEMENTED, (code, why))


def test_ends(server):
    server.tell("hold")
    code, _ = error_of(lambda: server.inference.Generate(make_request(), timeout=0.3))
    check("a deadline is honoured", code == Code.DEADLINE_EXCEEDED, code)
    server.tell("go")
    check("and frees the pages", pages_are_whole(idle_stats(server)))

    server.tell("hold")
    r = make_request()
    r.request_id = "the one"
    call = server.inference.Generate(r)
    while server.stats().running == 0:
        time.sleep(0.01)
    code, why = error_of(lambda: server.inference.Generate(r))
    check("an id in use is refused", code == Code.ALREADY_EXISTS and "the one" in why, why)
    found = server.inference.Abort(pb.AbortRequest(request_id="the one")).found
    check("Abort finds it", found)
    events = list(call)
    check("it finishes with ABORT", events[-1].finish.reason == pb.ABORT, events)
    found = server.inference.Abort(pb.AbortRequest(request_id="the one")).found
    check("once", not found)
    server.tell("go")
    answer = generate(server, r)[0]
    check("the id is free again", answer.finish.reason == pb.LENGTH)

    server.tell("hold")
    r = make_request()
    r.stopping.time_limit_ms = 100
    events = list(server.inference.Generate(r))
    check("a time limit finishes", events[-1].finish.reason == pb.TIME_LIMIT, events)
    server.tell("go")


def test_slow_client(server):
    before = server.stats().requests
    r = make_request(n_prompt=5, max_tokens=900, n=8)
    r.response.logprobs = 20
    # Its window does not grow by itself.
    channel = grpc.insecure_channel(server.addresses[0], [("grpc.http2.bdp_probe", 0)])
    call = inference_pb2_grpc.InferenceStub(channel).Generate(r)
    # Nobody reads it, and the server must not wait for that.
    check("others are served", len(generate(server, make_request())[0].tokens) == 20)
    idle_stats(server, before + 2)
    code, why = error_of(lambda: call)
    check("a client that does not read is ended", code == Code.RESOURCE_EXHAUSTED, (code, why))
    check("its pages are free", pages_are_whole(idle_stats(server)))
    channel.close()


def test_large_prompt_event(server):
    """Larger alone than all that may wait for a client (64 KiB here)."""
    r = make_request(n_prompt=900, max_tokens=3)
    r.response.prompt_logprobs = 20
    for _ in range(10):  # the first delta comes at once behind it
        answer = generate(server, r)[0]
        check("a client that reads gets it", len(answer.prompt_logprobs) == 899 and
              all(len(p.top) == 20 for p in answer.prompt_logprobs), len(answer.prompt_logprobs))
        check("and the answer", len(answer.tokens) == 3, answer.tokens)


def test_heavy_calls(server):
    """Health and control have a thread that huge prompts do not reach."""
    text = " " * (1 << 20)
    calls = [server.inference.Tokenize.future(pb.TokenizeRequest(text=text)) for _ in range(24)]
    answered = 0
    while not all(call.done() for call in calls):
        server.health.Check(health_pb2.HealthCheckRequest(), timeout=60)
        server.stats()
        answered += not calls[-1].done()
    check("health answers while huge texts are tokenized", answered > 0, "the last text was first")
    for call in calls:
        check("huge texts are tokenized", len(call.result().token_ids) > 0)


def test_reflection_v1(server):
    # The same messages under the other name.
    call = server.channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString)
    questions = [reflection_pb2.ServerReflectionRequest(list_services=""),
                 reflection_pb2.ServerReflectionRequest(
                     file_by_filename="gemmad/v1/inference.proto"),
                 reflection_pb2.ServerReflectionRequest(
                     file_containing_symbol="gemmad.v1.GenerateRequest"),
                 reflection_pb2.ServerReflectionRequest(file_containing_symbol="no.Such"),
                 reflection_pb2.ServerReflectionRequest(
                     all_extension_numbers_of_type="gemmad.v1.GenerateRequest")]
    answers = list(call(iter(questions)))
    kinds = [a.WhichOneof("message_response") for a in answers]
    check("reflection v1 answers in order", kinds == [
        "list_services_response", "file_descriptor_response", "file_descriptor_response",
        "error_response", "error_response"], kinds)
    check("with what was asked", [a.original_request for a in answers] == questions)
    code, _ = error_of(lambda: call(iter([])))
    check("no question, no answer", code == Code.OK, code)


def test_drain():
    server = Server()
    watched = server.health.Watch(health_pb2.HealthCheckRequest())
    next(watched)
    server.tell("hold")
    running = server.inference.Generate(make_request())
    while server.stats().running == 0:
        time.sleep(0.01)
    drain = server.control.Drain.future(control_pb2.DrainRequest())
    check("Watch sees the draining", next(watched).status == NOT_SERVING)
    code, why = error_of(lambda: server.inference.Generate(make_request()))
    check("no new requests", code == Code.UNAVAILABLE and "drain" in why, (code, why))
    info = server.control.GetServerInfo(control_pb2.GetServerInfoRequest())
    check("the state is draining", info.state == "draining")
    check("Drain waits for what runs", not drain.done())
    server.tell("go")
    check("what runs is finished", list(running)[-1].finish.reason == pb.LENGTH)
    drain.result(10)
    server.control.Drain(control_pb2.DrainRequest(), timeout=10)
    server.stop()


def test_shutdown():
    server = Server()
    server.tell("hold")
    ended = []
    threads = [threading.Thread(target=lambda: ended.append(error_of(
        lambda: server.inference.Generate(make_request()))[0])) for _ in range(20)]
    for thread in threads:
        thread.start()
    while True:
        stats = server.stats()
        if stats.running + stats.waiting == 20:
            break
        time.sleep(0.01)
    watched = server.health.Watch(health_pb2.HealthCheckRequest())
    next(watched)
    server.stop(grace_ms=100)
    for thread in threads:
        thread.join()
    check("a shutdown ends every call", set(ended) <= {Code.CANCELLED, Code.UNAVAILABLE} and
          len(ended) == 20, ended)


def main():
    test_loading()
    server = Server()
    test_health(server)
    test_generate(server)
    test_prompts(server)
    test_bad_requests(server)
    test_ends(server)
    test_slow_client(server)
    test_large_prompt_event(server)
    test_heavy_calls(server)
    test_reflection_v1(server)
    for seed in range(3):
        stream_and_cancel(report, server, server.inference.Generate, seed)
    stream_and_cancel(report, server, reflected_generate(report, server), 3)
    server.stop()
    test_drain()
    test_shutdown()
    report.close()


if __name__ == "__main__":
    main()
