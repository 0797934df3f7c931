/* engine/stop_strings.h - finds the first stop string to be complete in a text that comes in parts.
 *
 * "First" is by where it ends, as if the text came byte by byte, so how tokens cut the text does
 * not matter; of those that end together the longest. Thread: compiled ones are read-only. */
#ifndef GEMMAD_ENGINE_STOP_STRINGS_H
#define GEMMAD_ENGINE_STOP_STRINGS_H

#include "engine/request.h"

#define STOP_STRINGS_MAX 16
#define STOP_STRING_MAX_BYTES 4096

struct stop_pattern {
    char *bytes;
    uint32_t n;
    /* [n]: having matched i + 1 bytes, how many are matched by the longest proper suffix of them.
     */
    uint32_t *shorter;
};

struct stop_strings {
    struct stop_pattern patterns[STOP_STRINGS_MAX];
    uint32_t n;
};

/* Where a text stands: bytes of each pattern that its end matches. Zero-initialise. */
struct stop_position {
    uint32_t matched[STOP_STRINGS_MAX];
};

/* INVALID_ARGUMENT: too many, empty, too long, or not UTF-8. On failure *out is untouched. */
NODISCARD enum status stop_strings_init(struct stop_strings *out, const struct stop_string *strings,
                                        size_t n, struct error *err);
void stop_strings_finish(struct stop_strings *strings);

/* Goes over bytes[0..n) and returns the index of the string that becomes complete, with *out_end
 * the bytes up to its end, or -1. */
int32_t stop_strings_find(const struct stop_strings *strings, struct stop_position *position,
                          const char *bytes, size_t n, size_t *out_end);
/* Bytes at the end of the text so far that may yet become a stop string. */
size_t stop_strings_held_bytes(const struct stop_strings *strings,
                               const struct stop_position *position);

#endif
