/* model/weights.c - plan, fill, and the table that stays mapped. */
#include "model/weights.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "model/weights_fill.h"
#include "model/weights_pack.h"
#include "model/weights_save.h"

static size_t table_row_bytes(const struct raw_matrix *table)
{
    return table->row_length * dtype_bytes(table->dtype);
}

// Tokens' rows are read from all over the table: read-ahead would only push other pages out.
static enum status prepare_mapped(const struct model_weights *weights, struct error *err)
{
    const struct raw_matrix *table = &weights->embed_tokens_per_layer;
    if (!table->data)
        return STATUS_OK;
    if ((uintptr_t)table->data % dtype_bytes(table->dtype) != 0)
        return error_set(
            err, STATUS_INVALID_ARGUMENT,
            "embed_tokens_per_layer.weight is not aligned to its elements in the file, "
            "which is used in place");
    weights_advise(table->data, table->n_rows * table_row_bytes(table), MADV_RANDOM);
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
    st = prepare_mapped(plan->weights, err);
    if (st == STATUS_OK)
        st = weights_fill(plan, checkpoint, options, stream, &plan->weights->memory,
                          &plan->weights->saving, err);
    if (st == STATUS_OK) {
        weights_plan_finish(plan, config);
        *out = plan->weights;
        plan->weights = NULL;
    }
    weights_plan_destroy(plan);
    return st;
}

void model_weights_rows_ahead(const struct model_weights *weights, const uint32_t *ids, uint32_t n)
{
    const struct raw_matrix *table = &weights->embed_tokens_per_layer;
    size_t row_bytes = table_row_bytes(table);
    for (uint32_t i = 0; i < n; i++)
        weights_advise((const unsigned char *)table->data + ids[i] * row_bytes, row_bytes,
                       MADV_WILLNEED);
}

void model_weights_rows_done(const struct model_weights *weights)
{
    const struct raw_matrix *table = &weights->embed_tokens_per_layer;
    weights_advise(table->data, table->n_rows * table_row_bytes(table), MADV_DONTNEED);
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
    weights_saving_destroy(weights->saving);
    device_buffer_destroy(&weights->memory);
    free(weights);
}
