/* tests/base/test_status.c - names, and messages that are cut at whole characters. */
#include "base/status.h"

#include "base/utf8.h"
#include "tests/test.h"

TEST(every_status_has_its_grpc_name)
{
    ASSERT_STR_EQ(status_name(STATUS_OK), "OK");
    ASSERT_STR_EQ(status_name(STATUS_INVALID_ARGUMENT), "INVALID_ARGUMENT");
    ASSERT_STR_EQ(status_name(STATUS_UNIMPLEMENTED), "UNIMPLEMENTED");
    ASSERT_STR_EQ(status_name(STATUS_UNAUTHENTICATED), "UNAUTHENTICATED");
    ASSERT_STR_EQ(status_name((enum status)17), "UNKNOWN");
    ASSERT_STR_EQ(status_name((enum status) - 1), "UNKNOWN");
}

TEST(an_error_says_what_and_a_prefix_says_where)
{
    struct error err = {0};
    ASSERT_EQ(error_set(&err, STATUS_NOT_FOUND, "tensor %d", 7), STATUS_NOT_FOUND);
    ASSERT_EQ(err.status, STATUS_NOT_FOUND);
    ASSERT_EQ(error_prefix(&err, "file %s", "a"), STATUS_NOT_FOUND);
    ASSERT_STR_EQ(err.message, "file a: tensor 7");
}

TEST(nobody_has_to_ask_for_the_cause)
{
    ASSERT_EQ(error_set(NULL, STATUS_INTERNAL, "x"), STATUS_INTERNAL);
}

TEST(a_long_message_ends_in_dots_and_stays_well_formed)
{
    for (int blanks = 0; blanks < 4; blanks++) {
        char text[900];
        memset(text, ' ', sizeof text);
        for (size_t i = (size_t)blanks; i + 4 < sizeof text; i += 4)
            memcpy(text + i, "\xF0\x9F\x98\x80", 4);
        text[sizeof text - 1] = '\0';
        struct error err = {0};
        (void)error_set(&err, STATUS_INTERNAL, "%s", text);
        size_t n = strlen(err.message);
        ASSERT(n < sizeof err.message && n > sizeof err.message - 8);
        ASSERT_STR_EQ(err.message + n - 3, "...");
        ASSERT(utf8_valid(err.message, n, NULL));
        (void)error_prefix(&err, "a place");
        ASSERT_EQ(strncmp(err.message, "a place:  ", 9), 0);
        ASSERT(utf8_valid(err.message, strlen(err.message), NULL));
    }
}
