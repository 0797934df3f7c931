/* model/config_media.h - the sections of a config about images, video and audio. Part of
 * model/config.c; nothing else includes this. */
#ifndef GEMMAD_MODEL_CONFIG_MEDIA_H
#define GEMMAD_MODEL_CONFIG_MEDIA_H

#include "model/config_json.h"

/* Fills the encoders and their token ids; the model type and the text's sizes are read already. */
void config_media_read(struct config_section *top, struct model_config *out);

#endif
