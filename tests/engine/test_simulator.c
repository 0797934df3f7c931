/* tests/engine/test_simulator.c - the scheduler against random worlds.
 *
 * Each seed is a world: limits, pools, chunk sizes, windows and a number of steps in flight, then
 * random arrivals, priorities, cancels, time limits and lost workers. The fake device checks every
 * cell that every row reads (fake_device.h). Here: every sequence ends once, with exactly the
 * tokens of its series, each prompt logprob comes once and in order, invariants hold after every
 * event, and at the end nothing is left.
 * Half of the worlds mask: the series is made with the mask of each token, one token at a time, and
 * runs of forced tokens come out the same. Masks are written at random moments after they are due.
 * Half of them have media: parts of a small library anywhere in prompts, an encoder cache from
 * hardly one part's to plenty, in some worlds blocks of images, and steps with random budgets.
 * GEMMAD_SIMULATOR_SEEDS: how many worlds (default 2000); GEMMAD_SIMULATOR_FIRST: the first one. */
#include "tests/engine/simulator_world.h"

#include "base/mem.h"

static void arrive(struct world *w)
{
    uint32_t uid = w->n_clients++;
    struct client *c = &w->clients[uid];
    make_client(w, c, uid);
    struct error err = {0};
    enum status st = scheduler_can_run(&w->config, &c->config, &err);
    if (st != STATUS_OK) {
        bool pages = strstr(err.message, "pages") || strstr(err.message, "rows of the encoder");
        bool block = w->config.encoders.bidirectional_images && strstr(err.message, "block");
        REQUIRE(w,
                (st == STATUS_RESOURCE_EXHAUSTED && pages) ||
                    (st == STATUS_INVALID_ARGUMENT && block),
                "refused with %s", err.message);
        c->n_ends++;
        return;
    }
    make_series(w, c);
    c->sequence = scheduler_add(w->scheduler, &c->config);
    c->arrived = true;
}

static void end_client(struct world *w, struct client *c)
{
    scheduler_remove(w->scheduler, c->sequence);
    c->sequence = NULL;
    c->n_ends++;
}

static void check_prompt_logprobs(struct world *w, struct client *c,
                                  const struct sequence_output *output)
{
    uint32_t each = output->n_prompt_top + 1;
    REQUIRE(w, output->first_prompt_token == c->n_prompt_logprobs + 1,
            "prompt logprobs of token %u after those of %u", output->first_prompt_token,
            c->n_prompt_logprobs);
    for (uint32_t i = 0; i < output->n_prompt_rows; i++) {
        const struct token_logprob *entry = &output->prompt_logprobs[i * each];
        uint32_t position = output->first_prompt_token + i;
        REQUIRE(w,
                entry->token_id == c->prompt[position] &&
                    entry->logprob == fake_logprob(position, 0),
                "the prompt logprob of token %u is of another", position);
    }
    c->n_prompt_logprobs += output->n_prompt_rows;
}

static void check_forced(struct world *w, struct client *c, const struct sequence_output *output)
{
    for (uint32_t i = 0; i < output->n_forced; i++) {
        uint32_t position = c->config.n_prompt + c->n_came++;
        REQUIRE(w, output->forced[i] == c->series[position], "forced token %u is %u, want %u",
                c->n_came, output->forced[i], c->series[position]);
        w->n_forced++;
    }
}

static void on_output(void *context, void *owner, const struct sequence_output *output)
{
    struct world *w = context;
    struct client *c = owner;
    REQUIRE(w, c->sequence && !output->bad_logits, "output for a sequence that has ended");
    if (output->n_prompt_rows > 0)
        check_prompt_logprobs(w, c, output);
    if (!output->has_token)
        return;
    uint32_t position = c->config.n_prompt + c->n_came++;
    REQUIRE(w, output->token == c->series[position], "token %u of uid %u is %u, want %u", c->n_came,
            (uint32_t)c->config.sampling.seed, output->token, c->series[position]);
    REQUIRE(w, output->n_generated == c->n_came, "n_generated");
    REQUIRE(w, (int32_t)output->n_logprobs == c->config.sampling.n_logprobs + 1, "n_logprobs");
    for (uint32_t i = 0; i < output->n_logprobs; i++)
        REQUIRE(w, output->logprobs[i].logprob == fake_logprob(position, i), "logprob %u", i);
    check_forced(w, c, output);
    if (c->n_came < c->n_to_come)
        return;
    uint32_t wanted = c->config.sampling.n_prompt_logprobs >= 0 ? c->config.n_prompt - 1 : 0;
    REQUIRE(w, c->n_prompt_logprobs == wanted, "%u prompt logprobs, want %u", c->n_prompt_logprobs,
            wanted);
    end_client(w, c);
}

