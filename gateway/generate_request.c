/* gateway/generate_request.c - the cheap checks come first, the prompt last: a request that is
 * refused for a number costs no tokenizing. Ranges: gemma4-text.md section 6. */
#include "gateway/generate_request.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "gateway/structured_output.h"

#define MAX_SEQUENCES 128
#define MAX_LOGIT_BIAS 100.0F
/* Of a suppressed token: finite, as the engine wants it, and never sampled. */
#define SUPPRESSED_BIAS (-1e30F)

static enum status check_range(const char *field, double value, double low, double high,
                               struct error *err)
{
    if (!(value >= low && value <= high)) // NaN too
        return error_set(err, STATUS_INVALID_ARGUMENT, "%s=%g: must be from %g to %g", field, value,
                         low, high);
    return STATUS_OK;
}

// A short name that a client chose: it is logged and compared, so no control characters.
static enum status take_name(const char *field, const ProtobufCBinaryData *value, char **out,
                             struct error *err)
{
    if (value->len > GENERATE_MAX_ID_BYTES)
        return error_set(err, STATUS_INVALID_ARGUMENT, "%s: %zu bytes, at most %d", field,
                         value->len, GENERATE_MAX_ID_BYTES);
    size_t bad;
    if (!utf8_valid((const char *)value->data, value->len, &bad))
        return error_set(err, STATUS_INVALID_ARGUMENT, "%s: not UTF-8 at byte %zu", field, bad);
    for (size_t i = 0; i < value->len; i++)
        if (value->data[i] < 0x20 || value->data[i] == 0x7F)
            return error_set(err, STATUS_INVALID_ARGUMENT, "%s: control character at byte %zu",
                             field, i);
    *out = mem_copy(value->data, value->len);
    return STATUS_OK;
}

static enum status take_names(struct generate_request *g,
                              const Gemmad__V1__GenerateRequest *message, uint64_t random_id,
                              struct error *err)
{
    enum status st = take_name("request_id", &message->request_id, &g->id, err);
    if (st == STATUS_OK)
        st = take_name("cache_salt", &message->cache_salt, &g->cache_salt, err);
    if (st != STATUS_OK)
        return st;
    if (g->id[0] == '\0') {
        char id[17];
        snprintf(id, sizeof id, "%016" PRIx64, random_id);
        free(g->id);
        g->id = mem_strdup(id);
    }
    g->request.id = g->id;
    g->request.cache_salt = g->cache_salt[0] ? g->cache_salt : NULL;
    return STATUS_OK;
}

// Neutral values, then the checkpoint's.
static struct sampling_params default_sampling(const struct generation_config *generation)
{
    struct sampling_params s = {
        .temperature = 1,
        .top_p = 1,
        .repetition_penalty = 1,
        .n_logprobs = -1,
        .n_prompt_logprobs = -1,
    };
    if (generation->has_temperature)
        s.temperature = generation->temperature;
    if (generation->has_top_p)
        s.top_p = generation->top_p;
    if (generation->has_top_k)
        s.top_k = generation->top_k;
    if (generation->has_repetition_penalty)
        s.repetition_penalty = generation->repetition_penalty;
    return s;
}

static enum status check_sampling(const Gemmad__V1__Sampling *m, struct error *err)
{
    const struct {
        const char *field;
        bool present;
        double value, low, high;
    } fields[] = {
        {"sampling.temperature", m->has_temperature, m->temperature, 0, 2},
        {"sampling.top_p", m->has_top_p, m->top_p, 0, 1},
        {"sampling.min_p", m->has_min_p, m->min_p, 0, 1},
        {"sampling.top_k", m->has_top_k, m->top_k, -1, INT32_MAX},
        {"sampling.frequency_penalty", m->has_frequency_penalty, m->frequency_penalty, -2, 2},
        {"sampling.presence_penalty", m->has_presence_penalty, m->presence_penalty, -2, 2},
        {"sampling.n", m->n > 0, m->n, 1, MAX_SEQUENCES},
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        enum status st = STATUS_OK;
        if (fields[i].present)
            st = check_range(fields[i].field, fields[i].value, fields[i].low, fields[i].high, err);
        if (st != STATUS_OK)
            return st;
    }
    if (m->has_repetition_penalty &&
        !(m->repetition_penalty > 0 && isfinite(m->repetition_penalty)))
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "sampling.repetition_penalty=%g: must be above 0 and finite",
                         (double)m->repetition_penalty);
    return STATUS_OK;
}

