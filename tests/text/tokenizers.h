/* tests/text/tokenizers.h - tokenizers for tests: the real ones, and small ones made on the spot.
 */
#ifndef GEMMAD_TESTS_TEXT_TOKENIZERS_H
#define GEMMAD_TESTS_TEXT_TOKENIZERS_H

#include "base/json.h"
#include "base/text_buffer.h"
#include "tests/test.h"
#include "text/tokenizer.h"

/* Loads a file of the build folder's tests/text, such as gemma4-tokenizer.json. */
static inline struct tokenizer *load_built_tokenizer(const char *name)
{
    const char *build = getenv("GEMMAD_BUILD_DIR");
    char path[1024];
    snprintf(path, sizeof path, "%s/tests/text/%s", build ? build : "build", name);
    struct tokenizer *tokenizer = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(tokenizer_load(path, &tokenizer, &err), err);
    return tokenizer;
}

/* A tokenizer.json whose first entries are the 256 bytes, then entries [n_entries] with the ids
 * from 256 on; merges and added_tokens are the insides of JSON arrays. */
static inline char *write_tokenizer(const char *const *entries, size_t n_entries,
                                    const char *merges, const char *added_tokens)
{
    struct text_buffer out = {0};
    text_buffer_append_format(&out, "{\"added_tokens\":[%s],", added_tokens);
    text_buffer_append_text(&out, "\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":"
                                  "\" \"},\"content\":\"\xE2\x96\x81\"},\"pre_tokenizer\":null,"
                                  "\"post_processor\":null,\"decoder\":{\"type\":\"Sequence\","
                                  "\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":"
                                  "\"\xE2\x96\x81\"},\"content\":\" \"},{\"type\":"
                                  "\"ByteFallback\"},{\"type\":\"Fuse\"}]},\"model\":{\"type\":"
                                  "\"BPE\",\"byte_fallback\":true,\"vocab\":{");
    for (unsigned byte = 0; byte < 256; byte++)
        text_buffer_append_format(&out, "%s\"<0x%02X>\":%u", byte ? "," : "", byte, byte);
    for (size_t i = 0; i < n_entries; i++) {
        text_buffer_append_text(&out, ",");
        json_write_string(&out, entries[i], strlen(entries[i]));
        text_buffer_append_format(&out, ":%zu", 256 + i);
    }
    text_buffer_append_format(&out, "},\"merges\":[%s]}}", merges);
    return text_buffer_release(&out);
}

struct id_list {
    uint32_t *ids;
    size_t n, capacity;
};

static inline void encode_with(struct tokenizer_encoder *encoder, const char *text, size_t n,
                               bool parse_special, struct id_list *out)
{
    out->n = 0;
    tokenizer_encode(encoder, text, n, parse_special, &out->ids, &out->n, &out->capacity);
}

/* Reads the JSON lines of a file of the tests folder; each becomes a document, NULL ends. */
static inline struct json_document *next_json_line(const char **at)
{
    struct json_document *document = NULL;
    struct error err = {0};
    size_t n = strcspn(*at, "\n");
    if (n == 0)
        return NULL;
    ASSERT_OK_ERR(json_parse(*at, n, NULL, &document, &err), err);
    *at += n + ((*at)[n] == '\n');
    return document;
}

static inline void assert_ids(const char *what, const struct id_list *got,
                              const struct json_value *want)
{
    for (size_t i = 0; i < got->n || i < want->n; i++) {
        int64_t id = -1;
        if (i < want->n)
            ASSERT(json_int64(&want->items[i], &id));
        int64_t ours = i < got->n ? (int64_t)got->ids[i] : -1;
        if (ours != id)
            test_fail(__FILE__, __LINE__, "%s: id %zu is %" PRId64 ", want %" PRId64, what, i, ours,
                      id);
    }
}

#endif
