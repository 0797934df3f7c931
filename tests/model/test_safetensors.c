/* tests/model/test_safetensors.c - files that break a rule of the format, one rule at a time. */
#include "model/safetensors.h"

#include "base/text_buffer.h"
#include "tests/model/folder.h"
#include "tests/test.h"

// A file of this header and so many bytes of data.
static char *file_of(const char *header, size_t n_data, size_t *out_n)
{
    uint64_t length = strlen(header);
    *out_n = 8 + length + n_data;
    char *bytes = calloc(1, *out_n + 1);
    memcpy(bytes, &length, sizeof length);
    memcpy(bytes + 8, header, length);
    for (size_t i = 0; i < n_data; i++)
        bytes[8 + length + i] = (char)i;
    return bytes;
}

static enum status parse(const char *header, size_t n_data, struct safetensors **out,
                         struct error *err, char **out_bytes)
{
    size_t n;
    *out_bytes = file_of(header, n_data, &n);
    return safetensors_parse((unsigned char *)*out_bytes, n, "f.safetensors", out, err);
}

TEST(tensors_are_found_where_they_lie)
{
    struct safetensors *s = NULL;
    struct error err = {0};
    char *bytes;
    ASSERT_OK_ERR(parse("{\"__metadata__\":{\"format\":\"pt\"},"
                        "\"b\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[12,16]},"
                        "\"a\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[0,12]},"
                        "\"c\":{\"dtype\":\"F4\",\"shape\":[4],\"data_offsets\":[16,18]},"
                        "\"e\":{\"dtype\":\"I64\",\"shape\":[0,9],\"data_offsets\":[16,16]}}  ",
                        18, &s, &err, &bytes),
                  err);
    ASSERT_EQ(safetensors_n_tensors(s), 4);
    const struct safetensors_tensor *a = safetensors_find(s, "a");
    ASSERT(a == safetensors_at(s, 0));
    ASSERT_STR_EQ(a->dtype, "BF16");
    ASSERT_STR_EQ(a->file, "f.safetensors");
    ASSERT_EQ(a->n_dims, 2);
    ASSERT_EQ(a->shape[1], 3);
    ASSERT_EQ(a->n_bytes, 12);
    ASSERT_EQ(a->data[5], 5);
    ASSERT_EQ(safetensors_find(s, "b")->data[0], 12);
    ASSERT_EQ(safetensors_find(s, "e")->n_bytes, 0);
    ASSERT(safetensors_find(s, "d") == NULL);
    safetensors_destroy(s);
    free(bytes);
}

