/* engine/live_request.c - everything a client controls is checked here, on the client's thread, so
 * that what reaches the engine thread can be served. */
#include "engine/live_request.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static enum status check_ids(const struct request *request, uint32_t vocab_size, struct error *err)
{
    for (size_t i = 0; i < request->n_prompt; i++)
        if (request->prompt[i] >= vocab_size)
            return error_set(err, STATUS_INVALID_ARGUMENT, "prompt token %zu is %u of %u", i,
                             request->prompt[i], vocab_size);
    for (size_t i = 0; i < request->n_biases; i++) {
        if (request->biases[i].token_id >= vocab_size)
            return error_set(err, STATUS_INVALID_ARGUMENT, "logit_bias: token %u of %u",
                             request->biases[i].token_id, vocab_size);
        if (!isfinite(request->biases[i].bias))
            return error_set(err, STATUS_INVALID_ARGUMENT, "logit_bias of token %u is not finite",
                             request->biases[i].token_id);
    }
    return STATUS_OK;
}

static enum status check_request(const struct request *request,
                                 const struct scheduler_config *config,
                                 const struct request_text *text, struct error *err)
{
    bool needs_text = request->want_text || request->n_stop_strings > 0 || request->split_reasoning;
    if (request->n < 1 || request->n > REQUEST_MAX_SEQUENCES)
        return error_set(err, STATUS_INVALID_ARGUMENT, "n=%u: 1 to %d", request->n,
                         REQUEST_MAX_SEQUENCES);
    if (!text->tokenizer && needs_text)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "text, stop strings and thinking apart need a tokenizer");
    if (!text->vocabulary && request->grammar)
        return error_set(err, STATUS_UNIMPLEMENTED, "no grammars are served");
    // Before the counts are narrowed.
    if (request->n_prompt > config->limits.max_positions)
        return error_set(err, STATUS_INVALID_ARGUMENT, "a prompt of %zu tokens: at most %u",
                         request->n_prompt, config->limits.max_positions);
    if (request->n_stop_ids > config->limits.max_blob_bytes ||
        request->n_biases > config->limits.max_blob_bytes)
        return error_set(err, STATUS_INVALID_ARGUMENT, "%zu stop ids, %zu biases: too many",
                         request->n_stop_ids, request->n_biases);
    if (request->n_parts > request->n_prompt)
        return error_set(err, STATUS_INVALID_ARGUMENT, "%zu media parts in a prompt of %zu tokens",
                         request->n_parts, request->n_prompt);
    enum status st = step_check_sampling(&request->sampling, err);
    if (st == STATUS_OK)
        st = check_ids(request, config->limits.vocab_size, err);
    return st;
}

static void *copy_array(const void *array, size_t n, size_t size)
{
    void *copy = mem_zeroed(n, size);
    if (n)
        memcpy(copy, array, n * size);
    return copy;
}

