/* text/grammar/matcher_mask.c - a mask is the bits of a slice, where the state allows a slice, and
 * the tokens found by walking through the trie of all others. */
#include "text/grammar/matcher_mask.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/grammar/matcher_slice.h"
#include "text/grammar/vocabulary_tables.h"

#define MAX_LISTED 2048           /* tokens; beyond, all bits are kept */
#define MAX_KEPT_BYTES (8U << 20) /* of one grammar's masks; beyond, all are forgotten */

#define MAX_MADE_STATES (1U << 15) /* for one mask: what needs more would hold up all others */

struct level { // of the way down a trie
    uint32_t state;
    const uint32_t *row;
};

struct mask {
    const uint32_t *bases[N_PARTS]; // bits to begin with: of slices; NULL: none
    uint32_t *own;                  // all bits; NULL: not kept
    uint32_t *ids;                  // [n_ids] tokens to be added
    uint32_t n_ids;
    uint32_t n_tokens; // bits set in the end
    bool is_known, lost;
};

struct mask_table {
    struct grammar_states *states;
    const struct vocabulary *vocabulary;
    size_t n_words;
    struct slice_finder finder;
    struct mask *masks; // [n_masks] by state
    size_t n_masks, masks_capacity;
    size_t n_kept_bytes;
    struct level *levels;
    uint32_t *ids; // found by a walk
    size_t n_ids, ids_capacity;
    bool lost;
    uint32_t max_states; // while one mask is made
    bool too_many;
};

struct mask_table *mask_table_create(struct grammar_states *states,
                                     const struct vocabulary *vocabulary)
{
    struct mask_table *table = mem_zeroed(1, sizeof *table);
    table->states = states;
    table->vocabulary = vocabulary;
    table->n_words = ((size_t)vocabulary->n_ids + 31) / 32;
    table->levels = mem_zeroed(vocabulary->max_depth + 2, sizeof *table->levels);
    return table;
}

void mask_table_clear(struct mask_table *table)
{
    for (size_t i = 0; i < table->n_masks; i++) {
        free(table->masks[i].ids);
        free(table->masks[i].own);
    }
    table->n_masks = 0;
    table->n_kept_bytes = 0;
    memset(table->finder.recent, 0, sizeof table->finder.recent);
}

void mask_table_destroy(struct mask_table *table)
{
    if (!table)
        return;
    mask_table_clear(table);
    free(table->masks);
    free(table->levels);
    free(table->ids);
    free(table);
}

size_t mask_table_n_bytes(const struct mask_table *table)
{
    if (!table)
        return 0;
    return sizeof *table + table->n_kept_bytes + table->masks_capacity * sizeof *table->masks +
           table->ids_capacity * sizeof *table->ids;
}

static void add_id(struct mask_table *table, uint32_t id)
{
    if (table->n_ids == table->ids_capacity)
        mem_reserve(&table->ids, &table->ids_capacity, table->n_ids + 1, sizeof *table->ids);
    table->ids[table->n_ids++] = id;
}

static void found(struct mask_table *table, uint32_t token)
{
    uint32_t id = token & ~TWIN_BIT;
    add_id(table, id);
    while ((token & TWIN_BIT) && (id = vocabulary_twin(table->vocabulary, id)) != TOKEN_NONE)
        add_id(table, id);
}

static void walk(struct mask_table *table, const struct trie *trie, uint32_t state)
{
    struct grammar_states *states = table->states;
    struct level *levels = table->levels;
    const struct trie_node *nodes = trie->nodes;
    if (trie->root_token != TOKEN_NONE)
        found(table, trie->root_token);
    levels[0] = (struct level){state, grammar_states_row(states, state)};
    for (uint32_t at = 0; at < trie->n_nodes;) {
        struct trie_node node = nodes[at];
        const struct level *level = &levels[node.depth];
        uint32_t next = level->row[node.byte];
        if (next == STATE_UNKNOWN) {
            next = grammar_states_step(states, level->state, node.byte);
            table->too_many |= grammar_states_n(states) > table->max_states;
            if (table->too_many)
                return;
        }
        if (next <= STATE_FAILED) {
            table->lost |= next == STATE_FAILED;
            at = node.end;
            continue;
        }
        if (node.token != TOKEN_NONE)
            found(table, node.token);
        if (++at < node.end)
            levels[node.depth + 1] = next == level->state
                                         ? *level
                                         : (struct level){next, grammar_states_row(states, next)};
    }
}

