/* daemon/media_plan.c - a job of the encoders holds the largest image; the media file two of them,
 * so that one is written while the other is read. */
#include "daemon/media_plan.h"

#include "engine/soft_tokens.h"
#include "media/media.h"
#include "model/encoder_weights.h"

#define MAX_PARTS 32
#define MAX_FRAMES 3000 // 30 s of audio
#define MAX_PATCHES (MEDIA_MAX_IMAGE_TOKENS * MEDIA_TOKEN_PATCHES)
#define MEDIA_FILE_BYTES (2 * MAX_PATCHES * MEDIA_PATCH_BYTES + (1 << 20))

bool media_plan_serves(const struct daemon_config *config, const struct model_config *model)
{
    return config->media == CONFIG_MEDIA_AUTO &&
           (encoder_exists(model, ENCODER_VISION) || encoder_exists(model, ENCODER_AUDIO));
}

enum status media_plan_limits(const struct daemon_config *config, const struct model_config *model,
                              struct step_limits *limits, struct error *err)
{
    if (!media_plan_serves(config, model))
        return STATUS_OK;
    size_t row_bytes = soft_tokens_cache_bytes(model, 1);
    uint64_t n_rows = config->encoder_cache / row_bytes;
    n_rows -= n_rows % STEP_CACHE_PAGE_ROWS;
    if (n_rows < MEDIA_MAX_IMAGE_TOKENS)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "encoder_cache: an image of %d soft tokens takes %zu bytes",
                         MEDIA_MAX_IMAGE_TOKENS, MEDIA_MAX_IMAGE_TOKENS * row_bytes);
    limits->n_cache_rows = n_rows < UINT32_MAX ? (uint32_t)n_rows : 1U << 30;
    limits->max_encode_parts = MAX_PARTS;
    limits->max_job_patches = MAX_PATCHES;
    limits->max_job_frames = MAX_FRAMES;
    limits->media_bytes = MEDIA_FILE_BYTES;
    uint32_t block_rows = MEDIA_MAX_IMAGE_TOKENS + limits->max_slots; // beside all decode rows
    if (model->bidirectional_images && limits->max_rows < block_rows)
        limits->max_rows = block_rows;
    return STATUS_OK;
}

size_t media_plan_bytes(const struct checkpoint *checkpoint, enum compute compute,
                        const struct step_limits *limits)
{
    const struct model_config *model = checkpoint_config(checkpoint);
    if (limits->n_cache_rows == 0)
        return 0;
    return encoder_weights_bytes(checkpoint, compute) +
           encoder_activation_bytes(model, limits->max_job_patches, limits->max_job_frames,
                                    limits->max_encode_parts) +
           soft_tokens_cache_bytes(model, limits->n_cache_rows);
}
