/* text/tokenizer_tables.h - what a loaded tokenizer consists of. Private to tokenizer*.c: the
 * file reader fills it, the encoder and the look-ups read it. */
#ifndef GEMMAD_TEXT_TOKENIZER_TABLES_H
#define GEMMAD_TEXT_TOKENIZER_TABLES_H

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/tokenizer.h"

#define SPACE_MARK UINT32_C(0x2581) /* what the normalizer makes of a space */
#define SPACE_MARK_UTF8 "\xE2\x96\x81"
#define N_CODE_POINTS UINT32_C(0x110000)
#define CODE_POINTS_PER_PAGE 256U
#define JUNCTION_BITS 21

struct token {
    uint32_t entry_at; /* in strings: as the file writes it */
    uint32_t text_at;  /* in strings: decoded */
    uint16_t n_entry;  /* 0: no entry has this id */
    uint16_t n_text;
    bool is_byte;
    bool is_special;
    bool is_tool_marker; // special, but part of what a model says
};

struct tokenizer {
    struct token *tokens; /* [n_tokens] by id */
    uint32_t n_tokens;
    char *strings;

    uint64_t *index; /* [index_capacity] by string: hash's upper half << 32 | id + 1, 0 is empty */
    size_t index_capacity;

    struct bpe_merges merges;
    struct added_tokens added;
    uint32_t byte_ids[256]; /* of <0x00> to <0xFF> */

    /* The id of each code point that is an entry by itself, else TOKEN_NONE. A page is NULL when
     * none of its code points is. SPACE_MARK stands at ' '. */
    uint32_t *characters[N_CODE_POINTS / CODE_POINTS_PER_PAGE];

    /* Between which characters a merge can happen: some merge has a left part that ends with the
     * one and a right part that begins with the other. Where none has, text is cut: exact for any
     * list of merges. A bit each for ASCII; for the rest a bit by hash, which may join too much. */
    uint64_t ascii_junctions[128][2];
    uint64_t *junctions;    /* [2^JUNCTION_BITS / 64] */
    bool byte_tokens_merge; /* then nothing is cut beside a character that is no entry */
};

/* Characters as the encoder sees them: SPACE_MARK is ' '. */
static inline uint32_t tokenizer_character(uint32_t code_point)
{
    return code_point == SPACE_MARK ? ' ' : code_point;
}

static inline uint32_t tokenizer_character_id(const struct tokenizer *tokenizer, uint32_t character)
{
    const uint32_t *page = tokenizer->characters[character / CODE_POINTS_PER_PAGE];
    return page ? page[character % CODE_POINTS_PER_PAGE] : TOKEN_NONE;
}

static inline uint32_t tokenizer_junction_bit(uint32_t left, uint32_t right)
{
    uint64_t pair = (uint64_t)left << 32 | right;
    return (uint32_t)(pair * UINT64_C(0x9E3779B97F4A7C15) >> (64 - JUNCTION_BITS));
}

uint64_t tokenizer_string_hash(const char *string, size_t n);
/* The entry in the index that holds the string, or the empty one where it belongs. */
uint64_t *tokenizer_index_entry(const struct tokenizer *tokenizer, const char *string, size_t n);

#endif
