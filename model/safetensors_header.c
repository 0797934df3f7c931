/* model/safetensors_header.c - see safetensors_header.h. Overlaps and holes are found by walking
 * the tensors in the order of their data: each must begin where the one before ended, and the last
 * must end with the file, as the reference implementation demands. */
#include "model/safetensors_header.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { LENGTH_BYTES = 8 };

static const struct {
    const char *name;
    unsigned bits;
} dtypes[] = {
    {"BOOL", 8}, {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
    {"I8", 8},   {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"I16", 16},
    {"U16", 16}, {"F16", 16},    {"BF16", 16},   {"I32", 32},    {"U32", 32},
    {"F32", 32}, {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64},
};

static enum status bad(struct error *err, const char *name, const char *what)
{
    return error_set(err, STATUS_INVALID_ARGUMENT, "tensor \"%.200s\": %s", name, what);
}

static bool json_size(const struct json_value *value, size_t *out)
{
    int64_t number;
    if (!json_int64(value, &number) || number < 0)
        return false;
    *out = (size_t)number;
    return true;
}

static enum status read_shape(const struct json_value *value, struct safetensors_tensor *tensor,
                              size_t *out_elements, struct error *err)
{
    if (!value || value->type != JSON_ARRAY || value->n > SAFETENSORS_MAX_DIMS)
        return bad(err, tensor->name, "shape is no list of at most 8 sizes");
    tensor->n_dims = value->n;
    *out_elements = 1;
    for (uint32_t i = 0; i < value->n; i++) {
        if (!json_size(&value->items[i], &tensor->shape[i]))
            return bad(err, tensor->name, "shape has something that is no size");
        if (__builtin_mul_overflow(*out_elements, tensor->shape[i], out_elements))
            return bad(err, tensor->name, "shape has more elements than can be counted");
    }
    return STATUS_OK;
}

static enum status check_bytes(const struct safetensors_tensor *tensor, size_t elements,
                               struct error *err)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        if (strcmp(dtypes[i].name, tensor->dtype) != 0)
            continue;
        size_t bits;
        if (__builtin_mul_overflow(elements, (size_t)dtypes[i].bits, &bits) || bits % 8 != 0 ||
            bits / 8 != tensor->n_bytes)
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "tensor \"%.200s\": %zu elements of %s do not take the %zu bytes of "
                             "its data_offsets",
                             tensor->name, elements, tensor->dtype, tensor->n_bytes);
        return STATUS_OK;
    }
    return error_set(err, STATUS_INVALID_ARGUMENT, "tensor \"%.200s\": dtype \"%.20s\" is unknown",
                     tensor->name, tensor->dtype);
}

static enum status read_tensor(const struct json_member *member, const unsigned char *data,
                               size_t data_bytes, struct safetensors_tensor *out, struct error *err)
{
    out->name = member->key;
    if (strlen(member->key) != member->key_length || member->key_length == 0)
        return bad(err, member->key, "the name is empty or has a NUL in it");
    if (member->value.type != JSON_OBJECT)
        return bad(err, out->name, "not an object");
    const struct json_value *dtype = json_get(&member->value, "dtype");
    if (!dtype || dtype->type != JSON_STRING)
        return bad(err, out->name, "dtype is no string");
    out->dtype = dtype->text;
    size_t elements = 0, begin = 0, end = 0;
    enum status st = read_shape(json_get(&member->value, "shape"), out, &elements, err);
    if (st != STATUS_OK)
        return st;
    const struct json_value *offsets = json_get(&member->value, "data_offsets");
    if (!offsets || offsets->type != JSON_ARRAY || offsets->n != 2 ||
        !json_size(&offsets->items[0], &begin) || !json_size(&offsets->items[1], &end))
        return bad(err, out->name, "data_offsets is no pair of sizes");
    if (begin > end || end > data_bytes)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "tensor \"%.200s\": data_offsets [%zu, %zu] leave the file's %zu bytes of "
                         "data (is the file truncated?)",
                         out->name, begin, end, data_bytes);
    out->data = data + begin;
    out->n_bytes = end - begin;
    return check_bytes(out, elements, err);
}

