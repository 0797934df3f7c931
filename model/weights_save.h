/* model/weights_save.h - puts weights that were packed into memory in a file, and the file's pages
 * in the place of that memory, while the weights are already in use.
 *
 * A disk takes longer than packing and the first answers must not wait for it. Piece by piece
 * (64 MiB) is written, brought to the disk and exchanged, so that neither memory nor dirty pages
 * grow beyond a piece. Only a whole file gets its name. When several processes try, one writes and
 * the others keep their memory. Thread: its own; the functions below that of the weights' owner. */
#ifndef GEMMAD_MODEL_WEIGHTS_SAVE_H
#define GEMMAD_MODEL_WEIGHTS_SAVE_H

#include "model/weights_cache.h"

struct weights_saving;

/* memory is what weights_plan_place filled; it must stay until weights_saving_destroy. NULL: there
 * is no folder, or no thread. */
struct weights_saving *weights_saving_create(const struct weights_cache *cache,
                                             const struct model_load_options *options,
                                             const struct device_buffer *memory);
/* Stops it after the piece in hand; an unfinished file is removed. NULL is fine. */
void weights_saving_destroy(struct weights_saving *saving);
/* Until it has come to an end by itself. */
void weights_saving_wait(struct weights_saving *saving);

#endif
