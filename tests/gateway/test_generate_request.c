/* tests/gateway/test_generate_request.c - what a GenerateRequest becomes, and what is refused:
 * every field at and beyond its limits. Messages are built, packed and unpacked, as they come in.
 */
#include "tests/test.h"

#include "base/mem.h"
#include "gateway/generate_request.h"
#include "gateway/message.h"
#include "tests/text/tokenizers.h"

#define BOS 285
#define IMAGE 287
#define VOCAB 288
#define MAX_POSITIONS 50

static const uint32_t stop_ids[] = {284, 286};
static const uint32_t soft_token_ids[] = {IMAGE};
static const struct generate_random drawn = {.seed = 4711, .id = 0xC0FFEE};

struct fixture {
    struct gateway_model model;
    struct tokenizer *tokenizer;
    struct tokenizer_encoder *encoder;
    struct template *template;
    Gemmad__V1__GenerateRequest m;
    Gemmad__V1__Sampling s;
    Gemmad__V1__Stopping stop;
    Gemmad__V1__ResponseOptions r;
    ProtobufCMessage *unpacked;
    struct generate_request out;
    struct error err;
};

// Ids 0..255 are the bytes, 256..281 "a".."z", then <eos> 284, <bos> 285, <end> 286, <image> 287.
static void open_model(struct fixture *f)
{
    static const char letters[26][2] = {"a", "b", "c", "d", "e", "f", "g", "h", "i",
                                        "j", "k", "l", "m", "n", "o", "p", "q", "r",
                                        "s", "t", "u", "v", "w", "x", "y", "z"};
    const char *entries[32];
    for (int i = 0; i < 26; i++)
        entries[i] = letters[i];
    const char *const others[] = {"\xE2\x96\x81", "<unused>", "<eos>", "<bos>", "<end>", "<image>"};
    for (int i = 0; i < 6; i++)
        entries[26 + i] = others[i];
    struct text_buffer added = {0};
    for (int i = 0; i < 4; i++)
        text_buffer_append_format(
            &added,
            "%s{\"id\":%d,\"content\":\"%s\",\"single_word\":false,\"lstrip\":false,"
            "\"rstrip\":false,\"normalized\":false,\"special\":true}",
            i ? "," : "", 284 + i, others[2 + i]);
    char *json = write_tokenizer(entries, 32, "", added.data);
    ASSERT_OK_ERR(tokenizer_parse(json, strlen(json), "test", &f->tokenizer, &f->err), f->err);
    free(json);
    text_buffer_finish(&added);
    static const char source[] =
        "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}";
    ASSERT_OK_ERR(template_compile(source, sizeof source - 1, "test", &f->template, &f->err),
                  f->err);
}

static struct fixture *open_fixture(void)
{
    struct fixture *f = mem_zeroed(1, sizeof *f);
    open_model(f);
    f->encoder = tokenizer_encoder_create(f->tokenizer);
    f->model = (struct gateway_model){.tokenizer = f->tokenizer,
                                      .chat_template = f->template,
                                      .bos_id = BOS,
                                      .stop_ids = stop_ids,
                                      .n_stop_ids = 2,
                                      .soft_token_ids = soft_token_ids,
                                      .n_soft_token_ids = 1,
                                      .vocab_size = VOCAB,
                                      .max_positions = MAX_POSITIONS};
    gemmad__v1__generate_request__init(&f->m);
    gemmad__v1__sampling__init(&f->s);
    gemmad__v1__stopping__init(&f->stop);
    gemmad__v1__response_options__init(&f->r);
    f->m.sampling = &f->s;
    f->m.stopping = &f->stop;
    f->m.response = &f->r;
    f->m.prompt_case = GEMMAD__V1__GENERATE_REQUEST__PROMPT_TEXT;
    f->m.text = (ProtobufCBinaryData){3, (uint8_t *)"abc"};
    return f;
}

// Over the wire and through the function.
static enum status make(struct fixture *f)
{
    generate_request_finish(&f->out);
    message_free(f->unpacked);
    f->unpacked = NULL;
    struct text_buffer bytes = {0};
    message_pack(&f->m.base, &bytes);
    f->err = (struct error){0};
    ASSERT_OK_ERR(message_unpack(&gemmad__v1__generate_request__descriptor,
                                 (const uint8_t *)bytes.data, bytes.length, &f->unpacked, &f->err),
                  f->err);
    text_buffer_finish(&bytes);
    return generate_request_init(&f->out, (Gemmad__V1__GenerateRequest *)f->unpacked, &f->model,
                                 f->encoder, &drawn, &f->err);
}

