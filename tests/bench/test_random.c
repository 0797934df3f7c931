/* tests/bench/test_random.c - the randomness of a load. */
#include "bench/serve/random.h"

#include "tests/test.h"

TEST(a_series_is_the_same_for_the_same_seed_and_number_only)
{
    uint64_t first = random_series(1, 2);
    uint64_t same = random_series(1, 2);
    uint64_t other_number = random_series(1, 3);
    uint64_t other_seed = random_series(2, 2);
    uint64_t value = random_next(&first);
    ASSERT(value == random_next(&same));
    ASSERT(value != random_next(&other_number));
    ASSERT(value != random_next(&other_seed));
}

TEST(a_range_has_both_its_ends_and_nothing_else)
{
    uint64_t series = random_series(0, 0);
    uint32_t n_of[4] = {0};
    for (int i = 0; i < 4000; i++) {
        uint32_t value = random_in(&series, 5, 8);
        ASSERT(value >= 5 && value <= 8);
        n_of[value - 5]++;
    }
    for (int i = 0; i < 4; i++)
        ASSERT_NEAR(n_of[i], 1000, 150);
    ASSERT_EQ(random_in(&series, 9, 9), 9);
    ASSERT(random_in(&series, 0, UINT32_MAX) != random_in(&series, 0, UINT32_MAX));
}

// Of a Poisson process: mean 1, and e^-1 of the gaps are longer than that.
TEST(gaps_are_exponential)
{
    uint64_t series = random_series(0, 0);
    double sum = 0;
    int n_long = 0;
    for (int i = 0; i < 20000; i++) {
        double gap = random_gap(&series);
        ASSERT(gap >= 0);
        sum += gap;
        n_long += gap > 1;
    }
    ASSERT_NEAR(sum / 20000, 1, 0.03);
    ASSERT_NEAR(n_long / 20000.0, exp(-1), 0.015);
}
