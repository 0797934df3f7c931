/* model/encoder_tensors.c - the tables of encoder_tensors.h. Sizes stand in them as symbols, which
 * one function turns into numbers; a linear layer is one line that becomes its weight and, if it is
 * clipped, its four bounds. */
#include "model/encoder_tensors.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum {
    PATCH_VALUES = 16 * 16 * 3,
    MERGED_PATCH_VALUES = 9 * PATCH_VALUES,
    AXES = 2,
    CONV_SIDE = 3,            // of the convolutions before the audio tower
    SUBSAMPLED_MEL_BINS = 32, // 128 after two of stride 2
    FEED_FORWARD_FACTOR = 4,
};

enum size {
    NONE, // no further dimension
    ONE,
    TWO,
    THREE,
    TEXT, // hidden_size of the text
    PIXELS,
    V_HIDDEN,
    V_HEADS, // all heads together
    V_HEAD,
    V_MLP,
    V_POSITIONS,
    A_HIDDEN,
    A_TWICE, // of it
    A_FEED_FORWARD,
    A_HEAD,
    A_CHANNELS_0,
    A_CHANNELS_1,
    A_SUBSAMPLED,
    A_KERNEL,
    A_OUT,
    U_PIXELS,
    U_EMBED,
    U_POSITIONS,
    U_SAMPLES,
};

enum presence { ALWAYS, STANDARDIZED, UNIFIED_VISION, UNIFIED_AUDIO };

// Forms of a line: those of a tensor, and linear layers.
enum line_form {
    MATRIX = FORM_MATRIX,
    VECTOR = FORM_VECTOR,
    TABLE = FORM_TABLE,
    LINEAR = FORM_TABLE + 1, // struct encoder_linear: the name is the layer's
    LINEAR_HEADS,
};

struct line {
    const char *name, *other_name; // behind the section's prefix; other_name whole
    enum line_form form;
    size_t offset;
    enum size sizes[TENSOR_MAX_DIMS];
    enum presence presence;
};

#define V(member) offsetof(struct vision_weights, member)
#define VL(member) offsetof(struct vision_layer_weights, member)
#define A(member) offsetof(struct audio_weights, member)
#define AL(member) offsetof(struct audio_layer_weights, member)
#define U(member) offsetof(struct unified_weights, member)

static const struct line vision[] = {
    {"vision_tower.patch_embedder.input_proj.weight",
     NULL,
     MATRIX,
     V(input_proj),
     {V_HIDDEN, PIXELS}},
    {"vision_tower.patch_embedder.position_embedding_table",
     NULL,
     TABLE,
     V(position_embedding),
     {TWO, V_POSITIONS, V_HIDDEN}},
    {"vision_tower.std_bias", NULL, VECTOR, V(std_bias), {V_HIDDEN}, STANDARDIZED},
    {"vision_tower.std_scale", NULL, VECTOR, V(std_scale), {V_HIDDEN}, STANDARDIZED},
    {"embed_vision.embedding_projection.weight", NULL, MATRIX, V(projection), {TEXT, V_HIDDEN}},
};

static const struct line vision_layer[] = {
    {"input_layernorm.weight", NULL, VECTOR, VL(input_layernorm), {V_HIDDEN}},
    {"post_attention_layernorm.weight", NULL, VECTOR, VL(post_attention_layernorm), {V_HIDDEN}},
    {"pre_feedforward_layernorm.weight", NULL, VECTOR, VL(pre_feedforward_layernorm), {V_HIDDEN}},
    {"post_feedforward_layernorm.weight", NULL, VECTOR, VL(post_feedforward_layernorm), {V_HIDDEN}},
    {"self_attn.q_norm.weight", NULL, VECTOR, VL(q_norm), {V_HEAD}},
    {"self_attn.k_norm.weight", NULL, VECTOR, VL(k_norm), {V_HEAD}},
    {"self_attn.q_proj", NULL, LINEAR_HEADS, VL(q), {V_HEADS, V_HIDDEN}},
    {"self_attn.k_proj", NULL, LINEAR_HEADS, VL(k), {V_HEADS, V_HIDDEN}},
    {"self_attn.v_proj", NULL, LINEAR, VL(v), {V_HEADS, V_HIDDEN}},
    {"self_attn.o_proj", NULL, LINEAR, VL(o), {V_HIDDEN, V_HEADS}},
    {"mlp.gate_proj", NULL, LINEAR, VL(gate), {V_MLP, V_HIDDEN}},
    {"mlp.up_proj", NULL, LINEAR, VL(up), {V_MLP, V_HIDDEN}},
    {"mlp.down_proj", NULL, LINEAR, VL(down), {V_HIDDEN, V_MLP}},
};

