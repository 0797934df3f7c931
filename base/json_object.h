/* base/json_object.h - the members of a parsed object: built once, then looked up by json_get.
 * Part of json.h's parser; nothing else includes this. */
#ifndef GEMMAD_BASE_JSON_OBJECT_H
#define GEMMAD_BASE_JSON_OBJECT_H

#include "base/json.h"

#define JSON_SMALL_OBJECT 16 /* up to here a linear search is as fast as an index */

/* Bytes that json_object_build needs for n members. */
size_t json_object_bytes(uint32_t n);

/* Fills block (aligned to 16) with the members, in order; of a repeated key the last value counts
 * and stands at the first one's place. seed keys the index of large objects. Returns one of the
 * repeated keys, or NULL if there is none. */
const char *json_object_build(void *block, const struct json_member *members, uint32_t n,
                              uint64_t seed, struct json_value *out);

#endif
