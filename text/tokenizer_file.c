/* text/tokenizer_file.c - reads tokenizer.json and refuses, by name, whatever would change ids.
 *
 * Fields that cannot change what tokenizer_encode promises are not looked at: the post-processor's
 * <bos> (prompts add their own), truncation and padding (settings of batches), the text of
 * unk_token (with all 256 byte entries there is no unknown character). */
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "text/tokenizer_tables.h"

#define MAX_FILE_BYTES ((size_t)256 << 20)
#define MAX_TOKENS (1U << 21) // eight times Gemma's
#define MAX_ENTRY_BYTES 1024U

struct reader {
    struct tokenizer *t;
    size_t n_strings; // bytes used of t->strings
    size_t strings_capacity;
    struct error *err;
};

static enum status refuse(struct reader *r, const char *what)
{
    return error_set(r->err, STATUS_INVALID_ARGUMENT, "%s", what);
}

static bool is_type(const struct json_value *value, enum json_type type)
{
    return value && value->type == type;
}

static bool is_false_or_absent(const struct json_value *value)
{
    return !value || value->type == JSON_NULL || value->type == JSON_FALSE;
}

// {"String": " "}
static bool is_space_pattern(const struct json_value *pattern)
{
    return is_type(pattern, JSON_OBJECT) && pattern->n == 1 &&
           json_string_is(json_get(pattern, "String"), " ");
}

static enum status check_normalizer(struct reader *r, const struct json_value *normalizer)
{
    if (!json_string_is(json_get(normalizer, "type"), "Replace") ||
        !is_space_pattern(json_get(normalizer, "pattern")) ||
        !json_string_is(json_get(normalizer, "content"), SPACE_MARK_UTF8))
        return refuse(r, "normalizer: only Replace \" \" by U+2581 is supported");
    return STATUS_OK;
}

// After the normalizer no space is left, so a Split at spaces leaves the text whole.
static enum status check_pre_tokenizer(struct reader *r, const struct json_value *pre_tokenizer)
{
    if (!pre_tokenizer)
        return STATUS_OK;
    if (!json_string_is(json_get(pre_tokenizer, "type"), "Split") ||
        !is_space_pattern(json_get(pre_tokenizer, "pattern")) ||
        !is_false_or_absent(json_get(pre_tokenizer, "invert")))
        return refuse(r, "pre_tokenizer: only Split at \" \" is supported");
    return STATUS_OK;
}

// A template of special tokens before sequence A, or nothing.
static enum status check_post_processor(struct reader *r, const struct json_value *processor)
{
    if (!processor)
        return STATUS_OK;
    const struct json_value *single = json_get(processor, "single");
    bool known = json_string_is(json_get(processor, "type"), "TemplateProcessing") &&
                 is_type(single, JSON_ARRAY) && single->n > 0;
    for (uint32_t i = 0; known && i + 1 < single->n; i++)
        known = json_string_is(json_get(json_get(&single->items[i], "SpecialToken"), "id"),
                               "<bos>");
    known = known && json_string_is(
                         json_get(json_get(&single->items[single->n - 1], "Sequence"), "id"), "A");
    if (!known)
        return refuse(r, "post_processor: only TemplateProcessing of \"A\", with or without <bos> "
                         "before it, is supported");
    return STATUS_OK;
}

static enum status check_decoder(struct reader *r, const struct json_value *decoder)
{
    const struct json_value *steps = json_get(decoder, "decoders");
    bool known = json_string_is(json_get(decoder, "type"), "Sequence") &&
                 is_type(steps, JSON_ARRAY) && steps->n == 3;
    if (known) {
        const struct json_value *replace = &steps->items[0];
        const struct json_value *pattern = json_get(replace, "pattern");
        known = json_string_is(json_get(replace, "type"), "Replace") &&
                json_string_is(json_get(pattern, "String"), SPACE_MARK_UTF8) &&
                json_string_is(json_get(replace, "content"), " ") &&
                json_string_is(json_get(&steps->items[1], "type"), "ByteFallback") &&
                json_string_is(json_get(&steps->items[2], "type"), "Fuse");
    }
    return known ? STATUS_OK
                 : refuse(r, "decoder: only Replace U+2581 by \" \", ByteFallback, Fuse is "
                             "supported");
}

