/* tests/engine/test_scheduler_media.c - the rules of parts of media, each by an example. */
#include "tests/test.h"

#include "base/mem.h"
#include "engine/pace.h"
#include "engine/scheduler.h"
#include "tests/engine/fake_device.h"

#define MAX_UIDS 16

static struct {
    struct scheduler_config config;
    struct scheduler *scheduler;
    struct scheduler_budget budget;
    struct pace pace; // learns, and gives the budget, if there are costs
    uint64_t decode_ns, row_ns, unit_ns;
    uint64_t random, step_ns; // of the last step
    unsigned char *media;
    struct fake_device device;
    void *message, *result;
    size_t length;
    struct step step;
    struct sequence *sequences[MAX_UIDS]; // NULL once it has ended
    uint32_t n_tokens[MAX_UIDS];
    uint32_t max_tokens[MAX_UIDS];
} world;

static uint32_t prompt[4096];

static void open_world(uint32_t n_cache_rows, bool bidirectional)
{
    memset(&world, 0, sizeof world);
    world.config = (struct scheduler_config){
        .limits = {.max_slots = 4,
                   .max_rows = 64,
                   .max_positions = 1000,
                   .vocab_size = 50,
                   .n_groups = 1,
                   .page_tokens = 8,
                   .n_pages = {500},
                   .max_blob_bytes = 256,
                   .n_cache_rows = n_cache_rows,
                   .max_encode_parts = 4,
                   .max_job_patches = 9 * 40,
                   .max_job_frames = 4 * 40,
                   .media_bytes = 2 * 40 * MEDIA_TOKEN_PATCHES * MEDIA_PATCH_BYTES},
        .kv = {.page_tokens = 8, .element_bytes = 2, .n_groups = 1, .n_pages = {500}},
        .encoders = fake_encoders(bidirectional),
    };
    world.budget = (struct scheduler_budget){
        .shared_ns = UINT64_MAX, .alone_ns = UINT64_MAX, .unit_ns = {1, 1}};
    ASSERT_OK(scheduler_create(&world.config, &world.scheduler, NULL));
    fake_device_init(&world.device, &world.config.limits, &world.config.kv);
    world.media = mem_zeroed(world.config.limits.media_bytes, 1);
    world.device.media = world.media;
    world.message = mem_zeroed(step_max_bytes(&world.config.limits), 1);
    world.result = mem_zeroed(step_result_max_bytes(&world.config.limits), 1);
}

static void close_world(void)
{
    scheduler_destroy(world.scheduler);
    fake_device_finish(&world.device);
    free(world.media);
    free(world.message);
    free(world.result);
}

static struct sequence_config config_of(uint32_t uid, uint32_t n_prompt, uint32_t max_tokens,
                                        const struct request_part *parts, uint32_t n_parts)
{
    return (struct sequence_config){
        .prompt = prompt,
        .n_prompt = n_prompt,
        .max_tokens = max_tokens,
        .sampling = {.seed = uid, .n_logprobs = -1, .n_prompt_logprobs = -1},
        .parts = parts,
        .n_parts = n_parts,
        .arrival = uid,
        .deadline_ns = UINT64_MAX,
        .owner = &world.n_tokens[uid],
    };
}

static void add(uint32_t uid, uint32_t n_prompt, uint32_t max_tokens,
                const struct request_part *parts, uint32_t n_parts)
{
    struct sequence_config config = config_of(uid, n_prompt, max_tokens, parts, n_parts);
    struct error err = {0};
    ASSERT_OK_ERR(scheduler_can_run(&world.config, &config, &err), err);
    world.max_tokens[uid] = max_tokens;
    world.sequences[uid] = scheduler_add(world.scheduler, &config);
}

static void remove_uid(size_t uid)
{
    scheduler_remove(world.scheduler, world.sequences[uid]);
    world.sequences[uid] = NULL;
}

static void count_token(void *context, void *owner, const struct sequence_output *output)
{
    (void)context;
    size_t uid = (size_t)((uint32_t *)owner - world.n_tokens);
    world.n_tokens[uid] += output->has_token;
    if (world.n_tokens[uid] == world.max_tokens[uid])
        remove_uid(uid);
}

