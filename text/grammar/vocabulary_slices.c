/* text/grammar/vocabulary_slices.c - which tokens are made of which characters. The sets are those
 * that schemas and patterns repeat: contents of strings, prose, words, identifiers. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/grammar/vocabulary_tables.h"

static const struct code_point_range any[] = {{0, 0x10FFFF}};
static const struct code_point_range unmarked[] = {{0, '<' - 1}, {'<' + 1, 0x10FFFF}};
static const struct code_point_range json[] = {
    {0x20, '"' - 1}, {'"' + 1, '\\' - 1}, {'\\' + 1, 0x7E}, {0x80, 0x10FFFF}};
static const struct code_point_range prose[] = {
    {' ', ' '}, {'A', 'Z'}, {'a', 'z'}, {0x80, 0x10FFFF}};
// Without what \s means, as patterns of words leave it out.
static const struct code_point_range words[] = {
    {'0', '9'},       {'A', 'Z'},       {'a', 'z'},        {0x80, 0x84},     {0x86, 0x9F},
    {0xA1, 0x167F},   {0x1681, 0x1FFF}, {0x200B, 0x2027},  {0x202A, 0x202E}, {0x2030, 0x205E},
    {0x2060, 0x2FFF}, {0x3001, 0xFEFE}, {0xFF00, 0x10FFFF}};
static const struct code_point_range letters[] = {{'A', 'Z'}, {'a', 'z'}};
static const struct code_point_range lower[] = {{'a', 'z'}};

#define N(ranges) (sizeof(ranges) / sizeof *(ranges))

const struct code_point_range *slice_characters(enum slice_kind kind, size_t *out_n)
{
    static const struct {
        const struct code_point_range *ranges;
        size_t n;
    } lists[N_SLICES] = {{any, N(any)},     {unmarked, N(unmarked)}, {json, N(json)},
                         {prose, N(prose)}, {words, N(words)},       {letters, N(letters)},
                         {lower, N(lower)}};
    *out_n = lists[kind].n;
    return lists[kind].ranges;
}

// The slices that a character belongs to, as bits.
static uint32_t slices_of_character(uint32_t code_point)
{
    uint32_t slices = 0;
    for (int kind = 0; kind < N_SLICES; kind++) {
        size_t n;
        const struct code_point_range *ranges = slice_characters(kind, &n);
        for (size_t i = 0; i < n && ranges[i].first <= code_point; i++)
            if (code_point <= ranges[i].last)
                slices |= 1U << kind;
    }
    return slices;
}

// The slices that a text belongs to, as bits, and its characters.
static uint32_t slices_of_text(const struct token_text *text, const uint32_t ascii[128],
                               uint32_t *out_n)
{
    uint32_t slices = (1U << N_SLICES) - 1, n_characters = 0;
    if (!utf8_valid(text->bytes, text->n, NULL))
        return 0;
    for (size_t i = 0; i < text->n; n_characters++) {
        uint32_t code_point;
        i += utf8_decode(text->bytes + i, text->n - i, &code_point);
        slices &= code_point < 128 ? ascii[code_point] : slices_of_character(code_point);
    }
    *out_n = n_characters;
    return n_characters <= SLICE_MAX_CHARS ? slices : 0;
}

static void set_bit(struct vocabulary *v, struct slice *slice, uint32_t n_characters,
                    uint32_t token)
{
    token &= ~TWIN_BIT;
    for (; token != TOKEN_NONE; token = vocabulary_twin(v, token)) {
        slice->bits[n_characters][token >> 5] |= UINT32_C(1) << (token & 31);
        slice->n_tokens[n_characters]++;
    }
}

struct classified {
    const struct token_text *texts;
    const uint32_t *values;
    uint32_t *slices, *lengths; // bits; characters
    size_t n;
};

static void build_slice(struct vocabulary *v, struct slice *slice, int kind,
                        const struct classified *all)
{
    size_t n_words = ((size_t)v->n_ids + 31) / 32, n_rest = 0;
    for (int length = 0; length <= SLICE_MAX_CHARS; length++)
        slice->bits[length] = mem_zeroed(n_words, sizeof(uint32_t));
    struct token_text *rest = mem_zeroed(all->n, sizeof *rest);
    uint32_t *rest_values = mem_zeroed(all->n, sizeof *rest_values);
    for (size_t i = 0; i < all->n; i++) {
        if (all->slices[i] & 1U << kind) {
            set_bit(v, slice, all->lengths[i], all->values[i]);
            continue;
        }
        rest_values[n_rest] = all->values[i];
        rest[n_rest++] = all->texts[i];
    }
    for (int length = 1; length <= SLICE_MAX_CHARS; length++) { // "of so many" to "of at most"
        slice->n_tokens[length] += slice->n_tokens[length - 1];
        for (size_t i = 0; i < n_words; i++)
            slice->bits[length][i] |= slice->bits[length - 1][i];
    }
    trie_build(&slice->rest, rest, rest_values, n_rest);
    free(rest);
    free(rest_values);
}

void part_build(struct vocabulary *v, struct part *part, const struct token_text *texts,
                const uint32_t *values, size_t n)
{
    uint32_t ascii[128];
    for (uint32_t i = 0; i < 128; i++)
        ascii[i] = slices_of_character(i);
    struct classified all = {.texts = texts, .values = values, .n = n};
    all.slices = mem_zeroed(n, sizeof *all.slices);
    all.lengths = mem_zeroed(n, sizeof *all.lengths);
    for (size_t i = 0; i < n; i++)
        all.slices[i] = slices_of_text(&texts[i], ascii, &all.lengths[i]);
    for (int kind = 0; kind < N_SLICES; kind++)
        build_slice(v, &part->slices[kind], kind, &all);
    trie_build(&part->all, texts, values, n);
    free(all.slices);
    free(all.lengths);
}

void part_finish(struct part *part)
{
    for (int kind = 0; kind < N_SLICES; kind++) {
        for (int length = 0; length <= SLICE_MAX_CHARS; length++)
            free(part->slices[kind].bits[length]);
        trie_finish(&part->slices[kind].rest);
    }
    trie_finish(&part->all);
}