static enum status check_model(struct reader *r, const struct json_value *model)
{
    bool byte_fallback = false;
    (void)json_bool(json_get(model, "byte_fallback"), &byte_fallback);
    if (!json_string_is(json_get(model, "type"), "BPE"))
        return refuse(r, "model.type: only BPE is supported");
    if (!byte_fallback)
        return refuse(r, "model.byte_fallback: only true is supported");
    if (!is_false_or_absent(json_get(model, "ignore_merges")))
        return refuse(r, "model.ignore_merges: only false is supported");
    static const char *const absent[] = {"dropout", "continuing_subword_prefix",
                                         "end_of_word_suffix"};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        if (json_get_present(model, absent[i]))
            return error_set(r->err, STATUS_INVALID_ARGUMENT, "model.%s: not supported", absent[i]);
    if (!is_type(json_get(model, "vocab"), JSON_OBJECT))
        return refuse(r, "model.vocab: expected an object");
    if (!is_type(json_get(model, "merges"), JSON_ARRAY))
        return refuse(r, "model.merges: expected an array");
    return STATUS_OK;
}

static enum status check_pipeline(struct reader *r, const struct json_value *root)
{
    if (!is_type(root, JSON_OBJECT))
        return refuse(r, "expected an object");
    enum status st = check_model(r, json_get(root, "model"));
    if (st == STATUS_OK)
        st = check_normalizer(r, json_get(root, "normalizer"));
    if (st == STATUS_OK)
        st = check_pre_tokenizer(r, json_get_present(root, "pre_tokenizer"));
    if (st == STATUS_OK)
        st = check_post_processor(r, json_get_present(root, "post_processor"));
    if (st == STATUS_OK)
        st = check_decoder(r, json_get(root, "decoder"));
    return st;
}

// An id that a token may have, or TOKEN_NONE with the cause worded.
static uint32_t read_id(struct reader *r, const struct json_value *value, const char *where,
                        const char *entry)
{
    int64_t id;
    if (json_int64(value, &id) && id >= 0 && id < (int64_t)MAX_TOKENS)
        return (uint32_t)id;
    (void)error_set(r->err, STATUS_INVALID_ARGUMENT, "%s: \"%s\": the id is no integer below %u",
                    where, entry, MAX_TOKENS);
    return TOKEN_NONE;
}

static uint32_t add_string(struct reader *r, const char *bytes, size_t n)
{
    struct tokenizer *t = r->t;
    CHECK(r->n_strings + n < UINT32_MAX); // MAX_FILE_BYTES bounds it, and decoding shortens
    mem_reserve(&t->strings, &r->strings_capacity, r->n_strings + n, 1);
    memcpy(t->strings + r->n_strings, bytes, n);
    r->n_strings += n;
    return (uint32_t)(r->n_strings - n);
}

