/* tests/model/test_config.c - the rules of gemma4-model.md section 2, on the golden configs with
 * edits and on the shapes of published models. */
#include "model/config.h"

#include "base/mem.h"
#include "base/text_buffer.h"
#include "tests/test.h"

struct edit {
    const char *from, *to; // the first occurrence; from NULL: no edit
};

static char *edited(const char *golden, struct edit edit)
{
    char path[100];
    size_t n;
    snprintf(path, sizeof path, "data/goldens/%s/checkpoint/config.json", golden);
    char *text = test_read_file(path, &n);
    if (!edit.from)
        return text;
    char *at = strstr(text, edit.from);
    if (!at)
        test_fail(__FILE__, __LINE__, "nothing to edit: %s", edit.from);
    struct text_buffer out = {0};
    text_buffer_append(&out, text, (size_t)(at - text));
    text_buffer_append_text(&out, edit.to);
    text_buffer_append_text(&out, at + strlen(edit.from));
    free(text);
    return text_buffer_release(&out);
}

static struct model_config parse_text(const char *text)
{
    static struct model_config config;
    struct error err = {0};
    ASSERT_OK_ERR(model_config_parse(text, strlen(text), "config.json", &config, &err), err);
    return config;
}

static struct model_config parse(const char *golden, const char *from, const char *to)
{
    char *text = edited(golden, (struct edit){from, to});
    struct model_config config = parse_text(text);
    free(text);
    return config;
}

static void expect_refused(const char *golden, struct edit edit, enum status want,
                           const char *message)
{
    char *text = edited(golden, edit);
    static struct model_config config;
    config.vocab_size = 77;
    struct error err = {0};
    enum status got = model_config_parse(text, strlen(text), "config.json", &config, &err);
    if (got != want || !strstr(err.message, message))
        test_fail(__FILE__, __LINE__, "%s -> %s: %s \"%s\", want %s \"%s\"", edit.from, edit.to,
                  status_name(got), err.message, status_name(want), message);
    ASSERT_EQ(config.vocab_size, 77); // left alone
    free(text);
}

TEST(the_golden_moe_config_is_read_whole)
{
    struct model_config c = parse("moe", NULL, NULL);
    ASSERT_STR_EQ(c.model_type, "gemma4");
    ASSERT_EQ(c.vocab_size, 1024);
    ASSERT_EQ(c.hidden_size, 128);
    ASSERT_EQ(c.num_hidden_layers, 6);
    ASSERT_EQ(c.num_attention_heads, 8);
    ASSERT_EQ(c.sliding_window, 32);
    ASSERT_EQ(c.max_position_embeddings, 8192);
    ASSERT_EQ(c.hidden_size_per_layer_input, 0);
    ASSERT_EQ(c.first_kv_shared_layer, 6);
    ASSERT_EQ(c.num_experts, 16);
    ASSERT_EQ(c.top_k_experts, 4);
    ASSERT_EQ(c.moe_intermediate_size, 32);
    ASSERT_EQ(c.dtype, DTYPE_BF16);
    ASSERT(c.attention_k_eq_v && c.tie_word_embeddings && c.bidirectional_images);
    ASSERT_NEAR(c.rms_norm_eps, 1e-6, 1e-12);
    ASSERT_NEAR(c.final_logit_softcapping, 30, 0);
    ASSERT_EQ(c.bos_token_id, 2);
    ASSERT_EQ(c.pad_token_id, 0);
    ASSERT_EQ(c.image_token_id, 1019);
    ASSERT_EQ(c.video_token_id, 1023);
    ASSERT_EQ(c.n_eos_token_ids, 2);
    ASSERT_EQ(c.eos_token_ids[0], 1);
    ASSERT_EQ(c.eos_token_ids[1], 16);
    ASSERT_EQ(c.layers[0].kind, LAYER_SLIDING);
    ASSERT_EQ(c.layers[0].head_dim, 32);
    ASSERT_EQ(c.layers[0].num_key_value_heads, 4);
    ASSERT(!c.layers[0].k_eq_v);
    ASSERT_EQ(c.layers[5].kind, LAYER_FULL);
    ASSERT_EQ(c.layers[5].head_dim, 64);
    ASSERT_EQ(c.layers[5].num_key_value_heads, 2);
    ASSERT(c.layers[5].k_eq_v);
}

