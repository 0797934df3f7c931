/* bench/scheduler.c - the coordinator's own time per step, with a device that takes none.
 *
 *     scheduler TOKENIZER.json [N_STEPS]
 *
 * Runs the real engine thread with 64 and 256 sequences that decode, after prompts of 16 and of
 * 32768 tokens, two steps in flight, text and token ids streamed, one stop string each; once more
 * with the logprobs of 5 tokens. A step's time is what passes on the engine thread between having
 * read a result and asking for the next: checking and taking the result, detokenizing, stop
 * strings, callbacks, planning and writing the next step, figures. The time of the null device is
 * not in it. Steps count when all sequences decode. Prints median, 99th percentile and the limits
 * of the project: 50 us at 64, 200 us at 256, whatever the context.
 * Then, without a limit, the same with a grammar: each sequence gets a mask for every token, which
 * is made while a real device would run the step; the null device takes any token it allows. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "text/grammar/compile.h"

#define MAX_IN_FLIGHT 2
#define PAGE_TOKENS 128
#define WINDOW 1024
#define MAX_ROWS 8192
#define MAX_SEQUENCES 256
#define LONG_PROMPT 32768

struct null_device {
    struct step_limits limits;
    uint32_t n_sequences;
    void *steps[MAX_IN_FLIGHT];
    size_t lengths[MAX_IN_FLIGHT];
    void *masks[MAX_IN_FLIGHT];
    size_t masks_lengths[MAX_IN_FLIGHT];
    uint64_t n_submitted, n_read;
    unsigned char *result;
    size_t result_bytes;
    int32_t n_logprobs;
    uint32_t next_token;
    bool decoding; // the result read last was of decodes alone
    uint64_t left_at_ns;
    uint64_t *samples; // [max_samples]
    uint32_t n_samples, max_samples;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool woken, done;
    bool started; // all requests are there: before, nothing runs
};

_Noreturn static void die(const char *what)
{
    fprintf(stderr, "scheduler: %s\n", what);
    exit(1);
}

static void *begin_step(void *context)
{
    struct null_device *d = context;
    if (d->n_submitted - d->n_read == MAX_IN_FLIGHT)
        return NULL;
    return d->steps[d->n_submitted % MAX_IN_FLIGHT];
}

static void submit_step(void *context, size_t n_bytes)
{
    struct null_device *d = context;
    d->lengths[d->n_submitted++ % MAX_IN_FLIGHT] = n_bytes;
}

static void *begin_masks(void *context)
{
    struct null_device *d = context;
    return d->masks[(d->n_submitted - 1) % MAX_IN_FLIGHT];
}

static void submit_masks(void *context, size_t n_bytes)
{
    struct null_device *d = context;
    d->masks_lengths[(d->n_submitted - 1) % MAX_IN_FLIGHT] = n_bytes;
}

// The first token from d->next_token on that the mask allows.
static uint32_t allowed_token(const struct null_device *d, const struct step_mask *mask,
                              const uint32_t *words)
{
    if (mask->kind == STEP_MASK_ONE)
        return words[0];
    if (mask->kind != STEP_MASK_BITS)
        return d->next_token;
    uint32_t n = step_mask_bits_words(d->limits.vocab_size);
    uint32_t word = d->next_token / 32;
    for (uint32_t i = 0; i < n && words[word] == 0; i++)
        word = (word + 1) % n;
    return word * 32 + (uint32_t)__builtin_ctz(words[word] | 1U << 31);
}

// Tokens that are mostly text.
static void make_result(struct null_device *d)
{
    uint64_t at = d->n_read % MAX_IN_FLIGHT;
    struct step step;
    struct step_masks masks = {0};
    struct error err = {0};
    if (step_open(d->steps[at], d->lengths[at], &d->limits, &step, &err) != STATUS_OK)
        die(err.message);
    bool masked = step.seqs[0].flags & STEP_MASKED;
    if (masked && step_masks_open(d->masks[at], d->masks_lengths[at], &step, &d->limits, &masks,
                                  &err) != STATUS_OK)
        die(err.message);
    const struct step_mask *mask = masks.masks;
    uint32_t n_seqs = step.header->n_seqs;
    struct step_result_header *header = (struct step_result_header *)d->result;
    *header = (struct step_result_header){.step_id = step.header->step_id, .n_seqs = n_seqs};
    struct step_result_seq *seqs = (struct step_result_seq *)(header + 1);
    struct token_logprob *logprobs = (struct token_logprob *)(seqs + n_seqs);
    for (uint32_t i = 0; i < n_seqs; i++) {
        seqs[i] = (struct step_result_seq){.slot = step.seqs[i].slot,
                                           .logprobs_offset = header->n_logprobs};
        if (!(step.seqs[i].flags & STEP_SAMPLE))
            continue;
        d->next_token = (d->next_token * 69069 + 12345) % d->limits.vocab_size;
        seqs[i].flags = STEP_RESULT_TOKEN;
        seqs[i].token = d->next_token;
        if (masked) {
            seqs[i].token = allowed_token(d, mask, masks.words + mask->first_word);
            if (mask++->kind == STEP_MASK_LATER)
                seqs[i].flags = 0;
        }
        if (d->n_logprobs < 0)
            continue;
        seqs[i].n_top = (uint32_t)d->n_logprobs;
        for (uint32_t k = 0; k <= seqs[i].n_top; k++)
            logprobs[header->n_logprobs++] = (struct token_logprob){.token_id = d->next_token,
                                                                    .logprob = -1};
    }
    d->result_bytes = sizeof *header + n_seqs * sizeof *seqs +
                      header->n_logprobs * sizeof *logprobs;
    // A forced run is a few rows, a prompt at least 16.
    d->decoding = n_seqs == d->n_sequences && step.header->n_rows < 16 * n_seqs;
}

static void take_sample(struct null_device *d)
{
    if (d->left_at_ns == 0 || !d->decoding)
        return;
    if (d->n_samples < d->max_samples)
        d->samples[d->n_samples++] = clock_now_ns() - d->left_at_ns;
    if (d->n_samples == d->max_samples && !d->done) {
        pthread_mutex_lock(&d->lock);
        d->done = true;
        pthread_cond_broadcast(&d->changed);
        pthread_mutex_unlock(&d->lock);
    }
}

static enum status read_result(void *context, uint64_t timeout_ns, const void **out, size_t *n)
{
    struct null_device *d = context;
    (void)timeout_ns;
    take_sample(d);
    d->left_at_ns = 0;
    pthread_mutex_lock(&d->lock);
    while (!d->woken && !(d->started && d->n_submitted > d->n_read))
        pthread_cond_wait(&d->changed, &d->lock);
    d->woken = false;
    bool ready = d->started && d->n_submitted > d->n_read;
    pthread_mutex_unlock(&d->lock);
    if (!ready)
        return STATUS_DEADLINE_EXCEEDED;
    make_result(d);
    *out = d->result;
    *n = d->result_bytes;
    d->left_at_ns = clock_now_ns();
    return STATUS_OK;
}

static void release_result(void *context)
{
    struct null_device *d = context;
    d->n_read++;
}

static void wake(void *context)
{
    struct null_device *d = context;
    pthread_mutex_lock(&d->lock);
    d->woken = true;
    pthread_cond_broadcast(&d->changed);
    pthread_mutex_unlock(&d->lock);
}

// What a front end does at least: looks at everything.
struct client {
    uint64_t n_events;
    uint64_t sum;
};

static void on_event(void *context, const struct engine_event *event)
{
    struct client *client = context;
    client->n_events++;
    for (size_t i = 0; i < event->n_token_ids; i++)
        client->sum += event->token_ids[i];
    for (size_t i = 0; i < event->text_length; i++)
        client->sum += (unsigned char)event->text[i];
    for (size_t i = 0; i < event->n_logprobs; i++)
        client->sum += event->logprobs[i].entries[0].token_id;
}

struct bench_case {
    uint32_t n_sequences;
    uint32_t n_prompt;
    int32_t n_logprobs;
    uint32_t n_steps;
    uint32_t tokens_per_step; // of a sequence, at most
    struct grammar *grammar;  // or NULL
    struct vocabulary *vocabulary;
};

static struct engine_config make_config(struct null_device *d, const struct tokenizer *tokenizer,
                                        const struct bench_case *c, uint32_t max_tokens)
{
    struct engine_config config = {
        .tokenizer = tokenizer, .vocabulary = c->vocabulary, .max_queued = MAX_SEQUENCES};
    uint32_t max_positions = c->n_prompt + max_tokens + 1;
    config.kv = (struct kv_params){
        .page_tokens = PAGE_TOKENS,
        .element_bytes = 2,
        .n_groups = 2,
        .groups = {{.n_layers = 25, .n_kv_heads = 8, .head_dim = 256, .window = WINDOW},
                   {.n_layers = 5, .n_kv_heads = 2, .head_dim = 512}},
        .n_pages = {MAX_SEQUENCES * (WINDOW + MAX_ROWS) / PAGE_TOKENS,
                    MAX_SEQUENCES * (max_positions / PAGE_TOKENS + 2)},
    };
    config.limits = (struct step_limits){
        .max_slots = MAX_SEQUENCES,
        .max_rows = MAX_ROWS,
        .max_positions = max_positions,
        .vocab_size = tokenizer_n_tokens(tokenizer),
        .n_groups = 2,
        .page_tokens = PAGE_TOKENS,
        .n_pages = {config.kv.n_pages[0], config.kv.n_pages[1]},
        .max_blob_bytes = 65536,
    };
    d->limits = config.limits;
    config.backend = (struct engine_backend){
        .context = d,
        .begin_step = begin_step,
        .submit_step = submit_step,
        .begin_masks = begin_masks,
        .submit_masks = submit_masks,
        .read_result = read_result,
        .release_result = release_result,
        .wake = wake,
    };
    return config;
}

static void open_device(struct null_device *d, uint32_t n_sequences, int32_t n_logprobs,
                        uint32_t n_steps)
{
    d->n_sequences = n_sequences;
    d->n_logprobs = n_logprobs;
    d->max_samples = n_steps;
    d->samples = mem_zeroed(n_steps, sizeof *d->samples);
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->changed, NULL);
    for (int i = 0; i < MAX_IN_FLIGHT; i++) {
        d->steps[i] = mem_zeroed(step_max_bytes(&d->limits), 1);
        d->masks[i] = mem_zeroed(step_max_bytes(&d->limits), 1);
    }
    d->result = mem_zeroed(step_result_max_bytes(&d->limits), 1);
}

static void close_device(struct null_device *d)
{
    for (int i = 0; i < MAX_IN_FLIGHT; i++) {
        free(d->steps[i]);
        free(d->masks[i]);
    }
    free(d->result);
    free(d->samples);
}

static void submit_all(struct engine *engine, struct client *clients, const struct bench_case *c,
                       uint32_t max_tokens)
{
    uint32_t n_prompt = c->n_prompt;
    uint32_t *prompt = mem_zeroed(n_prompt, sizeof *prompt);
    struct stop_string stop = {.bytes = "\n\nObservation:", .n = 14};
    for (uint32_t i = 0; i < c->n_sequences; i++) {
        char id[32];
        snprintf(id, sizeof id, "request-%u", i);
        struct request request = {
            .id = id,
            .prompt = prompt,
            .n_prompt = n_prompt,
            .sampling = {.temperature = 1,
                         .top_p = 1,
                         .repetition_penalty = 1,
                         .seed = i,
                         .n_logprobs = c->n_logprobs,
                         .n_prompt_logprobs = -1},
            .n = 1,
            .max_tokens = max_tokens,
            .stop_strings = &stop,
            .n_stop_strings = 1,
            .want_text = true,
            .want_token_ids = true,
            .skip_special_tokens = true,
            .time_limit_ns = 3600 * NS_PER_S,
            .grammar = c->grammar,
        };
        struct error err = {0};
        if (engine_submit(engine, &request, on_event, &clients[i], &err) != STATUS_OK)
            die(err.message);
    }
    free(prompt);
}

static int compare_samples(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

// The median in microseconds.
static double run_case(const struct tokenizer *tokenizer, const struct bench_case *c)
{
    static struct client clients[MAX_SEQUENCES];
    memset(clients, 0, sizeof clients);
    struct null_device d = {.next_token = 1};
    uint32_t max_tokens = 2 * c->tokens_per_step * c->n_steps + 999;
    struct engine_config config = make_config(&d, tokenizer, c, max_tokens);
    open_device(&d, c->n_sequences, c->n_logprobs, c->n_steps);
    struct engine *engine = NULL;
    struct error err = {0};
    if (engine_create(&config, &engine, &err) != STATUS_OK)
        die(err.message);
    submit_all(engine, clients, c, max_tokens);
    pthread_mutex_lock(&d.lock);
    d.started = true;
    pthread_cond_broadcast(&d.changed);
    while (!d.done)
        pthread_cond_wait(&d.changed, &d.lock);
    pthread_mutex_unlock(&d.lock);
    engine_destroy(engine);
    qsort(d.samples, d.n_samples, sizeof *d.samples, compare_samples);
    size_t middle = d.n_samples / 2;
    size_t last_percent = (size_t)d.n_samples * 99 / 100;
    double median = (double)d.samples[middle] / 1e3;
    double p99 = (double)d.samples[last_percent] / 1e3;
    printf("%9u %8u %8d %7s %12.1f %12.1f\n", c->n_sequences, c->n_prompt, c->n_logprobs,
           c->grammar ? "yes" : "no", median, p99);
    fflush(stdout);
    close_device(&d);
    return median;
}

// Records without an end, with some choice and some that is forced.
static const char records[] = "start: record*\n"
                              "record: \"{\\\"name\\\":\\\"\" NAME \"\\\",\\\"count\\\":\" COUNT "
                              "\",\\\"tags\\\":[\" tag (\",\" tag)* \"]}\"\n"
                              "tag: \"\\\"red\\\"\" | \"\\\"green\\\"\" | \"\\\"blue\\\"\"\n"
                              "NAME: /[a-zA-Z ]{1,30}/\n"
                              "COUNT: /[1-9][0-9]{0,5}/\n";

static void run_with_grammar(const struct tokenizer *tokenizer, uint32_t n_steps)
{
    struct vocabulary *vocabulary = vocabulary_create(tokenizer, tokenizer_n_tokens(tokenizer));
    for (uint32_t n = 64; n <= 256; n *= 4) {
        struct bench_case c = {n, 16, -1, n_steps, 8, NULL, vocabulary};
        const struct grammar_request request = {.kind = GRAMMAR_EBNF,
                                                .text = {records, sizeof records - 1}};
        struct error err = {0};
        if (grammar_compile(&request, tokenizer, &c.grammar, &err) != STATUS_OK)
            die(err.message);
        run_case(tokenizer, &c);
        grammar_drop(c.grammar);
    }
    vocabulary_destroy(vocabulary);
}

int main(int argc, char **argv)
{
    uint32_t n_steps = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 2000;
    if (argc < 2 || n_steps == 0 || n_steps > 100000)
        die("usage: scheduler TOKENIZER.json [N_STEPS]");
    log_set_level(LOG_ERROR);
    struct tokenizer *tokenizer = NULL;
    struct error err = {0};
    if (tokenizer_load(argv[1], &tokenizer, &err) != STATUS_OK)
        die(err.message);
    static const struct {
        uint32_t n_sequences;
        double limit_us;
    } sizes[] = {{64, 50}, {256, 200}};
    bool kept = true;
    printf("sequences   prompt logprobs grammar    median us       p99 us\n");
    for (int i = 0; i < 2; i++) {
        uint32_t n = sizes[i].n_sequences;
        const struct bench_case cases[] = {{n, 16, -1, n_steps, 1, NULL, NULL},
                                           {n, LONG_PROMPT, -1, n_steps, 1, NULL, NULL},
                                           {n, 16, 5, n_steps, 1, NULL, NULL}};
        for (int c = 0; c < 3; c++)
            kept &= run_case(tokenizer, &cases[c]) <= sizes[i].limit_us;
    }
    printf("limits (50 us at 64, 200 us at 256): %s\n", kept ? "kept" : "broken");
    run_with_grammar(tokenizer, n_steps / 8 + 1);
    tokenizer_destroy(tokenizer);
    return kept ? 0 : 1;
}
