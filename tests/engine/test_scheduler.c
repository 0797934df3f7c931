/* tests/engine/test_scheduler.c - the rules of scheduling, each by an example. That sequences come
 * out right under all of them is the simulator's business (test_simulator.c). */
#include "tests/test.h"

#include "base/mem.h"
#include "engine/scheduler.h"
#include "tests/engine/fake_device.h"

#define MAX_MESSAGES 3

// A scheduler and a device, with messages between them.
static struct {
    struct scheduler_config config;
    struct scheduler *scheduler;
    struct scheduler_budget budget;
    unsigned char *media;
    struct fake_device device;
    void *messages[MAX_MESSAGES];
    size_t lengths[MAX_MESSAGES];
    void *masks;
    size_t masks_length; // 0: the step has none
    uint32_t n_masks;    // told of it
    uint64_t n_prepared, n_completed;
    void *result;
    struct step step;      // the one prepared last
    uint32_t n_tokens[64]; // by uid, as below
    uint32_t max_tokens[64];
    struct sequence *sequences[64]; // NULL once it has ended
} world;

static uint32_t prompt[4096];

static void open_world(uint32_t n_pages, uint32_t max_slots, uint32_t max_rows, uint32_t chunk)
{
    memset(&world, 0, sizeof world);
    world.budget.shared_ns = UINT64_MAX;
    world.config = (struct scheduler_config){
        .limits = {.max_slots = max_slots,
                   .max_rows = max_rows,
                   .max_positions = 4096,
                   .vocab_size = 50,
                   .n_groups = 1,
                   .page_tokens = 8,
                   .n_pages = {n_pages},
                   .max_blob_bytes = 256},
        .kv = {.page_tokens = 8, .element_bytes = 2, .n_groups = 1, .n_pages = {n_pages}},
        .max_chunk_rows = chunk,
    };
    ASSERT_OK(scheduler_create(&world.config, &world.scheduler, NULL));
    fake_device_init(&world.device, &world.config.limits, &world.config.kv);
    for (int i = 0; i < MAX_MESSAGES; i++)
        world.messages[i] = mem_zeroed(step_max_bytes(&world.config.limits), 1);
    world.masks = mem_zeroed(step_max_bytes(&world.config.limits), 1);
    world.result = mem_zeroed(step_result_max_bytes(&world.config.limits), 1);
}

static void close_world(void)
{
    scheduler_destroy(world.scheduler);
    fake_device_finish(&world.device);
    for (int i = 0; i < MAX_MESSAGES; i++)
        free(world.messages[i]);
    free(world.masks);
    free(world.result);
}

static struct sequence_config config_of(uint32_t uid, uint32_t n_prompt, uint32_t max_tokens)
{
    return (struct sequence_config){
        .prompt = prompt,
        .n_prompt = n_prompt,
        .max_tokens = max_tokens,
        .sampling = {.seed = uid, .n_logprobs = -1, .n_prompt_logprobs = -1},
        .arrival = uid,
        .deadline_ns = UINT64_MAX,
        .owner = &world.n_tokens[uid],
    };
}

static void add_config(const struct sequence_config *config)
{
    uint64_t uid = config->sampling.seed;
    world.max_tokens[uid] = config->max_tokens;
    world.sequences[uid] = scheduler_add(world.scheduler, config);
}

static void add(uint32_t uid, uint32_t n_prompt, uint32_t max_tokens)
{
    struct sequence_config config = config_of(uid, n_prompt, max_tokens);
    add_config(&config);
}

static void remove_uid(uint64_t uid)
{
    scheduler_remove(world.scheduler, world.sequences[uid]);
    world.sequences[uid] = NULL;
}

static bool prepare(void)
{
    uint64_t at = world.n_prepared % MAX_MESSAGES;
    world.lengths[at] = scheduler_prepare(world.scheduler, &world.budget, world.media,
                                          world.messages[at]);
    if (world.lengths[at] == 0)
        return false;
    world.n_prepared++;
    ASSERT_OK(
        step_open(world.messages[at], world.lengths[at], &world.config.limits, &world.step, NULL));
    return true;
}

static void count_token(void *context, void *owner, const struct sequence_output *output)
{
    (void)context;
    size_t uid = (size_t)((uint32_t *)owner - world.n_tokens);
    world.n_tokens[uid] += output->has_token;
    if (world.n_tokens[uid] == world.max_tokens[uid])
        remove_uid(uid);
}

