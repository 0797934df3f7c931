/* daemon/serving_plan.h - everything that is decided before a process is started: which folder,
 * which compute type, whose cores, how many pages, and the Load of every rank.
 *
 * `gemmad --check` prints it and stops; starting follows it. Thread: a plain value. */
#ifndef GEMMAD_DAEMON_SERVING_PLAN_H
#define GEMMAD_DAEMON_SERVING_PLAN_H

#include "daemon/config.h"
#include "daemon/control.h"
#include "model/plan.h"
#include "tp/topology.h"

struct serving_plan {
    char *model_dir;
    char *model_name; /* that clients see */
    struct checkpoint *checkpoint;
    enum compute compute;
    enum weights_format weights;
    struct model_plan memory;
    struct topology_placement *placements; /* [world_size] */
    struct worker_load *loads;             /* [world_size] */
    uint32_t world_size;
    size_t file_bytes[CONTROL_N_FILES];
};

/* Opens the checkpoint (headers only), looks at the machine, plans the memory. The error says which
 * file, key or option is wrong, or that it does not fit, with the numbers. */
NODISCARD enum status serving_plan_create(const struct daemon_config *config,
                                          struct serving_plan **out, struct error *err);
void serving_plan_destroy(struct serving_plan *plan); /* NULL is fine */

/* For people: the model, the placement, the memory line by line. */
void serving_plan_write(const struct serving_plan *plan, struct text_buffer *out);
/* The same as log lines. */
void serving_plan_log(const struct serving_plan *plan);

#endif
