/* tests/tp/traffic.h - what ranks of the tests send: contents that every rank can make for every
 * other, and the sums and copies that must come out, to the bit. */
#ifndef GEMMAD_TESTS_TP_TRAFFIC_H
#define GEMMAD_TESTS_TP_TRAFFIC_H

#include "tests/tp/world.h"

/* context of the world: */
struct traffic {
    uint64_t seed;
    uint32_t n_calls;
    size_t max_floats; /* of one call */
};

/* n_calls collectives of random kinds, sizes and roots, back to back, each checked. */
bool traffic_mixed(struct tp_comm *comm, const struct world *world);
/* All-reduces of every awkward size by both algorithms, each checked. */
bool traffic_all_reduce(struct tp_comm *comm, const struct world *world);

#endif
