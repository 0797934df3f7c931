/* model/weights_cache.h - a rank's packed weights in a file, so that the next start maps them: it
 * packs nothing, the page cache and the processes share one copy, and memory that is short comes
 * back from the file.
 *
 * A file is used when its header says that it was made from this checkpoint's files, for the same
 * slices and format, by kernels that want the same layout; anything else is passed over and later
 * replaced. Its data are not checked: reading all of them would take longer than packing. So both
 * folder and file have to belong to this user or root and be writable by nobody else; whoever can
 * write there can change the weights. A file that is truncated while it is mapped ends the process
 * with SIGBUS, as with the checkpoint.
 * Thread: weights_cache_map the loading one; a saving has its own. */
#ifndef GEMMAD_MODEL_WEIGHTS_CACHE_H
#define GEMMAD_MODEL_WEIGHTS_CACHE_H

#include "model/weights_plan.h"

struct weights_cache_header {
    char magic[8];
    uint32_t version; /* of this struct */
    uint32_t compute, weights, rank, world_size;
    uint32_t data_offset; /* in the file: whole huge pages */
    uint64_t data_bytes;  /* to the end of the file */
    uint64_t layout;      /* stands for what the kernels' packing makes of a known matrix */
    uint64_t checkpoint;  /* checkpoint_fingerprint */
    uint64_t slices;      /* stands for which rows of which tensors lie where */
};

/* The file that belongs to a plan. */
struct weights_cache {
    char name[64]; /* in its folder: one for each format and rank, so that a new one replaces it */
    struct weights_cache_header header;
};

void weights_cache_init(struct weights_cache *cache, const struct weights_plan *plan,
                        const struct checkpoint *checkpoint);

/* Maps the first file in the options' folders that can be used; false: there is none. */
bool weights_cache_map(const struct weights_cache *cache, const struct model_load_options *options,
                       struct device_buffer *out);

/* Tells the options' cache_note. */
void weights_cache_note(const struct model_load_options *options, bool trouble, const char *format,
                        ...) PRINTF_LIKE(3, 4);

/* Whether a folder or a file belongs to us or to root, and nobody else may write to it. */
struct stat;
bool weights_cache_trusts(const struct stat *info);

#endif
