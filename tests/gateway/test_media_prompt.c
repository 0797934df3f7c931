/* tests/gateway/test_media_prompt.c - placeholders of media become the reference's ids, whatever
 * way a prompt comes, and what does not fit is refused with the numbers. */
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "gateway/generate_prompt.h"
#include "tests/gateway/fake_decoder.h"

enum { BOI = 1017, EOI = 1018, IMAGE = 1019, BOA = 1020, EOA = 1021, AUDIO = 1022, VIDEO = 1023 };

static const uint32_t soft_token_ids[] = {IMAGE, AUDIO, VIDEO};

struct fixture {
    struct media_decoder decoder;
    struct gateway_model model;
    struct tokenizer *tokenizer;
    struct tokenizer_encoder *encoder;
    struct template *template;
    char folder[512];
    Gemmad__V1__GenerateRequest message;
    Gemmad__V1__TokenIds ids;
    Gemmad__V1__Media media[8];
    Gemmad__V1__Media *media_list[8];
    char files[8][64];
    struct generate_prompt out;
    struct error err;
};

static struct fixture *open_fixture(const char *checkpoint)
{
    struct fixture *f = mem_zeroed(1, sizeof *f);
    char path[700];
    snprintf(f->folder, sizeof f->folder, "%s/data/goldens/%s", getenv("GEMMAD_TESTS_DIR"),
             checkpoint);
    snprintf(path, sizeof path, "%s/checkpoint/tokenizer.json", f->folder);
    ASSERT_OK_ERR(tokenizer_load(path, &f->tokenizer, &f->err), f->err);
    snprintf(path, sizeof path, "%s/checkpoint/chat_template.jinja", f->folder);
    FILE *file = fopen(path, "rb");
    ASSERT(file);
    static char source[1 << 16];
    size_t n = fread(source, 1, sizeof source, file);
    fclose(file);
    ASSERT_OK_ERR(template_compile(source, n, "template", &f->template, &f->err), f->err);
    f->encoder = tokenizer_encoder_create(f->tokenizer);
    f->model = (struct gateway_model){
        .tokenizer = f->tokenizer,
        .chat_template = f->template,
        .bos_id = 2,
        .soft_token_ids = soft_token_ids,
        .n_soft_token_ids = 3,
        .media_decoder = &f->decoder,
        .media_token_ids = {IMAGE, VIDEO, AUDIO, BOI, EOI, BOA, EOA},
        .image_max_tokens = 70,
        .vocab_size = 1024,
        .max_positions = 2000,
    };
    gemmad__v1__generate_request__init(&f->message);
    gemmad__v1__token_ids__init(&f->ids);
    f->message.media = f->media_list;
    return f;
}

static void close_fixture(struct fixture *f)
{
    generate_prompt_finish(&f->out);
    tokenizer_encoder_destroy(f->encoder);
    tokenizer_destroy(f->tokenizer);
    template_destroy(f->template);
    free(f);
}

static void add_file(struct fixture *f, const char *mime_type, const char *file)
{
    size_t i = f->message.n_media++;
    gemmad__v1__media__init(&f->media[i]);
    f->media_list[i] = &f->media[i];
    snprintf(f->files[i], sizeof f->files[i], "%s", file);
    f->media[i].data = (ProtobufCBinaryData){strlen(file), (uint8_t *)f->files[i]};
    f->media[i].mime_type = (ProtobufCBinaryData){strlen(mime_type), (uint8_t *)mime_type};
}

static enum status make(struct fixture *f, const struct json_value *chat)
{
    generate_prompt_finish(&f->out);
    f->err = (struct error){0};
    return generate_prompt_init(&f->out, &f->message, chat, &f->model, f->encoder, &f->err);
}

static enum status make_text(struct fixture *f, const char *text)
{
    f->message.prompt_case = GEMMAD__V1__GENERATE_REQUEST__PROMPT_TEXT;
    f->message.text = (ProtobufCBinaryData){strlen(text), (uint8_t *)text};
    return make(f, NULL);
}

