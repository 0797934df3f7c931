/* engine/request.h - what a client sent, checked and complete: what the front ends hand to the
 * engine, and the events that come back. Front ends own the texts they point to until
 * engine_submit returns; the engine copies what it keeps. */
#ifndef GEMMAD_ENGINE_REQUEST_H
#define GEMMAD_ENGINE_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "engine/sampling.h"
#include "engine/step.h"

struct logit_bias {
    uint32_t token_id;
    float bias;
};

struct grammar; /* text/grammar/grammar.h */
struct media;   /* media/media.h */

/* A part of media, whose soft tokens are prompt tokens first .. first + n_tokens - 1. */
struct request_part {
    struct media *media; /* the engine takes a reference of its own */
    uint32_t part;
    uint32_t first;
};

#define REQUEST_NO_THINKING_BUDGET UINT32_MAX /* CONSTRAINT_NO_BUDGET */

/* A string of bytes with its length. */
struct stop_string {
    const char *bytes;
    size_t n;
};

struct request {
    const char *id;         /* unique among live requests */
    const uint32_t *prompt; /* [n_prompt], at least 1 */
    size_t n_prompt;
    struct sampling_params sampling; /* n_prompt_tokens is filled in by the engine */
    uint32_t n;                      /* sequences, 1..128 */
    uint32_t max_tokens;      /* resolved: at least 1, prompt + max_tokens <= the model's length */
    const uint32_t *stop_ids; /* model's (unless ignore_eos) and the request's; not shown */
    size_t n_stop_ids;
    const struct stop_string *stop_strings;
    size_t n_stop_strings; /* at most 16 */
    const struct logit_bias *biases;
    size_t n_biases;
    bool include_stop; /* leave the stop string or id in text and ids */
    bool want_text;
    bool want_token_ids;
    bool skip_special_tokens;
    bool want_prompt_ids;   /* the prompt event carries token_ids */
    int32_t priority;       /* lower runs first */
    uint64_t time_limit_ns; /* from submit; 0: none */
    const char *cache_salt; /* may be NULL */
    /* Thinking and answer come apart, in deltas of their kinds; the prompt says in which of them
     * generation begins. Needs a tokenizer, also when no text is wanted. */
    bool split_reasoning;
    uint32_t thinking_budget; /* with split_reasoning: reasoning tokens, then the channel is closed
                                 for the model; or REQUEST_NO_THINKING_BUDGET */
    const struct request_part *parts; /* [n_parts], first ascending; the prompt has placeholders
                                         there and nowhere else */
    size_t n_parts;
    struct grammar *grammar; /* of the answer, not of the thinking; the engine takes a reference of
                                its own. NULL: any text */
};

enum finish_reason { FINISH_STOP, FINISH_LENGTH, FINISH_ABORT, FINISH_TIME_LIMIT };

/* One token's logprobs: entry 0 is the token itself, then the best ones. */
struct token_logprobs {
    const struct token_logprob *entries; /* [n] */
    uint32_t n;
};

enum engine_event_type {
    ENGINE_EVENT_PROMPT, /* once, before any delta, when token ids or logprobs of it are wanted */
    ENGINE_EVENT_DELTA,
    ENGINE_EVENT_FINISH, /* one per sequence */
    ENGINE_EVENT_FAILED, /* the request is over, with a status; nothing follows */
};

/* What a delta is a piece of. Without split_reasoning all is content. */
enum text_kind { TEXT_CONTENT, TEXT_REASONING };

/* Lives during the callback only. */
struct engine_event {
    enum engine_event_type type;
    uint32_t index; /* which of n */
    /* DELTA: of text, ids and logprobs. The ids and logprobs of delimiters (<|channel>,
     * <channel|>), which have no text, come with REASONING. */
    enum text_kind kind;
    /* PROMPT: the prompt's ids and logprobs (of tokens 1..n-1); DELTA: generated ones */
    const uint32_t *token_ids;
    size_t n_token_ids;
    const struct token_logprobs *logprobs;
    size_t n_logprobs;
    const char *text; /* DELTA: well-formed UTF-8, may contain NUL; NULL if not wanted */
    size_t text_length;
    /* FINISH */
    enum finish_reason reason;
    bool matched_id;
    uint32_t stop_token_id;
    int32_t stop_string; /* index of the matched stop string, or -1 */
    uint32_t prompt_tokens;
    uint32_t completion_tokens;
    uint32_t reasoning_tokens; /* of completion_tokens: thinking, without delimiters */
    uint32_t cached_tokens;
    uint64_t queue_ns; /* from submit to the begin of the first step that had rows of the request */
    bool last;         /* FINISH: the last sequence of the request; nothing follows */
    /* FAILED */
    const struct error *error;
};

/* Called on the engine's thread: must not block. */
typedef void engine_event_fn(void *context, const struct engine_event *event);

#endif
