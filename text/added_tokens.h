/* text/added_tokens.h - finds added tokens in raw text: leftmost first, longest at a position.
 * Part of the tokenizer. Thread: read-only once filled. */
#ifndef GEMMAD_TEXT_ADDED_TOKENS_H
#define GEMMAD_TEXT_ADDED_TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One byte on the way from the start of a token; the ways of all tokens form a trie. */
struct added_token_node {
    uint32_t first_child; /* node, or 0 */
    uint32_t next;        /* sibling, or 0 */
    uint32_t id;          /* of the token that ends here, or TOKEN_NONE */
    uint8_t byte;
};

struct added_tokens {
    struct added_token_node *nodes; /* [n_nodes]; node 0 is unused */
    size_t n_nodes;
    size_t capacity;
    uint32_t first[256]; /* node by first byte, or 0 */
    int only_first;      /* the first byte that all tokens share; -1: several or no token */
};

struct added_token_match {
    size_t start, length; /* bytes of the text */
    uint32_t id;
};

void added_tokens_init(struct added_tokens *tokens);
void added_tokens_finish(struct added_tokens *tokens);
/* False if the string was added before. n is at least 1. */
bool added_tokens_add(struct added_tokens *tokens, const char *string, size_t n, uint32_t id);
/* The first match in text[at..n), or false. */
bool added_tokens_find(const struct added_tokens *tokens, const char *text, size_t at, size_t n,
                       struct added_token_match *out);

#endif
