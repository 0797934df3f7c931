/* tests/model/series.c - the sequence stands in slot 0. */
#include "tests/model/series.h"

#include "tests/model/feed.h"
#include "tests/test.h"

enum { MAX_ROWS = 128, MAX_LOGITS_ROWS = 16 };

struct rank_group *series_group(const char *folder, uint32_t world_size, enum compute compute,
                                enum weights_format weights, uint32_t max_positions,
                                uint32_t page_tokens,
                                void (*observe)(void *, uint32_t, const float *, uint32_t),
                                void *observe_context)
{
    struct rank_group_config config = {
        .folder = folder,
        .world_size = world_size,
        .compute = compute,
        .weights = weights,
        .n_threads = world_size == 1 ? 2 : 1,
        .max_rows = MAX_ROWS,
        .max_slots = 2,
        .max_positions = max_positions,
        .page_tokens = page_tokens,
        .n_pages = max_positions / page_tokens + 2,
        .max_logits_rows = MAX_LOGITS_ROWS,
        .observe = observe,
        .observe_context = observe_context,
    };
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
    for (uint32_t at = 0; at < n_prompt; at += options->chunk) {
        uint32_t n = n_prompt - at < options->chunk ? n_prompt - at : options->chunk;
        bool last = at + n == n_prompt;
        uint32_t flags = (last ? (uint32_t)STEP_SAMPLE : 0) |
                         (options->prompt_logprobs ? (uint32_t)STEP_PROMPT_LOGPROBS : 0);
        feed_begin(feed);
        if (at == 0)
            feed_start(feed, 0, &sampling);
        struct step_seq seq = {0, at, n, flags, last ? UINT32_MAX : prompt[at + n]};
        feed_rows(feed, &seq, prompt + at);
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
        struct text_batch batch = {1, n, prompt + at, row_offsets, &at, &slot, &n_logits_rows};
        struct error err = {0};
        uint32_t n_kept;
        ASSERT_OK_ERR(text_model_forward(model, &batch, &n_kept, &err), err);
        ASSERT_EQ(n_kept, n_logits_rows);
        if (n_kept)
            ASSERT_OK_ERR(text_model_logits(model, 0, 1, &logits, &err), err);
    }
    return logits;
}
