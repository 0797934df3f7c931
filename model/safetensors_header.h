/* model/safetensors_header.h - the header of one safetensors file, checked. Part of
 * model/safetensors.c; nothing else includes this. */
#ifndef GEMMAD_MODEL_SAFETENSORS_HEADER_H
#define GEMMAD_MODEL_SAFETENSORS_HEADER_H

#include "base/json.h"
#include "model/safetensors.h"

/* Checks bytes[0..n_bytes), a whole file. *out_tensors [*out_n], in order of their data, is the
 * caller's to free; names point into *out_header, the rest into bytes. Messages do not name the
 * file. On failure nothing is changed. */
NODISCARD enum status safetensors_read_header(const unsigned char *bytes, size_t n_bytes,
                                              struct json_document **out_header,
                                              struct safetensors_tensor **out_tensors,
                                              uint32_t *out_n, struct error *err);

/* Bytes before the tensors' data, of a file that was read with success. */
size_t safetensors_header_bytes(const unsigned char *bytes);

#endif