static bool prepare(void)
{
    world.length = scheduler_prepare(world.scheduler, &world.budget, world.media, world.message);
    if (world.length == 0)
        return false;
    struct error err = {0};
    ASSERT_OK_ERR(step_open(world.message, world.length, &world.config.limits, &world.step, &err),
                  err);
    return true;
}

// Every figure is off by up to a tenth.
static uint64_t noisy(uint64_t ns)
{
    return ns * test_random_in(&world.random, 90, 110) / 100;
}

static void take_time(struct step_result_header *result)
{
    struct scheduler_work work;
    ASSERT(scheduler_oldest_work(world.scheduler, &work));
    result->encode_ns = noisy(work.n_units * world.unit_ns);
    result->forward_ns = noisy(world.decode_ns + work.n_prefill_rows * world.row_ns);
    world.step_ns = result->encode_ns + result->forward_ns;
    pace_learn(&world.pace, &work, result);
    world.budget = pace_budget(&world.pace);
}

static void complete(void)
{
    size_t n = fake_device_run(&world.device, world.message, world.length, NULL, 0, world.result);
    ASSERT_STR_EQ(world.device.failure, "");
    if (world.decode_ns > 0)
        take_time(world.result);
    struct step_result result;
    ASSERT_OK(step_result_open(world.result, n, &world.config.limits, &result, NULL));
    ASSERT_OK(scheduler_complete(world.scheduler, &result, count_token, NULL, NULL));
    ASSERT(scheduler_verify(world.scheduler));
}

static bool run_step(void)
{
    if (!prepare())
        return false;
    complete();
    return true;
}

static struct scheduler_counts counts(void)
{
    struct scheduler_counts out;
    scheduler_get_counts(world.scheduler, &out);
    return out;
}

TEST(rows_go_up_to_the_first_part_and_on_when_it_is_encoded)
{
    open_world(64, false);
    struct media *image = fake_media(MEDIA_IMAGE, 5, 1, 20);
    struct request_part part = {.media = image, .first = 3};
    world.budget.alone_ns = 6; // of 11 units
    add(0, 30, 1, &part, 1);
    ASSERT(run_step()); // admitted
    ASSERT_EQ(world.step.header->n_rows, 3);
    ASSERT(run_step());
    ASSERT_EQ(world.step.header->encode.n_parts, 1);
    ASSERT_EQ(world.step.header->encode.n_units, 6);
    ASSERT_EQ(world.step.header->n_seqs, 0);
    ASSERT(run_step());
    ASSERT_EQ(world.step.header->encode.n_units, 5);
    ASSERT_EQ(world.step.header->encode.n_stores, 1);
    ASSERT_EQ(world.step.header->n_rows, 27); // in the same step
    ASSERT_EQ(world.step.header->n_splices, 1);
    ASSERT_EQ(world.step.splices[0].is_block, 0);
    ASSERT_EQ(world.n_tokens[0], 1);
    ASSERT_EQ(counts().cache.n_held_rows, 0);
    ASSERT_EQ(counts().cache.n_used_rows, 32);
    ASSERT(!prepare());
    media_drop(image);
    close_world();
}

TEST(a_repeated_image_costs_no_encoding)
{
    open_world(64, false);
    struct media *image = fake_media(MEDIA_IMAGE, 5, 1, 20);
    struct request_part parts[2] = {{.media = image, .first = 0}, {.media = image, .first = 21}};
    add(0, 50, 1, parts, 2);
    add(1, 50, 1, parts, 2);
    while (run_step())
        continue;
    ASSERT_EQ(world.device.n_encoded_parts, 1);
    add(2, 50, 1, parts, 2);
    ASSERT(run_step()); // at once
    ASSERT_EQ(world.step.header->n_rows, 50);
    ASSERT_EQ(world.device.n_encoded_parts, 1);
    ASSERT_EQ(counts().n_encoded_parts, 1);
    media_drop(image);
    close_world();
}

