/* text/grammar/matcher_explore.c - follows all texts of a slice's characters at once, character by
 * character, as the set of states that they lead to. It ends when all have died, when no new state
 * comes up (then no length is too long), or when some have died and others not: then it is in vain.
 */
#include "text/grammar/matcher_slice.h"

#include "text/grammar/expression_tables.h"

#define MAX_STATES 48 /* of one set, and of all that were seen */
#define MAX_MADE 160  /* steps that were not known before: they are what costs time */

struct explorer {
    struct grammar_states *states;
    struct expression_pool *pool;
    uint32_t now[MAX_STATES], next[MAX_STATES], seen[MAX_STATES];
    uint32_t n_now, n_next, n_seen, n_made;
    bool some_die, some_live, in_vain;
};

static bool add_once(uint32_t *list, uint32_t *n, uint32_t state, bool *full)
{
    for (uint32_t i = 0; i < *n; i++)
        if (list[i] == state)
            return false;
    if (*n == MAX_STATES)
        *full = true;
    else
        list[(*n)++] = state;
    return true;
}

static uint32_t step(struct explorer *x, uint32_t state, uint8_t byte)
{
    uint32_t next = grammar_states_row(x->states, state)[byte];
    if (next != STATE_UNKNOWN)
        return next;
    x->in_vain |= ++x->n_made > MAX_MADE;
    return grammar_states_step(x->states, state, byte);
}

// Recursion: by the bytes of one character.
static void follow(struct explorer *x, uint32_t state, uint32_t character)
{
    struct byte_set left = *expression_first(x->pool, character);
    while (!byte_set_is_empty(&left) && !x->in_vain) {
        struct byte_set class;
        uint32_t last = STATE_UNKNOWN;
        uint32_t rest = expression_derive_class(x->pool, character, byte_set_lowest(&left), &class);
        byte_set_keep(&class, &left);
        byte_set_remove(&left, &class);
        while (!byte_set_is_empty(&class) && !x->in_vain) {
            uint8_t byte = byte_set_lowest(&class);
            class.bits[byte >> 6] &= class.bits[byte >> 6] - 1;
            uint32_t next = step(x, state, byte);
            if (next == last)
                continue;
            last = next;
            if (next <= STATE_FAILED) {
                x->some_die = true;
            } else if (rest == EXPRESSION_EMPTY) {
                x->some_live = true;
                add_once(x->next, &x->n_next, next, &x->in_vain);
            } else {
                follow(x, next, rest);
            }
            x->in_vain |= x->some_die && x->some_live;
        }
    }
}

uint32_t slice_explore(struct grammar_states *states, uint32_t state, uint32_t character)
{
    struct explorer x = {.states = states, .pool = grammar_states_pool(states)};
    x.now[x.n_now++] = x.seen[x.n_seen++] = state;
    for (uint32_t n = 0; n < SLICE_MAX_CHARS; n++) {
        x.n_next = 0;
        for (uint32_t i = 0; i < x.n_now && !x.in_vain; i++)
            follow(&x, x.now[i], character);
        if (x.in_vain)
            return 0;
        if (x.some_die)
            return n;
        bool any_new = false;
        for (uint32_t i = 0; i < x.n_next; i++) {
            any_new |= add_once(x.seen, &x.n_seen, x.next[i], &x.in_vain);
            x.now[i] = x.next[i];
        }
        x.n_now = x.n_next;
        x.some_live = false;
        if (!any_new)
            break;
    }
    return x.in_vain ? 0 : SLICE_MAX_CHARS;
}
