/* engine/output.h - from one sequence's tokens to what its client may see, and when.
 *
 * Text is certain once its characters are complete and it can no longer be the beginning of a stop
 * string; a token's id and logprobs come with the delta that makes its text certain (at once if no
 * text is made). When a stop string is complete, the text ends before it (behind it with
 * include_stop) and the ids and logprobs of all tokens come, also of those whose text was cut.
 *
 * When thinking is told apart (text/reasoning.h), a delta is of one kind: thinking without its
 * label and its special tokens, or content. Delimiters have no text; their ids and logprobs come
 * with thinking. Stop strings are searched in content alone, and not from <|tool_call> to
 * <tool_call|>; what comes behind thinking or a tool call is searched as if it were the beginning.
 * Thread: the engine thread. Memory grows to what is held back and is then reused. */
#ifndef GEMMAD_ENGINE_OUTPUT_H
#define GEMMAD_ENGINE_OUTPUT_H

#include "base/text_buffer.h"
#include "engine/request.h"
#include "engine/stop_strings.h"
#include "text/detokenizer.h"
#include "text/reasoning.h"

struct output_config {
    const struct tokenizer *tokenizer; /* NULL: no text is made, and there are no stop strings */
    const struct stop_strings *stop_strings;
    bool include_stop;
    bool skip_special_tokens;
    bool want_text;
    bool want_token_ids;
    uint32_t n_logprobs;                      /* entries of each token, at most; 0: not wanted */
    const struct reasoning_tokens *reasoning; /* to tell thinking apart; else NULL */
    enum reasoning_state start;
};

enum output_mode { OUTPUT_CONTENT, OUTPUT_CALL, OUTPUT_THINKING, OUTPUT_DELIMITER };

struct output_token {
    size_t text_end; /* in text */
    uint32_t n_logprobs;
    enum text_kind kind;
};

struct output {
    struct output_config c;
    struct detokenizer detokenizer;
    struct stop_position position;
    enum output_mode mode; /* of the last token */
    bool in_call;          /* <|tool_call> came, <tool_call|> did not */
    enum reasoning_state state;
    struct reasoning_label label;
    struct text_buffer thinking; /* scratch: a token's text, before the label is taken out */
    uint32_t n_reasoning_tokens;
    struct text_buffer text; /* taken_bytes that were handed out, then what was not */
    size_t taken_bytes;
    size_t certain_bytes; /* of text */
    bool ended;           /* all that is left is certain */
    /* Tokens: n_taken that were handed out, then those held. */
    uint32_t n_tokens, n_taken;
    uint32_t n_closed; /* whose text_end is known */
    uint32_t *token_ids;
    struct output_token *tokens;
    struct token_logprob *logprobs;        /* [n_tokens, n_logprobs] */
    struct token_logprobs *token_logprobs; /* views into logprobs, for events */
    size_t token_ids_capacity, tokens_capacity, logprobs_capacity, token_logprobs_capacity;
};

void output_init(struct output *output, const struct output_config *config);
void output_finish(struct output *output);

/* The next token with its entries. */
struct pushed_token {
    uint32_t id;
    bool is_stop; /* a stop id that is shown: it tells nothing about thinking */
    const struct token_logprob *logprobs; /* [n_logprobs], at most those of the config */
    uint32_t n_logprobs;
};
/* Returns the index of the stop string that the token completes (then the output has ended), or
 * -1. */
int32_t output_push(struct output *output, const struct pushed_token *token);
/* No more tokens: what was held back becomes certain. Returns a stop string that the last
 * incomplete character completes, or -1. */
int32_t output_end(struct output *output);
/* Fills in the kind, ids, logprobs and text of a delta with what has become certain since the last
 * time, as far as it is of one kind. False: nothing to send. The memory is valid until the next
 * push or end. */
bool output_take(struct output *output, struct engine_event *delta);

#endif
