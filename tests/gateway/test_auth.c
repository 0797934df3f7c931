/* tests/gateway/test_auth.c - the file of keys, and who may call with it. What stands in front of
 * the methods is tested with real clients (test_auth.py). */
#include "tests/test.h"

#include "base/mem.h"
#include "base/text_buffer.h"
#include "gateway/auth.h"

/* SHA-256 of "alpha", "beta" and of nothing. */
#define ALPHA "8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8"
#define BETA "F44E64E75F3948E9F73F8DFA94721C4CE8CBB4F265C4790C702B2D41CFBF2753"
#define NOTHING "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static struct auth *parse(const char *text)
{
    struct auth *auth = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(auth_parse(text, strlen(text), "keys", &auth, &err), err);
    return auth;
}

static enum status check(const struct auth *auth, const char *authorization, const char *api_key)
{
    const struct auth_headers headers = {
        .authorization = authorization,
        .n_authorization = authorization ? strlen(authorization) : 0,
        .api_key = api_key,
        .n_api_key = api_key ? strlen(api_key) : 0,
    };
    struct error err = {0};
    return auth_check(auth, &headers, &err);
}

TEST(who_has_a_key_of_the_file_may_call)
{
    struct auth *auth = parse("# who may call\n\n first:sha256:" ALPHA "\r\nsecond:sha256:" BETA);
    ASSERT_OK(check(auth, "Bearer alpha", NULL));
    ASSERT_OK(check(auth, "bearer   beta", NULL));
    ASSERT_OK(check(auth, NULL, "alpha"));
    ASSERT_OK(check(auth, "Basic YTpi", "beta"));
    auth_destroy(auth);
}

TEST(nothing_else_is_a_key)
{
    struct auth *auth = parse("first:sha256:" ALPHA "\n");
    static const char *const values[] = {
        "",
        "alpha",
        "Bearer",
        "Bearer ",
        "Bearer alph",
        "Bearer alphaa",
        "Bearer alpha ",
        "Bearer ALPHA",
        "Beareralpha",
        "Basic alpha",
        "Bearer " ALPHA,
        "first:sha256:" ALPHA,
    };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        ASSERT_EQ(check(auth, values[i], NULL), STATUS_UNAUTHENTICATED);
    ASSERT_EQ(check(auth, NULL, "Bearer alpha"), STATUS_UNAUTHENTICATED);
    ASSERT_EQ(check(auth, NULL, ""), STATUS_UNAUTHENTICATED);
    ASSERT_EQ(check(auth, NULL, NULL), STATUS_UNAUTHENTICATED);
    auth_destroy(auth);
}

TEST(a_key_with_zero_bytes_is_compared_whole)
{
    struct auth *auth = parse("first:sha256:" ALPHA "\n");
    struct auth_headers headers = {.api_key = "alpha\0beta", .n_api_key = 10};
    struct error err = {0};
    ASSERT_EQ(auth_check(auth, &headers, &err), STATUS_UNAUTHENTICATED);
    headers.n_api_key = 5;
    ASSERT_OK_ERR(auth_check(auth, &headers, &err), err);
    auth_destroy(auth);
}

TEST(messages_say_nothing_of_what_was_sent)
{
    struct auth *auth = parse("first:sha256:" ALPHA "\n");
    const struct auth_headers headers = {.api_key = "hunter2", .n_api_key = 7};
    struct error err = {0};
    ASSERT_EQ(auth_check(auth, &headers, &err), STATUS_UNAUTHENTICATED);
    ASSERT(!strstr(err.message, "hunter2") && !strstr(err.message, "first"));
    auth_destroy(auth);
}

TEST(a_huge_key_is_refused_unread)
{
    struct auth *auth = parse("first:sha256:" ALPHA "\n");
    char *huge = mem_zeroed(1 << 20, 1);
    memset(huge, 'a', 1 << 20);
    const struct auth_headers headers = {.api_key = huge, .n_api_key = 1 << 20};
    struct error err = {0};
    ASSERT_EQ(auth_check(auth, &headers, &err), STATUS_UNAUTHENTICATED);
    free(huge);
    auth_destroy(auth);
}

TEST(without_keys_everybody_may_call)
{
    ASSERT_OK(check(NULL, NULL, NULL));
    ASSERT_OK(check(NULL, "Bearer anything", NULL));
}

TEST(a_file_with_a_mistake_says_where)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "keys: there is no key"},
        {"# nothing\n", "keys: there is no key"},
        {"word\n", "keys:1: want NAME:sha256:HEX"},
        {"\n\na:" ALPHA "\n", "keys:3: want sha256:"},
        {"a:sha256:12\n", "keys:1: want 64 hex digits"},
        {"a:sha256:" ALPHA "0\n", "keys:1: want 64 hex digits"},
        {"a:sha256:x" NOTHING, "keys:1: want 64 hex digits"},
        {"a:md5:" ALPHA "\n", "keys:1: want sha256:"},
        {":sha256:" ALPHA "\n", "keys:1: the name"},
        {"a b:sha256:" ALPHA "\n", "keys:1: the name"},
        {"a:sha256:" ALPHA "\na:sha256:" BETA "\n", "keys:2: this name"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct auth *auth = NULL;
        struct error err = {0};
        ASSERT_EQ(auth_parse(cases[i].text, strlen(cases[i].text), "keys", &auth, &err),
                  STATUS_INVALID_ARGUMENT);
        ASSERT_CONTAINS(err.message, cases[i].message);
        ASSERT(!auth);
    }
}

TEST(the_number_of_keys_is_bounded)
{
    struct text_buffer text = {0};
    for (int i = 0; i <= AUTH_MAX_KEYS; i++)
        text_buffer_append_format(&text, "k%d:sha256:" ALPHA "\n", i);
    struct auth *auth = NULL;
    struct error err = {0};
    ASSERT_EQ(auth_parse(text.data, text.length, "keys", &auth, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, "keys:1025: too many");
    text_buffer_finish(&text);
}