TEST(shared_layers_read_the_last_own_layer_of_their_kind_and_are_double_wide)
{
    struct model_config c = parse("ple", NULL, NULL);
    ASSERT_EQ(c.first_kv_shared_layer, 5);
    ASSERT_EQ(c.hidden_size_per_layer_input, 32);
    for (uint32_t l = 0; l < 10; l++) {
        ASSERT_EQ(c.layers[l].kv_shared, l >= 5);
        ASSERT_EQ(c.layers[l].kv_source, l < 5 ? l : l == 9 ? 4 : 3);
        ASSERT_EQ(c.layers[l].intermediate_size, l < 5 ? 192 : 384);
        ASSERT_EQ(c.layers[l].num_key_value_heads, 1); // no global ones without attention_k_eq_v
    }
}

// As published: E2B by its numbers.
TEST(e2b_shares_from_layers_13_and_14)
{
    struct model_config c = parse_text(
        "{\"model_type\":\"gemma4\",\"text_config\":{\"hidden_size\":1536,"
        "\"intermediate_size\":6144,\"num_hidden_layers\":35,\"num_attention_heads\":8,"
        "\"num_key_value_heads\":1,\"head_dim\":256,\"num_kv_shared_layers\":20,"
        "\"use_double_wide_mlp\":true,\"num_global_key_value_heads\":null,\"layer_types\":["
        "\"sliding_attention\",\"sliding_attention\",\"sliding_attention\",\"sliding_attention\","
        "\"full_attention\",\"sliding_attention\",\"sliding_attention\",\"sliding_attention\","
        "\"sliding_attention\",\"full_attention\",\"sliding_attention\",\"sliding_attention\","
        "\"sliding_attention\",\"sliding_attention\",\"full_attention\",\"sliding_attention\","
        "\"sliding_attention\",\"sliding_attention\",\"sliding_attention\",\"full_attention\","
        "\"sliding_attention\",\"sliding_attention\",\"sliding_attention\",\"sliding_attention\","
        "\"full_attention\",\"sliding_attention\",\"sliding_attention\",\"sliding_attention\","
        "\"sliding_attention\",\"full_attention\",\"sliding_attention\",\"sliding_attention\","
        "\"sliding_attention\",\"sliding_attention\",\"full_attention\"]}}");
    ASSERT_EQ(c.vocab_size, 262144);
    ASSERT_EQ(c.hidden_size_per_layer_input, 256);
    ASSERT_EQ(c.max_position_embeddings, 131072);
    ASSERT_EQ(c.sliding_window, 512);
    ASSERT(c.final_logit_softcapping == 0 && c.tie_word_embeddings && !c.bidirectional_images);
    ASSERT_EQ(c.n_eos_token_ids, 1);
    ASSERT_EQ(c.eos_token_ids[0], 1);
    ASSERT_EQ(c.image_token_id, MODEL_TOKEN_NONE);
    for (uint32_t l = 15; l < 35; l++)
        ASSERT_EQ(c.layers[l].kv_source, c.layers[l].kind == LAYER_FULL ? 14 : 13);
    ASSERT_EQ(c.layers[14].head_dim, 512);
    ASSERT_EQ(c.layers[14].intermediate_size, 6144);
    ASSERT_EQ(c.layers[15].intermediate_size, 12288);
    ASSERT_NEAR(c.rope[LAYER_FULL].rope_theta, 1e6, 0);
    ASSERT_NEAR(c.rope[LAYER_FULL].partial_rotary_factor, 0.25, 0);
    ASSERT_NEAR(c.rope[LAYER_SLIDING].rope_theta, 1e4, 0);
}

