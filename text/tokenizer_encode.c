/* text/tokenizer_encode.c - cut, look the word up, else merge.
 *
 * Text is cut wherever no merge of the file can join the characters on both sides (see junctions in
 * tokenizer_tables.h), which leaves words of a few characters; each is encoded on its own and the
 * result is that of the whole. A word's ids are kept in a small direct-mapped cache, one cache line
 * an entry: source text and prose repeat their words, and what is not there costs some hundred
 * nanoseconds to merge. */
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/tokenizer_tables.h"

#define CACHE_BITS 12
#define WORD_BYTES 32
#define WORD_IDS 7

struct cached_word {
    uint64_t key[WORD_BYTES / 8]; // the word's bytes, zeros behind
    uint8_t n_bytes;              // 0: empty
    uint8_t n_ids;
    uint32_t ids[WORD_IDS];
};
_Static_assert(sizeof(struct cached_word) == 64, "an entry is one cache line");

struct tokenizer_encoder {
    const struct tokenizer *tokenizer;
    struct cached_word *cache; // [1 << CACHE_BITS]
};

struct encoding {
    struct tokenizer_encoder *encoder;
    const char *text;
    size_t n_text;
    uint32_t *ids;
    size_t n_ids;
    size_t capacity;
};

struct tokenizer_encoder *tokenizer_encoder_create(const struct tokenizer *tokenizer)
{
    struct tokenizer_encoder *encoder = mem_zeroed(1, sizeof *encoder);
    encoder->tokenizer = tokenizer;
    size_t n_bytes = sizeof *encoder->cache << CACHE_BITS;
    encoder->cache = aligned_alloc(64, n_bytes);
    CHECK(encoder->cache);
    memset(encoder->cache, 0, n_bytes);
    return encoder;
}

void tokenizer_encoder_destroy(struct tokenizer_encoder *encoder)
{
    if (!encoder)
        return;
    free(encoder->cache);
    free(encoder);
}

static inline uint32_t *room_for(struct encoding *e, size_t n)
{
    if (e->n_ids + n > e->capacity)
        mem_reserve(&e->ids, &e->capacity, e->n_ids + n, sizeof *e->ids);
    return e->ids + e->n_ids;
}

static inline size_t read_character(const char *bytes, size_t n, uint32_t *out)
{
    if ((unsigned char)bytes[0] < 0x80) {
        *out = (unsigned char)bytes[0];
        return 1;
    }
    uint32_t code_point;
    size_t length = utf8_decode(bytes, n, &code_point);
    *out = tokenizer_character(code_point);
    return length;
}

static bool may_join(const struct tokenizer *t, uint32_t left, uint32_t right)
{
    if ((left | right) < 0x80)
        return t->ascii_junctions[left][right / 64] >> right % 64 & 1;
    uint32_t bit = tokenizer_junction_bit(left, right);
    if (t->junctions[bit / 64] >> bit % 64 & 1)
        return true;
    return t->byte_tokens_merge && (tokenizer_character_id(t, left) == TOKEN_NONE ||
                                    tokenizer_character_id(t, right) == TOKEN_NONE);
}

// Where the word that begins at `at` ends.
static size_t word_end(const struct tokenizer *t, const char *text, size_t at, size_t n)
{
    uint32_t left;
    at += read_character(text + at, n - at, &left);
    while (at < n) {
        uint32_t right;
        size_t length = read_character(text + at, n - at, &right);
        if (!may_join(t, left, right))
            break;
        left = right;
        at += length;
    }
    return at;
}

// Ids of single characters; bytes where a character is no entry. At most one id a byte.
static size_t spell(const struct tokenizer *t, const char *bytes, size_t n, uint32_t *ids)
{
    size_t n_ids = 0;
    for (size_t at = 0; at < n;) {
        uint32_t character;
        size_t length = read_character(bytes + at, n - at, &character);
        uint32_t id = tokenizer_character_id(t, character);
        if (id != TOKEN_NONE)
            ids[n_ids++] = id;
        else
            for (size_t i = 0; i < length; i++)
                ids[n_ids++] = t->byte_ids[(unsigned char)bytes[at + i]];
        at += length;
    }
    return n_ids;
}

