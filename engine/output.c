/* engine/output.c - one buffer for text and one for tokens; what was handed out is shifted away
 * with the next token, so that an event can point into them.
 * A change of mode makes all text before it certain and closes its tokens, so the text of a run of
 * tokens of one kind ends where its last token's does.
 * A stop string begins with a whole character, so cutting or holding back text there never splits
 * one. */
#include "engine/output.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void output_init(struct output *o, const struct output_config *config)
{
    *o = (struct output){.c = *config};
    o->state = config->start;
    if (config->reasoning && config->start == REASONING_INSIDE) {
        o->mode = OUTPUT_THINKING;
        reasoning_label_begin(&o->label);
    }
    if (config->tokenizer)
        detokenizer_init(&o->detokenizer, config->tokenizer, config->skip_special_tokens);
}

void output_finish(struct output *o)
{
    text_buffer_finish(&o->text);
    text_buffer_finish(&o->thinking);
    free(o->token_ids);
    free(o->tokens);
    free(o->logprobs);
    free(o->token_logprobs);
}

static void shift(void *array, size_t taken, size_t n, size_t size)
{
    memmove(array, (char *)array + taken * size, (n - taken) * size);
}

static void forget_taken(struct output *o)
{
    if (o->n_taken == o->n_tokens && o->taken_bytes == o->text.length) { // nothing is held back
        o->text.length = o->certain_bytes = o->taken_bytes = 0;
        o->n_tokens = o->n_closed = o->n_taken = 0;
        return;
    }
    if (o->taken_bytes > 0) {
        shift(o->text.data, o->taken_bytes, o->text.length, 1);
        o->text.length -= o->taken_bytes;
        o->certain_bytes -= o->taken_bytes;
        for (uint32_t i = o->n_taken; i < o->n_closed; i++)
            o->tokens[i].text_end -= o->taken_bytes;
        o->taken_bytes = 0;
    }
    if (o->n_taken > 0) {
        shift(o->token_ids, o->n_taken, o->n_tokens, sizeof *o->token_ids);
        shift(o->tokens, o->n_taken, o->n_tokens, sizeof *o->tokens);
        if (o->c.n_logprobs > 0)
            shift(o->logprobs, o->n_taken, o->n_tokens, o->c.n_logprobs * sizeof *o->logprobs);
        o->n_tokens -= o->n_taken;
        o->n_closed -= o->n_taken;
        o->n_taken = 0;
    }
}

static void append_token(struct output *o, const struct pushed_token *token)
{
    size_t n = o->n_tokens;
    bool thinking = o->mode == OUTPUT_THINKING || o->mode == OUTPUT_DELIMITER;
    mem_reserve(&o->token_ids, &o->token_ids_capacity, n + 1, sizeof *o->token_ids);
    mem_reserve(&o->tokens, &o->tokens_capacity, n + 1, sizeof *o->tokens);
    o->token_ids[n] = token->id;
    o->tokens[n] = (struct output_token){.n_logprobs = token->n_logprobs,
                                         .kind = thinking ? TEXT_REASONING : TEXT_CONTENT};
    if (o->c.n_logprobs > 0) {
        size_t each = o->c.n_logprobs;
        CHECK(token->n_logprobs <= each);
        mem_reserve(&o->logprobs, &o->logprobs_capacity, (n + 1) * each, sizeof *o->logprobs);
        mem_reserve(&o->token_logprobs, &o->token_logprobs_capacity, n + 1,
                    sizeof *o->token_logprobs);
        memcpy(o->logprobs + n * each, token->logprobs, token->n_logprobs * sizeof *o->logprobs);
    }
    o->n_tokens++;
}

static void close_tokens(struct output *o)
{
    while (o->n_closed < o->n_tokens)
        o->tokens[o->n_closed++].text_end = o->text.length;
}

// Text from old_length on is new. Looks for stop strings and says what is certain.
static int32_t take_new_text(struct output *o, size_t old_length)
{
    size_t end = 0;
    int32_t found = -1;
    bool searched = o->mode == OUTPUT_CONTENT;
    if (searched && o->text.length > old_length)
        found = stop_strings_find(o->c.stop_strings, &o->position, o->text.data + old_length,
                                  o->text.length - old_length, &end);
    if (found >= 0) {
        end += old_length;
        o->text.length = o->c.include_stop ? end : end - o->c.stop_strings->patterns[found].n;
        o->certain_bytes = o->text.length;
        o->ended = true;
        return found;
    }
    if (o->detokenizer.n_pending == 0 && o->label.n_held == 0)
        close_tokens(o);
    size_t held = 0;
    if (searched && !o->c.include_stop)
        held = stop_strings_held_bytes(o->c.stop_strings, &o->position);
    o->certain_bytes = o->text.length - held;
    return -1;
}

