/* tests/model/folder.c - the writer here is a second opinion on the format: it shares no code with
 * model/safetensors.c. */
#include "tests/model/folder.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text_buffer.h"
#include "model/safetensors.h"
#include "tests/test.h"

struct tensor {
    char *name;
    const char *dtype;
    uint32_t n_dims;
    size_t shape[SAFETENSORS_MAX_DIMS];
    unsigned char *data;
    size_t n_bytes;
};

struct folder {
    char *config, *generation_config;
    struct tensor *tensors;
    size_t n_tensors, capacity;
    char path[512]; // empty until it is written
};

static void add_tensor(struct folder *folder, struct tensor tensor)
{
    mem_reserve(&folder->tensors, &folder->capacity, folder->n_tensors + 1, sizeof tensor);
    folder->tensors[folder->n_tensors++] = tensor;
}

const char *golden_path(const char *golden)
{
    char path[100];
    snprintf(path, sizeof path, "data/goldens/%s/checkpoint", golden);
    return test_path(path);
}

struct folder *folder_of_golden(const char *golden)
{
    struct folder *folder = mem_zeroed(1, sizeof *folder);
    char path[256];
    size_t n;
    snprintf(path, sizeof path, "data/goldens/%s/checkpoint/config.json", golden);
    folder->config = test_read_file(path, &n);
    snprintf(path, sizeof path, "data/goldens/%s/checkpoint/generation_config.json", golden);
    folder->generation_config = test_read_file(path, &n);
    snprintf(path, sizeof path, "data/goldens/%s/checkpoint", golden);
    struct safetensors *files = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(safetensors_open(test_path(path), &files, &err), err);
    for (uint32_t i = 0; i < safetensors_n_tensors(files); i++) {
        const struct safetensors_tensor *from = safetensors_at(files, i);
        ASSERT_STR_EQ(from->dtype, "BF16");
        struct tensor tensor = {.name = mem_strdup(from->name),
                                .dtype = "BF16",
                                .n_dims = from->n_dims,
                                .data = (unsigned char *)mem_copy(from->data, from->n_bytes),
                                .n_bytes = from->n_bytes};
        memcpy(tensor.shape, from->shape, sizeof tensor.shape);
        add_tensor(folder, tensor);
    }
    safetensors_destroy(files);
    return folder;
}

static void remove_files(const char *path)
{
    DIR *entries = opendir(path);
    for (struct dirent *entry; entries && (entry = readdir(entries));)
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(entries), entry->d_name, 0);
    if (entries)
        closedir(entries);
    rmdir(path);
}

void folder_destroy(struct folder *folder)
{
    if (folder->path[0])
        remove_files(folder->path);
    for (size_t i = 0; i < folder->n_tensors; i++) {
        free(folder->tensors[i].name);
        free(folder->tensors[i].data);
    }
    free(folder->tensors);
    free(folder->config);
    free(folder->generation_config);
    free(folder);
}

void folder_edit_config(struct folder *folder, const char *from, const char *to)
{
    char *at = strstr(folder->config, from);
    ASSERT(at != NULL);
    struct text_buffer edited = {0};
    text_buffer_append(&edited, folder->config, (size_t)(at - folder->config));
    text_buffer_append_text(&edited, to);
    text_buffer_append_text(&edited, at + strlen(from));
    free(folder->config);
    folder->config = text_buffer_release(&edited);
}

static struct tensor *find(struct folder *folder, const char *name)
{
    for (size_t i = 0; i < folder->n_tensors; i++)
        if (strcmp(folder->tensors[i].name, name) == 0)
            return &folder->tensors[i];
    test_fail(__FILE__, __LINE__, "no tensor \"%s\" to change", name);
}

void folder_rename(struct folder *folder, const char *from, const char *to)
{
    struct tensor *tensor = find(folder, from);
    free(tensor->name);
    tensor->name = mem_strdup(to);
}

void folder_rename_all(struct folder *folder, const char *from, const char *to)
{
    for (size_t i = 0; i < folder->n_tensors; i++) {
        struct tensor *tensor = &folder->tensors[i];
        if (strncmp(tensor->name, from, strlen(from)) != 0)
            continue;
        struct text_buffer name = {0};
        text_buffer_append_format(&name, "%s%s", to, tensor->name + strlen(from));
        free(tensor->name);
        tensor->name = text_buffer_release(&name);
    }
}

void folder_remove(struct folder *folder, const char *name)
{
    struct tensor *tensor = find(folder, name);
    free(tensor->name);
    free(tensor->data);
    *tensor = folder->tensors[--folder->n_tensors];
}

void folder_remove_all(struct folder *folder, const char *begin)
{
    for (size_t i = folder->n_tensors; i-- > 0;)
        if (strncmp(folder->tensors[i].name, begin, strlen(begin)) == 0)
            folder_remove(folder, folder->tensors[i].name);
}