static int by_data(const void *a, const void *b)
{
    const struct safetensors_tensor *x = a, *y = b;
    if (x->data != y->data)
        return x->data < y->data ? -1 : 1;
    if (x->n_bytes != y->n_bytes) // empty ones stand before what begins where they are
        return x->n_bytes < y->n_bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

static enum status check_order(const struct safetensors_tensor *tensors, uint32_t n,
                               const unsigned char *data, size_t data_bytes, struct error *err)
{
    size_t end = 0;
    for (uint32_t i = 0; i < n; i++) {
        size_t begin = (size_t)(tensors[i].data - data);
        if (begin < end)
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "tensor \"%.150s\": its data overlaps that of \"%.150s\"",
                             tensors[i].name, tensors[i - 1].name);
        if (begin > end)
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "tensor \"%.200s\": %zu bytes before its data belong to no tensor",
                             tensors[i].name, begin - end);
        end = begin + tensors[i].n_bytes;
    }
    if (end != data_bytes)
        return error_set(err, STATUS_INVALID_ARGUMENT, "%zu bytes at the end belong to no tensor",
                         data_bytes - end);
    return STATUS_OK;
}

static enum status read_tensors(const struct json_value *header, const unsigned char *data,
                                size_t data_bytes, struct safetensors_tensor *tensors,
                                uint32_t *out_n, struct error *err)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < header->n; i++) {
        if (strcmp(header->members[i].key, "__metadata__") == 0)
            continue;
        enum status st = read_tensor(&header->members[i], data, data_bytes, &tensors[n++], err);
        if (st != STATUS_OK)
            return st;
    }
    qsort(tensors, n, sizeof *tensors, by_data);
    *out_n = n;
    return check_order(tensors, n, data, data_bytes, err);
}

static uint64_t json_length(const unsigned char *bytes)
{
    uint64_t length = 0;
    for (int i = LENGTH_BYTES; i-- > 0;)
        length = length << 8 | bytes[i];
    return length;
}

static enum status parse_json(const unsigned char *bytes, size_t n_bytes,
                              struct json_document **out, size_t *out_length, struct error *err)
{
    if (n_bytes < LENGTH_BYTES)
        return error_set(err, STATUS_INVALID_ARGUMENT, "%zu bytes are no safetensors file",
                         n_bytes);
    uint64_t length = json_length(bytes);
    if (length > n_bytes - LENGTH_BYTES || length > SAFETENSORS_MAX_HEADER_BYTES)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "a header of %llu bytes in a file of %zu (truncated, or no safetensors "
                         "file)",
                         (unsigned long long)length, n_bytes);
    struct json_limits limits = {.max_depth = 8, .unique_keys = true};
    enum status st = json_parse((const char *)bytes + LENGTH_BYTES, (size_t)length, &limits, out,
                                err);
    if (st != STATUS_OK) {
        error_prefix(err, "header");
        return st;
    }
    *out_length = (size_t)length;
    if (json_root(*out)->type != JSON_OBJECT)
        return error_set(err, STATUS_INVALID_ARGUMENT, "header: not an object");
    return STATUS_OK;
}

enum status safetensors_read_header(const unsigned char *bytes, size_t n_bytes,
                                    struct json_document **out_header,
                                    struct safetensors_tensor **out_tensors, uint32_t *out_n,
                                    struct error *err)
{
    struct json_document *header = NULL;
    struct safetensors_tensor *tensors = NULL;
    uint32_t n = 0;
    size_t length = 0;
    enum status st = parse_json(bytes, n_bytes, &header, &length, err);
    if (st == STATUS_OK) {
        tensors = mem_zeroed(json_root(header)->n, sizeof *tensors);
        size_t before = LENGTH_BYTES + length;
        st = read_tensors(json_root(header), bytes + before, n_bytes - before, tensors, &n, err);
    }
    if (st != STATUS_OK) {
        free(tensors);
        json_document_destroy(header);
        return st;
    }
    *out_header = header;
    *out_tensors = tensors;
    *out_n = n;
    return STATUS_OK;
}

size_t safetensors_header_bytes(const unsigned char *bytes)
{
    return LENGTH_BYTES + (size_t)json_length(bytes);
}
