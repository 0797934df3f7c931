/* model/encoder_weights.c - from the list of tensors to a plan of weights, which is then filled as
 * the text's is. */
#include "model/encoder_weights.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "model/checkpoint.h"
#include "model/weights_fill.h"
#include "model/weights_save.h"

struct planner {
    struct encoder_weights *weights;
    struct weights_plan *plan;
    const struct model_config *config;
};

// Where a tensor's place is counted from.
static unsigned char *section_of(struct encoder_weights *weights,
                                 const struct encoder_tensor *tensor)
{
    switch (tensor->section) {
    case SECTION_VISION:
        return (unsigned char *)&weights->vision;
    case SECTION_VISION_LAYER:
        return (unsigned char *)&weights->vision.layers[tensor->layer];
    case SECTION_AUDIO:
        return (unsigned char *)&weights->audio;
    case SECTION_AUDIO_LAYER:
        return (unsigned char *)&weights->audio.layers[tensor->layer];
    case SECTION_UNIFIED:
    case N_ENCODER_SECTIONS:
        break;
    }
    return (unsigned char *)&weights->unified;
}

static void add_matrix(const struct planner *p, struct packed_matrix *matrix,
                       const struct stored_tensor *tensor, bool is_heads)
{
    uint32_t n_rows = tensor->shape.dims[0], n_columns = 1;
    for (uint32_t i = 1; i < tensor->shape.n_dims; i++)
        n_columns *= tensor->shape.dims[i];
    enum dtype dtype = p->plan->config.compute == COMPUTE_BF16 ? DTYPE_BF16 : tensor->dtype;
    struct pack_matrix *pack = weights_plan_add_matrix(p->plan, matrix);
    struct pack_source source = {.tensor = tensor,
                                 .data = tensor->data,
                                 .dtype = tensor->dtype,
                                 .stride = n_columns,
                                 .n_rows = n_rows};
    if (!is_heads) {
        weights_plan_add_rows(pack, source, dtype, n_columns);
        return;
    }
    static const uint32_t quarters[] = {0, 2, 1, 3};
    source.n_rows = p->config->vision.head_dim / 4;
    size_t quarter_bytes = (size_t)source.n_rows * n_columns * dtype_bytes(tensor->dtype);
    for (uint32_t quarter = 0; quarter < n_rows / source.n_rows; quarter++) {
        source.data = tensor->data + (quarter / 4 * 4 + quarters[quarter % 4]) * quarter_bytes;
        weights_plan_add_rows(pack, source, dtype, n_columns);
    }
}

static struct raw_matrix table_of(const struct stored_tensor *tensor)
{
    struct raw_matrix table = {.dtype = tensor->dtype, .n_rows = 1, .data = tensor->data};
    uint32_t last = tensor->shape.n_dims - 1;
    for (uint32_t i = 0; i < last; i++)
        table.n_rows *= tensor->shape.dims[i];
    table.row_length = tensor->shape.dims[last];
    return table;
}

static enum status add_tensor(const struct planner *p, const struct encoder_tensor *tensor,
                              const struct stored_tensor *stored, struct error *err)
{
    void *place = section_of(p->weights, tensor) + tensor->offset;
    switch (tensor->form) {
    case FORM_MATRIX:
    case FORM_HEADS:
        add_matrix(p, place, stored, tensor->form == FORM_HEADS);
        break;
    case FORM_VECTOR:
        weights_plan_add_vector(p->plan, stored)->out = place;
        break;
    case FORM_SCALAR:
        weights_plan_add_vector(p->plan, stored)->scalar = place;
        break;
    case FORM_TABLE:
        *(struct raw_matrix *)place = table_of(stored);
        if ((uintptr_t)stored->data % dtype_bytes(stored->dtype) != 0)
            return error_set(
                err, STATUS_INVALID_ARGUMENT,
                "%s is not aligned to its elements in the file, which is used in place",
                stored->name);
        break;
    }
    return STATUS_OK;
}

