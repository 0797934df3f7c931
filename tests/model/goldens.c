/* tests/model/goldens.c - arrays are used where they are mapped: the maker aligns them. */
#include "tests/model/goldens.h"

#include <stdint.h>

#include "tests/test.h"

static uint32_t read_ids(const struct json_value *array, uint32_t *out, uint32_t max)
{
    ASSERT(array && array->n <= max);
    for (uint32_t i = 0; i < array->n; i++) {
        int64_t id;
        ASSERT(json_int64(&array->items[i], &id));
        out[i] = (uint32_t)id;
    }
    return array->n;
}

static void read_doubles(const struct json_value *array, double *out, uint32_t n)
{
    ASSERT(array && array->n == n);
    for (uint32_t i = 0; i < n; i++)
        ASSERT(json_double(&array->items[i], &out[i]));
}

static void read_case(const struct json_value *json, struct golden_case *out)
{
    out->name = json_get(json, "name")->text;
    out->n_prompt = read_ids(json_get(json, "prompt_ids"), out->prompt, GOLDEN_MAX_TOKENS);
    const struct json_value *greedy = json_get(json, "greedy");
    out->n_tokens = read_ids(json_get(greedy, "tokens"), out->tokens, 64);
    read_doubles(json_get(greedy, "margin"), out->margin, out->n_tokens);
    for (uint32_t t = 0; t < out->n_tokens; t++) {
        read_ids(&json_get(greedy, "top_ids")->items[t], out->top_ids[t], GOLDEN_TOP);
        read_doubles(&json_get(greedy, "top_logprobs")->items[t], out->top_logprobs[t], GOLDEN_TOP);
    }
}

static struct safetensors *open_arrays(const char *folder, const char *name,
                                       unsigned char **out_bytes)
{
    char path[700];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file)
        test_fail(__FILE__, __LINE__, "cannot open %s", path);
    fseek(file, 0, SEEK_END);
    size_t n = (size_t)ftell(file);
    rewind(file);
    unsigned char *bytes = malloc(n);
    ASSERT(bytes && fread(bytes, 1, n, file) == n);
    fclose(file);
    *out_bytes = bytes;
    struct safetensors *arrays;
    struct error err = {0};
    ASSERT_OK_ERR(safetensors_parse(bytes, n, name, &arrays, &err), err);
    return arrays;
}

static struct goldens *open_set(const char *folder, const char *set)
{
    struct goldens *goldens = calloc(1, sizeof *goldens);
    ASSERT(goldens != NULL);
    snprintf(goldens->folder, sizeof goldens->folder, "%s", folder);
    char path[700];
    snprintf(path, sizeof path, "%s/%s.json", folder, set);
    struct error err = {0};
    ASSERT_OK_ERR(json_parse_file(path, NULL, &goldens->json, &err), err);
    const struct json_value *cases = json_get(json_root(goldens->json), "cases");
    ASSERT(cases && cases->n <= 16);
    goldens->n_cases = cases->n;
    for (uint32_t i = 0; i < cases->n; i++)
        read_case(&cases->items[i], &goldens->cases[i]);
    snprintf(path, sizeof path, "%s.safetensors", set);
    goldens->arrays = open_arrays(folder, path, &goldens->bytes[0]);
    return goldens;
}

struct goldens *goldens_open(const char *folder)
{
    struct goldens *goldens = open_set(folder, "text");
    goldens->hidden = open_arrays(folder, "hidden.safetensors", &goldens->bytes[1]);
    return goldens;
}

struct goldens *goldens_open_media(const char *folder, const char *kind)
{
    return open_set(folder, kind);
}

void goldens_close(struct goldens *goldens)
{
    safetensors_destroy(goldens->arrays);
    safetensors_destroy(goldens->hidden);
    json_document_destroy(goldens->json);
    free(goldens->bytes[0]);
    free(goldens->bytes[1]);
    free(goldens);
}

const unsigned char *goldens_bytes(const struct safetensors *arrays, const char *name,
                                   size_t *out_n)
{
    const struct safetensors_tensor *tensor = safetensors_find(arrays, name);
    if (!tensor)
        test_fail(__FILE__, __LINE__, "no array %s", name);
    ASSERT_STR_EQ(tensor->dtype, "U8");
    *out_n = tensor->n_bytes;
    return tensor->data;
}

const float *goldens_array(const struct safetensors *arrays, const char *name, bool required,
                           size_t *out_n)
{
    const struct safetensors_tensor *tensor = safetensors_find(arrays, name);
    if (!tensor && !required)
        return NULL;
    if (!tensor)
        test_fail(__FILE__, __LINE__, "no array %s", name);
    ASSERT(strcmp(tensor->dtype, "F32") == 0 && (uintptr_t)tensor->data % 4 == 0);
    *out_n = tensor->n_bytes / sizeof(float);
    return (const float *)(const void *)tensor->data;
}
