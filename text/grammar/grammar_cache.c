/* text/grammar/grammar_cache.c - a hash table of requests and a list of those that are ready, the
 * one used last in front.
 *
 * Threads that compile an entry or wait for it are its users; an entry with users is not freed. A
 * failed one leaves the table at once, and its last user frees it. */
#include "text/grammar/grammar_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text_buffer.h"

#define N_BUCKETS 1024U /* a power of two */
#define DEFAULT_MAX_BYTES ((size_t)64 << 20)
#define LEAST_BYTES 16384U /* of an entry, so that their number is bounded too */

enum entry_state { ENTRY_COMPILING, ENTRY_READY, ENTRY_FAILED };

struct entry {
    struct entry *next;          // in its bucket
    struct entry *newer, *older; // in the list, if ready and in the table
    uint64_t hash;
    char *key;
    size_t n_key, n_bytes;
    uint32_t n_users;
    enum entry_state state;
    struct grammar *grammar; // if ready
    struct error error;      // if failed
};

struct grammar_cache {
    const struct tokenizer *tokenizer;
    size_t max_bytes, n_bytes;
    pthread_mutex_t lock; // of all below, and of entries
    pthread_cond_t compiled;
    struct entry *buckets[N_BUCKETS];
    struct entry *newest, *oldest;
};

struct grammar_cache *grammar_cache_create(const struct tokenizer *tokenizer, size_t max_bytes)
{
    struct grammar_cache *cache = mem_zeroed(1, sizeof *cache);
    cache->tokenizer = tokenizer;
    cache->max_bytes = max_bytes ? max_bytes : DEFAULT_MAX_BYTES;
    CHECK(pthread_mutex_init(&cache->lock, NULL) == 0);
    CHECK(pthread_cond_init(&cache->compiled, NULL) == 0);
    return cache;
}

static void entry_free(struct entry *entry)
{
    grammar_drop(entry->grammar);
    free(entry->key);
    free(entry);
}

static void list_remove(struct grammar_cache *cache, struct entry *entry)
{
    *(entry->newer ? &entry->newer->older : &cache->newest) = entry->older;
    *(entry->older ? &entry->older->newer : &cache->oldest) = entry->newer;
    entry->newer = entry->older = NULL;
}

static void list_add(struct grammar_cache *cache, struct entry *entry)
{
    entry->older = cache->newest;
    *(cache->newest ? &cache->newest->newer : &cache->oldest) = entry;
    cache->newest = entry;
}

static void table_remove(struct grammar_cache *cache, struct entry *entry)
{
    struct entry **link = &cache->buckets[entry->hash & (N_BUCKETS - 1)];
    while (*link != entry)
        link = &(*link)->next;
    *link = entry->next;
}

// Counts again: grammars grow while matchers follow them.
static void measure(struct grammar_cache *cache)
{
    cache->n_bytes = 0;
    for (struct entry *entry = cache->newest; entry; entry = entry->older) {
        entry->n_bytes = LEAST_BYTES + entry->n_key + grammar_n_bytes(entry->grammar);
        cache->n_bytes += entry->n_bytes;
    }
}

// Frees entries from the oldest on until max_bytes are left, or the oldest has users.
static void make_room(struct grammar_cache *cache, size_t max_bytes)
{
    while (cache->oldest && cache->oldest->n_users == 0 && cache->n_bytes > max_bytes) {
        struct entry *entry = cache->oldest;
        CHECK(!entry->older);
        cache->n_bytes -= entry->n_bytes;
        list_remove(cache, entry);
        table_remove(cache, entry);
        entry_free(entry);
    }
}

void grammar_cache_destroy(struct grammar_cache *cache)
{
    if (!cache)
        return;
    make_room(cache, 0);
    CHECK(pthread_mutex_destroy(&cache->lock) == 0);
    CHECK(pthread_cond_destroy(&cache->compiled) == 0);
    free(cache);
}

static void append_text(struct text_buffer *key, const struct grammar_text *text)
{
    text_buffer_append(key, &text->n, sizeof text->n);
    text_buffer_append(key, text->bytes, text->n);
}

