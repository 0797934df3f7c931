/* bench/tokenizer.c - how fast text becomes ids, and the ids themselves for comparisons.
 *
 *     tokenizer TOKENIZER.json FILE...      load time; MB/s with an empty and a warm word cache
 *     tokenizer --ids TOKENIZER.json        a JSON string a line in, its ids a line out
 *
 * Files are encoded one by one, special tokens parsed. Cold: a new encoder for each file, its
 * making included. Warm: one encoder that has seen all files once. Best and median of 5 passes. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "text/tokenizer.h"

#define N_PASSES 5

struct text {
    char *bytes;
    size_t n;
};

struct ids {
    uint32_t *ids;
    size_t n, capacity;
};

_Noreturn static void die(const char *what)
{
    fprintf(stderr, "tokenizer: %s\n", what);
    exit(1);
}

static struct tokenizer *load(const char *path)
{
    struct tokenizer *tokenizer = NULL;
    struct error err = {0};
    if (tokenizer_load(path, &tokenizer, &err) != STATUS_OK)
        die(err.message);
    return tokenizer;
}

static struct text read_text(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        die(strerror(errno));
    struct text text = {0};
    size_t capacity = 0;
    for (size_t got = 1; got; text.n += got) {
        mem_reserve(&text.bytes, &capacity, text.n + 65536, 1);
        got = fread(text.bytes + text.n, 1, 65536, file);
    }
    fclose(file);
    return text;
}

static void encode(struct tokenizer_encoder *encoder, const struct text *text, struct ids *out)
{
    out->n = 0;
    tokenizer_encode(encoder, text->bytes, text->n, true, &out->ids, &out->n, &out->capacity);
}

static int print_ids(const char *path)
{
    struct tokenizer *tokenizer = load(path);
    struct tokenizer_encoder *encoder = tokenizer_encoder_create(tokenizer);
    struct ids ids = {0};
    char *line = NULL;
    size_t capacity = 0;
    for (ssize_t n; (n = getline(&line, &capacity, stdin)) > 0;) {
        struct json_document *document = NULL;
        struct error err = {0};
        if (json_parse(line, (size_t)n, NULL, &document, &err) != STATUS_OK)
            die(err.message);
        const struct json_value *root = json_root(document);
        if (root->type != JSON_STRING)
            die("expected a JSON string a line");
        encode(encoder, &(struct text){(char *)(uintptr_t)root->text, root->length}, &ids);
        for (size_t i = 0; i < ids.n; i++)
            printf("%s%" PRIu32, i ? " " : "", ids.ids[i]);
        printf("\n");
        json_document_destroy(document);
    }
    free(line);
    free(ids.ids);
    tokenizer_encoder_destroy(encoder);
    tokenizer_destroy(tokenizer);
    return 0;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double seconds_since(uint64_t start_ns)
{
    return (double)(clock_now_ns() - start_ns) / (double)NS_PER_S;
}

static void report(const char *what, double seconds[N_PASSES], double n_mb, size_t n_ids)
{
    qsort(seconds, N_PASSES, sizeof *seconds, by_value);
    printf("%s: median %.1f MB/s, best %.1f MB/s (%zu ids)\n", what, n_mb / seconds[N_PASSES / 2],
           n_mb / seconds[0], n_ids);
}

static void time_passes(const struct tokenizer *tokenizer, const struct text *texts, int n_texts,
                        bool cold)
{
    struct tokenizer_encoder *encoder = tokenizer_encoder_create(tokenizer);
    struct ids ids = {0};
    double seconds[N_PASSES];
    double n_mb = 0;
    size_t n_ids = 0;
    for (int pass = cold ? 0 : -1; pass < N_PASSES; pass++) {
        n_ids = 0;
        n_mb = 0;
        uint64_t start = clock_now_ns();
        for (int i = 0; i < n_texts; i++) {
            if (cold) {
                tokenizer_encoder_destroy(encoder);
                encoder = tokenizer_encoder_create(tokenizer);
            }
            encode(encoder, &texts[i], &ids);
            n_ids += ids.n;
            n_mb += (double)texts[i].n / 1e6;
        }
        if (pass >= 0)
            seconds[pass] = seconds_since(start);
    }
    report(cold ? "cold" : "warm", seconds, n_mb, n_ids);
    free(ids.ids);
    tokenizer_encoder_destroy(encoder);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--ids") == 0)
        return print_ids(argv[2]);
    if (argc < 3)
        die("usage: tokenizer TOKENIZER.json FILE... | --ids TOKENIZER.json");
    uint64_t start = clock_now_ns();
    struct tokenizer *tokenizer = load(argv[1]);
    printf("load: %.3f s\n", seconds_since(start));
    int n_texts = 0;
    struct text *texts = mem_zeroed((size_t)argc, sizeof *texts);
    for (int i = 2; i < argc; i++) {
        struct text text = read_text(argv[i]);
        if (utf8_valid(text.bytes, text.n, NULL))
            texts[n_texts++] = text;
        else
            free(text.bytes);
    }
    printf("%d files of well-formed UTF-8\n", n_texts);
    time_passes(tokenizer, texts, n_texts, true);
    time_passes(tokenizer, texts, n_texts, false);
    for (int i = 0; i < n_texts; i++)
        free(texts[i].bytes);
    free(texts);
    tokenizer_destroy(tokenizer);
    return 0;
}
