/* tests/text/grammar/test_json_schema.c - the suite of schemas (tests/data/json-schema) against
 * grammars: each valid instance is accepted token by token, each invalid one refused, in the ways
 * that json.dumps writes them; and what a schema's author is told when it cannot be enforced. */
#include "text/grammar/json_schema.h"

#include "tests/text/grammar/follow.h"
#include "tests/text/grammar/json_forms.h"

#define SUITE "data/json-schema/suite.jsonl"
#define EXCEPTIONS "data/json-schema/exceptions/exceptions.jsonl"

struct setting {
    struct tokenizer *tokenizer;
    struct tokenizer_encoder *encoder;
    struct vocabulary *vocabulary;
    struct id_list ids;
};

static void begin(struct setting *setting, struct tokenizer *tokenizer)
{
    *setting = (struct setting){.tokenizer = tokenizer};
    setting->encoder = tokenizer_encoder_create(tokenizer);
    setting->vocabulary = vocabulary_create(tokenizer, tokenizer_n_tokens(tokenizer));
}

static void finish(struct setting *setting)
{
    free(setting->ids.ids);
    vocabulary_destroy(setting->vocabulary);
    tokenizer_encoder_destroy(setting->encoder);
    tokenizer_destroy(setting->tokenizer);
}

static enum status compile(const struct json_value *schema,
                           const struct json_schema_options *options, struct grammar **out,
                           struct error *err)
{
    struct grammar_builder *builder = grammar_builder_create(NULL);
    grammar_symbol root;
    enum status st = json_schema_symbol(builder, schema, options, &root, err);
    if (st == STATUS_OK)
        return grammar_build(builder, root, out, err);
    grammar_builder_destroy(builder);
    return st;
}

static bool accepts(struct setting *setting, struct grammar *grammar, const char *text, size_t n)
{
    encode_with(setting->encoder, text, n, false, &setting->ids);
    struct matcher *matcher = matcher_create(grammar, setting->vocabulary);
    bool accepted = true;
    for (size_t i = 0; accepted && i < setting->ids.n; i++)
        accepted = matcher_accept(matcher, setting->ids.ids[i]);
    accepted = accepted && matcher_is_complete(matcher);
    ASSERT(!matcher_failed(matcher));
    matcher_destroy(matcher);
    return accepted;
}

// How many of the forms of the instances are treated otherwise than wanted; says which.
static uint32_t n_mistaken(struct setting *setting, struct grammar *grammar, const char *id,
                           const struct json_value *instances, bool want)
{
    uint32_t n = 0;
    for (uint32_t i = 0; instances && i < instances->n; i++) {
        for (unsigned form = 0; form < 3; form++) {
            struct text_buffer text = {0};
            dump_json(&text, &instances->items[i], form & 1, form < 2);
            if (accepts(setting, grammar, text.data, text.length) != want) {
                printf("%s: %s: %.300s\n", id, want ? "refused" : "accepted", text.data);
                n++;
            }
            text_buffer_finish(&text);
        }
    }
    return n;
}

static uint32_t n_mistaken_texts(struct setting *setting, struct grammar *grammar, const char *id,
                                 const struct json_value *texts)
{
    uint32_t n = 0;
    for (uint32_t i = 0; texts && i < texts->n; i++) {
        if (!accepts(setting, grammar, texts->items[i].text, texts->items[i].length))
            continue;
        printf("%s: accepted: %s\n", id, texts->items[i].text);
        n++;
    }
    return n;
}

static uint32_t check_row(struct setting *setting, const struct json_value *row, bool compact)
{
    const char *id = json_get(row, "id")->text;
    const struct json_schema_options options = {.compact = compact};
    struct grammar *grammar = NULL;
    struct error err = {0};
    if (compile(json_get(row, "schema"), &options, &grammar, &err) != STATUS_OK) {
        printf("%s: %s\n", id, err.message);
        return 1;
    }
    uint32_t n = n_mistaken(setting, grammar, id, json_get(row, "valid"), true) +
                 n_mistaken(setting, grammar, id, json_get(row, "invalid"), false) +
                 n_mistaken(setting, grammar, id, json_get(row, "loose"), true) +
                 n_mistaken_texts(setting, grammar, id, json_get(row, "invalid_text"));
    grammar_drop(grammar);
    return n;
}