// Two requests are the same if their keys are.
static void append_key(struct text_buffer *key, const struct grammar_request *request)
{
    const char head[] = {(char)request->kind, (char)request->strict,
                         (char)request->parallel_tool_calls};
    text_buffer_append(key, head, sizeof head);
    append_text(key, &request->text);
    append_text(key, &request->tools);
    append_text(key, &request->tool_choice);
    for (size_t i = 0; i < request->n_choices; i++)
        append_text(key, &request->choices[i]);
}

static uint64_t hash_key(const struct text_buffer *key)
{
    uint64_t hash = UINT64_C(0xCBF29CE484222325); // FNV-1a
    for (size_t i = 0; i < key->length; i++)
        hash = (hash ^ (uint8_t)key->data[i]) * UINT64_C(0x100000001B3);
    return hash ^ (hash >> 32);
}

// The entry of that key, with one more user; a new one if *out_is_new.
static struct entry *find_or_add(struct grammar_cache *cache, struct text_buffer *key,
                                 bool *out_is_new)
{
    uint64_t hash = hash_key(key);
    struct entry **bucket = &cache->buckets[hash & (N_BUCKETS - 1)], *entry = *bucket;
    while (entry && !(entry->hash == hash && entry->n_key == key->length &&
                      memcmp(entry->key, key->data, key->length) == 0))
        entry = entry->next;
    *out_is_new = !entry;
    if (!entry) {
        entry = mem_zeroed(1, sizeof *entry);
        *entry = (struct entry){.next = *bucket, .hash = hash, .n_key = key->length};
        entry->key = text_buffer_release(key);
        *bucket = entry;
    }
    entry->n_users++;
    return entry;
}

// Compiles without the lock, which is held before and after.
static void compile(struct grammar_cache *cache, struct entry *entry,
                    const struct grammar_request *request)
{
    CHECK(pthread_mutex_unlock(&cache->lock) == 0);
    struct grammar *grammar = NULL;
    struct error error = {0};
    enum status st = grammar_compile(request, cache->tokenizer, &grammar, &error);
    CHECK(pthread_mutex_lock(&cache->lock) == 0);
    if (st == STATUS_OK) {
        entry->state = ENTRY_READY;
        entry->grammar = grammar;
        list_add(cache, entry);
        measure(cache);
    } else {
        entry->state = ENTRY_FAILED;
        entry->error = error;
        table_remove(cache, entry);
    }
    CHECK(pthread_cond_broadcast(&cache->compiled) == 0);
}

enum status grammar_cache_get(struct grammar_cache *cache, const struct grammar_request *request,
                              struct grammar **out, struct error *err)
{
    struct text_buffer key = {0};
    bool is_new;
    enum status st = grammar_check_size(request, err);
    if (st != STATUS_OK)
        return st;
    append_key(&key, request);
    CHECK(pthread_mutex_lock(&cache->lock) == 0);
    struct entry *entry = find_or_add(cache, &key, &is_new);
    if (is_new)
        compile(cache, entry, request);
    while (entry->state == ENTRY_COMPILING)
        CHECK(pthread_cond_wait(&cache->compiled, &cache->lock) == 0);
    if (entry->state == ENTRY_READY) {
        *out = grammar_ref(entry->grammar);
        list_remove(cache, entry);
        list_add(cache, entry);
        entry->n_users--;
        make_room(cache, cache->max_bytes);
    } else {
        st = error_set(err, entry->error.status, "%s", entry->error.message);
        if (--entry->n_users == 0)
            entry_free(entry);
    }
    CHECK(pthread_mutex_unlock(&cache->lock) == 0);
    text_buffer_finish(&key);
    return st;
}

size_t grammar_cache_n_bytes(struct grammar_cache *cache)
{
    CHECK(pthread_mutex_lock(&cache->lock) == 0);
    size_t n = cache->n_bytes;
    CHECK(pthread_mutex_unlock(&cache->lock) == 0);
    return n;
}
