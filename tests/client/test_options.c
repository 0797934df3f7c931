/* tests/client/test_options.c - the command line: what is stored, what is refused and how. */
#include "client/command.h"

#include "base/clock.h"
#include "tests/test.h"

#define MAX_ARGUMENTS 16

// Parses words (the last is NULL) into settings, which the caller finishes.
static enum status parse(struct settings *settings, struct invocation *out, struct error *err,
                         const char *const *words)
{
    char *arguments[MAX_ARGUMENTS];
    int n = 0;
    for (; words[n]; n++)
        arguments[n] = (char *)words[n];
    settings_init(settings);
    return command_line_parse(n, arguments, settings, out, err);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void expect_refusal(const char *const *words, const char *message)
{
    struct settings settings;
    struct invocation invocation;
    struct error err = {0};
    ASSERT_EQ(parse(&settings, &invocation, &err, words), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, message);
    settings_finish(&settings);
}

TEST(a_flag_stands_before_or_behind_the_command_and_takes_its_value_either_way)
{
    const char *const *const lines[] = {
        WORDS("--address", "h:1", "status", "--json"),
        WORDS("status", "--json", "--address=h:1"),
    };
    for (size_t i = 0; i < 2; i++) {
        struct settings settings;
        struct invocation invocation;
        struct error err = {0};
        ASSERT_OK_ERR(parse(&settings, &invocation, &err, lines[i]), err);
        ASSERT_STR_EQ(settings.address, "h:1");
        ASSERT(settings.json && invocation.command == &status_command && !invocation.argument);
        settings_finish(&settings);
    }
}

TEST(a_field_is_present_only_if_its_flag_is_given)
{
    struct settings settings;
    struct invocation invocation;
    struct error err = {0};
    ASSERT_OK_ERR(parse(&settings, &invocation, &err,
                        WORDS("generate", "--temperature", "0", "--show-special", "text")),
                  err);
    ASSERT(settings.sampling.has_temperature && settings.sampling.temperature == 0);
    ASSERT(!settings.sampling.has_top_p && !settings.stopping.has_max_tokens);
    ASSERT(settings.response.has_skip_special_tokens && !settings.response.skip_special_tokens);
    ASSERT_STR_EQ(invocation.argument, "text");
    settings_finish(&settings);
}

TEST(numbers_reach_the_ends_of_their_types)
{
    struct settings settings;
    struct invocation invocation;
    struct error err = {0};
    ASSERT_OK_ERR(parse(&settings, &invocation, &err,
                        WORDS("generate", "--seed", "18446744073709551615", "--max-tokens",
                              "4294967295", "--priority", "-2147483648", "--timeout", "0.25")),
                  err);
    ASSERT(settings.sampling.seed == UINT64_MAX);
    ASSERT_EQ(settings.stopping.max_tokens, UINT32_MAX);
    ASSERT_EQ(settings.request.priority, INT32_MIN);
    ASSERT_EQ(settings.timeout_ns, NS_PER_S / 4);
    settings_finish(&settings);
}

TEST(lists_grow_over_commas_and_repeated_flags)
{
    struct settings settings;
    struct invocation invocation;
    struct error err = {0};
    ASSERT_OK_ERR(parse(&settings, &invocation, &err,
                        WORDS("generate", "--token-ids", "1, 2\n3", "--token-ids", "4,5", "--stop",
                              "a", "--stop", "bc", "--logit-bias", "7=-1e1")),
                  err);
    ASSERT_EQ(settings.prompt_ids.n_ids, 5);
    for (uint32_t i = 0; i < 5; i++)
        ASSERT_EQ(settings.prompt_ids.ids[i], i + 1);
    ASSERT_EQ(settings.stopping.n_stop, 2);
    ASSERT_EQ(settings.stopping.stop[1].len, 2);
    ASSERT_EQ(settings.sampling.n_logit_bias, 1);
    ASSERT(settings.sampling.logit_bias[0]->key == 7 &&
           settings.sampling.logit_bias[0]->value == -10);
    settings_finish(&settings);
}

TEST(what_is_no_number_of_the_type_is_refused_with_the_flags_name)
{
    expect_refusal(WORDS("generate", "--seed", "18446744073709551616"), "--seed: \"1844");
    expect_refusal(WORDS("generate", "--seed", "-1"), "--seed: ");
    expect_refusal(WORDS("generate", "--max-tokens", "4294967296"), "from 0 to 4294967295");
    expect_refusal(WORDS("generate", "--max-tokens", " 1"), "--max-tokens: ");
    expect_refusal(WORDS("generate", "--top-k", "2147483648"), "--top-k: ");
    expect_refusal(WORDS("generate", "--temperature", "nan"), "expected a number");
    expect_refusal(WORDS("generate", "--temperature", "0x1"), "expected a number");
    expect_refusal(WORDS("generate", "--temperature", "1e39"), "expected a number");
    expect_refusal(WORDS("generate", "--temperature", ""), "expected a number");
    expect_refusal(WORDS("generate", "--token-ids", "1,,2"), "expected token ids");
    expect_refusal(WORDS("generate", "--token-ids", "1,"), "expected token ids");
    expect_refusal(WORDS("generate", "--token-ids", "4294967296"), "expected token ids");
    expect_refusal(WORDS("generate", "--logit-bias", "7"), "expected ID=V");
    expect_refusal(WORDS("generate", "--logit-bias", "7=x"), "expected ID=V");
    expect_refusal(WORDS("generate", "--stop", "\xff"), "not well-formed UTF-8");
    expect_refusal(WORDS("status", "--timeout", "0"), "above 0");
}

TEST(unknown_words_are_named)
{
    expect_refusal(WORDS("generat"), "unknown command generat");
    expect_refusal(WORDS("generate", "--jsonx"), "unknown flag --jsonx");
    expect_refusal(WORDS("generate", "-x"), "unknown flag -x");
    expect_refusal(WORDS("generate", "-fx"), "unknown flag -fx");
    expect_refusal(WORDS("--json", "generate"), "flags of a command stand behind it");
    expect_refusal(WORDS("drain", "--json"), "unknown flag --json");
}

TEST(help_is_asked_for_without_the_argument_that_a_command_needs)
{
    struct settings settings;
    struct invocation invocation;
    struct error err = {0};
    ASSERT_OK_ERR(parse(&settings, &invocation, &err, WORDS("abort", "-h")), err);
    ASSERT(settings.help && invocation.command == &abort_command);
    settings_finish(&settings);
}

TEST(every_flag_of_every_command_stands_once_in_its_help)
{
    for (size_t c = 0; commands[c]; c++) {
        struct text_buffer help = {0};
        command_describe(commands[c], &help);
        for (const struct option_group *const *group = commands[c]->groups; *group; group++) {
            for (size_t i = 0; i < (*group)->n; i++) {
                char flag[64];
                const char *value;
                snprintf(flag, sizeof flag, "--%s", (*group)->options[i].name);
                ASSERT(option_find(commands[c]->groups, flag, &value) == &(*group)->options[i]);
                ASSERT_CONTAINS(help.data, flag);
            }
        }
        text_buffer_finish(&help);
    }
}