struct tally {
    uint32_t n_rows, n_failed;
};

static void check_file(struct setting *setting, const char *path, bool compact, struct tally *tally)
{
    char *lines = test_read_file(path, NULL);
    const char *at = lines;
    for (struct json_document *row; (row = next_json_line(&at));) {
        tally->n_rows++;
        tally->n_failed += check_row(setting, json_root(row), compact) > 0;
        json_document_destroy(row);
    }
    free(lines);
}

static void check_suite(struct tokenizer *tokenizer)
{
    struct setting setting;
    begin(&setting, tokenizer);
    for (unsigned compact = 0; compact < 2; compact++) {
        struct tally exact = {0}, loose = {0};
        check_file(&setting, SUITE, compact, &exact);
        check_file(&setting, EXCEPTIONS, compact, &loose);
        uint32_t n = exact.n_rows + loose.n_rows;
        printf("%u of %u schemas are enforced exactly (%.1f %%)\n", exact.n_rows - exact.n_failed,
               n, 100.0 * (exact.n_rows - exact.n_failed) / n);
        ASSERT_EQ(exact.n_failed, 0);
        ASSERT_EQ(loose.n_failed, 0); // as loose as it says, and no looser
        ASSERT(n >= 200 && exact.n_rows * 100 >= n * 95);
    }
    finish(&setting);
}

TEST(the_suite_is_enforced_byte_by_byte)
{
    check_suite(bytes_tokenizer());
}

TEST(the_suite_is_enforced_token_by_token)
{
    check_suite(load_built_tokenizer("gemma4-tokenizer.json"));
}

// A schema that a test writes down, and texts under it.
struct written {
    struct setting setting;
    struct json_document *document;
    struct grammar *grammar;
};

static struct written write_schema(const char *schema, struct json_schema_options options)
{
    struct written written = {0};
    struct error err = {0};
    begin(&written.setting, bytes_tokenizer());
    ASSERT_OK_ERR(json_parse(schema, strlen(schema), NULL, &written.document, &err), err);
    ASSERT_OK_ERR(compile(json_root(written.document), &options, &written.grammar, &err), err);
    return written;
}

static void written_finish(struct written *written)
{
    grammar_drop(written->grammar);
    json_document_destroy(written->document);
    finish(&written->setting);
}

static void assert_texts(const char *schema, struct json_schema_options options,
                         const char *const *texts, bool want)
{
    struct written written = write_schema(schema, options);
    for (; *texts; texts++) {
        if (accepts(&written.setting, written.grammar, *texts, strlen(*texts)) != want)
            test_fail(__FILE__, __LINE__, "%s under %s", *texts, schema);
    }
    written_finish(&written);
}

#define LOOSE                    \
    (struct json_schema_options) \
    {                            \
        0                        \
    }
#define COMPACT                  \
    (struct json_schema_options) \
    {                            \
        .compact = true          \
    }
#define STRICT                          \
    (struct json_schema_options)        \
    {                                   \
        .strict = true, .compact = true \
    }
#define TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})

#define TWO "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\"},\"b\":{}}}"

TEST(blanks_may_stand_wherever_json_has_them_but_not_without_end)
{
    assert_texts(TWO, LOOSE,
                 TEXTS("{}", " { } ", "{\n\t\"a\" : [ 1 ,\r\n2 ] ,\"b\":{ \"x\" : [ ] } }\n",
                       "{                    }"),
                 true);
    assert_texts(TWO, LOOSE, TEXTS("{                     }", "{\"a\":\v[]}", "{\"a\" [ ]}"),
                 false);
}

