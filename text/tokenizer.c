/* text/tokenizer.c - look-ups in a loaded tokenizer, and its end. */
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "text/tokenizer_tables.h"

uint64_t tokenizer_string_hash(const char *string, size_t n)
{
    uint64_t hash = n * UINT64_C(0x9E3779B97F4A7C15);
    for (uint64_t word; n; string += sizeof word, n -= n < sizeof word ? n : sizeof word) {
        word = 0;
        memcpy(&word, string, n < sizeof word ? n : sizeof word);
        hash = (hash ^ word) * UINT64_C(0xD6E8FEB86659FD93);
        hash ^= hash >> 32;
    }
    return hash;
}

uint64_t *tokenizer_index_entry(const struct tokenizer *tokenizer, const char *string, size_t n)
{
    uint64_t hash = tokenizer_string_hash(string, n);
    for (size_t at = hash;; at++) {
        uint64_t *entry = &tokenizer->index[at & (tokenizer->index_capacity - 1)];
        if (*entry == 0)
            return entry;
        if (*entry >> 32 != hash >> 32)
            continue;
        const struct token *token = &tokenizer->tokens[(uint32_t)*entry - 1];
        if (token->n_entry == n && memcmp(tokenizer->strings + token->entry_at, string, n) == 0)
            return entry;
    }
}

uint32_t tokenizer_n_tokens(const struct tokenizer *tokenizer)
{
    return tokenizer->n_tokens;
}

uint32_t tokenizer_id(const struct tokenizer *tokenizer, const char *entry, size_t n)
{
    uint64_t found = *tokenizer_index_entry(tokenizer, entry, n);
    return found ? (uint32_t)found - 1 : TOKEN_NONE;
}

bool tokenizer_is_special(const struct tokenizer *tokenizer, uint32_t id)
{
    return id < tokenizer->n_tokens && tokenizer->tokens[id].is_special;
}

bool tokenizer_is_hidden(const struct tokenizer *tokenizer, uint32_t id)
{
    return tokenizer_is_special(tokenizer, id) && !tokenizer->tokens[id].is_tool_marker;
}

const char *tokenizer_token_bytes(const struct tokenizer *tokenizer, uint32_t id, size_t *out_n,
                                  bool *out_is_byte)
{
    *out_n = 0;
    *out_is_byte = false;
    if (id >= tokenizer->n_tokens || tokenizer->tokens[id].n_entry == 0)
        return NULL;
    const struct token *token = &tokenizer->tokens[id];
    *out_n = token->n_text;
    *out_is_byte = token->is_byte;
    return tokenizer->strings + token->text_at;
}

bool tokenizer_find_added(const struct tokenizer *tokenizer, const char *text, size_t n,
                          size_t from, size_t *out_start, size_t *out_length, uint32_t *out_id)
{
    struct added_token_match match;
    if (!added_tokens_find(&tokenizer->added, text, from, n, &match))
        return false;
    *out_start = match.start;
    *out_length = match.length;
    *out_id = match.id;
    return true;
}

void tokenizer_destroy(struct tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    for (size_t i = 0; i < N_CODE_POINTS / CODE_POINTS_PER_PAGE; i++)
        free(tokenizer->characters[i]);
    free(tokenizer->tokens);
    free(tokenizer->strings);
    free(tokenizer->index);
    free(tokenizer->junctions);
    bpe_merges_finish(&tokenizer->merges);
    added_tokens_finish(&tokenizer->added);
    free(tokenizer);
}
