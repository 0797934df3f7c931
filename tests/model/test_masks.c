/* tests/model/test_masks.c - executors take a step's masks from the ring: before or while the step
 * runs, on one rank and several, for masked sequences and no others. */
#include <pthread.h>
#include <time.h>

#include "engine/ring.h"
#include "tests/model/feed.h"
#include "tests/model/series.h"
#include "tests/test.h"

enum { N_PROMPT = 20, N_BEST = 8 };

static struct rank_group *new_group(uint32_t world_size)
{
    return series_group(test_path("data/goldens/dense/checkpoint"), world_size, COMPUTE_F32,
                        WEIGHTS_AUTO, 256, 16, NULL, NULL);
}

static const struct sampling_params greedy = {
    .top_p = 1,
    .repetition_penalty = 1,
    .n_prompt_tokens = N_PROMPT,
    .n_logprobs = N_BEST,
    .n_prompt_logprobs = -1,
};

static uint32_t prompt_token(uint32_t i)
{
    return i == 0 ? 2 : 100 + (i * 37) % 800;
}

// A step that prefills two slots and samples for both: slot 0 masked, slot 1 not.
static void put_step(struct feed *feed)
{
    uint32_t prompt[N_PROMPT];
    for (uint32_t i = 0; i < N_PROMPT; i++)
        prompt[i] = prompt_token(i);
    feed_begin(feed);
    for (uint32_t slot = 0; slot < 2; slot++) {
        feed_start(feed, slot, &greedy);
        uint32_t masked = slot == 0 ? STEP_MASKED : 0;
        feed_rows(feed, &(struct step_seq){slot, 0, N_PROMPT, STEP_SAMPLE | masked, UINT32_MAX},
                  prompt);
    }
}

struct sent_mask {
    struct ring *ring;
    uint32_t vocab_size;
    uint64_t step_id;
    enum step_mask_kind kind;
    const uint32_t *words;
    uint32_t n_words;
    bool late;
};

static void *send_mask(void *context)
{
    const struct sent_mask *m = context;
    if (m->late)
        nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
    void *memory = ring_begin_write(m->ring);
    ASSERT(memory);
    *(struct step_masks_header *)memory = (struct step_masks_header){
        .step_id = m->step_id, .n_masks = 1, .n_words = m->n_words, .n_ids = m->vocab_size};
    *(struct step_mask *)((struct step_masks_header *)memory + 1) =
        (struct step_mask){.slot = 0, .kind = m->kind, .first_word = 0, .n_words = m->n_words};
    memcpy(step_masks_words(memory, 1), m->words, m->n_words * sizeof *m->words);
    ring_publish(m->ring, step_masks_bytes(1, m->n_words));
    return NULL;
}

// What slot 0 gets of such a mask; slot 1 gets the best token whatever it is.
static uint32_t sample_with(struct feed *feed, struct sent_mask *mask, uint32_t best)
{
    pthread_t thread;
    put_step(feed);
    mask->step_id++;
    if (mask->late)
        ASSERT_EQ(pthread_create(&thread, NULL, send_mask, mask), 0);
    else
        send_mask(mask);
    struct step_result result = feed_run(feed);
    if (mask->late)
        pthread_join(thread, NULL);
    ASSERT_EQ(result.seqs[0].flags, STEP_RESULT_TOKEN);
    ASSERT_EQ(result.seqs[1].token, best);
    const struct token_logprob *entries = result.logprobs + result.seqs[0].logprobs_offset;
    ASSERT_EQ(entries[0].token_id, result.seqs[0].token);
    ASSERT_EQ(entries[1].token_id, best); // the model's own, before the mask
    return result.seqs[0].token;
}

static void check_masks(uint32_t world_size, bool late)
{
    struct rank_group *group = new_group(world_size);
    struct feed *feed = feed_create(group);
    struct sent_mask mask = {.ring = rank_group_masks(group),
                             .vocab_size = rank_group_model(group)->vocab_size,
                             .late = late};
    put_step(feed);
    mask.step_id = 1;
    send_mask(&mask);
    struct step_result result = feed_run(feed);
    uint32_t order[N_BEST]; // the likeliest tokens
    for (uint32_t i = 0; i < N_BEST; i++)
        order[i] = result.logprobs[result.seqs[1].logprobs_offset + 1 + i].token_id;
    mask.kind = STEP_MASK_NOT;
    mask.words = order;
    mask.n_words = 3;
    ASSERT_EQ(sample_with(feed, &mask, order[0]), order[3]);
    mask.kind = STEP_MASK_ONE;
    mask.words = order + 5;
    mask.n_words = 1;
    ASSERT_EQ(sample_with(feed, &mask, order[0]), order[5]);
    mask.kind = STEP_MASK_BITS;
    mask.n_words = step_mask_bits_words(mask.vocab_size);
    uint32_t *bits = calloc(mask.n_words, sizeof *bits);
    bits[order[6] / 32] |= 1U << order[6] % 32;
    bits[order[4] / 32] |= 1U << order[4] % 32;
    mask.words = bits;
    ASSERT_EQ(sample_with(feed, &mask, order[0]), order[4]);
    free(bits);
    // Nothing is sampled, and then the last row once more.
    put_step(feed);
    mask = (struct sent_mask){.ring = mask.ring,
                              .vocab_size = mask.vocab_size,
                              .step_id = mask.step_id + 1,
                              .kind = STEP_MASK_LATER,
                              .words = order};
    send_mask(&mask);
    result = feed_run(feed);
    ASSERT_EQ(result.seqs[0].flags, 0);
    ASSERT_EQ(result.seqs[1].token, order[0]);
    uint32_t last = prompt_token(N_PROMPT - 1);
    feed_begin(feed);
    feed_rows(feed, &(struct step_seq){0, N_PROMPT - 1, 1, STEP_SAMPLE, UINT32_MAX}, &last);
    ASSERT_EQ(feed_run(feed).seqs[0].token, order[0]);
    feed_destroy(feed);
    rank_group_destroy(group);
}

TEST(masks_bind_their_sequence_at_any_world_size_and_may_come_late)
{
    for (uint32_t world_size = 1; world_size <= 4; world_size *= 2) {
        check_masks(world_size, false);
        check_masks(world_size, true);
    }
}