static const struct line audio[] = {
    {"audio_tower.subsample_conv_projection.layer0.conv.weight",
     NULL,
     VECTOR,
     A(conv0),
     {A_CHANNELS_0, ONE, THREE, THREE}},
    {"audio_tower.subsample_conv_projection.layer0.norm.weight",
     NULL,
     VECTOR,
     A(norm0),
     {A_CHANNELS_0}},
    {"audio_tower.subsample_conv_projection.layer1.conv.weight",
     NULL,
     MATRIX,
     A(conv1),
     {A_CHANNELS_1, A_CHANNELS_0, THREE, THREE}},
    {"audio_tower.subsample_conv_projection.layer1.norm.weight",
     NULL,
     VECTOR,
     A(norm1),
     {A_CHANNELS_1}},
    {"audio_tower.subsample_conv_projection.input_proj_linear.weight",
     NULL,
     MATRIX,
     A(input_proj_linear),
     {A_HIDDEN, A_SUBSAMPLED}},
    {"audio_tower.output_proj.weight", NULL, MATRIX, A(output_proj), {A_OUT, A_HIDDEN}},
    {"audio_tower.output_proj.bias", NULL, VECTOR, A(output_proj_bias), {A_OUT}},
    {"embed_audio.embedding_projection.weight", NULL, MATRIX, A(projection), {TEXT, A_OUT}},
};

static const struct line audio_layer[] = {
    {"feed_forward1.pre_layer_norm.weight",
     NULL,
     VECTOR,
     AL(feed_forward1.pre_layer_norm),
     {A_HIDDEN}},
    {"feed_forward1.ffw_layer_1",
     NULL,
     LINEAR,
     AL(feed_forward1.ffw_layer_1),
     {A_FEED_FORWARD, A_HIDDEN}},
    {"feed_forward1.ffw_layer_2",
     NULL,
     LINEAR,
     AL(feed_forward1.ffw_layer_2),
     {A_HIDDEN, A_FEED_FORWARD}},
    {"feed_forward1.post_layer_norm.weight",
     NULL,
     VECTOR,
     AL(feed_forward1.post_layer_norm),
     {A_HIDDEN}},
    {"norm_pre_attn.weight", NULL, VECTOR, AL(norm_pre_attn), {A_HIDDEN}},
    {"self_attn.q_proj", NULL, LINEAR, AL(q_proj), {A_HIDDEN, A_HIDDEN}},
    {"self_attn.k_proj", NULL, LINEAR, AL(k_proj), {A_HIDDEN, A_HIDDEN}},
    {"self_attn.v_proj", NULL, LINEAR, AL(v_proj), {A_HIDDEN, A_HIDDEN}},
    {"self_attn.post", NULL, LINEAR, AL(post), {A_HIDDEN, A_HIDDEN}},
    {"self_attn.relative_k_proj.weight", NULL, MATRIX, AL(relative_k_proj), {A_HIDDEN, A_HIDDEN}},
    {"self_attn.per_dim_scale", NULL, VECTOR, AL(per_dim_scale), {A_HEAD}},
    {"norm_post_attn.weight", NULL, VECTOR, AL(norm_post_attn), {A_HIDDEN}},
    {"lconv1d.pre_layer_norm.weight", NULL, VECTOR, AL(pre_layer_norm), {A_HIDDEN}},
    {"lconv1d.linear_start", NULL, LINEAR, AL(linear_start), {A_TWICE, A_HIDDEN}},
    {"lconv1d.depthwise_conv1d.weight",
     NULL,
     VECTOR,
     AL(depthwise_conv1d),
     {A_HIDDEN, ONE, A_KERNEL}},
    {"lconv1d.conv_norm.weight", NULL, VECTOR, AL(conv_norm), {A_HIDDEN}},
    {"lconv1d.linear_end", NULL, LINEAR, AL(linear_end), {A_HIDDEN, A_HIDDEN}},
    {"feed_forward2.pre_layer_norm.weight",
     NULL,
     VECTOR,
     AL(feed_forward2.pre_layer_norm),
     {A_HIDDEN}},
    {"feed_forward2.ffw_layer_1",
     NULL,
     LINEAR,
     AL(feed_forward2.ffw_layer_1),
     {A_FEED_FORWARD, A_HIDDEN}},
    {"feed_forward2.ffw_layer_2",
     NULL,
     LINEAR,
     AL(feed_forward2.ffw_layer_2),
     {A_HIDDEN, A_FEED_FORWARD}},
    {"feed_forward2.post_layer_norm.weight",
     NULL,
     VECTOR,
     AL(feed_forward2.post_layer_norm),
     {A_HIDDEN}},
    {"norm_out.weight", NULL, VECTOR, AL(norm_out), {A_HIDDEN}},
};

