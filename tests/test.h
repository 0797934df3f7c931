/* tests/test.h - the harness: a test's name is a true sentence, asserts print both values.
 *
 *     TEST(a_pool_lends_each_page_once) { ASSERT_EQ(kv_pool_take(...), STATUS_OK); }
 *
 * Each file is one executable and ends with no main of its own: the harness has it. Arguments
 * select tests by substring. Ends with "N passed, N failed"; exit 77 means skipped, with why. */
#ifndef GEMMAD_TESTS_TEST_H
#define GEMMAD_TESTS_TEST_H

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

void test_register(const char *name, void (*run)(void));
/* Marks the running test as failed, says why and leaves it. */
_Noreturn void test_fail(const char *file, int line, const char *format, ...) PRINTF_LIKE(3, 4);
/* Leaves the whole executable as skipped (exit 77). */
_Noreturn void test_skip(const char *format, ...) PRINTF_LIKE(1, 2);
/* The folder of the project's tests (from the environment variable GEMMAD_TESTS_DIR, set by
 * meson) with path behind it; one of 8 rotating static buffers. */
const char *test_path(const char *path);
/* Reads a whole file of the tests folder; the caller frees. Fails the test if it cannot. */
char *test_read_file(const char *path, size_t *out_length);
/* Seeded randomness: the same series for the same seed on every machine (splitmix64). */
uint64_t test_random(uint64_t *state);
/* Uniform in [low, high]. */
uint64_t test_random_in(uint64_t *state, uint64_t low, uint64_t high);

#define TEST(name)                                                 \
    static void name(void);                                        \
    __attribute__((constructor)) static void register_##name(void) \
    {                                                              \
        test_register(#name, name);                                \
    }                                                              \
    static void name(void)

#define ASSERT(condition) \
    ((condition) ? (void)0 : test_fail(__FILE__, __LINE__, "not true: %s", #condition))
#define ASSERT_EQ(got, want)                                                                      \
    do {                                                                                          \
        int64_t got_ = (int64_t)(got), want_ = (int64_t)(want);                                   \
        if (got_ != want_)                                                                        \
            test_fail(__FILE__, __LINE__, "%s is %" PRId64 ", want %" PRId64 " (%s)", #got, got_, \
                      want_, #want);                                                              \
    } while (0)
#define ASSERT_OK(expression)                                                             \
    do {                                                                                  \
        enum status status_ = (expression);                                               \
        if (status_ != STATUS_OK)                                                         \
            test_fail(__FILE__, __LINE__, "%s is %s", #expression, status_name(status_)); \
    } while (0)
/* The same with the cause: err is a struct error. */
#define ASSERT_OK_ERR(expression, error)                                                     \
    do {                                                                                     \
        enum status status_ = (expression);                                                  \
        if (status_ != STATUS_OK)                                                            \
            test_fail(__FILE__, __LINE__, "%s is %s: %s", #expression, status_name(status_), \
                      (error).message);                                                      \
    } while (0)
#define ASSERT_STR_EQ(got, want)                                                                 \
    do {                                                                                         \
        const char *got_ = (got), *want_ = (want);                                               \
        if (strcmp(got_, want_) != 0)                                                            \
            test_fail(__FILE__, __LINE__, "%s is\n  \"%s\"\nwant\n  \"%s\"", #got, got_, want_); \
    } while (0)
#define ASSERT_NEAR(got, want, tolerance)                                                       \
    do {                                                                                        \
        double got_ = (got), want_ = (want), tol_ = (tolerance);                                \
        if (!(fabs(got_ - want_) <= tol_))                                                      \
            test_fail(__FILE__, __LINE__, "%s is %.9g, want %.9g within %g", #got, got_, want_, \
                      tol_);                                                                    \
    } while (0)
#define ASSERT_CONTAINS(text, part)                                                        \
    do {                                                                                   \
        const char *text_ = (text), *part_ = (part);                                       \
        if (!strstr(text_, part_))                                                         \
            test_fail(__FILE__, __LINE__, "\"%s\" does not contain \"%s\"", text_, part_); \
    } while (0)

#endif
