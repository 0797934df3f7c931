#!/usr/bin/env python3
"""vllm.grpc.engine and KServe v2 as their clients see them: the stubs of the first are generated from
the .proto files of smg-grpc-proto, not from ours. The engine is real, the device is a fake (server.c).
"""
import hashlib
import importlib.util
import io
import pathlib
import sys
import tempfile
import threading
import time
import zipfile

import grpc
from grpc_health.v1 import health_pb2
from grpc_tools import protoc

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "serving"))
from daemon import PROTO, TESTS, pb  # noqa: E402
from test_grpc import Server, check, error_of, report  # noqa: E402

if importlib.util.find_spec("smg_grpc_proto") is None:
    print("skipped: no smg_grpc_proto; tools/setup --tests installs it")
    sys.exit(77)

Code = grpc.StatusCode
CHECKPOINT = TESTS / "data/goldens/dense/checkpoint"


def make_stubs():
    """Modules of the published files, by grpcio-tools, as the package's own need a newer protobuf."""
    package = pathlib.Path(importlib.util.find_spec("smg_grpc_proto").origin).parent / "proto"
    out = tempfile.mkdtemp(prefix="gemmad-stubs-")
    for folder, name in ((package, "common.proto"), (package, "vllm_engine.proto"),
                         (PROTO, "kserve/grpc_predict_v2.proto")):
        arguments = ["protoc", f"-I{folder}", f"--python_out={out}", f"--grpc_python_out={out}", name]
        if protoc.main(arguments) != 0:
            raise RuntimeError(f"protoc failed on {name}")
    sys.path.insert(0, out)


make_stubs()
import common_pb2 as common  # noqa: E402
import vllm_engine_pb2 as vllm  # noqa: E402
import vllm_engine_pb2_grpc  # noqa: E402
from kserve import grpc_predict_v2_pb2 as kserve  # noqa: E402
from kserve import grpc_predict_v2_pb2_grpc  # noqa: E402

IDS = [2, 10, 11, 12, 13]


def request(ids=IDS, stream=True, **params):
    message = vllm.GenerateRequest(tokenized=vllm.TokenizedInput(input_ids=ids), stream=stream)
    params = {"temperature": 0, "max_tokens": 12, "ignore_eos": True, "seed": 3, **params}
    message.sampling_params.MergeFrom(vllm.SamplingParams(**params))
    return message


def native(server, message):
    """What gemmad.v1 answers to the same request: ids and logprobs of each sequence."""
    p = message.sampling_params
    own = pb.GenerateRequest(token_ids=pb.TokenIds(ids=message.tokenized.input_ids))
    own.sampling.temperature = p.temperature
    own.sampling.top_p = 1
    own.sampling.top_k = p.top_k
    own.sampling.seed = p.seed
    own.sampling.n = p.n
    own.stopping.max_tokens = p.max_tokens
    own.stopping.ignore_eos = p.ignore_eos
    own.stopping.include_stop = True
    own.response.token_ids = True
    own.response.text = False
    own.response.logprobs = 2
    ids, logprobs = {}, {}
    for response in server.inference.Generate(own):
        if response.WhichOneof("event") == "delta":
            delta = response.delta
            ids.setdefault(delta.index, []).extend(delta.token_ids)
            logprobs.setdefault(delta.index, []).extend(delta.logprobs)
    return ids, logprobs


def streamed(stub, message):
    chunks, completes = {}, {}
    for response in stub.Generate(message, timeout=60):
        kind = response.WhichOneof("response")
        if kind == "chunk":
            index = response.chunk.index
            check("no chunk behind a complete", index not in completes)
            chunks.setdefault(index, []).append(response.chunk)
        else:
            check("one complete a sequence", response.complete.index not in completes)
            completes[response.complete.index] = response.complete
    return chunks, completes


