"""Many streams at once, some of them cancelled: for the tests of the gateway and of the daemon.

A server here is anything with channel, inference and control (daemon.Daemon is one).
"""
import concurrent.futures
import random
import time

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase)

from daemon import control_pb2, pb

N_STREAMS = 64
N_CANCELLED = 21


def make_request(n_prompt=5, max_tokens=20, **sampling):
    r = pb.GenerateRequest()
    r.token_ids.ids.extend(range(100, 100 + n_prompt))
    r.stopping.max_tokens = max_tokens
    r.stopping.ignore_eos = True
    r.response.token_ids = True
    for name, value in sampling.items():
        setattr(r.sampling, name, value)
    return r


def idle_stats(server, n_requests=0):
    """Once so many requests have come and nothing runs."""
    for _ in range(3000):
        stats = server.control.GetStats(control_pb2.GetStatsRequest())
        if stats.running == 0 and stats.waiting == 0 and stats.requests >= n_requests:
            break
        time.sleep(0.01)
    return stats


def pages_are_whole(stats):
    return stats.running == 0 and len(stats.pages) > 0 and all(
        p.free_pages == p.total_pages > 0 for p in stats.pages)


def reflected_generate(report, server):
    """Generate as a client knows it that has nothing but reflection."""
    database = ProtoReflectionDescriptorDatabase(server.channel)
    listed = set(database.get_services())
    report.check("services are listed", {"gemmad.v1.Inference", "gemmad.v1.Control",
                                         "grpc.health.v1.Health"} <= listed, listed)
    pool = descriptor_pool.DescriptorPool(database)
    method = pool.FindServiceByName("gemmad.v1.Inference").FindMethodByName("Generate")
    request_class = message_factory.GetMessageClass(method.input_type)
    call = server.channel.unary_stream(
        "/gemmad.v1.Inference/Generate", request_serializer=request_class.SerializeToString,
        response_deserializer=message_factory.GetMessageClass(method.output_type).FromString)
    return lambda r: call(request_class.FromString(r.SerializeToString()))


def stream_and_cancel(report, server, start, seed):
    """64 at once, a third of them cancelled somewhere. Every other one gets all its tokens."""
    rng = random.Random(seed)
    cancelled = set(rng.sample(range(N_STREAMS), N_CANCELLED))
    cut = [rng.randint(0, 30) for _ in range(N_STREAMS)]

    def one(i):
        r = make_request(n_prompt=rng.randint(1, 60), max_tokens=rng.randint(10, 60), n=1 + i % 3)
        r.response.logprobs = i % 5
        n_tokens = finishes = 0
        call = start(r)
        try:
            for n, event in enumerate(call):
                kind = event.WhichOneof("event")
                n_tokens += len(event.delta.token_ids) if kind == "delta" else 0
                finishes += kind == "finish"
                if i in cancelled and n >= cut[i]:
                    call.cancel()
        except grpc.RpcError as error:
            return error.code() == grpc.StatusCode.CANCELLED and i in cancelled
        return finishes == r.sampling.n and n_tokens == r.stopping.max_tokens * r.sampling.n

    with concurrent.futures.ThreadPoolExecutor(N_STREAMS) as pool:
        results = list(pool.map(one, range(N_STREAMS)))
    report.check(f"{N_STREAMS} streams, {N_CANCELLED} cancelled (seed {seed})", all(results),
                 [i for i, ok in enumerate(results) if not ok])
    stats = idle_stats(server)
    report.check(f"the page pool is whole (seed {seed})", pages_are_whole(stats), stats)
