/* model/weights_fill.h - puts a plan's weights in memory: maps what was packed before, or
 * allocates, packs and has it saved. Part of model/weights.c and model/encoder_weights.c. */
#ifndef GEMMAD_MODEL_WEIGHTS_FILL_H
#define GEMMAD_MODEL_WEIGHTS_FILL_H

#include "model/weights_plan.h"

/* The caller owns *out_memory and *out_saving (NULL: nobody saves); the latter is destroyed first.
 * weights_plan_finish comes next. RESOURCE_EXHAUSTED: no memory. */
NODISCARD enum status weights_fill(struct weights_plan *plan, const struct checkpoint *checkpoint,
                                   const struct model_load_options *options,
                                   struct device_stream *stream, struct device_buffer *out_memory,
                                   struct weights_saving **out_saving, struct error *err);

#endif
