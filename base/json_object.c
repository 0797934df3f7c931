/* base/json_object.c - objects of more than JSON_SMALL_OBJECT members carry a hash index before
 * their members. Its seed is random for each document, so that a hostile client cannot choose keys
 * that collide; objects from a client are searched in constant time whatever they hold. */
#include "base/json_object.h"

#include <string.h>

#include "base/mem.h"

// Stands directly before the members of a large object; the entries [capacity] stand before it.
struct object_index {
    uint64_t seed;
    uint64_t capacity; // a power of two, at least 2 * n; entries are member + 1, 0 is empty
};

static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash_key(uint64_t seed, const char *key, size_t n)
{
    uint64_t hash = seed ^ n;
    uint64_t word;
    for (; n >= sizeof word; key += sizeof word, n -= sizeof word) {
        memcpy(&word, key, sizeof word);
        hash = fold(hash ^ word, seed | 1);
    }
    word = 0;
    memcpy(&word, key, n);
    return fold(fold(hash ^ word, seed | 1) ^ seed, UINT64_C(0x9E3779B97F4A7C15));
}

// The entry that holds key, or the empty one where it belongs.
static uint32_t *index_entry(const struct json_member *members, const char *key, size_t n)
{
    struct object_index *index = (struct object_index *)(uintptr_t)members - 1;
    uint32_t *entries = (uint32_t *)(void *)index - index->capacity;
    for (uint64_t at = hash_key(index->seed, key, n);; at++) {
        uint32_t *entry = &entries[at & (index->capacity - 1)];
        if (*entry == 0)
            return entry;
        const struct json_member *member = &members[*entry - 1];
        if (member->key_length == n && memcmp(member->key, key, n) == 0)
            return entry;
    }
}

static uint32_t find_linear(const struct json_member *members, uint32_t n, const char *key,
                            size_t key_length)
{
    for (uint32_t i = 0; i < n; i++)
        if (members[i].key_length == key_length && memcmp(members[i].key, key, key_length) == 0)
            return i;
    return UINT32_MAX;
}

static size_t index_capacity(uint32_t n)
{
    if (n <= JSON_SMALL_OBJECT)
        return 0;
    size_t capacity = 64;
    while (capacity < (size_t)n * 2)
        capacity *= 2;
    return capacity;
}

size_t json_object_bytes(uint32_t n)
{
    size_t capacity = index_capacity(n);
    size_t index_bytes = capacity ? capacity * sizeof(uint32_t) + sizeof(struct object_index) : 0;
    return index_bytes + (size_t)n * sizeof(struct json_member);
}

static struct json_member *place_index(void *block, size_t capacity, uint64_t seed)
{
    size_t entries_bytes = capacity * sizeof(uint32_t);
    memset(block, 0, entries_bytes);
    struct object_index *index = (struct object_index *)(void *)((char *)block + entries_bytes);
    *index = (struct object_index){.seed = seed, .capacity = capacity};
    return (struct json_member *)(index + 1);
}

const char *json_object_build(void *block, const struct json_member *members, uint32_t n,
                              uint64_t seed, struct json_value *out)
{
    const char *repeated = NULL;
    size_t capacity = index_capacity(n);
    struct json_member *kept = capacity ? place_index(block, capacity, seed) : block;
    uint32_t n_kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        const char *key = members[i].key;
        size_t length = members[i].key_length;
        uint32_t *entry = capacity ? index_entry(kept, key, length) : NULL;
        uint32_t known = entry ? *entry - 1 : find_linear(kept, n_kept, key, length);
        if (known != UINT32_MAX) {
            kept[known].value = members[i].value;
            repeated = key;
            continue;
        }
        kept[n_kept++] = members[i];
        if (entry)
            *entry = n_kept;
    }
    *out = (struct json_value){.type = JSON_OBJECT, .n = n_kept, .members = kept};
    return repeated;
}

// By n: repeated keys may leave a large object small, and then its index goes unused.
const struct json_value *json_get(const struct json_value *object, const char *key)
{
    if (!object || object->type != JSON_OBJECT)
        return NULL;
    size_t length = strlen(key);
    uint32_t found = object->n > JSON_SMALL_OBJECT
                         ? *index_entry(object->members, key, length) - 1
                         : find_linear(object->members, object->n, key, length);
    return found != UINT32_MAX ? &object->members[found].value : NULL;
}

struct json_value json_replace_member(const struct json_value *object, uint32_t i,
                                      const struct json_value *value, void **out_block)
{
    CHECK(object->type == JSON_OBJECT && i < object->n);
    uint64_t seed = 0;
    if (object->n > JSON_SMALL_OBJECT)
        seed = ((const struct object_index *)(const void *)object->members - 1)->seed;
    *out_block = mem_zeroed(json_object_bytes(object->n), 1);
    struct json_value copy;
    json_object_build(*out_block, object->members, object->n, seed, &copy);
    ((struct json_member *)(uintptr_t)copy.members)[i].value = *value;
    return copy;
}

const struct json_value *json_get_present(const struct json_value *object, const char *key)
{
    const struct json_value *value = json_get(object, key);
    return value && value->type != JSON_NULL ? value : NULL;
}
