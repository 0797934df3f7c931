/* tests/fuzz/fuzz_generate_request.c - any bytes as a GenerateRequest from the wire; what is
 * accepted must keep every promise of engine/request.h, and what is refused must say why. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "gateway/generate_request.h"
#include "gateway/message.h"
#include "tests/text/tokenizers.h"

#define VOCAB 290
#define MAX_POSITIONS 300

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct gateway_model model;
static struct tokenizer_encoder *encoder;

static void open_model(void)
{
    static const char *const entries[] = {"a", "b", "ab", "<eos>", "<bos>", "<image>"};
    static const char added[] =
        "{\"id\":259,\"content\":\"<eos>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
        "\"normalized\":false,\"special\":true},"
        "{\"id\":260,\"content\":\"<bos>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
        "\"normalized\":false,\"special\":true},"
        "{\"id\":261,\"content\":\"<image>\",\"single_word\":false,\"lstrip\":false,"
        "\"rstrip\":false,\"normalized\":false,\"special\":true}";
    static const char source[] = "{{ bos_token }}{% for m in messages %}{{ m.role }}:{{ m.content "
                                 "}}{% if tools %}{{ tools }}{% endif %}{% endfor %}";
    static const uint32_t stop_ids[] = {259};
    static const uint32_t soft_token_ids[] = {261};
    struct tokenizer *tokenizer = NULL;
    struct template *template = NULL;
    struct error err = {0};
    char *json = write_tokenizer(entries, 6, "\"a b\"", added);
    CHECK(tokenizer_parse(json, strlen(json), "fuzz", &tokenizer, &err) == STATUS_OK);
    free(json);
    CHECK(template_compile(source, sizeof source - 1, "fuzz", &template, &err) == STATUS_OK);
    model = (struct gateway_model){.tokenizer = tokenizer,
                                   .chat_template = template,
                                   .bos_id = 260,
                                   .stop_ids = stop_ids,
                                   .n_stop_ids = 1,
                                   .soft_token_ids = soft_token_ids,
                                   .n_soft_token_ids = 1,
                                   .generation = {.has_max_new_tokens = true,
                                                  .max_new_tokens = 20,
                                                  .n_suppress_tokens = 1,
                                                  .suppress_tokens = {3}},
                                   .vocab_size = VOCAB,
                                   .max_positions = MAX_POSITIONS};
    encoder = tokenizer_encoder_create(tokenizer);
}

static bool within(float value, float low, float high)
{
    return value >= low && value <= high;
}

static void check_sampling(const struct sampling_params *s)
{
    CHECK(within(s->temperature, 0, 2) && within(s->min_p, 0, 1));
    CHECK(s->top_p > 0 && s->top_p <= 1);
    CHECK(s->repetition_penalty > 0 && isfinite(s->repetition_penalty));
    CHECK(within(s->frequency_penalty, -2, 2) && within(s->presence_penalty, -2, 2));
    CHECK(s->n_logprobs >= -1 && s->n_logprobs <= SAMPLING_MAX_TOP_LOGPROBS);
    CHECK(s->n_prompt_logprobs >= -1 && s->n_prompt_logprobs <= SAMPLING_MAX_TOP_LOGPROBS);
}

static void check_request(const struct request *r)
{
    CHECK(r->id[0] && utf8_valid(r->id, strlen(r->id), NULL));
    CHECK(r->n >= 1 && r->n <= 128);
    CHECK(r->n_prompt >= 1 && r->n_prompt < MAX_POSITIONS);
    for (size_t i = 0; i < r->n_prompt; i++)
        CHECK(r->prompt[i] < VOCAB && r->prompt[i] != 261);
    CHECK(r->max_tokens >= 1 && r->n_prompt + r->max_tokens <= MAX_POSITIONS);
    CHECK(r->sampling.min_tokens <= r->max_tokens);
    check_sampling(&r->sampling);
    for (size_t i = 0; i < r->n_stop_ids; i++)
        CHECK(r->stop_ids[i] < VOCAB);
    for (size_t i = 0; i < r->n_biases; i++) {
        CHECK(r->biases[i].token_id < VOCAB && isfinite(r->biases[i].bias));
        CHECK(i == 0 || r->biases[i].token_id > r->biases[i - 1].token_id);
    }
    struct stop_strings compiled;
    struct error err;
    CHECK(stop_strings_init(&compiled, r->stop_strings, r->n_stop_strings, &err) == STATUS_OK);
    stop_strings_finish(&compiled);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (!encoder)
        open_model();
    const struct generate_random random = {1, 2};
    struct error err = {0};
    ProtobufCMessage *message = NULL;
    if (message_unpack(&gemmad__v1__generate_request__descriptor, data, n, &message, &err) !=
        STATUS_OK) {
        CHECK(!message && err.message[0]);
        return 0;
    }
    struct generate_request generate;
    enum status st = generate_request_init(&generate, (Gemmad__V1__GenerateRequest *)message,
                                           &model, encoder, &random, &err);
    if (st == STATUS_OK) {
        check_request(&generate.request);
        generate_request_finish(&generate);
    } else {
        CHECK(err.status == st && err.message[0]);
        CHECK(utf8_valid(err.message, strlen(err.message), NULL));
    }
    message_free(message);
    return 0;
}
