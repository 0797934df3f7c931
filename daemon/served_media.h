/* daemon/served_media.h - the media side of the model that is served: who decodes what clients
 * send. Thread: as media/decoder.h. */
#ifndef GEMMAD_DAEMON_SERVED_MEDIA_H
#define GEMMAD_DAEMON_SERVED_MEDIA_H

#include "daemon/config.h"
#include "media/decoder.h"
#include "model/config.h"

/* Starts the decoder with the program beside gemmad; *out NULL where no media are served. Errors as
 * of media_decoder_create. */
NODISCARD enum status served_media_start(const struct daemon_config *config,
                                         const struct model_config *model,
                                         struct media_decoder **out, struct error *err);

#endif
