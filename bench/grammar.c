/* bench/grammar.c - what constrained answers cost: compiling JSON Schemas, and the mask before each
 * token of their valid instances.
 *
 *     grammar TOKENIZER.json SUITE.jsonl [--worst N] [--times]
 *
 * SUITE has lines {"id", "schema", "valid": [instances]}; instances are written as json.dumps
 * writes them. Each schema is compiled anew and its instances run one behind the other, so that a
 * mask is either the first visit of a state or was made before. --worst N: the N slowest masks and
 * compiles; --times: JSON for grammar_peers.py. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "tests/text/grammar/json_forms.h"
#include "text/grammar/compile.h"
#include "text/grammar/matcher.h"

#define N_PASSES 3

struct sample {
    char place[64]; // id of the schema, and the token
    uint64_t ns;
};

struct samples {
    struct sample *items;
    size_t n, capacity;
    size_t at; // of the pass that runs
};

struct bench {
    struct tokenizer *tokenizer;
    struct tokenizer_encoder *encoder;
    struct vocabulary *vocabulary;
    uint32_t *bits;
    struct samples compiles, masks, accepts;
    uint32_t *ids;
    size_t ids_capacity;
    size_t n_refused;
    size_t max_grammar_bytes;
};

_Noreturn static void die(const char *what)
{
    fprintf(stderr, "grammar: %s\n", what);
    exit(1);
}

static void add(struct samples *samples, const char *id, size_t token, uint64_t ns)
{
    if (samples->at == samples->n) {
        mem_reserve(&samples->items, &samples->capacity, samples->n + 1, sizeof *samples->items);
        struct sample *sample = &samples->items[samples->n++];
        snprintf(sample->place, sizeof sample->place, "%s:%zu", id, token);
        sample->ns = ns;
    }
    struct sample *sample = &samples->items[samples->at++];
    sample->ns = ns < sample->ns ? ns : sample->ns;
}

static void run_instance(struct bench *b, struct grammar *grammar, const char *id,
                         const struct json_value *instance)
{
    struct text_buffer text = {0};
    dump_json(&text, instance, false, true);
    size_t n_ids = 0;
    tokenizer_encode(b->encoder, text.data, text.length, false, &b->ids, &n_ids, &b->ids_capacity);
    struct matcher *matcher = matcher_create(grammar, b->vocabulary);
    for (size_t i = 0; i <= n_ids; i++) {
        uint64_t start = clock_now_ns();
        matcher_mask(matcher, b->bits);
        add(&b->masks, id, i, clock_now_ns() - start);
        if (i == n_ids)
            break;
        start = clock_now_ns();
        bool accepted = matcher_accept(matcher, b->ids[i]);
        add(&b->accepts, id, i, clock_now_ns() - start);
        if (!accepted || !(b->bits[b->ids[i] >> 5] >> (b->ids[i] & 31) & 1)) {
            b->n_refused++;
            break;
        }
    }
    matcher_destroy(matcher);
    text_buffer_finish(&text);
}

static void run_schema(struct bench *b, const struct json_value *row)
{
    const char *id = json_get(row, "id")->text;
    struct text_buffer schema = {0};
    json_write(&schema, json_get(row, "schema"));
    struct grammar *grammar = NULL;
    struct error err = {0};
    struct grammar_request request = {.kind = GRAMMAR_JSON_SCHEMA,
                                      .text = {schema.data, schema.length}};
    uint64_t start = clock_now_ns();
    enum status st = grammar_compile(&request, b->tokenizer, &grammar, &err);
    add(&b->compiles, id, 0, clock_now_ns() - start);
    text_buffer_finish(&schema);
    if (st != STATUS_OK) {
        fprintf(stderr, "%s: %s\n", id, err.message);
        b->n_refused++;
        return;
    }
    const struct json_value *valid = json_get(row, "valid");
    for (uint32_t i = 0; i < valid->n; i++)
        run_instance(b, grammar, id, &valid->items[i]);
    size_t n_bytes = grammar_n_bytes(grammar);
    b->max_grammar_bytes = n_bytes > b->max_grammar_bytes ? n_bytes : b->max_grammar_bytes;
    grammar_drop(grammar);
}

static void run_suite(struct bench *b, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        die("cannot open the suite");
    char *line = NULL;
    size_t capacity = 0;
    for (ssize_t n; (n = getline(&line, &capacity, file)) > 0;) {
        struct json_document *document = NULL;
        struct error err = {0};
        if (json_parse(line, (size_t)n, NULL, &document, &err) != STATUS_OK)
            die(err.message);
        run_schema(b, json_root(document));
        json_document_destroy(document);
    }
    free(line);
    fclose(file);
}

static int by_ns(const void *x, const void *y)
{
    const struct sample *a = x, *b = y;
    return (a->ns > b->ns) - (a->ns < b->ns);
}

static double microseconds(const struct samples *samples, size_t at)
{
    return (double)samples->items[at].ns / 1e3;
}

static void report(const char *what, struct samples *samples, int n_worst)
{
    qsort(samples->items, samples->n, sizeof *samples->items, by_ns);
    size_t n = samples->n, p50 = n / 2, p90 = n * 9 / 10, p99 = n * 99 / 100;
    if (n == 0)
        return;
    printf("%-8s %6zu: p50 %.2f us, p90 %.2f us, p99 %.2f us, worst %.2f us (%s)\n", what, n,
           microseconds(samples, p50), microseconds(samples, p90), microseconds(samples, p99),
           microseconds(samples, n - 1), samples->items[n - 1].place);
    for (size_t i = 1; i <= (size_t)n_worst && i <= n; i++)
        printf("    %10.2f us  %s\n", microseconds(samples, n - i), samples->items[n - i].place);
}

static void print_times(const char *what, const struct samples *samples, const char *end)
{
    printf("\"%s\": [", what);
    for (size_t i = 0; i < samples->n; i++)
        printf("%s%.3f", i ? ", " : "", microseconds(samples, i));
    printf("]%s", end);
}

int main(int n_args, char **args)
{
    int n_worst = 0;
    bool times = false;
    for (int i = 3; i < n_args; i++) {
        times |= strcmp(args[i], "--times") == 0;
        if (strcmp(args[i], "--worst") == 0 && i + 1 < n_args)
            n_worst = atoi(args[++i]);
    }
    if (n_args < 3)
        die("usage: grammar TOKENIZER.json SUITE.jsonl [--worst N] [--times]");
    struct bench b = {0};
    struct error err = {0};
    if (tokenizer_load(args[1], &b.tokenizer, &err) != STATUS_OK)
        die(err.message);
    b.encoder = tokenizer_encoder_create(b.tokenizer);
    uint64_t start = clock_now_ns();
    b.vocabulary = vocabulary_create(b.tokenizer, tokenizer_n_tokens(b.tokenizer));
    double vocabulary_ms = (double)(clock_now_ns() - start) / 1e6;
    b.bits = mem_zeroed((vocabulary_n_ids(b.vocabulary) + 31) / 32, sizeof *b.bits);
    for (int pass = 0; pass < N_PASSES; pass++) {
        b.compiles.at = b.masks.at = b.accepts.at = b.n_refused = 0;
        run_suite(&b, args[2]);
    }
    if (times) {
        printf("{\"n_refused\": %zu, \"vocabulary_ms\": %.1f, ", b.n_refused, vocabulary_ms);
        print_times("compile_us", &b.compiles, ", ");
        print_times("mask_us", &b.masks, "}\n");
    } else {
        printf("vocabulary: %.1f ms; largest grammar after use: %zu KiB; refused: %zu\n",
               vocabulary_ms, b.max_grammar_bytes >> 10, b.n_refused);
        report("compile", &b.compiles, n_worst);
        report("mask", &b.masks, n_worst);
        report("accept", &b.accepts, n_worst);
    }
    free(b.compiles.items);
    free(b.masks.items);
    free(b.accepts.items);
    free(b.bits);
    free(b.ids);
    vocabulary_destroy(b.vocabulary);
    tokenizer_encoder_destroy(b.encoder);
    tokenizer_destroy(b.tokenizer);
    return 0;
}
