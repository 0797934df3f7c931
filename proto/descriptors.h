/* proto/descriptors.h - the published .proto files as server reflection hands them out.
 * The table is made at build time by tools/embed_descriptors.py. Thread: constants. */
#ifndef GEMMAD_PROTO_DESCRIPTORS_H
#define GEMMAD_PROTO_DESCRIPTORS_H

#include <stddef.h>

struct proto_file {
    const char *name;           /* "gemmad/v1/inference.proto" */
    const unsigned char *bytes; /* a serialized FileDescriptorProto, without what it imports */
    size_t n_bytes;
    const char *const *symbols; /* [n_symbols] fully qualified, without a leading dot */
    size_t n_symbols;
};

extern const struct proto_file proto_files[];
extern const size_t n_proto_files;
extern const char *const proto_services[]; /* fully qualified */
extern const size_t n_proto_services;

#endif