static enum status take_sampling(struct generate_request *g, const Gemmad__V1__Sampling *m,
                                 struct error *err)
{
    struct sampling_params *s = &g->request.sampling;
    g->request.n = 1;
    if (!m)
        return STATUS_OK;
    enum status st = check_sampling(m, err);
    if (st != STATUS_OK)
        return st;
    if (m->has_temperature)
        s->temperature = m->temperature;
    if (m->has_top_k)
        s->top_k = m->top_k > 0 ? (uint32_t)m->top_k : 0;
    if (m->has_top_p)
        s->top_p = m->top_p;
    if (m->has_top_p && m->top_p == 0) { // nothing but the best token
        s->top_p = 1;
        s->top_k = 1;
    }
    if (m->has_min_p)
        s->min_p = m->min_p;
    if (m->has_repetition_penalty)
        s->repetition_penalty = m->repetition_penalty;
    if (m->has_frequency_penalty)
        s->frequency_penalty = m->frequency_penalty;
    if (m->has_presence_penalty)
        s->presence_penalty = m->presence_penalty;
    if (m->has_seed)
        s->seed = m->seed;
    if (m->n > 0)
        g->request.n = m->n;
    return STATUS_OK;
}

struct ordered_bias {
    struct logit_bias bias;
    size_t order;
};

static int compare_biases(const void *a, const void *b)
{
    const struct ordered_bias *x = a;
    const struct ordered_bias *y = b;
    if (x->bias.token_id != y->bias.token_id)
        return x->bias.token_id > y->bias.token_id ? 1 : -1;
    return (x->order > y->order) - (x->order < y->order);
}

static enum status check_bias(struct logit_bias bias, uint32_t vocab_size, struct error *err)
{
    if (bias.token_id >= vocab_size)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "sampling.logit_bias: unknown token %u, the vocabulary has %u",
                         bias.token_id, vocab_size);
    if (!(fabsf(bias.bias) <= MAX_LOGIT_BIAS))
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "sampling.logit_bias: token %u has %g: must be from -100 to 100",
                         bias.token_id, (double)bias.bias);
    return STATUS_OK;
}

// Ascending by token, the last of each alone: that is what a repeated key of a map means.
static void keep_last_biases(struct generate_request *g, struct ordered_bias *all, size_t n)
{
    qsort(all, n, sizeof *all, compare_biases);
    g->biases = mem_zeroed(n, sizeof *g->biases);
    size_t n_kept = 0;
    for (size_t i = 0; i < n; i++)
        if (i + 1 == n || all[i + 1].bias.token_id != all[i].bias.token_id)
            g->biases[n_kept++] = all[i].bias;
    g->request.biases = g->biases;
    g->request.n_biases = n_kept;
}

// The checkpoint's suppressed tokens stand behind the request's, so they count.
static enum status take_biases(struct generate_request *g, const Gemmad__V1__Sampling *m,
                               const struct gateway_model *model, struct error *err)
{
    size_t n_asked = m ? m->n_logit_bias : 0;
    if (n_asked > GENERATE_MAX_LOGIT_BIAS)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "sampling.logit_bias: %zu entries, at most %d", n_asked,
                         GENERATE_MAX_LOGIT_BIAS);
    const struct generation_config *generation = &model->generation;
    struct ordered_bias *all = mem_zeroed(n_asked + generation->n_suppress_tokens, sizeof *all);
    size_t n = 0;
    enum status st = STATUS_OK;
    for (size_t i = 0; i < n_asked && st == STATUS_OK; i++) {
        struct logit_bias bias = {m->logit_bias[i]->key, m->logit_bias[i]->value};
        st = check_bias(bias, model->vocab_size, err);
        all[n] = (struct ordered_bias){bias, n};
        n++;
    }
    for (uint32_t i = 0; i < generation->n_suppress_tokens && st == STATUS_OK; i++) {
        if (generation->suppress_tokens[i] >= model->vocab_size)
            continue;
        struct logit_bias bias = {generation->suppress_tokens[i], SUPPRESSED_BIAS};
        all[n] = (struct ordered_bias){bias, n};
        n++;
    }
    if (st == STATUS_OK)
        keep_last_biases(g, all, n);
    free(all);
    return st;
}

