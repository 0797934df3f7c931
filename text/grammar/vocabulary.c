/* text/grammar/vocabulary.c - sorts the tokens by their bytes and cuts the list level by level. */
#include "text/grammar/vocabulary_tables.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static int by_bytes(const void *x, const void *y)
{
    const struct token_text *a = x, *b = y;
    int order = memcmp(a->bytes, b->bytes, a->n < b->n ? a->n : b->n);
    if (order != 0)
        return order;
    if (a->n != b->n)
        return a->n < b->n ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

static bool same_bytes(const struct token_text *a, const struct token_text *b)
{
    return a->n == b->n && memcmp(a->bytes, b->bytes, a->n) == 0;
}

struct span { // a node's texts
    uint32_t from, end;
};

void trie_build(struct trie *trie, const struct token_text *texts, const uint32_t *values, size_t n)
{
    size_t capacity = 1;
    for (size_t i = 0; i < n; i++)
        capacity += texts[i].n; // more than the nodes, as beginnings are shared
    struct span *spans = mem_zeroed(capacity, sizeof *spans);
    trie->bytes = mem_zeroed(capacity, 1);
    trie->first_child = mem_zeroed(capacity + 1, sizeof *trie->first_child);
    trie->tokens = mem_zeroed(capacity, sizeof *trie->tokens);
    spans[0] = (struct span){0, (uint32_t)n};
    trie->n_nodes = 1;
    size_t depth = 0, end_of_level = 1;
    for (size_t node = 0; node < trie->n_nodes; node++) {
        if (node == end_of_level) {
            depth++;
            end_of_level = trie->n_nodes;
        }
        struct span span = spans[node];
        trie->tokens[node] = TOKEN_NONE;
        if (span.from < span.end && texts[span.from].n == depth)
            trie->tokens[node] = values[span.from++];
        trie->first_child[node] = (uint32_t)trie->n_nodes;
        for (uint32_t i = span.from, end; i < span.end; i = end) {
            uint8_t byte = (uint8_t)texts[i].bytes[depth];
            for (end = i; end < span.end && (uint8_t)texts[end].bytes[depth] == byte; end++) {
            }
            trie->bytes[trie->n_nodes] = byte;
            spans[trie->n_nodes++] = (struct span){i, end};
        }
    }
    trie->first_child[trie->n_nodes] = (uint32_t)trie->n_nodes;
    free(spans);
    trie->bytes = mem_resized(trie->bytes, trie->n_nodes, 1);
    trie->first_child = mem_resized(trie->first_child, trie->n_nodes + 1,
                                    sizeof *trie->first_child);
    trie->tokens = mem_resized(trie->tokens, trie->n_nodes, sizeof *trie->tokens);
}

void trie_finish(struct trie *trie)
{
    free(trie->bytes);
    free(trie->first_child);
    free(trie->tokens);
}

// Texts sorted, with repetitions.
static struct token_text *list_texts(struct vocabulary *v, size_t *out_n)
{
    uint32_t n_tokens = tokenizer_n_tokens(v->tokenizer);
    n_tokens = n_tokens < v->n_ids ? n_tokens : v->n_ids;
    struct token_text *texts = mem_zeroed(n_tokens, sizeof *texts);
    size_t n_texts = 0;
    for (uint32_t id = 0; id < n_tokens; id++) {
        size_t n;
        bool is_byte;
        const char *bytes = tokenizer_token_bytes(v->tokenizer, id, &n, &is_byte);
        if (!bytes || n == 0 || tokenizer_is_special(v->tokenizer, id))
            continue;
        texts[n_texts++] = (struct token_text){bytes, (uint32_t)n, id};
        v->max_depth = n > v->max_depth ? (uint32_t)n : v->max_depth;
    }
    qsort(texts, n_texts, sizeof *texts, by_bytes);
    *out_n = n_texts;
    return texts;
}

static int by_first(const void *x, const void *y)
{
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return (a > b) - (a < b);
}

// Leaves each text once; the others with the same bytes become twins. Returns the new number.
static size_t part_twins(struct vocabulary *v, struct token_text *texts, uint32_t *values, size_t n)
{
    size_t n_out = 0, capacity = 0;
    for (size_t i = 0; i < n; i++) {
        bool repeats = i > 0 && same_bytes(&texts[i - 1], &texts[i]);
        if (repeats) {
            mem_reserve(&v->twins, &capacity, (v->n_twins + 1) * 2, sizeof *v->twins);
            v->twins[v->n_twins * 2] = texts[i - 1].id;
            v->twins[v->n_twins * 2 + 1] = texts[i].id;
            v->n_twins++;
        }
        if (repeats)
            continue;
        bool has_twin = i + 1 < n && same_bytes(&texts[i], &texts[i + 1]);
        values[n_out] = texts[i].id | (has_twin ? TWIN_BIT : 0);
        texts[n_out++] = texts[i];
    }
    if (v->n_twins > 0)
        qsort(v->twins, v->n_twins, 2 * sizeof *v->twins, by_first);
    return n_out;
}

uint32_t vocabulary_twin(const struct vocabulary *v, uint32_t token)
{
    const uint32_t *found =
        v->n_twins ? bsearch(&token, v->twins, v->n_twins, 2 * sizeof *v->twins, by_first) : NULL;
    return found ? found[1] : TOKEN_NONE;
}

struct vocabulary *vocabulary_create(const struct tokenizer *tokenizer, uint32_t n_ids)
{
    struct vocabulary *v = mem_zeroed(1, sizeof *v);
    v->tokenizer = tokenizer;
    v->n_ids = n_ids;
    size_t n;
    struct token_text *texts = list_texts(v, &n);
    uint32_t *values = mem_zeroed(n, sizeof *values);
    n = part_twins(v, texts, values, n);
    trie_build(&v->all, texts, values, n);
    free(texts);
    free(values);
    return v;
}

void vocabulary_destroy(struct vocabulary *v)
{
    if (!v)
        return;
    trie_finish(&v->all);
    free(v->twins);
    free(v);
}

uint32_t vocabulary_n_ids(const struct vocabulary *v)
{
    return v->n_ids;
}
