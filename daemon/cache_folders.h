/* daemon/cache_folders.h - where the workers look for packed weights and keep them
 * (model/weights_cache.h), by the option weights_cache. Thread: a plain function. */
#ifndef GEMMAD_DAEMON_CACHE_FOLDERS_H
#define GEMMAD_DAEMON_CACHE_FOLDERS_H

#include "daemon/worker_message.h"

/* choice: "auto", "off" or a folder. model_dir is absolute. weight_bytes of a rank: below
 * CACHE_MIN_BYTES auto keeps nothing, as packing is done before anybody would notice. */
#define CACHE_MIN_BYTES ((size_t)64 << 20)
void cache_folders_set(const char *choice, const char *model_dir, size_t weight_bytes,
                       struct worker_load *load);

#endif
