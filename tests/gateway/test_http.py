#!/usr/bin/env python3
"""The HTTP front end as the standard library sees it: routes, limits, streams, clients that go away.
The engine is real, the device is a fake (server.c).
"""
import concurrent.futures
import hashlib
import http.client
import json
import pathlib
import socket
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "serving"))
sys.path.insert(0, str(pathlib.Path(__file__).parent))
import test_grpc  # noqa: E402
from daemon import control_pb2, pb  # noqa: E402
from streams import idle_stats, pages_are_whole  # noqa: E402

report = test_grpc.report
check = report.check
USER = [{"role": "user", "content": "hi"}]
SCHEMA = {"type": "object", "required": ["a"], "additionalProperties": False,
          "properties": {"a": {"enum": ["x", "y"]}}}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}]


class Server(test_grpc.Server):
    """With a key: everything but health asks for it."""

    def __init__(self, loaded=True, key=None):
        super().__init__(loaded, keys=key and f"test:sha256:{hashlib.sha256(key.encode()).hexdigest()}")

    @property
    def http(self):
        return http.client.HTTPConnection(self.addresses[2], timeout=60)

    def ask(self, method, path, body=None, headers=None, connection=None):
        """(code, headers, body)"""
        c = connection or self.http
        headers = dict(headers or {})
        if isinstance(body, dict):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        c.request(method, path, body, headers)
        answer = c.getresponse()
        return answer.status, answer.headers, answer.read()

    def post(self, path, body, headers=None):
        """(code, parsed answer)"""
        code, _, text = self.ask("POST", path, body, headers)
        return code, json.loads(text)

    def stream(self, path, body):
        """The chunks, and whether [DONE] ended them."""
        code, headers, text = self.ask("POST", path, {**body, "stream": True})
        assert code == 200 and headers["Content-Type"].startswith("text/event-stream"), text
        events = [e for e in text.decode().split("\n\n") if e]
        assert all(e.startswith("data: ") for e in events), events
        return [json.loads(e[6:]) for e in events if e != "data: [DONE]"], events[-1] == "data: [DONE]"

    def running(self):
        stats = self.stats()
        return stats.running + stats.waiting


def eventually(name, condition, seconds=30):
    end = time.monotonic() + seconds
    while not (so := condition()) and time.monotonic() < end:
        time.sleep(0.01)
    check(name, so)


def chat(**options):
    return {"messages": USER, "max_tokens": 12, "ignore_eos": True, **options}


def test_loading():
    server = Server(loaded=False)
    check("health answers while loading", server.ask("GET", "/health")[0] == 200)
    check("ready does not", server.ask("GET", "/ready")[0] == 503)
    code, answer = server.post("/v1/chat/completions", chat())
    check("a chat is 503 while loading", code == 503 and "loading" in answer["error"]["message"], answer)
    check("so are the models", server.ask("GET", "/v1/models")[0] == 503)
    check("the page is there", server.ask("GET", "/")[2].startswith(b"<!doctype html>"))
    check("metrics are there", b"gemmad_" in server.ask("GET", "/metrics")[2])
    server.tell("load")
    check("ready once it is loaded", server.ask("GET", "/ready")[0] == 200)
    server.tell("serving 0")
    check("not while workers are started again", server.ask("GET", "/ready")[0] == 503)
    server.stop()


def test_keys():
    server = Server(key="secret-key-of-a-test", loaded=False)
    for path, want in (("/health", 200), ("/ready", 503), ("/", 200), ("/v1/models", 401), ("/metrics", 401), ("/no", 401)):
        check(f"{path} without a key is {want}", server.ask("GET", path)[0] == want)
    for path in ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/tokenize", "/detokenize", "/v1/embeddings"):
        code, headers, body = server.ask("POST", path, {})
        check(f"{path} without a key is 401", code == 401 and headers["WWW-Authenticate"] == "Bearer" and
              json.loads(body)["error"]["type"] == "authentication_error", (code, body))
    for headers, want in (({"Authorization": "Bearer secret-key-of-a-test"}, 503), ({"X-Api-Key": "secret-key-of-a-test"}, 503),
                          ({"Authorization": "Bearer wrong"}, 401), ({"Authorization": "secret-key-of-a-test"}, 401)):
        check(f"{headers} is {want}", server.ask("GET", "/v1/models", headers=headers)[0] == want)
    server.stop()