// The entry with spaces for U+2581; the same string when there is none.
static void decode_entry(struct reader *r, struct token *token)
{
    char text[MAX_ENTRY_BYTES];
    size_t n = 0;
    const char *entry = r->t->strings + token->entry_at;
    for (size_t i = 0; i < token->n_entry;) {
        if (token->n_entry - i >= 3 && memcmp(entry + i, SPACE_MARK_UTF8, 3) == 0) {
            text[n++] = ' ';
            i += 3;
        } else {
            text[n++] = entry[i++];
        }
    }
    token->text_at = n < token->n_entry ? add_string(r, text, n) : token->entry_at;
    token->n_text = (uint16_t)n;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

// The value of "<0xNN>", or -1.
static int byte_of_entry(const char *entry, size_t n)
{
    if (n != 6 || memcmp(entry, "<0x", 3) != 0 || entry[5] != '>')
        return -1;
    int high = hex_digit(entry[3]);
    int low = hex_digit(entry[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static enum status add_token(struct reader *r, const char *where, const char *entry, size_t n,
                             uint32_t id)
{
    struct tokenizer *t = r->t;
    if (n == 0 || n > MAX_ENTRY_BYTES)
        return error_set(r->err, STATUS_INVALID_ARGUMENT,
                         "%s: id %u: an entry has 1 to %u bytes, not %zu", where, id,
                         MAX_ENTRY_BYTES, n);
    struct token *token = &t->tokens[id];
    if (token->n_entry)
        return error_set(r->err, STATUS_INVALID_ARGUMENT, "%s: \"%s\" and \"%.*s\" both have id %u",
                         where, entry, token->n_entry, t->strings + token->entry_at, id);
    uint64_t *slot = tokenizer_index_entry(t, entry, n);
    CHECK(*slot == 0); // keys of an object are distinct, and added tokens were looked up
    token->entry_at = add_string(r, entry, n);
    token->n_entry = (uint16_t)n;
    *slot = (tokenizer_string_hash(entry, n) >> 32 << 32) | (id + 1);
    int byte = byte_of_entry(entry, n);
    if (byte >= 0) {
        char text = (char)byte;
        token->is_byte = true;
        token->text_at = add_string(r, &text, 1);
        token->n_text = 1;
    } else {
        decode_entry(r, token);
    }
    return STATUS_OK;
}

static void add_character(struct tokenizer *t, const char *entry, size_t n, uint32_t id)
{
    uint32_t character;
    if (utf8_decode(entry, n, &character) != n || character == ' ')
        return; // longer, or a space, which the normalizer leaves nowhere
    character = tokenizer_character(character);
    uint32_t **page = &t->characters[character / CODE_POINTS_PER_PAGE];
    if (!*page) {
        *page = mem_resized(NULL, CODE_POINTS_PER_PAGE, sizeof **page);
        memset(*page, 0xFF, CODE_POINTS_PER_PAGE * sizeof **page); // TOKEN_NONE
    }
    (*page)[character % CODE_POINTS_PER_PAGE] = id;
}

// Tables large enough for every id of the file.
static enum status make_room(struct reader *r, const struct json_value *vocab,
                             const struct json_value *added)
{
    struct tokenizer *t = r->t;
    size_t n_entries = vocab->n;
    for (uint32_t i = 0; i < vocab->n; i++) {
        uint32_t id = read_id(r, &vocab->members[i].value, "model.vocab", vocab->members[i].key);
        if (id == TOKEN_NONE)
            return STATUS_INVALID_ARGUMENT;
        t->n_tokens = id >= t->n_tokens ? id + 1 : t->n_tokens;
    }
    if (added && added->type != JSON_ARRAY)
        return refuse(r, "added_tokens: expected an array");
    for (uint32_t i = 0; added && i < added->n; i++) {
        const struct json_value *content = json_get(&added->items[i], "content");
        if (!is_type(content, JSON_STRING))
            return error_set(r->err, STATUS_INVALID_ARGUMENT,
                             "added_tokens[%u].content: expected a string", i);
        uint32_t id = read_id(r, json_get(&added->items[i], "id"), "added_tokens", content->text);
        if (id == TOKEN_NONE)
            return STATUS_INVALID_ARGUMENT;
        t->n_tokens = id >= t->n_tokens ? id + 1 : t->n_tokens;
        n_entries++;
    }
    if (n_entries > MAX_TOKENS)
        return refuse(r, "model.vocab: too many entries");
    t->index_capacity = 64;
    while (t->index_capacity < n_entries * 2)
        t->index_capacity *= 2;
    t->index = mem_zeroed(t->index_capacity, sizeof *t->index);
    t->tokens = mem_zeroed(t->n_tokens, sizeof *t->tokens);
    return STATUS_OK;
}

static enum status read_vocab(struct reader *r, const struct json_value *vocab)
{
    for (uint32_t i = 0; i < vocab->n; i++) {
        const struct json_member *member = &vocab->members[i];
        uint32_t id = read_id(r, &member->value, "model.vocab", member->key);
        enum status st = add_token(r, "model.vocab", member->key, member->key_length, id);
        if (st != STATUS_OK)
            return st;
        add_character(r->t, member->key, member->key_length, id);
    }
    for (unsigned byte = 0; byte < 256; byte++) {
        char entry[8];
        snprintf(entry, sizeof entry, "<0x%02X>", byte);
        r->t->byte_ids[byte] = tokenizer_id(r->t, entry, 6);
        if (r->t->byte_ids[byte] == TOKEN_NONE)
            return error_set(r->err, STATUS_INVALID_ARGUMENT,
                             "model.vocab: no entry %s, which byte_fallback needs", entry);
    }
    return STATUS_OK;
}

// The two parts of ["a", "b"] or "a b"; false if merge is neither.
static bool split_merge(const struct json_value *merge, const char *parts[2], size_t n_parts[2])
{
    if (merge->type == JSON_ARRAY && merge->n == 2) {
        for (int i = 0; i < 2; i++) {
            if (merge->items[i].type != JSON_STRING)
                return false;
            parts[i] = merge->items[i].text;
            n_parts[i] = merge->items[i].length;
        }
        return true;
    }
    if (merge->type != JSON_STRING)
        return false;
    const char *space = memchr(merge->text, ' ', merge->length);
    if (!space)
        return false;
    parts[0] = merge->text;
    n_parts[0] = (size_t)(space - merge->text);
    parts[1] = space + 1;
    n_parts[1] = merge->length - n_parts[0] - 1;
    return !memchr(parts[1], ' ', n_parts[1]);
}

static void mark_junction(struct tokenizer *t, const char *left, size_t n_left, const char *right,
                          size_t n_right)
{
    size_t last = n_left - 1;
    while (last > 0 && ((unsigned char)left[last] & 0xC0) == 0x80)
        last--;
    uint32_t a;
    uint32_t b;
    utf8_decode(left + last, n_left - last, &a);
    utf8_decode(right, n_right, &b);
    a = tokenizer_character(a);
    b = tokenizer_character(b);
    if ((a | b) < 0x80) {
        t->ascii_junctions[a][b / 64] |= UINT64_C(1) << b % 64;
    } else {
        uint32_t bit = tokenizer_junction_bit(a, b);
        t->junctions[bit / 64] |= UINT64_C(1) << bit % 64;
    }
}

static enum status read_merge(struct reader *r, const struct json_value *value, uint32_t rank)
{
    struct tokenizer *t = r->t;
    const char *parts[2];
    size_t n_parts[2];
    if (!split_merge(value, parts, n_parts))
        return error_set(r->err, STATUS_INVALID_ARGUMENT,
                         "model.merges[%u]: expected [\"a\", \"b\"] or \"a b\"", rank);
    struct bpe_merge merge = {.rank = rank,
                              .left = tokenizer_id(t, parts[0], n_parts[0]),
                              .right = tokenizer_id(t, parts[1], n_parts[1])};
    if (merge.left == TOKEN_NONE || merge.right == TOKEN_NONE)
        return error_set(r->err, STATUS_INVALID_ARGUMENT,
                         "model.merges[%u]: \"%s\" is no entry of the vocabulary", rank,
                         parts[merge.left == TOKEN_NONE ? 0 : 1]);
    char both[2 * MAX_ENTRY_BYTES]; // entries have at most MAX_ENTRY_BYTES
    memcpy(both, parts[0], n_parts[0]);
    memcpy(both + n_parts[0], parts[1], n_parts[1]);
    merge.merged = tokenizer_id(t, both, n_parts[0] + n_parts[1]);
    if (merge.merged == TOKEN_NONE)
        return error_set(r->err, STATUS_INVALID_ARGUMENT,
                         "model.merges[%u]: \"%.*s\" is no entry of the vocabulary", rank,
                         (int)(n_parts[0] + n_parts[1]), both);
    if (t->tokens[merge.left].is_byte || t->tokens[merge.right].is_byte)
        t->byte_tokens_merge = true;
    bpe_merges_add(&t->merges, &merge);
    mark_junction(t, parts[0], n_parts[0], parts[1], n_parts[1]);
    return STATUS_OK;
}

static enum status read_merges(struct reader *r, const struct json_value *merges)
{
    struct tokenizer *t = r->t;
    bpe_merges_init(&t->merges, merges->n);
    t->junctions = mem_zeroed((size_t)1 << JUNCTION_BITS >> 6, sizeof *t->junctions);
    for (uint32_t rank = 0; rank < merges->n; rank++) {
        enum status st = read_merge(r, &merges->items[rank], rank);
        if (st != STATUS_OK)
            return st;
    }
    if (!t->byte_tokens_merge)
        return STATUS_OK;
    for (uint32_t a = 0; a < 128; a++) {
        for (uint32_t b = 0; b < 128; b++) {
            if (tokenizer_character_id(t, a) == TOKEN_NONE ||
                tokenizer_character_id(t, b) == TOKEN_NONE)
                t->ascii_junctions[a][b / 64] |= UINT64_C(1) << b % 64;
        }
    }
    return STATUS_OK;
}

static bool is_tool_marker(const struct json_value *content)
{
    return json_string_is(content, "<|tool_call>") || json_string_is(content, "<tool_call|>") ||
           json_string_is(content, "<|\"|>");
}

static enum status read_added_token(struct reader *r, const struct json_value *added)
{
    static const char *const flags[] = {"single_word", "lstrip", "rstrip", "normalized"};
    const struct json_value *content = json_get(added, "content");
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (!is_false_or_absent(json_get(added, flags[i])))
            return error_set(r->err, STATUS_INVALID_ARGUMENT,
                             "added_tokens: \"%s\": %s: only false is supported", content->text,
                             flags[i]);
    uint32_t id = read_id(r, json_get(added, "id"), "added_tokens", content->text);
    uint32_t known = tokenizer_id(r->t, content->text, content->length);
    if (known != TOKEN_NONE && known != id)
        return error_set(r->err, STATUS_INVALID_ARGUMENT,
                         "added_tokens: \"%s\" has id %u, but %u before", content->text, id, known);
    if (known == TOKEN_NONE) {
        enum status st = add_token(r, "added_tokens", content->text, content->length, id);
        if (st != STATUS_OK)
            return st;
    }
    if (!added_tokens_add(&r->t->added, content->text, content->length, id))
        return error_set(r->err, STATUS_INVALID_ARGUMENT, "added_tokens: \"%s\" occurs twice",
                         content->text);
    struct token *token = &r->t->tokens[id];
    (void)json_bool(json_get(added, "special"), &token->is_special);
    if (token->is_special) { // shown as it is written
        token->text_at = token->entry_at;
        token->n_text = token->n_entry;
        token->is_byte = false;
        token->is_tool_marker = is_tool_marker(content);
    }
    return STATUS_OK;
}

static enum status read_root(struct reader *r, const struct json_value *root)
{
    enum status st = check_pipeline(r, root);
    if (st != STATUS_OK)
        return st;
    const struct json_value *model = json_get(root, "model");
    const struct json_value *vocab = json_get(model, "vocab");
    const struct json_value *added = json_get_present(root, "added_tokens");
    st = make_room(r, vocab, added);
    if (st == STATUS_OK)
        st = read_vocab(r, vocab);
    if (st == STATUS_OK)
        st = read_merges(r, json_get(model, "merges"));
    for (uint32_t i = 0; st == STATUS_OK && added && i < added->n; i++)
        st = read_added_token(r, &added->items[i]);
    return st;
}

static enum status build(const struct json_document *document, struct tokenizer **out,
                         struct error *err)
{
    struct tokenizer *t = mem_zeroed(1, sizeof *t);
    added_tokens_init(&t->added);
    struct reader r = {.t = t, .err = err};
    enum status st = read_root(&r, json_root(document));
    if (st != STATUS_OK)
        tokenizer_destroy(t);
    else
        *out = t;
    return st;
}

enum status tokenizer_load(const char *path, struct tokenizer **out, struct error *err)
{
    struct json_limits limits = {.max_bytes = MAX_FILE_BYTES};
    struct json_document *document;
    enum status st = json_parse_file(path, &limits, &document, err);
    if (st != STATUS_OK)
        return st; // names the path
    st = build(document, out, err);
    json_document_destroy(document);
    if (st != STATUS_OK)
        error_prefix(err, "%s", path);
    return st;
}

enum status tokenizer_parse(const char *json, size_t n, const char *name, struct tokenizer **out,
                            struct error *err)
{
    struct json_limits limits = {.max_bytes = MAX_FILE_BYTES};
    struct json_document *document = NULL;
    enum status st = json_parse(json, n, &limits, &document, err);
    if (st == STATUS_OK)
        st = build(document, out, err);
    json_document_destroy(document);
    if (st != STATUS_OK)
        error_prefix(err, "%s", name);
    return st;
}
