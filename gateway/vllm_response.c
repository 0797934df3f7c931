/* gateway/vllm_response.c - the arrays of a message are made for all tokens at once, whatever
 * number of events they come from. */
#include "gateway/vllm_response.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "gateway/message.h"
#include "proto/vllm_engine.pb-c.h"

// The tokens of a list of events and their logprobs, side by side.
struct tokens {
    size_t n, n_logprobs, n_entries; // n_logprobs: tokens that have them
    uint32_t *ids;
    float *logprobs;
    Vllm__Grpc__Engine__TopLogProbs *tops, **top_list;
    float *top_values;
    uint32_t *top_ids;
};

static void count(struct tokens *t, const struct queued_event *events)
{
    for (const struct queued_event *e = events; e; e = e->next) {
        t->n += e->event.n_token_ids;
        t->n_logprobs += e->event.n_logprobs;
        t->n_entries += e->n_all_entries;
    }
}

// Entry 0 of a token is the token itself, then the best ones.
static void take_entries(struct tokens *t, size_t token, const struct token_logprob *entries,
                         uint32_t n, size_t *n_tops)
{
    if (n == 0)
        return;
    t->logprobs[token] = entries[0].logprob;
    Vllm__Grpc__Engine__TopLogProbs *top = &t->tops[token];
    top->values = t->top_values + *n_tops;
    top->token_ids = t->top_ids + *n_tops;
    for (uint32_t k = 1; k < n; k++) {
        top->values[top->n_values++] = entries[k].logprob;
        top->token_ids[top->n_token_ids++] = entries[k].token_id;
    }
    *n_tops += n - 1;
}

// first_logprob: the token that the first logprobs are of.
static struct tokens collect(const struct queued_event *events, size_t first_logprob)
{
    struct tokens t = {0};
    count(&t, events);
    size_t n_places = first_logprob + t.n_logprobs;
    t.ids = mem_zeroed(t.n, sizeof *t.ids);
    t.logprobs = mem_zeroed(n_places, sizeof *t.logprobs);
    t.tops = mem_zeroed(n_places, sizeof *t.tops);
    t.top_list = mem_zeroed(n_places, sizeof(Vllm__Grpc__Engine__TopLogProbs *));
    t.top_values = mem_zeroed(t.n_entries, sizeof *t.top_values);
    t.top_ids = mem_zeroed(t.n_entries, sizeof *t.top_ids);
    for (size_t i = 0; i < n_places; i++) {
        vllm__grpc__engine__top_log_probs__init(&t.tops[i]);
        t.top_list[i] = &t.tops[i];
    }
    size_t n = 0;
    size_t n_logprobs = first_logprob;
    size_t n_tops = 0;
    for (const struct queued_event *e = events; e; e = e->next) {
        if (e->event.n_token_ids > 0)
            memcpy(t.ids + n, e->token_ids, e->event.n_token_ids * sizeof *t.ids);
        n += e->event.n_token_ids;
        const struct token_logprob *entries = e->entries;
        for (size_t i = 0; i < e->event.n_logprobs; i++) {
            take_entries(&t, n_logprobs++, entries, e->n_entries[i], &n_tops);
            entries += e->n_entries[i];
        }
    }
    t.n_logprobs = n_places;
    return t;
}

static void free_tokens(struct tokens *t)
{
    free(t->ids);
    free(t->logprobs);
    free(t->tops);
    free(t->top_list);
    free(t->top_values);
    free(t->top_ids);
}

// NULL: there are none.
static Vllm__Grpc__Engine__OutputLogProbs *output_logprobs(const struct tokens *t, uint32_t n_top,
                                                           Vllm__Grpc__Engine__OutputLogProbs *out)
{
    vllm__grpc__engine__output_log_probs__init(out);
    if (t->n_logprobs == 0)
        return NULL;
    out->n_token_logprobs = out->n_token_ids = t->n_logprobs;
    out->token_logprobs = t->logprobs;
    out->token_ids = t->ids;
    if (n_top > 0) {
        out->n_top_logprobs = t->n_logprobs;
        out->top_logprobs = t->top_list;
    }
    return out;
}

struct prompt_message {
    struct tokens tokens;
    Vllm__Grpc__Engine__InputTokenLogProb *values, **value_list;
    Vllm__Grpc__Engine__InputLogProbs message;
};

