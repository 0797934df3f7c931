/* tests/engine/simulator_world.c - soft tokens and blocks are put into the series here by the rule
 * of engine/request.h, not as the scheduler finds them. */
#include "tests/engine/simulator_world.h"

#include "base/mem.h"

uint32_t between(struct world *w, uint32_t low, uint32_t high)
{
    return (uint32_t)test_random_in(&w->random, low, high);
}

bool one_in(struct world *w, uint32_t n)
{
    return between(w, 1, n) == 1;
}

static void make_media(struct world *w)
{
    struct step_limits *limits = &w->config.limits;
    size_t most_bytes = 0;
    for (uint32_t i = 0; i < N_LIBRARY; i++) {
        enum media_kind kind = between(w, MEDIA_IMAGE, MEDIA_AUDIO);
        uint32_t n_tokens = kind == MEDIA_AUDIO ? between(w, 1, 30) : between(w, 1, 10);
        uint32_t n_parts = kind == MEDIA_VIDEO ? between(w, 1, 4) : 1;
        w->library[i] = fake_media(kind, 1 + i * 100, n_parts, n_tokens);
        if (w->library[i]->parts[0].n_bytes > most_bytes)
            most_bytes = w->library[i]->parts[0].n_bytes;
    }
    limits->n_cache_rows = STEP_CACHE_PAGE_ROWS *
                           (one_in(w, 3) ? between(w, 1, 3) : between(w, 2, 12));
    limits->max_encode_parts = between(w, 1, 4);
    limits->max_job_patches = 9 * between(w, 10, 30);
    limits->max_job_frames = 4 * between(w, 30, 60);
    limits->media_bytes = 2 * most_bytes + between(w, 0, 65536);
    w->media_memory = mem_zeroed(limits->media_bytes, 1);
    w->config.encoders = fake_encoders(one_in(w, 2));
}

void drop_media(struct world *w)
{
    for (uint32_t i = 0; i < N_LIBRARY; i++)
        media_drop(w->library[i]);
    free(w->media_memory);
}

void make_device(struct world *w)
{
    fake_device_init(&w->device, &w->config.limits, &w->config.kv);
    w->device.media = w->media_memory;
}

void make_world(struct world *w)
{
    struct step_limits *limits = &w->config.limits;
    struct kv_params *kv = &w->config.kv;
    *kv = (struct kv_params){.page_tokens = 1U << between(w, 0, 4), .element_bytes = 2};
    kv->n_groups = between(w, 1, 3);
    uint32_t whole = (MAX_PROMPT + MAX_TOKENS) / kv->page_tokens + 1;
    for (uint32_t g = 0; g < kv->n_groups; g++) {
        kv->groups[g] = (struct kv_group_params){.n_layers = 1, .n_kv_heads = 1, .head_dim = 8};
        if (one_in(w, 2))
            kv->groups[g].window = between(w, 1, 40);
        // From hardly one sequence's to plenty.
        kv->n_pages[g] = between(w, 2, one_in(w, 3) ? whole * 8 : whole + 2);
    }
    *limits = (struct step_limits){
        .max_slots = between(w, 1, 12),
        .max_rows = one_in(w, 3) ? between(w, 1, 8) : between(w, 4, 100),
        .max_positions = MAX_PROMPT + MAX_TOKENS,
        .vocab_size = 61,
        .n_groups = kv->n_groups,
        .page_tokens = kv->page_tokens,
        .max_blob_bytes = between(w, 12, 64),
    };
    memcpy(limits->n_pages, kv->n_pages, sizeof limits->n_pages);
    w->config.max_chunk_rows = one_in(w, 2) ? 0 : between(w, 1, 30);
    w->max_in_flight = between(w, 1, 3);
    w->masks = one_in(w, 2);
    w->config.n_text_ids = limits->vocab_size - between(w, 0, 3);
    w->media = one_in(w, 2);
    if (w->media)
        make_media(w);
}

static bool in_block(const struct world *w, const struct request_part *part)
{
    return w->config.encoders.bidirectional_images && part->media->kind != MEDIA_AUDIO;
}

static uint32_t end_of(const struct request_part *part)
{
    return part->first + part->media->parts[part->part].n_tokens;
}

// The soft tokens as rows see them, in the place of placeholders; blocks as the rule says, anew.
static void make_soft_series(const struct world *w, struct client *c)
{
    for (uint32_t i = 0; i < c->config.n_parts; i++) {
        const struct request_part *part = &c->parts[i];
        uint32_t begin = i;
        uint32_t last = i;
        while (begin > 0 && in_block(w, &c->parts[begin - 1]) &&
               end_of(&c->parts[begin - 1]) == c->parts[begin].first)
            begin--;
        while (last + 1 < c->config.n_parts && in_block(w, &c->parts[last + 1]) &&
               end_of(&c->parts[last]) == c->parts[last + 1].first)
            last++;
        for (uint32_t k = 0; k < part->media->parts[part->part].n_tokens; k++) {
            uint32_t soft = fake_soft_token(part->media->parts[part->part].key[0], k);
            uint32_t first = c->parts[begin].first;
            if (in_block(w, part))
                soft = fake_block_token(soft, first, end_of(&c->parts[last]) - first);
            c->series[part->first + k] = soft;
        }
    }
}

static void make_parts(struct world *w, struct client *c)
{
    uint32_t at = 0;
    c->config.parts = c->parts;
    while (c->config.n_parts < MAX_PARTS && !one_in(w, 6)) {
        struct request_part *part = &c->parts[c->config.n_parts];
        part->media = w->library[between(w, 0, N_LIBRARY - 1)];
        part->part = between(w, 0, part->media->n_parts - 1);
        part->first = at + (one_in(w, 3) ? 0 : between(w, 0, 9));
        at = end_of(part);
        if (at >= c->config.n_prompt)
            break;
        c->config.n_parts++;
    }
    make_soft_series(w, c);
}

