/* tests/fuzz/fuzz_media_prompt.c - any bytes as a chat, a text or ids with media: the first byte
 * says which, and which media come beside it; the rest is the prompt. What is accepted has a part
 * for each placeholder and nothing else, and what is refused says why. The decoder is a fake one.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "gateway/generate_prompt.h"
#include "tests/gateway/fake_decoder.h"
#include "tests/text/tokenizers.h"

#define MAX_POSITIONS 300
enum { N_ENTRIES = 10, VOCAB = 256 + N_ENTRIES };
enum { BOS = 258, BOI, IMAGE, EOI, VIDEO, BOA, AUDIO, EOA };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct gateway_model model;
static struct tokenizer_encoder *encoder;
static struct media_decoder decoder;

static void open_model(void)
{
    static const char *const entries[N_ENTRIES] = {"a",         "b",        "<bos>",     "<|image>",
                                                   "<|image|>", "<image|>", "<|video|>", "<|audio>",
                                                   "<|audio|>", "<audio|>"};
    static const char source[] =
        "{{ bos_token }}{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else "
        "%}"
        "{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}{% elif p.type in ['image', "
        "'audio', 'video'] %}{% if p.type == 'image' %}<|image|>{% elif p.type == 'audio' "
        "%}<|audio|>{% else %}<|video|>{% endif %}"
        "{% endif %}{% endfor %}{% endif %}{% endfor %}";
    static const uint32_t soft_token_ids[] = {IMAGE, VIDEO, AUDIO};
    struct tokenizer *tokenizer = NULL;
    struct template *template = NULL;
    struct error err = {0};
    struct text_buffer added = {0};
    for (int i = 2; i < N_ENTRIES; i++)
        text_buffer_append_format(&added,
                                  "%s{\"id\":%d,\"content\":\"%s\",\"single_word\":false,"
                                  "\"lstrip\":false,\"rstrip\":false,\"normalized\":false,"
                                  "\"special\":true}",
                                  i > 2 ? "," : "", 256 + i, entries[i]);
    char *json = write_tokenizer(entries, N_ENTRIES, "", added.data);
    CHECK(tokenizer_parse(json, strlen(json), "fuzz", &tokenizer, &err) == STATUS_OK);
    free(json);
    text_buffer_finish(&added);
    CHECK(template_compile(source, sizeof source - 1, "fuzz", &template, &err) == STATUS_OK);
    model = (struct gateway_model){
        .tokenizer = tokenizer,
        .chat_template = template,
        .bos_id = BOS,
        .soft_token_ids = soft_token_ids,
        .n_soft_token_ids = 3,
        .media_decoder = &decoder,
        .media_token_ids = {IMAGE, VIDEO, AUDIO, BOI, EOI, BOA, EOA},
        .image_max_tokens = 70,
        .vocab_size = VOCAB,
        .max_positions = MAX_POSITIONS,
    };
    encoder = tokenizer_encoder_create(tokenizer);
}

static bool is_soft(uint32_t id)
{
    return id == IMAGE || id == VIDEO || id == AUDIO;
}

static void check_prompt(const struct generate_prompt *prompt)
{
    static const uint32_t soft[] = {
        [MEDIA_IMAGE] = IMAGE, [MEDIA_VIDEO] = VIDEO, [MEDIA_AUDIO] = AUDIO};
    CHECK(prompt->n >= 1 && prompt->n < MAX_POSITIONS);
    size_t at = 0;
    for (size_t i = 0; i < prompt->n_parts; i++) {
        const struct request_part *part = &prompt->parts[i];
        CHECK(part->part < part->media->n_parts && part->first >= at);
        uint32_t n = part->media->parts[part->part].n_tokens;
        CHECK(n <= prompt->n && part->first < prompt->n - n); // an end stands behind it
        for (; at < part->first; at++)
            CHECK(prompt->ids[at] < VOCAB && !is_soft(prompt->ids[at]));
        for (; at < part->first + n; at++)
            CHECK(prompt->ids[at] == soft[part->media->kind]);
    }
    for (; at < prompt->n; at++)
        CHECK(prompt->ids[at] < VOCAB && !is_soft(prompt->ids[at]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const files[][2] = {
        {"image/png", "3"}, {"video/mp4", "2 0 61"}, {"audio/wav", "4"}, {"image/gif", "0"}};
    if (!encoder)
        open_model();
    if (n == 0)
        return 0;
    Gemmad__V1__GenerateRequest message = GEMMAD__V1__GENERATE_REQUEST__INIT;
    Gemmad__V1__TokenIds ids = GEMMAD__V1__TOKEN_IDS__INIT;
    Gemmad__V1__Media media[4], *list[4];
    uint8_t kind = *data++;
    n--;
    message.media = list;
    for (size_t i = 0; i < 4; i++) {
        if (!(kind & 4U << i))
            continue;
        Gemmad__V1__Media *medium = &media[i];
        gemmad__v1__media__init(medium);
        medium->mime_type = (ProtobufCBinaryData){strlen(files[i][0]), (uint8_t *)files[i][0]};
        medium->data = (ProtobufCBinaryData){strlen(files[i][1]), (uint8_t *)files[i][1]};
        list[message.n_media++] = medium;
    }
    uint32_t *values = mem_zeroed(n, sizeof *values);
    for (size_t i = 0; i < n; i++)
        values[i] = data[i] + (data[i] >= 128 ? VOCAB - 256U : 0);
    ids.ids = values;
    ids.n_ids = n;
    ProtobufCBinaryData bytes = {n, (uint8_t *)data};
    message.prompt_case = kind % 4 == 0   ? GEMMAD__V1__GENERATE_REQUEST__PROMPT_TEXT
                          : kind % 4 == 1 ? GEMMAD__V1__GENERATE_REQUEST__PROMPT_TOKEN_IDS
                                          : GEMMAD__V1__GENERATE_REQUEST__PROMPT_CHAT_JSON;
    if (kind % 4 == 1)
        message.token_ids = &ids;
    else
        message.text = bytes; // chat_json is a member of the same union
    struct generate_prompt prompt;
    struct error err = {0};
    enum status st = generate_prompt_init(&prompt, &message, NULL, &model, encoder, &err);
    if (st == STATUS_OK) {
        check_prompt(&prompt);
        generate_prompt_finish(&prompt);
    } else {
        CHECK(err.status == st && err.message[0]);
        CHECK(utf8_valid(err.message, strlen(err.message), NULL));
    }
    free(values);
    return 0;
}
