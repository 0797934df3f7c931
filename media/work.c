/* media/work.c - parts stand in the result one behind another, each written once: no part is copied
 * between here and the memory that the encoders read. */
#include "media/work.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "media/audio_file.h"
#include "media/audio_features.h"
#include "media/image.h"
#include "media/patches.h"
#include "media/video.h"

struct work {
    const struct protocol_job *job;
    const unsigned char *bytes;
    unsigned char *result;
    struct protocol_answer *answer;
};

// A part of n_bytes behind the last one; its place and size are noted. The job has room for the
// largest of its kind.
static struct protocol_part *place_part(struct work *work, size_t n_bytes)
{
    struct protocol_answer *answer = work->answer;
    CHECK(answer->n_parts < MEDIA_MAX_PARTS);
    struct protocol_part *part = &answer->parts[answer->n_parts];
    uint64_t free_from = answer->n_parts > 0 ? part[-1].offset + part[-1].n_bytes : 0;
    *part = (struct protocol_part){.n_bytes = n_bytes,
                                   .offset = (free_from + PROTOCOL_DATA_ALIGNMENT - 1) /
                                             PROTOCOL_DATA_ALIGNMENT * PROTOCOL_DATA_ALIGNMENT};
    CHECK(part->offset + n_bytes <= work->job->result_bytes);
    answer->n_parts++;
    return part;
}

static enum status add_image(struct work *work, const struct image *image, uint32_t frame,
                             uint32_t timestamp_s, struct error *err)
{
    struct patches_plan plan;
    enum status st = patches_plan(image->width, image->height, work->job->max_tokens, &plan, err);
    if (st != STATUS_OK)
        return st;
    struct protocol_part *part = place_part(work, plan.n_bytes);
    part->n_tokens = plan.n_tokens;
    part->grid_width = plan.grid_width;
    part->grid_height = plan.grid_height;
    part->frame = frame;
    part->timestamp_s = timestamp_s;
    patches_write(image, &plan, work->result + part->offset);
    return STATUS_OK;
}

static enum status do_image(struct work *work, struct error *err)
{
    struct image image = {0};
    enum status st = image_decode(work->bytes, work->job->n_bytes, work->job->max_pixels, &image,
                                  err);
    if (st == STATUS_OK)
        st = add_image(work, &image, 0, 0, err);
    image_finish(&image);
    return st;
}

static enum status take_frame(void *context, const struct video_frame *frame, struct error *err)
{
    return add_image(context, &frame->image, frame->index, frame->timestamp_s, err);
}

static enum status do_video(struct work *work, struct error *err)
{
    struct video_limits limits = {work->job->max_pixels, work->job->max_seconds};
    return video_decode(work->bytes, work->job->n_bytes, &limits, take_frame, work, err);
}

static enum status do_audio(struct work *work, struct error *err)
{
    float *samples;
    size_t n_samples;
    enum status st = audio_file_decode(work->bytes, work->job->n_bytes, work->job->max_seconds,
                                       &samples, &n_samples, err);
    if (st != STATUS_OK)
        return st;
    struct audio_features_plan plan;
    st = audio_features_plan(work->job->audio_form, n_samples, &plan, err);
    if (st == STATUS_OK) {
        struct protocol_part *part = place_part(work, plan.n_bytes);
        part->n_tokens = plan.n_tokens;
        part->n_frames = plan.n_frames;
        audio_features_write(&plan, samples, n_samples, (float *)(work->result + part->offset));
    }
    free(samples);
    return st;
}

static enum status do_kind(struct work *work, struct error *err)
{
    switch ((enum media_kind)work->job->kind) {
    case MEDIA_IMAGE:
        return do_image(work, err);
    case MEDIA_VIDEO:
        return do_video(work, err);
    case MEDIA_AUDIO:
        return do_audio(work, err);
    }
    return error_set(err, STATUS_INTERNAL, "no such kind of media");
}

void work_run(const struct protocol_job *job, const unsigned char *bytes, unsigned char *result,
              struct protocol_answer *out)
{
    *out = (struct protocol_answer){0};
    struct work work = {job, bytes, result, out};
    struct error err = {0};
    if (do_kind(&work, &err) == STATUS_OK)
        return;
    *out = (struct protocol_answer){.refused = 1};
    snprintf(out->message, sizeof out->message, "%s", err.message);
}
