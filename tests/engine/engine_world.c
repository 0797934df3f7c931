/* tests/engine/engine_world.c - the tokenizer's letters make most of the text readable in a
 * failure; bytes make incomplete characters. */
#include "tests/engine/engine_world.h"

#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "tests/text/tokenizers.h"

struct kv_params kv;
struct step_limits limits;
struct fake_backend backend;
struct engine *engine;
struct tokenizer *letters_tokenizer;
struct vocabulary *letters_vocabulary;
static const char specials[] = "{\"id\":282,\"content\":\"<|channel>\",\"special\":true},"
                               "{\"id\":283,\"content\":\"<channel|>\",\"special\":true},"
                               "{\"id\":284,\"content\":\"<|tool_call>\",\"special\":true},"
                               "{\"id\":285,\"content\":\"<tool_call|>\",\"special\":true},"
                               "{\"id\":286,\"content\":\"<|think|>\",\"special\":true},"
                               "{\"id\":287,\"content\":\"<turn|>\",\"special\":true}";
static const uint32_t prompt[] = {260, 261, 262, 263, 264, 265, 266, 267, 268, 269};

void open_engine(uint32_t n_pages, uint32_t max_queued)
{
    log_set_level(LOG_ERROR);
    kv = (struct kv_params){.page_tokens = 8,
                            .element_bytes = 2,
                            .n_groups = 2,
                            .groups = {{.window = 20}, {.window = 0}},
                            .n_pages = {n_pages, n_pages}};
    limits = (struct step_limits){.max_slots = 8,
                                  .max_rows = 32,
                                  .max_positions = MAX_POSITIONS,
                                  .vocab_size = VOCAB,
                                  .n_groups = 2,
                                  .page_tokens = 8,
                                  .n_pages = {n_pages, n_pages},
                                  .max_blob_bytes = 256,
                                  .n_cache_rows = 128,
                                  .max_encode_parts = 4,
                                  .max_job_patches = 40 * MEDIA_TOKEN_PATCHES,
                                  .max_job_frames = 160,
                                  .media_bytes = 2 * 40 * MEDIA_TOKEN_PATCHES * MEDIA_PATCH_BYTES};
    fake_backend_init(&backend, &limits, &kv);
    const char *letters[26];
    static char texts[26][2];
    for (int i = 0; i < 26; i++) {
        texts[i][0] = (char)('a' + i);
        letters[i] = texts[i];
    }
    char *json = write_tokenizer(letters, 26, "", specials);
    ASSERT_OK(tokenizer_parse(json, strlen(json), "letters", &letters_tokenizer, NULL));
    free(json);
    ASSERT_EQ(tokenizer_n_tokens(letters_tokenizer), N_TEXT_IDS);
    letters_vocabulary = vocabulary_create(letters_tokenizer, VOCAB);
    struct engine_config config = {.limits = limits,
                                   .kv = kv,
                                   .backend = fake_backend_for_engine(&backend),
                                   .tokenizer = letters_tokenizer,
                                   .vocabulary = letters_vocabulary,
                                   .max_queued = max_queued,
                                   .encoders = fake_encoders(false),
                                   .max_step_stretch = 3};
    struct error err = {0};
    ASSERT_OK_ERR(engine_create(&config, &engine, &err), err);
}

