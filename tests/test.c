/* tests/test.c - runs the registered tests in order. A failing test is left by longjmp; what it
 * allocated is lost, which is fine in a process about to report failure. */
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>

#define MAX_TESTS 512

static struct {
    const char *name;
    void (*run)(void);
} tests[MAX_TESTS];
static int n_tests;
static jmp_buf failed;

void test_register(const char *name, void (*run)(void))
{
    CHECK(n_tests < MAX_TESTS);
    tests[n_tests].name = name;
    tests[n_tests++].run = run;
}

_Noreturn void test_fail(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    longjmp(failed, 1);
}

_Noreturn void test_skip(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("skipped: ");
    vprintf(format, args);
    printf("\n");
    va_end(args);
    fflush(stdout);
    _Exit(77);
}

const char *test_path(const char *path)
{
    static char buffers[8][1024];
    static int next;
    const char *dir = getenv("GEMMAD_TESTS_DIR");
    char *buffer = buffers[next++ % 8];
    snprintf(buffer, sizeof buffers[0], "%s/%s", dir ? dir : "tests", path);
    return buffer;
}

char *test_read_file(const char *path, size_t *out_length)
{
    FILE *file = fopen(test_path(path), "rb");
    if (!file)
        test_fail(__FILE__, __LINE__, "cannot open %s", test_path(path));
    fseek(file, 0, SEEK_END);
    size_t length = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(length + 1);
    CHECK(bytes);
    if (fread(bytes, 1, length, file) != length)
        test_fail(__FILE__, __LINE__, "cannot read %s", test_path(path));
    fclose(file);
    bytes[length] = '\0';
    if (out_length)
        *out_length = length;
    return bytes;
}

uint64_t test_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

uint64_t test_random_in(uint64_t *state, uint64_t low, uint64_t high)
{
    return low + test_random(state) % (high - low + 1);
}

int main(int argc, char **argv)
{
    volatile int n_passed = 0;
    volatile int n_failed = 0;
    for (volatile int i = 0; i < n_tests; i++) {
        bool wanted = argc < 2;
        for (int a = 1; a < argc; a++)
            wanted |= strstr(tests[i].name, argv[a]) != NULL;
        if (!wanted)
            continue;
        if (setjmp(failed) == 0) {
            tests[i].run();
            n_passed++;
        } else {
            fprintf(stderr, "FAILED %s\n", tests[i].name);
            n_failed++;
        }
    }
    printf("%d passed, %d failed\n", n_passed, n_failed);
    return n_failed ? 1 : 0;
}