TEST(compact_leaves_one_space_behind_a_comma_and_a_colon)
{
    assert_texts(TWO, COMPACT, TEXTS("{}", "{\"a\":[1,2]}", "{\"a\": [1, 2], \"b\": {\"x\": 1}}"),
                 true);
    assert_texts(
        TWO, COMPACT,
        TEXTS(" {}", "{} ", "{ }", "{\"a\" :[]}", "{\"a\":  []}", "{\"a\":[1 ,2]}", "{\"a\":\n[]}"),
        false);
}

TEST(members_come_in_the_order_of_the_schema_and_others_behind_them)
{
    assert_texts(TWO, COMPACT, TEXTS("{\"a\":[],\"b\":1,\"c\":2}", "{\"b\":1,\"c\":2}"), true);
    assert_texts(TWO, COMPACT,
                 TEXTS("{\"b\":1,\"a\":[]}", "{\"c\":1,\"a\":[]}", "{\"a\":[],\"a\":[]}",
                       "{\"a\":[],\"c\":1,\"b\":1}"),
                 false);
    assert_texts("{\"allOf\":[{\"properties\":{\"x\":{}}}],\"properties\":{\"y\":{}},"
                 "\"anyOf\":[{\"properties\":{\"z\":{}}}],\"required\":[\"x\",\"y\",\"z\"],"
                 "\"type\":\"object\"}",
                 COMPACT, TEXTS("{\"x\":1,\"y\":2,\"z\":3}"), true);
}

TEST(no_spelling_of_a_declared_key_passes_for_another_one)
{
    assert_texts("{\"type\":\"object\",\"properties\":{\"k/\\u00e9\":{\"type\":\"null\"}}}",
                 COMPACT,
                 TEXTS("{\"k\\/\xC3\xA9\":1}", "{\"\\u006b/\xC3\xA9\":1}", "{\"k/\\u00E9\":1}",
                       "{\"\\u006B\\u002f\\u00e9\":1}"),
                 false);
    assert_texts(
        "{\"type\":\"object\",\"properties\":{\"k/\\u00e9\":{\"type\":\"null\"}}}", COMPACT,
        TEXTS("{\"k/\xC3\xA9\":null}", "{\"k/\\u00e9\":null}", "{\"k\":1,\"\\u006B\":2}"), true);
}

TEST(a_key_may_hold_any_character)
{
    assert_texts("{\"type\":\"object\",\"properties\":{\"a\\u0000b\":{\"type\":\"null\"},"
                 "\"a\":{\"type\":\"integer\"}},\"additionalProperties\":false}",
                 COMPACT, TEXTS("{\"a\\u0000b\":null,\"a\":1}", "{\"a\":1}"), true);
    assert_texts("{\"type\":\"object\",\"properties\":{\"a\\u0000b\":{\"type\":\"null\"},"
                 "\"a\":{\"type\":\"integer\"}},\"additionalProperties\":false}",
                 COMPACT, TEXTS("{\"a\\u0000b\":1}", "{\"a\":null}", "{\"a\\u0000\":1}"), false);
}

TEST(integers_are_written_as_integers)
{
    assert_texts("{\"type\":\"integer\"}", COMPACT, TEXTS("0", "-0", "12", "-12"), true);
    assert_texts("{\"type\":\"integer\"}", COMPACT, TEXTS("1.0", "1e2", "01", "+1", "-", ""),
                 false);
    assert_texts("{\"type\":\"number\",\"minimum\":0.5,\"maximum\":20}", COMPACT,
                 TEXTS("0.5", "5e-1", "5.0E-01", "2e1", "2.0e+0001", "1e0", "20.000", "9.99e0"),
                 true);
    assert_texts("{\"type\":\"number\",\"minimum\":0.5,\"maximum\":20}", COMPACT,
                 TEXTS("0.49", "4.9e-1", "2.01e1", "1e2", "1e-1", "-1", "0e5", "20.0001"), false);
}