// Adds the text of a token, or with TOKEN_NONE what an incomplete character leaves.
static int32_t add_text(struct output *o, uint32_t token)
{
    size_t old_length = o->text.length;
    bool thinking = o->mode == OUTPUT_THINKING;
    struct text_buffer *to = thinking ? &o->thinking : &o->text;
    if (token == TOKEN_NONE || (thinking && tokenizer_is_special(o->c.tokenizer, token)))
        detokenizer_flush(&o->detokenizer, to);
    else
        detokenizer_push(&o->detokenizer, token, to);
    if (thinking && o->thinking.length > 0) {
        reasoning_label_push(&o->label, o->thinking.data, o->thinking.length, &o->text);
        text_buffer_clear(&o->thinking);
    }
    return take_new_text(o, old_length);
}

// All that is held back becomes certain, except for a stop string that it completes.
static int32_t end_mode(struct output *o)
{
    int32_t found = -1;
    if (o->c.tokenizer)
        found = add_text(o, TOKEN_NONE);
    if (found >= 0)
        return found;
    if (o->mode == OUTPUT_THINKING)
        reasoning_label_end(&o->label, &o->text);
    close_tokens(o);
    o->certain_bytes = o->text.length;
    o->position = (struct stop_position){0};
    return -1;
}

static enum output_mode mode_of(struct output *o, const struct pushed_token *token)
{
    const struct reasoning_tokens *tokens = o->c.reasoning;
    enum reasoning_kind kind = o->state == REASONING_INSIDE ? REASONING_TEXT : REASONING_CONTENT;
    if (!token->is_stop) {
        kind = reasoning_push(tokens, &o->state, token->id);
        o->n_reasoning_tokens += kind == REASONING_TEXT;
    }
    bool called = o->in_call || token->id == tokens->tool_call;
    o->in_call = kind == REASONING_CONTENT && called && token->id != tokens->tool_call_end;
    if (kind == REASONING_DELIMITER)
        return OUTPUT_DELIMITER;
    if (kind == REASONING_TEXT)
        return OUTPUT_THINKING;
    return called ? OUTPUT_CALL : OUTPUT_CONTENT;
}

int32_t output_push(struct output *o, const struct pushed_token *token)
{
    CHECK(!o->ended);
    int32_t found = -1;
    enum output_mode mode = o->c.reasoning ? mode_of(o, token) : OUTPUT_CONTENT;
    forget_taken(o);
    if (mode != o->mode) {
        found = end_mode(o);
        o->mode = mode;
    }
    append_token(o, token);
    if (found >= 0)
        return found;
    if (mode == OUTPUT_DELIMITER && o->state == REASONING_INSIDE)
        reasoning_label_begin(&o->label);
    if (mode == OUTPUT_DELIMITER || !o->c.tokenizer) {
        close_tokens(o);
        return -1;
    }
    return add_text(o, token->id);
}

int32_t output_end(struct output *o)
{
    if (o->ended)
        return -1;
    forget_taken(o);
    int32_t found = end_mode(o);
    o->ended = true;
    return found;
}

// The tokens from n_taken on that are of one kind; *out_text_end: the end of their text.
static uint32_t run_of_one_kind(const struct output *o, size_t *out_text_end)
{
    *out_text_end = o->certain_bytes;
    if (!o->c.reasoning)
        return o->n_tokens;
    uint32_t end = o->n_taken;
    while (end < o->n_tokens && o->tokens[end].kind == o->tokens[o->n_taken].kind)
        end++;
    if (end < o->n_tokens && end <= o->n_closed && o->tokens[end - 1].text_end < o->certain_bytes)
        *out_text_end = o->tokens[end - 1].text_end;
    return end;
}

// Of one kind: what is certain. False: nothing that the client wants to see.
static bool take_run(struct output *o, struct engine_event *delta)
{
    uint32_t first = o->n_taken;
    size_t text_end;
    uint32_t last = run_of_one_kind(o, &text_end);
    if (!o->ended) {
        uint32_t end = last;
        last = first;
        while (last < end && last < o->n_closed && o->tokens[last].text_end <= o->certain_bytes)
            last++;
    }
    uint32_t n = last - first;
    bool has_text = o->c.want_text && text_end > o->taken_bytes;
    bool has_tokens = n > 0 && (o->c.want_token_ids || o->c.n_logprobs > 0);
    if (first < o->n_tokens)
        delta->kind = o->tokens[first].kind;
    if (o->c.want_text) {
        delta->text = o->text.data ? o->text.data + o->taken_bytes : "";
        delta->text_length = text_end - o->taken_bytes;
    }
    if (o->c.want_token_ids) {
        delta->token_ids = o->token_ids + first;
        delta->n_token_ids = n;
    }
    if (o->c.n_logprobs > 0) {
        for (uint32_t i = first; i < last; i++)
            o->token_logprobs[i] = (struct token_logprobs){
                .entries = o->logprobs + (size_t)i * o->c.n_logprobs, .n = o->tokens[i].n_logprobs};
        delta->logprobs = o->token_logprobs + first;
        delta->n_logprobs = n;
    }
    o->n_taken = last;
    o->taken_bytes = text_end;
    return has_text || has_tokens;
}

bool output_take(struct output *o, struct engine_event *delta)
{
    // Most times there is one run, and then nothing.
    while (o->n_taken < o->n_tokens) {
        uint32_t before = o->n_taken;
        if (take_run(o, delta))
            return true;
        if (o->n_taken == before)
            return false;
    }
    return false;
}
