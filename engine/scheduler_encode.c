/* engine/scheduler_encode.c - jobs for the encoders, one at a time.
 *
 * A job takes parts that running sequences hold and that are not encoded, first in rank first:
 * those of the first one's kind, up to the limits of a job. It runs to its end whatever becomes of
 * the sequences, so its pages of the encoder cache are there when its last step stores to them;
 * what nobody wants by then stays in the cache for those who send it again. The pixels are copied
 * when the job begins, into a region that no step in flight reads. */
#include "engine/scheduler_state.h"

#include <string.h>

#include "base/mem.h"

struct encoder_part scheduler_encoder_part(const struct request_part *part)
{
    const struct media_part *data = &part->media->parts[part->part];
    return (struct encoder_part){
        .kind = part->media->kind == MEDIA_AUDIO ? ENCODER_AUDIO : ENCODER_VISION,
        .is_frame = part->media->kind == MEDIA_VIDEO,
        .grid_width = data->grid_width,
        .grid_height = data->grid_height,
        .n_frames = data->n_frames,
        .data = data->data,
    };
}

static bool region_is_free(const struct scheduler *s)
{
    uint32_t next = (s->job.region + 1) % SCHEDULER_MEDIA_REGIONS;
    return s->region_last_step[next] <= s->n_completed;
}

static bool any_wanted(const struct scheduler *s)
{
    for (uint32_t i = 0; i < s->n_running; i++) {
        const struct sequence *r = s->running[i];
        for (uint32_t p = r->first_part; p < r->end_part; p++)
            if (r->entries[p]->state == ENCODER_ENTRY_WANTED)
                return true;
    }
    return false;
}

bool scheduler_has_encode_work(const struct scheduler *s)
{
    return s->job.n_units_left > 0 || (region_is_free(s) && any_wanted(s));
}

/* What a job under way of being put together has taken. */
struct job_sizes {
    uint64_t n_patches, n_frames, n_bytes;
};

uint64_t scheduler_region_bytes(const struct step_limits *limits)
{
    uint64_t bytes = limits->media_bytes / SCHEDULER_MEDIA_REGIONS;
    return bytes - bytes % STEP_MEDIA_ALIGNMENT;
}

// False: it does not go into this job.
static bool add_part(struct scheduler *s, struct job_sizes *sizes, const struct request_part *part,
                     struct encoder_entry *entry, unsigned char *media,
                     struct encoder_part *encoder_part)
{
    const struct step_limits *limits = &s->c.limits;
    const struct media_part *data = &part->media->parts[part->part];
    uint64_t region_bytes = scheduler_region_bytes(limits);
    *encoder_part = scheduler_encoder_part(part);
    uint64_t n_patches = sizes->n_patches + (uint64_t)data->grid_width * data->grid_height;
    uint64_t n_frames = sizes->n_frames + data->n_frames;
    if (s->job.n_parts == 0)
        s->job.kind = encoder_part->kind;
    if (encoder_part->kind != s->job.kind || n_patches > limits->max_job_patches ||
        n_frames > limits->max_job_frames || data->n_bytes > region_bytes - sizes->n_bytes)
        return false;
    uint64_t offset = s->job.region * region_bytes + sizes->n_bytes;
    memcpy(media + offset, data->data, data->n_bytes);
    step_builder_add_encode_part(&s->builder, &(struct step_encode_part){
                                                  .kind = encoder_part->kind,
                                                  .is_frame = encoder_part->is_frame,
                                                  .grid_width = encoder_part->grid_width,
                                                  .grid_height = encoder_part->grid_height,
                                                  .n_frames = encoder_part->n_frames,
                                                  .data_offset = offset,
                                                  .data_bytes = data->n_bytes,
                                              });
    encoder_cache_begin(entry);
    s->job.entries[s->job.n_parts++] = entry;
    uint64_t aligned = (data->n_bytes + STEP_MEDIA_ALIGNMENT - 1) / STEP_MEDIA_ALIGNMENT;
    uint64_t n_bytes = sizes->n_bytes + aligned * STEP_MEDIA_ALIGNMENT;
    *sizes = (struct job_sizes){n_patches, n_frames,
                                n_bytes < region_bytes ? n_bytes : region_bytes};
    return true;
}

static void begin_job(struct scheduler *s, unsigned char *media)
{
    struct encode_job *job = &s->job;
    struct encoder_part parts[STEP_MAX_ENCODE_PARTS];
    struct job_sizes sizes = {0};
    job->region = (job->region + 1) % SCHEDULER_MEDIA_REGIONS;
    job->n_parts = 0;
    for (uint32_t i = 0; i < s->n_running; i++) {
        const struct sequence *r = s->running[i];
        for (uint32_t p = r->first_part; p < r->end_part; p++) {
            if (job->n_parts == s->c.limits.max_encode_parts)
                break;
            if (r->entries[p]->state == ENCODER_ENTRY_WANTED)
                add_part(s, &sizes, &r->c.parts[p], r->entries[p], media, &parts[job->n_parts]);
        }
    }
    CHECK(job->n_parts > 0);
    const struct scheduler_encoders *encoders = &s->c.encoders;
    job->n_units_left = encoders->count_units(encoders->model, parts, job->n_parts);
    CHECK(job->n_units_left > 0);
}

static void end_job(struct scheduler *s, uint64_t step_id)
{
    const struct encode_job *job = &s->job;
    uint32_t at = 0;
    for (uint32_t i = 0; i < job->n_parts; i++) {
        struct encoder_entry *entry = job->entries[i];
        for (uint32_t token = 0; token < entry->n_tokens;) {
            struct step_cache_rows rows = {.at = at};
            rows.cache_row = encoder_cache_row(s->cache, entry, token, entry->n_tokens - token,
                                               &rows.n);
            step_builder_add_store(&s->builder, &rows);
            token += rows.n;
            at += rows.n;
        }
        encoder_cache_complete(s->cache, entry);
    }
    s->n_encoded_parts += job->n_parts;
    s->region_last_step[job->region] = step_id;
}

uint64_t scheduler_plan_encode(struct scheduler *s, struct planned_step *plan,
                               const struct scheduler_budget *budget, uint64_t budget_ns,
                               unsigned char *media)
{
    struct encode_job *job = &s->job;
    if (job->n_units_left == 0)
        begin_job(s, media);
    uint64_t unit_ns = budget->unit_ns[job->kind];
    uint64_t n = unit_ns > 0 ? budget_ns / unit_ns : 1; // 0: its cost is not known
    if (n == 0)
        n = 1;
    if (n > job->n_units_left)
        n = job->n_units_left;
    s->builder.header.encode.n_units = (uint32_t)n;
    plan->work.n_units = (uint32_t)n;
    plan->work.kind = job->kind;
    job->n_units_left -= (uint32_t)n;
    if (job->n_units_left == 0)
        end_job(s, plan->step_id);
    return n * unit_ns;
}
