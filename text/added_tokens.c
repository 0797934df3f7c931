/* text/added_tokens.c - a trie over bytes, tried at every place where a token can begin.
 * No automaton with failure links: Gemma 4's 24 tokens all begin with '<', so memchr finds the
 * places, and a try that fails has read a few bytes. Siblings are a list; only the first byte,
 * which is looked up most, has a table. */
#include "text/added_tokens.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/tokenizer.h"

void added_tokens_init(struct added_tokens *tokens)
{
    *tokens = (struct added_tokens){.only_first = -1, .n_nodes = 1};
    mem_reserve(&tokens->nodes, &tokens->capacity, 1, sizeof *tokens->nodes);
}

void added_tokens_finish(struct added_tokens *tokens)
{
    free(tokens->nodes);
    *tokens = (struct added_tokens){0};
}

static uint32_t new_node(struct added_tokens *tokens, unsigned char byte, uint32_t next)
{
    size_t n = tokens->n_nodes;
    CHECK(n < UINT32_MAX);
    mem_reserve(&tokens->nodes, &tokens->capacity, n + 1, sizeof *tokens->nodes);
    tokens->nodes[n] = (struct added_token_node){.byte = byte, .next = next, .id = TOKEN_NONE};
    tokens->n_nodes = n + 1;
    return (uint32_t)n;
}

static uint32_t child_of(const struct added_tokens *tokens, uint32_t node, unsigned char byte)
{
    uint32_t child = tokens->nodes[node].first_child;
    while (child && tokens->nodes[child].byte != byte)
        child = tokens->nodes[child].next;
    return child;
}

bool added_tokens_add(struct added_tokens *tokens, const char *string, size_t n, uint32_t id)
{
    const unsigned char *bytes = (const unsigned char *)string;
    bool is_first = tokens->n_nodes == 1;
    uint32_t node = tokens->first[bytes[0]];
    if (!node) {
        node = new_node(tokens, bytes[0], 0);
        tokens->first[bytes[0]] = node;
        tokens->only_first = is_first ? bytes[0] : -1;
    }
    for (size_t i = 1; i < n; i++) {
        uint32_t child = child_of(tokens, node, bytes[i]);
        if (!child) {
            child = new_node(tokens, bytes[i], tokens->nodes[node].first_child);
            tokens->nodes[node].first_child = child;
        }
        node = child;
    }
    if (tokens->nodes[node].id != TOKEN_NONE)
        return false;
    tokens->nodes[node].id = id;
    return true;
}

static size_t next_start(const struct added_tokens *tokens, const unsigned char *text, size_t at,
                         size_t n)
{
    if (tokens->only_first >= 0) {
        const unsigned char *found = memchr(text + at, tokens->only_first, n - at);
        return found ? (size_t)(found - text) : n;
    }
    while (at < n && !tokens->first[text[at]])
        at++;
    return at;
}

bool added_tokens_find(const struct added_tokens *tokens, const char *text, size_t at, size_t n,
                       struct added_token_match *out)
{
    const unsigned char *bytes = (const unsigned char *)text;
    for (; at < n; at++) {
        at = next_start(tokens, bytes, at, n);
        if (at == n)
            return false;
        *out = (struct added_token_match){.start = at};
        uint32_t node = tokens->first[bytes[at]];
        for (size_t end = at + 1; node; end++) {
            if (tokens->nodes[node].id != TOKEN_NONE) {
                out->length = end - at;
                out->id = tokens->nodes[node].id;
            }
            node = end < n ? child_of(tokens, node, bytes[end]) : 0;
        }
        if (out->length)
            return true;
    }
    return false;
}
