/* tests/model/feed.h - steps for a rank_group, put together as the scheduler would: whose rows,
 * with the pages that they are the first to need.
 *
 * Each slot has pages for max_positions of its own, as far as the group has so many. */
#ifndef GEMMAD_TESTS_MODEL_FEED_H
#define GEMMAD_TESTS_MODEL_FEED_H

#include "tests/model/rank_group.h"

struct feed;

/* Step ids go on from 1: one feed for as long as the group lives, or one at a time. */
struct feed *feed_create(struct rank_group *group);
void feed_destroy(struct feed *feed);

/* The next step: begin, add, run. */
void feed_begin(struct feed *feed);
void feed_start(struct feed *feed, uint32_t slot, const struct sampling_params *sampling);
/* Rows of seq (its n_rows tokens, or NULL with STEP_TOKEN_FROM_SLOT). */
void feed_rows(struct feed *feed, const struct step_seq *seq, const uint32_t *tokens);
/* Work for the encoders, and soft tokens for rows (engine/step.h). */
void feed_encode(struct feed *feed, const struct step_encode_part *parts, uint32_t n_parts,
                 uint32_t n_units, const struct step_cache_rows *stores, uint32_t n_stores);
void feed_splice(struct feed *feed, const struct step_cache_rows *splice);
struct step_result feed_run(struct feed *feed); /* valid until the next run */

/* The page of a slot's positions from index * page_tokens on. */
uint32_t feed_page(const struct step_limits *limits, uint32_t group, uint32_t slot, uint32_t index);

#endif