static struct step open_message(struct world *w, const struct message *m)
{
    struct step step = {0};
    struct error err = {0};
    enum status st = step_open(m->bytes, m->n, &w->config.limits, &step, &err);
    REQUIRE(w, st == STATUS_OK, "%s", err.message);
    return step;
}

// The contract of engine/step.h: a slot starts again only when no step in flight reads it.
static void check_starts(struct world *w, const struct step *step)
{
    for (uint32_t i = 0; i < w->n_in_flight; i++) {
        struct step other = open_message(w, &w->messages[(w->first + i) % MAX_MESSAGES]);
        for (uint32_t a = 0; a < step->header->n_starts; a++)
            for (uint32_t b = 0; b < other.header->n_seqs; b++)
                REQUIRE(w, step->starts[a].slot != other.seqs[b].slot,
                        "slot %u starts while a step in flight reads it", step->starts[a].slot);
    }
}

static void check_chunks(struct world *w, const struct step *step)
{
    uint32_t most = w->config.max_chunk_rows ? w->config.max_chunk_rows : UINT32_MAX;
    if (w->config.encoders.bidirectional_images)
        most = UINT32_MAX;
    for (uint32_t i = 0; i < step->header->n_seqs; i++)
        REQUIRE(w, step->seqs[i].n_rows <= most, "a chunk of %u rows", step->seqs[i].n_rows);
}

static struct scheduler_budget random_budget(struct world *w)
{
    return (struct scheduler_budget){
        .shared_ns = one_in(w, 2) ? UINT64_MAX : between(w, 0, 60) * between(w, 0, 1),
        .alone_ns = one_in(w, 3) ? UINT64_MAX : between(w, 0, 40),
        .row_ns = between(w, 0, 3),
        .unit_ns = {between(w, 0, 9), between(w, 0, 9)},
    };
}

static bool prepare(struct world *w)
{
    if (w->n_in_flight == w->max_in_flight)
        return false;
    struct message *m = &w->messages[(w->first + w->n_in_flight) % MAX_MESSAGES];
    struct scheduler_budget budget = random_budget(w);
    m->n = scheduler_prepare(w->scheduler, &budget, w->media_memory, m->bytes);
    if (m->n == 0)
        return false;
    struct step step = open_message(w, m);
    m->masks_n = 0;
    m->masked = false;
    for (uint32_t i = 0; i < step.header->n_seqs; i++)
        m->masked |= (step.seqs[i].flags & STEP_MASKED) != 0;
    check_starts(w, &step);
    check_chunks(w, &step);
    w->n_in_flight++;
    w->n_steps++;
    return true;
}

static void on_mask(void *context, void *owner, struct sequence_mask *out)
{
    struct world *w = context;
    struct client *c = owner;
    REQUIRE(w, c->sequence && c->config.masked, "a mask of a sequence that has ended, or has none");
    REQUIRE(w, c->n_came < c->n_to_come, "a mask of a token that does not come");
    if (one_in(w, 200)) {
        struct client *other = &w->clients[between(w, 0, w->n_clients - 1)];
        if (other->sequence)
            end_client(w, other);
        if (!c->sequence)
            return;
    }
    if (one_in(w, 6)) {
        out->kind = STEP_MASK_LATER;
        return;
    }
    static uint32_t bits[8];
    static uint32_t forced[MAX_TOKENS];
    mask_of(w, c, c->n_came, out, bits);
    out->forced = forced;
    // As many as there are, or fewer.
    uint32_t n = c->forced[c->n_came];
    while (n > 0 && (out->n_forced + 1 < n && c->n_came + out->n_forced + 1 < c->n_to_come)) {
        forced[out->n_forced] = forced_token(w, c, c->n_came + out->n_forced + 1);
        out->n_forced++;
    }
    if (one_in(w, 4))
        out->n_forced = between(w, 0, out->n_forced);
}

