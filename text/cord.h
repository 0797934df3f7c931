/* text/cord.h - strings that remember who wrote each byte, and are cheap to join.
 *
 * Template output must say which bytes came from the client, also after trim, upper, split, replace
 * and joining. A cord is a leaf (bytes, with one origin or one for each byte) or two cords one
 * behind the other; a join copies nothing, and cord_flatten makes a leaf when somebody must look
 * at the bytes. Text is well-formed UTF-8. Cords live in a budget. Part of the template engine. */
#ifndef GEMMAD_TEXT_CORD_H
#define GEMMAD_TEXT_CORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text/template_budget.h"

struct cord {
    size_t length;
    const char *bytes;   /* leaf; NULL: left and right hold the text */
    const bool *origins; /* leaf: is byte i from the client; NULL: all as from_client */
    bool from_client;    /* leaf without origins */
    uint32_t depth;      /* 0: a leaf */
    struct cord *left, *right;
};

/* A leaf that borrows bytes, which must outlive the budget's use. */
struct cord *cord_of(struct budget *budget, const char *bytes, size_t n, bool from_client);
/* The same with a copy. */
struct cord *cord_copy(struct budget *budget, const char *bytes, size_t n, bool from_client);
struct cord *cord_text(struct budget *budget, const char *literal); /* a server string */

struct cord *cord_join(struct budget *budget, struct cord *left, struct cord *right);
/* Makes the cord itself a leaf (its text does not change) and returns it. */
const struct cord *cord_flatten(struct budget *budget, struct cord *cord);
/* Bytes [start, start + n) of a flat cord, which share its memory. */
struct cord *cord_slice(struct budget *budget, const struct cord *flat, size_t start, size_t n);
bool cord_byte_is_client(const struct cord *flat, size_t at);

/* Calls visit with each leaf in order. */
void cord_walk(struct budget *budget, const struct cord *cord,
               void (*visit)(void *context, const struct cord *leaf), void *context);

/* A leaf under construction, of at most max bytes; for text that changes on the way. */
struct cord_writer {
    char *bytes;
    bool *origins;
    size_t n, max;
};
void cord_writer_init(struct cord_writer *writer, struct budget *budget, size_t max);
void cord_writer_add(struct cord_writer *writer, const char *bytes, size_t n, bool from_client);
struct cord *cord_writer_finish(struct cord_writer *writer, struct budget *budget);

/* By code points, which in UTF-8 is by bytes. */
int cord_compare(struct budget *budget, struct cord *a, struct cord *b);
bool cord_is(struct budget *budget, struct cord *cord, const char *literal);
/* Where needle begins in flat[from..), or SIZE_MAX. */
size_t cord_find(struct budget *budget, const struct cord *flat, size_t from,
                 const struct cord *flat_needle);

#endif