// NULL: nothing is told of the prompt. Finish in any case.
static Vllm__Grpc__Engine__InputLogProbs *make_prompt(struct prompt_message *m,
                                                      const struct vllm_told *told)
{
    *m = (struct prompt_message){0};
    if (!told->prompt)
        return NULL;
    struct tokens *t = &m->tokens;
    *t = collect(told->prompt, 1); // nothing predicts the first
    m->values = mem_zeroed(t->n, sizeof *m->values);
    m->value_list = mem_zeroed(t->n, sizeof(Vllm__Grpc__Engine__InputTokenLogProb *));
    CHECK(t->n_logprobs == t->n);
    for (size_t i = 0; i < t->n; i++) {
        vllm__grpc__engine__input_token_log_prob__init(&m->values[i]);
        m->values[i].has_value = i > 0;
        m->values[i].value = t->logprobs[i];
        m->value_list[i] = &m->values[i];
    }
    vllm__grpc__engine__input_log_probs__init(&m->message);
    m->message.n_token_logprobs = m->message.n_token_ids = t->n;
    m->message.token_logprobs = m->value_list;
    m->message.token_ids = t->ids;
    uint32_t n_prompt_top = told->prompt->n_all_entries > 0 ? told->prompt->n_entries[0] - 1 : 0;
    if (n_prompt_top > 0) {
        m->message.n_top_logprobs = t->n;
        m->message.top_logprobs = t->top_list;
    }
    return &m->message;
}

static void free_prompt(struct prompt_message *m)
{
    free_tokens(&m->tokens);
    free(m->values);
    free(m->value_list);
}

void vllm_pack_chunk(const struct queued_event *deltas, const struct vllm_told *told,
                     struct text_buffer *out)
{
    struct tokens tokens = collect(deltas, 0);
    struct prompt_message prompt;
    Vllm__Grpc__Engine__OutputLogProbs logprobs;
    Vllm__Grpc__Engine__GenerateStreamChunk chunk = VLLM__GRPC__ENGINE__GENERATE_STREAM_CHUNK__INIT;
    chunk.n_token_ids = tokens.n;
    chunk.token_ids = tokens.ids;
    chunk.has_prompt_tokens = chunk.has_completion_tokens = true;
    chunk.prompt_tokens = told->n_prompt;
    chunk.completion_tokens = (uint32_t)tokens.n;
    chunk.output_logprobs = output_logprobs(&tokens, told->n_top, &logprobs);
    chunk.input_logprobs = make_prompt(&prompt, told);
    chunk.has_index = true;
    chunk.index = deltas->event.index;
    Vllm__Grpc__Engine__GenerateResponse response = VLLM__GRPC__ENGINE__GENERATE_RESPONSE__INIT;
    response.response_case = VLLM__GRPC__ENGINE__GENERATE_RESPONSE__RESPONSE_CHUNK;
    response.chunk = &chunk;
    message_pack(&response.base, out);
    free_prompt(&prompt);
    free_tokens(&tokens);
}

static ProtobufCBinaryData reason_text(enum finish_reason reason)
{
    const char *text = "abort"; // by a client, or by its time limit
    if (reason == FINISH_STOP)
        text = "stop";
    else if (reason == FINISH_LENGTH)
        text = "length";
    return (ProtobufCBinaryData){strlen(text), (uint8_t *)text};
}

void vllm_pack_complete(const struct queued_event *finish, const struct queued_event *deltas,
                        const struct stop_string *stop_strings, const struct vllm_told *told,
                        struct text_buffer *out)
{
    const struct engine_event *e = &finish->event;
    struct tokens tokens = collect(deltas, 0);
    struct prompt_message prompt;
    Vllm__Grpc__Engine__OutputLogProbs logprobs;
    Vllm__Grpc__Engine__GenerateComplete complete = VLLM__GRPC__ENGINE__GENERATE_COMPLETE__INIT;
    complete.n_output_ids = tokens.n;
    complete.output_ids = tokens.ids;
    complete.has_finish_reason = true;
    complete.finish_reason = reason_text(e->reason);
    complete.has_prompt_tokens = complete.has_completion_tokens = complete.has_cached_tokens = true;
    complete.prompt_tokens = told->n_prompt;
    complete.completion_tokens = e->completion_tokens;
    complete.cached_tokens = e->cached_tokens;
    complete.output_logprobs = output_logprobs(&tokens, told->n_top, &logprobs);
    complete.input_logprobs = make_prompt(&prompt, told);
    complete.has_index = true;
    complete.index = e->index;
    if (e->matched_id) {
        complete.matched_stop_case =
            VLLM__GRPC__ENGINE__GENERATE_COMPLETE__MATCHED_STOP_MATCHED_TOKEN_ID;
        complete.matched_token_id = e->stop_token_id;
    } else if (e->stop_string >= 0) {
        const struct stop_string *stop = &stop_strings[e->stop_string];
        complete.matched_stop_case =
            VLLM__GRPC__ENGINE__GENERATE_COMPLETE__MATCHED_STOP_MATCHED_STOP_STR;
        complete.matched_stop_str = (ProtobufCBinaryData){stop->n, (uint8_t *)stop->bytes};
    }
    Vllm__Grpc__Engine__GenerateResponse response = VLLM__GRPC__ENGINE__GENERATE_RESPONSE__INIT;
    response.response_case = VLLM__GRPC__ENGINE__GENERATE_RESPONSE__RESPONSE_COMPLETE;
    response.complete = &complete;
    message_pack(&response.base, out);
    free_prompt(&prompt);
    free_tokens(&tokens);
}
