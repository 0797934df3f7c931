/* engine/pace.c - a step of decode rows alone is seen whenever no prefill is under way. While one
 * is, such a step is asked for now and then, and soon when streams have come or gone, so that the
 * estimate is of those that are there. A prefill row's cost beside decode rows is what the step
 * took more; alone, it is its share, which for the few rows of a short prompt would be mostly the
 * reading of the weights: those teach nothing. */
#include "engine/pace.h"

#define ALONE_NS UINT64_C(150000000) /* of units in a step that nobody decodes in */
#define MIN_ALONE_ROWS 64
#define AVERAGE_OVER 8 /* samples, about */
/* A cost that rises is believed soon: units of one phase take longer than those of another, and a
 * step that is too long cannot be taken back. */
#define COST_RISES_OVER 2
/* Steps with more than decode rows before one without is due: when the decode rows are the same by
 * a quarter, and when not. */
#define MAX_SHARED_STEPS 64
#define MAX_CHANGED_STEPS 4
/* Of the time beside decode rows: what estimates are off by must not reach the streams. */
#define USED_PERCENT 85

static void learn(uint64_t *average, uint64_t sample, int64_t rises_over)
{
    if (sample == 0)
        sample = 1; // known, and next to nothing
    if (*average == 0)
        *average = sample;
    int64_t more = (int64_t)sample - (int64_t)*average;
    *average += more / (more > 0 ? rises_over : AVERAGE_OVER);
}

static bool differ(uint32_t a, uint32_t b)
{
    uint32_t more = a > b ? a - b : b - a;
    return more > b / 4;
}

void pace_learn(struct pace *pace, const struct scheduler_work *work,
                const struct step_result_header *result)
{
    uint64_t rows_ns = result->forward_ns;
    if (result->sample_ns > result->mask_wait_ns)
        rows_ns += result->sample_ns - result->mask_wait_ns;
    if (work->n_units > 0)
        learn(&pace->unit_ns[work->kind], result->encode_ns / work->n_units, COST_RISES_OVER);
    if (work->n_decode_rows > 0 && work->n_prefill_rows > 0) {
        pace->n_shared_steps++;
        pace->n_recent_rows = work->n_decode_rows;
    }
    if (work->n_decode_rows > 0 && work->n_prefill_rows == 0) {
        if (differ(work->n_decode_rows, pace->n_decode_rows))
            pace->decode_ns = 0;
        learn(&pace->decode_ns, rows_ns, AVERAGE_OVER);
        pace->n_decode_rows = work->n_decode_rows;
        pace->n_shared_steps = 0;
    } else if (work->n_decode_rows > 0 && pace->decode_ns > 0) {
        uint64_t more = rows_ns > pace->decode_ns ? rows_ns - pace->decode_ns : 0;
        learn(&pace->row_ns, more / work->n_prefill_rows, COST_RISES_OVER);
    } else if (work->n_decode_rows == 0 && work->n_prefill_rows >= MIN_ALONE_ROWS) {
        learn(&pace->row_ns, rows_ns / work->n_prefill_rows, COST_RISES_OVER);
    }
}

struct scheduler_budget pace_budget(const struct pace *pace)
{
    struct scheduler_budget budget = {
        .shared_ns = UINT64_MAX,
        .alone_ns = ALONE_NS,
        .row_ns = pace->row_ns,
        .unit_ns = {pace->unit_ns[0], pace->unit_ns[1]},
    };
    if (pace->max_stretch <= 1 || pace->decode_ns == 0)
        return budget;
    bool changed = differ(pace->n_recent_rows, pace->n_decode_rows);
    if (pace->n_shared_steps >= (changed ? MAX_CHANGED_STEPS : MAX_SHARED_STEPS))
        budget.shared_ns = 0;
    else
        budget.shared_ns =
            (uint64_t)((pace->max_stretch - 1) * (float)pace->decode_ns * USED_PERCENT / 100);
    return budget;
}
