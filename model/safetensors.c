/* model/safetensors.c - files of a folder, mapped, and one sorted list of all their tensors.
 *
 * The index and the files must tell the same story: each tensor is in the file that the index says
 * and in no other. A stale file that a re-save left behind would otherwise serve old weights. */
#include "model/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/text_buffer.h"
#include "model/fingerprint.h"
#include "model/safetensors_header.h"

enum { N_SAMPLES = 8, SAMPLE_BYTES = 4096 }; // of a file, for its fingerprint

struct file {
    char *name;
    const unsigned char *bytes;
    size_t n_bytes;
    bool mapped;
    struct json_document *header;
};

struct safetensors {
    struct file *files;
    size_t n_files, files_capacity;
    struct safetensors_tensor *tensors; // by name
    size_t n_tensors, tensors_capacity;
    uint64_t fingerprint; // 0: of memory
};

void safetensors_destroy(struct safetensors *safetensors)
{
    if (!safetensors)
        return;
    for (size_t i = 0; i < safetensors->n_files; i++) {
        struct file *file = &safetensors->files[i];
        if (file->mapped)
            munmap((void *)(uintptr_t)file->bytes, file->n_bytes);
        json_document_destroy(file->header);
        free(file->name);
    }
    free(safetensors->files);
    free(safetensors->tensors);
    free(safetensors);
}

static struct file *add_file(struct safetensors *safetensors, const char *name)
{
    mem_reserve(&safetensors->files, &safetensors->files_capacity, safetensors->n_files + 1,
                sizeof *safetensors->files);
    struct file *file = &safetensors->files[safetensors->n_files++];
    *file = (struct file){.name = mem_strdup(name)};
    return file;
}

static enum status add_tensors(struct safetensors *safetensors, struct file *file,
                               struct error *err)
{
    struct safetensors_tensor *tensors = NULL;
    uint32_t n;
    enum status st = safetensors_read_header(file->bytes, file->n_bytes, &file->header, &tensors,
                                             &n, err);
    if (st != STATUS_OK) {
        error_prefix(err, "%.200s", file->name);
        return st;
    }
    mem_reserve(&safetensors->tensors, &safetensors->tensors_capacity, safetensors->n_tensors + n,
                sizeof *tensors);
    for (uint32_t i = 0; i < n; i++) {
        tensors[i].file = file->name;
        safetensors->tensors[safetensors->n_tensors++] = tensors[i];
    }
    free(tensors);
    return STATUS_OK;
}

static enum status map(int fd, struct file *file, struct error *err)
{
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
        return error_set(err, STATUS_INVALID_ARGUMENT, "%.200s: not a regular file", file->name);
    if (info.st_size == 0)
        return error_set(err, STATUS_INVALID_ARGUMENT, "%.200s: the file is empty", file->name);
    void *bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "%.200s: mapping %lld bytes: %s",
                         file->name, (long long)info.st_size, strerror(errno));
    file->bytes = bytes;
    file->n_bytes = (size_t)info.st_size;
    file->mapped = true;
    return STATUS_OK;
}

// Read, not taken from the mapping, where a page would bring its whole surroundings along.
static void add_fingerprint(struct safetensors *safetensors, int fd, const struct file *file)
{
    unsigned char sample[SAMPLE_BYTES];
    struct stat info = {0};
    (void)fstat(fd, &info); // worked in map()
    uint64_t fingerprint = safetensors->fingerprint ? safetensors->fingerprint : FINGERPRINT_START;
    fingerprint = fingerprint_bytes(fingerprint, file->name, strlen(file->name));
    fingerprint = fingerprint_number(fingerprint, file->n_bytes);
    fingerprint = fingerprint_number(fingerprint, (uint64_t)info.st_mtim.tv_sec);
    fingerprint = fingerprint_number(fingerprint, (uint64_t)info.st_mtim.tv_nsec);
    fingerprint = fingerprint_bytes(fingerprint, file->bytes,
                                    safetensors_header_bytes(file->bytes));
    for (size_t i = 0; i < N_SAMPLES; i++) {
        ssize_t n = pread(fd, sample, sizeof sample, (off_t)(file->n_bytes / N_SAMPLES * i));
        fingerprint = fingerprint_bytes(fingerprint, sample, n > 0 ? (size_t)n : 0);
    }
    safetensors->fingerprint = fingerprint;
}