TEST(parts_of_several_requests_are_encoded_together_by_kind)
{
    open_world(256, false);
    struct media *image = fake_media(MEDIA_IMAGE, 5, 1, 10);
    struct media *clip = fake_media(MEDIA_AUDIO, 6, 1, 10);
    struct media *video = fake_media(MEDIA_VIDEO, 700, 2, 10);
    struct request_part a[2] = {{.media = image, .first = 1}, {.media = clip, .first = 12}};
    struct request_part b[2] = {{.media = video, .first = 1},
                                {.media = video, .part = 1, .first = 12}};
    add(0, 30, 1, a, 2);
    add(1, 30, 1, b, 2);
    ASSERT(run_step());
    ASSERT(run_step());
    ASSERT_EQ(world.step.header->encode.n_parts, 3);
    ASSERT_EQ(world.step.encode_parts[2].is_frame, 1);
    ASSERT(run_step());
    ASSERT_EQ(world.step.header->encode.n_parts, 1);
    ASSERT_EQ(world.step.encode_parts[0].kind, ENCODER_AUDIO);
    while (run_step())
        continue;
    ASSERT_EQ(world.n_tokens[0] + world.n_tokens[1], 2);
    media_drop(image);
    media_drop(clip);
    media_drop(video);
    close_world();
}

TEST(the_first_in_rank_takes_the_cache_from_those_behind_it)
{
    open_world(48, false);
    struct media *first = fake_media(MEDIA_IMAGE, 5, 1, 40);
    struct media *second = fake_media(MEDIA_IMAGE, 6, 1, 40);
    struct request_part a = {.media = first, .first = 1};
    struct request_part b = {.media = second, .first = 1};
    add(2, 4, 100, NULL, 0);
    ASSERT(run_step());
    world.budget = (struct scheduler_budget){.shared_ns = 16, .row_ns = 1};
    add(3, 50, 1, &b, 1);
    while (world.device.n_units == 0)
        ASSERT(run_step());
    struct sequence_config config = config_of(0, 50, 1, &a, 1);
    config.priority = -1;
    world.max_tokens[0] = 1;
    world.sequences[0] = scheduler_add(world.scheduler, &config);
    while (world.device.n_encoded_parts == 0)
        ASSERT(run_step());
    ASSERT_EQ(world.step.header->n_splices, 1); // 3 has begun to read its part
    while (world.n_tokens[0] == 0)
        ASSERT(run_step());
    ASSERT_EQ(world.n_tokens[3], 0);
    while (run_step())
        continue;
    ASSERT_EQ(world.n_tokens[3], 1);
    ASSERT_EQ(world.device.n_encoded_parts, 3); // the second twice
    media_drop(first);
    media_drop(second);
    close_world();
}

TEST(a_block_of_images_is_computed_in_one_step)
{
    open_world(128, true);
    struct media *image = fake_media(MEDIA_IMAGE, 5, 1, 20);
    struct media *frame = fake_media(MEDIA_VIDEO, 6, 1, 20);
    struct request_part parts[2] = {{.media = image, .first = 30}, {.media = frame, .first = 50}};
    add(0, 80, 1, parts, 2);
    ASSERT(run_step());
    ASSERT_EQ(world.step.header->n_rows, 30);
    ASSERT(run_step());
    ASSERT_EQ(world.step.header->n_rows, 50);
    ASSERT_EQ(world.step.header->n_splices, 2);
    ASSERT_EQ(world.step.splices[0].is_block + world.step.splices[1].is_block, 2);
    add(1, 80, 1, parts, 2);
    ASSERT(run_step());
    ASSERT_EQ(world.step.header->n_rows, 30); // not the 64 of a step, which end inside
    ASSERT(run_step());
    ASSERT_EQ(world.step.header->n_rows, 50);
    media_drop(image);
    media_drop(frame);
    close_world();
}