static enum status take_stop_strings(struct generate_request *g, const Gemmad__V1__Stopping *m,
                                     struct error *err)
{
    if (m->n_stop > STOP_STRINGS_MAX)
        return error_set(err, STATUS_INVALID_ARGUMENT, "stopping.stop: %zu strings, at most %d",
                         m->n_stop, STOP_STRINGS_MAX);
    for (size_t i = 0; i < m->n_stop; i++) {
        const ProtobufCBinaryData *stop = &m->stop[i];
        size_t bad;
        if (stop->len == 0)
            return error_set(err, STATUS_INVALID_ARGUMENT, "stopping.stop[%zu]: empty", i);
        if (stop->len > STOP_STRING_MAX_BYTES)
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "stopping.stop[%zu]: %zu bytes, at most %d", i, stop->len,
                             STOP_STRING_MAX_BYTES);
        if (!utf8_valid((const char *)stop->data, stop->len, &bad))
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "stopping.stop[%zu]: not UTF-8 at byte %zu", i, bad);
        g->stop_strings[i] = (struct stop_string){(const char *)stop->data, stop->len};
    }
    g->request.stop_strings = g->stop_strings;
    g->request.n_stop_strings = m->n_stop;
    return STATUS_OK;
}

static enum status take_stop_ids(struct generate_request *g, const Gemmad__V1__Stopping *m,
                                 const struct gateway_model *model, struct error *err)
{
    if (m->n_stop_token_ids > GENERATE_MAX_STOP_TOKEN_IDS)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "stopping.stop_token_ids: %zu ids, at most %d", m->n_stop_token_ids,
                         GENERATE_MAX_STOP_TOKEN_IDS);
    size_t n_model = m->ignore_eos ? 0 : model->n_stop_ids;
    g->stop_ids = mem_zeroed(n_model + m->n_stop_token_ids, sizeof *g->stop_ids);
    size_t n = 0;
    for (; n < n_model; n++)
        g->stop_ids[n] = model->stop_ids[n];
    for (size_t i = 0; i < m->n_stop_token_ids; i++) {
        if (m->stop_token_ids[i] >= model->vocab_size)
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "stopping.stop_token_ids[%zu]=%u: the vocabulary has %u", i,
                             m->stop_token_ids[i], model->vocab_size);
        g->stop_ids[n++] = m->stop_token_ids[i];
    }
    g->request.stop_ids = g->stop_ids;
    g->request.n_stop_ids = n;
    return STATUS_OK;
}

static enum status take_stopping(struct generate_request *g, const Gemmad__V1__Stopping *m,
                                 const struct gateway_model *model, struct error *err)
{
    enum status st = take_stop_strings(g, m, err);
    if (st == STATUS_OK)
        st = take_stop_ids(g, m, model, err);
    if (st != STATUS_OK)
        return st;
    if (m->has_max_tokens && m->max_tokens == 0)
        return error_set(err, STATUS_INVALID_ARGUMENT, "stopping.max_tokens=0: must be at least 1");
    if (m->has_max_tokens && m->min_tokens > m->max_tokens)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "stopping.min_tokens=%u: more than max_tokens=%u", m->min_tokens,
                         m->max_tokens);
    g->request.include_stop = m->include_stop;
    g->request.time_limit_ns = (uint64_t)m->time_limit_ms * NS_PER_MS;
    g->request.sampling.min_tokens = m->min_tokens;
    return STATUS_OK;
}

static enum status take_response(struct generate_request *g, const Gemmad__V1__ResponseOptions *m,
                                 struct error *err)
{
    struct request *r = &g->request;
    r->want_text = true;
    r->skip_special_tokens = true;
    if (!m)
        return STATUS_OK;
    enum status st = STATUS_OK;
    if (m->has_logprobs)
        st = check_range("response.logprobs", m->logprobs, 0, SAMPLING_MAX_TOP_LOGPROBS, err);
    if (st == STATUS_OK && m->has_prompt_logprobs && m->prompt_logprobs >= 0)
        st = check_range("response.prompt_logprobs", m->prompt_logprobs, 0,
                         SAMPLING_MAX_TOP_LOGPROBS, err);
    if (st != STATUS_OK)
        return st;
    if (m->has_logprobs)
        r->sampling.n_logprobs = (int32_t)m->logprobs;
    if (m->has_prompt_logprobs && m->prompt_logprobs >= 0)
        r->sampling.n_prompt_logprobs = m->prompt_logprobs;
    if (m->has_text)
        r->want_text = m->text;
    if (m->has_skip_special_tokens)
        r->skip_special_tokens = m->skip_special_tokens;
    r->want_token_ids = m->token_ids;
    r->want_prompt_ids = m->prompt_token_ids;
    return STATUS_OK;
}

static enum status take_prompt(struct generate_request *g,
                               const Gemmad__V1__GenerateRequest *message,
                               const struct json_value *chat, const struct gateway_model *model,
                               struct tokenizer_encoder *encoder, struct error *err)
{
    enum status st = generate_prompt_init(&g->prompt, message, chat, model, encoder, err);
    g->request.prompt = g->prompt.ids;
    g->request.n_prompt = g->prompt.n;
    g->request.parts = g->prompt.parts;
    g->request.n_parts = g->prompt.n_parts;
    return st;
}