def test_routes(server):
    for method, path, want in (("GET", "/nowhere", 404), ("GET", "/v1/chat/completions", 405),
                               ("POST", "/health", 405), ("DELETE", "/v1/models", 405), ("HEAD", "/", 200),
                               ("HEAD", "/health", 200), ("GET", "/v1/models/", 404), ("POST", "/v1/embeddings", 501)):
        code, headers, body = server.ask(method, path, {} if method == "POST" else None)
        check(f"{method} {path} is {want}", code == want, (code, body))
        check(f"{method} {path}: HEAD has no body", method != "HEAD" or body == b"")
        check(f"{method} {path}: 405 says what may be", code != 405 or headers["Allow"] in ("POST", "GET, HEAD"))
        check(f"{method} {path}: an error is JSON", code == 200 or "message" in json.loads(body)["error"])
        check(f"{method} {path}: no CORS", headers["Access-Control-Allow-Origin"] is None)
    _, headers, _ = server.ask("GET", "/health", headers={"X-Request-Id": "mine-1"})
    check("a request id comes back", headers["X-Request-Id"] == "mine-1")
    _, headers, _ = server.ask("GET", "/health", headers={"X-Request-Id": "x" * 500})
    check("not a huge one", headers["X-Request-Id"].startswith("req_"))
    data = json.loads(server.ask("GET", "/v1/models")[2])["data"]
    check("the model is listed", [m["id"] for m in data] == ["fixture"])
    check("and found by its name", json.loads(server.ask("GET", "/v1/models/fixture")[2])["id"] == "fixture")
    code, _, text = server.ask("GET", "/v1/models/other")
    check("another is not", code == 404 and json.loads(text)["error"]["code"] == "model_not_found", text)
    code, answer = server.post("/tokenize", {"prompt": "Hello"})
    check("tokens begin with <bos>", code == 200 and answer["tokens"][0] == 2 and answer["count"] == len(answer["tokens"]))
    code, text = server.post("/detokenize", {"tokens": answer["tokens"][1:]})
    check("and become the text", text == {"prompt": "Hello"}, text)
    code, answer = server.post("/tokenize", {"messages": USER})
    check("a chat has tokens", code == 200 and answer["count"] > 10, answer)
    for body in ({}, {"prompt": 1}, {"messages": 1}, {"messages": []}):
        check(f"tokenize {body} is 400", server.post("/tokenize", body)[0] == 400)
    for body in ({}, {"tokens": "x"}, {"tokens": [5, "x"]}, {"tokens": [1 << 40]}, {"tokens": [-1]}):
        check(f"detokenize {body} is 400", server.post("/detokenize", body)[0] == 400)


def test_bodies(server):
    path = "/v1/chat/completions"
    c = server.http
    code, _, _ = server.ask("POST", path, "x" * (65 << 20), {"Content-Type": "application/json"}, c)
    check("65 MiB are 413", code == 413, code)
    code, _, _ = server.ask("POST", path, "{}", {"Content-Type": "text/plain"})
    check("text is 415", code == 415, code)
    code, _, _ = server.ask("POST", path, json.dumps(chat()), {"Content-Type": "application/json; charset=utf-8"})
    check("a charset is fine", code == 200, code)
    for body in (b"", b"{", b"[]", b"\xff", b"1", b'{"messages":' + b"[" * 5000):
        code, headers, text = server.ask("POST", path, body, {"Content-Type": "application/json"})
        check(f"{body[:20]} is 400", code == 400 and json.loads(text)["error"]["type"] == "invalid_request_error", text)
    code, _, text = server.ask("POST", path, iter([json.dumps(chat()).encode()[:20], json.dumps(chat()).encode()[20:]]),
                               {"Content-Type": "application/json"})
    check("a chunked body is read", code == 200, text)
    code, _, _ = server.ask("GET", "/health", headers={"X-Large": "x" * 100000})
    check("large headers are refused", code in (413, 431, 494), code)
    c = server.http
    for _ in range(3):
        check("a connection is kept", server.ask("POST", path, chat(max_tokens=2), connection=c)[0] == 200)


