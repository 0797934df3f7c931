/* gateway/chat_media.c - only what changes is written anew: the request's members, the messages, a
 * message with media and its content; everything else stays the client's. */
#include "gateway/chat_media.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define DETAIL_LOW_TOKENS 70
#define DETAIL_HIGH_TOKENS 1120

// How a type of part carries its bytes.
enum carrier { CARRIER_URL, CARRIER_AUDIO, CARRIER_OPTIONAL };

static const struct part_type {
    const char *name;
    enum media_kind kind;
    enum carrier carrier;
    const char *key;
} part_types[] = {
    {"image_url", MEDIA_IMAGE, CARRIER_URL, "image_url"},
    {"input_image", MEDIA_IMAGE, CARRIER_URL, "image_url"},
    {"image", MEDIA_IMAGE, CARRIER_OPTIONAL, "image"},
    {"video_url", MEDIA_VIDEO, CARRIER_URL, "video_url"},
    {"video", MEDIA_VIDEO, CARRIER_OPTIONAL, "video"},
    {"input_audio", MEDIA_AUDIO, CARRIER_AUDIO, "input_audio"},
    {"audio_url", MEDIA_AUDIO, CARRIER_URL, "audio_url"},
    {"audio", MEDIA_AUDIO, CARRIER_OPTIONAL, "audio"},
};

struct reader {
    struct chat_media *out;
    const struct media_sources *given;
    size_t next_given[3]; // by kind
    uint32_t image_tokens;
    uint32_t message, part;
    struct error *err;
};

static const struct part_type *find_type(const struct json_value *part)
{
    const struct json_value *type = json_get(part, "type");
    for (size_t i = 0; i < sizeof part_types / sizeof part_types[0]; i++)
        if (json_string_is(type, part_types[i].name))
            return &part_types[i];
    return NULL;
}

bool chat_media_is_part(const struct json_value *part)
{
    return find_type(part) != NULL;
}

static void keep(struct chat_media *out, void *block)
{
    mem_reserve(&out->blocks, &out->blocks_capacity, out->n_blocks + 1, sizeof *out->blocks);
    out->blocks[out->n_blocks++] = block;
}

// A copy whose items may be changed.
static struct json_value *copy_items(struct chat_media *out, const struct json_value *array)
{
    struct json_value *items = mem_zeroed(array->n, sizeof *items);
    memcpy(items, array->items, array->n * sizeof *items);
    keep(out, items);
    return items;
}

// Puts value in the place of the object's i-th member.
static void replace(struct chat_media *out, struct json_value *object, uint32_t i,
                    const struct json_value *value)
{
    void *block;
    *object = json_replace_member(object, i, value, &block);
    keep(out, block);
}

// UINT32_MAX: there is none.
static uint32_t find_member(const struct json_value *object, const char *key)
{
    const struct json_value *value = json_get(object, key);
    if (!value)
        return UINT32_MAX;
    const char *at = (const char *)value - offsetof(struct json_member, value);
    return (uint32_t)((const struct json_member *)(const void *)at - object->members);
}

static enum status wrong(struct reader *r, const char *field, const char *what)
{
    return error_set(r->err, STATUS_INVALID_ARGUMENT, "messages[%u].content[%u].%s: %s", r->message,
                     r->part, field, what);
}

static enum status check_members(struct reader *r, const struct json_value *object,
                                 const char *above, const char *const *names)
{
    for (uint32_t i = 0; i < object->n; i++) {
        const struct json_member *m = &object->members[i];
        size_t k = 0;
        while (names[k] &&
               (strlen(names[k]) != m->key_length || memcmp(names[k], m->key, m->key_length) != 0))
            k++;
        if (!names[k] && m->value.type != JSON_NULL)
            return error_set(r->err, STATUS_INVALID_ARGUMENT,
                             "messages[%u].content[%u].%s%s%s: no such field, or not supported",
                             r->message, r->part, above, above[0] ? "." : "", m->key);
    }
    return STATUS_OK;
}

static enum status read_detail(struct reader *r, struct media_source *source,
                               const struct json_value *detail)
{
    if (!detail || json_string_is(detail, "auto"))
        return STATUS_OK;
    if (json_string_is(detail, "low"))
        source->max_tokens = DETAIL_LOW_TOKENS;
    else if (json_string_is(detail, "high"))
        source->max_tokens = DETAIL_HIGH_TOKENS;
    else
        return wrong(r, "detail", "must be \"low\", \"high\" or \"auto\"");
    return STATUS_OK;
}

static enum status set_url(struct reader *r, struct media_source *source,
                           const struct json_value *url, const char *field)
{
    if (!url || url->type != JSON_STRING)
        return wrong(r, field, "must be a string");
    return media_source_set_url(source, url->text, url->length, r->err);
}