def test_generate(server, stub):
    message = request(n=3, seed=7, temperature=1, logprobs=2)
    want_ids, want_logprobs = native(server, message)
    chunks, completes = streamed(stub, message)
    check("each sequence is complete", sorted(completes) == [0, 1, 2], completes)
    for index, complete in completes.items():
        ids = [i for chunk in chunks[index] for i in chunk.token_ids]
        check("the ids of gemmad.v1", ids == want_ids[index], (ids, want_ids[index]))
        counted = sum(chunk.completion_tokens for chunk in chunks[index])
        check("chunks count their tokens", counted == complete.completion_tokens == 12, counted)
        check("chunks know the prompt", all(c.prompt_tokens == 5 for c in chunks[index]))
        check("a complete of a stream has no ids again", not complete.output_ids, complete)
        check("its reason", complete.finish_reason == "length", complete)
        got = [lp for c in chunks[index] for lp in c.output_logprobs.token_logprobs]
        check("logprobs", got == [lp.logprob for lp in want_logprobs[index]], got)
        tops = [t for c in chunks[index] for t in c.output_logprobs.top_logprobs]
        check("the best ones", [(list(t.token_ids), list(t.values)) for t in tops] ==
              [([e.token_id for e in lp.top], [e.logprob for e in lp.top])
               for lp in want_logprobs[index]], tops)
        named = [i for c in chunks[index] for i in c.output_logprobs.token_ids]
        check("their tokens", named == ids, named)


def test_generate_whole(server, stub):
    message = request(stream=False, n=2, seed=7, temperature=1, logprobs=0)
    want, _ = native(server, message)
    responses = list(stub.Generate(message))
    kinds = {r.WhichOneof("response") for r in responses}
    check("completes alone", kinds == {"complete"} and len(responses) == 2, responses)
    for response in responses:
        c = response.complete
        check("all ids", list(c.output_ids) == want[c.index], c)
        check("and logprobs", len(c.output_logprobs.token_logprobs) == 12 and
              not c.output_logprobs.top_logprobs, c)
        check("counts", (c.prompt_tokens, c.completion_tokens, c.cached_tokens) == (5, 12, 0), c)


def test_text_input(server, stub):
    message = request(stream=False)
    message.text = "a b"
    complete = next(stub.Generate(message)).complete
    check("a text gets its <bos>", complete.prompt_tokens > 2, complete)


def test_prompt_logprobs(stub):
    chunks, completes = streamed(stub, request(n=2, prompt_logprobs=2, max_tokens=3))
    for index in (0, 1):
        first, rest = chunks[index][0], chunks[index][1:]
        said = first.input_logprobs
        check("of the prompt's ids", list(said.token_ids) == IDS, said)
        check("the first has none", not said.token_logprobs[0].HasField("value") and
              all(lp.HasField("value") for lp in said.token_logprobs[1:]), said)
        check("the best ones", [len(t.values) for t in said.top_logprobs] == [0, 2, 2, 2, 2], said)
        check("only in the first chunk", not any(c.HasField("input_logprobs") for c in rest))
    whole = list(stub.Generate(request(stream=False, prompt_logprobs=0, max_tokens=3)))
    check("in a whole answer", len(whole[0].complete.input_logprobs.token_logprobs) == 5 and
          not whole[0].complete.input_logprobs.top_logprobs, whole)
    whole = list(stub.Generate(request([2], stream=False, prompt_logprobs=2, max_tokens=1)))
    check("of one token", list(whole[0].complete.input_logprobs.token_ids) == [2], whole)


def test_ends(server, stub):
    ids, _ = native(server, request())
    third = ids[0][2]
    first = ids[0].index(third)
    complete = next(stub.Generate(request(stream=False, stop_token_ids=[third]))).complete
    check("a stop token ends it, and is among the ids",
          complete.finish_reason == "stop" and list(complete.output_ids) == ids[0][:first + 1] and
          complete.matched_token_id == third, complete)
    text = server.inference.Detokenize(pb.DetokenizeRequest(token_ids=ids[0][:6])).text
    stop = text[-1]
    complete = next(stub.Generate(request(stream=False, stop=[stop]))).complete
    check("a stop string too", complete.finish_reason == "stop" and
          complete.matched_stop_str == stop and
          list(complete.output_ids) == ids[0][:len(complete.output_ids)], complete)
    truncated = next(stub.Generate(request(stream=False, truncate_prompt_tokens=2))).complete
    check("a prompt is cut at its front", truncated.prompt_tokens == 2, truncated)
    long = request([2] * 3000, stream=False, truncate_prompt_tokens=-1)
    truncated = next(stub.Generate(long)).complete
    check("to what fits", truncated.prompt_tokens == 999 and truncated.completion_tokens == 1,
          (truncated.prompt_tokens, truncated.completion_tokens))


def test_abort(server, stub):
    server.tell("hold")
    message = request(max_tokens=500)
    message.request_id = "mine"
    call = stub.Generate(message)
    while server.stats().running == 0:
        time.sleep(0.01)
    stub.Abort(vllm.AbortRequest(request_ids=["nobody's", "mine"]))
    server.tell("go")
    last = list(call)[-1].complete
    check("an abort ends its request", last.finish_reason == "abort", last)
    code, why = error_of(lambda: stub.Abort(vllm.AbortRequest(request_ids=["x"] * 2000)))
    check("not thousands at once", code == Code.INVALID_ARGUMENT and "request_ids" in why, why)


