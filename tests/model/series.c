/* tests/model/series.c - the sequence stands in slot 0. */
#include "tests/model/series.h"

#include "model/encoder.h"
#include "tests/model/feed.h"
#include "tests/test.h"

enum { MAX_ROWS = 320, MAX_LOGITS_ROWS = 16 };

static struct rank_group_config config_of(const char *folder, uint32_t world_size,
                                          enum compute compute, uint32_t max_positions,
                                          uint32_t page_tokens)
{
    return (struct rank_group_config){
        .folder = folder,
        .world_size = world_size,
        .compute = compute,
        .n_threads = world_size == 1 ? 2 : 1,
        .max_rows = MAX_ROWS,
        .max_slots = 2,
        .max_positions = max_positions,
        .page_tokens = page_tokens,
        .n_pages = max_positions / page_tokens + 2,
        .max_logits_rows = MAX_LOGITS_ROWS,
    };
}

struct rank_group *series_group(const char *folder, uint32_t world_size, enum compute compute,
                                enum weights_format weights, uint32_t max_positions,
                                uint32_t page_tokens,
                                void (*observe)(void *, uint32_t, const float *, uint32_t),
                                void *observe_context)
{
    struct rank_group_config config = config_of(folder, world_size, compute, max_positions,
                                                page_tokens);
    config.weights = weights;
    config.observe = observe;
    config.observe_context = observe_context;
    return rank_group_create(&config);
}

struct rank_group *series_media_group(const char *folder, uint32_t world_size, enum compute compute,
                                      uint32_t max_positions, uint32_t page_tokens)
{
    struct rank_group_config config = config_of(folder, world_size, compute, max_positions,
                                                page_tokens);
    config.media = true;
    return rank_group_create(&config);
}

static void take_prompt_logprobs(const struct step_result *result, struct series_result *out)
{
    const struct step_result_seq *seq = &result->seqs[0];
    const struct token_logprob *at = result->logprobs + seq->logprobs_offset;
    if (seq->flags & STEP_RESULT_TOKEN && seq->n_top)
        at += 1 + seq->n_top;
    for (uint32_t i = 0; i < seq->n_prompt_rows; i++, at += 1 + seq->n_prompt_top) {
        out->prompt_logprobs[out->n_prompt_logprobs] = at[0].logprob;
        out->prompt_best[out->n_prompt_logprobs++] = at[1].token_id;
    }
}

static void take_token(const struct step_result *result, const struct series_options *options,
                       uint32_t t, struct series_result *out)
{
    const struct step_result_seq *seq = &result->seqs[0];
    ASSERT_EQ(seq->flags, STEP_RESULT_TOKEN);
    out->tokens[t] = seq->token;
    if (options->n_logprobs)
        memcpy(out->logprobs[t], result->logprobs + seq->logprobs_offset,
               (1 + seq->n_top) * sizeof(struct token_logprob));
}

static uint32_t cache_row(const struct series_options *options, uint32_t part)
{
    uint32_t row = 0;
    for (uint32_t i = 0; i < part; i++)
        row += (options->parts[i].n_tokens + STEP_CACHE_PAGE_ROWS - 1) / STEP_CACHE_PAGE_ROWS *
               STEP_CACHE_PAGE_ROWS;
    return row;
}

// A job of neighbouring parts of one kind, in steps of max_units.
static void run_job(struct rank_group *group, struct feed *feed,
                    const struct series_options *options, uint32_t first, uint32_t n)
{
    struct step_encode_part parts[SERIES_MAX_PARTS];
    struct encoder_part encoder_parts[SERIES_MAX_PARTS];
    struct step_cache_rows stores[SERIES_MAX_PARTS * 20];
    uint32_t n_stores = 0, at = 0;
    uint64_t offset = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct series_part *from = &options->parts[first + i];
        parts[i] = from->part;
        parts[i].data_offset = offset;
        ASSERT(offset + from->part.data_bytes <= RANK_GROUP_MEDIA_BYTES);
        memcpy(rank_group_media(group) + offset, from->data, from->part.data_bytes);
        offset += (from->part.data_bytes + 63) & ~UINT64_C(63);
        encoder_parts[i] = (struct encoder_part){
            .kind = (enum encoder_kind)from->part.kind,
            .grid_width = from->part.grid_width,
            .grid_height = from->part.grid_height,
            .n_frames = from->part.n_frames,
        };
        ASSERT_EQ(encoder_n_tokens(rank_group_model(group), &encoder_parts[i]), from->n_tokens);
        for (uint32_t t = 0; t < from->n_tokens; t += STEP_CACHE_PAGE_ROWS) {
            uint32_t left = from->n_tokens - t;
            stores[n_stores++] = (struct step_cache_rows){
                .at = at + t,
                .n = left < STEP_CACHE_PAGE_ROWS ? left : STEP_CACHE_PAGE_ROWS,
                .cache_row = cache_row(options, first + i) + t,
            };
        }
        at += from->n_tokens;
    }
    uint32_t n_units = encoder_count_units(rank_group_model(group), encoder_parts, n);
    uint32_t step = options->max_units ? options->max_units : n_units;
    for (uint32_t done = 0; done < n_units; done += step) {
        uint32_t now = n_units - done < step ? n_units - done : step;
        bool last = done + now == n_units;
        feed_begin(feed);
        feed_encode(feed, parts, done == 0 ? n : 0, now, stores, last ? n_stores : 0);
        ASSERT_EQ(feed_run(feed).header->n_seqs, 0);
    }
}