// Published files have vision_embedder, those that transformers saved embed_vision.
static const struct line unified[] = {
    {"vision_embedder.patch_ln1.weight",
     "embed_vision.patch_ln1.weight",
     VECTOR,
     U(patch_ln1.weight),
     {U_PIXELS},
     UNIFIED_VISION},
    {"vision_embedder.patch_ln1.bias",
     "embed_vision.patch_ln1.bias",
     VECTOR,
     U(patch_ln1.bias),
     {U_PIXELS},
     UNIFIED_VISION},
    {"vision_embedder.patch_dense.weight",
     "embed_vision.patch_dense.weight",
     MATRIX,
     U(patch_dense),
     {U_EMBED, U_PIXELS},
     UNIFIED_VISION},
    {"vision_embedder.patch_dense.bias",
     "embed_vision.patch_dense.bias",
     VECTOR,
     U(patch_dense_bias),
     {U_EMBED},
     UNIFIED_VISION},
    {"vision_embedder.patch_ln2.weight",
     "embed_vision.patch_ln2.weight",
     VECTOR,
     U(patch_ln2.weight),
     {U_EMBED},
     UNIFIED_VISION},
    {"vision_embedder.patch_ln2.bias",
     "embed_vision.patch_ln2.bias",
     VECTOR,
     U(patch_ln2.bias),
     {U_EMBED},
     UNIFIED_VISION},
    {"vision_embedder.pos_embedding",
     "embed_vision.pos_embedding",
     TABLE,
     U(pos_embedding),
     {U_POSITIONS, TWO, U_EMBED},
     UNIFIED_VISION},
    {"vision_embedder.pos_norm.weight",
     "embed_vision.pos_norm.weight",
     VECTOR,
     U(pos_norm.weight),
     {U_EMBED},
     UNIFIED_VISION},
    {"vision_embedder.pos_norm.bias",
     "embed_vision.pos_norm.bias",
     VECTOR,
     U(pos_norm.bias),
     {U_EMBED},
     UNIFIED_VISION},
    {"embed_vision.embedding_projection.weight",
     "embed_vision.multimodal_embedder.embedding_projection.weight",
     MATRIX,
     U(vision_projection),
     {TEXT, U_EMBED},
     UNIFIED_VISION},
    {"embed_audio.embedding_projection.weight",
     NULL,
     MATRIX,
     U(audio_projection),
     {TEXT, U_SAMPLES},
     UNIFIED_AUDIO},
};

static uint32_t size_of(const struct model_config *config, enum size size)
{
    const struct vision_config *v = &config->vision;
    const struct audio_config *a = &config->audio;
    const uint32_t sizes[] = {
        [NONE] = 0,
        [ONE] = 1,
        [TWO] = AXES,
        [THREE] = CONV_SIDE,
        [TEXT] = config->hidden_size,
        [PIXELS] = PATCH_VALUES,
        [V_HIDDEN] = v->hidden_size,
        [V_HEADS] = v->num_attention_heads * v->head_dim,
        [V_HEAD] = v->head_dim,
        [V_MLP] = v->intermediate_size,
        [V_POSITIONS] = v->position_embedding_size,
        [A_HIDDEN] = a->hidden_size,
        [A_TWICE] = 2 * a->hidden_size,
        [A_FEED_FORWARD] = FEED_FORWARD_FACTOR * a->hidden_size,
        [A_HEAD] = a->num_attention_heads ? a->hidden_size / a->num_attention_heads : 0,
        [A_CHANNELS_0] = a->subsampling_conv_channels[0],
        [A_CHANNELS_1] = a->subsampling_conv_channels[1],
        [A_SUBSAMPLED] = SUBSAMPLED_MEL_BINS * a->subsampling_conv_channels[1],
        [A_KERNEL] = a->conv_kernel_size,
        [A_OUT] = a->output_proj_dims,
        [U_PIXELS] = MERGED_PATCH_VALUES,
        [U_EMBED] = config->unified.mm_embed_dim,
        [U_POSITIONS] = config->unified.mm_posemb_size,
        [U_SAMPLES] = config->unified.audio_embed_dim,
    };
    return sizes[size];
}

static bool is_there(const struct model_config *config, enum presence presence)
{
    switch (presence) {
    case ALWAYS:
        return true;
    case STANDARDIZED:
        return config->vision.standardize;
    case UNIFIED_VISION:
        return config->unified.mm_embed_dim > 0;
    case UNIFIED_AUDIO:
        return config->unified.audio_embed_dim > 0;
    }
    return false;
}

struct section {
    const struct line *lines;
    size_t n_lines;
    const char *prefix; // behind "model."; of layers with their number
    uint32_t n_layers;  // 1 for what is there once; 0: the model has no such section
    bool is_clipped;
};

#define LINES(table) (table), sizeof(table) / sizeof *(table)