void folder_add(struct folder *folder, const char *name, uint32_t n_dims, const size_t *shape)
{
    struct tensor tensor = {.name = mem_strdup(name), .dtype = "BF16", .n_dims = n_dims};
    size_t n = 1;
    for (uint32_t i = 0; i < n_dims; i++)
        n *= tensor.shape[i] = shape[i];
    tensor.n_bytes = 2 * n;
    tensor.data = mem_zeroed(n, 2);
    for (size_t i = 0; i < n; i++) {
        uint16_t bits = f32_to_bf16((float)(i % 251) / 256.0F - 0.5F);
        memcpy(tensor.data + 2 * i, &bits, sizeof bits);
    }
    add_tensor(folder, tensor);
}

static void convert(struct tensor *tensor, enum dtype dtype)
{
    size_t n = tensor->n_bytes / 2, element = dtype_bytes(dtype);
    unsigned char *data = mem_zeroed(n, element);
    for (size_t i = 0; i < n; i++) {
        uint16_t bits;
        memcpy(&bits, tensor->data + 2 * i, sizeof bits);
        float value = bf16_to_f32(bits);
        uint16_t half = f32_to_f16(value);
        memcpy(data + i * element, dtype == DTYPE_F32 ? (void *)&value : (void *)&half, element);
    }
    free(tensor->data);
    tensor->data = data;
    tensor->n_bytes = n * element;
    tensor->dtype = dtype == DTYPE_F32 ? "F32" : "F16";
}

void folder_convert(struct folder *folder, const char *name, enum dtype dtype)
{
    ASSERT(dtype != DTYPE_BF16);
    if (name)
        convert(find(folder, name), dtype);
    for (size_t i = 0; !name && i < folder->n_tensors; i++)
        convert(&folder->tensors[i], dtype);
}

void folder_write_file(const struct folder *folder, const char *name, const void *bytes, size_t n)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder->path, name);
    FILE *file = fopen(path, "wb");
    ASSERT(file != NULL);
    ASSERT_EQ(fwrite(bytes, 1, n, file), n);
    ASSERT_EQ(fclose(file), 0);
}

static void write_header_entry(struct text_buffer *header, const struct tensor *tensor,
                               size_t offset)
{
    text_buffer_append_format(header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[",
                              header->length > 9 ? "," : "", tensor->name, tensor->dtype);
    for (uint32_t i = 0; i < tensor->n_dims; i++)
        text_buffer_append_format(header, "%s%zu", i ? "," : "", tensor->shape[i]);
    text_buffer_append_format(header, "],\"data_offsets\":[%zu,%zu]}", offset,
                              offset + tensor->n_bytes);
}

// Tensors number shard, shard + n_shards, ... into one file.
static void write_shard(const struct folder *folder, const char *name, size_t shard,
                        uint32_t n_shards)
{
    struct text_buffer file = {0};
    text_buffer_append(&file, "\0\0\0\0\0\0\0\0{", 9);
    size_t offset = 0;
    for (size_t i = shard; i < folder->n_tensors; i += n_shards) {
        write_header_entry(&file, &folder->tensors[i], offset);
        offset += folder->tensors[i].n_bytes;
    }
    text_buffer_append_text(&file, "}");
    while (file.length % 8 != 0)
        text_buffer_append_text(&file, " ");
    uint64_t header_bytes = file.length - 8;
    memcpy(file.data, &header_bytes, sizeof header_bytes);
    for (size_t i = shard; i < folder->n_tensors; i += n_shards)
        text_buffer_append(&file, folder->tensors[i].data, folder->tensors[i].n_bytes);
    folder_write_file(folder, name, file.data, file.length);
    text_buffer_finish(&file);
}

static void write_shards(const struct folder *folder, uint32_t n_shards)
{
    struct text_buffer index = {0};
    text_buffer_append_text(&index, "{\"metadata\":{\"total_size\":0},\"weight_map\":{");
    for (size_t i = 0; i < folder->n_tensors; i++)
        text_buffer_append_format(&index, "%s\"%s\":\"part-%zu.safetensors\"", i ? "," : "",
                                  folder->tensors[i].name, i % n_shards);
    text_buffer_append_text(&index, "}}");
    folder_write_file(folder, "model.safetensors.index.json", index.data, index.length);
    text_buffer_finish(&index);
    for (size_t shard = 0; shard < n_shards; shard++) {
        char name[64];
        snprintf(name, sizeof name, "part-%zu.safetensors", shard);
        write_shard(folder, name, shard, n_shards);
    }
}

const char *folder_write(struct folder *folder, uint32_t n_shards)
{
    const char *parent = getenv("TMPDIR");
    snprintf(folder->path, sizeof folder->path, "%s/gemmad-folder-XXXXXX",
             parent ? parent : P_tmpdir);
    ASSERT(mkdtemp(folder->path) != NULL);
    folder_write_file(folder, "config.json", folder->config, strlen(folder->config));
    folder_write_file(folder, "generation_config.json", folder->generation_config,
                      strlen(folder->generation_config));
    if (n_shards == 1)
        write_shard(folder, "model.safetensors", 0, 1);
    else
        write_shards(folder, n_shards);
    return folder->path;
}