void check_pages_are_whole(void)
{
    struct engine_stats stats;
    for (int i = 0; i < 2000; i++) { // the figures are published before the thread waits again
        engine_get_stats(engine, &stats);
        if (stats.n_running == 0 && stats.n_waiting == 0)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    ASSERT_EQ(stats.n_running, 0);
    for (uint32_t g = 0; g < 2; g++)
        ASSERT_EQ(stats.n_free_pages[g], stats.n_pages[g]);
}

void close_engine(void)
{
    engine_destroy(engine);
    fake_backend_finish(&backend);
    vocabulary_destroy(letters_vocabulary);
    tokenizer_destroy(letters_tokenizer);
}

struct request_log *new_log(void)
{
    struct request_log *log = mem_zeroed(1, sizeof *log);
    pthread_mutex_init(&log->lock, NULL);
    pthread_cond_init(&log->changed, NULL);
    return log;
}

static void note_delta(struct request_log *log, const struct engine_event *event)
{
    struct choice_log *choice = &log->choices[event->index];
    log->n_deltas++;
    log->wrong_order |= choice->n_finishes > 0;
    if (event->n_token_ids)
        memcpy(choice->ids + choice->n_ids, event->token_ids,
               event->n_token_ids * sizeof *event->token_ids);
    choice->n_ids += (uint32_t)event->n_token_ids;
    choice->n_logprobs += (uint32_t)event->n_logprobs;
    for (size_t i = 0; i < event->n_logprobs; i++) {
        const struct token_logprobs *token = &event->logprobs[i];
        log->wrong_order |= token->entries[0].token_id != event->token_ids[i];
        log->n_forced_logprobs += token->n == 1 && token->entries[0].logprob == 0.0F;
    }
    if (event->kind == TEXT_REASONING)
        log->n_reasoning_ids += (uint32_t)event->n_token_ids;
    if (event->text_length)
        memcpy(choice->text + choice->text_length, event->text, event->text_length);
    choice->text_length += event->text_length;
}

void on_event(void *context, const struct engine_event *event)
{
    struct request_log *log = context;
    pthread_mutex_lock(&log->lock);
    log->n_after_the_end += log->over;
    switch (event->type) {
    case ENGINE_EVENT_PROMPT:
        log->wrong_order |= log->n_deltas > 0 || event->index != 0;
        log->n_prompts++;
        log->n_prompt_ids = (uint32_t)event->n_token_ids;
        log->n_prompt_logprobs = (uint32_t)event->n_logprobs;
        for (size_t i = 0; i < event->n_logprobs; i++)
            log->wrong_order |= event->logprobs[i].entries[0].token_id != prompt[i + 1];
        break;
    case ENGINE_EVENT_DELTA:
        note_delta(log, event);
        break;
    case ENGINE_EVENT_FINISH:
        log->choices[event->index].n_finishes++;
        log->choices[event->index].finish = *event;
        log->over = event->last;
        break;
    case ENGINE_EVENT_FAILED:
        log->over = true;
        log->failed = true;
        log->error = *event->error;
        break;
    }
    pthread_cond_broadcast(&log->changed);
    pthread_mutex_unlock(&log->lock);
}

void wait_until_over(struct request_log *log)
{
    pthread_mutex_lock(&log->lock);
    while (!log->over)
        pthread_cond_wait(&log->changed, &log->lock);
    pthread_mutex_unlock(&log->lock);
    ASSERT_EQ(log->n_after_the_end, 0);
    ASSERT(!log->wrong_order);
}

void wait_for_ids(struct request_log *log, uint32_t n)
{
    pthread_mutex_lock(&log->lock);
    while (log->choices[0].n_ids < n && !log->over)
        pthread_cond_wait(&log->changed, &log->lock);
    pthread_mutex_unlock(&log->lock);
}

struct request request_of(const char *id, uint64_t seed, uint32_t max_tokens)
{
    return (struct request){
        .id = id,
        .prompt = prompt,
        .n_prompt = N_PROMPT,
        .sampling = {.seed = seed, .n_logprobs = -1, .n_prompt_logprobs = -1},
        .n = 1,
        .max_tokens = max_tokens,
        .want_token_ids = true,
    };
}

struct request_log *submit(const struct request *request)
{
    struct request_log *log = new_log();
    struct error err = {0};
    ASSERT_OK_ERR(engine_submit(engine, request, on_event, log, &err), err);
    return log;
}

uint32_t expected(const struct request *request, uint32_t choice, uint32_t i)
{
    uint32_t tokens[MAX_POSITIONS];
    uint32_t n_prompt = (uint32_t)request->n_prompt;
    struct sampling_params sampling = request->sampling;
    sampling.seed += choice;
    sampling.n_prompt_tokens = n_prompt;
    memcpy(tokens, request->prompt, n_prompt * sizeof *tokens);
    for (size_t p = 0; p < request->n_parts; p++) {
        const struct request_part *part = &request->parts[p];
        const struct media_part *data = &part->media->parts[part->part];
        for (uint32_t k = 0; k < data->n_tokens; k++)
            tokens[part->first + k] = fake_soft_token(data->key[0], k);
    }
    for (uint32_t k = 0; k <= i; k++)
        tokens[n_prompt + k] = fake_token(&kv, VOCAB, &sampling, request->stop_ids,
                                          (uint32_t)request->n_stop_ids, NULL, tokens,
                                          n_prompt + k);
    return tokens[n_prompt + i];
}

void check_series(const struct request *request, const struct request_log *log, uint32_t choice,
                  uint32_t n)
{
    ASSERT_EQ(log->choices[choice].n_ids, n);
    for (uint32_t i = 0; i < n; i++)
        ASSERT_EQ(log->choices[choice].ids[i], expected(request, choice, i));
}