// {"image_url": URI, "detail": ...} or {"image_url": {"url": URI, "detail": ...}}
static enum status read_url_part(struct reader *r, const struct json_value *part,
                                 const struct part_type *type, struct media_source *source)
{
    bool is_image = source->kind == MEDIA_IMAGE;
    const char *const of_part[] = {"type", type->key, "uuid", is_image ? "detail" : NULL, NULL};
    const char *const of_value[] = {"url", is_image ? "detail" : NULL, NULL};
    const struct json_value *value = json_get_present(part, type->key);
    enum status st = check_members(r, part, "", of_part);
    if (st == STATUS_OK && is_image)
        st = read_detail(r, source, json_get_present(part, "detail"));
    if (st != STATUS_OK || !value || value->type != JSON_OBJECT)
        return st == STATUS_OK ? set_url(r, source, value, type->key) : st;
    st = check_members(r, value, type->key, of_value);
    if (st == STATUS_OK && is_image)
        st = read_detail(r, source, json_get_present(value, "detail"));
    return st == STATUS_OK ? set_url(r, source, json_get_present(value, "url"), type->key) : st;
}

// OpenAI's formats are "wav" and "mp3"; what others write is taken for a hint as well.
static enum status read_audio_part(struct reader *r, const struct json_value *part,
                                   struct media_source *source)
{
    static const char *const of_part[] = {"type", "input_audio", "uuid", NULL};
    static const char *const of_value[] = {"data", "format", NULL};
    const struct json_value *value = json_get_present(part, "input_audio");
    enum status st = check_members(r, part, "", of_part);
    if (st != STATUS_OK)
        return st;
    if (!value || value->type != JSON_OBJECT)
        return wrong(r, "input_audio", "must be an object with data and format");
    st = check_members(r, value, "input_audio", of_value);
    if (st != STATUS_OK)
        return st;
    const struct json_value *data = json_get_present(value, "data");
    const struct json_value *format = json_get_present(value, "format");
    if (!data || data->type != JSON_STRING)
        return wrong(r, "input_audio.data", "must be a string");
    if (!format || format->type != JSON_STRING)
        return wrong(r, "input_audio.format", "must be a string: \"wav\", \"mp3\", ...");
    char mime_type[32];
    int n = snprintf(mime_type, sizeof mime_type, "audio/%s", format->text);
    if (format->length == 0 || n < 0 || (size_t)n >= sizeof mime_type ||
        strlen(format->text) != format->length ||
        media_source_check_mime_type(source, mime_type, (size_t)n, NULL) != STATUS_OK)
        return wrong(r, "input_audio.format", "must be \"wav\", \"mp3\", \"flac\" or \"ogg\"");
    source->base64 = data->text;
    source->n = data->length;
    return STATUS_OK;
}

// The next of that kind beside the chat takes the place in the order.
static enum status take_given(struct reader *r, struct media_source *source)
{
    size_t *next = &r->next_given[source->kind];
    while (*next < r->given->n && r->given->items[*next].kind != source->kind)
        ++*next;
    if (*next == r->given->n)
        return wrong(r, media_kind_name(source->kind), "there is none: the part carries no data");
    *source = r->given->items[(*next)++];
    if (source->kind == MEDIA_IMAGE && source->max_tokens == 0)
        source->max_tokens = r->image_tokens;
    return STATUS_OK;
}

static enum status read_optional_part(struct reader *r, const struct json_value *part,
                                      const struct part_type *type, struct media_source *source)
{
    const char *const of_part[] = {"type", type->key, "url", "uuid", NULL};
    enum status st = check_members(r, part, "", of_part);
    if (st != STATUS_OK)
        return st;
    const struct json_value *value = json_get_present(part, type->key);
    const struct json_value *url = json_get_present(part, "url");
    if (value && url)
        return wrong(r, "url", "stands beside another one");
    if (!value && !url)
        return take_given(r, source);
    return set_url(r, source, value ? value : url, value ? type->key : "url");
}

static struct json_value bare_part(enum media_kind kind)
{
    static const struct json_member members[] = {
        [MEDIA_IMAGE] = {"type", 4, {.type = JSON_STRING, .length = 5, .text = "image"}},
        [MEDIA_VIDEO] = {"type", 4, {.type = JSON_STRING, .length = 5, .text = "video"}},
        [MEDIA_AUDIO] = {"type", 4, {.type = JSON_STRING, .length = 5, .text = "audio"}},
    };
    return (struct json_value){.type = JSON_OBJECT, .n = 1, .members = &members[kind]};
}