def test_bad_fields(server):
    cases = [({"temperature": 3}, "temperature"), ({"temperature": "1"}, "temperature"), ({"nope": 1}, "nope"),
             ({"messages": []}, "messages"), ({"n": 0}, "n"), ({"max_tokens": 0}, "max_tokens"),
             ({"top_logprobs": 3}, "top_logprobs"), ({"logit_bias": {"x": 1}}, "logit_bias"),
             ({"stop": [1]}, "stop"), ({"stream_options": {"include_usage": True}}, "stream_options"),
             ({"tools": [{}]}, "tools[0].type"), ({"tool_choice": "required"}, "tool_choice"),
             ({"guided_regex": "("}, "guided_regex"), ({"guided_regex": "a", "guided_json": {}}, "guided_regex"),
             ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "x"}}}}, "response_format"),
             ({"thinking_budget": -1}, "thinking_budget"), ({"stream": "yes"}, "stream")]
    for fields, param in cases:
        code, answer = server.post("/v1/chat/completions", {**chat(), **fields})
        check(f"{fields} is 400 and names it", code == 400 and answer["error"]["param"] == param, (code, answer))
    code, answer = server.post("/v1/chat/completions", {**chat(), "model": "other"})
    check("another model is 404", code == 404 and answer["error"]["code"] == "model_not_found", answer)
    picture = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png,AA=="}}]}]
    code, answer = server.post("/v1/chat/completions", {**chat(), "messages": picture})
    check("a data URI that is none is 400", code == 400 and answer["error"]["param"] == "messages[0].content[0].image_url", (code, answer))
    code, answer = server.post("/tokenize", {"messages": picture})
    check("a picture is not tokenized", code == 501 and "messages[0].content[0]" in answer["error"]["message"], (code, answer))


def joined(chunks):
    """What the choices of a stream say."""
    choices = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            said = choices.setdefault(choice["index"], {"text": "", "calls": [], "finish": None, "logprobs": []})
            delta = choice.get("delta", {})
            said["text"] += delta.get("content") or choice.get("text") or ""
            said["calls"] += [(c["function"]["name"], c["function"]["arguments"]) for c in delta.get("tool_calls", [])]
            said["finish"] = choice["finish_reason"] or said["finish"]
            said["logprobs"] += [t["logprob"] for t in ((choice.get("logprobs") or {}).get("content") or [])]
    return choices


