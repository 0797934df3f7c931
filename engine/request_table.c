/* engine/request_table.c - chains by FNV-1a; the number of chains doubles with the requests. */
#include "engine/request_table.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/live_request.h"

#define FIRST_CHAINS 256

void request_table_init(struct request_table *table)
{
    table->n_chains = FIRST_CHAINS;
    table->n = 0;
    table->chains = mem_zeroed(table->n_chains, sizeof(struct live_request *));
}

void request_table_finish(struct request_table *table)
{
    free(table->chains);
    *table = (struct request_table){0};
}

static struct live_request **chain_of(const struct request_table *table, const char *id)
{
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    for (const char *c = id; *c; c++)
        hash = (hash ^ (unsigned char)*c) * UINT64_C(0x100000001B3);
    return &table->chains[hash & (table->n_chains - 1)];
}

struct live_request *request_table_find(const struct request_table *table, const char *id)
{
    struct live_request *request = *chain_of(table, id);
    while (request && strcmp(request->id, id) != 0)
        request = request->table_next;
    return request;
}

static void link_request(struct request_table *table, struct live_request *request)
{
    struct live_request **chain = chain_of(table, request->id);
    request->table_next = *chain;
    *chain = request;
}

static void grow(struct request_table *table)
{
    struct request_table bigger = {.n_chains = table->n_chains * 2, .n = table->n};
    bigger.chains = mem_zeroed(bigger.n_chains, sizeof(struct live_request *));
    for (size_t i = 0; i < table->n_chains; i++) {
        while (table->chains[i]) {
            struct live_request *request = table->chains[i];
            table->chains[i] = request->table_next;
            link_request(&bigger, request);
        }
    }
    free(table->chains);
    *table = bigger;
}

void request_table_add(struct request_table *table, struct live_request *request)
{
    if (table->n == table->n_chains)
        grow(table);
    link_request(table, request);
    table->n++;
}

void request_table_remove(struct request_table *table, struct live_request *request)
{
    struct live_request **at = chain_of(table, request->id);
    while (*at != request)
        at = &(*at)->table_next;
    *at = request->table_next;
    table->n--;
}
