#!/usr/bin/env python3
"""GET /metrics of a server that has work: what its requests were is in it, whichever way they came."""
import json
import sys
import urllib.request

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from test_grpc import Server, check, error_of, report  # noqa: E402 (finds tests/serving)
from daemon import pb  # noqa: E402
from streams import make_request  # noqa: E402


def read(server):
    """The samples by name and labels."""
    url = f"http://{server.addresses[2]}/metrics"
    with urllib.request.urlopen(url, timeout=60) as answer:
        kind = answer.headers["Content-Type"]
        check("Prometheus' content type", kind.startswith("text/plain; version=0.0.4"), kind)
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, value in
            (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def main():
    server = Server(loaded=False)
    before = read(server)
    check("there while loading", before["gemmad_serving"] == 0 and
          before["gemmad_requests_total"] == 0, before)
    server.tell("load")
    request = make_request()
    request.stopping.max_tokens = 7
    request.stopping.ignore_eos = True
    list(server.inference.Generate(request))
    body = {"messages": [{"role": "user", "content": "a b"}], "max_tokens": 5, "n": 2}
    ask = urllib.request.Request(f"http://{server.addresses[2]}/v1/chat/completions",
                                 json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(ask, timeout=60) as answer:
        usage = json.load(answer)["usage"]
    bad = pb.GenerateRequest(text="a", request_id="r")
    bad.stopping.min_tokens = 100000
    error_of(lambda: server.inference.Generate(bad))
    after = read(server)
    check("requests of both front ends", after["gemmad_requests_total"] == 2, after)
    check("their tokens", after["gemmad_request_generation_tokens_sum"] ==
          7 + usage["completion_tokens"], (after, usage))
    check("each sequence ended", sum(value for name, value in after.items()
                                     if name.startswith("gemmad_request_success_total")) == 3)
    check("times", after["gemmad_e2e_request_latency_seconds_count"] == 2 and
          after["gemmad_e2e_request_latency_seconds_sum"] > 0)
    check("pages of both groups", after['gemmad_kv_pages{group="1"}'] == 199, after)
    server.stop()
    report.close()


if __name__ == "__main__":
    main()
