/* tests/engine/fake_media.h - media and encoders without a model: a part's data begin and end with
 * its key, and its soft tokens are hashes of that key. */
#ifndef GEMMAD_TESTS_ENGINE_FAKE_MEDIA_H
#define GEMMAD_TESTS_ENGINE_FAKE_MEDIA_H

#include "engine/scheduler.h"

/* Parts of side x 3 * n_tokens patches or 4 * n_tokens mel frames; part i has the key key + i. */
struct media *fake_media(enum media_kind kind, uint64_t key, uint32_t n_parts, uint32_t n_tokens);
struct scheduler_encoders fake_encoders(bool bidirectional_images);
/* 0: the bytes were overwritten, or are no part's. */
uint64_t fake_media_key(const unsigned char *data, size_t n_bytes);

/* Soft token i of the part with the key, as it stands in the cache; and as a row of a block of
 * n_rows from the position on sees it. */
uint32_t fake_soft_token(uint64_t key, uint32_t i);
uint32_t fake_block_token(uint32_t soft, uint32_t position, uint32_t n_rows);

#endif