static void unclip(struct encoder_linear *linear)
{
    linear->input_min = linear->output_min = -INFINITY;
    linear->input_max = linear->output_max = INFINITY;
}

// Layers with bounds that clip nothing, until they are read.
static struct encoder_weights *weights_new(const struct model_config *config)
{
    struct encoder_weights *weights = mem_zeroed(1, sizeof *weights);
    uint32_t n_vision = config->vision.num_hidden_layers;
    uint32_t n_audio = config->audio.num_hidden_layers;
    weights->vision.layers = mem_zeroed(n_vision, sizeof *weights->vision.layers);
    weights->audio.layers = mem_zeroed(n_audio, sizeof *weights->audio.layers);
    for (uint32_t l = 0; l < n_vision; l++) {
        struct vision_layer_weights *w = &weights->vision.layers[l];
        struct encoder_linear *const linears[] = {&w->q,    &w->k,  &w->v,   &w->o,
                                                  &w->gate, &w->up, &w->down};
        for (size_t i = 0; i < sizeof linears / sizeof *linears; i++)
            unclip(linears[i]);
    }
    for (uint32_t l = 0; l < n_audio; l++) {
        struct audio_layer_weights *w = &weights->audio.layers[l];
        struct encoder_linear *const linears[] = {
            &w->feed_forward1.ffw_layer_1,
            &w->feed_forward1.ffw_layer_2,
            &w->feed_forward2.ffw_layer_1,
            &w->feed_forward2.ffw_layer_2,
            &w->q_proj,
            &w->k_proj,
            &w->v_proj,
            &w->post,
            &w->linear_start,
            &w->linear_end,
        };
        for (size_t i = 0; i < sizeof linears / sizeof *linears; i++)
            unclip(linears[i]);
    }
    return weights;
}

static enum status make_plan(const struct checkpoint *checkpoint, enum compute compute,
                             struct planner *out, struct error *err)
{
    const struct weights_plan_config plan_config = {
        .world_size = 1, .compute = compute, .weights = WEIGHTS_AUTO, .encoders = true};
    out->config = checkpoint_config(checkpoint);
    out->weights = weights_new(out->config);
    out->plan = weights_plan_new(&plan_config);
    size_t n;
    const struct encoder_tensor *tensors = checkpoint_encoder_tensors(checkpoint, &n);
    for (size_t i = 0; i < n; i++) {
        enum status st = add_tensor(out, &tensors[i], checkpoint_encoder_tensor(checkpoint, i),
                                    err);
        if (st != STATUS_OK)
            return st;
    }
    weights_plan_count(out->plan);
    return STATUS_OK;
}

size_t encoder_weights_bytes(const struct checkpoint *checkpoint, enum compute compute)
{
    struct planner p = {0};
    struct error err = {0};
    (void)make_plan(checkpoint, compute, &p, &err); // loading says what is wrong
    size_t bytes = p.plan->bytes;
    weights_plan_destroy(p.plan);
    encoder_weights_destroy(p.weights);
    return bytes;
}

enum status encoder_weights_load(const struct checkpoint *checkpoint,
                                 const struct model_load_options *options,
                                 struct device_stream *stream, struct encoder_weights **out,
                                 struct error *err)
{
    struct planner p = {0};
    enum status st = make_plan(checkpoint, options->compute, &p, err);
    if (st == STATUS_OK && p.plan->bytes > 0)
        st = weights_fill(p.plan, checkpoint, options, stream, &p.weights->memory,
                          &p.weights->saving, err);
    if (st == STATUS_OK) {
        weights_plan_finish(p.plan, p.config);
        *out = p.weights;
        p.weights = NULL;
    }
    weights_plan_destroy(p.plan);
    encoder_weights_destroy(p.weights);
    return st;
}

void encoder_weights_destroy(struct encoder_weights *weights)
{
    if (!weights)
        return;
    weights_saving_destroy(weights->saving);
    device_buffer_destroy(&weights->memory);
    free(weights->vision.layers);
    free(weights->audio.layers);
    free(weights);
}
