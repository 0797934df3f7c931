/* engine/output.c - one buffer for text and one for tokens; what was handed out is shifted away
 * with the next token, so that an event can point into them.
 * A stop string begins with a whole character, so cutting or holding back text there never splits
 * one. */
#include "engine/output.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void output_init(struct output *o, const struct output_config *config)
{
    *o = (struct output){.c = *config};
    if (config->tokenizer)
        detokenizer_init(&o->detokenizer, config->tokenizer, config->skip_special_tokens);
}

void output_finish(struct output *o)
{
    text_buffer_finish(&o->text);
    free(o->token_ids);
    free(o->text_ends);
    free(o->logprobs);
    free(o->token_logprobs);
}

static void shift(void *array, size_t taken, size_t n, size_t size)
{
    memmove(array, (char *)array + taken * size, (n - taken) * size);
}

static void forget_taken(struct output *o)
{
    if (o->taken_bytes > 0) {
        shift(o->text.data, o->taken_bytes, o->text.length, 1);
        o->text.length -= o->taken_bytes;
        o->certain_bytes -= o->taken_bytes;
        for (uint32_t i = o->n_taken; i < o->n_closed; i++)
            o->text_ends[i] -= o->taken_bytes;
        o->taken_bytes = 0;
    }
    if (o->n_taken > 0) {
        shift(o->token_ids, o->n_taken, o->n_tokens, sizeof *o->token_ids);
        shift(o->text_ends, o->n_taken, o->n_tokens, sizeof *o->text_ends);
        if (o->c.n_logprobs > 0)
            shift(o->logprobs, o->n_taken, o->n_tokens, o->c.n_logprobs * sizeof *o->logprobs);
        o->n_tokens -= o->n_taken;
        o->n_closed -= o->n_taken;
        o->n_taken = 0;
    }
}

static void append_token(struct output *o, uint32_t token, const struct token_logprob *logprobs)
{
    size_t n = o->n_tokens;
    mem_reserve(&o->token_ids, &o->token_ids_capacity, n + 1, sizeof *o->token_ids);
    mem_reserve(&o->text_ends, &o->text_ends_capacity, n + 1, sizeof *o->text_ends);
    o->token_ids[n] = token;
    if (o->c.n_logprobs > 0) {
        size_t each = o->c.n_logprobs;
        mem_reserve(&o->logprobs, &o->logprobs_capacity, (n + 1) * each, sizeof *o->logprobs);
        mem_reserve(&o->token_logprobs, &o->token_logprobs_capacity, n + 1,
                    sizeof *o->token_logprobs);
        memcpy(o->logprobs + n * each, logprobs, each * sizeof *o->logprobs);
    }
    o->n_tokens++;
}

// Text from old_length on is new. Looks for stop strings and says what is certain.
static int32_t take_new_text(struct output *o, size_t old_length)
{
    size_t end = 0;
    int32_t found = -1;
    if (o->text.length > old_length)
        found = stop_strings_find(o->c.stop_strings, &o->position, o->text.data + old_length,
                                  o->text.length - old_length, &end);
    if (found >= 0) {
        end += old_length;
        o->text.length = o->c.include_stop ? end : end - o->c.stop_strings->patterns[found].n;
        o->certain_bytes = o->text.length;
        o->ended = true;
        return found;
    }
    if (o->detokenizer.n_pending == 0)
        while (o->n_closed < o->n_tokens)
            o->text_ends[o->n_closed++] = o->text.length;
    size_t held = o->c.include_stop ? 0 : stop_strings_held_bytes(o->c.stop_strings, &o->position);
    o->certain_bytes = o->text.length - held;
    return -1;
}

int32_t output_push(struct output *o, uint32_t token, const struct token_logprob *logprobs)
{
    CHECK(!o->ended);
    forget_taken(o);
    append_token(o, token, logprobs);
    if (!o->c.tokenizer) {
        o->text_ends[o->n_closed++] = 0;
        return -1;
    }
    size_t old_length = o->text.length;
    detokenizer_push(&o->detokenizer, token, &o->text);
    return take_new_text(o, old_length);
}

int32_t output_end(struct output *o)
{
    if (o->ended)
        return -1;
    int32_t found = -1;
    forget_taken(o);
    if (o->c.tokenizer) {
        size_t old_length = o->text.length;
        detokenizer_flush(&o->detokenizer, &o->text);
        found = take_new_text(o, old_length);
    }
    o->certain_bytes = o->text.length;
    o->ended = true;
    return found;
}

bool output_take(struct output *o, struct engine_event *delta)
{
    uint32_t first = o->n_taken;
    uint32_t last = o->n_tokens;
    if (!o->ended) {
        last = first;
        while (last < o->n_closed && o->text_ends[last] <= o->certain_bytes)
            last++;
    }
    uint32_t n = last - first;
    bool has_text = o->c.want_text && o->certain_bytes > o->taken_bytes;
    bool has_tokens = n > 0 && (o->c.want_token_ids || o->c.n_logprobs > 0);
    if (o->c.want_text) {
        delta->text = o->text.data ? o->text.data + o->taken_bytes : "";
        delta->text_length = o->certain_bytes - o->taken_bytes;
    }
    if (o->c.want_token_ids) {
        delta->token_ids = o->token_ids + first;
        delta->n_token_ids = n;
    }
    if (o->c.n_logprobs > 0) {
        for (uint32_t i = first; i < last; i++)
            o->token_logprobs[i] = (struct token_logprobs){
                .entries = o->logprobs + (size_t)i * o->c.n_logprobs, .n = o->c.n_logprobs};
        delta->logprobs = o->token_logprobs + first;
        delta->n_logprobs = n;
    }
    o->n_taken = last;
    o->taken_bytes = o->certain_bytes;
    return has_text || has_tokens;
}
