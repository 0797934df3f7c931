/* engine/request_table.h - live requests by their id. Owns none of them. Thread: whoever holds the
 * engine's lock. */
#ifndef GEMMAD_ENGINE_REQUEST_TABLE_H
#define GEMMAD_ENGINE_REQUEST_TABLE_H

#include <stddef.h>

struct live_request;

struct request_table {
    struct live_request **chains; /* [n_chains], a power of two */
    size_t n_chains;
    size_t n;
};

void request_table_init(struct request_table *table);
void request_table_finish(struct request_table *table);
struct live_request *request_table_find(const struct request_table *table, const char *id);
void request_table_add(struct request_table *table, struct live_request *request);
void request_table_remove(struct request_table *table, struct live_request *request);

#endif
