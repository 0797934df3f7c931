/* daemon/places.h - where gemmad's own files are: beside the running program when it was built here
 * and not installed, else where the build was told to install them. Thread: any. */
#ifndef GEMMAD_DAEMON_PLACES_H
#define GEMMAD_DAEMON_PLACES_H

#include "base/status.h"

/* The worker's program: gemmad-worker in the folder of this program. The caller frees it.
 * INTERNAL: /proc does not say where this program is. */
NODISCARD enum status places_worker(char **out, struct error *err);

/* The media decoder's, beside it: gemmad-media. The same. */
NODISCARD enum status places_media(char **out, struct error *err);

/* The folder of the default model. The caller frees it. */
NODISCARD enum status places_default_model(char **out, struct error *err);

#endif
