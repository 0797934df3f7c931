/* gateway/response.c - the tree of structs that protobuf-c packs is made in three arrays, whatever
 * the number of tokens. Absent and zero are the same to proto3 readers, so zeros are not sent
 * except where presence means something (the stop token of a match). */
#include "gateway/response.h"

#include <stdlib.h>

#include "base/mem.h"
#include "gateway/message.h"
#include "proto/inference.pb-c.h"

struct logprob_messages {
    Gemmad__V1__TokenLogprob *tokens, **token_list;
    Gemmad__V1__TopLogprob *tops, **top_list;
};

// Entry 0 of a token is the token itself, then the best ones.
static struct logprob_messages make_logprobs(const struct queued_event *event)
{
    size_t n_tokens = event->event.n_logprobs;
    struct logprob_messages m = {
        .tokens = mem_zeroed(n_tokens, sizeof *m.tokens),
        .token_list = mem_zeroed(n_tokens, sizeof(Gemmad__V1__TokenLogprob *)),
        .tops = mem_zeroed(event->n_all_entries, sizeof *m.tops),
        .top_list = mem_zeroed(event->n_all_entries, sizeof(Gemmad__V1__TopLogprob *)),
    };
    size_t at = 0;
    for (size_t i = 0; i < n_tokens; i++) {
        Gemmad__V1__TokenLogprob *token = &m.tokens[i];
        gemmad__v1__token_logprob__init(token);
        m.token_list[i] = token;
        token->top = m.top_list + at;
        for (uint32_t k = 0; k < event->n_entries[i]; k++) {
            struct token_logprob entry = event->entries[at + k];
            if (k == 0) {
                token->has_token_id = token->has_logprob = true;
                token->token_id = entry.token_id;
                token->logprob = entry.logprob;
                continue;
            }
            Gemmad__V1__TopLogprob *top = &m.tops[at + k];
            gemmad__v1__top_logprob__init(top);
            top->has_token_id = top->has_logprob = true;
            top->token_id = entry.token_id;
            top->logprob = entry.logprob;
            token->top[token->n_top++] = top;
        }
        at += event->n_entries[i];
    }
    return m;
}

static void free_logprobs(struct logprob_messages *m)
{
    free(m->tokens);
    free(m->token_list);
    free(m->tops);
    free(m->top_list);
}

static void pack_prompt(const struct queued_event *event, struct text_buffer *out)
{
    struct logprob_messages logprobs = make_logprobs(event);
    Gemmad__V1__Prompt prompt = GEMMAD__V1__PROMPT__INIT;
    prompt.n_token_ids = event->event.n_token_ids;
    prompt.token_ids = event->token_ids;
    prompt.n_logprobs = event->event.n_logprobs;
    prompt.logprobs = logprobs.token_list;
    prompt.has_cached_tokens = event->event.cached_tokens > 0;
    prompt.cached_tokens = event->event.cached_tokens;
    Gemmad__V1__GenerateResponse response = GEMMAD__V1__GENERATE_RESPONSE__INIT;
    response.event_case = GEMMAD__V1__GENERATE_RESPONSE__EVENT_PROMPT;
    response.prompt = &prompt;
    message_pack(&response.base, out);
    free_logprobs(&logprobs);
}

static void pack_delta(const struct queued_event *event, struct text_buffer *out)
{
    struct logprob_messages logprobs = make_logprobs(event);
    Gemmad__V1__Delta delta = GEMMAD__V1__DELTA__INIT;
    delta.has_index = event->event.index > 0;
    delta.index = event->event.index;
    delta.has_text = event->text.length > 0;
    delta.text = (ProtobufCBinaryData){event->text.length, (uint8_t *)event->text.data};
    delta.n_token_ids = event->event.n_token_ids;
    delta.token_ids = event->token_ids;
    delta.n_logprobs = event->event.n_logprobs;
    delta.logprobs = logprobs.token_list;
    delta.has_kind = event->event.kind == TEXT_REASONING;
    delta.kind = delta.has_kind ? GEMMAD__V1__TEXT_KIND__REASONING : GEMMAD__V1__TEXT_KIND__CONTENT;
    Gemmad__V1__GenerateResponse response = GEMMAD__V1__GENERATE_RESPONSE__INIT;
    response.event_case = GEMMAD__V1__GENERATE_RESPONSE__EVENT_DELTA;
    response.delta = &delta;
    message_pack(&response.base, out);
    free_logprobs(&logprobs);
}

static Gemmad__V1__FinishReason reason_message(enum finish_reason reason)
{
    switch (reason) {
    case FINISH_STOP:
        return GEMMAD__V1__FINISH_REASON__STOP;
    case FINISH_LENGTH:
        return GEMMAD__V1__FINISH_REASON__LENGTH;
    case FINISH_ABORT:
        return GEMMAD__V1__FINISH_REASON__ABORT;
    case FINISH_TIME_LIMIT:
        return GEMMAD__V1__FINISH_REASON__TIME_LIMIT;
    }
    CHECK(!"a reason of the enum");
    return GEMMAD__V1__FINISH_REASON__FINISH_REASON_UNSPECIFIED;
}

static void pack_finish(const struct queued_event *event, const struct stop_string *stop_strings,
                        struct text_buffer *out)
{
    const struct engine_event *e = &event->event;
    Gemmad__V1__Usage usage = GEMMAD__V1__USAGE__INIT;
    usage.has_prompt_tokens = usage.has_completion_tokens = usage.has_cached_tokens = true;
    usage.prompt_tokens = e->prompt_tokens;
    usage.completion_tokens = e->completion_tokens;
    usage.cached_tokens = e->cached_tokens;
    usage.has_reasoning_tokens = e->reasoning_tokens > 0;
    usage.reasoning_tokens = e->reasoning_tokens;
    Gemmad__V1__Finish finish = GEMMAD__V1__FINISH__INIT;
    finish.has_index = e->index > 0;
    finish.index = e->index;
    finish.has_reason = true;
    finish.reason = reason_message(e->reason);
    finish.usage = &usage;
    if (e->matched_id) {
        finish.matched_case = GEMMAD__V1__FINISH__MATCHED_STOP_TOKEN_ID;
        finish.stop_token_id = e->stop_token_id;
    } else if (e->stop_string >= 0) {
        const struct stop_string *stop = &stop_strings[e->stop_string];
        finish.matched_case = GEMMAD__V1__FINISH__MATCHED_STOP_STRING;
        finish.stop_string = (ProtobufCBinaryData){stop->n, (uint8_t *)stop->bytes};
    }
    Gemmad__V1__GenerateResponse response = GEMMAD__V1__GENERATE_RESPONSE__INIT;
    response.event_case = GEMMAD__V1__GENERATE_RESPONSE__EVENT_FINISH;
    response.finish = &finish;
    message_pack(&response.base, out);
}

void response_pack(const struct queued_event *event, const struct stop_string *stop_strings,
                   struct text_buffer *out)
{
    switch (event->event.type) {
    case ENGINE_EVENT_PROMPT:
        pack_prompt(event, out);
        return;
    case ENGINE_EVENT_DELTA:
        pack_delta(event, out);
        return;
    case ENGINE_EVENT_FINISH:
        pack_finish(event, stop_strings, out);
        return;
    case ENGINE_EVENT_FAILED: // ends the call, it is no message
        break;
    }
    CHECK(!"an event that is a message");
}
