/* engine/soft_tokens.h - media on one rank: runs the encoders' share of a step, keeps what they
 * make in the encoder cache, and finds it again for the rows that it belongs to.
 *
 * The cache is rows of memory; which part lies where the coordinator alone knows
 * (engine/encoder_cache.h), and every rank has the same. Memory is reserved at creation. Thread:
 * the step thread. */
#ifndef GEMMAD_ENGINE_SOFT_TOKENS_H
#define GEMMAD_ENGINE_SOFT_TOKENS_H

#include "engine/step.h"
#include "model/encoder.h"
#include "model/text.h"

struct soft_tokens;

struct soft_tokens_config {
    struct step_limits limits;
    const struct model_config *config;
    struct encoder *encoder;
    const unsigned char *media; /* the media file, [limits.media_bytes] */
};

static inline size_t soft_tokens_cache_bytes(const struct model_config *config,
                                             uint32_t n_cache_rows)
{
    return (size_t)n_cache_rows * config->hidden_size * sizeof(float);
}

NODISCARD enum status soft_tokens_create(const struct soft_tokens_config *config,
                                         struct soft_tokens **out, struct error *err);
void soft_tokens_destroy(struct soft_tokens *soft); /* NULL is fine */

/* Does what the step says of encoders. INTERNAL: it says what cannot be done. UNAVAILABLE: a peer
 * is gone. */
NODISCARD enum status soft_tokens_encode(struct soft_tokens *soft, const struct step *step,
                                         struct error *err);
/* The step's splices as the text model takes them, [n_splices], until the next call. */
const struct text_splice *soft_tokens_splices(struct soft_tokens *soft, const struct step *step);

#endif
