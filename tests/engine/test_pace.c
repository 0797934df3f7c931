/* tests/engine/test_pace.c - what steps teach, and what they allow. */
#include "tests/test.h"

#include "engine/pace.h"

static void learn(struct pace *pace, struct scheduler_work work, uint64_t encode_ns,
                  uint64_t forward_ns)
{
    struct step_result_header result = {.encode_ns = encode_ns, .forward_ns = forward_ns};
    pace_learn(pace, &work, &result);
}

static const struct scheduler_work decodes = {.n_decode_rows = 8};

TEST(nothing_is_limited_before_a_step_of_decodes_was_seen)
{
    struct pace pace = {.max_stretch = 3};
    ASSERT_EQ(pace_budget(&pace).shared_ns, UINT64_MAX);
    learn(&pace, (struct scheduler_work){.n_prefill_rows = 100}, 0, 1000000);
    ASSERT_EQ(pace_budget(&pace).shared_ns, UINT64_MAX);
    learn(&pace, decodes, 0, 1000);
    ASSERT(pace_budget(&pace).shared_ns < 2000);
}

TEST(rows_and_units_may_take_what_the_stretch_leaves)
{
    struct pace pace = {.max_stretch = 3};
    learn(&pace, decodes, 0, 100000);
    learn(&pace, (struct scheduler_work){.n_decode_rows = 8, .n_prefill_rows = 50}, 0, 150000);
    learn(&pace, (struct scheduler_work){.n_decode_rows = 8, .n_units = 4, .kind = ENCODER_AUDIO},
          8000, 100000);
    struct scheduler_budget budget = pace_budget(&pace);
    ASSERT_EQ(budget.row_ns, 1000);
    ASSERT_EQ(budget.unit_ns[ENCODER_AUDIO], 2000);
    ASSERT_EQ(budget.unit_ns[ENCODER_VISION], 0);
    ASSERT(budget.shared_ns > 150000 && budget.shared_ns < 200000);
    pace.max_stretch = 0;
    ASSERT_EQ(pace_budget(&pace).shared_ns, UINT64_MAX);
}

TEST(a_step_of_decodes_alone_is_asked_for_now_and_then_and_when_streams_change)
{
    struct pace pace = {.max_stretch = 3};
    const struct scheduler_work shared = {.n_decode_rows = 8, .n_prefill_rows = 10};
    const struct scheduler_work fewer = {.n_decode_rows = 4, .n_prefill_rows = 10};
    learn(&pace, decodes, 0, 100000);
    for (int i = 0; i < 63; i++)
        learn(&pace, shared, 0, 200000);
    ASSERT(pace_budget(&pace).shared_ns > 0);
    learn(&pace, shared, 0, 200000);
    ASSERT_EQ(pace_budget(&pace).shared_ns, 0);
    learn(&pace, decodes, 0, 100000);
    for (int i = 0; i < 3; i++)
        learn(&pace, fewer, 0, 200000);
    ASSERT(pace_budget(&pace).shared_ns > 0);
    learn(&pace, fewer, 0, 200000);
    ASSERT_EQ(pace_budget(&pace).shared_ns, 0);
    learn(&pace, (struct scheduler_work){.n_decode_rows = 4}, 0, 60000);
    ASSERT_EQ(pace.decode_ns, 60000); // of these streams, not an average with the others
    ASSERT(pace_budget(&pace).shared_ns > 0);
}

TEST(estimates_follow_and_one_outlier_moves_them_little)
{
    struct pace pace = {.max_stretch = 3};
    learn(&pace, decodes, 0, 1000);
    learn(&pace, decodes, 0, 9000);
    ASSERT_EQ(pace.decode_ns, 2000);
    for (int i = 0; i < 100; i++)
        learn(&pace, decodes, 0, 500);
    ASSERT(pace.decode_ns >= 500 && pace.decode_ns < 510);
}

TEST(a_cost_rises_faster_than_it_falls)
{
    struct pace pace = {.max_stretch = 3};
    learn(&pace, (struct scheduler_work){.n_units = 10}, 10000, 0);
    learn(&pace, (struct scheduler_work){.n_units = 10}, 30000, 0);
    ASSERT_EQ(pace.unit_ns[ENCODER_VISION], 2000);
    learn(&pace, (struct scheduler_work){.n_units = 10}, 12000, 0);
    ASSERT_EQ(pace.unit_ns[ENCODER_VISION], 1900);
}

TEST(short_prompts_alone_teach_nothing_of_a_rows_cost)
{
    struct pace pace = {.max_stretch = 3};
    learn(&pace, (struct scheduler_work){.n_prefill_rows = 2}, 0, 100000);
    ASSERT_EQ(pace.row_ns, 0);
    learn(&pace, (struct scheduler_work){.n_prefill_rows = 1000}, 0, 100000);
    ASSERT_EQ(pace.row_ns, 100);
}

TEST(a_figure_of_zero_or_the_wait_for_masks_is_no_cost)
{
    struct pace pace = {.max_stretch = 3};
    struct step_result_header result = {
        .forward_ns = 5000, .sample_ns = 4000, .mask_wait_ns = 3000};
    pace_learn(&pace, &decodes, &result);
    ASSERT_EQ(pace.decode_ns, 6000);
    learn(&pace, (struct scheduler_work){.n_units = 5}, 0, 0);
    ASSERT_EQ(pace.unit_ns[ENCODER_VISION], 1); // known
}
