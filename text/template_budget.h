/* text/template_budget.h - what one compile or one render may use, and where it ends.
 *
 * Owns the memory of everything made on the way (given back all at once) and counts steps, bytes
 * and nesting. Code that finds a fault calls budget_fail, which jumps back to whoever began: an
 * interpreter has a fault in reach of every line, and what it had made is in the budget anyway.
 * Part of the template engine. Thread: one. */
#ifndef GEMMAD_TEXT_TEMPLATE_BUDGET_H
#define GEMMAD_TEXT_TEMPLATE_BUDGET_H

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Nodes being evaluated inside each other. Programs that go as deep as they can, in the source or
 * while running, have passed with 1 MiB of stack. */
#define BUDGET_MAX_NESTING 3000

struct budget_chunk;

struct budget {
    jmp_buf failed; /* set by the owner before the first use */
    struct error *err;
    enum status status;
    const char *name; /* of the template, for messages */
    uint32_t line;    /* being read or run, for messages */
    size_t steps_left;
    size_t bytes_left;
    unsigned nesting;
    struct budget_chunk *chunks; /* newest first */
};

/* Words "name:line: ..." and jumps to failed. */
_Noreturn void budget_fail(struct budget *budget, enum status status, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* Memory for as long as the budget lives, zeroed, aligned to 16. RESOURCE_EXHAUSTED if too much. */
void *budget_take(struct budget *budget, size_t n, size_t size) __attribute__((returns_nonnull));
/* Steps: one for a node, more for work in proportion to a length. */
void budget_charge(struct budget *budget, size_t steps);
/* One level of recursion in, and out again. */
void budget_enter(struct budget *budget);
void budget_leave(struct budget *budget);
/* Frees the memory. */
void budget_finish(struct budget *budget);

#endif