void make_client(struct world *w, struct client *c, uint32_t uid)
{
    c->config = (struct sequence_config){
        .prompt = c->prompt,
        .n_prompt = one_in(w, 3) ? between(w, 1, MAX_PROMPT) : between(w, 1, 12),
        .max_tokens = between(w, 1, MAX_TOKENS),
        .sampling = {.seed = uid, .n_logprobs = (int32_t)between(w, 0, 3) - 1},
        .stop_ids = c->stop_ids,
        .n_stop_ids = between(w, 0, 3),
        .priority = one_in(w, 4) ? (int32_t)between(w, 0, 4) - 2 : 0,
        .arrival = uid / 3, // three sequences of a request
        .index = uid % 3,
        .deadline_ns = one_in(w, 10) ? w->now_ns + between(w, 0, 200) : UINT64_MAX,
        .owner = c,
    };
    c->config.sampling.n_prompt_logprobs = one_in(w, 3) ? (int32_t)between(w, 0, 2) : -1;
    c->config.masked = w->masks && !one_in(w, 3);
    c->config.sampling.min_tokens = one_in(w, 3) ? between(w, 0, c->config.max_tokens) : 0;
    for (uint32_t i = 0; i < c->config.n_prompt; i++)
        c->series[i] = c->prompt[i] = between(w, 0, w->config.limits.vocab_size - 1);
    for (uint32_t i = 0; i < c->config.n_stop_ids; i++)
        c->stop_ids[i] = between(w, 0, w->config.limits.vocab_size - 1);
    if (w->media)
        make_parts(w, c);
}

static bool is_stop_id(const struct client *c, uint32_t token)
{
    for (uint32_t i = 0; i < c->config.n_stop_ids; i++)
        if (c->stop_ids[i] == token)
            return true;
    return false;
}

// A number that belongs to the client's token i.
static uint32_t number_of(const struct client *c, uint32_t i, uint32_t salt)
{
    uint64_t random = c->config.sampling.seed * 1000003 + i * 1009 + salt;
    return (uint32_t)(test_random(&random) >> 40);
}

uint32_t forced_token(const struct world *w, const struct client *c, uint32_t i)
{
    uint32_t token = number_of(c, i, 1) % w->config.n_text_ids;
    for (uint32_t n = 0; is_stop_id(c, token) && n < 4; n++)
        token = (token + 1) % w->config.n_text_ids;
    return token;
}

static void make_forced_runs(struct client *c)
{
    uint32_t i = 0;
    while (i < c->config.max_tokens) {
        uint32_t n = number_of(c, i, 2) % 4 == 0 ? number_of(c, i, 3) % 8 + 1 : 0;
        if (n == 0)
            i++;
        for (; n > 0 && i < c->config.max_tokens; n--)
            c->forced[i++] = n;
    }
}

void mask_of(const struct world *w, const struct client *c, uint32_t i, struct sequence_mask *out,
             uint32_t *bits)
{
    out->bits = bits;
    if (c->forced[i] > 0) {
        out->kind = STEP_MASK_ONE;
        out->ids[0] = forced_token(w, c, i);
        return;
    }
    static const enum step_mask_kind kinds[] = {STEP_MASK_ALL, STEP_MASK_NOT, STEP_MASK_BITS};
    out->kind = kinds[number_of(c, i, 4) % 3];
    out->n_ids = number_of(c, i, 5) % (STEP_MASK_MAX_IDS + 1);
    for (uint32_t k = 0; out->kind == STEP_MASK_NOT && k < out->n_ids; k++)
        out->ids[k] = number_of(c, i, 6 + k) % w->config.limits.vocab_size;
    uint32_t n_words = step_mask_bits_words(w->config.limits.vocab_size);
    for (uint32_t k = 0; out->kind == STEP_MASK_BITS && k < n_words; k++)
        bits[k] = (number_of(c, i, 30 + k) & number_of(c, i, 40 + k)) | 1;
}

static uint32_t masked_token(struct world *w, struct client *c,
                             const struct sampling_params *sampling, uint32_t i)
{
    uint32_t bits[8];
    struct sequence_mask mask = {.kind = STEP_MASK_ALL};
    if (c->config.masked)
        mask_of(w, c, i, &mask, bits);
    struct fake_mask fake = {.kind = mask.kind, .n_ids = w->config.n_text_ids, .words = mask.ids};
    fake.n_words = mask.kind == STEP_MASK_ONE ? 1 : mask.n_ids;
    if (mask.kind == STEP_MASK_BITS)
        fake.words = bits;
    if (mask.kind == STEP_MASK_ALL)
        fake.n_words = 0;
    return fake_token(&w->config.kv, w->config.limits.vocab_size, sampling, c->stop_ids,
                      c->config.n_stop_ids, c->config.masked ? &fake : NULL, c->series,
                      c->config.n_prompt + i);
}

void make_series(struct world *w, struct client *c)
{
    struct sampling_params sampling = c->config.sampling;
    sampling.n_prompt_tokens = c->config.n_prompt;
    make_forced_runs(c);
    for (uint32_t i = 0; i < c->config.max_tokens; i++) {
        uint32_t length = c->config.n_prompt + i;
        uint32_t token = masked_token(w, c, &sampling, i);
        c->series[length] = token;
        c->n_to_come = i + 1;
        if (is_stop_id(c, token))
            return;
    }
}