TEST(unified_and_text_only_configs_have_their_own_defaults)
{
    struct model_config c = parse_text(
        "{\"model_type\":\"gemma4_unified\",\"text_config\":{\"hidden_size\":64,"
        "\"intermediate_size\":64,\"num_hidden_layers\":7,\"num_attention_heads\":4,"
        "\"num_key_value_heads\":2,\"head_dim\":16}}");
    ASSERT_EQ(c.hidden_size_per_layer_input, 0);
    ASSERT_EQ(c.max_position_embeddings, 262144);
    ASSERT(c.bidirectional_images);
    for (uint32_t l = 0; l < 7; l++) // of 7 layers the sixth is full, and the last is forced to be
        ASSERT_EQ(c.layers[l].kind, l >= 5 ? LAYER_FULL : LAYER_SLIDING);
    c = parse_text("{\"model_type\":\"gemma4_text\",\"torch_dtype\":\"float32\",\"hidden_size\":64,"
                   "\"intermediate_size\":64,\"num_hidden_layers\":1,\"num_attention_heads\":4,"
                   "\"num_key_value_heads\":2,\"head_dim\":16,\"tie_word_embeddings\":false,"
                   "\"eos_token_id\":[1,106,1]}");
    ASSERT_EQ(c.dtype, DTYPE_F32);
    ASSERT_EQ(c.hidden_size_per_layer_input, 256);
    ASSERT(!c.tie_word_embeddings);
    ASSERT_EQ(c.n_eos_token_ids, 2);
    ASSERT_EQ(c.layers[0].kind, LAYER_FULL);
    ASSERT_EQ(c.layers[0].head_dim, 512);
}

TEST(per_layer_config_says_the_same_as_global_names)
{
    struct model_config want = parse("moe", NULL, NULL);
    struct model_config got = parse("moe", "\"global_head_dim\": 64,",
                                    "\"per_layer_config\": {\"5\": {\"head_dim\": 64, "
                                    "\"num_key_value_heads\": 2}},");
    ASSERT_EQ(memcmp(&got, &want, sizeof got), 0);
    // Where it is there, it alone counts: layers that it does not name have the plain numbers.
    got = parse("moe", "\"global_head_dim\": 64,", "\"per_layer_config\": {},");
    ASSERT_EQ(got.layers[5].head_dim, 32);
    ASSERT_EQ(got.layers[5].num_key_value_heads, 4);
}

TEST(global_kv_heads_count_only_with_k_eq_v)
{
    struct model_config c = parse("moe", "\"attention_k_eq_v\": true",
                                  "\"attention_k_eq_v\": false");
    ASSERT_EQ(c.layers[5].num_key_value_heads, 4);
    ASSERT_EQ(c.layers[5].head_dim, 64);
    ASSERT(!c.layers[5].k_eq_v);
    c = parse("moe", "\"num_global_key_value_heads\": 2", "\"num_global_key_value_heads\": null");
    ASSERT_EQ(c.layers[5].num_key_value_heads, 4);
    ASSERT(c.layers[5].k_eq_v);
}

TEST(older_names_are_read)
{
    struct model_config c = parse("moe", "\"moe_intermediate_size\": 32",
                                  "\"moe_intermediate_size\": null, "
                                  "\"expert_intermediate_size\": 48");
    ASSERT_EQ(c.moe_intermediate_size, 48);
    c = parse("moe", "  \"dtype\": \"bfloat16\",\n  \"eoa",
              "  \"torch_dtype\": \"float16\",\n  \"eoa");
    ASSERT_EQ(c.dtype, DTYPE_BF16); // text_config says so, which has the last word
    c = parse("moe", "\"final_logit_softcapping\": 30.0", "\"final_logit_softcapping\": null");
    ASSERT(c.final_logit_softcapping == 0);
}

