/* tests/fuzz/fuzz_openai_request.c - any bytes as a body of the OpenAI API: the first chooses the
 * API, the rest is the body. What is accepted must keep the promises of engine/request.h, and what
 * is refused must say why. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "gateway/openai_request.h"
#include "tests/text/tokenizers.h"

#define VOCAB 290
#define MAX_POSITIONS 300

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct gateway_model model;
static struct tokenizer_encoder *encoder;

static void open_model(void)
{
    static const char *const entries[] = {
        "a", "b", "ab", "<eos>", "<bos>", "<image>", "<|tool_call>", "<tool_call|>", "<|\"|>"};
    static const char source[] = "{{ bos_token }}{% for m in messages %}{{ m.role }}:{{ m.content "
                                 "}}{% if tools %}{{ tools }}{% endif %}{% endfor %}";
    static const uint32_t stop_ids[] = {259};
    static const uint32_t soft_token_ids[] = {261};
    struct tokenizer *tokenizer = NULL;
    struct template *template = NULL;
    struct error err = {0};
    struct text_buffer added = {0};
    for (int i = 3; i < 9; i++) {
        text_buffer_append_format(&added, "%s{\"id\":%d,\"content\":", i > 3 ? "," : "", 256 + i);
        json_write_string(&added, entries[i], strlen(entries[i]));
        text_buffer_append_text(&added, ",\"single_word\":false,\"lstrip\":false,"
                                        "\"rstrip\":false,\"normalized\":false,"
                                        "\"special\":true}");
    }
    char *json = write_tokenizer(entries, 9, "\"a b\"", added.data);
    CHECK(tokenizer_parse(json, strlen(json), "fuzz", &tokenizer, &err) == STATUS_OK);
    free(json);
    text_buffer_finish(&added);
    CHECK(template_compile(source, sizeof source - 1, "fuzz", &template, &err) == STATUS_OK);
    model = (struct gateway_model){.name = "m",
                                   .tokenizer = tokenizer,
                                   .chat_template = template,
                                   .grammars = grammar_cache_create(tokenizer, 1 << 20),
                                   .bos_id = 260,
                                   .stop_ids = stop_ids,
                                   .n_stop_ids = 1,
                                   .soft_token_ids = soft_token_ids,
                                   .n_soft_token_ids = 1,
                                   .vocab_size = VOCAB,
                                   .max_positions = MAX_POSITIONS};
    encoder = tokenizer_encoder_create(tokenizer);
}

static void check_part(const struct request *r)
{
    CHECK(r->id[0] && utf8_valid(r->id, strlen(r->id), NULL));
    CHECK(r->n >= 1 && r->n <= 128);
    CHECK(r->n_prompt >= 1 && r->n_prompt < MAX_POSITIONS);
    for (size_t i = 0; i < r->n_prompt; i++)
        CHECK(r->prompt[i] < VOCAB && r->prompt[i] != 261);
    CHECK(r->max_tokens >= 1 && r->n_prompt + r->max_tokens <= MAX_POSITIONS);
    CHECK(r->sampling.min_tokens <= r->max_tokens);
    CHECK(r->sampling.n_logprobs >= -1 && r->sampling.n_logprobs <= SAMPLING_MAX_TOP_LOGPROBS);
    struct stop_strings compiled;
    struct error err;
    CHECK(stop_strings_init(&compiled, r->stop_strings, r->n_stop_strings, &err) == STATUS_OK);
    stop_strings_finish(&compiled);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const enum openai_api apis[] = {OPENAI_CHAT, OPENAI_COMPLETION, OPENAI_RESPONSES};
    if (!encoder)
        open_model();
    if (n == 0)
        return 0;
    struct openai_request request;
    struct error err = {0};
    enum status st = openai_request_init(&request, apis[data[0] % 3], (const char *)data + 1, n - 1,
                                         &model, encoder, &err);
    if (st != STATUS_OK) {
        CHECK(err.status == st && err.message[0]);
        CHECK(utf8_valid(err.message, strlen(err.message), NULL));
        return 0;
    }
    CHECK(request.n_parts >= 1 && request.answer.n >= 1);
    CHECK(request.answer.n_prompts == request.n_parts);
    for (size_t i = 0; i < request.n_parts; i++)
        check_part(&request.parts[i].request);
    openai_request_finish(&request);
    return 0;
}
