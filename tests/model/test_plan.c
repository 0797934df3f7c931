/* tests/model/test_plan.c - the plan says what loading takes, and pages fill what remains. */
#include "model/plan.h"

#include "device/stream.h"
#include "model/text.h"
#include "model/weights.h"
#include "tests/test.h"

#define MIB ((size_t)1 << 20)

static struct checkpoint *open_golden(const char *golden)
{
    char path[100];
    snprintf(path, sizeof path, "data/goldens/%s/checkpoint", golden);
    struct checkpoint *checkpoint = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(checkpoint_open(test_path(path), &checkpoint, &err), err);
    return checkpoint;
}

static struct model_plan_limits some_limits(void)
{
    return (struct model_plan_limits){.world_size = 2,
                                      .page_tokens = 16,
                                      .max_rows = 64,
                                      .max_logits_rows = 8,
                                      .max_slots = 8,
                                      .max_context = 512,
                                      .budget_bytes = 256 * MIB};
}

static struct model_plan plan_of(const struct checkpoint *checkpoint,
                                 const struct model_plan_limits *limits)
{
    struct model_plan plan;
    struct error err = {0};
    ASSERT_OK_ERR(model_plan_create(checkpoint, limits, &plan, &err), err);
    return plan;
}

TEST(the_planned_weights_are_those_that_loading_takes)
{
    static const char *const goldens[] = {"dense", "moe", "ple"};
    struct device_stream_config config = {.n_threads = 2};
    struct device_stream *stream = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(device_stream_create(&config, &stream, &err), err);
    for (size_t i = 0; i < 6; i++) {
        struct checkpoint *checkpoint = open_golden(goldens[i / 2]);
        struct model_plan_limits limits = some_limits();
        limits.compute = i % 2 ? COMPUTE_BF16 : COMPUTE_F32;
        struct model_plan plan = plan_of(checkpoint, &limits);
        for (uint32_t rank = 0; rank < 2; rank++) {
            struct model_load_options options = {
                .rank = rank, .world_size = 2, .compute = limits.compute};
            struct model_weights *weights = NULL;
            ASSERT_OK_ERR(model_weights_load(checkpoint_config(checkpoint), checkpoint, &options,
                                             stream, &weights, &err),
                          err);
            ASSERT_EQ(weights->memory.bytes, plan.weight_bytes);
            model_weights_destroy(weights);
        }
        ASSERT_EQ(plan.activation_bytes,
                  text_model_activation_bytes(checkpoint_config(checkpoint), 2, 64, 8, 8));
        checkpoint_destroy(checkpoint);
    }
    device_stream_destroy(stream);
}

static size_t kv_bytes_of(const struct model_plan *plan)
{
    uint32_t heads[KV_MAX_GROUPS];
    ASSERT_OK(kv_layout_rank_heads(&plan->layout, 0, plan->world_size, heads, NULL));
    size_t bytes = 0;
    for (uint32_t g = 0; g < plan->layout.params.n_groups; g++)
        bytes += plan->layout.params.n_pages[g] * kv_page_bytes(&plan->layout.params, g, heads[g]);
    return bytes;
}

TEST(with_room_enough_every_slot_has_its_whole_context)
{
    struct checkpoint *checkpoint = open_golden("dense");
    struct model_plan_limits limits = some_limits();
    struct model_plan plan = plan_of(checkpoint, &limits);
    const struct kv_params *kv = &plan.layout.params;
    ASSERT_EQ(plan.max_context, 512);
    ASSERT_EQ(kv->n_pages[1], 1 + 8 * 512 / 16);
    ASSERT(kv->n_pages[0] >= 1 + 8 * kv_sequence_pages(kv, 0, 512, 1));
    ASSERT(kv->n_pages[0] < kv->n_pages[1]);
    ASSERT_EQ(plan.kv_bytes, kv_bytes_of(&plan));
    limits.max_context = 0; // as much as the model can
    plan = plan_of(checkpoint, &limits);
    ASSERT_EQ(plan.max_context, 8192);
    checkpoint_destroy(checkpoint);
}