static void complete(void)
{
    uint64_t at = world.n_completed++ % MAX_MESSAGES;
    size_t n = fake_device_run(&world.device, world.messages[at], world.lengths[at],
                               world.masks_length > 0 ? world.masks : NULL, world.masks_length,
                               world.result);
    world.masks_length = 0;
    ASSERT_STR_EQ(world.device.failure, "");
    struct step_result result;
    ASSERT_OK(step_result_open(world.result, n, &world.config.limits, &result, NULL));
    ASSERT_OK(scheduler_complete(world.scheduler, &result, count_token, NULL, NULL));
    ASSERT(scheduler_verify(world.scheduler));
}

static bool step(void)
{
    if (!prepare())
        return false;
    complete();
    return true;
}

// Rows of the sequence in the step prepared last; it must have started in slot.
static uint32_t rows_in_slot(uint32_t slot)
{
    for (uint32_t i = 0; i < world.step.header->n_seqs; i++)
        if (world.step.seqs[i].slot == slot)
            return world.step.seqs[i].n_rows;
    return 0;
}

static struct scheduler_counts counts(void)
{
    struct scheduler_counts out;
    scheduler_get_counts(world.scheduler, &out);
    return out;
}

TEST(a_request_that_never_fits_is_refused_with_the_numbers)
{
    open_world(11, 4, 64, 0);
    struct error err = {0};
    struct sequence_config config = config_of(1, 70, 12); // feeds 81 tokens: 11 pages of 10
    ASSERT_EQ(scheduler_can_run(&world.config, &config, &err), STATUS_RESOURCE_EXHAUSTED);
    ASSERT_CONTAINS(err.message, "70 tokens");
    ASSERT_CONTAINS(err.message, "max_tokens=12");
    ASSERT_CONTAINS(err.message, "11 pages");
    ASSERT_CONTAINS(err.message, "10 of 8 tokens");
    config.max_tokens = 11; // the last token is never fed
    ASSERT_OK(scheduler_can_run(&world.config, &config, &err));
    config.n_prompt = 4090;
    ASSERT_EQ(scheduler_can_run(&world.config, &config, &err), STATUS_INVALID_ARGUMENT);
    config.n_prompt = 0;
    ASSERT_EQ(scheduler_can_run(&world.config, &config, &err), STATUS_INVALID_ARGUMENT);
    config.n_prompt = UINT32_MAX;
    ASSERT_EQ(scheduler_can_run(&world.config, &config, &err), STATUS_INVALID_ARGUMENT);
    close_world();
}

TEST(decodes_have_a_row_in_every_step_while_a_long_prompt_is_prefilled_in_chunks)
{
    open_world(400, 8, 16, 0);
    for (uint32_t i = 1; i <= 3; i++)
        add(i, 2, 1000);
    ASSERT(step());
    struct sequence_config long_prompt = config_of(0, 200, 4); // ranks before the others
    add_config(&long_prompt);
    for (int i = 0; i < 15; i++) {
        ASSERT(step());
        ASSERT_EQ(world.step.header->n_rows, 16);
        for (uint32_t slot = 0; slot < 3; slot++)
            ASSERT_EQ(rows_in_slot(slot), 1);
        ASSERT_EQ(rows_in_slot(3), 13);
    }
    ASSERT(step());
    ASSERT_EQ(rows_in_slot(3), 5);
    ASSERT_EQ(world.n_tokens[0], 1);
    ASSERT_EQ(world.n_tokens[2], 17);
    close_world();
}

TEST(a_chunk_limit_leaves_rows_of_a_step_to_the_next_in_line)
{
    open_world(400, 8, 64, 16);
    add(1, 200, 4);
    add(2, 10, 4);
    ASSERT(step());
    ASSERT_EQ(rows_in_slot(0), 16);
    ASSERT_EQ(rows_in_slot(1), 10);
    ASSERT_EQ(world.n_tokens[2], 1);
    close_world();
}

TEST(a_long_prompt_is_not_starved_by_short_ones_that_come_later)
{
    open_world(40, 4, 16, 0);
    uint32_t uid = 10;
    for (; uid < 14; uid++)
        add(uid, 8, 6);
    ASSERT(step());
    add(20, 250, 2); // nearly all pages
    uint32_t next = 21;
    int n_steps = 0;
    while (world.n_tokens[20] == 0) {
        if (next < 60)
            add(next++, 8, 6);
        ASSERT(step());
        ASSERT(++n_steps < 60);
        if (n_steps == 10) // the first four have ended by then
            ASSERT_EQ(world.n_tokens[13], 6);
    }
    for (uint32_t i = 21; i < next; i++)
        ASSERT_EQ(world.n_tokens[i], 0);
    close_world();
}