static enum status read_part(struct reader *r, struct json_value *part,
                             const struct part_type *type)
{
    struct media_source source = {.kind = type->kind};
    if (type->kind == MEDIA_IMAGE)
        source.max_tokens = r->image_tokens;
    snprintf(source.field, sizeof source.field, "messages[%u].content[%u].%s", r->message, r->part,
             type->key);
    enum status st = STATUS_OK;
    if (type->carrier == CARRIER_URL)
        st = read_url_part(r, part, type, &source);
    else if (type->carrier == CARRIER_AUDIO)
        st = read_audio_part(r, part, &source);
    else
        st = read_optional_part(r, part, type, &source);
    if (st == STATUS_OK)
        st = media_sources_add(&r->out->sources, &source, r->err);
    *part = bare_part(type->kind);
    return st;
}

// *changed: parts were written anew.
static enum status read_content(struct reader *r, struct json_value *content, bool *changed)
{
    struct json_value *parts = NULL;
    enum status st = STATUS_OK;
    for (uint32_t i = 0; i < content->n && st == STATUS_OK; i++) {
        const struct part_type *type = find_type(&content->items[i]);
        if (!type)
            continue;
        if (!parts)
            parts = copy_items(r->out, content);
        r->part = i;
        st = read_part(r, &parts[i], type);
    }
    *changed = parts != NULL;
    if (parts)
        content->items = parts;
    return st;
}

static enum status read_message(struct reader *r, struct json_value *message, bool *changed)
{
    *changed = false;
    uint32_t at = find_member(message, "content");
    if (at == UINT32_MAX || message->members[at].value.type != JSON_ARRAY)
        return STATUS_OK;
    struct json_value content = message->members[at].value;
    enum status st = read_content(r, &content, changed);
    if (*changed)
        replace(r->out, message, at, &content);
    return st;
}

static enum status read_messages(struct reader *r, struct json_value *request)
{
    uint32_t at = find_member(request, "messages");
    if (at == UINT32_MAX || request->members[at].value.type != JSON_ARRAY)
        return STATUS_OK;
    struct json_value messages = request->members[at].value;
    struct json_value *items = NULL;
    enum status st = STATUS_OK;
    for (uint32_t i = 0; i < messages.n && st == STATUS_OK; i++) {
        struct json_value message = messages.items[i];
        bool changed;
        r->message = i;
        st = read_message(r, &message, &changed);
        if (!changed)
            continue;
        if (!items)
            items = copy_items(r->out, &messages);
        items[i] = message;
    }
    if (items) {
        messages.items = items;
        replace(r->out, request, at, &messages);
    }
    return st;
}

static enum status read_budget(struct reader *r, const struct json_value *kwargs)
{
    static const char field[] = "mm_processor_kwargs.max_soft_tokens";
    if (!kwargs)
        return STATUS_OK;
    if (kwargs->type != JSON_OBJECT)
        return error_set(r->err, STATUS_INVALID_ARGUMENT, "mm_processor_kwargs: must be an object");
    for (uint32_t i = 0; i < kwargs->n; i++)
        if (strcmp(kwargs->members[i].key, "max_soft_tokens") != 0)
            return error_set(r->err, STATUS_INVALID_ARGUMENT,
                             "mm_processor_kwargs.%s: no such field, or not supported",
                             kwargs->members[i].key);
    const struct json_value *value = json_get_present(kwargs, "max_soft_tokens");
    int64_t tokens = 0;
    if (!value)
        return STATUS_OK;
    if (!json_int64(value, &tokens))
        return error_set(r->err, STATUS_INVALID_ARGUMENT, "%s: must be an integer", field);
    r->image_tokens = (uint32_t)tokens;
    return media_check_budget(field, tokens, r->err);
}

static enum status check_given(struct reader *r)
{
    size_t n[3] = {0};
    for (size_t i = 0; i < r->given->n; i++)
        n[r->given->items[i].kind]++;
    size_t asked[3] = {0};
    for (size_t i = 0; i < r->out->sources.n; i++)
        asked[r->out->sources.items[i].kind]++;
    for (enum media_kind kind = MEDIA_IMAGE; kind <= MEDIA_AUDIO; kind++)
        if (n[kind] > asked[kind])
            return error_set(r->err, STATUS_INVALID_ARGUMENT,
                             "media: %zu of %s, but the messages have %zu parts for it", n[kind],
                             media_kind_name(kind), asked[kind]);
    return STATUS_OK;
}

enum status chat_media_read(struct chat_media *out, const struct json_value *request,
                            const struct media_sources *given, struct error *err)
{
    *out = (struct chat_media){.request = *request};
    struct reader r = {.out = out, .given = given, .err = err};
    enum status st = read_budget(&r, json_get_present(request, "mm_processor_kwargs"));
    if (st == STATUS_OK)
        st = read_messages(&r, &out->request);
    if (st == STATUS_OK)
        st = check_given(&r);
    if (st != STATUS_OK)
        chat_media_finish(out);
    return st;
}

void chat_media_finish(struct chat_media *media)
{
    for (size_t i = 0; i < media->n_blocks; i++)
        free(media->blocks[i]);
    free(media->blocks);
    media_sources_finish(&media->sources);
    *media = (struct chat_media){0};
}
