/* text/cord.c - joins are nodes in a tree, made flat when read. Short texts are copied together
 * at once, so that a tree's nodes are worth their memory. A text is at most 1 GiB. */
#include "text/cord.h"

#include <stdlib.h>
#include <string.h>

#define COPIED_JOIN_BYTES 48
#define MAX_CORD_BYTES ((size_t)1 << 30)
#define BYTES_PER_STEP 64

struct cord *cord_of(struct budget *budget, const char *bytes, size_t n, bool from_client)
{
    struct cord *cord = budget_take(budget, 1, sizeof *cord);
    *cord = (struct cord){.length = n, .bytes = bytes, .from_client = from_client};
    return cord;
}

struct cord *cord_copy(struct budget *budget, const char *bytes, size_t n, bool from_client)
{
    char *copy = budget_take(budget, n + 1, 1);
    if (n)
        memcpy(copy, bytes, n);
    return cord_of(budget, copy, n, from_client);
}

struct cord *cord_text(struct budget *budget, const char *literal)
{
    return cord_of(budget, literal, strlen(literal), false);
}

struct cord *cord_join(struct budget *budget, struct cord *left, struct cord *right)
{
    if (left->length == 0)
        return right;
    if (right->length == 0)
        return left;
    if (left->length + right->length > MAX_CORD_BYTES)
        budget_fail(budget, STATUS_RESOURCE_EXHAUSTED, "a text gets too long");
    struct cord *cord = budget_take(budget, 1, sizeof *cord);
    *cord = (struct cord){.length = left->length + right->length,
                          .left = left,
                          .right = right,
                          .depth = 1 + (left->depth > right->depth ? left->depth : right->depth)};
    if (cord->length <= COPIED_JOIN_BYTES)
        cord_flatten(budget, cord);
    return cord;
}

// Left arms are walked in a loop and right arms wait on a stack, so depth costs no C stack.
void cord_walk(struct budget *budget, const struct cord *cord,
               void (*visit)(void *context, const struct cord *leaf), void *context)
{
    const struct cord *few[16];
    const struct cord **waiting =
        cord->depth <= 16 ? few : budget_take(budget, cord->depth, sizeof(const struct cord *));
    size_t n_waiting = 0;
    for (;;) {
        while (!cord->bytes) {
            waiting[n_waiting++] = cord->right;
            cord = cord->left;
        }
        budget_charge(budget, 1);
        visit(context, cord);
        if (n_waiting == 0)
            return;
        cord = waiting[--n_waiting];
    }
}

void cord_writer_init(struct cord_writer *writer, struct budget *budget, size_t max)
{
    if (max > MAX_CORD_BYTES)
        budget_fail(budget, STATUS_RESOURCE_EXHAUSTED, "a text gets too long");
    *writer = (struct cord_writer){.max = max};
    writer->bytes = budget_take(budget, max + 1, 1);
    writer->origins = budget_take(budget, max + 1, sizeof *writer->origins);
    budget_charge(budget, max / BYTES_PER_STEP);
}

void cord_writer_add(struct cord_writer *writer, const char *bytes, size_t n, bool from_client)
{
    CHECK(n <= writer->max - writer->n);
    if (n == 0)
        return;
    memcpy(writer->bytes + writer->n, bytes, n);
    memset(writer->origins + writer->n, from_client, n);
    writer->n += n;
}

struct cord *cord_writer_finish(struct cord_writer *writer, struct budget *budget)
{
    struct cord *cord = cord_of(budget, writer->bytes, writer->n, false);
    cord->origins = writer->origins;
    return cord;
}

static void write_leaf(void *context, const struct cord *leaf)
{
    struct cord_writer *writer = context;
    size_t at = writer->n;
    cord_writer_add(writer, leaf->bytes, leaf->length, leaf->from_client);
    if (leaf->origins && leaf->length)
        memcpy(writer->origins + at, leaf->origins, leaf->length * sizeof *leaf->origins);
}

const struct cord *cord_flatten(struct budget *budget, struct cord *cord)
{
    if (cord->bytes)
        return cord;
    struct cord_writer writer;
    cord_writer_init(&writer, budget, cord->length);
    cord_walk(budget, cord, write_leaf, &writer);
    *cord = (struct cord){.length = cord->length, .bytes = writer.bytes, .origins = writer.origins};
    return cord;
}

struct cord *cord_slice(struct budget *budget, const struct cord *flat, size_t start, size_t n)
{
    CHECK(start <= flat->length && n <= flat->length - start);
    struct cord *cord = cord_of(budget, flat->bytes + start, n, flat->from_client);
    cord->origins = flat->origins ? flat->origins + start : NULL;
    return cord;
}

bool cord_byte_is_client(const struct cord *flat, size_t at)
{
    return flat->origins ? flat->origins[at] : flat->from_client;
}

int cord_compare(struct budget *budget, struct cord *a, struct cord *b)
{
    if (a == b)
        return 0;
    cord_flatten(budget, a);
    cord_flatten(budget, b);
    size_t n = a->length < b->length ? a->length : b->length;
    budget_charge(budget, n / BYTES_PER_STEP);
    int order = n ? memcmp(a->bytes, b->bytes, n) : 0;
    return order ? order : (a->length > b->length) - (a->length < b->length);
}

bool cord_is(struct budget *budget, struct cord *cord, const char *literal)
{
    size_t n = strlen(literal);
    return cord->length == n && memcmp(cord_flatten(budget, cord)->bytes, literal, n) == 0;
}

size_t cord_find(struct budget *budget, const struct cord *flat, size_t from,
                 const struct cord *flat_needle)
{
    if (flat_needle->length > flat->length - from)
        return SIZE_MAX;
    const char *found = memmem(flat->bytes + from, flat->length - from, flat_needle->bytes,
                               flat_needle->length);
    size_t at = found ? (size_t)(found - flat->bytes) : SIZE_MAX;
    budget_charge(budget, ((found ? at : flat->length) - from) / BYTES_PER_STEP);
    return at;
}