// What the tokens of a part add, when state is where its texts begin.
static void add_part(struct mask_table *table, enum part_kind kind, uint32_t state,
                     struct mask *mask)
{
    const struct part *part = &table->vocabulary->parts[kind];
    enum slice_kind found_kind;
    uint32_t n;
    if (state <= STATE_FAILED) {
        table->lost |= state == STATE_FAILED;
        return;
    }
    if (!slice_find(&table->finder, table->states, state, &found_kind, &n)) {
        walk(table, &part->all, state);
        return;
    }
    const struct slice *slice = &part->slices[found_kind];
    mask->bases[kind] = slice->bits[n];
    mask->n_tokens += slice->n_tokens[n];
    walk(table, &slice->rest, state);
}

static int by_id(const void *x, const void *y)
{
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return (a > b) - (a < b);
}

// The special tokens, each once; those of the trie are no special ones.
static void add_specials(struct mask_table *table, uint32_t state)
{
    size_t from = table->n_ids, n_out = from;
    grammar_state_tokens(table->states, state, &table->ids, &table->n_ids, &table->ids_capacity);
    if (table->n_ids == from)
        return;
    qsort(table->ids + from, table->n_ids - from, sizeof *table->ids, by_id);
    for (size_t i = from; i < table->n_ids; i++)
        if (table->ids[i] < table->vocabulary->n_ids &&
            (n_out == from || table->ids[n_out - 1] != table->ids[i]))
            table->ids[n_out++] = table->ids[i];
    table->n_ids = n_out;
}

static void set_bits(uint32_t *bits, const uint32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        bits[ids[i] >> 5] |= UINT32_C(1) << (ids[i] & 31);
}

// Eight words at a time, which compilers make vectors of.
static void unite(uint32_t *restrict bits, const uint32_t *restrict a, const uint32_t *restrict b,
                  size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t k = 0; k < 8; k++)
            bits[i + k] = a[i + k] | b[i + k];
    for (; i < n; i++)
        bits[i] = a[i] | b[i];
}

static void write_bits(const struct mask_table *table, const struct mask *mask, uint32_t *bits)
{
    const uint32_t *first = mask->bases[0] ? mask->bases[0] : mask->bases[1];
    if (mask->own) {
        memcpy(bits, mask->own, table->n_words * sizeof *bits);
        return;
    }
    if (mask->bases[0] && mask->bases[1]) {
        unite(bits, mask->bases[0], mask->bases[1], table->n_words);
    } else if (first) {
        memcpy(bits, first, table->n_words * sizeof *bits);
    } else {
        memset(bits, 0, table->n_words * sizeof *bits);
    }
    set_bits(bits, mask->ids, mask->n_ids);
}

static void keep(struct mask_table *table, struct mask *mask)
{
    mask->ids = table->ids;
    mask->n_ids = (uint32_t)table->n_ids;
    if (table->n_ids > MAX_LISTED) {
        uint32_t *own = mem_resized(NULL, table->n_words, sizeof *own);
        write_bits(table, mask, own);
        mask->own = own;
        mask->ids = NULL;
        table->n_kept_bytes += table->n_words * sizeof *own;
        return;
    }
    mask->ids = mem_zeroed(table->n_ids, sizeof *mask->ids);
    for (size_t i = 0; i < table->n_ids; i++)
        mask->ids[i] = table->ids[i];
    table->n_kept_bytes += table->n_ids * sizeof *mask->ids;
}

static void make_mask(struct mask_table *table, uint32_t state, struct mask *mask)
{
    *mask = (struct mask){.is_known = true};
    table->n_ids = 0;
    table->lost = table->too_many = false;
    table->max_states = grammar_states_n(table->states) + MAX_MADE_STATES;
    add_part(table, PART_PLAIN, state, mask);
    add_part(table, PART_SPACED, grammar_states_step(table->states, state, ' '), mask);
    add_specials(table, state);
    if (table->too_many) { // an incomplete mask is none
        *mask = (struct mask){.is_known = true};
        table->n_ids = 0;
        table->lost = true;
    }
    mask->n_tokens += (uint32_t)table->n_ids;
    mask->lost = table->lost;
    keep(table, mask);
}

uint32_t mask_table_write(struct mask_table *table, uint32_t state, uint32_t *bits, bool *out_lost)
{
    *out_lost = false;
    if (state <= STATE_FAILED) {
        memset(bits, 0, table->n_words * sizeof *bits);
        return 0;
    }
    if (table->n_kept_bytes > MAX_KEPT_BYTES)
        mask_table_clear(table);
    if (state >= table->n_masks) {
        mem_reserve(&table->masks, &table->masks_capacity, state + 1, sizeof *table->masks);
        memset(table->masks + table->n_masks, 0,
               (state + 1 - table->n_masks) * sizeof *table->masks);
        table->n_masks = state + 1;
    }
    struct mask *mask = &table->masks[state];
    if (!mask->is_known)
        make_mask(table, state, mask);
    write_bits(table, mask, bits);
    *out_lost = mask->lost;
    return mask->n_tokens;
}
