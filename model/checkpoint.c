/* model/checkpoint.c - finds each tensor that the config asks for, then asks of each tensor in the
 * files who wants it. */
#include "model/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text_buffer.h"
#include "model/safetensors.h"

struct checkpoint {
    struct model_config config;
    struct generation_config generation;
    struct safetensors *files;
    struct stored_tensor *tensors; // [num_hidden_layers][N_TENSOR_IDS]; those there once in row 0
    struct encoder_tensor *encoder_list; // [n_encoder_tensors]
    struct stored_tensor *encoder_tensors;
    size_t n_encoder_tensors;
    bool *wanted; // [of all tensors in the files]
};

static const char *const text_prefixes[] = {"model.language_model.", "language_model.model.",
                                            "model."};

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static enum status find_prefix(struct checkpoint *checkpoint, const char *folder, struct error *err)
{
    for (size_t i = 0; i < sizeof text_prefixes / sizeof *text_prefixes; i++) {
        char name[TENSOR_NAME_BYTES];
        snprintf(name, sizeof name, "%sembed_tokens.weight", text_prefixes[i]);
        if (!safetensors_find(checkpoint->files, name))
            continue;
        snprintf(checkpoint->config.text_prefix, sizeof checkpoint->config.text_prefix, "%s",
                 text_prefixes[i]);
        return STATUS_OK;
    }
    return error_set(err, STATUS_INVALID_ARGUMENT,
                     "%s: no tensor \"embed_tokens.weight\" behind \"model.language_model.\", "
                     "\"language_model.model.\" or \"model.\"",
                     folder);
}

static bool is_lm_head(const struct checkpoint *checkpoint, const char *name)
{
    const char *prefix = checkpoint->config.text_prefix;
    return strcmp(name, "lm_head.weight") == 0 ||
           strcmp(name, "language_model.lm_head.weight") == 0 ||
           (starts_with(name, prefix) && strcmp(name + strlen(prefix), "lm_head.weight") == 0);
}

static const struct safetensors_tensor *find_tensor(const struct checkpoint *checkpoint,
                                                    enum tensor_id id, uint32_t layer)
{
    char name[TENSOR_NAME_BYTES], full[TENSOR_NAME_BYTES + 64];
    if (id == TENSOR_LM_HEAD) {
        for (uint32_t i = 0; i < safetensors_n_tensors(checkpoint->files); i++)
            if (is_lm_head(checkpoint, safetensors_at(checkpoint->files, i)->name))
                return safetensors_at(checkpoint->files, i);
        return NULL;
    }
    for (uint32_t spelling = 0; model_tensor_name(id, layer, spelling, name); spelling++) {
        snprintf(full, sizeof full, "%s%s", checkpoint->config.text_prefix, name);
        const struct safetensors_tensor *tensor = safetensors_find(checkpoint->files, full);
        if (tensor)
            return tensor;
    }
    return NULL;
}

static bool read_dtype(const char *name, enum dtype *out)
{
    static const char *const names[] = {
        [DTYPE_BF16] = "BF16", [DTYPE_F16] = "F16", [DTYPE_F32] = "F32"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (enum dtype)i;
            return true;
        }
    }
    return false;
}

static void write_shape(char *out, size_t n_bytes, uint32_t n_dims, const size_t *dims)
{
    size_t n = (size_t)snprintf(out, n_bytes, "[");
    for (uint32_t i = 0; i < n_dims && n < n_bytes; i++)
        n += (size_t)snprintf(out + n, n_bytes - n, i ? ", %zu" : "%zu", dims[i]);
    if (n < n_bytes)
        snprintf(out + n, n_bytes - n, "]");
}

static enum status check_shape(const struct safetensors_tensor *tensor,
                               const struct tensor_shape *want, struct error *err)
{
    if (want->n_dims == 0 && tensor->n_dims == 1 && tensor->shape[0] == 1)
        return STATUS_OK; // some writers have no scalars
    bool same = tensor->n_dims == want->n_dims;
    size_t dims[TENSOR_MAX_DIMS];
    for (uint32_t i = 0; i < want->n_dims; i++) {
        dims[i] = want->dims[i];
        same = same && tensor->shape[i] == dims[i];
    }
    if (same)
        return STATUS_OK;
    char has_text[100], want_text[100];
    write_shape(has_text, sizeof has_text, tensor->n_dims, tensor->shape);
    write_shape(want_text, sizeof want_text, want->n_dims, dims);
    return error_set(err, STATUS_INVALID_ARGUMENT,
                     "%.100s: tensor \"%.150s\" has the shape %s, by config.json it is %s",
                     tensor->file, tensor->name, has_text, want_text);
}