static void encode(struct rank_group *group, struct feed *feed,
                   const struct series_options *options)
{
    for (uint32_t i = 0, n; i < options->n_parts; i += n) {
        for (n = 1; i + n < options->n_parts; n++)
            if (options->parts[i + n].part.kind != options->parts[i].part.kind)
                break;
        run_job(group, feed, options, i, n);
    }
}

// Where a chunk of prompt tokens from `at` on may end, at most at `end`: not inside a block.
static uint32_t chunk_end(const struct rank_group *group, const struct series_options *options,
                          uint32_t at, uint32_t end)
{
    for (uint32_t i = 0; i < options->n_parts; i++) {
        const struct series_part *part = &options->parts[i];
        uint32_t part_end = part->first + part->n_tokens;
        if (!rank_group_model(group)->bidirectional_images || end <= part->first || end >= part_end)
            continue;
        end = part->first > at ? part->first : part_end;
    }
    return end;
}

static void splice(struct feed *feed, const struct series_options *options, uint32_t at,
                   uint32_t end)
{
    for (uint32_t i = 0; i < options->n_parts; i++) {
        const struct series_part *part = &options->parts[i];
        uint32_t part_end = part->first + part->n_tokens;
        uint32_t first = part->first > at ? part->first : at;
        uint32_t last = part_end < end ? part_end : end;
        if (first < last)
            feed_splice(feed, &(struct step_cache_rows){
                                  .at = first - at,
                                  .n = last - first,
                                  .cache_row = cache_row(options, i) + first - part->first,
                                  .is_block = part->part.kind == ENCODER_VISION,
                              });
    }
}

void series_run(struct rank_group *group, const uint32_t *prompt, uint32_t n_prompt,
                const struct series_options *options, struct series_result *out)
{
    const struct step_limits *limits = rank_group_limits(group);
    ASSERT(n_prompt + options->n_new <= limits->max_positions && options->n_new <= SERIES_MAX_NEW);
    struct feed *feed = feed_create(group);
    memset(out, 0, sizeof *out);
    struct sampling_params sampling = {
        .temperature = options->temperature,
        .top_p = 1,
        .repetition_penalty = 1,
        .seed = options->seed,
        .n_prompt_tokens = n_prompt,
        .n_logprobs = options->n_logprobs ? (int32_t)options->n_logprobs : -1,
        .n_prompt_logprobs = options->prompt_logprobs ? 1 : -1,
    };
    encode(group, feed, options);
    for (uint32_t at = 0, n; at < n_prompt; at += n) {
        n = n_prompt - at < options->chunk ? n_prompt - at : options->chunk;
        n = chunk_end(group, options, at, at + n) - at;
        bool last = at + n == n_prompt;
        uint32_t flags = (last ? (uint32_t)STEP_SAMPLE : 0) |
                         (options->prompt_logprobs ? (uint32_t)STEP_PROMPT_LOGPROBS : 0);
        feed_begin(feed);
        if (at == 0)
            feed_start(feed, 0, &sampling);
        struct step_seq seq = {0, at, n, flags, last ? UINT32_MAX : prompt[at + n]};
        feed_rows(feed, &seq, prompt + at);
        splice(feed, options, at, at + n);
        struct step_result result = feed_run(feed);
        take_prompt_logprobs(&result, out);
        if (last)
            take_token(&result, options, 0, out);
    }
    for (uint32_t t = 1; t < options->n_new; t++) {
        feed_begin(feed);
        struct step_seq seq = {0, n_prompt + t - 1, 1, STEP_SAMPLE | STEP_TOKEN_FROM_SLOT,
                               UINT32_MAX};
        feed_rows(feed, &seq, NULL);
        struct step_result result = feed_run(feed);
        take_token(&result, options, t, out);
    }
    feed_destroy(feed);
}

const float *series_last_logits(struct rank_group *group, const uint32_t *prompt, uint32_t n_prompt)
{
    const struct step_limits *limits = rank_group_limits(group);
    struct text_model *model = rank_group_text_model(group);
    float *logits = NULL;
    for (uint32_t at = 0; at < n_prompt; at += MAX_ROWS) {
        uint32_t n = n_prompt - at < MAX_ROWS ? n_prompt - at : MAX_ROWS;
        for (uint32_t p = at; p < at + n; p++)
            for (uint32_t g = 0; g < limits->n_groups; g++)
                kv_storage_set_page(rank_group_storage(group), g, 0, p / limits->page_tokens,
                                    feed_page(limits, g, 0, p / limits->page_tokens));
        uint32_t row_offsets[2] = {0, n};
        uint32_t slot = 0;
        uint32_t n_logits_rows = at + n == n_prompt;
        struct text_batch batch = {.n_seqs = 1,
                                   .n_rows = n,
                                   .tokens = prompt + at,
                                   .row_offsets = row_offsets,
                                   .first_position = &at,
                                   .slots = &slot,
                                   .n_logits_rows = &n_logits_rows};
        struct error err = {0};
        uint32_t n_kept;
        ASSERT_OK_ERR(text_model_forward(model, &batch, &n_kept, &err), err);
        ASSERT_EQ(n_kept, n_logits_rows);
        if (n_kept)
            ASSERT_OK_ERR(text_model_logits(model, 0, 1, &logits, &err), err);
    }
    return logits;
}