static bool write_masks(struct world *w)
{
    if (!scheduler_masks_are_due(w->scheduler))
        return false;
    REQUIRE(w, w->n_in_flight > 0, "masks of no step are due");
    struct message *m = &w->messages[(w->first + w->n_in_flight - 1) % MAX_MESSAGES];
    REQUIRE(w, m->masked && m->masks_n == 0, "masks are due twice, or of a step without");
    m->masks_n = scheduler_write_masks(w->scheduler, m->masks, on_mask, w);
    w->n_masks++;
    REQUIRE(w, !scheduler_masks_are_due(w->scheduler), "masks stay due");
    return true;
}

static bool complete(struct world *w)
{
    if (w->n_in_flight == 0)
        return false;
    const struct message *m = &w->messages[w->first];
    if (m->masked && m->masks_n == 0) // the worker waits
        return false;
    w->first = (w->first + 1) % MAX_MESSAGES;
    w->n_in_flight--;
    size_t n = fake_device_run(&w->device, m->bytes, m->n, m->masks_n > 0 ? m->masks : NULL,
                               m->masks_n, w->result);
    REQUIRE(w, n > 0, "%s", w->device.failure);
    struct step_result result;
    struct error err = {0};
    enum status st = step_result_open(w->result, n, &w->config.limits, &result, &err);
    if (st == STATUS_OK)
        st = scheduler_complete(w->scheduler, &result, on_output, w, &err);
    REQUIRE(w, st == STATUS_OK, "%s", err.message);
    return true;
}

static void lose_workers(struct world *w)
{
    scheduler_reset(w->scheduler);
    w->n_in_flight = 0;
    fake_device_finish(&w->device);
    make_device(w);
    if (w->media) // a new file
        memset(w->media_memory, 0, w->config.limits.media_bytes);
}

static void check(struct world *w)
{
    REQUIRE(w, scheduler_verify(w->scheduler), "an invariant is broken");
}

static void random_event(struct world *w)
{
    uint32_t what = between(w, 0, 99);
    w->now_ns += between(w, 0, 3);
    struct client *expired = scheduler_expired(w->scheduler, w->now_ns);
    if (expired) {
        REQUIRE(w, expired->config.deadline_ns <= w->now_ns, "expired too early");
        end_client(w, expired);
    }
    if (what < 15 && w->n_clients < MAX_SEQUENCES) {
        for (uint32_t n = one_in(w, 4) ? 6 : 1; n > 0 && w->n_clients < MAX_SEQUENCES; n--)
            arrive(w);
    } else if (what < 18 && w->n_clients > 0) {
        struct client *c = &w->clients[between(w, 0, w->n_clients - 1)];
        if (c->sequence)
            end_client(w, c);
    } else if (what == 18 && one_in(w, 4)) {
        lose_workers(w);
    } else if (what < 50) {
        prepare(w);
    } else if (what < 65) {
        write_masks(w);
    } else {
        complete(w);
    }
}

static void run_to_the_end(struct world *w)
{
    uint64_t limit = w->n_steps + 20000;
    for (;;) {
        bool prepared = prepare(w);
        check(w);
        bool written = write_masks(w);
        bool completed = complete(w);
        check(w);
        if (!prepared && !completed && !written)
            return;
        REQUIRE(w, w->n_steps < limit, "no end after %" PRIu64 " steps", w->n_steps);
    }
}

static void check_nothing_is_left(struct world *w)
{
    struct scheduler_counts counts;
    scheduler_get_counts(w->scheduler, &counts);
    for (uint32_t i = 0; i < w->n_clients; i++)
        REQUIRE(w, w->clients[i].n_ends == 1, "uid %u ended %u times", i, w->clients[i].n_ends);
    REQUIRE(w, counts.n_waiting == 0 && counts.n_running == 0 && counts.n_steps_in_flight == 0,
            "%u wait, %u run", counts.n_waiting, counts.n_running);
    for (uint32_t g = 0; g < w->config.kv.n_groups; g++)
        REQUIRE(w, counts.n_free_pages[g] == w->config.kv.n_pages[g] - 1, "group %u lost pages", g);
    REQUIRE(w, counts.cache.n_held_rows == 0, "%u rows of the cache are held",
            counts.cache.n_held_rows);
    w->n_preemptions = counts.n_preemptions;
    w->n_encoded = counts.n_encoded_parts;
    w->n_cache_hits = counts.cache.n_hits;
}