static enum status make_ids(struct fixture *f, const uint32_t *ids, size_t n)
{
    f->message.prompt_case = GEMMAD__V1__GENERATE_REQUEST__PROMPT_TOKEN_IDS;
    f->message.token_ids = &f->ids;
    f->ids.ids = (uint32_t *)ids;
    f->ids.n_ids = n;
    return make(f, NULL);
}

static enum status make_chat(struct fixture *f, const char *json)
{
    f->message.prompt_case = GEMMAD__V1__GENERATE_REQUEST__PROMPT_CHAT_JSON;
    f->message.chat_json = (ProtobufCBinaryData){strlen(json), (uint8_t *)json};
    return make(f, NULL);
}

static uint32_t soft_id(enum media_kind kind)
{
    static const uint32_t ids[] = {
        [MEDIA_IMAGE] = IMAGE, [MEDIA_VIDEO] = VIDEO, [MEDIA_AUDIO] = AUDIO};
    return ids[kind];
}

// Every placeholder belongs to a part and every part has its placeholders.
static void expect_parts(const struct fixture *f)
{
    size_t n_soft = 0, n_of_parts = 0;
    for (size_t i = 0; i < f->out.n; i++)
        n_soft += f->out.ids[i] == IMAGE || f->out.ids[i] == VIDEO || f->out.ids[i] == AUDIO;
    for (size_t i = 0; i < f->out.n_parts; i++) {
        const struct request_part *part = &f->out.parts[i];
        uint32_t n = part->media->parts[part->part].n_tokens;
        for (uint32_t k = 0; k < n; k++)
            ASSERT_EQ(f->out.ids[part->first + k], soft_id(part->media->kind));
        n_of_parts += n;
        if (i > 0)
            ASSERT(part->first > part[-1].first);
    }
    ASSERT_EQ(n_of_parts, n_soft);
}

static void expect_ids(const struct fixture *f, const uint32_t *ids, size_t n)
{
    ASSERT_EQ(f->out.n, n);
    for (size_t i = 0; i < n; i++)
        ASSERT_EQ(f->out.ids[i], ids[i]);
    expect_parts(f);
}

static int64_t integer(const struct json_value *object, const char *key)
{
    int64_t value = 0;
    ASSERT(json_int64(json_get(object, key), &value));
    return value;
}

static void add_golden_media(struct fixture *f, const struct json_value *one)
{
    char file[64];
    const struct json_value *clips = json_get(one, "per_clip");
    const struct json_value *images = json_get(one, "per_image");
    const struct json_value *indices = json_get(one, "frames_indices");
    for (uint32_t i = 0; clips && i < clips->n; i++) {
        snprintf(file, sizeof file, "%d", (int)integer(&clips->items[i], "n_soft_tokens"));
        add_file(f, "audio/wav", file);
    }
    for (uint32_t i = 0; images && i < images->n; i++) {
        snprintf(file, sizeof file, "%d", (int)integer(&images->items[i], "n_soft_tokens"));
        add_file(f, "image/png", file);
    }
    if (!images && json_get(one, "images") && json_get(one, "images")->n == 1)
        add_file(f, "image/png", "59"); // the strip beside a clip
    if (!indices)
        return;
    double fps = 0;
    ASSERT(json_double(json_get(one, "fps"), &fps));
    int n = snprintf(file, sizeof file, "%d", (int)integer(one, "n_soft_tokens_per_frame"));
    for (uint32_t i = 0; i < indices->n; i++) {
        int64_t frame = 0;
        ASSERT(json_int64(&indices->items[i], &frame));
        n += snprintf(file + n, sizeof file - (size_t)n, " %d", (int)((double)frame / fps));
    }
    add_file(f, "video/mp4", file);
}