TEST(half_a_surrogate_pair_is_no_character)
{
    assert_texts("{\"type\":\"string\",\"maxLength\":1}", COMPACT,
                 TEXTS("\"\\ud83d\\uDE00\"", "\"\xF0\x9F\x98\x80\"", "\"\\u0000\"", "\"\\/\""),
                 true);
    assert_texts("{\"type\":\"string\",\"maxLength\":1}", COMPACT,
                 TEXTS("\"\\ud83d\"", "\"\\ude00\"", "\"\\ude00\\ud83d\"", "\"\xF0\x9F\x98\"",
                       "\"\x01\"", "\"\\x\"", "\"\\u12\""),
                 false);
}

TEST(strict_objects_are_closed_unless_they_say_otherwise)
{
    const char *schema = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"object\","
                         "\"properties\":{\"b\":{}},\"additionalProperties\":true}}}";
    assert_texts(schema, STRICT, TEXTS("{}", "{\"a\":{\"b\":{\"any\":1},\"c\":2}}"), true);
    assert_texts(schema, STRICT, TEXTS("{\"b\":1}", "{\"a\":{},\"b\":1}"), false);
    assert_texts("{\"type\":\"object\",\"allOf\":[{\"properties\":{\"a\":{}}},"
                 "{\"properties\":{\"b\":{}}}]}",
                 STRICT, TEXTS("{\"a\":1,\"b\":2}"), true);
    // what is required may be there, declared or not
    assert_texts("{\"type\":\"object\",\"required\":[\"a\"]}", STRICT, TEXTS("{\"a\":1}"), true);
}

TEST(without_a_schema_any_object_passes)
{
    struct setting setting;
    begin(&setting, bytes_tokenizer());
    const struct json_schema_options options = STRICT;
    struct grammar *grammar = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(compile(NULL, &options, &grammar, &err), err);
    static const char text[] = "{\"a\": [{}, null], \"b\": 1e5}";
    ASSERT(accepts(&setting, grammar, text, strlen(text)));
    ASSERT(!accepts(&setting, grammar, "[]", 2));
    ASSERT(!accepts(&setting, grammar, "{", 1));
    grammar_drop(grammar);
    finish(&setting);
}

static void assert_refused(const char *schema, bool strict, const char *why)
{
    struct json_document *document = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(json_parse(schema, strlen(schema), NULL, &document, &err), err);
    const struct json_schema_options options = {.strict = strict};
    struct grammar *grammar = NULL;
    if (compile(json_root(document), &options, &grammar, &err) != STATUS_INVALID_ARGUMENT)
        test_fail(__FILE__, __LINE__, "not refused: %.300s", schema);
    ASSERT_CONTAINS(err.message, why);
    ASSERT(!grammar);
    json_document_destroy(document);
}

TEST(a_malformed_schema_is_refused_and_the_place_named)
{
    assert_refused("5", false, "schema, #: a schema is an object or a boolean");
    assert_refused("{\"type\":\"strange\"}", false, "#/type: type must be null");
    assert_refused("{\"type\":[\"string\",5]}", false, "#/type/1: type must be");
    assert_refused("{\"properties\":{\"a~/\":{\"items\":3}}}", false,
                   "#/properties/a~0~1/items: a schema");
    assert_refused("{\"properties\":[]}", false, "#: properties must be an object");
    assert_refused("{\"required\":[\"a\",1]}", false, "#/required/1: required must be");
    assert_refused("{\"minLength\":-1}", false, "minLength must be a count");
    assert_refused("{\"maxItems\":1.5}", false, "maxItems must be a count");
    assert_refused("{\"minItems\":1e9}", false, "minItems is over 65535");
    assert_refused("{\"anyOf\":[{\"pattern\":\"(\"}]}", false,
                   "#/anyOf/0/pattern: regex, character");
    assert_refused("{\"multipleOf\":0}", false, "multipleOf must be above 0");
    assert_refused("{\"minimum\":1e999}", false, "#/minimum: a number of more than");
    assert_refused("{\"$ref\":\"#/$defs/a\"}", false, "#/$ref: \"#/$defs/a\" leads nowhere");
    assert_refused("{\"$ref\":\"https://example.com/x\"}", false, "leads nowhere");
    assert_refused("{\"anyOf\":{}}", false, "anyOf must be a list");
}

