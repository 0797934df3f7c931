/* model/weights_cache.c - which file belongs to a plan, and whether one that is there is it.
 *
 * The header holds no version of the packing that somebody would have to remember to raise: a small
 * matrix is packed anew at each start and its bytes are compared, by fingerprint, with those of the
 * program that wrote the file. Likewise the slices: the plan itself is the key. */
#include "model/weights_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "kernels/matmul.h"
#include "model/fingerprint.h"

static const char magic[8] = {'g', 'e', 'm', 'm', 'a', 'd', 'W', '\n'};

enum { VERSION = 1, PROBE_ROWS = 70, PROBE_INPUTS = 100 };

// What packing makes of values that fill no panel and no block, with leaves and without.
static uint64_t probe_layout(uint64_t fingerprint, enum dtype dtype, uint32_t n_leaves)
{
    struct packed_matrix matrix = {
        .dtype = dtype,
        .n = PROBE_ROWS,
        .k = PROBE_INPUTS,
        .k_total = PROBE_INPUTS,
        .n_leaves = n_leaves,
    };
    size_t n_bytes = packed_matrix_bytes(&matrix); // whole lines of 64
    matrix.data = aligned_alloc(64, n_bytes);
    CHECK(matrix.data != NULL);
    uint16_t *source = mem_zeroed((size_t)PROBE_ROWS * PROBE_INPUTS, sizeof *source);
    for (uint32_t i = 0; i < PROBE_ROWS * PROBE_INPUTS; i++) // small numbers of either half type
        source[i] = (uint16_t)(0x3000U + i * 40503U % 0x800U + (i % 3 == 0 ? 0x8000U : 0));
    matmul_pack(&matrix, 0, PROBE_ROWS, source, dtype == DTYPE_F16 ? DTYPE_F16 : DTYPE_BF16,
                PROBE_INPUTS);
    fingerprint = fingerprint_bytes(fingerprint, matrix.data, n_bytes);
    free(source);
    free(matrix.data);
    return fingerprint;
}

// Of the types that the plan has.
static uint64_t layout_of(const struct weights_plan *plan)
{
    uint64_t fingerprint = FINGERPRINT_START;
    uint32_t seen = 0;
    for (size_t i = 0; i < plan->n_matrices; i++) {
        enum dtype dtype = plan->matrices[i].matrix->dtype;
        if (seen & 1U << dtype)
            continue;
        seen |= 1U << dtype;
        fingerprint = probe_layout(fingerprint, dtype, 1);
        fingerprint = probe_layout(fingerprint, dtype, N_LEAVES);
    }
    return fingerprint;
}

static uint64_t slices_of(const struct weights_plan *plan)
{
    uint64_t fingerprint = FINGERPRINT_START;
    for (size_t i = 0; i < plan->n_matrices; i++) {
        const struct pack_matrix *pack = &plan->matrices[i];
        const struct packed_matrix *m = pack->matrix;
        const uint32_t shape[] = {m->dtype, m->n, m->k, m->n_leaves, m->first_leaf, m->k_total};
        fingerprint = fingerprint_bytes(fingerprint, shape, sizeof shape);
        for (uint32_t s = 0; s < pack->n_sources; s++) {
            const struct pack_source *source = &pack->sources[s];
            const char *name = source->tensor->name;
            fingerprint = fingerprint_bytes(fingerprint, name, strlen(name));
            fingerprint = fingerprint_number(fingerprint,
                                             (uint64_t)(source->data - source->tensor->data));
            fingerprint = fingerprint_number(fingerprint, source->n_rows);
        }
    }
    for (size_t i = 0; i < plan->n_vectors; i++) {
        const struct stored_tensor *tensor = plan->vectors[i].tensor;
        fingerprint = fingerprint_bytes(fingerprint, tensor->name, strlen(tensor->name));
    }
    return fingerprint;
}

