/* model/weights.c - plan, allocate, place, pack; see model/weights_plan.h. What is shared points to
 * what it is shared with: the head of a tied checkpoint, k_norm of KV-shared layers. */
#include "model/weights.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "model/weights_pack.h"

static void point_to_shared(const struct model_config *config, struct model_weights *weights)
{
    if (config->tie_word_embeddings)
        weights->lm_head = weights->embed_tokens;
    for (uint32_t l = 0; l < config->num_hidden_layers; l++)
        weights->layers[l].k_norm = weights->layers[config->layers[l].kv_source].k_norm;
}

// Tokens' rows are read from all over the table: read-ahead would only push other pages out.
static enum status prepare_mapped(const struct model_weights *weights, struct error *err)
{
    const struct raw_matrix *table = &weights->embed_tokens_per_layer;
    if (!table->data)
        return STATUS_OK;
    size_t element = dtype_bytes(table->dtype);
    if ((uintptr_t)table->data % element != 0)
        return error_set(
            err, STATUS_INVALID_ARGUMENT,
            "embed_tokens_per_layer.weight is not aligned to its elements in the file, "
            "which is used in place");
    weights_advise(table->data, (size_t)table->n_rows * table->row_length * element, MADV_RANDOM);
    return STATUS_OK;
}

enum status model_weights_load(const struct model_config *config,
                               const struct checkpoint *checkpoint,
                               const struct model_load_options *options,
                               struct device_stream *stream, struct model_weights **out,
                               struct error *err)
{
    struct weights_plan *plan = NULL;
    const struct weights_plan_config plan_config = {options->rank, options->world_size,
                                                    options->compute, options->weights};
    enum status st = weights_plan_create(checkpoint, &plan_config, &plan, err);
    if (st != STATUS_OK)
        return st;
    struct model_weights *weights = plan->weights;
    st = prepare_mapped(weights, err);
    if (st == STATUS_OK)
        st = device_buffer_create(plan->bytes, "weights", &weights->memory, err);
    if (st == STATUS_OK) {
        weights_plan_place(plan, &weights->memory);
        weights_pack(plan, options, stream);
        point_to_shared(config, weights);
        *out = weights;
        plan->weights = NULL;
    }
    weights_plan_destroy(plan);
    return st;
}

void model_weights_destroy(struct model_weights *weights)
{
    if (!weights)
        return;
    for (uint32_t l = 0; l < weights->n_layers; l++) {
        free(weights->layers[l].expert_gate_up);
        free(weights->layers[l].expert_down);
    }
    free(weights->layers);
    device_buffer_destroy(&weights->memory);
    free(weights);
}