// Whatever the budget: it is kept, one longest sequence fits, or the answer is no.
TEST(every_budget_is_kept_or_refused_with_the_numbers)
{
    static const char *const goldens[] = {"dense", "moe", "ple"};
    uint64_t random = 7;
    uint32_t n_refused = 0;
    for (uint32_t i = 0; i < 600; i++) {
        struct checkpoint *checkpoint = open_golden(goldens[i % 3]);
        struct model_plan_limits limits = some_limits();
        limits.world_size = 1U << test_random_in(&random, 0, 3);
        limits.max_slots = (uint32_t)test_random_in(&random, 1, 300);
        limits.max_rows = (uint32_t)test_random_in(&random, 1, 300);
        limits.max_context = (uint32_t)test_random_in(&random, 0, 1) *
                             (uint32_t)test_random_in(&random, 1, 8192);
        limits.other_bytes = test_random_in(&random, 0, MIB);
        limits.budget_bytes = test_random_in(&random, MIB, 80 * MIB);
        struct model_plan plan;
        struct error err = {0};
        enum status st = model_plan_create(checkpoint, &limits, &plan, &err);
        if (st != STATUS_OK) {
            ASSERT_EQ(st, STATUS_RESOURCE_EXHAUSTED);
            ASSERT_CONTAINS(err.message, "the model does not fit: a rank (of ");
            n_refused++;
        } else {
            ASSERT_EQ(plan.kv_bytes, kv_bytes_of(&plan));
            ASSERT(plan.weight_bytes + plan.activation_bytes + plan.other_bytes + plan.kv_bytes <=
                   plan.budget_bytes);
            ASSERT(plan.budget_bytes <= limits.budget_bytes / limits.world_size);
            ASSERT(plan.max_context > 0 && plan.max_context <= 8192);
            ASSERT(limits.max_context == 0 || plan.max_context == limits.max_context);
            const struct kv_params *kv = &plan.layout.params;
            for (uint32_t g = 0; g < kv->n_groups; g++)
                ASSERT(kv->n_pages[g] >
                       kv_sequence_pages(kv, g, plan.max_context, limits.max_rows));
        }
        checkpoint_destroy(checkpoint);
    }
    ASSERT(n_refused > 30 && n_refused < 570); // both were seen
}

TEST(windows_of_many_slots_leave_the_larger_half_to_full_layers)
{
    struct checkpoint *checkpoint = open_golden("dense");
    struct model_plan_limits limits = some_limits();
    limits.max_slots = 1000;
    limits.budget_bytes = 64 * MIB;
    struct model_plan plan = plan_of(checkpoint, &limits);
    uint32_t heads[KV_MAX_GROUPS];
    ASSERT_OK(kv_layout_rank_heads(&plan.layout, 0, 2, heads, NULL));
    size_t window_bytes = plan.layout.params.n_pages[0] *
                          kv_page_bytes(&plan.layout.params, 0, heads[0]);
    ASSERT(window_bytes <= plan.kv_bytes / 2 + MIB / 8);
    ASSERT(window_bytes >= plan.kv_bytes / 4);
    checkpoint_destroy(checkpoint);
}

TEST(without_a_wish_the_context_takes_what_is_left)
{
    struct checkpoint *checkpoint = open_golden("moe");
    struct model_plan_limits limits = some_limits();
    limits.max_context = 0;
    limits.world_size = 1;
    limits.budget_bytes = 12 * MIB;
    struct model_plan small = plan_of(checkpoint, &limits);
    ASSERT(small.max_context < 8192);
    limits.budget_bytes = 14 * MIB;
    struct model_plan larger = plan_of(checkpoint, &limits);
    ASSERT(larger.max_context > small.max_context);
    checkpoint_destroy(checkpoint);
}

TEST(limits_that_make_no_sense_are_refused)
{
    struct checkpoint *checkpoint = open_golden("dense");
    struct model_plan plan;
    struct error err = {0};
    struct model_plan_limits limits = some_limits();
    limits.max_context = 8193;
    ASSERT_EQ(model_plan_create(checkpoint, &limits, &plan, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, "max_position_embeddings is 8192");
    limits = some_limits();
    limits.world_size = 3;
    ASSERT_EQ(model_plan_create(checkpoint, &limits, &plan, &err), STATUS_INVALID_ARGUMENT);
    limits = some_limits();
    limits.max_slots = 0;
    ASSERT_EQ(model_plan_create(checkpoint, &limits, &plan, &err), STATUS_INVALID_ARGUMENT);
    limits = some_limits();
    limits.page_tokens = 20;
    ASSERT_EQ(model_plan_create(checkpoint, &limits, &plan, &err), STATUS_INVALID_ARGUMENT);
    checkpoint_destroy(checkpoint);
}

TEST(the_lines_add_up_for_a_reader)
{
    struct checkpoint *checkpoint = open_golden("ple");
    struct model_plan_limits limits = some_limits();
    struct model_plan plan = plan_of(checkpoint, &limits);
    ASSERT_EQ(plan.mapped_bytes, 1024 * 320 * 2);
    struct text_buffer text = {0};
    model_plan_write(&plan, &text);
    ASSERT_CONTAINS(text.data, "weights of a rank");
    ASSERT_CONTAINS(text.data, "group 1: 1 layers, window 0, ");
    ASSERT_CONTAINS(text.data, "a rank may have                           128.0 MiB\n");
    ASSERT_CONTAINS(text.data, "read in the files (page cache)              0.6 MiB\n");
    text_buffer_finish(&text);
    checkpoint_destroy(checkpoint);
}
