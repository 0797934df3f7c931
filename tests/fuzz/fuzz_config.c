/* tests/fuzz/fuzz_config.c - any bytes as config.json and as generation_config.json; what is
 * accepted can be computed with: heads divide, sizes multiply without overflow, sources exist. */
#include <math.h>
#include <string.h>

#include "model/generation_config.h"
#include "model/kv_layout.h"
#include "model/tensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_layer(const struct model_config *config, uint32_t l)
{
    const struct layer_config *layer = &config->layers[l];
    CHECK(layer->num_key_value_heads > 0 && layer->head_dim > 0 && layer->head_dim % 2 == 0);
    CHECK(config->num_attention_heads % layer->num_key_value_heads == 0);
    CHECK(layer->intermediate_size > 0);
    CHECK(layer->kv_source <= l && !config->layers[layer->kv_source].kv_shared);
    CHECK(layer->kv_shared == (layer->kv_source != l));
    for (enum tensor_id id = 0; id < N_TENSOR_IDS; id++) {
        if (!model_tensor_exists(config, id, l))
            continue;
        struct tensor_shape shape = model_tensor_shape(config, id, l);
        uint64_t elements = 1;
        CHECK(shape.n_dims >= 1);
        for (uint32_t d = 0; d < shape.n_dims; d++) {
            CHECK(shape.dims[d] > 0);
            elements *= shape.dims[d];
        }
        CHECK(elements <= (uint64_t)1 << 44);
    }
}

static void check_config(const struct model_config *config)
{
    CHECK(config->num_hidden_layers >= 1 && config->num_hidden_layers <= MODEL_MAX_LAYERS);
    CHECK(config->layers[config->num_hidden_layers - 1].kind == LAYER_FULL);
    CHECK(config->n_eos_token_ids >= 1 && config->n_eos_token_ids <= MODEL_MAX_EOS);
    CHECK(config->pad_token_id < config->vocab_size);
    CHECK(config->top_k_experts <= config->num_experts);
    for (uint32_t l = 0; l < config->num_hidden_layers; l++) {
        check_layer(config, l);
        float inv_freq[512];
        uint32_t rotated, head_dim = config->layers[l].head_dim;
        model_inv_freq(config, config->layers[l].kind, head_dim, inv_freq, &rotated);
        CHECK(rotated <= head_dim / 2);
        for (uint32_t i = 0; i < head_dim / 2; i++)
            CHECK(isfinite(inv_freq[i]) && (i < rotated || inv_freq[i] == 0));
    }
    struct kv_layout layout;
    struct error err = {0};
    if (kv_layout_init(config, 64, COMPUTE_F32, &layout, &err) == STATUS_OK)
        CHECK(layout.params.n_groups >= 1 && layout.params.n_groups <= KV_MAX_GROUPS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct model_config config;
    struct generation_config generation;
    struct error err = {0};
    const char *text = (const char *)data;
    enum status st = model_config_parse(text, n, "fuzz", &config, &err);
    if (st == STATUS_OK)
        check_config(&config);
    else
        CHECK((st == STATUS_INVALID_ARGUMENT || st == STATUS_UNIMPLEMENTED) && err.status == st &&
              strncmp(err.message, "fuzz: ", 6) == 0);
    if (generation_config_parse(text, n, "fuzz", &generation, &err) != STATUS_OK)
        return 0;
    uint32_t stops[MODEL_MAX_STOP_TOKENS];
    CHECK(generation.temperature >= 0 && generation.top_p > 0 && generation.top_p <= 1);
    uint32_t n_stops = model_stop_tokens(&config, &generation, 106, stops);
    for (uint32_t i = 1; i < n_stops; i++)
        CHECK(stops[i - 1] < stops[i]);
    return 0;
}
