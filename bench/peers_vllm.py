"""vLLM's part of bench/peers.py, run by the Python that has it: a task as JSON in the argument, a
line "RESULT {...}" as the answer. One engine in this process, no compilation; random-looking token
ids, so that no tokenizer is needed."""
import json
import statistics
import sys
import time

STARTED = time.time()

from vllm import LLM, SamplingParams, TokensPrompt  # noqa: E402 (the import counts as start)


def prompts(n_prompts, n_tokens, seed):
    return [TokensPrompt(prompt_token_ids=[2] + [1000 + (i * 7 + 31 * p + seed) % 20000
                                                 for i in range(1, n_tokens)])
            for p in range(n_prompts)]


def sampling(n_new):
    return SamplingParams(temperature=0, max_tokens=n_new, ignore_eos=True, detokenize=False)


def prefill_seconds(llm, n_tokens, seed):
    begin = time.time()
    llm.generate(prompts(1, n_tokens, seed), sampling(1), use_tqdm=False)
    return time.time() - begin


def decode_rate(llm, batch, context, n_new):
    """From the median time of the steps in which every sequence got a token after its first."""
    engine = llm.llm_engine
    for i, prompt in enumerate(prompts(batch, context, 3)):
        engine.add_request(f"{batch}-{context}-{i}", prompt, sampling(n_new + batch))
    started, steps = set(), []
    while engine.has_unfinished_requests():
        all_started = len(started) == batch
        begin = time.time()
        outputs = engine.step()
        if all_started and len(outputs) == batch:
            steps.append(time.time() - begin)
        started.update(o.request_id for o in outputs if o.outputs and o.outputs[0].token_ids)
    return batch / statistics.median(steps)


def main():
    task = json.loads(sys.argv[1])
    longest = max([*task["prompts"], *task["contexts"]]) + task["new"] + max(task["batches"])
    llm = LLM(model=task["model"], skip_tokenizer_init=True, dtype="bfloat16", enforce_eager=True,
              max_model_len=max(2048, longest), max_num_seqs=max(task["batches"]),
              max_num_batched_tokens=2048, enable_prefix_caching=False,
              hf_overrides={"architectures": ["Gemma4ForCausalLM"]})
    prefill_seconds(llm, 8, 0)
    found = {"first_token_s": time.time() - STARTED, "prefill": [], "decode": []}
    for n in task["prompts"]:
        prefill_seconds(llm, n, 1)  # the first of a size warms up
        found["prefill"].append((n, n / prefill_seconds(llm, n, 2)))
    for context in task["contexts"]:
        for batch in task["batches"]:
            found["decode"].append((batch, context, decode_rate(llm, batch, context, task["new"])))
    print("RESULT " + json.dumps(found))


if __name__ == "__main__":
    main()