TEST(configs_that_break_a_rule_are_refused_by_key)
{
    static const struct {
        struct edit edit;
        const char *message;
    } cases[] = {
        {{"\"head_dim\": 32", "\"head_dim\": null"}, "config.json: text_config.head_dim: missing"},
        {{"\"hidden_size\": 128", "\"hidden_sizes\": 128"}, "text_config.hidden_size: missing"},
        {{"\"hidden_size\": 128", "\"hidden_size\": 0"}, "text_config.hidden_size: not an integer"},
        {{"\"hidden_size\": 128", "\"hidden_size\": 128.0"}, "hidden_size: not an integer"},
        {{"\"hidden_size\": 128", "\"hidden_size\": 1000000"},
         "hidden_size: not an integer in 1.."},
        {{"\"hidden_size\": 128", "\"hidden_size\": \"128\""}, "hidden_size: not an integer"},
        {{"\"vocab_size\": 1024", "\"vocab_size\": 99999999999999999999"}, "vocab_size: not an"},
        {{"\"num_hidden_layers\": 6", "\"num_hidden_layers\": 257"}, "num_hidden_layers: not an"},
        {{"\"num_hidden_layers\": 6", "\"num_hidden_layers\": 7"}, "text_config.layer_types: not"},
        {{"\"full_attention\"\n", "\"other_attention\"\n"}, "text_config.layer_types[5]: neither"},
        {{"\"num_key_value_heads\": 4", "\"num_key_value_heads\": 3"}, "does not divide"},
        {{"\"num_global_key_value_heads\": 2", "\"num_global_key_value_heads\": 3"},
         "layer 5 has 3"},
        {{"\"num_key_value_heads\": 4", "\"num_key_value_heads\": 0"},
         "num_key_value_heads: not an"},
        {{"\"head_dim\": 32", "\"head_dim\": 33"}, "layer 0 has 33, not even"},
        {{"\"num_attention_heads\": 8", "\"num_attention_heads\": 1024, \"global_head_dim\": 128"},
         "above 65536 together"},
        {{"\"num_kv_shared_layers\": 0", "\"num_kv_shared_layers\": 6"},
         "num_kv_shared_layers: not"},
        {{"\"num_kv_shared_layers\": 0", "\"num_kv_shared_layers\": 1"}, "layer 5 shares, but no"},
        {{"\"num_experts\": 16", "\"num_experts\": null"}, "text_config.num_experts: missing"},
        {{"\"top_k_experts\": 4", "\"top_k_experts\": 17"}, "17 of 16 experts"},
        {{"\"moe_intermediate_size\": 32", "\"moe_intermediate_size\": null"}, "size: missing"},
        {{"\"pad_token_id\": 0", "\"pad_token_id\": 1024"}, "pad_token_id: 1024: vocab_size"},
        {{"\"pad_token_id\": 0", "\"pad_token_id\": -1"}, "pad_token_id: not an integer"},
        {{"\"eos_token_id\": 1", "\"eos_token_id\": \"x\""}, "text_config.eos_token_id: not a"},
        {{"\"eos_token_id\": 1", "\"eos_token_id\": [1,2,3,4,5,6,7,8,9]"}, "more than 8 token ids"},
        {{"\"rms_norm_eps\": 1e-06", "\"rms_norm_eps\": -1"}, "rms_norm_eps: not a number in"},
        {{"\"rms_norm_eps\": 1e-06", "\"rms_norm_eps\": true"}, "rms_norm_eps: not a number in"},
        {{"\"enable_moe_block\": true", "\"enable_moe_block\": 1"}, "not true or false"},
        {{"\"rope_theta\": 1000000.0", "\"rope_theta\": 0"}, "full_attention.rope_theta: not a"},
        {{"\"rope_type\": \"default\"", "\"rope\": 1"}, "sliding_attention.rope_type: missing"},
        {{"\"rope_parameters\": {", "\"rope_parameters\": [], \"x\": {"},
         "rope_parameters: not an"},
        {{"\"model_type\": \"gemma4\",", ""}, "config.json: model_type: missing"},
        {{"\"text_config\": {", "\"text\": {"}, "config.json: text_config: missing"},
        {{"\"text_config\": {", "\"text_config\": 3, \"x\": {"}, "text_config: not an object"},
        {{"\"global_head_dim\": 64", "\"per_layer_config\": {\"6\": {}}"}, "config.6: not a layer"},
        {{"\"global_head_dim\": 64", "\"per_layer_config\": {\"+5\": {}}"}, "not a layer's number"},
        {{"\"global_head_dim\": 64", "\"per_layer_config\": {\"\": {}}"}, "not a layer's number"},
        {{"\"global_head_dim\": 64", "\"per_layer_config\": [1]"}, "per_layer_config: not an"},
        {{"\"global_head_dim\": 64", "\"per_layer_config\": {\"1\": {\"head_dim\": 2.5}}"},
         "text_config.per_layer_config.1.head_dim: not an integer"},
        {{"\"vocab_size_per_layer_input\": 1024",
          "\"vocab_size_per_layer_input\": 1000, \"hidden_size_per_layer_input\": 8"},
         "vocab_size_per_layer_input: 1000 is less than vocab_size"},
        {{"{\n  \"architectures\"", "[{\n  \"architectures\""}, "config.json: line"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_refused("moe", cases[i].edit, STATUS_INVALID_ARGUMENT, cases[i].message);
}

TEST(models_that_are_not_served_are_refused_by_name)
{
    static const struct {
        struct edit edit;
        const char *message;
    } cases[] = {
        {{"\"model_type\": \"gemma4\"", "\"model_type\": \"gemma3\""},
         "model_type: \"gemma3\" is no"},
        {{"\"model_type\": \"gemma4\"", "\"model_type\": \"gemma4_assistant\""},
         "gemma4_assistant"},
        {{"\"use_bidirectional_attention\": \"vision\"",
          "\"use_bidirectional_attention\": \"all\""},
         "use_bidirectional_attention: \"all\" is not served"},
        {{"\"rope_type\": \"proportional\"", "\"rope_type\": \"yarn\""}, "\"yarn\" is not served"},
        {{"\"rope_type\": \"default\"", "\"rope_type\": \"linear\""}, "\"linear\" is not served"},
        {{"\"sliding_attention\": {", "\"other_attention\": {"}, "other_attention: no layer type"},
        {{"\"hidden_activation\": \"gelu_pytorch_tanh\"", "\"hidden_activation\": \"silu\""},
         "hidden_activation: \"silu\""},
        {{"\"attention_bias\": false", "\"attention_bias\": true"}, "attention_bias: true"},
        {{"\"dtype\": \"bfloat16\"", "\"dtype\": \"int8\""}, "dtype: \"int8\" is not served"},
        {{"\"audio_config\": null", "\"quantization_config\": {}"},
         "quantization_config: quantized"},
        {{"\"global_head_dim\": 64", "\"per_layer_config\": {\"1\": {\"sliding_window\": 3}}"},
         "per_layer_config.1.sliding_window: may not differ"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_refused("moe", cases[i].edit, STATUS_UNIMPLEMENTED, cases[i].message);
}

TEST(a_shared_layer_needs_the_heads_of_its_source)
{
    expect_refused("ple",
                   (struct edit){"\"global_head_dim\": 32",
                                 "\"per_layer_config\": {\"7\": {\"head_dim\": 32}}"},
                   STATUS_INVALID_ARGUMENT,
                   "layer 7 and the layer 3 that it shares with have different heads");
}

static int32_t bits_of(float value)
{
    int32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

// want: bits of what PyTorch computes.
static void expect_inv_freq(enum layer_kind kind, struct rope_config rope, uint32_t head_dim,
                            uint32_t want_rotated, const uint32_t *want)
{
    static struct model_config config;
    config.rope[kind] = rope;
    float got[512];
    uint32_t rotated;
    model_inv_freq(&config, kind, head_dim, got, &rotated);
    ASSERT_EQ(rotated, want_rotated);
    for (uint32_t i = 0; i < head_dim / 2; i++) {
        int32_t ulps = bits_of(got[i]) - (int32_t)(i < rotated ? want[i] : 0);
        if (ulps < -1 || ulps > 1)
            test_fail(__FILE__, __LINE__, "inv_freq[%u] is %.9g, %d ulps off", i, (double)got[i],
                      ulps);
    }
}

TEST(the_encoders_of_goldens_are_read_whole)
{
    struct model_config c = parse("ple", NULL, NULL);
    ASSERT_EQ(c.vision.num_hidden_layers, 3);
    ASSERT_EQ(c.vision.hidden_size, 64);
    ASSERT_EQ(c.vision.intermediate_size, 128);
    ASSERT_EQ(c.vision.num_attention_heads, 4);
    ASSERT_EQ(c.vision.head_dim, 16);
    ASSERT_EQ(c.vision.position_embedding_size, 1024);
    ASSERT(c.vision.rms_norm_eps == 1e-6F && c.vision.rope_theta == 100);
    ASSERT(c.vision.use_clipped_linears && !c.vision.standardize);
    ASSERT_EQ(c.audio.num_hidden_layers, 3);
    ASSERT_EQ(c.audio.hidden_size, 64);
    ASSERT_EQ(c.audio.num_attention_heads, 4);
    ASSERT_EQ(c.audio.subsampling_conv_channels[0], 128);
    ASSERT_EQ(c.audio.subsampling_conv_channels[1], 8);
    ASSERT_EQ(c.audio.conv_kernel_size, 5);
    ASSERT_EQ(c.audio.attention_chunk_size, 12);
    ASSERT_EQ(c.audio.attention_context_left, 13);
    ASSERT_EQ(c.audio.output_proj_dims, 80);
    ASSERT(c.audio.residual_weight == 0.5F && c.audio.attention_logit_cap == 50);
    ASSERT(c.audio.gradient_clipping == 1e10F && c.audio.use_clipped_linears);
    const uint32_t tokens[] = {c.boi_token_id, c.eoi_token_id,   c.image_token_id, c.boa_token_id,
                               c.eoa_token_id, c.audio_token_id, c.video_token_id};
    for (uint32_t i = 0; i < 7; i++)
        ASSERT_EQ(tokens[i], 1017 + i);
    ASSERT_EQ(c.vision_soft_tokens_per_image, 70);
    c = parse("dense", NULL, NULL);
    ASSERT(c.vision.standardize && !c.vision.use_clipped_linears);
    ASSERT_EQ(c.audio.num_hidden_layers, 0);
    ASSERT_EQ(c.unified.mm_embed_dim, 0);
}

static const char unified_text[] =
    "\"text_config\":{\"hidden_size\":64,\"intermediate_size\":64,\"num_hidden_layers\":1,"
    "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":16}";

TEST(a_unified_model_projects_pixels_and_samples)
{
    struct text_buffer text = {0};
    text_buffer_append_format(
        &text,
        "{\"model_type\":\"gemma4_unified\",%s,\"vision_config\":{\"mm_embed_dim\":96},"
        "\"audio_config\":{\"rms_norm_eps\":1e-5},\"image_token_id\":9,\"boi_token_id\":8,"
        "\"eoi_token_id\":7,\"audio_token_id\":6,\"boa_token_id\":5,\"eoa_token_index\":4}",
        unified_text);
    struct model_config c = parse_text(text.data);
    ASSERT_EQ(c.unified.mm_embed_dim, 96);
    ASSERT_EQ(c.unified.mm_posemb_size, 1120);
    ASSERT_EQ(c.unified.audio_embed_dim, 640);
    ASSERT(c.unified.vision_rms_norm_eps == 1e-6F && c.unified.audio_rms_norm_eps == 1e-5F);
    ASSERT_EQ(c.vision.num_hidden_layers + c.audio.num_hidden_layers, 0);
    ASSERT_EQ(c.eoa_token_id, 4);
    ASSERT_EQ(c.video_token_id, MODEL_TOKEN_NONE);
    ASSERT_EQ(c.vision_soft_tokens_per_image, 280);
    text_buffer_clear(&text);
    text_buffer_append_format(&text, "{\"model_type\":\"gemma4_unified\",%s}", unified_text);
    c = parse_text(text.data);
    ASSERT_EQ(c.unified.mm_embed_dim + c.unified.audio_embed_dim, 0);
    text_buffer_finish(&text);
}

TEST(encoders_that_break_a_rule_are_refused_by_key)
{
    static const struct {
        struct edit edit;
        enum status status;
        const char *message;
    } cases[] = {
        {{"\"head_dim\": 16,\n    \"hidden_activation\": \"gelu_pytorch_tanh\",\n    "
          "\"hidden_size\": 64",
          "\"head_dim\": 18,\"hidden_size\": 64"},
         STATUS_INVALID_ARGUMENT,
         "vision_config.head_dim: 18: both axes"},
        {{"\"patch_size\": 16", "\"patch_size\": 14"},
         STATUS_UNIMPLEMENTED,
         "vision_config.patch_size: 14 is not served (16 is)"},
        {{"\"pooling_kernel_size\": 3", "\"pooling_kernel_size\": 2"},
         STATUS_UNIMPLEMENTED,
         "vision_config.pooling_kernel_size: 2"},
        {{"\"num_key_value_heads\": 4", "\"num_key_value_heads\": 2"},
         STATUS_UNIMPLEMENTED,
         "vision_config.num_key_value_heads: 2 is not served (4 is)"},
        {{"\"position_embedding_size\": 1024", "\"position_embedding_size\": 0"},
         STATUS_INVALID_ARGUMENT,
         "vision_config.position_embedding_size: not"},
        {{"\"rope_theta\": 100.0,\n      \"rope_type\": \"default\"",
          "\"rope_type\": \"proportional\""},
         STATUS_UNIMPLEMENTED,
         "vision_config.rope_parameters.rope_type: \"proportional\""},
        {{"\"vision_config\": {", "\"vision_config\": 3, \"x\": {"},
         STATUS_INVALID_ARGUMENT,
         "vision_config: not an object"},
        {{"\"boi_token_id\": 1017,", ""}, STATUS_INVALID_ARGUMENT, "boi_token_id: missing"},
        {{"\"eoi_token_id\": 1018,", ""}, STATUS_INVALID_ARGUMENT, "eoi_token_id: missing"},
        {{"\"image_token_id\": 1019", "\"image_token_id\": 1024"},
         STATUS_INVALID_ARGUMENT,
         "image_token_id: 1024: vocab_size is 1024"},
        {{"\"video_token_id\": 1023", "\"video_token_id\": 262144"},
         STATUS_INVALID_ARGUMENT,
         "video_token_id: 262144: vocab_size is 1024"},
        {{"\"eoa_token_id\": 1021,\n  \"eoa_token_index\": 1021,", ""},
         STATUS_INVALID_ARGUMENT,
         "eoa_token_index: missing"},
        {{"\"vision_soft_tokens_per_image\": 70", "\"vision_soft_tokens_per_image\": 71"},
         STATUS_INVALID_ARGUMENT,
         "vision_soft_tokens_per_image: 71 is none of"},
        {{"\"hidden_act\": \"silu\"", "\"hidden_act\": \"gelu\""},
         STATUS_UNIMPLEMENTED,
         "audio_config.hidden_act: \"gelu\""},
        {{"\"attention_context_right\": 0", "\"attention_context_right\": 1"},
         STATUS_UNIMPLEMENTED,
         "audio_config.attention_context_right: 1"},
        {{"128,\n      8\n", "128\n"},
         STATUS_INVALID_ARGUMENT,
         "audio_config.subsampling_conv_channels: not two"},
        {{"\"num_attention_heads\": 4,\n    \"num_hidden_layers\": 3,\n    \"output",
          "\"num_attention_heads\": 5,\n    \"num_hidden_layers\": 3,\n    \"output"},
         STATUS_INVALID_ARGUMENT,
         "audio_config.num_attention_heads: 5 heads"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_refused("ple", cases[i].edit, cases[i].status, cases[i].message);
}

TEST(inverse_frequencies_are_the_references)
{
    expect_inv_freq(LAYER_SLIDING, (struct rope_config){1e4, 1, 1}, 16, 8,
                    (const uint32_t[]){0x3F800000, 0x3EA1E89B, 0x3DCCCCCD, 0x3D0186E3, 0x3C23D70A,
                                       0x3B4F3E38, 0x3A83126F, 0x39A5CB60});
    expect_inv_freq(LAYER_FULL, (struct rope_config){1e6, 0.25, 1}, 64, 8,
                    (const uint32_t[]){0x3F800000, 0x3F263DE0, 0x3ED7E89B, 0x3E8C3504, 0x3E361887,
                                       0x3DEC7FD6, 0x3D99940D, 0x3D47763F});
    expect_inv_freq(LAYER_FULL, (struct rope_config){1e6, 0.5, 8}, 32, 8,
                    (const uint32_t[]){0x3E000000, 0x3D57E89B, 0x3CB61887, 0x3C19940D, 0x3B8186E3,
                                       0x3ADA7BF2, 0x3A38449C, 0x399B690D});
    static struct model_config published;
    published.rope[LAYER_SLIDING] = (struct rope_config){1e4, 1, 1};
    published.rope[LAYER_FULL] = (struct rope_config){1e6, 0.25, 1};
    float got[256];
    uint32_t rotated;
    model_inv_freq(&published, LAYER_SLIDING, 256, got, &rotated);
    ASSERT_EQ(rotated, 128);
    ASSERT_NEAR(got[1], 0.930572, 5e-7);
    model_inv_freq(&published, LAYER_FULL, 512, got, &rotated);
    ASSERT_EQ(rotated, 64);
    ASSERT_NEAR(got[1], 0.947464, 5e-7);
    ASSERT_NEAR(got[63], pow(1e6, -126.0 / 512), 1e-8);
    ASSERT(got[64] == 0);
}

TEST(a_config_that_is_not_there_is_not_found)
{
    static struct model_config config;
    struct error err = {0};
    ASSERT_EQ(model_config_load(test_path("data/no-such-file.json"), &config, &err),
              STATUS_NOT_FOUND);
    ASSERT_CONTAINS(err.message, "no-such-file.json");
}
