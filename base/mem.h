/* base/mem.h - host memory for small structures. No host memory is a bug of the machine, not of a
 * request: these abort. Sizes that a client controls are checked against a limit before they come
 * here; counts and sizes are multiplied with an overflow check. */
#ifndef GEMMAD_BASE_MEM_H
#define GEMMAD_BASE_MEM_H

#include <stddef.h>

#include "base/status.h"

/* n elements of size bytes each, zeroed. Never NULL, also for n = 0. Release with free(). */
void *mem_zeroed(size_t n, size_t size) __attribute__((returns_nonnull, malloc));

/* Grows (or makes, from NULL) an array to n elements of size bytes; new ones are not cleared. */
void *mem_resized(void *array, size_t n, size_t size) __attribute__((returns_nonnull));

/* A copy of n bytes with a NUL behind them; of a C string. */
char *mem_copy(const void *bytes, size_t n) __attribute__((returns_nonnull, malloc));
char *mem_strdup(const char *text) __attribute__((returns_nonnull, malloc));

/* Makes room for at least needed elements in *array (capacity doubles), whose element is size
 * bytes: mem_reserve(&list, &capacity, n + 1, sizeof *list). */
void mem_reserve(void *array_pointer, size_t *capacity, size_t needed, size_t size);

#endif