void weights_cache_init(struct weights_cache *cache, const struct weights_plan *plan,
                        const struct checkpoint *checkpoint)
{
    static const char *const names[] = {"stored", "bf16", "int8", "int4"};
    const struct weights_plan_config *config = &plan->config;
    enum weights_format weights = config->weights;
    if (weights == WEIGHTS_AUTO && config->compute == COMPUTE_BF16)
        weights = WEIGHTS_BF16; // the same
    *cache = (struct weights_cache){.header = {
                                        .version = VERSION,
                                        .compute = config->compute,
                                        .weights = weights,
                                        .rank = config->rank,
                                        .world_size = config->world_size,
                                        .data_offset = DEVICE_HUGE_PAGE_BYTES,
                                        .data_bytes = plan->bytes,
                                        .layout = layout_of(plan),
                                        .checkpoint = checkpoint_fingerprint(checkpoint),
                                        .slices = slices_of(plan),
                                    }};
    memcpy(cache->header.magic, magic, sizeof magic);
    const char *compute = config->compute == COMPUTE_BF16 ? "bf16" : "f32";
    if (config->encoders)
        snprintf(cache->name, sizeof cache->name, "encoders-compute-%s.weights", compute);
    else
        snprintf(cache->name, sizeof cache->name, "%s-compute-%s-rank-%u-of-%u.weights",
                 names[weights], compute, config->rank, config->world_size);
}

void weights_cache_note(const struct model_load_options *options, bool trouble, const char *format,
                        ...)
{
    if (!options->cache_note)
        return;
    char *text = NULL;
    va_list args;
    va_start(args, format);
    CHECK(vasprintf(&text, format, args) >= 0);
    va_end(args);
    options->cache_note(options->cache_context, trouble, text);
    free(text);
}

bool weights_cache_trusts(const struct stat *info)
{
    return (info->st_uid == geteuid() || info->st_uid == 0) &&
           !(info->st_mode & (S_IWGRP | S_IWOTH));
}

// NULL: the file is the one that is wanted.
static const char *difference(const struct weights_cache_header *want,
                              const struct weights_cache_header *has, uint64_t file_bytes)
{
    if (memcmp(want->magic, has->magic, sizeof want->magic) != 0 || want->version != has->version)
        return "not a file of packed weights of this version";
    if (want->layout != has->layout)
        return "packed for kernels of another build";
    if (want->checkpoint != has->checkpoint)
        return "made from another state of the checkpoint";
    if (memcmp(want, has, sizeof *want) != 0)
        return "made for other slices of the model";
    if (file_bytes != want->data_offset + want->data_bytes)
        return "truncated, or too long";
    return NULL;
}

static const char *check_file(const struct weights_cache *cache, int file)
{
    struct stat info;
    struct weights_cache_header header;
    if (fstat(file, &info) != 0 || !S_ISREG(info.st_mode))
        return "not a regular file";
    if (!weights_cache_trusts(&info))
        return "it belongs to, or can be written by, somebody else";
    if (pread(file, &header, sizeof header, 0) != (ssize_t)sizeof header)
        return "too short";
    return difference(&cache->header, &header, (uint64_t)info.st_size);
}

static bool map_in(const struct weights_cache *cache, int folder, struct device_buffer *out,
                   const char **reason)
{
    struct stat info;
    struct error err = {0};
    *reason = NULL;
    int file = openat(folder, cache->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0) {
        if (errno != ENOENT)
            *reason = "cannot be opened";
        return false;
    }
    if (fstat(folder, &info) != 0 || !weights_cache_trusts(&info))
        *reason = "its folder belongs to, or can be written by, somebody else";
    else
        *reason = check_file(cache, file);
    if (!*reason && device_buffer_map(file, cache->header.data_offset, cache->header.data_bytes,
                                      "weights", out, &err) != STATUS_OK)
        *reason = "cannot be mapped";
    close(file);
    return !*reason;
}

bool weights_cache_map(const struct weights_cache *cache, const struct model_load_options *options,
                       struct device_buffer *out)
{
    for (size_t i = 0; i < WEIGHTS_CACHE_FOLDERS && options->cache_folders[i]; i++) {
        const char *path = options->cache_folders[i], *reason;
        int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder < 0)
            continue;
        bool mapped = map_in(cache, folder, out, &reason);
        close(folder);
        if (mapped)
            weights_cache_note(options, false, "state=mapped file=\"%s/%s\" bytes=%" PRIu64, path,
                               cache->name, cache->header.data_bytes);
        else if (reason)
            weights_cache_note(options, false, "state=unfit file=\"%s/%s\" reason=\"%s\"", path,
                               cache->name, reason);
        if (mapped)
            return true;
    }
    return false;
}