// What a tensor that was found becomes; out->shape is what it should be.
static enum status take_tensor(struct checkpoint *checkpoint,
                               const struct safetensors_tensor *tensor, struct stored_tensor *out,
                               struct error *err)
{
    out->data = tensor->data;
    if (!read_dtype(tensor->dtype, &out->dtype))
        return error_set(err, STATUS_UNIMPLEMENTED,
                         "%.100s: tensor \"%.200s\" is %s: BF16, F16 and F32 weights are served",
                         tensor->file, tensor->name, tensor->dtype);
    checkpoint->wanted[tensor - safetensors_at(checkpoint->files, 0)] = true;
    return check_shape(tensor, &out->shape, err);
}

static enum status resolve(struct checkpoint *checkpoint, enum tensor_id id, uint32_t layer,
                           struct error *err)
{
    const struct safetensors_tensor *tensor = find_tensor(checkpoint, id, layer);
    char name[TENSOR_NAME_BYTES];
    model_tensor_name(id, layer, 0, name);
    if (!tensor)
        return error_set(err, STATUS_INVALID_ARGUMENT, "tensor \"%s%s\" is in no file",
                         id == TENSOR_LM_HEAD ? "" : checkpoint->config.text_prefix, name);
    struct stored_tensor *out = &checkpoint->tensors[(size_t)layer * N_TENSOR_IDS + id];
    out->shape = model_tensor_shape(&checkpoint->config, id, layer);
    out->name = id == TENSOR_LM_HEAD ? "lm_head.weight"
                                     : tensor->name + strlen(checkpoint->config.text_prefix);
    return take_tensor(checkpoint, tensor, out, err);
}

// By either spelling, behind "model." or not.
static const struct safetensors_tensor *find_encoder_tensor(const struct checkpoint *checkpoint,
                                                            const struct encoder_tensor *want)
{
    const char *const names[] = {want->name, want->other_name};
    for (size_t i = 0; i < 2; i++) {
        if (!names[i][0])
            continue;
        const struct safetensors_tensor *tensor = safetensors_find(checkpoint->files, names[i]);
        if (!tensor)
            tensor = safetensors_find(checkpoint->files, names[i] + strlen("model."));
        if (tensor)
            return tensor;
    }
    return NULL;
}

static enum status resolve_encoders(struct checkpoint *checkpoint, struct error *err)
{
    size_t n = encoder_tensors_list(&checkpoint->config, &checkpoint->encoder_list);
    checkpoint->n_encoder_tensors = n;
    checkpoint->encoder_tensors = mem_zeroed(n, sizeof *checkpoint->encoder_tensors);
    for (size_t i = 0; i < n; i++) {
        const struct encoder_tensor *want = &checkpoint->encoder_list[i];
        const struct safetensors_tensor *tensor = find_encoder_tensor(checkpoint, want);
        if (!tensor)
            return error_set(err, STATUS_INVALID_ARGUMENT, "tensor \"%s\" is in no file",
                             want->name);
        struct stored_tensor *out = &checkpoint->encoder_tensors[i];
        out->name = want->name;
        out->shape = want->shape;
        enum status st = take_tensor(checkpoint, tensor, out, err);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}

static enum status resolve_all(struct checkpoint *checkpoint, struct error *err)
{
    const struct model_config *config = &checkpoint->config;
    for (uint32_t layer = 0; layer < config->num_hidden_layers; layer++) {
        enum tensor_id first = layer == 0 ? 0 : TENSOR_FIRST_OF_LAYER;
        for (enum tensor_id id = first; id < N_TENSOR_IDS; id++) {
            if (!model_tensor_exists(config, id, layer))
                continue;
            enum status st = resolve(checkpoint, id, layer, err);
            if (st != STATUS_OK)
                return st;
        }
    }
    return STATUS_OK;
}

// Keys and values of a layer that reads another's, which published files still carry.
static bool is_dead(const struct model_config *config, const char *name)
{
    static const enum tensor_id ids[] = {TENSOR_K_PROJ, TENSOR_V_PROJ, TENSOR_K_NORM};
    for (uint32_t layer = config->first_kv_shared_layer; layer < config->num_hidden_layers; layer++)
        for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
            char dead[TENSOR_NAME_BYTES];
            model_tensor_name(ids[i], layer, 0, dead);
            if (strcmp(name, dead) == 0)
                return true;
        }
    return false;
}