TEST(beside_decode_rows_the_budget_limits_rows_and_units)
{
    open_world(64, false);
    struct media *image = fake_media(MEDIA_IMAGE, 5, 1, 40);
    struct request_part part = {.media = image, .first = 40};
    add(0, 4, 100, NULL, 0);
    ASSERT(run_step());
    world.budget = (struct scheduler_budget){
        .shared_ns = 20 * 8, .alone_ns = 1000, .row_ns = 8, .unit_ns = {20, 20}};
    add(1, 100, 1, &part, 1);
    ASSERT(run_step());
    ASSERT_EQ(world.step.header->n_rows, 1 + 20);
    ASSERT(run_step()); // half and half
    ASSERT_EQ(world.step.header->encode.n_units, 4);
    ASSERT_EQ(world.step.header->n_rows, 1 + 10);
    ASSERT(run_step());
    ASSERT_EQ(world.step.header->n_rows, 1 + 10); // up to the part
    ASSERT(run_step());
    ASSERT_EQ(world.step.header->n_rows, 1);
    ASSERT_EQ(world.step.header->encode.n_units, 8); // all is for encoding
    uint32_t most = 0;
    while (world.n_tokens[1] == 0 && run_step())
        most = world.step.header->n_rows > most ? world.step.header->n_rows : most;
    ASSERT_EQ(most, 1 + 20);
    media_drop(image);
    close_world();
}

// As in serving: a unit costs about a decode step's third, a row its twelfth.
TEST(streams_keep_their_pace_while_many_images_are_encoded_and_read)
{
    open_world(512, false);
    world.decode_ns = 60000;
    world.row_ns = 5000;
    world.unit_ns = 20000;
    world.pace.max_stretch = 3;
    for (uint32_t uid = 0; uid < 2; uid++)
        add(uid, 4, 900, NULL, 0);
    for (int i = 0; i < 20; i++)
        ASSERT(run_step());
    struct media *images[10];
    struct request_part parts[10];
    for (uint32_t i = 0; i < 10; i++) {
        images[i] = fake_media(MEDIA_IMAGE, 100 + i, 1, 40);
        parts[i] = (struct request_part){.media = images[i], .first = 5 + 42 * i};
    }
    add(2, 450, 1, parts, 10);
    uint32_t n_slow = 0;
    uint32_t n_steps = 0;
    for (; world.n_tokens[2] == 0; n_steps++) {
        ASSERT(run_step());
        n_slow += world.step_ns > 3 * world.decode_ns;
    }
    ASSERT_EQ(world.device.n_encoded_parts, 10);
    ASSERT_EQ(n_slow, 0);
    // 210 units and 450 rows of 6450 us, at most 102 us a step.
    ASSERT(n_steps > 60 && n_steps < 100);
    for (uint32_t i = 0; i < 10; i++)
        media_drop(images[i]);
    close_world();
}

TEST(an_abort_in_the_middle_of_an_encoding_leaves_the_cache_sound)
{
    open_world(64, false);
    struct media *image = fake_media(MEDIA_IMAGE, 5, 1, 40);
    struct request_part part = {.media = image, .first = 0};
    world.budget.alone_ns = 3;
    add(0, 60, 1, &part, 1);
    ASSERT(run_step());
    ASSERT(run_step());
    remove_uid(0);
    ASSERT(scheduler_verify(world.scheduler));
    while (run_step()) // what was begun ends
        continue;
    ASSERT_EQ(world.device.n_encoded_parts, 1);
    add(1, 60, 1, &part, 1);
    ASSERT(run_step());
    ASSERT_EQ(world.step.header->n_rows, 60);
    media_drop(image);
    close_world();
}

TEST(with_new_workers_everything_is_encoded_again)
{
    open_world(64, false);
    struct media *image = fake_media(MEDIA_IMAGE, 5, 1, 40);
    struct request_part part = {.media = image, .first = 2};
    add(0, 60, 3, &part, 1);
    for (int i = 0; i < 2; i++)
        ASSERT(run_step());
    ASSERT_EQ(world.n_tokens[0], 1);
    scheduler_reset(world.scheduler);
    ASSERT(scheduler_verify(world.scheduler));
    ASSERT_EQ(counts().cache.n_used_rows, 0);
    fake_device_finish(&world.device);
    fake_device_init(&world.device, &world.config.limits, &world.config.kv);
    memset(world.media, 0, world.config.limits.media_bytes);
    world.device.media = world.media;
    while (run_step())
        continue;
    ASSERT_EQ(world.n_tokens[0], 3);
    ASSERT_EQ(world.device.n_encoded_parts, 1);
    media_drop(image);
    close_world();
}