def test_refusals(stub):
    def refused(message, field, code=Code.INVALID_ARGUMENT):
        got, why = error_of(lambda: stub.Generate(message))
        check(f"{field} is refused by name", got == code and field in why, (got, why))

    for field, params in (
            ("temperature", {"temperature": 3}), ("top_p", {"top_p": 2}), ("n=", {"n": 500}),
            ("logprobs", {"logprobs": -1}), ("logprobs", {"logprobs": 21}),
            ("prompt_logprobs", {"prompt_logprobs": -1}), ("max_tokens", {"max_tokens": 0}),
            ("logit_bias", {"logit_bias": {-1: 1.0}}), ("logit_bias", {"logit_bias": {5000: 1.0}}),
            ("stop[0]", {"stop": [""]}), ("structural_tag", {"structural_tag": "{}"}),
            ("grammar_from_first_token", {"regex": "a", "grammar_from_first_token": True}),
            ("truncate_prompt_tokens", {"truncate_prompt_tokens": 0})):
        refused(request(**params), field)
    refused(vllm.GenerateRequest(), "input")
    refused(request([]), "prompt")
    refused(request([70000]), "70000")
    for field, change in (
            ("mm_inputs", lambda m: m.mm_inputs.mm_hashes.append("x")),
            ("extra_mm_inputs", lambda m: m.extra_mm_inputs.add()),
            ("media_refs", lambda m: m.media_refs.items.add(url="http://x")),
            ("kv_transfer_params", lambda m: m.kv_transfer_params.SetInParent()),
            ("kv_transfer_params_json", lambda m: setattr(m, "kv_transfer_params_json", "{}")),
            ("data_parallel_rank", lambda m: setattr(m, "data_parallel_rank", 1))):
        message = request()
        change(message)
        refused(message, field)
    message = request(truncate_prompt_tokens=3)
    message.text = "a"
    refused(message, "truncate_prompt_tokens")
    for call in (lambda: stub.Embed(vllm.EmbedRequest()),
                 lambda: stub.FlushCache(common.FlushCacheRequest()),
                 lambda: stub.SubscribeKvEvents(common.SubscribeKvEventsRequest())):
        code, why = error_of(call)
        check("what is not there is UNIMPLEMENTED", code == Code.UNIMPLEMENTED, (code, why))


def test_questions(server, stub):
    health = stub.HealthCheck(vllm.HealthCheckRequest())
    check("healthy", health.healthy and health.message == "serving", health)
    info = stub.GetModelInfo(vllm.GetModelInfoRequest())
    own = server.inference.GetModelInfo(pb.GetModelInfoRequest())
    check("the model", (info.served_model_name, info.vocab_size, info.max_context_length,
                        info.model_type, list(info.eos_token_ids), info.bos_token_id) ==
          (own.model, own.vocab_size, own.max_context_tokens, own.model_type,
           list(own.stop_token_ids), own.bos_token_id), info)
    check("it generates", info.is_generation and not info.supports_vision)
    check("where it is", info.model_path == info.tokenizer_path == str(CHECKPOINT), info)
    server_info = stub.GetServerInfo(vllm.GetServerInfoRequest())
    check("the server", server_info.server_type == "vllm-grpc" and not server_info.is_paused and
          server_info.uptime_seconds > 0 and server_info.data_parallel_size == 1 and
          server_info.max_num_seqs == 32, server_info)
    loads = stub.GetLoads(vllm.GetLoadsRequest())
    check("loads of one rank", loads.dp_rank_count == 1 and len(loads.loads) == 1 and
          loads.version == "test" and loads.timestamp.endswith("Z"), loads)
    load = loads.loads[0]
    check("idle", load.num_total_reqs == 0 and load.token_usage == 0 and
          load.max_total_num_tokens == 199 * 8, load)
    ask = health_pb2.HealthCheckRequest(service="vllm.grpc.engine.VllmEngine")
    check("health knows the service",
          server.health.Check(ask).status == health_pb2.HealthCheckResponse.SERVING)


