/* text/grammar/vocabulary_tables.h - what a vocabulary is made of, for vocabulary*.c and
 * matcher*.c. */
#ifndef GEMMAD_TEXT_GRAMMAR_VOCABULARY_TABLES_H
#define GEMMAD_TEXT_GRAMMAR_VOCABULARY_TABLES_H

#include "text/grammar/vocabulary.h"

/* Nodes stand in breadth-first order: siblings side by side, and a walk in depth goes forwards on
 * each level. Node 0 is the root; the children of i are first_child[i] .. first_child[i + 1). */
struct trie {
    size_t n_nodes;
    uint8_t *bytes;        /* [n_nodes] the last byte of the node's text */
    uint32_t *first_child; /* [n_nodes + 1] */
    uint32_t *tokens;      /* [n_nodes] an id, with TWIN_BIT if it has a twin; or TOKEN_NONE */
};

#define TWIN_BIT (1U << 31) /* another token has the same bytes */

struct token_text {
    const char *bytes;
    uint32_t n, id;
};

struct vocabulary {
    const struct tokenizer *tokenizer;
    uint32_t n_ids;
    uint32_t max_depth; /* bytes of the longest token */
    struct trie all;
    uint32_t *twins; /* [2 * n_twins] pairs by rising first: a token, another with its bytes */
    size_t n_twins;
};

/* The next token with the same bytes as token (without TWIN_BIT), or TOKEN_NONE. */
uint32_t vocabulary_twin(const struct vocabulary *vocabulary, uint32_t token);
/* texts are sorted by bytes, each once. */
void trie_build(struct trie *trie, const struct token_text *texts, const uint32_t *values,
                size_t n);
void trie_finish(struct trie *trie);

#endif
