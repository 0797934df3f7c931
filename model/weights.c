/* model/weights.c - plan, then map what was packed before, or allocate, pack and save. */
#include "model/weights.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "model/weights_cache.h"
#include "model/weights_pack.h"
#include "model/weights_save.h"

#define READ_BYTES ((size_t)16 << 20) /* of a packed file at a time */

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

struct reading {
    const struct device_buffer *memory;
    const struct model_load_options *options;
    atomic_size_t next, done;
};

// Cold, this is bound by the disk.
static void read_pages(void *context, uint32_t thread, uint32_t n_threads)
{
    struct reading *reading = context;
    const struct device_buffer *memory = reading->memory;
    const struct model_load_options *options = reading->options;
    (void)n_threads;
    for (;;) {
        size_t begin = atomic_fetch_add_explicit(&reading->next, READ_BYTES, memory_order_relaxed);
        if (begin >= memory->bytes)
            return;
        size_t rest = memory->bytes - begin, n = rest < READ_BYTES ? rest : READ_BYTES;
        const unsigned char *data = (const unsigned char *)memory->data + begin;
        device_pages_read(data, n);
        size_t done = atomic_fetch_add_explicit(&reading->done, n, memory_order_relaxed) + n;
        if (thread == 0 && options->progress)
            options->progress(options->progress_context, done, memory->bytes);
    }
}

static void read_mapped(const struct device_buffer *memory,
                        const struct model_load_options *options, struct device_stream *stream)
{
    struct reading reading = {.memory = memory, .options = options};
    device_stream_run(stream, read_pages, &reading);
    if (options->progress)
        options->progress(options->progress_context, memory->bytes, memory->bytes);
}

static enum status fill(struct weights_plan *plan, const struct checkpoint *checkpoint,
                        const struct model_load_options *options, struct device_stream *stream,
                        struct error *err)
{
    struct model_weights *weights = plan->weights;
    struct weights_cache cache;
    weights_cache_init(&cache, plan, checkpoint);
    if (weights_cache_map(&cache, options, &weights->memory)) {
        weights_plan_place(plan, &weights->memory);
        read_mapped(&weights->memory, options, stream);
        return STATUS_OK;
    }
    enum status st = device_buffer_create(plan->bytes, "weights", &weights->memory, err);
    if (st != STATUS_OK)
        return st;
    weights_plan_place(plan, &weights->memory);
    weights_pack(plan, options, stream);
    weights->saving = weights_saving_create(&cache, options, &weights->memory);
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
        st = fill(plan, checkpoint, options, stream, err);
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
