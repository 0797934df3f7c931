/* gateway/metrics_page.c - gauges and the engine's counters, behind what metrics.c counts. */
#include "gateway/metrics_page.h"

#include <inttypes.h>

#include "base/clock.h"
#include "media/decoder.h"

static void write_number(const char *name, const char *type, const char *help, double value,
                         struct text_buffer *out)
{
    metrics_write_head(out, name, type, help);
    text_buffer_append_format(out, "gemmad_%s %.15g\n", name, value);
}

static void write_info(struct gateway_state *state, bool loaded, struct text_buffer *out)
{
    metrics_write_head(out, "info", "gauge", "1; what runs is in the labels.");
    text_buffer_append_text(out, "gemmad_info{");
    metrics_write_label(out, "version", state->version ? state->version : "");
    if (loaded) {
        text_buffer_append_text(out, ",");
        metrics_write_label(out, "model_name", state->model.name);
        text_buffer_append_text(out, ",");
        metrics_write_label(out, "compute", state->model.compute);
        text_buffer_append_text(out, ",");
        metrics_write_label(out, "kernels", state->model.kernels);
        text_buffer_append_format(out, ",world_size=\"%" PRIu32 "\"", state->model.world_size);
    }
    text_buffer_append_text(out, "} 1\n");
}

static void write_pages(const struct engine_stats *stats, struct text_buffer *out)
{
    metrics_write_head(out, "kv_pages", "gauge", "Pages of a group of the KV cache.");
    for (uint32_t g = 0; g < stats->n_groups; g++)
        text_buffer_append_format(out, "gemmad_kv_pages{group=\"%u\"} %u\n", g, stats->n_pages[g]);
    metrics_write_head(out, "kv_pages_used", "gauge", "Those that sequences hold.");
    for (uint32_t g = 0; g < stats->n_groups; g++)
        text_buffer_append_format(out, "gemmad_kv_pages_used{group=\"%u\"} %u\n", g,
                                  stats->n_pages[g] - stats->n_free_pages[g]);
}

static void write_steps(const struct engine_stats *stats, struct text_buffer *out)
{
    const struct {
        const char *name;
        uint64_t ns;
    } parts[] = {
        {"prepare", stats->step_prepare_ns_total}, {"mask", stats->mask_ns_total},
        {"encode", stats->encode_ns_total},        {"forward", stats->forward_ns_total},
        {"sample", stats->sample_ns_total},
    };
    write_number("steps_total", "counter", "Batches through the model.",
                 (double)stats->n_steps_total, out);
    metrics_write_head(out, "step_seconds_total", "counter",
                       "Where steps took their time: the coordinator prepares and makes masks, "
                       "rank 0 encodes media, runs the model and samples.");
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        text_buffer_append_format(out, "gemmad_step_seconds_total{part=\"%s\"} %.9f\n",
                                  parts[i].name, (double)parts[i].ns / (double)NS_PER_S);
    write_number("mask_wait_seconds_total", "counter",
                 "Of the sampling: rank 0 was ready before the masks of grammars were there.",
                 (double)stats->mask_wait_ns_total / (double)NS_PER_S, out);
}

static void write_ranks(const struct engine_stats *stats, uint32_t world_size,
                        struct text_buffer *out)
{
    metrics_write_head(out, "collective_wait_seconds_total", "counter",
                       "Of forward and sampling: a rank waited for others in collectives.");
    for (uint32_t r = 0; r < world_size && r < STEP_MAX_RANKS; r++)
        text_buffer_append_format(out, "gemmad_collective_wait_seconds_total{rank=\"%u\"} %.9f\n",
                                  r, (double)stats->collective_wait_ns_total[r] / (double)NS_PER_S);
}

// Rows are soft tokens.
static void write_encoders(const struct engine_stats *stats, struct text_buffer *out)
{
    write_number("encoded_parts_total", "counter", "Images, frames and clips that were encoded.",
                 (double)stats->n_encoded_parts_total, out);
    write_number("encoder_cache_hits_total", "counter",
                 "Parts whose soft tokens were in the encoder cache.",
                 (double)stats->n_cache_hits_total, out);
    write_number("encoder_cache_misses_total", "counter", "Parts that had to be encoded.",
                 (double)stats->n_cache_misses_total, out);
    write_number("encoder_cache_rows", "gauge", "Soft tokens that the encoder cache holds at most.",
                 stats->n_cache_rows, out);
    write_number("encoder_cache_rows_used", "gauge", "Those that it holds.",
                 stats->n_used_cache_rows, out);
}

// decoder: NULL where no media are served.
static void write_decoder(struct media_decoder *decoder, struct text_buffer *out)
{
    struct media_decoder_stats stats = {0};
    if (decoder)
        media_decoder_get_stats(decoder, &stats);
    write_number("media_decoded_total", "counter", "Files that were decoded.",
                 (double)stats.n_decoded, out);
    write_number("media_rejected_total", "counter",
                 "Files that could not be, or not within limits.", (double)stats.n_rejected, out);
    write_number("media_decode_seconds_total", "counter", "Time of decoding, of all processes.",
                 (double)stats.decode_ns / (double)NS_PER_S, out);
    write_number("media_process_deaths_total", "counter",
                 "Decoding processes that died or took too long.", (double)stats.n_child_deaths,
                 out);
}

void metrics_write(struct gateway_state *state, struct text_buffer *out)
{
    struct engine_stats stats = {0};
    struct error err = {0};
    bool loaded = gateway_state_loaded(state, &err) == STATUS_OK;
    if (loaded)
        engine_get_stats(state->engine, &stats);
    write_info(state, loaded, out);
    write_number("uptime_seconds", "gauge", "Since the start of the front end.",
                 (double)(clock_now_ns() - state->started_ns) / (double)NS_PER_S, out);
    write_number("serving", "gauge", "1 while requests are taken, as health says.",
                 gateway_state_takes_requests(state), out);
    write_number("workers_up", "gauge", "1 while the group of workers runs.", stats.backend_up,
                 out);
    write_number("num_requests_running", "gauge", "Sequences that run.", stats.n_running, out);
    write_number("num_requests_waiting", "gauge", "Sequences that wait.", stats.n_waiting, out);
    write_number("requests_total", "counter", "Requests that the engine took.",
                 (double)stats.n_requests_total, out);
    write_number("prompt_tokens_total", "counter", "Prompt tokens of requests.",
                 (double)stats.n_prompt_tokens_total, out);
    write_number("generation_tokens_total", "counter", "Generated tokens.",
                 (double)stats.n_generated_tokens_total, out);
    write_number("num_preemptions_total", "counter", "Sequences that had to give up their pages.",
                 (double)stats.n_preemptions_total, out);
    write_steps(&stats, out);
    write_ranks(&stats, loaded ? state->model.world_size : 0, out);
    write_pages(&stats, out);
    write_encoders(&stats, out);
    write_decoder(loaded ? state->model.media_decoder : NULL, out);
    metrics_write_requests(&state->metrics, out);
}