static bool may_be_ignored(const struct checkpoint *checkpoint, const char *name)
{
    const struct model_config *config = &checkpoint->config;
    bool served;
    if (encoder_tensors_own(config, name, &served))
        return !served || strstr(name, ".rotary_emb.");
    if (is_lm_head(checkpoint, name))
        return config->tie_word_embeddings;
    if (!starts_with(name, config->text_prefix))
        return false;
    name += strlen(config->text_prefix);
    return starts_with(name, "rotary_emb.") || strstr(name, ".rotary_emb.") ||
           is_dead(config, name);
}

static enum status check_unknown(const struct checkpoint *checkpoint, struct error *err)
{
    for (uint32_t i = 0; i < safetensors_n_tensors(checkpoint->files); i++) {
        const struct safetensors_tensor *tensor = safetensors_at(checkpoint->files, i);
        if (!checkpoint->wanted[i] && !may_be_ignored(checkpoint, tensor->name))
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "%.100s: tensor \"%.200s\" is unknown: no part of the model that "
                             "config.json describes would use it",
                             tensor->file, tensor->name);
    }
    return STATUS_OK;
}

static enum status open_configs(struct checkpoint *checkpoint, const char *folder,
                                struct error *err)
{
    struct text_buffer path = {0};
    text_buffer_append_format(&path, "%s/config.json", folder);
    enum status st = model_config_load(path.data, &checkpoint->config, err);
    if (st == STATUS_OK) {
        text_buffer_clear(&path);
        text_buffer_append_format(&path, "%s/generation_config.json", folder);
        st = generation_config_load(path.data, &checkpoint->generation, err);
    }
    text_buffer_finish(&path);
    return st;
}

enum status checkpoint_open(const char *folder, struct checkpoint **out, struct error *err)
{
    struct checkpoint *checkpoint = mem_zeroed(1, sizeof *checkpoint);
    enum status st = open_configs(checkpoint, folder, err);
    if (st == STATUS_OK)
        st = safetensors_open(folder, &checkpoint->files, err);
    if (st == STATUS_OK) {
        size_t n_layers = checkpoint->config.num_hidden_layers;
        checkpoint->tensors = mem_zeroed(n_layers * N_TENSOR_IDS, sizeof *checkpoint->tensors);
        checkpoint->wanted = mem_zeroed(safetensors_n_tensors(checkpoint->files), sizeof(bool));
        st = find_prefix(checkpoint, folder, err);
    }
    if (st == STATUS_OK)
        st = resolve_all(checkpoint, err);
    if (st == STATUS_OK)
        st = resolve_encoders(checkpoint, err);
    if (st == STATUS_OK)
        st = check_unknown(checkpoint, err);
    if (st != STATUS_OK) {
        checkpoint_destroy(checkpoint);
        return st;
    }
    *out = checkpoint;
    return STATUS_OK;
}

void checkpoint_destroy(struct checkpoint *checkpoint)
{
    if (!checkpoint)
        return;
    safetensors_destroy(checkpoint->files);
    free(checkpoint->tensors);
    free(checkpoint->encoder_list);
    free(checkpoint->encoder_tensors);
    free(checkpoint->wanted);
    free(checkpoint);
}

const struct model_config *checkpoint_config(const struct checkpoint *checkpoint)
{
    return &checkpoint->config;
}

const struct generation_config *checkpoint_generation_config(const struct checkpoint *checkpoint)
{
    return &checkpoint->generation;
}

uint64_t checkpoint_fingerprint(const struct checkpoint *checkpoint)
{
    return safetensors_fingerprint(checkpoint->files);
}

const struct stored_tensor *checkpoint_tensor(const struct checkpoint *checkpoint,
                                              enum tensor_id id, uint32_t layer)
{
    CHECK(layer < checkpoint->config.num_hidden_layers &&
          model_tensor_exists(&checkpoint->config, id, layer));
    return &checkpoint->tensors[(size_t)layer * N_TENSOR_IDS + id];
}

const struct encoder_tensor *checkpoint_encoder_tensors(const struct checkpoint *checkpoint,
                                                        size_t *out_n)
{
    *out_n = checkpoint->n_encoder_tensors;
    return checkpoint->encoder_list;
}

const struct stored_tensor *checkpoint_encoder_tensor(const struct checkpoint *checkpoint, size_t i)
{
    CHECK(i < checkpoint->n_encoder_tensors);
    return &checkpoint->encoder_tensors[i];
}