static struct section section_of(const struct model_config *config, enum encoder_section section)
{
    const struct vision_config *v = &config->vision;
    const struct audio_config *a = &config->audio;
    switch (section) {
    case SECTION_VISION:
        return (struct section){LINES(vision), "", v->num_hidden_layers > 0, false};
    case SECTION_VISION_LAYER:
        return (struct section){LINES(vision_layer), "vision_tower.encoder.layers.%u.",
                                v->num_hidden_layers, v->use_clipped_linears};
    case SECTION_AUDIO:
        return (struct section){LINES(audio), "", a->num_hidden_layers > 0, false};
    case SECTION_AUDIO_LAYER:
        return (struct section){LINES(audio_layer), "audio_tower.layers.%u.", a->num_hidden_layers,
                                a->use_clipped_linears};
    case SECTION_UNIFIED:
    case N_ENCODER_SECTIONS:
        break;
    }
    return (struct section){LINES(unified), "", 1, false};
}

struct list {
    struct encoder_tensor *tensors;
    size_t n, capacity;
    enum encoder_section section;
    uint32_t layer;
    const char *prefix;
};

static struct encoder_tensor *add(struct list *list, enum encoder_form form, size_t offset,
                                  const char *name, const char *end)
{
    mem_reserve(&list->tensors, &list->capacity, list->n + 1, sizeof *list->tensors);
    struct encoder_tensor *tensor = &list->tensors[list->n++];
    *tensor = (struct encoder_tensor){
        .section = list->section, .layer = list->layer, .form = form, .offset = offset};
    char prefix[48] = "";
    if (*list->prefix)
        snprintf(prefix, sizeof prefix, list->prefix, list->layer);
    int n = snprintf(tensor->name, sizeof tensor->name, "model.%s%s%s", prefix, name, end);
    CHECK(n > 0 && (size_t)n < sizeof tensor->name);
    return tensor;
}

static void add_line(struct list *list, const struct model_config *config, const struct line *line,
                     bool is_clipped)
{
    bool is_linear = line->form == LINEAR || line->form == LINEAR_HEADS;
    enum encoder_form form = line->form == LINEAR         ? FORM_MATRIX
                             : line->form == LINEAR_HEADS ? FORM_HEADS
                                                          : (enum encoder_form)line->form;
    struct encoder_tensor *tensor = add(list, form, line->offset, line->name,
                                        is_linear ? ".linear.weight" : "");
    if (line->other_name)
        snprintf(tensor->other_name, sizeof tensor->other_name, "model.%s", line->other_name);
    struct tensor_shape *shape = &tensor->shape;
    for (; shape->n_dims < TENSOR_MAX_DIMS && line->sizes[shape->n_dims] != NONE; shape->n_dims++)
        shape->dims[shape->n_dims] = size_of(config, line->sizes[shape->n_dims]);
    if (!is_linear || !is_clipped)
        return;
    static const struct {
        const char *name;
        size_t offset;
    } bounds[] = {
        {".input_min", offsetof(struct encoder_linear, input_min)},
        {".input_max", offsetof(struct encoder_linear, input_max)},
        {".output_min", offsetof(struct encoder_linear, output_min)},
        {".output_max", offsetof(struct encoder_linear, output_max)},
    };
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++)
        add(list, FORM_SCALAR, line->offset + bounds[i].offset, line->name, bounds[i].name);
}

size_t encoder_tensors_list(const struct model_config *config, struct encoder_tensor **out)
{
    struct list list = {0};
    for (list.section = 0; list.section < N_ENCODER_SECTIONS; list.section++) {
        struct section section = section_of(config, list.section);
        list.prefix = section.prefix;
        for (list.layer = 0; list.layer < section.n_layers; list.layer++)
            for (size_t i = 0; i < section.n_lines; i++)
                if (is_there(config, section.lines[i].presence))
                    add_line(&list, config, &section.lines[i], section.is_clipped);
    }
    *out = list.tensors;
    return list.n;
}

bool encoder_tensors_own(const struct model_config *config, const char *name, bool *out_served)
{
    bool images = config->vision.num_hidden_layers > 0 || config->unified.mm_embed_dim > 0;
    bool sounds = config->audio.num_hidden_layers > 0 || config->unified.audio_embed_dim > 0;
    const struct {
        const char *prefix;
        bool served;
    } owners[] = {{"vision_tower.", images},
                  {"vision_embedder.", images},
                  {"embed_vision.", images},
                  {"audio_tower.", sounds},
                  {"embed_audio.", sounds}};
    const char *below = strncmp(name, "model.", 6) == 0 ? name + 6 : name;
    for (size_t i = 0; i < sizeof owners / sizeof *owners; i++)
        if (strncmp(below, owners[i].prefix, strlen(owners[i].prefix)) == 0) {
            *out_served = owners[i].served;
            return true;
        }
    return false;
}