TEST(a_schema_without_instances_is_refused)
{
    assert_refused("false", false, "no value is valid");
    assert_refused("{\"type\":\"string\",\"minLength\":3,\"maxLength\":2}", false,
                   "no value is valid");
    assert_refused("{\"type\":\"string\",\"pattern\":\"^a+$\",\"format\":\"date\"}", false,
                   "no value is valid");
    assert_refused("{\"type\":\"integer\",\"minimum\":1.2,\"maximum\":1.8}", false,
                   "no value is valid");
    assert_refused("{\"allOf\":[{\"type\":\"string\"},{\"type\":\"null\"}]}", false,
                   "no value is valid");
    assert_refused(
        "{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}", false,
        "");
    assert_refused("{\"type\":\"object\",\"required\":[\"a\"],\"properties\":{\"a\":false}}", false,
                   "no value is valid");
}

TEST(strict_refuses_what_cannot_be_enforced)
{
    static const char *const keywords[] = {"not",
                                           "if",
                                           "then",
                                           "else",
                                           "dependentRequired",
                                           "dependentSchemas",
                                           "dependencies",
                                           "uniqueItems",
                                           "contains",
                                           "propertyNames",
                                           "unevaluatedProperties",
                                           "unevaluatedItems",
                                           "$dynamicRef"};
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++) {
        char schema[128], why[64];
        snprintf(schema, sizeof schema, "{\"properties\":{\"a\":{\"%s\":{}}}}", keywords[i]);
        snprintf(why, sizeof why, "#/properties/a: %s is not supported", keywords[i]);
        assert_refused(schema, true, why);
        assert_texts(schema, LOOSE, TEXTS("{\"a\":1}"), true);
    }
    assert_refused("{\"type\":\"number\",\"multipleOf\":2.5}", true,
                   "multipleOf 2.5 is not supported");
    assert_refused("{\"type\":\"integer\",\"multipleOf\":50001}", true,
                   "multipleOf 50001 is not supported");
    assert_refused("{\"type\":\"integer\",\"allOf\":[{\"multipleOf\":97},{\"multipleOf\":89},{"
                   "\"multipleOf\":83}]}",
                   true, "multipleOf 83 is not supported");
}

// prefix, then middle with numbers n - 1 down to 0 for %u (twice at most), then suffix.
static char *repeat(const char *prefix, const char *middle, uint32_t n, const char *suffix)
{
    struct text_buffer out = {0};
    text_buffer_append_text(&out, prefix);
    for (uint32_t i = 0; i < n; i++) {
        char text[256];
        size_t at = 0;
        for (const char *c = middle; *c && at < sizeof text - 16; c++) {
            if (*c == '#' && c[1] == 'i')
                at += (size_t)snprintf(text + at, 16, "%u", i + (c[2] == '+'));
            else
                text[at++] = *c;
            c += *c == '#' && c[1] == 'i' ? (c[2] == '+' ? 2 : 1) : 0;
        }
        text_buffer_append(&out, text, at);
    }
    text_buffer_append_text(&out, suffix);
    return text_buffer_release(&out);
}