// As the text before expansion, as ids that are expanded already, and (where no text touches a
// placeholder) as ids with bare placeholders.
static void expect_golden(struct fixture *f, const struct json_value *one)
{
    const struct json_value *wanted = json_get(one, "prompt_ids");
    uint32_t ids[1024];
    uint32_t bare[1024];
    size_t n_bare = 0;
    ASSERT(wanted->n <= 1024);
    for (uint32_t i = 0; i < wanted->n; i++) {
        int64_t id = 0;
        ASSERT(json_int64(&wanted->items[i], &id));
        ids[i] = (uint32_t)id;
    }
    f->message.n_media = 0;
    add_golden_media(f, one);
    ASSERT_OK_ERR(make_text(f, json_get(one, "text")->text), f->err);
    expect_ids(f, ids, wanted->n);
    ASSERT_OK_ERR(make_ids(f, ids, wanted->n), f->err);
    expect_ids(f, ids, wanted->n);
    if (json_get(one, "frames_indices"))
        return;
    for (uint32_t i = 0; i < wanted->n; i++) {
        if (ids[i] == BOI || ids[i] == BOA)
            bare[n_bare++] = ids[i] == BOI ? IMAGE : AUDIO;
        else if (ids[i] != IMAGE && ids[i] != AUDIO && ids[i] != EOI && ids[i] != EOA)
            bare[n_bare++] = ids[i];
    }
    ASSERT_OK_ERR(make_ids(f, bare, n_bare), f->err);
    expect_ids(f, ids, wanted->n);
}

TEST(prompts_with_media_become_the_references_ids)
{
    static const char *const goldens[][2] = {{"dense", "image"}, {"dense", "video"},
                                             {"moe", "image"},   {"ple", "image"},
                                             {"ple", "video"},   {"ple", "audio"}};
    for (size_t i = 0; i < sizeof goldens / sizeof goldens[0]; i++) {
        struct fixture *f = open_fixture(goldens[i][0]);
        char path[700];
        struct json_document *document = NULL;
        snprintf(path, sizeof path, "%s/%s.json", f->folder, goldens[i][1]);
        ASSERT_OK_ERR(json_parse_file(path, NULL, &document, &f->err), f->err);
        const struct json_value *cases = json_get(json_root(document), "cases");
        for (uint32_t k = 0; k < cases->n; k++)
            expect_golden(f, &cases->items[k]);
        json_document_destroy(document);
        close_fixture(f);
    }
}

#define USER(content) "{\"messages\":[{\"role\":\"user\",\"content\":" content "}]}"

TEST(a_chats_media_stand_where_its_parts_do)
{
    struct fixture *f = open_fixture("ple");
    // "5", "7" and "3" in base64
    ASSERT_OK_ERR(
        make_chat(f, USER("[{\"type\":\"image_url\",\"image_url\":{\"url\":"
                          "\"data:image/png;base64,NQ==\"}},{\"type\":\"text\",\"text\":\"and\"},"
                          "{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"Nw==\","
                          "\"format\":\"wav\"}},{\"type\":\"video_url\",\"video_url\":{\"url\":"
                          "\"data:video/mp4;base64,MyAwIDYx\"}}]")),
        f->err);
    expect_parts(f);
    ASSERT_EQ(f->out.n_parts, 4);
    ASSERT_EQ(f->out.parts[0].media->kind, MEDIA_IMAGE);
    ASSERT_EQ(f->out.parts[1].media->kind, MEDIA_AUDIO);
    ASSERT_EQ(f->out.parts[2].media->kind, MEDIA_VIDEO);
    ASSERT_EQ(f->out.parts[3].part, 1);
    // The same with the bytes beside the chat.
    size_t n = f->out.n;
    uint32_t *ids = mem_zeroed(n, sizeof *ids);
    memcpy(ids, f->out.ids, n * sizeof *ids);
    add_file(f, "audio/wav", "7");
    add_file(f, "image/png", "5");
    add_file(f, "video/mp4", "3 0 61");
    ASSERT_OK_ERR(make_chat(f, USER("[{\"type\":\"image\"},{\"type\":\"text\",\"text\":\"and\"},"
                                    "{\"type\":\"audio\"},{\"type\":\"video\"}]")),
                  f->err);
    expect_ids(f, ids, n);
    free(ids);
    close_fixture(f);
}