// What fits behind the prompt is the most, whoever asks for more.
static enum status take_max_tokens(struct generate_request *g, const Gemmad__V1__Stopping *m,
                                   const struct gateway_model *model, struct error *err)
{
    uint32_t rest = model->max_positions - (uint32_t)g->request.n_prompt;
    uint32_t max_tokens = rest;
    if (m->has_max_tokens)
        max_tokens = m->max_tokens;
    else if (model->generation.has_max_new_tokens && model->generation.max_new_tokens > 0)
        max_tokens = model->generation.max_new_tokens;
    if (max_tokens > rest)
        max_tokens = rest;
    uint32_t min_tokens = g->request.sampling.min_tokens;
    if (min_tokens > rest)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "stopping.min_tokens=%u: only %u fit behind a prompt of %zu", min_tokens,
                         rest, g->request.n_prompt);
    // An own min_tokens beats the checkpoint's max_new_tokens.
    g->request.max_tokens = max_tokens < min_tokens ? min_tokens : max_tokens;
    return STATUS_OK;
}

// The prompt says whether generation begins with thinking, so there is nothing more to ask.
static enum status take_reasoning(struct generate_request *g, const Gemmad__V1__Reasoning *m,
                                  struct error *err)
{
    g->request.thinking_budget = REQUEST_NO_THINKING_BUDGET;
    if (!m)
        return STATUS_OK;
    if (m->has_thinking_budget && !m->split)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "reasoning.thinking_budget: needs reasoning.split");
    g->request.split_reasoning = m->split;
    if (m->has_thinking_budget)
        g->request.thinking_budget = m->thinking_budget;
    return STATUS_OK;
}

static enum status take_structured_output(struct generate_request *g,
                                          const Gemmad__V1__StructuredOutput *m,
                                          const struct gateway_model *model, struct error *err)
{
    if (!m)
        return STATUS_OK;
    enum status st = structured_output_compile(m, NULL, model->grammars, &g->request.grammar, err);
    return st == STATUS_OK ? st : error_prefix(err, "structured_output");
}

// chat: instead of the message's prompt, or NULL.
static enum status init(struct generate_request *out, const Gemmad__V1__GenerateRequest *message,
                        const struct json_value *chat, const struct gateway_model *model,
                        struct tokenizer_encoder *encoder, const struct generate_random *random,
                        struct error *err)
{
    static const Gemmad__V1__Stopping no_stopping = GEMMAD__V1__STOPPING__INIT;
    const Gemmad__V1__Stopping *stopping = message->stopping ? message->stopping : &no_stopping;
    *out = (struct generate_request){0};
    out->request.priority = message->priority;
    out->request.sampling = default_sampling(&model->generation);
    out->request.sampling.seed = random->seed;
    enum status st = take_names(out, message, random->id, err);
    if (st == STATUS_OK)
        st = take_sampling(out, message->sampling, err);
    if (st == STATUS_OK)
        st = take_biases(out, message->sampling, model, err);
    if (st == STATUS_OK)
        st = take_stopping(out, stopping, model, err);
    if (st == STATUS_OK)
        st = take_response(out, message->response, err);
    if (st == STATUS_OK)
        st = take_reasoning(out, message->reasoning, err);
    if (st == STATUS_OK)
        st = take_structured_output(out, message->structured_output, model, err);
    if (st == STATUS_OK)
        st = take_prompt(out, message, chat, model, encoder, err);
    if (st == STATUS_OK)
        st = take_max_tokens(out, stopping, model, err);
    if (st != STATUS_OK)
        generate_request_finish(out);
    return st;
}

enum status generate_request_init(struct generate_request *out,
                                  const Gemmad__V1__GenerateRequest *message,
                                  const struct gateway_model *model,
                                  struct tokenizer_encoder *encoder,
                                  const struct generate_random *random, struct error *err)
{
    return init(out, message, NULL, model, encoder, random, err);
}

enum status generate_request_init_chat(struct generate_request *out,
                                       const Gemmad__V1__GenerateRequest *message,
                                       const struct json_value *chat,
                                       const struct gateway_model *model,
                                       struct tokenizer_encoder *encoder,
                                       const struct generate_random *random, struct error *err)
{
    return init(out, message, chat, model, encoder, random, err);
}

void generate_request_finish(struct generate_request *g)
{
    grammar_drop(g->request.grammar);
    generate_prompt_finish(&g->prompt);
    free(g->id);
    free(g->cache_salt);
    free(g->stop_ids);
    free(g->biases);
    *g = (struct generate_request){0};
}