static int compare_ids(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

// A stop id beyond the vocabulary is never sampled, so it is left out.
static void take_stop_ids(struct live_request *r, const struct request *request,
                          uint32_t vocab_size)
{
    r->stop_ids = copy_array(request->stop_ids, request->n_stop_ids, sizeof *r->stop_ids);
    qsort(r->stop_ids, request->n_stop_ids, sizeof *r->stop_ids, compare_ids);
    for (size_t i = 0; i < request->n_stop_ids; i++) {
        uint32_t id = r->stop_ids[i];
        if (id < vocab_size && (r->n_stop_ids == 0 || r->stop_ids[r->n_stop_ids - 1] != id))
            r->stop_ids[r->n_stop_ids++] = id;
    }
}

static void take_parts(struct live_request *r, const struct request *request)
{
    r->parts = copy_array(request->parts, request->n_parts, sizeof *r->parts);
    r->n_parts = (uint32_t)request->n_parts;
    for (uint32_t i = 0; i < r->n_parts; i++)
        if (r->parts[i].media)
            media_ref(r->parts[i].media);
}

static uint64_t deadline_after(uint64_t now_ns, uint64_t time_limit_ns)
{
    uint64_t deadline;
    if (time_limit_ns == 0 || __builtin_add_overflow(now_ns, time_limit_ns, &deadline))
        return UINT64_MAX;
    return deadline;
}

static void init_choice(struct live_request *r, uint32_t index, const struct request *request,
                        const struct request_text *text)
{
    struct choice *choice = &r->choices[index];
    choice->request = r;
    choice->index = index;
    choice->stop_string = -1;
    bool make_text = request->want_text || request->n_stop_strings > 0;
    struct output_config output = {
        .tokenizer = make_text ? text->tokenizer : NULL,
        .stop_strings = &r->stop_strings,
        .include_stop = request->include_stop,
        .skip_special_tokens = request->skip_special_tokens,
        .want_text = request->want_text,
        .want_token_ids = request->want_token_ids,
        .n_logprobs = (uint32_t)(request->sampling.n_logprobs + 1),
        .reasoning = request->split_reasoning ? &text->reasoning : NULL,
        .start = r->start,
    };
    output_init(&choice->output, &output);
}

enum status live_request_create(const struct request *request,
                                const struct scheduler_config *config,
                                const struct request_text *text, uint64_t now_ns,
                                struct live_request **out, struct error *err)
{
    enum status st = check_request(request, config, text, err);
    if (st != STATUS_OK)
        return st;
    struct live_request *r = mem_zeroed(1, sizeof *r + request->n * sizeof r->choices[0]);
    r->id = mem_strdup(request->id);
    r->prompt = copy_array(request->prompt, request->n_prompt, sizeof *r->prompt);
    r->n_prompt = (uint32_t)request->n_prompt;
    r->sampling = request->sampling;
    r->max_tokens = request->max_tokens;
    take_stop_ids(r, request, config->limits.vocab_size);
    r->biases = copy_array(request->biases, request->n_biases, sizeof *r->biases);
    r->n_biases = (uint32_t)request->n_biases;
    take_parts(r, request);
    r->include_stop = request->include_stop;
    r->want_prompt_ids = request->want_prompt_ids;
    r->prompt_told = !request->want_prompt_ids && request->sampling.n_prompt_logprobs < 0;
    r->priority = request->priority;
    r->submitted_ns = now_ns;
    r->deadline_ns = deadline_after(now_ns, request->time_limit_ns);
    if (request->grammar)
        r->grammar = grammar_ref(request->grammar);
    r->thinking_budget = CONSTRAINT_NO_BUDGET;
    if (request->split_reasoning)
        r->thinking_budget = request->thinking_budget;
    r->start = REASONING_OUTSIDE;
    if (request->split_reasoning || request->grammar)
        r->start = reasoning_start(&text->reasoning, r->prompt, r->n_prompt);
    r->n_choices = request->n;
    for (uint32_t i = 0; i < request->n; i++)
        init_choice(r, i, request, text);
    st = stop_strings_init(&r->stop_strings, request->stop_strings, request->n_stop_strings, err);
    struct sequence_config sequence = live_request_sequence(&r->choices[0]);
    if (st == STATUS_OK)
        st = scheduler_can_run(config, &sequence, err);
    if (st != STATUS_OK) {
        live_request_destroy(r);
        return st;
    }
    *out = r;
    return STATUS_OK;
}

void live_request_destroy(struct live_request *r)
{
    if (!r)
        return;
    for (uint32_t i = 0; i < r->n_choices; i++) {
        choice_constraint_destroy(r->choices[i].constraint);
        output_finish(&r->choices[i].output);
    }
    grammar_drop(r->grammar);
    stop_strings_finish(&r->stop_strings);
    free(r->id);
    free(r->prompt);
    free(r->stop_ids);
    free(r->biases);
    for (uint32_t i = 0; i < r->n_parts; i++)
        media_drop(r->parts[i].media);
    free(r->parts);
    free(r->prompt_logprobs);
    free(r);
}

static bool is_constrained(const struct live_request *r)
{
    return r->grammar || r->thinking_budget != CONSTRAINT_NO_BUDGET;
}

void live_request_constrain(struct live_request *r, const struct request_text *text,
                            uint32_t vocab_size)
{
    const struct constraint_config config = {
        .grammar = r->grammar,
        .vocabulary = text->vocabulary,
        .tokens = text->reasoning,
        .start = r->start,
        .thinking_budget = r->thinking_budget,
        .stop_ids = r->stop_ids,
        .n_stop_ids = r->n_stop_ids,
        .n_ids = vocab_size,
    };
    for (uint32_t i = 0; i < r->n_choices && is_constrained(r); i++)
        r->choices[i].constraint = choice_constraint_create(&config);
}

bool live_request_is_stop_id(const struct live_request *r, uint32_t token)
{
    return bsearch(&token, r->stop_ids, r->n_stop_ids, sizeof token, compare_ids) != NULL;
}

struct sequence_config live_request_sequence(struct choice *choice)
{
    struct live_request *r = choice->request;
    struct sequence_config c = {
        .prompt = r->prompt,
        .n_prompt = r->n_prompt,
        .max_tokens = r->max_tokens,
        .sampling = r->sampling,
        .stop_ids = r->stop_ids,
        .n_stop_ids = r->n_stop_ids,
        .biases = r->biases,
        .n_biases = r->n_biases,
        .parts = r->parts,
        .n_parts = r->n_parts,
        .priority = r->priority,
        .arrival = r->arrival,
        .index = choice->index,
        .masked = is_constrained(r),
        .deadline_ns = r->deadline_ns,
        .owner = choice,
    };
    c.sampling.seed += choice->index;
    if (choice->index > 0) // the prompt's logprobs are the same for all
        c.sampling.n_prompt_logprobs = -1;
    return c;
}