static void run_world(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    w->seed = seed;
    w->random = seed;
    make_world(w);
    ASSERT_OK(scheduler_create(&w->config, &w->scheduler, NULL));
    make_device(w);
    for (int i = 0; i < MAX_MESSAGES; i++) {
        w->messages[i].bytes = mem_zeroed(step_max_bytes(&w->config.limits), 1);
        w->messages[i].masks = mem_zeroed(step_max_bytes(&w->config.limits), 1);
    }
    w->result = mem_zeroed(step_result_max_bytes(&w->config.limits), 1);
    uint32_t n_events = between(w, 20, 600);
    for (uint32_t i = 0; i < n_events; i++) {
        random_event(w);
        check(w);
    }
    run_to_the_end(w);
    check_nothing_is_left(w);
    scheduler_destroy(w->scheduler);
    fake_device_finish(&w->device);
    for (int i = 0; i < MAX_MESSAGES; i++) {
        free(w->messages[i].bytes);
        free(w->messages[i].masks);
    }
    free(w->result);
    drop_media(w);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *value = getenv(name);
    return value ? strtoull(value, NULL, 10) : otherwise;
}

TEST(every_random_world_ends_with_the_right_tokens_and_all_pages)
{
    static struct world world;
    uint64_t first = from_environment("GEMMAD_SIMULATOR_FIRST", 1);
    uint64_t n = from_environment("GEMMAD_SIMULATOR_SEEDS", 2000);
    uint64_t n_steps = 0;
    uint64_t n_preemptions = 0;
    uint64_t n_masks = 0;
    uint64_t n_forced = 0;
    uint64_t n_encoded = 0;
    uint64_t n_cache_hits = 0;
    for (uint64_t seed = first; seed < first + n; seed++) {
        run_world(&world, seed);
        n_steps += world.n_steps;
        n_preemptions += world.n_preemptions;
        n_masks += world.n_masks;
        n_forced += world.n_forced;
        n_encoded += world.n_encoded;
        n_cache_hits += world.n_cache_hits;
    }
    printf("%" PRIu64 " worlds, %" PRIu64 " steps, %" PRIu64 " with masks, %" PRIu64
           " preemptions, %" PRIu64 " forced tokens, %" PRIu64 " parts encoded, %" PRIu64
           " found encoded\n",
           n, n_steps, n_masks, n_preemptions, n_forced, n_encoded, n_cache_hits);
    ASSERT(n < 100 || n_preemptions > n / 10); // else the pools were too large to test anything
    ASSERT(n < 100 || n_forced > n);
    ASSERT(n < 100 || (n_encoded > n && n_cache_hits > n));
}

TEST(a_world_whose_scheduler_is_destroyed_in_the_middle_leaks_nothing)
{
    static struct world world;
    const struct scheduler_budget no_limit = {.shared_ns = UINT64_MAX, .alone_ns = UINT64_MAX};
    for (uint64_t seed = 1; seed < 50; seed++) {
        struct world *w = &world;
        memset(w, 0, sizeof *w);
        w->seed = seed;
        w->random = seed;
        make_world(w);
        ASSERT_OK(scheduler_create(&w->config, &w->scheduler, NULL));
        void *message = mem_zeroed(step_max_bytes(&w->config.limits), 1);
        for (int i = 0; i < 10; i++)
            arrive(w);
        for (int i = 0; i < 3; i++)
            if (scheduler_prepare(w->scheduler, &no_limit, w->media_memory, message) > 0 &&
                w->clients[0].sequence)
                end_client(w, &w->clients[0]);
        scheduler_destroy(w->scheduler); // with leak detection under the address sanitizer
        drop_media(w);
        free(message);
    }
}
