/* text/grammar/regex_category.c - Unicode's general categories, which \p asks for by short name. */
#include "text/grammar/regex_class.h"

#include <string.h>

#include "text/grammar/unicode_categories.h"

#define N_NAMES (sizeof category_names / sizeof *category_names)
#define N_RUNS (sizeof category_runs / sizeof *category_runs)
#define LAST_CODE_POINT 0x10FFFFU

// "Lu", "L" for all that begin so, "LC" for letters with case.
static bool belongs(const char *category, const char *name, size_t n)
{
    if (n == 2 && memcmp(name, "LC", 2) == 0)
        return category[0] == 'L' && strchr("ult", category[1]);
    return (n == 1 || n == 2) && memcmp(category, name, n) == 0;
}

bool code_point_set_add_category(struct code_point_set *set, const char *name, size_t n)
{
    bool wanted[N_NAMES], any = false;
    for (size_t i = 0; i < N_NAMES; i++) {
        wanted[i] = belongs(category_names[i], name, n);
        any = any || wanted[i];
    }
    for (size_t i = 0; i < N_RUNS && any; i++) {
        uint32_t first = category_runs[i] / 32;
        uint32_t last = i + 1 < N_RUNS ? category_runs[i + 1] / 32 - 1 : LAST_CODE_POINT;
        if (wanted[category_runs[i] % 32])
            code_point_set_add(set, first, last);
    }
    return any;
}
