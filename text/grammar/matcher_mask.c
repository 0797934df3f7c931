/* text/grammar/matcher_mask.c - walks the vocabulary's trie with the states of a grammar. */
#include "text/grammar/matcher_mask.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/grammar/vocabulary_tables.h"

struct level {
    uint32_t node, end; // siblings that are still to be tried
    uint32_t state;     // before them
    const uint32_t *row;
};

struct walk {
    struct grammar_states *states;
    const struct vocabulary *vocabulary;
    uint32_t *ids; // found
    size_t n_ids, capacity;
    bool lost;
};

static void find(struct walk *walk, uint32_t token)
{
    mem_reserve(&walk->ids, &walk->capacity, walk->n_ids + 1, sizeof *walk->ids);
    walk->ids[walk->n_ids++] = token & ~TWIN_BIT;
    if (!(token & TWIN_BIT))
        return;
    for (token &= ~TWIN_BIT; (token = vocabulary_twin(walk->vocabulary, token)) != TOKEN_NONE;) {
        mem_reserve(&walk->ids, &walk->capacity, walk->n_ids + 1, sizeof *walk->ids);
        walk->ids[walk->n_ids++] = token;
    }
}

static void walk_trie(struct walk *walk, const struct trie *trie, uint32_t state)
{
    struct level *levels = mem_zeroed(walk->vocabulary->max_depth + 2, sizeof *levels);
    struct level *top = levels;
    *top = (struct level){trie->first_child[0], trie->first_child[1], state,
                          grammar_states_row(walk->states, state)};
    while (top >= levels) {
        if (top->node == top->end) {
            top--;
            continue;
        }
        uint32_t node = top->node++;
        uint32_t next = top->row[trie->bytes[node]];
        if (next == STATE_UNKNOWN)
            next = grammar_states_step(walk->states, top->state, trie->bytes[node]);
        if (next <= STATE_FAILED) {
            walk->lost |= next == STATE_FAILED;
            continue;
        }
        if (trie->tokens[node] != TOKEN_NONE)
            find(walk, trie->tokens[node]);
        uint32_t from = trie->first_child[node], end = trie->first_child[node + 1];
        if (from < end)
            *++top = (struct level){from, end, next, grammar_states_row(walk->states, next)};
    }
    free(levels);
}

uint32_t mask_write(struct grammar_states *states, uint32_t state,
                    const struct vocabulary *vocabulary, uint32_t *bits, bool *out_lost)
{
    memset(bits, 0, (vocabulary->n_ids + 31) / 32 * sizeof *bits);
    if (state <= STATE_FAILED)
        return 0;
    struct walk walk = {.states = states, .vocabulary = vocabulary};
    walk_trie(&walk, &vocabulary->all, state);
    grammar_state_tokens(states, state, &walk.ids, &walk.n_ids, &walk.capacity);
    uint32_t n = 0;
    for (size_t i = 0; i < walk.n_ids; i++) {
        uint32_t id = walk.ids[i], bit = UINT32_C(1) << (id & 31);
        if (id < vocabulary->n_ids && !(bits[id >> 5] & bit)) {
            bits[id >> 5] |= bit;
            n++;
        }
    }
    *out_lost = walk.lost;
    free(walk.ids);
    return n;
}