static void close_fixture(struct fixture *f)
{
    generate_request_finish(&f->out);
    message_free(f->unpacked);
    tokenizer_encoder_destroy(f->encoder);
    tokenizer_destroy(f->tokenizer);
    template_destroy(f->template);
    free(f);
}

static void expect_bad(struct fixture *f, const char *part)
{
    ASSERT_EQ(make(f), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(f->err.message, part);
    ASSERT(!f->out.prompt.ids && !f->out.id); // nothing is left to free
}

TEST(an_empty_request_gets_neutral_values)
{
    struct fixture *f = open_fixture();
    f->m.sampling = NULL;
    f->m.stopping = NULL;
    f->m.response = NULL;
    ASSERT_OK_ERR(make(f), f->err);
    const struct request *r = &f->out.request;
    ASSERT_STR_EQ(r->id, "0000000000c0ffee");
    ASSERT_EQ(r->n, 1);
    ASSERT_NEAR(r->sampling.temperature, 1, 0);
    ASSERT_NEAR(r->sampling.top_p, 1, 0);
    ASSERT_NEAR(r->sampling.min_p, 0, 0);
    ASSERT_NEAR(r->sampling.repetition_penalty, 1, 0);
    ASSERT_EQ(r->sampling.top_k, 0);
    ASSERT_EQ(r->sampling.seed, 4711);
    ASSERT_EQ(r->sampling.n_logprobs, -1);
    ASSERT_EQ(r->sampling.n_prompt_logprobs, -1);
    ASSERT(r->want_text && r->skip_special_tokens && !r->want_token_ids && !r->want_prompt_ids);
    ASSERT(!r->include_stop && !r->cache_salt);
    ASSERT_EQ(r->n_prompt, 4);
    ASSERT_EQ(r->prompt[0], BOS);
    ASSERT_EQ(r->prompt[1], 256);
    ASSERT_EQ(r->max_tokens, MAX_POSITIONS - 4);
    ASSERT_EQ(r->n_stop_ids, 2);
    ASSERT_EQ(r->stop_ids[1], 286);
    ASSERT_EQ(r->time_limit_ns, 0);
    close_fixture(f);
}

TEST(the_checkpoint_fills_in_what_the_request_leaves_open)
{
    struct fixture *f = open_fixture();
    f->model.generation = (struct generation_config){.has_temperature = true,
                                                     .temperature = 0.5F,
                                                     .has_top_k = true,
                                                     .top_k = 64,
                                                     .has_top_p = true,
                                                     .top_p = 0.95F,
                                                     .has_repetition_penalty = true,
                                                     .repetition_penalty = 1.1F,
                                                     .has_max_new_tokens = true,
                                                     .max_new_tokens = 7,
                                                     .n_suppress_tokens = 1,
                                                     .suppress_tokens = {260}};
    ASSERT_OK_ERR(make(f), f->err);
    const struct request *r = &f->out.request;
    ASSERT_NEAR(r->sampling.temperature, 0.5, 0);
    ASSERT_EQ(r->sampling.top_k, 64);
    ASSERT_NEAR(r->sampling.top_p, 0.95, 1e-6);
    ASSERT_NEAR(r->sampling.repetition_penalty, 1.1, 1e-6);
    ASSERT_EQ(r->max_tokens, 7);
    ASSERT_EQ(r->n_biases, 1);
    ASSERT_EQ(r->biases[0].token_id, 260);
    ASSERT(r->biases[0].bias < -1e20F && isfinite(r->biases[0].bias));

    f->s.has_temperature = f->s.has_top_k = f->s.has_top_p = f->s.has_repetition_penalty = true;
    f->s.temperature = 0; // present and zero is not absent
    f->s.top_k = -1;
    f->s.top_p = 1;
    f->s.repetition_penalty = 1;
    f->stop.has_max_tokens = true;
    f->stop.max_tokens = 9;
    ASSERT_OK_ERR(make(f), f->err);
    ASSERT_NEAR(r->sampling.temperature, 0, 0);
    ASSERT_EQ(r->sampling.top_k, 0);
    ASSERT_NEAR(r->sampling.top_p, 1, 0);
    ASSERT_NEAR(r->sampling.repetition_penalty, 1, 0);
    ASSERT_EQ(r->max_tokens, 9);

    f->stop.has_max_tokens = false;
    f->stop.has_min_tokens = true;
    f->stop.min_tokens = 8; // beats max_new_tokens, which the client did not ask for
    ASSERT_OK_ERR(make(f), f->err);
    ASSERT_EQ(r->max_tokens, 8);
    close_fixture(f);
}

TEST(all_fields_arrive)
{
    struct fixture *f = open_fixture();
    f->m.has_request_id = f->m.has_cache_salt = f->m.has_priority = true;
    f->m.request_id = (ProtobufCBinaryData){5, (uint8_t *)"id \xC3\xA9"};
    f->m.cache_salt = (ProtobufCBinaryData){4, (uint8_t *)"salt"};
    f->m.priority = -3;
    f->s.has_seed = f->s.has_n = f->s.has_min_p = true;
    f->s.has_frequency_penalty = f->s.has_presence_penalty = true;
    f->s.seed = UINT64_MAX;
    f->s.n = 128;
    f->s.min_p = 1;
    f->s.frequency_penalty = -2;
    f->s.presence_penalty = 2;
    ProtobufCBinaryData stops[] = {{3, (uint8_t *)"a\0b"}, {1, (uint8_t *)"c"}};
    f->stop.n_stop = 2;
    f->stop.stop = stops;
    uint32_t own_stop_ids[] = {5};
    f->stop.n_stop_token_ids = 1;
    f->stop.stop_token_ids = own_stop_ids;
    f->stop.has_ignore_eos = f->stop.ignore_eos = true;
    f->stop.has_include_stop = f->stop.include_stop = true;
    f->stop.has_time_limit_ms = true;
    f->stop.time_limit_ms = UINT32_MAX;
    f->r.has_text = f->r.has_skip_special_tokens = true; // false
    f->r.has_token_ids = f->r.token_ids = true;
    f->r.has_prompt_token_ids = f->r.prompt_token_ids = true;
    f->r.has_logprobs = f->r.has_prompt_logprobs = true;
    f->r.logprobs = 20;
    f->r.prompt_logprobs = 0;
    ASSERT_OK_ERR(make(f), f->err);
    const struct request *r = &f->out.request;
    ASSERT_STR_EQ(r->id, "id \xC3\xA9");
    ASSERT_STR_EQ(r->cache_salt, "salt");
    ASSERT_EQ(r->priority, -3);
    ASSERT_EQ(r->sampling.seed, UINT64_MAX);
    ASSERT_EQ(r->n, 128);
    ASSERT_NEAR(r->sampling.min_p, 1, 0);
    ASSERT_NEAR(r->sampling.frequency_penalty, -2, 0);
    ASSERT_NEAR(r->sampling.presence_penalty, 2, 0);
    ASSERT_EQ(r->n_stop_strings, 2);
    ASSERT_EQ(r->stop_strings[0].n, 3);
    ASSERT_EQ(r->stop_strings[0].bytes[2], 'b');
    ASSERT_EQ(r->n_stop_ids, 1); // the model's own are ignored
    ASSERT_EQ(r->stop_ids[0], 5);
    ASSERT(r->include_stop && !r->want_text && !r->skip_special_tokens);
    ASSERT(r->want_token_ids && r->want_prompt_ids);
    ASSERT_EQ(r->time_limit_ns, UINT32_MAX * UINT64_C(1000000));
    ASSERT_EQ(r->sampling.n_logprobs, 20);
    ASSERT_EQ(r->sampling.n_prompt_logprobs, 0);
    close_fixture(f);
}

TEST(sampling_fields_have_ranges)
{
    struct fixture *f = open_fixture();
    const struct {
        const char *name;
        protobuf_c_boolean *has;
        float *field;
        float good[3], bad[4];
    } cases[] = {
        {"temperature",
         &f->s.has_temperature,
         &f->s.temperature,
         {0, 1, 2},
         {-0.1F, 2.1F, NAN, INFINITY}},
        {"top_p", &f->s.has_top_p, &f->s.top_p, {1e-9F, 0.5F, 1}, {-0.1F, 1.1F, NAN, INFINITY}},
        {"min_p", &f->s.has_min_p, &f->s.min_p, {0, 0.5F, 1}, {-0.1F, 1.1F, NAN, INFINITY}},
        {"repetition_penalty",
         &f->s.has_repetition_penalty,
         &f->s.repetition_penalty,
         {1e-3F, 1, 100},
         {0, -1, NAN, INFINITY}},
        {"frequency_penalty",
         &f->s.has_frequency_penalty,
         &f->s.frequency_penalty,
         {-2, 0, 2},
         {-2.1F, 2.1F, NAN, -INFINITY}},
        {"presence_penalty",
         &f->s.has_presence_penalty,
         &f->s.presence_penalty,
         {-2, 0, 2},
         {-2.1F, 2.1F, NAN, -INFINITY}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        *cases[i].has = true;
        for (int k = 0; k < 3; k++) {
            *cases[i].field = cases[i].good[k];
            ASSERT_OK_ERR(make(f), f->err);
        }
        for (int k = 0; k < 4; k++) {
            *cases[i].field = cases[i].bad[k];
            expect_bad(f, cases[i].name);
        }
        *cases[i].has = false;
        *cases[i].field = 0;
    }
    f->s.has_top_k = f->s.has_n = true;
    f->s.top_k = -2;
    expect_bad(f, "top_k");
    f->s.top_k = INT32_MAX;
    f->s.n = 129;
    expect_bad(f, "sampling.n=129");
    f->s.n = 0; // as if absent
    ASSERT_OK_ERR(make(f), f->err);
    ASSERT_EQ(f->out.request.n, 1);
    close_fixture(f);
}

TEST(a_top_p_of_zero_leaves_the_best_token)
{
    struct fixture *f = open_fixture();
    f->s.has_top_p = true;
    ASSERT_OK_ERR(make(f), f->err);
    ASSERT_EQ(f->out.request.sampling.top_k, 1);
    ASSERT_NEAR(f->out.request.sampling.top_p, 1, 0);
    close_fixture(f);
}

TEST(biases_are_sorted_and_the_last_of_a_token_counts)
{
    struct fixture *f = open_fixture();
    f->model.generation.n_suppress_tokens = 2;
    f->model.generation.suppress_tokens[0] = 7;
    f->model.generation.suppress_tokens[1] = VOCAB; // not of this model
    Gemmad__V1__Sampling__LogitBiasEntry entries[5];
    Gemmad__V1__Sampling__LogitBiasEntry *list[5];
    const struct logit_bias asked[5] = {{9, 1}, {7, 100}, {3, -100}, {9, 2}, {3, 5}};
    for (int i = 0; i < 5; i++) {
        gemmad__v1__sampling__logit_bias_entry__init(&entries[i]);
        entries[i].has_key = entries[i].has_value = true;
        entries[i].key = asked[i].token_id;
        entries[i].value = asked[i].bias;
        list[i] = &entries[i];
    }
    f->s.n_logit_bias = 5;
    f->s.logit_bias = list;
    ASSERT_OK_ERR(make(f), f->err);
    const struct request *r = &f->out.request;
    ASSERT_EQ(r->n_biases, 3);
    ASSERT_EQ(r->biases[0].token_id, 3);
    ASSERT_NEAR(r->biases[0].bias, 5, 0);
    ASSERT_EQ(r->biases[1].token_id, 7);
    ASSERT(r->biases[1].bias < -1e20F);
    ASSERT_EQ(r->biases[2].token_id, 9);
    ASSERT_NEAR(r->biases[2].bias, 2, 0);
    entries[4].value = 100.5F;
    expect_bad(f, "logit_bias: token 3");
    entries[4].value = NAN;
    expect_bad(f, "logit_bias: token 3");
    entries[4].value = 1;
    entries[4].key = VOCAB;
    expect_bad(f, "logit_bias: unknown token 288");
    close_fixture(f);
}

TEST(stopping_fields_have_limits)
{
    struct fixture *f = open_fixture();
    ProtobufCBinaryData stops[17];
    static uint8_t long_stop[STOP_STRING_MAX_BYTES + 1];
    memset(long_stop, 'x', sizeof long_stop);
    for (int i = 0; i < 17; i++)
        stops[i] = (ProtobufCBinaryData){1, (uint8_t *)"x"};
    f->stop.stop = stops;
    f->stop.n_stop = 16;
    ASSERT_OK_ERR(make(f), f->err);
    f->stop.n_stop = 17;
    expect_bad(f, "stopping.stop: 17");
    f->stop.n_stop = 16;
    stops[3] = (ProtobufCBinaryData){0, NULL};
    expect_bad(f, "stopping.stop[3]: empty");
    stops[3] = (ProtobufCBinaryData){2, (uint8_t *)"a\xFF"};
    expect_bad(f, "stopping.stop[3]: not UTF-8 at byte 1");
    stops[3] = (ProtobufCBinaryData){STOP_STRING_MAX_BYTES, long_stop};
    ASSERT_OK_ERR(make(f), f->err);
    stops[3].len++;
    expect_bad(f, "stopping.stop[3]: 4097");
    f->stop.n_stop = 0;

    static uint32_t ids[GENERATE_MAX_STOP_TOKEN_IDS + 1];
    f->stop.stop_token_ids = ids;
    f->stop.n_stop_token_ids = GENERATE_MAX_STOP_TOKEN_IDS;
    ASSERT_OK_ERR(make(f), f->err);
    ASSERT_EQ(f->out.request.n_stop_ids, GENERATE_MAX_STOP_TOKEN_IDS + 2);
    ids[1] = VOCAB;
    expect_bad(f, "stop_token_ids[1]=288");
    f->stop.n_stop_token_ids++;
    expect_bad(f, "stop_token_ids: 1025");
    f->stop.n_stop_token_ids = 0;

    f->stop.has_max_tokens = f->stop.has_min_tokens = true;
    expect_bad(f, "max_tokens=0");
    f->stop.max_tokens = 5;
    f->stop.min_tokens = 6;
    expect_bad(f, "min_tokens=6");
    f->stop.min_tokens = 5;
    ASSERT_OK_ERR(make(f), f->err);
    ASSERT_EQ(f->out.request.max_tokens, 5);
    f->stop.max_tokens = UINT32_MAX; // what fits
    ASSERT_OK_ERR(make(f), f->err);
    ASSERT_EQ(f->out.request.max_tokens, MAX_POSITIONS - 4);
    f->stop.min_tokens = MAX_POSITIONS - 3;
    expect_bad(f, "only 46 fit behind a prompt of 4");
    close_fixture(f);
}

TEST(logprobs_are_twenty_at_most)
{
    struct fixture *f = open_fixture();
    f->r.has_logprobs = f->r.has_prompt_logprobs = true;
    f->r.logprobs = 21;
    expect_bad(f, "response.logprobs=21");
    f->r.logprobs = 0;
    f->r.prompt_logprobs = 21;
    expect_bad(f, "response.prompt_logprobs=21");
    f->r.prompt_logprobs = INT32_MIN; // off
    ASSERT_OK_ERR(make(f), f->err);
    ASSERT_EQ(f->out.request.sampling.n_logprobs, 0);
    ASSERT_EQ(f->out.request.sampling.n_prompt_logprobs, -1);
    close_fixture(f);
}

TEST(names_are_short_text_without_control_characters)
{
    struct fixture *f = open_fixture();
    static uint8_t long_name[GENERATE_MAX_ID_BYTES + 1];
    memset(long_name, 'x', sizeof long_name);
    const struct {
        ProtobufCBinaryData name;
        const char *why;
    } bad[] = {
        {{sizeof long_name, long_name}, "257 bytes"},
        {{3, (uint8_t *)"a\0b"}, "control character at byte 1"},
        {{2, (uint8_t *)"a\n"}, "control character at byte 1"},
        {{1, (uint8_t *)"\x7F"}, "control character at byte 0"},
        {{2, (uint8_t *)"a\x80"}, "not UTF-8 at byte 1"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        f->m.has_request_id = true;
        f->m.request_id = bad[i].name;
        expect_bad(f, bad[i].why);
        ASSERT_CONTAINS(f->err.message, "request_id");
        f->m.has_request_id = false;
        f->m.has_cache_salt = true;
        f->m.cache_salt = bad[i].name;
        expect_bad(f, bad[i].why);
        ASSERT_CONTAINS(f->err.message, "cache_salt");
        f->m.has_cache_salt = false;
    }
    f->m.has_request_id = true;
    f->m.request_id = (ProtobufCBinaryData){GENERATE_MAX_ID_BYTES, long_name};
    ASSERT_OK_ERR(make(f), f->err);
    close_fixture(f);
}

static void set_text(struct fixture *f, const char *text)
{
    f->m.prompt_case = GEMMAD__V1__GENERATE_REQUEST__PROMPT_TEXT;
    f->m.text = (ProtobufCBinaryData){strlen(text), (uint8_t *)text};
}

TEST(a_text_has_one_bos)
{
    struct fixture *f = open_fixture();
    set_text(f, "<bos>a");
    ASSERT_OK_ERR(make(f), f->err);
    ASSERT_EQ(f->out.request.n_prompt, 2);
    ASSERT_EQ(f->out.request.prompt[0], BOS);
    ASSERT_EQ(f->out.request.prompt[1], 256);
    set_text(f, "<bos>");
    ASSERT_OK_ERR(make(f), f->err);
    ASSERT_EQ(f->out.request.n_prompt, 1);
    f->model.bos_id = TOKEN_NONE;
    set_text(f, "ab");
    ASSERT_OK_ERR(make(f), f->err);
    ASSERT_EQ(f->out.request.n_prompt, 2);
    ASSERT_EQ(f->out.request.prompt[0], 256);
    close_fixture(f);
}

TEST(prompts_that_cannot_be_served_are_refused)
{
    struct fixture *f = open_fixture();
    set_text(f, "");
    expect_bad(f, "text: empty");
    set_text(f, "a\xC3(");
    expect_bad(f, "text: not UTF-8 at byte 1");
    set_text(f, "a<image>");
    expect_bad(f, "token 2 is 287");
    set_text(f, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"); // 49 and <bos>
    expect_bad(f, "50 tokens");
    set_text(f, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    ASSERT_OK_ERR(make(f), f->err);
    ASSERT_EQ(f->out.request.max_tokens, 1);

    uint32_t ids[] = {1, VOCAB};
    Gemmad__V1__TokenIds list = GEMMAD__V1__TOKEN_IDS__INIT;
    list.ids = ids;
    f->m.prompt_case = GEMMAD__V1__GENERATE_REQUEST__PROMPT_TOKEN_IDS;
    f->m.token_ids = &list;
    expect_bad(f, "prompt: empty");
    list.n_ids = 2;
    expect_bad(f, "token 1 is 288");
    ids[1] = IMAGE;
    expect_bad(f, "token 1 is 287");
    ids[1] = VOCAB - 2;
    ASSERT_OK_ERR(make(f), f->err);
    ASSERT_EQ(f->out.request.n_prompt, 2); // as they are: no <bos>

    f->m.prompt_case = GEMMAD__V1__GENERATE_REQUEST__PROMPT__NOT_SET;
    expect_bad(f, "prompt: one of");
    close_fixture(f);
}

static void set_chat(struct fixture *f, const char *json)
{
    f->m.prompt_case = GEMMAD__V1__GENERATE_REQUEST__PROMPT_CHAT_JSON;
    f->m.chat_json = (ProtobufCBinaryData){strlen(json), (uint8_t *)json};
}

TEST(special_tokens_in_a_chat_are_text_unless_the_server_says_otherwise)
{
    struct fixture *f = open_fixture();
    set_chat(f, "{\"messages\":[{\"role\":\"user\",\"content\":\"a<end>\"}]}");
    ASSERT_OK_ERR(make(f), f->err);
    ASSERT_EQ(f->out.request.n_prompt, 7);
    ASSERT_EQ(f->out.request.prompt[0], BOS); // the template's
    ASSERT_EQ(f->out.request.prompt[1], 256);
    ASSERT_EQ(f->out.request.prompt[2], '<');
    f->model.special_tokens_in_content = true;
    ASSERT_OK_ERR(make(f), f->err);
    ASSERT_EQ(f->out.request.n_prompt, 3);
    ASSERT_EQ(f->out.request.prompt[2], 286);
    set_chat(f, "{\"messages\":");
    expect_bad(f, "chat_json: ");
    set_chat(f, "{}");
    expect_bad(f, "chat_json: ");
    set_chat(f, "\xFF");
    expect_bad(f, "chat_json: ");
    set_chat(f, "{\"messages\":[]}");
    f->model.chat_template = NULL;
    ASSERT_EQ(make(f), STATUS_FAILED_PRECONDITION);
    ASSERT_CONTAINS(f->err.message, "no chat template");
    close_fixture(f);
}

TEST(unpacking_has_a_limit)
{
    // A stop string of two bytes on the wire is sixteen in memory, and lists grow by copying.
    size_t n = (15 << 20) + 1;
    uint8_t *bytes = mem_zeroed(n, 1);
    size_t at = 0;
    bytes[at++] = 0x3A; // stopping, as long as the rest
    uint64_t length = n - 5;
    for (int i = 0; i < 4; i++, length >>= 7)
        bytes[at++] = (uint8_t)((length & 0x7F) | (i < 3 ? 0x80 : 0));
    for (; at + 1 < n; at += 2)
        bytes[at] = 0x1A; // stop: empty
    ProtobufCMessage *message = NULL;
    struct error err = {0};
    ASSERT_EQ(message_unpack(&gemmad__v1__generate_request__descriptor, bytes, at, &message, &err),
              STATUS_RESOURCE_EXHAUSTED);
    ASSERT(!message);
    free(bytes);
}
