/* tests/model/feed.c - pages are given out in a scrambled order, so that a block table that is not
 * followed shows. */
#include "tests/model/feed.h"

#include "engine/step_builder.h"
#include "tests/test.h"

struct feed {
    struct rank_group *group;
    struct step_builder builder;
    void *message;
    uint64_t step_id;
};

struct feed *feed_create(struct rank_group *group)
{
    const struct step_limits *limits = rank_group_limits(group);
    struct feed *feed = calloc(1, sizeof *feed);
    struct error err = {0};
    ASSERT(feed != NULL);
    ASSERT_OK_ERR(step_builder_init(&feed->builder, limits, &err), err);
    feed->group = group;
    feed->message = calloc(1, step_max_bytes(limits));
    return feed;
}

void feed_destroy(struct feed *feed)
{
    step_builder_finish(&feed->builder);
    free(feed->message);
    free(feed);
}

void feed_begin(struct feed *feed)
{
    step_builder_begin(&feed->builder, ++feed->step_id);
}

void feed_start(struct feed *feed, uint32_t slot, const struct sampling_params *sampling)
{
    step_builder_add_start(&feed->builder, slot, sampling, NULL, 0, NULL, 0);
}

uint32_t feed_page(const struct step_limits *limits, uint32_t group, uint32_t slot, uint32_t index)
{
    uint32_t n = limits->n_pages[group] - 1; // page 0 is never lent
    uint32_t slot_pages = limits->max_positions / limits->page_tokens + 1;
    return 1 + (n - 1 - (slot * slot_pages + index) % n + group) % n;
}

void feed_rows(struct feed *feed, const struct step_seq *seq, const uint32_t *tokens)
{
    const struct step_limits *limits = &feed->builder.limits;
    for (uint32_t p = seq->first_position; p < seq->first_position + seq->n_rows; p++) {
        if (p % limits->page_tokens)
            continue;
        uint32_t index = p / limits->page_tokens;
        for (uint32_t g = 0; g < limits->n_groups; g++) {
            uint32_t page = feed_page(limits, g, seq->slot, index);
            struct step_page_update update = {g, seq->slot, index, page};
            step_builder_add_page(&feed->builder, &update);
        }
    }
    uint32_t *place = step_builder_add_seq(&feed->builder, seq);
    for (uint32_t i = 0; i < seq->n_rows; i++)
        place[i] = tokens ? tokens[i] : 0;
}

void feed_encode(struct feed *feed, const struct step_encode_part *parts, uint32_t n_parts,
                 uint32_t n_units, const struct step_cache_rows *stores, uint32_t n_stores)
{
    feed->builder.header.encode.n_units = n_units;
    for (uint32_t i = 0; i < n_parts; i++)
        step_builder_add_encode_part(&feed->builder, &parts[i]);
    for (uint32_t i = 0; i < n_stores; i++)
        step_builder_add_store(&feed->builder, &stores[i]);
}

void feed_splice(struct feed *feed, const struct step_cache_rows *splice)
{
    step_builder_add_splice(&feed->builder, splice);
}

struct step_result feed_run(struct feed *feed)
{
    size_t n = step_builder_write(&feed->builder, feed->message);
    return rank_group_step(feed->group, feed->message, n);
}
