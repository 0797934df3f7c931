/* model/weights_pack.h - from the mapped checkpoint to packed weights, on the stream's threads.
 * Part of model/weights_fill.c. */
#ifndef GEMMAD_MODEL_WEIGHTS_PACK_H
#define GEMMAD_MODEL_WEIGHTS_PACK_H

#include "model/weights_plan.h"

/* Fills everything that weights_plan_place has given a place. Progress counts source bytes. */
void weights_pack(const struct weights_plan *plan, const struct model_load_options *options,
                  struct device_stream *stream);

/* Tells the kernel how mapped bytes will be read (madvise; advice, so failures do not matter). */
void weights_advise(const void *data, size_t n_bytes, int advice);

#endif
