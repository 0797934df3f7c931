/* media/content_key.h - names for content: equal keys, equal data for the encoders. 128 bits of
 * SHA-256, so that nobody can make another client's image by finding a second file of the same key.
 */
#ifndef GEMMAD_MEDIA_CONTENT_KEY_H
#define GEMMAD_MEDIA_CONTENT_KEY_H

#include <stddef.h>
#include <stdint.h>

#include "media/protocol.h"

#define CONTENT_DIGEST_BYTES 32

void content_digest(const unsigned char *bytes, size_t n_bytes,
                    unsigned char out[CONTENT_DIGEST_BYTES]);

/* Of one part: the file, and what the job and the part's place in it add. */
void content_key(const unsigned char digest[CONTENT_DIGEST_BYTES], const struct protocol_job *job,
                 const struct protocol_part *part, uint64_t out_key[2]);

#endif