TEST(lower_priority_values_run_first_and_equal_ones_by_arrival)
{
    open_world(400, 1, 16, 0);
    int32_t priorities[] = {0, 5, -3, 0};
    for (uint32_t i = 0; i < 4; i++) {
        struct sequence_config config = config_of(i, 3, 5);
        config.priority = priorities[i];
        add_config(&config);
    }
    uint32_t order[] = {2, 0, 3, 1};
    for (int i = 0; i < 4; i++) {
        ASSERT(step());
        ASSERT_EQ(world.n_tokens[order[i]], 1);
        remove_uid(order[i]);
    }
    ASSERT(!step());
    close_world();
}

TEST(when_pages_run_out_the_latest_gives_way_and_comes_back_with_what_it_had)
{
    open_world(8, 4, 64, 0); // 7 pages
    add(1, 20, 20);
    add(2, 20, 20);
    while (counts().n_preemptions == 0)
        ASSERT(step());
    ASSERT_EQ(counts().n_running, 1);
    uint32_t n_had = world.n_tokens[2];
    ASSERT_EQ(n_had, 5); // 24 positions were fed
    while (world.n_tokens[1] < 20)
        ASSERT(step());
    ASSERT_EQ(world.n_tokens[2], n_had);
    ASSERT(step());
    ASSERT_EQ(world.step.header->n_starts, 1);
    ASSERT_EQ(world.step.starts[0].sampling.n_prompt_tokens, 20);
    ASSERT_EQ(world.step.seqs[0].first_position, 0);
    ASSERT_EQ(world.step.seqs[0].n_rows, 20 + n_had);
    ASSERT_EQ(world.n_tokens[2], n_had + 1);
    close_world();
}

TEST(with_two_steps_in_flight_the_second_takes_its_token_from_the_slot)
{
    open_world(40, 2, 16, 0);
    add(1, 4, 3);
    ASSERT(prepare());
    ASSERT_EQ(world.step.seqs[0].flags, STEP_SAMPLE);
    ASSERT(prepare());
    ASSERT_EQ(world.step.seqs[0].flags, STEP_SAMPLE | STEP_TOKEN_FROM_SLOT);
    ASSERT_EQ(world.step.seqs[0].first_position, 4);
    complete();
    ASSERT(prepare());
    ASSERT(!prepare()); // nothing is scheduled beyond max_tokens
    complete();
    complete();
    ASSERT_EQ(world.n_tokens[1], 3);
    close_world();
}

TEST(nothing_comes_back_for_a_sequence_that_was_removed_while_in_flight)
{
    open_world(40, 1, 16, 0);
    add(1, 4, 10);
    ASSERT(prepare());
    ASSERT(prepare());
    complete();
    ASSERT_EQ(world.n_tokens[1], 1);
    remove_uid(1);
    ASSERT_EQ(counts().n_free_pages[0], 39);
    add(2, 4, 10);
    ASSERT(!prepare()); // the only slot is still read by step 2
    complete();
    ASSERT_EQ(world.n_tokens[1], 1);
    ASSERT(step());
    ASSERT_EQ(world.n_tokens[2], 1);
    close_world();
}

TEST(prompt_logprobs_are_asked_for_once_even_after_preemption)
{
    open_world(9, 4, 8, 0); // 8 pages, chunks of a page
    struct sequence_config config = config_of(2, 20, 20);
    config.sampling.n_prompt_logprobs = 1;
    add_config(&config);
    ASSERT(step());
    struct sequence_config urgent = config_of(1, 24, 24);
    urgent.priority = -1;
    add_config(&urgent);
    while (world.n_tokens[1] < 24)
        ASSERT(step());
    ASSERT(counts().n_preemptions > 0 && world.n_tokens[2] < 20);
    while (world.n_tokens[2] < 20)
        ASSERT(step());
    ASSERT_EQ(world.device.n_prompt_logprobs, 19);
    close_world();
}

TEST(stop_ids_and_biases_wait_for_a_step_that_has_room_for_them)
{
    open_world(40, 4, 16, 0);
    struct logit_bias biases[20] = {{.token_id = 1, .bias = 2}};
    for (uint32_t i = 1; i <= 3; i++) {
        struct sequence_config config = config_of(i, 3, 5);
        config.biases = biases;
        config.n_biases = 20; // 160 of 256 bytes
        add_config(&config);
    }
    for (uint32_t i = 1; i <= 3; i++) {
        ASSERT(step());
        ASSERT_EQ(world.step.header->n_starts, 1);
        ASSERT_EQ(world.step.starts[0].n_biases, 20);
    }
    struct sequence_config config = config_of(4, 3, 5);
    config.biases = biases;
    config.n_biases = 33;
    ASSERT_EQ(scheduler_can_run(&world.config, &config, NULL), STATUS_INVALID_ARGUMENT);
    close_world();
}

