/* engine/pace.h - how much prefill and encoding a step may have beside decode rows, so that streams
 * keep their pace: learnt from the times of the steps that have come back.
 *
 * A step is taken to last as long as one of decode rows alone, plus a cost for every prefill row
 * and every unit of encoding. The estimates are running averages; until a step of decode rows
 * was seen, nothing is limited. They decide which rows share a step, never what comes out of them.
 * Thread: plain values. */
#ifndef GEMMAD_ENGINE_PACE_H
#define GEMMAD_ENGINE_PACE_H

#include "engine/scheduler.h"

struct pace {
    float max_stretch; /* a step with decode rows lasts at most this many steps of decode rows
                          alone; 0: no limit */
    uint64_t decode_ns, row_ns, unit_ns[2]; /* 0: not known yet */
    uint32_t n_decode_rows;                 /* of the steps that decode_ns is of */
    uint32_t n_recent_rows;                 /* decode rows of the last step that had more beside */
    uint32_t n_shared_steps;                /* such steps since then */
};

/* What a step consisted of, and its figures. */
void pace_learn(struct pace *pace, const struct scheduler_work *work,
                const struct step_result_header *result);
struct scheduler_budget pace_budget(const struct pace *pace);

#endif
