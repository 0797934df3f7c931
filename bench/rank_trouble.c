/* bench/rank_trouble.c - benchmarks run real ranks through tests/model/rank_group.h, which reports
 * trouble as a failing test; here that ends the benchmark. Linked in place of tests/test.c. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/test.h"

_Noreturn void test_fail(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    exit(1);
}
