/* tests/bench/test_samples.c - percentiles of measured times. */
#include "bench/serve/samples.h"

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
    ASSERT_NEAR(samples_mean(&samples), 50.5, 1e-9);
    samples_finish(&samples);
}

TEST(no_samples_have_percentile_zero_and_one_is_all_percentiles)
{
    struct samples samples = {0};
    ASSERT_EQ(samples_percentile(&samples, 0.99), 0);
    ASSERT_NEAR(samples_mean(&samples), 0, 0);
    samples_add(&samples, 7, 1);
    ASSERT_EQ(samples_percentile(&samples, 0), 7);
    ASSERT_EQ(samples_percentile(&samples, 0.99), 7);
    samples_finish(&samples);
}

TEST(samples_that_come_after_a_percentile_count_in_the_next)
{
    struct samples samples = {0};
    samples_add(&samples, 5, 3);
    ASSERT_EQ(samples_percentile(&samples, 1), 5);
    samples_add(&samples, 1, 4);
    ASSERT_EQ(samples.n, 7);
    ASSERT_EQ(samples_percentile(&samples, 0.5), 1);
    ASSERT_EQ(samples_percentile(&samples, 1), 5);
    samples_finish(&samples);
}