static uint32_t budget_of(struct fixture *f, const char *part, const char *kwargs)
{
    char json[1024];
    snprintf(json, sizeof json,
             "{\"messages\":[{\"role\":\"user\",\"content\":[%s]}],\"mm_processor_kwargs\":%s}",
             part, kwargs);
    ASSERT_OK_ERR(make_chat(f, json), f->err);
    return f->decoder.last.max_tokens;
}

#define DATA "\"data:image/png;base64,NQ==\""

TEST(budgets_are_the_parts_then_the_requests_then_the_checkpoints)
{
    struct fixture *f = open_fixture("ple");
    const char *plain = "{\"type\":\"image_url\",\"image_url\":{\"url\":" DATA "}}";
    const char *low = "{\"type\":\"image_url\",\"image_url\":{\"url\":" DATA
                      ",\"detail\":\"low\"}}";
    const char *high = "{\"type\":\"input_image\",\"image_url\":" DATA ",\"detail\":\"high\"}";
    const char *automatic = "{\"type\":\"image_url\",\"image_url\":{\"url\":" DATA
                            ",\"detail\":\"auto\"}}";
    ASSERT_EQ(budget_of(f, plain, "null"), 70);
    ASSERT_EQ(budget_of(f, plain, "{\"max_soft_tokens\":560}"), 560);
    ASSERT_EQ(budget_of(f, automatic, "{\"max_soft_tokens\":560}"), 560);
    ASSERT_EQ(budget_of(f, high, "{\"max_soft_tokens\":560}"), 1120);
    ASSERT_EQ(budget_of(f, low, "{}"), 70);
    ASSERT_EQ(budget_of(f, "{\"type\":\"image\",\"image\":" DATA "}", "{}"), 70);
    ASSERT_EQ(budget_of(f, "{\"type\":\"video\",\"url\":\"data:;base64,NQ==\"}",
                        "{\"max_soft_tokens\":560}"),
              0); // a frame's own default
    close_fixture(f);
}

