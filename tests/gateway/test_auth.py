#!/usr/bin/env python3
"""API keys in front of every method, as stock clients meet them: what the server's own descriptors
list, and every route of the HTTP front end, is called without a key, with a wrong one and with a
right one."""
import hashlib
import http.client
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "serving"))
from daemon import BUILD, TESTS, Report  # noqa: E402

from google.protobuf import descriptor_pb2  # noqa: E402

Code = grpc.StatusCode
PATIENCE = 60
KEYS = {"one": "a-key-of-one", "two": "gm-2"}
report = Report()
check = report.check


def keys_text():
    lines = [f"{name}:sha256:{hashlib.sha256(key.encode()).hexdigest()}"
             for name, key in KEYS.items()]
    return "# two users\n" + "\n".join(lines) + "\n"


class Server:
    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="gemmad-test-")
        self.process = subprocess.Popen(
            [BUILD / "tests/gateway/gateway_test_server",
             TESTS / "data/goldens/dense/checkpoint", f"unix:{self.folder.name}/socket",
             keys_text()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addresses = self.process.stdout.readline().split()[1:]
        self.channel = grpc.insecure_channel(self.addresses[0])
        self.http = self.addresses[2]
        self.tell("load")
        return self

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n", line

    def __exit__(self, *_):
        self.channel.close()
        self.tell("quit 0")
        check("the server ends well", self.process.wait(PATIENCE) == 0)
        self.folder.cleanup()


def bearer(key):
    return (("authorization", f"Bearer {key}"),)


def code_of(channel, path, metadata=None, request=b""):
    """Of any method, by its bytes."""
    call = channel.stream_stream(path)(iter([request]), metadata=metadata, timeout=PATIENCE)
    try:
        for _ in call:
            call.cancel()
            return Code.OK
        return Code.OK
    except grpc.RpcError as error:
        return error.code()


def list_methods(channel):
    """By reflection, which needs a key itself."""
    def ask(question):
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        return next(stub.ServerReflectionInfo(iter([question]), metadata=bearer(KEYS["one"])))
    listed = ask(reflection_pb2.ServerReflectionRequest(list_services=""))
    for service in listed.list_services_response.service:
        answer = ask(reflection_pb2.ServerReflectionRequest(file_containing_symbol=service.name))
        for data in answer.file_descriptor_response.file_descriptor_proto:
            file = descriptor_pb2.FileDescriptorProto.FromString(data)
            for described in file.service:
                if f"{file.package}.{described.name}" == service.name:
                    for method in described.method:
                        yield f"/{service.name}/{method.name}"


def test_every_method(server):
    methods = list(list_methods(server.channel))
    check("there are methods", len(methods) > 10, methods)
    for path in methods:
        is_open = path.startswith("/grpc.health.v1.Health/")
        for name, metadata in (("no key", None), ("a wrong key", bearer("a-key-of-on")),
                               ("the hash", bearer(keys_text().split(":")[2][:64])),
                               ("another scheme", (("authorization", KEYS["one"]),))):
            code = code_of(server.channel, path, metadata)
            check(f"{path} with {name}", (code == Code.UNAUTHENTICATED) != is_open, code)
        if path.endswith("/Drain"):
            continue
        for metadata in (bearer(KEYS["one"]), bearer(KEYS["two"]), (("x-api-key", KEYS["two"]),)):
            code = code_of(server.channel, path, metadata)
            check(f"{path} with a right key", code != Code.UNAUTHENTICATED, code)


def test_unknown_methods(server):
    code = code_of(server.channel, "/no.Such/Method")
    check("who has no key does not learn what there is", code == Code.UNAUTHENTICATED, code)
    code = code_of(server.channel, "/no.Such/Method", bearer(KEYS["one"]))
    check("who has one does", code == Code.UNIMPLEMENTED, code)


def test_other_listeners(server):
    with grpc.insecure_channel(server.addresses[1]) as channel:
        path = "/gemmad.v1.Control/GetStats"
        check("a socket needs a key too", code_of(channel, path) == Code.UNAUTHENTICATED)
        check("and takes it", code_of(channel, path, bearer(KEYS["two"])) == Code.OK)


def test_strange_headers(server):
    path = "/gemmad.v1.Control/GetStats"
    for value in ("", " ", "Bearer", "Bearer ", "Bearer  ", "Bearer " + "x" * 4000):
        code = code_of(server.channel, path, (("authorization", value),))
        check(f"{value[:20]!r} is no key", code == Code.UNAUTHENTICATED, code)
    several = (("authorization", "Bearer no"), ("authorization", f"Bearer {KEYS['one']}"))
    check("the last of two counts", code_of(server.channel, path, several) == Code.OK)


def test_health(server):
    stub = health_pb2_grpc.HealthStub(server.channel)
    answer = stub.Check(health_pb2.HealthCheckRequest())
    check("health needs none", answer.status == health_pb2.HealthCheckResponse.SERVING)


def http_code(server, method, path, headers=()):
    """(status, body) of a request; a header may be there twice."""
    host, port = server.http.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
    connection.putrequest(method, path)
    body = b"{}" if method == "POST" else b""
    for name, value in (("content-type", "application/json"), ("content-length", len(body)), *headers):
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, text


def http_routes():
    """Of the sources: there is no list of them to ask for."""
    for file in sorted((TESTS.parent / "gateway").glob("http_*.c")):
        for line in re.findall(r'^ *\{.*"/.*on_.*', file.read_text(), re.M):
            method = re.search(r'\.method = "(\w+)"', line)
            yield method[1] if method else "POST", re.search(r'"(/[^"]*)"', line)[1]


def test_every_route(server):
    routes = list(http_routes())
    check("there are routes", len(routes) > 8, routes)
    right = (("authorization", f"Bearer {KEYS['one']}"),)
    for method, path in [*routes, ("GET", "/nothing"), ("DELETE", "/v1/models")]:
        is_open = path in ("/", "/health", "/ready")
        for headers in ((), (("authorization", "Bearer a-key-of-on"),), (("x-api-key", "Bearer"),),
                        (("authorization", KEYS["one"]),), (("x-api-key", f"Bearer {KEYS['one']}"),)):
            status, body = http_code(server, method, path, headers)
            check(f"{method} {path} {headers}", (status == 401) != is_open, status)
            if status == 401:
                check("in OpenAI's form", "API key" in json.loads(body)["error"]["message"], body)
                check("which says nothing", KEYS["one"].encode() not in body, body)
        for headers in (right, (("x-api-key", KEYS["two"]),), (("Authorization", f"bearer {KEYS['two']}"),)):
            status, _ = http_code(server, method, path, headers)
            check(f"{method} {path} with a key", status != 401, status)
    status, _ = http_code(server, "GET", "/v1/models", (("x-api-key", "k" * 4000),))
    check("a huge key is none", status in (401, 431), status)


def main():
    with Server() as server:
        test_every_method(server)
        test_unknown_methods(server)
        test_other_listeners(server)
        test_strange_headers(server)
        test_health(server)
        test_every_route(server)
    report.close()


if __name__ == "__main__":
    main()