def test_loads_of_work(server, stub):
    server.tell("hold")
    call = stub.Generate(request(n=4, max_tokens=100))
    while server.stats().running == 0:
        time.sleep(0.01)
    load = stub.GetLoads(vllm.GetLoadsRequest()).loads[0]
    check("loads show what runs", load.num_total_reqs == 4 and load.num_used_tokens > 0 and
          0 < load.token_usage < 1, load)
    server.tell("go")
    list(call)


def fetch_tokenizer(stub):
    chunks = list(stub.GetTokenizer(common.GetTokenizerRequest()))
    check("the hash comes last, alone", all(not c.sha256 for c in chunks[:-1]) and
          chunks[-1].sha256)
    data = b"".join(c.data for c in chunks)
    check("it is the archive's", hashlib.sha256(data).hexdigest() == chunks[-1].sha256)
    return data


def test_tokenizer(stub):
    data = fetch_tokenizer(stub)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        check("the archive is sound", archive.testzip() is None)
        for name in ("tokenizer.json", "config.json", "chat_template.jinja"):
            check(f"{name} is in it", archive.read(name) == (CHECKPOINT / name).read_bytes())
    results = []
    threads = [threading.Thread(target=lambda: results.append(fetch_tokenizer(stub)))
               for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check("many get the same", set(results) == {data})
    call = stub.GetTokenizer(common.GetTokenizerRequest())
    next(call)
    call.cancel()


def test_kserve(server, stub):
    check("live", stub.ServerLive(kserve.ServerLiveRequest()).live)
    check("ready", stub.ServerReady(kserve.ServerReadyRequest()).ready)
    name = server.inference.GetModelInfo(pb.GetModelInfoRequest()).model
    check("model ready", stub.ModelReady(kserve.ModelReadyRequest(name=name)).ready)
    check("in its version", stub.ModelReady(kserve.ModelReadyRequest(name=name, version="1")).ready)
    meta = stub.ServerMetadata(kserve.ServerMetadataRequest())
    check("server metadata", (meta.name, meta.version) == ("gemmad", "test"), meta)
    meta = stub.ModelMetadata(kserve.ModelMetadataRequest(name=name))
    check("model metadata", meta.name == name and list(meta.versions) == ["1"] and
          meta.inputs[0].datatype == meta.outputs[0].datatype == "BYTES", meta)
    for call in (lambda: stub.ModelReady(kserve.ModelReadyRequest(name="other")),
                 lambda: stub.ModelMetadata(kserve.ModelMetadataRequest(name=name, version="2"))):
        code, why = error_of(call)
        check("others are not found", code == Code.NOT_FOUND and why, (code, why))


def test_loading():
    server = Server(loaded=False)
    stub = vllm_engine_pb2_grpc.VllmEngineStub(server.channel)
    ready = grpc_predict_v2_pb2_grpc.GRPCInferenceServiceStub(server.channel)
    health = stub.HealthCheck(vllm.HealthCheckRequest())
    check("not healthy while loading", not health.healthy and health.message == "loading", health)
    check("paused", stub.GetServerInfo(vllm.GetServerInfoRequest()).is_paused)
    for call in (lambda: stub.Generate(request()), lambda: stub.GetLoads(vllm.GetLoadsRequest()),
                 lambda: stub.GetModelInfo(vllm.GetModelInfoRequest()),
                 lambda: stub.GetTokenizer(common.GetTokenizerRequest()),
                 lambda: stub.Abort(vllm.AbortRequest(request_ids=["x"])),
                 lambda: ready.ModelMetadata(kserve.ModelMetadataRequest(name="fixture"))):
        code, why = error_of(call)
        check("UNAVAILABLE while loading", code == Code.UNAVAILABLE and "loading" in why, why)
    check("live while loading", ready.ServerLive(kserve.ServerLiveRequest()).live)
    check("not ready", not ready.ServerReady(kserve.ServerReadyRequest()).ready)
    check("nor the model", not ready.ModelReady(kserve.ModelReadyRequest(name="any")).ready)
    server.stop()


def main():
    test_loading()
    server = Server()
    stub = vllm_engine_pb2_grpc.VllmEngineStub(server.channel)
    test_generate(server, stub)
    test_generate_whole(server, stub)
    test_text_input(server, stub)
    test_prompt_logprobs(stub)
    test_ends(server, stub)
    test_abort(server, stub)
    test_refusals(stub)
    test_questions(server, stub)
    test_loads_of_work(server, stub)
    test_tokenizer(stub)
    test_kserve(server, grpc_predict_v2_pb2_grpc.GRPCInferenceServiceStub(server.channel))
    server.stop()
    report.close()


if __name__ == "__main__":
    main()
