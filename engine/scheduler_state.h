/* engine/scheduler_state.h - what the scheduler knows. Private to scheduler*.c. */
#ifndef GEMMAD_ENGINE_SCHEDULER_STATE_H
#define GEMMAD_ENGINE_SCHEDULER_STATE_H

#include "engine/scheduler.h"
#include "engine/sequence_heap.h"
#include "engine/step_builder.h"
#include "kvcache/pool.h"

#define NO_SLOT UINT32_MAX

enum sequence_state { SEQUENCE_WAITING, SEQUENCE_RUNNING, SEQUENCE_REMOVED };

/* Its length is n_prompt + n_generated + n_pending + n_forced; positions below n_computed have been
 * given to steps since it last took a slot. Forced tokens are those behind the pending one of the
 * oldest step in flight; it and they are known and stand in generated behind the n_generated. */
struct sequence {
    struct sequence_config c;
    enum sequence_state state;
    size_t waiting_place, deadline_place; /* in the heaps */
    uint32_t *generated;                  /* [max_tokens], from the first admission on */
    uint32_t n_generated;
    uint32_t n_pending; /* sampled by steps in flight */
    uint32_t n_forced;
    uint32_t n_computed;
    uint32_t n_in_flight;       /* steps in flight that name it */
    uint32_t n_prompt_logprobs; /* of prompt tokens 1.. that have come back */
    uint32_t slot;
    /* Its pages of a group are those of the positions in pages first_page .. end_page - 1. */
    uint32_t first_page[KV_MAX_GROUPS];
    uint32_t end_page[KV_MAX_GROUPS];
    uint32_t promised[KV_MAX_GROUPS]; /* pages its prefill still needs at least */
    uint32_t max_block;               /* rows that one step must have together; at least 1 */
    /* Parts before first_part are behind n_computed; first_part .. end_part - 1 are held. */
    struct encoder_entry **entries; /* [n_parts] */
    uint32_t first_part, end_part;
    uint32_t most_pages[KV_MAX_GROUPS]; /* that it can hold at once, row by row */
};

/* A sequence's part of a step in flight. */
struct planned_rows {
    struct sequence *sequence;
    uint32_t slot;
    uint32_t first_position;
    uint32_t n_rows;
    uint32_t flags;
    bool later; /* its mask said so: no token comes */
};

struct planned_step {
    uint64_t step_id;
    uint32_t n_seqs;
    uint32_t n_masked;
    struct scheduler_work work;
    uint32_t n_prefill_rows_left; /* while it is planned */
    struct planned_rows *rows;    /* [max_slots] */
};

#define SCHEDULER_MEDIA_REGIONS 2

/* Parts that the workers encode together. Their data lie in one of two regions of the media file,
 * so that a job can begin while the last step of the one before it is in flight. */
struct encode_job {
    uint32_t n_units_left; /* 0: no job */
    enum encoder_kind kind;
    uint32_t region;
    uint32_t n_parts;
    struct encoder_entry *entries[STEP_MAX_ENCODE_PARTS];
};

struct scheduler {
    struct scheduler_config c;
    uint32_t max_running;
    struct step_builder builder;

    struct sequence_heap waiting;
    struct sequence_heap deadlines; /* of waiting and running ones that have one */
    struct sequence **running;      /* [n_running], first in rank first */
    uint32_t n_running;

    struct kv_pool *pools[KV_MAX_GROUPS];
    uint32_t *block_tables[KV_MAX_GROUPS]; /* [max_slots, table_pages] */
    uint32_t table_pages;
    uint32_t promised[KV_MAX_GROUPS]; /* sums over the running ones */

    uint32_t *free_slots; /* a queue: [n_free_slots] from first_free_slot on, modulo max_slots */
    uint32_t first_free_slot, n_free_slots;
    uint64_t *slot_last_step; /* [max_slots] */

    struct planned_step steps[SCHEDULER_MAX_STEPS_IN_FLIGHT];
    uint64_t n_prepared, n_completed; /* step ids; step i is steps[i % MAX] */
    bool masks_missing;               /* of the step prepared last */
    uint32_t first_asked;             /* the slot whose mask is asked for first */
    uint64_t n_preemptions;

