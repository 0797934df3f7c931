/* tests/model/folder.h - model folders to load, made from a golden checkpoint with changes: other
 * dtypes, shards, names, missing or additional tensors.
 *
 * Held in memory, then written to a temporary folder, which folder_destroy removes. */
#ifndef GEMMAD_TESTS_MODEL_FOLDER_H
#define GEMMAD_TESTS_MODEL_FOLDER_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/types.h"

struct folder;

/* golden: "dense", "moe" or "ple". */
struct folder *folder_of_golden(const char *golden);
/* Where its checkpoint lies, not to be written to; valid until the next call. */
const char *golden_path(const char *golden);
void folder_destroy(struct folder *folder);

/* The first occurrence of from in config.json becomes to. */
void folder_edit_config(struct folder *folder, const char *from, const char *to);
void folder_rename(struct folder *folder, const char *from, const char *to);
/* Every name that begins with from. */
void folder_rename_all(struct folder *folder, const char *from, const char *to);
void folder_remove(struct folder *folder, const char *name);
void folder_remove_all(struct folder *folder, const char *begin);
/* A bf16 tensor of small values that differ from each other. */
void folder_add(struct folder *folder, const char *name, uint32_t n_dims, const size_t *shape);
/* All tensors (of bf16), or one by name. Values are rounded to f16. */
void folder_convert(struct folder *folder, const char *name, enum dtype dtype);

/* Writes n_shards files (1: model.safetensors); the path, valid until folder_destroy. */
const char *folder_write(struct folder *folder, uint32_t n_shards);
/* Writes one more file of the folder, after folder_write, or replaces one. */
void folder_write_file(const struct folder *folder, const char *name, const void *bytes, size_t n);

#endif