def test_answers(server):
    path = "/v1/chat/completions"
    for options in ({"n": 3}, {"logprobs": True, "top_logprobs": 2}, {"tools": TOOLS, "tool_choice": "required"},
                    {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}}}):
        body = chat(temperature=0, seed=5, max_tokens=60, **options)
        _, whole = server.post(path, body)
        chunks, done = server.stream(path, {**body, "stream_options": {"include_usage": True}})
        streamed = joined(chunks)
        check(f"{options}: [DONE] ends the stream", done)
        check(f"{options}: the role comes first", chunks[0]["choices"][0]["delta"]["role"] == "assistant")
        check(f"{options}: usage comes last", chunks[-1]["choices"] == [] and chunks[-1]["usage"]["total_tokens"] ==
              chunks[-1]["usage"]["prompt_tokens"] + chunks[-1]["usage"]["completion_tokens"])
        check(f"{options}: one id", len({c["id"] for c in chunks}) == 1)
        for choice in whole["choices"]:
            message, said = choice["message"], streamed[choice["index"]]
            check(f"{options}: the finish is the same", said["finish"] == choice["finish_reason"], (said, choice))
            check(f"{options}: calls are the same", len(said["calls"]) == len(message.get("tool_calls", [])))
            if choice["logprobs"]:
                check(f"{options}: a logprob for each token", len(choice["logprobs"]["content"]) == len(said["logprobs"]))
    call = server.post(path, chat(tools=TOOLS, tool_choice="required", parallel_tool_calls=False, max_tokens=60))[1]["choices"][0]
    check("a call that is required comes", call["finish_reason"] == "tool_calls" and
          json.loads(call["message"]["tool_calls"][0]["function"]["arguments"])["a"] in "xy", call)
    answers = server.post("/v1/completions", {"prompt": ["a", "b"], "n": 2, "max_tokens": 3, "echo": True})[1]
    check("two prompts, two choices each", [c["index"] for c in answers["choices"]] == [0, 1, 2, 3] and
          answers["choices"][2]["text"].startswith("b"), answers)
    answer = server.post("/v1/completions", {"prompt": [100, 101], "max_tokens": 3, "ignore_eos": True, "logprobs": 2})[1]
    logprobs = answer["choices"][0]["logprobs"]
    check("logprobs stand side by side", len(logprobs["tokens"]) == len(logprobs["token_logprobs"]) ==
          len(logprobs["top_logprobs"]) == len(logprobs["text_offset"]) == 3, logprobs)
    chunks, done = server.stream("/v1/completions", {"prompt": "a", "max_tokens": 5, "ignore_eos": True})
    check("a completion streams", done and joined(chunks)[0]["finish"] == "length", chunks)


def test_grpc_chat(server):
    def ask(**body):
        return [json.loads(r.json) for r in server.inference.Chat(pb.ChatRequest(json=json.dumps(body)))]
    whole = ask(**chat(temperature=0, max_tokens=30))
    check("Chat answers whole", len(whole) == 1 and whole[0]["object"] == "chat.completion", whole)
    chunks = ask(**chat(stream=True))
    check("Chat streams", len(chunks) > 1 and joined(chunks)[0]["finish"] == "length", chunks)
    code, why = test_grpc.error_of(lambda: server.inference.Chat(pb.ChatRequest(json=json.dumps(chat(temperature=9)))))
    check("its errors are statuses", code == test_grpc.Code.INVALID_ARGUMENT and why.startswith("temperature="), (code, why))
    r = test_grpc.make_request()
    r.structured_output.choice.choices.extend(["one", "two"])
    r.stopping.ignore_eos = False
    text = "".join(x.delta.text for x in server.inference.Generate(r))
    check("Generate is bound to choices", text in ("one", "two"), text)


def raw_post(server, body):
    """A socket that has asked and not read."""
    host, port = server.addresses[2].rsplit(":", 1)
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect((host, int(port)))
    data = json.dumps(body).encode()
    s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
              b"Content-Length: %d\r\n\r\n" % len(data) + data)
    return s


