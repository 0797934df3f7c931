/* kernels/spread.h - how the vector forms of the small ops spread over the stream's threads. */
#ifndef GEMMAD_KERNELS_SPREAD_H
#define GEMMAD_KERNELS_SPREAD_H

#include "device/stream.h"

/* Values below which the caller alone is done before the others have begun. */
#define SPREAD_MIN_VALUES 16384

/* Runs the task, whose threads share n_units of unit_values values, on all threads or the caller.
 */
static inline void spread(struct device_stream *stream, device_task_fn *task, void *context,
                          size_t n_units, size_t unit_values)
{
    if (n_units < 2 || n_units * unit_values < SPREAD_MIN_VALUES)
        task(context, 0, 1);
    else
        device_stream_run(stream, task, context);
}

#endif