    struct encoder_cache *cache;
    struct encode_job job;
    uint64_t region_last_step[SCHEDULER_MEDIA_REGIONS]; /* that reads it */
    uint64_t n_encoded_parts;
};

static inline uint32_t sequence_length(const struct sequence *sequence)
{
    return sequence->c.n_prompt + sequence->n_generated + sequence->n_pending + sequence->n_forced;
}

/* Rows it could have in the next step; 1: it decodes (or its prefill is all but done). */
static inline uint32_t sequence_wanted_rows(const struct sequence *sequence)
{
    uint32_t length = sequence_length(sequence);
    if (length - sequence->c.n_prompt == sequence->c.max_tokens)
        return 0;
    return length - sequence->n_computed;
}

/* By priority, arrival, index. */
bool scheduler_ranks_before(const struct sequence *a, const struct sequence *b);

/* scheduler_pages.c */

/* Drops the pages that no row from n_computed on can see; then how many rows from there, at most
 * n, could have their pages now. spare pages of sliding groups are left to others. */
uint32_t scheduler_rows_that_fit(struct scheduler *scheduler, struct sequence *sequence, uint32_t n,
                                 uint32_t spare);
/* Takes the pages of n rows that fit and tells the workers. */
void scheduler_take_pages(struct scheduler *scheduler, struct sequence *sequence, uint32_t n);
void scheduler_drop_pages(struct scheduler *scheduler, struct sequence *sequence);
/* Brings what is promised to a running sequence up to date. */
void scheduler_promise_pages(struct scheduler *scheduler, struct sequence *sequence);
/* Whether a waiting sequence's whole prefill fits beside what runs. */
bool scheduler_pages_admit(const struct scheduler *scheduler, const struct sequence *sequence);
bool scheduler_verify_pages(const struct scheduler *scheduler);

/* scheduler_media.c */

/* What scheduler_can_run says of its parts. */
enum status scheduler_check_parts(const struct scheduler_config *config,
                                  const struct sequence_config *sequence, struct error *err);
/* Rows of its longest block, 1 without any. */
uint32_t scheduler_max_block(const struct scheduler_config *config,
                             const struct sequence_config *sequence);
/* Takes what parts fit, in order. For one that runs also from those behind it, as far as its next
 * rows need them. */
void scheduler_take_parts(struct scheduler *scheduler, struct sequence *sequence);
/* Drops those held; it begins anew. */
void scheduler_drop_parts(struct scheduler *scheduler, struct sequence *sequence);
/* How many rows from n_computed on, at most n, have their soft tokens and end in no block; and how
 * many the next step must have at least: those of a block that begins there, or 1. */
uint32_t scheduler_spliceable_rows(const struct scheduler *scheduler,
                                   const struct sequence *sequence, uint32_t n);
uint32_t scheduler_least_rows(const struct scheduler *scheduler, const struct sequence *sequence);
/* Says where the soft tokens of the n rows before n_computed come from, the first of which is the
 * step's row at, and drops the parts that are done with. */
void scheduler_splice_rows(struct scheduler *scheduler, struct sequence *sequence, uint32_t n,
                           uint32_t at);
bool scheduler_verify_media(const struct scheduler *scheduler);

/* scheduler_encode.c */

/* Whether there is something to encode. */
bool scheduler_has_encode_work(const struct scheduler *scheduler);
/* Gives at most budget_ns of it to the step, and some in any case; what that takes. */
uint64_t scheduler_plan_encode(struct scheduler *scheduler, struct planned_step *plan,
                               const struct scheduler_budget *budget, uint64_t budget_ns,
                               unsigned char *media);
/* What the data of a job may take. */
uint64_t scheduler_region_bytes(const struct step_limits *limits);
/* One image, frame or clip, as the encoders see it. */
struct encoder_part scheduler_encoder_part(const struct request_part *part);

/* scheduler_plan.c */

/* Fills the builder and *plan with the next step's rows. */
void scheduler_plan_step(struct scheduler *scheduler, const struct scheduler_budget *budget,
                         unsigned char *media, struct planned_step *plan);
/* Takes slot and pages from a running sequence; it waits again. */
void scheduler_preempt(struct scheduler *scheduler, struct sequence *sequence);
/* Ends a running sequence's run without making it wait. */
void scheduler_stop_running(struct scheduler *scheduler, struct sequence *sequence);

#endif