static void refuse_part(struct fixture *f, const char *part, const char *why)
{
    char json[1024];
    snprintf(json, sizeof json, USER("[%s]"), part);
    ASSERT_EQ(make_chat(f, json), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(f->err.message, why);
    ASSERT(!f->out.parts && !f->out.media.items && !f->out.list.ids);
}

#define AT "messages[0].content[0]."

TEST(parts_that_make_no_sense_are_refused_by_their_place)
{
    struct fixture *f = open_fixture("ple");
    refuse_part(f, "{\"type\":\"image_url\"}", AT "image_url: must be a string");
    refuse_part(f, "{\"type\":\"image_url\",\"image_url\":{}}", AT "image_url: must be a string");
    refuse_part(f, "{\"type\":\"image_url\",\"image_url\":\"a.png\"}",
                AT "image_url: must be a data");
    refuse_part(f, "{\"type\":\"image_url\",\"image_url\":\"file:///etc/passwd\"}",
                "must be a data");
    refuse_part(f, "{\"type\":\"image_url\",\"image_url\":\"https://a/b.png\"}",
                "not fetched here");
    refuse_part(f, "{\"type\":\"image_url\",\"image_url\":\"data:image/png,abc\"}", ";base64,DATA");
    refuse_part(f, "{\"type\":\"image_url\",\"image_url\":\"data:;base64\"}", ";base64,DATA");
    refuse_part(f, "{\"type\":\"image_url\",\"image_url\":\"data:audio/wav;base64,NQ==\"}",
                AT "image_url: audio/wav is no type of image");
    refuse_part(f, "{\"type\":\"image_url\",\"image_url\":\"data:image/png;base64,NQ\"}",
                AT "image_url: base64: 2 characters");
    refuse_part(f, "{\"type\":\"image_url\",\"image_url\":\"data:image/png;base64,\"}",
                AT "image_url: empty");
    refuse_part(f, "{\"type\":\"image_url\",\"image_url\":\"data:image/png;base64,eA==\"}",
                AT "image_url: bad");
    refuse_part(f, "{\"type\":\"image_url\",\"image_url\":{\"url\":" DATA ",\"detail\":\"x\"}}",
                AT "detail: must be");
    refuse_part(f, "{\"type\":\"input_image\",\"file_id\":\"x\"}", AT "file_id: no such field");
    refuse_part(f, "{\"type\":\"input_audio\",\"input_audio\":\"NQ==\"}",
                AT "input_audio: must be");
    refuse_part(f, "{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"NQ==\"}}",
                AT "input_audio.format");
    refuse_part(f,
                "{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"NQ==\",\"format\":\"a b\"}}",
                AT "input_audio.format");
    refuse_part(f, "{\"type\":\"image\"}", AT "image: there is none");
    refuse_part(f, "{\"type\":\"image\",\"image\":" DATA ",\"url\":" DATA "}", AT "url: stands");
    ASSERT_EQ(make_chat(f, "{\"messages\":[],\"mm_processor_kwargs\":{\"max_soft_tokens\":100}}"),
              STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(f->err.message, "max_soft_tokens=100: must be 70, 140");
    ASSERT_EQ(make_chat(f, "{\"messages\":[],\"mm_processor_kwargs\":{\"fps\":1}}"),
              STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(f->err.message, "mm_processor_kwargs.fps: no such field");
    close_fixture(f);
}

TEST(as_many_media_are_needed_as_there_are_places)
{
    static const uint32_t two[] = {2, IMAGE, 300, IMAGE};
    static const uint32_t short_run[] = {2, BOI, IMAGE, IMAGE, EOI};
    static const uint32_t no_end[] = {2, BOI, IMAGE, IMAGE, IMAGE, 300};
    static const uint32_t frame[] = {2, BOI, VIDEO, VIDEO, VIDEO, EOI};
    struct fixture *f = open_fixture("ple");
    ASSERT_EQ(make_ids(f, two, 4), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(f->err.message, "the request has none");
    add_file(f, "image/png", "3");
    ASSERT_EQ(make_ids(f, two, 4), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(f->err.message, "2 places for image, but the request brings 1");
    ASSERT_EQ(make_text(f, "nothing"), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(f->err.message, "0 places for image, but the request brings 1");
    ASSERT_EQ(make_ids(f, short_run, 5), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(f->err.message, "token 2: 2 tokens for image, which takes 3");
    ASSERT_EQ(make_ids(f, no_end, 6), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(f->err.message, "token 5 must be 1018");
    ASSERT_EQ(make_chat(f, USER("\"x\"")), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(f->err.message, "media: 1 of image, but the messages have 0");
    unsigned n_decoded = f->decoder.n_decoded;
    f->message.n_media = 0;
    add_file(f, "video/mp4", "3 0 20");
    ASSERT_EQ(make_ids(f, frame, 6), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(f->err.message, "1 of a video's 2 frames");
    ASSERT_EQ(f->decoder.n_decoded, n_decoded + 1);
    close_fixture(f);
}

TEST(what_a_client_writes_is_no_placeholder)
{
    struct fixture *f = open_fixture("ple");
    ASSERT_OK_ERR(make_chat(f, USER("\"<|image|>\"")), f->err);
    ASSERT_EQ(f->out.n_parts, 0);
    expect_parts(f);
    ASSERT_OK_ERR(
        make_chat(f, USER("[{\"type\":\"text\",\"text\":\"<|image|><|video|>\"},"
                          "{\"type\":\"image_url\",\"image_url\":" DATA "},"
                          "{\"type\":\"video_url\",\"video_url\":\"data:;base64,MyAwIDYx\"}]")),
        f->err);
    ASSERT_EQ(f->out.n_parts, 3);
    expect_parts(f);
    f->model.special_tokens_in_content = true;
    ASSERT_EQ(make_chat(f, USER("[{\"type\":\"text\",\"text\":\"<|image|>\"},"
                                "{\"type\":\"image_url\",\"image_url\":" DATA "}]")),
              STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(f->err.message, "2 places for image, but the request brings 1");
    close_fixture(f);
}

TEST(media_beyond_what_the_server_takes_are_refused)
{
    struct fixture *f = open_fixture("ple");
    add_file(f, "text/plain", "3");
    ASSERT_EQ(make_text(f, "<|image|>"), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(f->err.message, "media[0].mime_type: must be image/...");
    f->message.n_media = 0;
    add_file(f, "image/png", "3");
    f->media[0].has_max_soft_tokens = true;
    f->media[0].max_soft_tokens = 71;
    ASSERT_EQ(make_text(f, "<|image|>"), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(f->err.message, "media[0].max_soft_tokens=71");
    f->media[0].max_soft_tokens = 1120;
    ASSERT_OK_ERR(make_text(f, "<|image|>"), f->err);
    ASSERT_EQ(f->decoder.last.max_tokens, 1120);
    f->model.max_positions = 3;
    ASSERT_EQ(make_text(f, "<|image|>"), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(f->err.message, "3 tokens of media, but 3 is the most");
    f->model.media_max_bytes = 1;
    f->message.n_media = 0;
    add_file(f, "image/png", "12");
    ASSERT_EQ(make_text(f, "<|image|>"), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(f->err.message, "media[0]: 2 bytes, at most 1");
    f->model.media_token_ids.image_token_id = TOKEN_NONE;
    ASSERT_EQ(make_text(f, "<|image|>"), STATUS_UNIMPLEMENTED);
    ASSERT_CONTAINS(f->err.message, "the model takes no image");
    f->model.media_decoder = NULL;
    ASSERT_EQ(make_text(f, "<|image|>"), STATUS_UNIMPLEMENTED);
    ASSERT_CONTAINS(f->err.message, "not served here");
    close_fixture(f);
}

TEST(media_are_refused_while_too_many_wait)
{
    const size_t n = (size_t)3 << 30;
    void *memory = mmap(NULL, n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASSERT(memory != MAP_FAILED);
    struct media *waiting = media_create(MEDIA_IMAGE, memory, n);
    struct fixture *f = open_fixture("ple");
    add_file(f, "image/png", "3");
    ASSERT_EQ(make_text(f, "<|image|>"), STATUS_RESOURCE_EXHAUSTED);
    ASSERT_CONTAINS(f->err.message, "media[0]: too many");
    media_drop(waiting);
    ASSERT_OK_ERR(make_text(f, "<|image|>"), f->err);
    close_fixture(f);
}

// A JSON object of many members carries an index that a rewritten one must carry too.
TEST(a_message_of_many_members_keeps_them_beside_media)
{
    struct fixture *f = open_fixture("ple");
    struct text_buffer json = {0};
    text_buffer_append_text(&json, "{\"messages\":[{");
    for (int i = 0; i < 40; i++)
        text_buffer_append_format(&json, "\"m%d\":%d,", i, i);
    text_buffer_append_text(&json, "\"role\":\"user\",\"content\":[{\"type\":\"image_url\","
                                   "\"image_url\":" DATA "}]}]");
    for (int i = 0; i < 40; i++)
        text_buffer_append_format(&json, ",\"v%d\":%d", i, i);
    text_buffer_append_text(&json, "}");
    ASSERT_OK_ERR(make_chat(f, json.data), f->err);
    ASSERT_EQ(f->out.n_parts, 1);
    text_buffer_finish(&json);
    close_fixture(f);
}