def test_framing(server):
    host, port = server.addresses[2].rsplit(":", 1)
    for framing in ("Content-Length: 5\r\nTransfer-Encoding: chunked", "Content-Length: 0\r\nContent-Length: 5",
                    "Content-Length: 5\r\nContent-Length: 0"):
        s = socket.create_connection((host, int(port)), timeout=30)
        s.sendall(f"POST /tokenize HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n0\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answer = b""
        try:
            while data := s.recv(4096):
                answer += data
        except ConnectionResetError:
            pass
        s.close()
        check(f"{framing!r}: a body with two lengths is 400, and what follows it is not read",
              answer.startswith(b"HTTP/1.1 400") and answer.count(b"HTTP/1.1") == 1, answer)


def test_clients_that_go(server):
    for stream in (False, True):
        server.tell("hold")
        sockets = [raw_post(server, chat(max_tokens=900, stream=stream)) for _ in range(8)]
        eventually("all run", lambda: server.running() == 8)
        for s in sockets:
            s.close()
        eventually(f"a client that goes ends its request (stream {stream})", lambda: server.running() == 0)
        server.tell("go")
    check("their pages come back", pages_are_whole(idle_stats(server)))


def test_slow_client(server):
    bodies = chat(max_tokens=900, n=16, stream=True, logprobs=True, top_logprobs=20)
    before = server.stats().requests
    sockets = [raw_post(server, bodies) for _ in range(2)]
    eventually("both began", lambda: server.stats().requests == before + 2)
    eventually("a client that does not read is cut off", lambda: server.running() == 0)
    check("health answers meanwhile", server.ask("GET", "/health")[0] == 200)
    for s in sockets:
        s.close()
    check("its pages come back", pages_are_whole(idle_stats(server)))


def test_heavy_requests(server):
    big = json.dumps({"messages": [{"role": "user", "content": "word " * (2 << 20)}]}).encode()
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(server.ask, "POST", "/v1/chat/completions", big, {"Content-Type": "application/json"})
                 for _ in range(6)]
        slowest = 0
        while not all(a.done() for a in asked):
            began = time.monotonic()
            server.ask("GET", "/health")
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(0.01)
        check("a prompt that is too long is 400", {a.result()[0] for a in asked} == {400}, [a.result()[0] for a in asked])
        check("health does not wait for huge prompts", slowest < 2, slowest)


def test_many(server):
    def one(i):
        if i % 3 == 0:
            s = raw_post(server, chat(max_tokens=200, stream=True))
            s.recv(100)
            s.close()
            return True
        if i % 3 == 1:
            chunks, done = server.stream("/v1/chat/completions", chat(max_tokens=50))
            return done and joined(chunks)[0]["finish"] == "length"
        code, answer = server.post("/v1/chat/completions", chat(max_tokens=50))
        return code == 200 and answer["usage"]["completion_tokens"] == 50
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        check("many at once are served", all(pool.map(one, range(96))))
    check("all pages come back", pages_are_whole(idle_stats(server)))


def test_shutdown():
    server = Server()
    server.tell("hold")
    ended = []

    def ask(stream):
        try:
            code, _, _ = server.ask("POST", "/v1/chat/completions", chat(stream=stream))
            ended.append(code)
        except (http.client.HTTPException, OSError):
            ended.append("cut")
    threads = [threading.Thread(target=ask, args=(i % 2 == 0,)) for i in range(10)]
    idle = server.http
    server.ask("GET", "/health", connection=idle)
    for t in threads:
        t.start()
    eventually("all run", lambda: server.running() == 10)
    half = raw_post(server, {"x": 1})
    server.stop(grace_ms=100)
    for t in threads:
        t.join()
    half.close()
    check("a shutdown ends every request", len(ended) == 10 and 200 not in ended, ended)


def test_drain():
    server = Server()
    server.tell("hold")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(server.post, "/v1/chat/completions", chat())
        eventually("it runs", lambda: server.running() == 1)
        server.tell("drain")
        code, answer = server.post("/v1/chat/completions", chat())
        check("no new one while draining", code == 503 and "draining" in answer["error"]["message"], answer)
        check("not ready while draining", server.ask("GET", "/ready")[0] == 503)
        server.tell("go")
        check("what runs is finished", running.result(30)[0] == 200)
    server.control.Drain(control_pb2.DrainRequest(), timeout=10)
    server.stop()


def main():
    test_loading()
    test_keys()
    server = Server()
    for part in (test_routes, test_bodies, test_bad_fields, test_answers, test_grpc_chat, test_framing, test_clients_that_go,
                 test_slow_client, test_heavy_requests, test_many):
        part(server)
    server.stop()
    test_drain()
    test_shutdown()
    report.close()


if __name__ == "__main__":
    main()