TEST(what_is_too_large_or_too_deep_is_refused)
{
    char *chain = repeat("{\"$ref\":\"#/$defs/n0\",\"$defs\":{",
                         "\"n#i\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/n#i+\"}},", 500,
                         "\"n500\":{}}}");
    assert_refused(chain, false, "nested deeper than 128 schemas");
    free(chain);
    char *product = repeat("{\"allOf\":[", "{\"anyOf\":[{\"minLength\":#i},{\"pattern\":\"#i\"}]},",
                           30, "{\"type\":\"string\"}]}");
    assert_refused(product, false, ""); // by number, size or time
    free(product);
    char *parts = repeat("{\"allOf\":[", "{\"minimum\":#i},", 300, "{}]}");
    assert_refused(parts, false, "more than 48 schemas apply to one value");
    free(parts);
    char *patterns = repeat("{\"patternProperties\":{", "\"^#i\":{},", 100, "\"x\":{}}}");
    assert_refused(patterns, false, "more than 64 patterns");
    free(patterns);
    char *members = repeat("{\"properties\":{", "\"#i\":{},", 500, "\"x\":{}}}");
    assert_refused(members, false, "more than 500 optional members in a row");
    free(members);
    members = repeat("{\"required\":[\"x\"],\"properties\":{", "\"#i\":{},", 500, "\"x\":{}}}");
    assert_texts(members, COMPACT, TEXTS("{\"0\":0,\"499\":0,\"x\":0}"), true);
    free(members);
}

TEST(a_reference_is_of_the_resource_it_stands_in)
{
    const char *schema =
        "{\"$defs\":{\"x\":{\"type\":\"null\"},\"r\":{\"$id\":\"r\",\"$defs\":"
        "{\"x\":{\"type\":\"boolean\"}},\"items\":{\"$ref\":\"#/$defs/x\"},"
        "\"type\":\"array\"}},\"anyOf\":[{\"$ref\":\"r\"},{\"$ref\":\"#/$defs/x\"}]}";
    assert_texts(schema, COMPACT, TEXTS("[true]", "null"), true);
    assert_texts(schema, COMPACT, TEXTS("[null]", "true"), false);
}

TEST(circles_of_references_end)
{
    assert_texts("{\"$ref\":\"#\"}", COMPACT, TEXTS("1", "[{}]"), true);
    assert_texts("{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"$ref\":\"#/$defs/b\"},"
                 "\"b\":{\"$ref\":\"#/$defs/a\",\"type\":\"null\"}}}",
                 COMPACT, TEXTS("null"), true);
    assert_texts("{\"anyOf\":[{\"$ref\":\"#\"},{\"type\":\"null\"}]}", COMPACT, TEXTS("null"),
                 true);
}

TEST(long_texts_and_many_members_are_fine)
{
    char *keys = repeat("{\"type\":\"object\",\"properties\":{",
                        "\"key\xC3\xA9#i\":{\"const\":#i},", 300,
                        "\"last\":{\"type\":\"null\"}},\"additionalProperties\":false}");
    assert_texts(keys, COMPACT,
                 TEXTS("{\"key\xC3\xA9"
                       "7\":7,\"key\\u00e9"
                       "299\":299}",
                       "{}", "{\"last\":null}"),
                 true);
    assert_texts(keys, COMPACT,
                 TEXTS("{\"key\xC3\xA9"
                       "7\":8}"),
                 false);
    free(keys);
    keys = repeat("{\"const\":{", "\"key #i\":#i,", 4000, "\"last\":null}}"); // in linear time
    assert_texts(keys, COMPACT, TEXTS("{\"key 0\":0,\"key 1\":2}"), false);
    free(keys);
    char *values = repeat("{\"enum\":[", "\"value #i\",", 3000, "\"last\"]}");
    assert_texts(values, COMPACT, TEXTS("\"value 2999\"", "\"value 0\"", "\"last\""), true);
    free(values);
    char *text = repeat("\"", "0123456789", 1000, "\"");
    struct text_buffer schema = {0};
    text_buffer_append_format(&schema, "{\"const\":%s}", text);
    assert_texts(schema.data, COMPACT, TEXTS(text), true);
    text_buffer_finish(&schema);
    free(text);
}