TEST(a_result_that_answers_no_step_is_an_internal_error)
{
    open_world(40, 4, 16, 0);
    add(1, 4, 3);
    ASSERT(prepare());
    size_t n = fake_device_run(&world.device, world.messages[0], world.lengths[0], NULL, 0,
                               world.result);
    struct step_result result;
    struct error err = {0};
    ASSERT_OK(step_result_open(world.result, n, &world.config.limits, &result, NULL));
    struct step_result_header *header = world.result;
    struct step_result_seq *seq = (struct step_result_seq *)(header + 1);
    header->step_id = 2;
    ASSERT_EQ(scheduler_complete(world.scheduler, &result, count_token, NULL, &err),
              STATUS_INTERNAL);
    header->step_id = 1;
    seq->slot = 1;
    ASSERT_EQ(scheduler_complete(world.scheduler, &result, count_token, NULL, &err),
              STATUS_INTERNAL);
    seq->slot = 0;
    seq->flags = 0;
    ASSERT_EQ(scheduler_complete(world.scheduler, &result, count_token, NULL, &err),
              STATUS_INTERNAL);
    seq->flags = STEP_RESULT_TOKEN;
    ASSERT_OK(scheduler_complete(world.scheduler, &result, count_token, NULL, &err));
    ASSERT_EQ(scheduler_complete(world.scheduler, &result, count_token, NULL, &err),
              STATUS_INTERNAL);
    close_world();
}

TEST(the_earliest_deadline_is_known)
{
    open_world(40, 4, 16, 0);
    ASSERT_EQ(scheduler_next_deadline(world.scheduler), UINT64_MAX);
    uint64_t deadlines[] = {500, 300, UINT64_MAX, 400};
    for (uint32_t i = 0; i < 4; i++) {
        struct sequence_config config = config_of(i, 3, 5);
        config.deadline_ns = deadlines[i];
        add_config(&config);
    }
    ASSERT_EQ(scheduler_next_deadline(world.scheduler), 300);
    ASSERT(scheduler_expired(world.scheduler, 299) == NULL);
    ASSERT(scheduler_expired(world.scheduler, 300) == &world.n_tokens[1]);
    remove_uid(1);
    ASSERT_EQ(scheduler_next_deadline(world.scheduler), 400);
    close_world();
}

// There is time for one mask in a step.
static void mask_of_one(void *context, void *owner, struct sequence_mask *out)
{
    (void)context;
    (void)owner;
    if (world.n_masks++ > 0)
        out->kind = STEP_MASK_LATER;
}

TEST(slow_masks_put_off_their_sequences_in_turn_and_nobody_else)
{
    open_world(100, 4, 64, 0);
    for (uint32_t uid = 0; uid < 4; uid++) {
        struct sequence_config config = config_of(uid, 5, 30);
        config.masked = uid != 3;
        add_config(&config);
    }
    for (uint32_t i = 0; i < 12; i++) {
        ASSERT(prepare());
        ASSERT_EQ(world.step.header->n_seqs, 4);
        ASSERT(scheduler_masks_are_due(world.scheduler));
        world.n_masks = 0;
        world.masks_length = scheduler_write_masks(world.scheduler, world.masks, mask_of_one, NULL);
        complete();
        ASSERT_EQ(world.n_tokens[3], i + 1);
    }
    for (uint32_t uid = 0; uid < 3; uid++)
        ASSERT_EQ(world.n_tokens[uid], 4);
    close_world();
}

TEST(no_step_is_prepared_before_the_masks_of_the_last_one)
{
    open_world(100, 4, 64, 0);
    struct sequence_config config = config_of(0, 5, 30);
    config.masked = true;
    add_config(&config);
    ASSERT(prepare());
    ASSERT(!prepare());
    ASSERT(scheduler_masks_are_due(world.scheduler)); // all tokens before are the prompt's
    world.n_masks = 0;
    world.masks_length = scheduler_write_masks(world.scheduler, world.masks, mask_of_one, NULL);
    ASSERT(prepare());
    ASSERT(!scheduler_masks_are_due(world.scheduler)); // its token depends on the first one's
    ASSERT(!prepare());
    complete();
    ASSERT(scheduler_masks_are_due(world.scheduler));
    close_world();
}
