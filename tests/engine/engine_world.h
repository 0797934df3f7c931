/* tests/engine/engine_world.h - an engine over the fake backend, and logs of what its requests got.
 *
 * One engine at a time: open_engine to close_engine. Events are noted on the engine thread; the
 * wait functions check their order. */
#ifndef GEMMAD_TESTS_ENGINE_ENGINE_WORLD_H
#define GEMMAD_TESTS_ENGINE_ENGINE_WORLD_H

#include "engine/engine.h"
#include "tests/engine/fake_backend.h"
#include "tests/test.h"

/* 256 bytes, "a".."z", special tokens, and ids of the head that the tokenizer lacks. */
#define VOCAB 290
#define N_TEXT_IDS 288
enum { CHANNEL = 282, CHANNEL_END, TOOL_CALL, TOOL_CALL_END, THINK, TURN_END };
#define MAX_TOKENS 400
#define MAX_POSITIONS 500
#define N_PROMPT 10

extern struct kv_params kv;
extern struct step_limits limits;
extern struct fake_backend backend;
extern struct engine *engine;
extern struct tokenizer *letters_tokenizer;
extern struct vocabulary *letters_vocabulary;

/* 8 slots, 32 rows, pages of 8 tokens, a sliding group of 20 and a global one; an encoder cache of
 * 128 rows. */
void open_engine(uint32_t n_pages, uint32_t max_queued);
void close_engine(void);
void check_pages_are_whole(void);

/* What one request's events amount to. */
struct choice_log {
    uint32_t ids[MAX_TOKENS];
    uint32_t n_ids;
    uint32_t n_logprobs;
    char text[4 * MAX_TOKENS];
    size_t text_length;
    uint32_t n_finishes;
    struct engine_event finish;
};

struct request_log {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct choice_log choices[8];
    uint32_t n_prompts, n_prompt_ids, n_prompt_logprobs;
    uint32_t n_deltas;
    uint32_t n_reasoning_ids; /* of all choices, with delimiters */
    uint32_t n_forced_logprobs;
    uint32_t n_after_the_end;
    bool wrong_order, over, failed;
    struct error error;
};

struct request_log *new_log(void); /* free() it */
void on_event(void *context, const struct engine_event *event);
void wait_until_over(struct request_log *log);
void wait_for_ids(struct request_log *log, uint32_t n); /* of choice 0, or the end */

/* Greedy token ids of a prompt of N_PROMPT tokens. */
struct request request_of(const char *id, uint64_t seed, uint32_t max_tokens);
struct request_log *submit(const struct request *request);
/* The token at place i that the device gives for the request's choice. */
uint32_t expected(const struct request *request, uint32_t choice, uint32_t i);
void check_series(const struct request *request, const struct request_log *log, uint32_t choice,
                  uint32_t n);

#endif
