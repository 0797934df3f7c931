/* text/template_budget.c - an arena of doubling chunks; large pieces get a chunk of their own. */
#include "text/template_budget.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

#define FIRST_CHUNK_BYTES 4096
#define MAX_CHUNK_BYTES (256 * 1024)

struct budget_chunk {
    struct budget_chunk *next;
    size_t used, size;
    _Alignas(16) char bytes[];
};

_Noreturn void budget_fail(struct budget *budget, enum status status, const char *format, ...)
{
    char cause[sizeof budget->err->message];
    va_list args;
    va_start(args, format);
    vsnprintf(cause, sizeof cause, format, args);
    va_end(args);
    budget->status = error_set(budget->err, status, "%s:%u: %s", budget->name, budget->line, cause);
    longjmp(budget->failed, 1);
}

static struct budget_chunk *new_chunk(size_t size)
{
    struct budget_chunk *chunk = mem_zeroed(1, sizeof *chunk + size);
    chunk->size = size;
    return chunk;
}

void *budget_take(struct budget *budget, size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes) || bytes > budget->bytes_left)
        budget_fail(budget, STATUS_RESOURCE_EXHAUSTED, "the template needs too much memory");
    bytes = (bytes + 15) & ~(size_t)15;
    budget->bytes_left -= bytes < budget->bytes_left ? bytes : budget->bytes_left;
    struct budget_chunk *chunk = budget->chunks;
    if (!chunk || chunk->size - chunk->used < bytes) {
        size_t usual = chunk ? chunk->size * 2 : FIRST_CHUNK_BYTES;
        if (usual > MAX_CHUNK_BYTES)
            usual = MAX_CHUNK_BYTES;
        chunk = new_chunk(bytes > usual / 4 ? bytes : usual);
        if (budget->chunks && chunk->size == bytes) { // full: keep filling the newest one
            chunk->next = budget->chunks->next;
            budget->chunks->next = chunk;
        } else {
            chunk->next = budget->chunks;
            budget->chunks = chunk;
        }
    }
    void *taken = chunk->bytes + chunk->used;
    chunk->used += bytes;
    return taken;
}

void budget_charge(struct budget *budget, size_t steps)
{
    if (steps > budget->steps_left)
        budget_fail(budget, STATUS_RESOURCE_EXHAUSTED, "the template runs too long");
    budget->steps_left -= steps;
}

void budget_enter(struct budget *budget)
{
    if (++budget->nesting > BUDGET_MAX_NESTING)
        budget_fail(budget, STATUS_RESOURCE_EXHAUSTED, "the template is nested too deeply");
}

void budget_leave(struct budget *budget)
{
    budget->nesting--;
}

void budget_finish(struct budget *budget)
{
    while (budget->chunks) {
        struct budget_chunk *next = budget->chunks->next;
        free(budget->chunks);
        budget->chunks = next;
    }
}
