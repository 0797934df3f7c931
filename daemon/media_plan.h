/* daemon/media_plan.h - what serving images, video and audio takes, decided before a process is
 * started. Thread: plain values. */
#ifndef GEMMAD_DAEMON_MEDIA_PLAN_H
#define GEMMAD_DAEMON_MEDIA_PLAN_H

#include "daemon/config.h"
#include "daemon/worker_message.h"
#include "model/checkpoint.h"

/* Whether there is an encoder, and it is wanted. */
bool media_plan_serves(const struct daemon_config *config, const struct model_config *model);

/* Fills in what the limits say of media; a model that sees images in both directions gets steps
 * that hold the largest. INVALID_ARGUMENT: encoder_cache holds no image. */
NODISCARD enum status media_plan_limits(const struct daemon_config *config,
                                        const struct model_config *model,
                                        struct step_limits *limits, struct error *err);

/* Of a rank with these limits: the encoders' weights, activations and cache. */
size_t media_plan_bytes(const struct checkpoint *checkpoint, enum compute compute,
                        const struct step_limits *limits);

#endif
