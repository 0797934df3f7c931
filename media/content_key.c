#include "media/content_key.h"

#include <openssl/sha.h>
#include <string.h>

_Static_assert(CONTENT_DIGEST_BYTES == SHA256_DIGEST_LENGTH, "the digest is SHA-256");

void content_digest(const unsigned char *bytes, size_t n_bytes,
                    unsigned char out[CONTENT_DIGEST_BYTES])
{
    SHA256(bytes, n_bytes, out);
}

void content_key(const unsigned char digest[CONTENT_DIGEST_BYTES], const struct protocol_job *job,
                 const struct protocol_part *part, uint64_t out_key[2])
{
    struct {
        unsigned char digest[CONTENT_DIGEST_BYTES];
        uint32_t kind, max_tokens, audio_form, frame;
    } named = {.kind = job->kind,
               .max_tokens = job->max_tokens,
               .audio_form = job->audio_form,
               .frame = part->frame};
    memcpy(named.digest, digest, sizeof named.digest);
    unsigned char key[CONTENT_DIGEST_BYTES];
    SHA256((const unsigned char *)&named, sizeof named, key);
    memcpy(out_key, key, 2 * sizeof *out_key);
}