static void merge_word(struct encoding *e, const char *bytes, size_t n)
{
    const struct tokenizer *t = e->encoder->tokenizer;
    uint32_t *ids = room_for(e, n);
    e->n_ids += bpe_apply(&t->merges, ids, spell(t, bytes, n, ids));
}

// bytes[0..n) as 64-bit words, zeros behind; n_readable bytes may be read.
static inline void load_key(const char *bytes, size_t n, size_t n_readable,
                            uint64_t key[WORD_BYTES / 8])
{
    for (size_t i = 0; i < WORD_BYTES / 8; i++)
        key[i] = 0;
    if (n_readable < WORD_BYTES) {
        memcpy(key, bytes, n);
        return;
    }
    size_t i = 0;
    for (; n > 8; n -= 8, i++)
        memcpy(&key[i], bytes + 8 * i, 8);
    memcpy(&key[i], bytes + 8 * i, 8);
    key[i] &= UINT64_MAX >> (64 - 8 * n);
}

static inline struct cached_word *cache_place(struct tokenizer_encoder *encoder,
                                              const uint64_t key[WORD_BYTES / 8])
{
    uint64_t hash = key[0] * UINT64_C(0x9E3779B97F4A7C15) ^ key[1] * UINT64_C(0xC2B2AE3D27D4EB4F) ^
                    key[2] * UINT64_C(0x165667B19E3779F9) ^ key[3] * UINT64_C(0xD6E8FEB86659FD93);
    return &encoder->cache[(hash ^ hash >> 29) * UINT64_C(0xBF58476D1CE4E5B9) >> (64 - CACHE_BITS)];
}

static void encode_word(struct encoding *e, size_t at, size_t n)
{
    if (n > WORD_BYTES) {
        merge_word(e, e->text + at, n);
        return;
    }
    uint64_t key[WORD_BYTES / 8];
    load_key(e->text + at, n, e->n_text - at, key);
    struct cached_word *word = cache_place(e->encoder, key);
    if (word->n_bytes == n && memcmp(word->key, key, sizeof key) == 0) {
        memcpy(room_for(e, WORD_IDS), word->ids, sizeof word->ids);
        e->n_ids += word->n_ids;
        return;
    }
    size_t first = e->n_ids;
    merge_word(e, e->text + at, n);
    size_t n_ids = e->n_ids - first;
    if (n_ids > WORD_IDS)
        return;
    memcpy(word->key, key, sizeof key);
    memcpy(word->ids, e->ids + first, n_ids * sizeof *e->ids);
    word->n_bytes = (uint8_t)n;
    word->n_ids = (uint8_t)n_ids;
}

static void encode_plain(struct encoding *e, size_t at, size_t end)
{
    const struct tokenizer *t = e->encoder->tokenizer;
    while (at < end) {
        size_t stop = word_end(t, e->text, at, end);
        encode_word(e, at, stop - at);
        at = stop;
    }
}

void tokenizer_encode(struct tokenizer_encoder *encoder, const char *text, size_t n,
                      bool parse_special, uint32_t **ids, size_t *n_ids, size_t *capacity)
{
    CHECK(n < (size_t)1 << 31);
    struct encoding e = {encoder, text, n, *ids, *n_ids, *capacity};
    const struct added_tokens *added = &encoder->tokenizer->added;
    struct added_token_match match;
    size_t at = 0;
    while (parse_special && added_tokens_find(added, text, at, n, &match)) {
        encode_plain(&e, at, match.start);
        *room_for(&e, 1) = match.id;
        e.n_ids++;
        at = match.start + match.length;
    }
    encode_plain(&e, at, n);
    *ids = e.ids;
    *n_ids = e.n_ids;
    *capacity = e.capacity;
}