static enum status open_file(struct safetensors *safetensors, const char *folder, const char *name,
                             struct error *err)
{
    struct text_buffer path = {0};
    text_buffer_append_format(&path, "%s/%s", folder, name);
    int fd = open(path.data,
                  O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a pipe must not block: it is refused
    int code = errno;
    enum status st;
    if (fd < 0) {
        st = error_set(err, code == ENOENT ? STATUS_NOT_FOUND : STATUS_INVALID_ARGUMENT, "%s: %s",
                       path.data, strerror(code));
    } else {
        struct file *file = add_file(safetensors, name);
        st = map(fd, file, err);
        if (st == STATUS_OK)
            st = add_tensors(safetensors, file, err);
        if (st == STATUS_OK)
            add_fingerprint(safetensors, fd, file);
        close(fd);
    }
    text_buffer_finish(&path);
    return st;
}

static int by_name(const void *a, const void *b)
{
    const struct safetensors_tensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static enum status sort_tensors(struct safetensors *safetensors, struct error *err)
{
    struct safetensors_tensor *tensors = safetensors->tensors;
    if (safetensors->n_tensors > 0)
        qsort(tensors, safetensors->n_tensors, sizeof *tensors, by_name);
    for (size_t i = 1; i < safetensors->n_tensors; i++)
        if (strcmp(tensors[i - 1].name, tensors[i].name) == 0)
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "tensor \"%.200s\" is in %.100s and in %.100s", tensors[i].name,
                             tensors[i - 1].file, tensors[i].file);
    return STATUS_OK;
}

static bool is_open(const struct safetensors *safetensors, const char *name)
{
    for (size_t i = 0; i < safetensors->n_files; i++)
        if (strcmp(safetensors->files[i].name, name) == 0)
            return true;
    return false;
}

// A file of the folder itself: an index must not lead anywhere else.
static bool is_plain_name(const struct json_value *value)
{
    return value->type == JSON_STRING && value->length > 0 && value->length < 256 &&
           strlen(value->text) == value->length && !strchr(value->text, '/') &&
           strcmp(value->text, ".") != 0 && strcmp(value->text, "..") != 0;
}

static enum status open_named_files(struct safetensors *safetensors, const char *folder,
                                    const struct json_value *map_of, struct error *err)
{
    const char *last = "";
    for (uint32_t i = 0; i < map_of->n; i++) {
        const struct json_member *member = &map_of->members[i];
        if (!is_plain_name(&member->value))
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "weight_map: tensor \"%.200s\": not the name of a file in this folder",
                             member->key);
        const char *name = member->value.text;
        if (strcmp(name, last) == 0 || is_open(safetensors, name))
            continue;
        if (safetensors->n_files == SAFETENSORS_MAX_FILES)
            return error_set(err, STATUS_INVALID_ARGUMENT, "weight_map names more than %d files",
                             SAFETENSORS_MAX_FILES);
        enum status st = open_file(safetensors, folder, name, err);
        if (st != STATUS_OK)
            return st;
        last = name;
    }
    return STATUS_OK;
}

