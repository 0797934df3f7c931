/* tests/base/test_base64.c - RFC 4648's vectors, what is refused, and every byte in every place. */
#include "tests/test.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"

static void expect(const char *text, const char *bytes)
{
    unsigned char out[64];
    size_t n;
    struct error err = {0};
    ASSERT_OK_ERR(base64_decode(text, strlen(text), out, &n, &err), err);
    ASSERT_EQ(n, strlen(bytes));
    ASSERT(n <= base64_max_bytes(strlen(text)));
    ASSERT(memcmp(out, bytes, n) == 0);
}

static void refuse(const char *text, const char *why)
{
    unsigned char out[64];
    size_t n;
    struct error err = {0};
    ASSERT_EQ(base64_decode(text, strlen(text), out, &n, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, why);
}

TEST(the_vectors_of_the_standard_are_read)
{
    expect("", "");
    expect("Zg==", "f");
    expect("Zm8=", "fo");
    expect("Zm9v", "foo");
    expect("Zm9vYg==", "foob");
    expect("Zm9vYmE=", "fooba");
    expect("Zm9vYmFy", "foobar");
    expect("+/+/", "\xFB\xFF\xBF");
}

TEST(what_is_not_exactly_base64_is_refused)
{
    refuse("Zg", "no multiple of 4");
    refuse("Zg=", "no multiple of 4");
    refuse("Zg===", "no multiple of 4");
    refuse("Z===", "byte 1 is none");
    refuse("====", "byte 0 is none");
    refuse("Zg==Zg==", "byte 2 is none");
    refuse("Zm9v\nZm9", "byte 4 is none");
    refuse("Zm 9", "byte 2 is none");
    refuse("-_-_", "byte 0 is none");
    refuse("Zm9vZm9%", "byte 7 is none");
    refuse("Zh==", "bits behind");
    refuse("Zm9=", "bits behind");
    refuse("\xC3\xA4"
           "bc",
           "byte 0 is none");
}

static size_t encode(const unsigned char *bytes, size_t n, char *out)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t at = 0;
    for (size_t i = 0; i < n; i += 3) {
        uint32_t bits = (uint32_t)bytes[i] << 16;
        bits |= i + 1 < n ? (uint32_t)bytes[i + 1] << 8 : 0;
        bits |= i + 2 < n ? bytes[i + 2] : 0;
        for (unsigned k = 0; k < 4; k++)
            out[at++] = i + k <= n ? alphabet[bits >> (18 - 6 * k) & 63] : '=';
    }
    return at;
}

TEST(every_byte_comes_back_at_every_length)
{
    unsigned char bytes[260];
    char text[400];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 151);
    for (size_t n = 0; n <= sizeof bytes; n++) {
        size_t n_text = encode(bytes, n, text);
        // Of exactly its size, for the sanitizers; then in place.
        unsigned char *out = mem_zeroed(base64_max_bytes(n_text), 1);
        size_t n_out;
        ASSERT_OK(base64_decode(text, n_text, out, &n_out, NULL));
        ASSERT_EQ(n_out, n);
        ASSERT(memcmp(out, bytes, n) == 0);
        free(out);
        ASSERT_OK(base64_decode(text, n_text, (unsigned char *)text, &n_out, NULL));
        ASSERT_EQ(n_out, n);
        ASSERT(memcmp(text, bytes, n) == 0);
    }
}
