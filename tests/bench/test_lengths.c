/* tests/bench/test_lengths.c - the mix of lengths: what is read, what is refused, what is drawn. */
#include "bench/serve/lengths.h"

#include "bench/serve/random.h"
#include "tests/test.h"

static struct lengths parsed(const char *text)
{
    struct lengths lengths;
    struct error err = {0};
    ASSERT_OK_ERR(lengths_parse(text, &lengths, &err), err);
    return lengths;
}

TEST(a_fixed_length_is_a_range_of_one)
{
    struct lengths lengths = parsed("512:128");
    uint64_t series = 0;
    for (int i = 0; i < 10; i++) {
        uint32_t prompt;
        uint32_t answer;
        lengths_draw(&lengths, &series, &prompt, &answer);
        ASSERT_EQ(prompt, 512);
        ASSERT_EQ(answer, 128);
    }
}

TEST(lengths_of_a_range_are_uniform_and_independent)
{
    struct lengths lengths = parsed("1..2:10..11");
    uint64_t series = 0;
    uint32_t n_of[2][2] = {{0}};
    for (int i = 0; i < 4000; i++) {
        uint32_t prompt;
        uint32_t answer;
        lengths_draw(&lengths, &series, &prompt, &answer);
        ASSERT(prompt >= 1 && prompt <= 2 && answer >= 10 && answer <= 11);
        n_of[prompt - 1][answer - 10]++;
    }
    for (int i = 0; i < 4; i++)
        ASSERT_NEAR(n_of[i / 2][i % 2], 1000, 150);
}

TEST(kinds_come_as_often_as_their_weights_say)
{
    struct lengths lengths = parsed("512:128,64..65:16*3");
    uint64_t series = 0;
    uint32_t n_long = 0;
    for (int i = 0; i < 4000; i++) {
        uint32_t prompt;
        uint32_t answer;
        lengths_draw(&lengths, &series, &prompt, &answer);
        ASSERT(prompt == 512 ? answer == 128 : prompt >= 64 && prompt <= 65 && answer == 16);
        n_long += prompt == 512;
    }
    ASSERT_NEAR(n_long, 1000, 150);
}

TEST(what_is_no_mix_is_refused_with_the_part_that_is_wrong)
{
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"", "\"\""},
        {"512", "\"512\""},
        {"512:", "\"512:\""},
        {":5", "\":5\""},
        {"0:5", "\"0:5\""},
        {"5:0", "\"5:0\""},
        {"9..8:5", "\"9..8:5\""},
        {"5:1..", "\"5:1..\""},
        {"5:5*0", "\"5:5*0\""},
        {"5:5,", "\"\""},
        {"5:5,6:6x,7:7", "\"6:6x\""},
        {"5 :5", "\"5 :5\""},
        {"1048577:5", "\"1048577:5\""},
        {"5:5*1000001", "\"5:5*1000001\""},
        {"1:1,1:1,1:1,1:1,1:1,1:1,1:1,1:1,1:1,1:1,1:1,1:1,1:1,1:1,1:1,1:1,1:1", "16 kinds"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lengths lengths;
        struct error err = {0};
        ASSERT_EQ(lengths_parse(cases[i].text, &lengths, &err), STATUS_INVALID_ARGUMENT);
        ASSERT_CONTAINS(err.message, cases[i].part);
    }
}
