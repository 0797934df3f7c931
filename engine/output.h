/* engine/output.h - from one sequence's tokens to what its client may see, and when.
 *
 * Text is certain once its characters are complete and it can no longer be the beginning of a stop
 * string; a token's id and logprobs come with the delta that makes its text certain (at once if no
 * text is made). When a stop string is complete, the text ends before it (behind it with
 * include_stop) and the ids and logprobs of all tokens come, also of those whose text was cut.
 * Thread: the engine thread. Memory grows to what is held back and is then reused. */
#ifndef GEMMAD_ENGINE_OUTPUT_H
#define GEMMAD_ENGINE_OUTPUT_H

#include "base/text_buffer.h"
#include "engine/request.h"
#include "engine/stop_strings.h"
#include "text/detokenizer.h"

struct output_config {
    const struct tokenizer *tokenizer; /* NULL: no text is made, and there are no stop strings */
    const struct stop_strings *stop_strings;
    bool include_stop;
    bool skip_special_tokens;
    bool want_text;
    bool want_token_ids;
    uint32_t n_logprobs; /* entries of each token; 0: not wanted */
};

struct output {
    struct output_config c;
    struct detokenizer detokenizer;
    struct stop_position position;
    struct text_buffer text; /* taken_bytes that were handed out, then what was not */
    size_t taken_bytes;
    size_t certain_bytes; /* of text */
    bool ended;           /* all that is left is certain */
    /* Tokens: n_taken that were handed out, then those held. */
    uint32_t n_tokens, n_taken;
    uint32_t n_closed; /* whose text_end is known */
    uint32_t *token_ids;
    size_t *text_ends;                     /* in text */
    struct token_logprob *logprobs;        /* [n_tokens, n_logprobs] */
    struct token_logprobs *token_logprobs; /* views into logprobs, for events */
    size_t token_ids_capacity, text_ends_capacity, logprobs_capacity, token_logprobs_capacity;
};

void output_init(struct output *output, const struct output_config *config);
void output_finish(struct output *output);

/* Takes the next token with its [n_logprobs] entries. Returns the index of the stop string that it
 * completes (then the output has ended), or -1. */
int32_t output_push(struct output *output, uint32_t token, const struct token_logprob *logprobs);
/* No more tokens: what was held back becomes certain. Returns a stop string that the last
 * incomplete character completes, or -1. */
int32_t output_end(struct output *output);
/* Fills in the ids, logprobs and text of a delta with what has become certain since the last time.
 * False: nothing to send. The memory is valid until the next call. */
bool output_take(struct output *output, struct engine_event *delta);

#endif
