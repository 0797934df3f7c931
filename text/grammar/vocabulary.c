/* text/grammar/vocabulary.c - sorts the tokens by their bytes and cuts the list level by level. */
#include "text/grammar/vocabulary_tables.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define MAX_TOKEN_BYTES UINT16_MAX

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

static uint32_t n_common(const struct token_text *a, const struct token_text *b)
{
    uint32_t n = 0;
    while (n < a->n && n < b->n && a->bytes[n] == b->bytes[n])
        n++;
    return n;
}

void trie_build(struct trie *trie, const struct token_text *texts, const uint32_t *values, size_t n)
{
    size_t n_nodes = 0;
    uint32_t max_depth = 0;
    for (size_t i = 0; i < n; i++) {
        n_nodes += texts[i].n - (i ? n_common(&texts[i - 1], &texts[i]) : 0);
        max_depth = texts[i].n > max_depth ? texts[i].n : max_depth;
    }
    trie->nodes = mem_zeroed(n_nodes, sizeof *trie->nodes);
    trie->root_token = TOKEN_NONE;
    uint32_t *open = mem_zeroed(max_depth, sizeof *open); // by depth, the nodes that are not ended
    uint32_t n_open = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t common = i ? n_common(&texts[i - 1], &texts[i]) : 0;
        while (n_open > common)
            trie->nodes[open[--n_open]].end = trie->n_nodes;
        for (; n_open < texts[i].n; n_open++) {
            open[n_open] = trie->n_nodes;
            trie->nodes[trie->n_nodes++] =
                (struct trie_node){.token = TOKEN_NONE,
                                   .depth = (uint16_t)n_open,
                                   .byte = (uint8_t)texts[i].bytes[n_open]};
        }
        if (texts[i].n > 0)
            trie->nodes[open[n_open - 1]].token = values[i];
        else
            trie->root_token = values[i];
    }
    while (n_open > 0)
        trie->nodes[open[--n_open]].end = trie->n_nodes;
    free(open);
}

void trie_finish(struct trie *trie)
{
    free(trie->nodes);
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
        if (!bytes || n == 0 || n > MAX_TOKEN_BYTES || tokenizer_is_special(v->tokenizer, id))
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
    size_t from = 0, end; // where the tokens that begin with a space stand
    while (from < n && (uint8_t)texts[from].bytes[0] < ' ')
        from++;
    for (end = from; end < n && texts[end].bytes[0] == ' '; end++) {
        texts[end].bytes++;
        texts[end].n--;
    }
    part_build(v, &v->parts[PART_SPACED], texts + from, values + from, end - from);
    memmove(texts + from, texts + end, (n - end) * sizeof *texts);
    memmove(values + from, values + end, (n - end) * sizeof *values);
    part_build(v, &v->parts[PART_PLAIN], texts, values, n - (end - from));
    free(texts);
    free(values);
    return v;
}

void vocabulary_destroy(struct vocabulary *v)
{
    if (!v)
        return;
    for (int kind = 0; kind < N_PARTS; kind++)
        part_finish(&v->parts[kind]);
    free(v->twins);
    free(v);
}

uint32_t vocabulary_n_ids(const struct vocabulary *v)
{
    return v->n_ids;
}
