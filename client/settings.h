/* client/settings.h - what the flags of a command line say, of whichever command. The fields of a
 * request stand here as the messages that are sent, so that a flag is written where it goes.
 * Thread: a plain value. Texts point into the command line. */
#ifndef GEMMAD_CLIENT_SETTINGS_H
#define GEMMAD_CLIENT_SETTINGS_H

#include <stdint.h>

#include "proto/inference.pb-c.h"

/* Files by what they are, and the budget of each image and frame; 0: the server's. */
struct media_settings {
    ProtobufCBinaryData *images, *videos, *clips;
    size_t n_images, n_videos, n_clips;
    uint32_t max_soft_tokens;
};

struct settings {
    const char *address, *api_key;
    uint64_t timeout_ns; /* 0: none */
    protobuf_c_boolean help, json;

    Gemmad__V1__GenerateRequest request; /* the four below belong to it */
    Gemmad__V1__Sampling sampling;
    Gemmad__V1__Stopping stopping;
    Gemmad__V1__ResponseOptions response;
    Gemmad__V1__TokenIds prompt_ids;
    const char *chat_json; /* a file or the text itself */
    const char *file;
    struct media_settings media;

    const char *system, *once;
    protobuf_c_boolean thinking;

    protobuf_c_boolean has_parse_special, parse_special; /* tokenize */

    const char *split; /* parse; NULL: all at once */

    uint64_t watch_ns; /* 0: once */
};

/* The values before any flag. Pointers between the messages are set, so it must not be moved. */
void settings_init(struct settings *settings);
void settings_finish(struct settings *settings);

#endif