static enum status check_index(const struct safetensors *safetensors,
                               const struct json_value *map_of, struct error *err)
{
    for (uint32_t i = 0; i < map_of->n; i++) {
        const char *name = map_of->members[i].key, *file = map_of->members[i].value.text;
        const struct safetensors_tensor *tensor = safetensors_find(safetensors, name);
        if (!tensor || strcmp(tensor->file, file) != 0)
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "weight_map: tensor \"%.200s\" is not in %.100s", name, file);
    }
    for (size_t i = 0; i < safetensors->n_tensors; i++)
        if (!json_get(map_of, safetensors->tensors[i].name))
            return error_set(err, STATUS_INVALID_ARGUMENT,
                             "weight_map does not name tensor \"%.200s\", which is in %.100s",
                             safetensors->tensors[i].name, safetensors->tensors[i].file);
    return STATUS_OK;
}

static enum status open_indexed(struct safetensors *safetensors, const char *folder,
                                struct error *err)
{
    struct text_buffer path = {0};
    text_buffer_append_format(&path, "%s/model.safetensors.index.json", folder);
    struct json_limits limits = {
        .max_bytes = SAFETENSORS_MAX_HEADER_BYTES, .max_depth = 8, .unique_keys = true};
    struct json_document *index = NULL;
    enum status st = json_parse_file(path.data, &limits, &index, err);
    if (st == STATUS_NOT_FOUND)
        st = error_set(err, st, "%s: neither model.safetensors nor model.safetensors.index.json",
                       folder);
    if (st == STATUS_OK) {
        const struct json_value *map_of = json_get(json_root(index), "weight_map");
        if (!map_of || map_of->type != JSON_OBJECT)
            st = error_set(err, STATUS_INVALID_ARGUMENT, "weight_map: not an object");
        else
            st = open_named_files(safetensors, folder, map_of, err);
        if (st == STATUS_OK)
            st = sort_tensors(safetensors, err);
        if (st == STATUS_OK)
            st = check_index(safetensors, map_of, err);
        if (st != STATUS_OK)
            error_prefix(err, "%s", path.data);
    }
    json_document_destroy(index);
    text_buffer_finish(&path);
    return st;
}

enum status safetensors_open(const char *folder, struct safetensors **out, struct error *err)
{
    struct safetensors *safetensors = mem_zeroed(1, sizeof *safetensors);
    enum status st = open_file(safetensors, folder, "model.safetensors", err);
    if (st == STATUS_OK)
        st = sort_tensors(safetensors, err);
    else if (st == STATUS_NOT_FOUND)
        st = open_indexed(safetensors, folder, err);
    if (st != STATUS_OK) {
        safetensors_destroy(safetensors);
        return st;
    }
    *out = safetensors;
    return STATUS_OK;
}

enum status safetensors_parse(const unsigned char *bytes, size_t n_bytes, const char *name,
                              struct safetensors **out, struct error *err)
{
    struct safetensors *safetensors = mem_zeroed(1, sizeof *safetensors);
    struct file *file = add_file(safetensors, name);
    file->bytes = bytes;
    file->n_bytes = n_bytes;
    enum status st = add_tensors(safetensors, file, err);
    if (st == STATUS_OK)
        st = sort_tensors(safetensors, err);
    if (st != STATUS_OK) {
        safetensors_destroy(safetensors);
        return st;
    }
    *out = safetensors;
    return STATUS_OK;
}

uint64_t safetensors_fingerprint(const struct safetensors *safetensors)
{
    return safetensors->fingerprint;
}

uint32_t safetensors_n_tensors(const struct safetensors *safetensors)
{
    return (uint32_t)safetensors->n_tensors;
}

const struct safetensors_tensor *safetensors_at(const struct safetensors *safetensors,
                                                uint32_t index)
{
    CHECK(index < safetensors->n_tensors);
    return &safetensors->tensors[index];
}

const struct safetensors_tensor *safetensors_find(const struct safetensors *safetensors,
                                                  const char *name)
{
    if (safetensors->n_tensors == 0)
        return NULL;
    struct safetensors_tensor key = {.name = name};
    return bsearch(&key, safetensors->tensors, safetensors->n_tensors, sizeof key, by_name);
}
