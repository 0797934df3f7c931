/* model/safetensors.h - the tensors of safetensors files, checked and mapped.
 *
 * A file is 8 bytes of header length, a JSON header, and the tensors' bytes, little endian. Nothing
 * in it is believed: length against the file, dtype against shape against bytes, offsets in range,
 * without overlap and without holes, names once. Messages name file and tensor.
 * A folder has either model.safetensors or model.safetensors.index.json and the files that it
 * names; the first is taken if both are there.
 * Owns the mappings (private, read-only); tensors point into them. Thread: read-only after open. A
 * file that another process truncates while it is mapped ends this one with SIGBUS. */
#ifndef GEMMAD_MODEL_SAFETENSORS_H
#define GEMMAD_MODEL_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define SAFETENSORS_MAX_DIMS 8
#define SAFETENSORS_MAX_HEADER_BYTES 100000000U /* as the reference implementation */
#define SAFETENSORS_MAX_FILES 4096

struct safetensors_tensor {
    const char *name;  /* owned by the safetensors */
    const char *dtype; /* as the format spells it: "BF16", "F8_E4M3" */
    const char *file;  /* the file's name in the folder */
    uint32_t n_dims;
    size_t shape[SAFETENSORS_MAX_DIMS]; /* slowest first */
    const unsigned char *data;          /* not aligned beyond what the file gives */
    size_t n_bytes;
};

struct safetensors;

/* INVALID_ARGUMENT: a file breaks a rule. NOT_FOUND: the folder has no weights, or a file that the
 * index names is not there. */
NODISCARD enum status safetensors_open(const char *folder, struct safetensors **out,
                                       struct error *err);
/* The same for one file in memory, which must outlive *out. */
NODISCARD enum status safetensors_parse(const unsigned char *bytes, size_t n_bytes,
                                        const char *name, struct safetensors **out,
                                        struct error *err);
void safetensors_destroy(struct safetensors *safetensors); /* NULL is fine */

/* Stands for the files that were opened: their sizes, times of change and headers, and some of the
 * bytes behind these, because files out of an archive or an image may all be of the same time. Not
 * for the folder's name or inodes: a copy is as good. 0: of memory. */
uint64_t safetensors_fingerprint(const struct safetensors *safetensors);

/* All tensors, ascending by name. */
uint32_t safetensors_n_tensors(const struct safetensors *safetensors);
const struct safetensors_tensor *safetensors_at(const struct safetensors *safetensors,
                                                uint32_t index);
/* NULL: no such tensor. */
const struct safetensors_tensor *safetensors_find(const struct safetensors *safetensors,
                                                  const char *name);

#endif
