/* engine/scheduler_pages.c - pages of running sequences.
 *
 * A page is dropped when the coordinator plans the first step that does not see it, or preempts or
 * removes its sequence, and may be lent again in that very step, while earlier steps that use it
 * are in flight. That is sound because every rank runs steps strictly in order, table updates
 * included: whatever an earlier step reads or writes in the page, it does before the new holder's
 * first row is written, and the new holder reads only cells that its own rows have written.
 * (The simulator plays this with real cells.)
 *
 * A long prefill takes its pages chunk by chunk. So that admissions do not build on pages that a
 * prefill under way will need, what it lacks is promised to it; promises bind admissions only. */
#include "engine/scheduler_state.h"

static uint32_t *table_of(const struct scheduler *s, uint32_t group, uint32_t slot)
{
    return s->block_tables[group] + (size_t)slot * s->table_pages;
}

static uint32_t held_pages(const struct sequence *sequence, uint32_t group)
{
    return sequence->end_page[group] - sequence->first_page[group];
}

static void drop_pages_before(struct scheduler *s, struct sequence *sequence, uint32_t group,
                              uint32_t page_index)
{
    const uint32_t *table = table_of(s, group, sequence->slot);
    while (sequence->first_page[group] < page_index)
        kv_pool_drop(s->pools[group], table[sequence->first_page[group]++]);
}

static void drop_pages_left_behind(struct scheduler *s, struct sequence *sequence)
{
    for (uint32_t g = 0; g < s->c.kv.n_groups; g++) {
        uint32_t window = s->c.kv.groups[g].window;
        if (window == 0 || sequence->n_computed < window)
            continue;
        uint32_t first_seen = sequence->n_computed - (window - 1);
        drop_pages_before(s, sequence, g, first_seen / s->c.kv.page_tokens);
    }
}

uint32_t scheduler_rows_that_fit(struct scheduler *s, struct sequence *sequence, uint32_t n,
                                 uint32_t spare)
{
    if (sequence->slot != NO_SLOT)
        drop_pages_left_behind(s, sequence);
    for (uint32_t g = 0; g < s->c.kv.n_groups; g++) {
        uint32_t n_free = kv_pool_free_pages(s->pools[g]);
        if (s->c.kv.groups[g].window > 0)
            n_free = n_free > spare ? n_free - spare : 0;
        uint64_t end = ((uint64_t)sequence->end_page[g] + n_free) * s->c.kv.page_tokens;
        uint64_t fit = end > sequence->n_computed ? end - sequence->n_computed : 0;
        if (fit < n)
            n = (uint32_t)fit;
    }
    return n;
}

void scheduler_take_pages(struct scheduler *s, struct sequence *sequence, uint32_t n)
{
    uint32_t end_page = (sequence->n_computed + n - 1) / s->c.kv.page_tokens + 1;
    for (uint32_t g = 0; g < s->c.kv.n_groups; g++) {
        uint32_t first = sequence->end_page[g];
        if (first >= end_page)
            continue;
        uint32_t *table = table_of(s, g, sequence->slot);
        enum status st = kv_pool_take(s->pools[g], end_page - first, table + first);
        CHECK(st == STATUS_OK); // rows that fit
        sequence->end_page[g] = end_page;
        for (uint32_t i = first; i < end_page; i++)
            step_builder_add_page(&s->builder, &(struct step_page_update){
                                                   .group = g,
                                                   .slot = sequence->slot,
                                                   .index = i,
                                                   .page = table[i],
                                               });
    }
}

void scheduler_drop_pages(struct scheduler *s, struct sequence *sequence)
{
    for (uint32_t g = 0; g < s->c.kv.n_groups; g++) {
        drop_pages_before(s, sequence, g, sequence->end_page[g]);
        sequence->first_page[g] = 0;
        sequence->end_page[g] = 0;
        s->promised[g] -= sequence->promised[g];
        sequence->promised[g] = 0;
    }
}

void scheduler_promise_pages(struct scheduler *s, struct sequence *sequence)
{
    bool prefilling = sequence_wanted_rows(sequence) > 1;
    for (uint32_t g = 0; g < s->c.kv.n_groups; g++) {
        uint32_t needed = 0;
        if (prefilling)
            needed = kv_sequence_pages(&s->c.kv, g, sequence_length(sequence), sequence->max_block);
        uint32_t held = held_pages(sequence, g);
        uint32_t promised = needed > held ? needed - held : 0;
        s->promised[g] += promised - sequence->promised[g];
        sequence->promised[g] = promised;
    }
}

// Running sequences that will want a page of the group sooner or later: one each is kept free, or
// the newcomer would be preempted as soon as they grow.
static uint32_t headroom(const struct scheduler *s, uint32_t group)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_running; i++) {
        const struct sequence *r = s->running[i];
        n += held_pages(r, group) + r->promised[group] < r->most_pages[group];
    }
    return n;
}

bool scheduler_pages_admit(const struct scheduler *s, const struct sequence *sequence)
{
    for (uint32_t g = 0; g < s->c.kv.n_groups; g++) {
        uint64_t taken = (uint64_t)s->promised[g] + headroom(s, g);
        uint64_t needed = kv_sequence_pages(&s->c.kv, g, sequence_length(sequence),
                                            sequence->max_block);
        if (kv_pool_free_pages(s->pools[g]) < taken + needed)
            return false;
    }
    return true;
}

bool scheduler_verify_pages(const struct scheduler *s)
{
    for (uint32_t g = 0; g < s->c.kv.n_groups; g++) {
        uint64_t held = 0;
        uint64_t promised = 0;
        for (uint32_t i = 0; i < s->n_running; i++) {
            held += held_pages(s->running[i], g);
            promised += s->running[i]->promised[g];
        }
        uint32_t n_free = kv_pool_free_pages(s->pools[g]);
        if (!kv_pool_verify(s->pools[g]) || promised != s->promised[g] ||
            held + n_free != kv_pool_lendable_pages(s->pools[g]))
            return false;
    }
    return true;
}