static enum status can_run(const struct request_part *parts, uint32_t n_parts, struct error *err)
{
    struct sequence_config config = config_of(0, 100, 1, parts, n_parts);
    return scheduler_can_run(&world.config, &config, err);
}

TEST(a_cache_without_encoders_makes_no_sense)
{
    open_world(64, false);
    struct scheduler_config config = world.config;
    config.encoders.n_tokens = NULL;
    struct scheduler *scheduler;
    ASSERT_EQ(scheduler_create(&config, &scheduler, NULL), STATUS_INVALID_ARGUMENT);
    close_world();
}

TEST(parts_that_can_never_run_are_refused_and_the_reason_is_told)
{
    open_world(64, true);
    struct error err = {0};
    struct media *image = fake_media(MEDIA_IMAGE, 5, 1, 30);
    struct request_part parts[3] = {{.media = image, .first = 0}, {.media = image, .first = 40}};
    ASSERT_OK_ERR(can_run(parts, 2, &err), err);
    parts[1].first = 29;
    ASSERT_EQ(can_run(parts, 2, &err), STATUS_INVALID_ARGUMENT);
    ASSERT(strstr(err.message, "overlap"));
    parts[1].first = 30; // a block of 60, and 3 rows of others
    ASSERT_OK_ERR(can_run(parts, 2, &err), err);
    struct media *longer = fake_media(MEDIA_IMAGE, 6, 1, 32);
    parts[1].media = longer;
    ASSERT_EQ(can_run(parts, 2, &err), STATUS_INVALID_ARGUMENT);
    ASSERT(strstr(err.message, "a block of 62") && strstr(err.message, "would have to be 65"));
    media_drop(longer);
    parts[1].media = image;
    parts[2] = (struct request_part){.media = image, .first = 60};
    ASSERT_EQ(can_run(parts, 3, &err), STATUS_RESOURCE_EXHAUSTED); // 96 rows of the cache
    ASSERT(strstr(err.message, "96 rows"));
    world.config.limits.n_cache_rows = 96;
    ASSERT_EQ(can_run(parts, 3, &err), STATUS_INVALID_ARGUMENT);
    ASSERT(strstr(err.message, "would have to be 93"));
    world.config.encoders.bidirectional_images = false;
    ASSERT_OK_ERR(can_run(parts, 3, &err), err);
    parts[0].first = 70; // nothing follows
    ASSERT_EQ(can_run(parts, 1, &err), STATUS_INVALID_ARGUMENT);
    ASSERT(strstr(err.message, "text must follow"));
    parts[0] = (struct request_part){.media = image, .part = 1};
    ASSERT_EQ(can_run(parts, 1, &err), STATUS_INVALID_ARGUMENT);
    parts[0].part = 0;
    image->parts[0].n_tokens = 29;
    ASSERT_EQ(can_run(parts, 1, &err), STATUS_INVALID_ARGUMENT);
    ASSERT(strstr(err.message, "the model makes 30"));
    image->parts[0].n_tokens = 30;
    image->parts[0].n_bytes -= 1;
    ASSERT_EQ(can_run(parts, 1, &err), STATUS_INVALID_ARGUMENT);
    image->parts[0].n_bytes += 1;
    world.config.limits.max_job_patches = 9 * 29;
    ASSERT_EQ(can_run(parts, 1, &err), STATUS_INVALID_ARGUMENT);
    ASSERT(strstr(err.message, "at most 261"));
    world.config.limits.n_cache_rows = 0;
    ASSERT_EQ(can_run(parts, 1, &err), STATUS_UNIMPLEMENTED);
    media_drop(image);
    close_world();
}
