/* tests/client/test_samples.c - percentiles of measured times. */
#include "client/samples.h"

#include "tests/test.h"

TEST(percentiles_are_samples_by_nearest_rank)
{
    struct samples samples = {0};
    for (uint64_t i = 100; i > 0; i--)
        samples_add(&samples, i, 1);
    ASSERT_EQ(samples_percentile(&samples, 0.5), 50);
    ASSERT_EQ(samples_percentile(&samples, 0.9), 90);
    ASSERT_EQ(samples_percentile(&samples, 0.99), 99);
    ASSERT_EQ(samples_percentile(&samples, 1), 100);
    samples_finish(&samples);
}

TEST(no_samples_have_percentile_zero_and_one_is_all_percentiles)
{
    struct samples samples = {0};
    ASSERT_EQ(samples_percentile(&samples, 0.99), 0);
    samples_add(&samples, 7, 1);
    ASSERT_EQ(samples_percentile(&samples, 0), 7);
    ASSERT_EQ(samples_percentile(&samples, 0.99), 7);
    samples_finish(&samples);
}

TEST(moved_samples_are_counted_once)
{
    struct samples to = {0};
    struct samples from = {0};
    samples_add(&to, 1, 2);
    samples_add(&from, 5, 3);
    samples_move(&to, &from);
    samples_move(&to, &from);
    ASSERT_EQ(to.n, 5);
    ASSERT_EQ(from.n, 0);
    ASSERT_EQ(samples_percentile(&to, 0.5), 5);
    samples_finish(&to);
}
