/* tests/model/goldens.h - the reference's answers as a fixture's folder has them: text.json and its
 * arrays. */
#ifndef GEMMAD_TESTS_MODEL_GOLDENS_H
#define GEMMAD_TESTS_MODEL_GOLDENS_H

#include "base/json.h"
#include "model/safetensors.h"

enum { GOLDEN_MAX_TOKENS = 512, GOLDEN_TOP = 8 };

struct golden_case {
    const char *name;
    uint32_t prompt[GOLDEN_MAX_TOKENS];
    uint32_t n_prompt;
    uint32_t tokens[64]; /* greedy, f32 */
    double margin[64];
    uint32_t n_tokens;
    double top_logprobs[64][GOLDEN_TOP];
    uint32_t top_ids[64][GOLDEN_TOP];
};

struct goldens {
    char folder[512];           /* of the fixture; checkpoint/ lies in it */
    struct json_document *json; /* text.json */
    struct safetensors *arrays;
    struct safetensors *hidden;
    unsigned char *bytes[2]; /* what the arrays point into */
    uint32_t n_cases;
    struct golden_case cases[16];
};

/* Fails the running test if a file is missing. The caller closes it. */
struct goldens *goldens_open(const char *folder);
/* image.json, video.json or audio.json in the place of text.json; no hidden. */
struct goldens *goldens_open_media(const char *folder, const char *kind);
void goldens_close(struct goldens *goldens);
/* A u8 array by name: pixels. */
const unsigned char *goldens_bytes(const struct safetensors *arrays, const char *name,
                                   size_t *out_n);
/* An f32 array by name; *out_n its elements. NULL if there is none and !required. */
const float *goldens_array(const struct safetensors *arrays, const char *name, bool required,
                           size_t *out_n);

#endif
