/* tests/engine/simulator_world.h - the random worlds of test_simulator.c: limits, media, clients
 * and what must come for each, all from the world's seed. */
#ifndef GEMMAD_TESTS_ENGINE_SIMULATOR_WORLD_H
#define GEMMAD_TESTS_ENGINE_SIMULATOR_WORLD_H

#include "tests/test.h"

#include "engine/scheduler.h"
#include "tests/engine/fake_device.h"

#define MAX_SEQUENCES 48
#define MAX_TOKENS 24
#define MAX_PROMPT 72
#define MAX_PARTS 12
#define N_LIBRARY 6
#define MAX_MESSAGES SCHEDULER_MAX_STEPS_IN_FLIGHT

struct client {
    struct sequence *sequence; /* NULL before it arrives and after it ended */
    struct sequence_config config;
    uint32_t prompt[MAX_PROMPT];
    struct request_part parts[MAX_PARTS];
    uint32_t stop_ids[3];
    uint32_t series[MAX_PROMPT + MAX_TOKENS]; /* the prompt and what must follow */
    uint32_t forced[MAX_TOKENS]; /* by token: how many are forced from here on; 0: another mask */
    uint32_t n_to_come;          /* tokens until it stops by itself */
    uint32_t n_came;
    uint32_t n_prompt_logprobs;
    bool arrived;
    uint32_t n_ends;
};

struct message {
    void *bytes;
    size_t n;
    void *masks;
    size_t masks_n; /* 0: not written yet, or none */
    bool masked;
};

struct world {
    uint64_t seed, random;
    struct scheduler_config config;
    struct scheduler *scheduler;
    struct fake_device device;
    struct client clients[MAX_SEQUENCES];
    uint32_t n_clients;
    uint64_t now_ns;
    uint32_t max_in_flight;
    struct message messages[MAX_MESSAGES]; /* a queue of n_in_flight from first on */
    uint32_t first, n_in_flight;
    void *result;
    uint64_t n_steps, n_preemptions, n_masks, n_forced;
    uint64_t n_encoded, n_cache_hits;
    bool masks;
    bool media;
    unsigned char *media_memory;
    struct media *library[N_LIBRARY];
};

#define REQUIRE(w, condition, ...)                            \
    do {                                                      \
        if (!(condition)) {                                   \
            fprintf(stderr, "seed %" PRIu64 ": ", (w)->seed); \
            test_fail(__FILE__, __LINE__, __VA_ARGS__);       \
        }                                                     \
    } while (0)

uint32_t between(struct world *world, uint32_t low, uint32_t high);
bool one_in(struct world *world, uint32_t n);

/* Limits and media, from the world's random numbers. */
void make_world(struct world *world);
void drop_media(struct world *world);
void make_device(struct world *world);
void make_client(struct world *world, struct client *client, uint32_t uid);
/* What must come, from the tokens alone, one by one. */
void make_series(struct world *world, struct client *client);
/* What the client's token i may be; the first of the tokens that are forced from there on. */
void mask_of(const struct world *world, const struct client *client, uint32_t i,
             struct sequence_mask *out, uint32_t *bits);
uint32_t forced_token(const struct world *world, const struct client *client, uint32_t i);

#endif
