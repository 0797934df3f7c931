/* model/config_layers.h - the keys of a config that make one layer differ from another. Part of
 * model/config.c; nothing else includes this but that and tests. */
#ifndef GEMMAD_MODEL_CONFIG_LAYERS_H
#define GEMMAD_MODEL_CONFIG_LAYERS_H

#include "kernels/matmul.h"
#include "model/config_json.h"

#define CONFIG_MAX_ROWS (1U << 24)
#define CONFIG_MAX_COLUMNS MATMUL_MAX_K
#define CONFIG_MAX_HEADS 1024
#define CONFIG_MAX_HEAD_DIM 1024
#define CONFIG_MAX_EXPERTS 1024

/* Fills layers[] and first_kv_shared_layer; the sizes of *out are read already. */
void config_layers_read(struct config_section *text, struct model_config *out);

#endif
