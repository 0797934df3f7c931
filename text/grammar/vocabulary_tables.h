/* text/grammar/vocabulary_tables.h - what a vocabulary is made of, for vocabulary*.c and
 * matcher*.c. */
#ifndef GEMMAD_TEXT_GRAMMAR_VOCABULARY_TABLES_H
#define GEMMAD_TEXT_GRAMMAR_VOCABULARY_TABLES_H

#include "text/grammar/expression.h"
#include "text/grammar/vocabulary.h"

/* A node of a trie. Nodes stand in depth-first order, children by byte: a walk that goes on reads
 * forwards, and one that does not jumps to end. */
struct trie_node {
    uint32_t token; /* an id, with TWIN_BIT if it has a twin; or TOKEN_NONE */
    uint32_t end;   /* behind the last node below this one */
    uint16_t depth; /* of the first nodes: 0 */
    uint8_t byte;
};

struct trie {
    struct trie_node *nodes; /* [n_nodes] */
    uint32_t n_nodes;
    uint32_t root_token; /* of the empty text, as in a node */
};

#define TWIN_BIT (1U << 31) /* another token has the same bytes */

struct token_text {
    const char *bytes;
    uint32_t n, id;
};

/* Slices: the tokens that are made of whole characters of one set, so that what a grammar allows
 * can often be said of all of them at once: of those with at most n characters, or of all. */
enum slice_kind {                 /* from the largest */
                  SLICE_ANY,      /* any text */
                  SLICE_UNMARKED, /* any text without '<' */
                  SLICE_JSON,     /* in a JSON string as it is */
                  SLICE_PROSE,    /* letters of ASCII, the space, all beyond ASCII; few tokens have
                                     digits */
                  SLICE_WORDS,    /* the same without spaces */
                  SLICE_LETTERS,  /* letters of ASCII */
                  SLICE_LOWER,    /* a to z */
                  N_SLICES,
};

#define SLICE_MAX_CHARS 16 /* longer tokens belong to no slice */

struct slice {
    /* bits of the tokens of at most so many characters, and their number */
    uint32_t *bits[SLICE_MAX_CHARS + 1];
    uint32_t n_tokens[SLICE_MAX_CHARS + 1];
    struct trie rest; /* the other tokens */
};

/* Half of the tokens are words behind a space, and what a grammar says of the word is seldom what
 * it says of the space: tokens that begin with a space stand apart, by what is behind it. */
enum part_kind { PART_PLAIN, PART_SPACED, N_PARTS };

struct part {
    struct trie all;
    struct slice slices[N_SLICES];
};

struct vocabulary {
    const struct tokenizer *tokenizer;
    uint32_t n_ids;
    uint32_t max_depth; /* bytes of the longest token */
    struct part parts[N_PARTS];
    uint32_t *twins; /* [2 * n_twins] pairs by rising first: a token, another with its bytes */
    size_t n_twins;
};

/* The next token with the same bytes as token (without TWIN_BIT), or TOKEN_NONE. */
uint32_t vocabulary_twin(const struct vocabulary *vocabulary, uint32_t token);
/* texts are sorted by bytes, each once. */
void trie_build(struct trie *trie, const struct token_text *texts, const uint32_t *values,
                size_t n);
void trie_finish(struct trie *trie);
/* The characters of a slice. */
const struct code_point_range *slice_characters(enum slice_kind kind, size_t *out_n);
/* vocabulary_slices.c: texts sorted, each once; their values as for trie_build. */
void part_build(struct vocabulary *vocabulary, struct part *part, const struct token_text *texts,
                const uint32_t *values, size_t n);
void part_finish(struct part *part);

#endif