TEST(headers_that_break_a_rule_are_refused_with_file_and_tensor)
{
    static const struct {
        const char *header;
        size_t n_data;
        const char *message;
    } cases[] = {
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
         12, "f.safetensors: tensor \"b\": its data overlaps that of \"a\""},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[12,16]}}",
         16, "tensor \"b\": 4 bytes before its data belong to no tensor"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 9,
         "f.safetensors: 1 bytes at the end belong to no tensor"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 7,
         "tensor \"a\": data_offsets [0, 8] leave the file's 7 bytes of data"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8,
         "tensor \"a\": data_offsets [8, 0]"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8,
         "tensor \"a\": 3 elements of F32 do not take the 8 bytes"},
        {"{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]}}", 2,
         "tensor \"a\": 3 elements of F4 do not"},
        {"{\"a\":{\"dtype\":\"F31\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
         "tensor \"a\": dtype \"F31\" is unknown"},
        {"{\"a\":{\"dtype\":7,\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
         "tensor \"a\": dtype is no string"},
        {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "tensor \"a\": dtype is no string"},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, "tensor \"a\": shape is no list"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}", 8,
         "tensor \"a\": shape is no list of at most 8"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8,
         "tensor \"a\": shape has something that is no size"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}", 8, "is no size"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,2],\"data_offsets\":[0,8]}}",
         8, "tensor \"a\": shape has more elements than can be counted"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387905],\"data_offsets\":[0,4]}}", 4,
         "elements of F32 do not take the 4 bytes"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", 8,
         "tensor \"a\": data_offsets is no pair"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,99999999999999999999]}}", 8,
         "tensor \"a\": data_offsets is no pair"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,9223372036854775807]}}", 8,
         "leave the file's 8 bytes"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
         8, "f.safetensors: header: line 1: the key \"a\" stands twice"},
        {"{\"a\":3}", 0, "tensor \"a\": not an object"},
        {"{\"\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "the name is empty"},
        {"{\"a\\u0000b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "a NUL"},
        {"[]", 0, "f.safetensors: header: not an object"},
        {"{", 0, "f.safetensors: header: line 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct safetensors *s = NULL;
        struct error err = {0};
        char *bytes;
        enum status st = parse(cases[i].header, cases[i].n_data, &s, &err, &bytes);
        if (st != STATUS_INVALID_ARGUMENT || !strstr(err.message, cases[i].message))
            test_fail(__FILE__, __LINE__, "%s: %s \"%s\", want \"%s\"", cases[i].header,
                      status_name(st), err.message, cases[i].message);
        free(bytes);
    }
}

TEST(a_file_cut_off_anywhere_is_refused)
{
    size_t n;
    char *bytes = file_of("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
                          &n);
    struct safetensors *s = NULL;
    struct error err = {0};
    for (size_t cut = 0; cut < n; cut++)
        ASSERT_EQ(safetensors_parse((unsigned char *)bytes, cut, "f", &s, &err),
                  STATUS_INVALID_ARGUMENT);
    memset(bytes, 0xFF, 8);
    ASSERT_EQ(safetensors_parse((unsigned char *)bytes, n, "f", &s, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, "a header of 18446744073709551615 bytes in a file of");
    free(bytes);
}

static void expect_folder(const char *path, enum status want, const char *message)
{
    struct safetensors *s = NULL;
    struct error err = {0};
    ASSERT_EQ(safetensors_open(path, &s, &err), want);
    ASSERT_CONTAINS(err.message, message);
}

static void write_index(const struct folder *folder, const char *weight_map)
{
    struct text_buffer index = {0};
    text_buffer_append_format(&index, "{\"weight_map\":%s}", weight_map);
    folder_write_file(folder, "model.safetensors.index.json", index.data, index.length);
    text_buffer_finish(&index);
}

static void write_part(const struct folder *folder, const char *name, const char *header)
{
    size_t n;
    char *bytes = file_of(header, 4, &n);
    folder_write_file(folder, name, bytes, n);
    free(bytes);
}

TEST(an_index_and_its_files_must_tell_the_same_story)
{
    struct folder *folder = folder_of_golden("moe");
    const char *path = folder_write(folder, 3);
    struct safetensors *s = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(safetensors_open(path, &s, &err), err);
    ASSERT_EQ(safetensors_n_tensors(s), 177);
    safetensors_destroy(s);
    static const struct {
        const char *weight_map, *message;
        enum status status;
    } cases[] = {
        {"{\"a\":\"x.safetensors\",\"b\":\"y.safetensors\"}", "", STATUS_OK},
        {"{\"a\":\"x.safetensors\"}", "", STATUS_OK},
        {"{\"a\":\"x.safetensors\",\"c\":\"x.safetensors\"}",
         "index.json: weight_map: tensor \"c\" is not in x.safetensors", STATUS_INVALID_ARGUMENT},
        {"{\"a\":\"y.safetensors\",\"b\":\"x.safetensors\"}",
         "tensor \"a\" is not in y.safetensors", STATUS_INVALID_ARGUMENT},
        {"{\"a\":\"x.safetensors\",\"b\":\"z.safetensors\"}", "z.safetensors: No such file",
         STATUS_NOT_FOUND},
        {"{\"a\":\"x.safetensors\",\"b\":\"copy.safetensors\"}",
         "tensor \"a\" is in x.safetensors and in copy.safetensors", STATUS_INVALID_ARGUMENT},
        {"{\"b\":\"both.safetensors\"}",
         "weight_map does not name tensor \"c\", which is in both.safetensors",
         STATUS_INVALID_ARGUMENT},
        {"{\"a\":\"../x.safetensors\"}", "not the name of a file in this folder",
         STATUS_INVALID_ARGUMENT},
        {"{\"a\":\"..\"}", "not the name of a file in this folder", STATUS_INVALID_ARGUMENT},
        {"{\"a\":\"\"}", "not the name of a file in this folder", STATUS_INVALID_ARGUMENT},
        {"{\"a\":7}", "not the name of a file in this folder", STATUS_INVALID_ARGUMENT},
        {"{\"a\":\"x.safetensors\",\"a\":\"y.safetensors\"}", "the key \"a\" stands twice",
         STATUS_INVALID_ARGUMENT},
        {"[]", "weight_map: not an object", STATUS_INVALID_ARGUMENT},
    };
    write_part(folder, "x.safetensors",
               "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}");
    write_part(folder, "y.safetensors",
               "{\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}");
    write_part(folder, "copy.safetensors",
               "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}");
    write_part(folder, "both.safetensors",
               "{\"b\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,2]},"
               "\"c\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[2,4]}}");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_index(folder, cases[i].weight_map);
        if (cases[i].status != STATUS_OK) {
            expect_folder(path, cases[i].status, cases[i].message);
            continue;
        }
        ASSERT_OK_ERR(safetensors_open(path, &s, &err), err);
        ASSERT_EQ(safetensors_find(s, "a")->data[3], 3);
        safetensors_destroy(s);
    }
    // The single file goes before an index.
    write_part(folder, "model.safetensors",
               "{\"only\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}");
    ASSERT_OK_ERR(safetensors_open(path, &s, &err), err);
    ASSERT(safetensors_find(s, "only") != NULL);
    safetensors_destroy(s);
    folder_write_file(folder, "model.safetensors", "", 0);
    expect_folder(path, STATUS_INVALID_ARGUMENT, "model.safetensors: the file is empty");
    folder_destroy(folder);
}

TEST(a_folder_without_weights_is_not_found)
{
    expect_folder(test_path("data"), STATUS_NOT_FOUND,
                  "neither model.safetensors nor model.safetensors.index.json");
}
