/* model/fingerprint.h - a number that stands for what something was made of (FNV-1a, 64 bits): to
 * see that it changed, not to withstand anybody who wants two things to look the same.
 * Thread: plain values. */
#ifndef GEMMAD_MODEL_FINGERPRINT_H
#define GEMMAD_MODEL_FINGERPRINT_H

#include <stddef.h>
#include <stdint.h>

#define FINGERPRINT_START UINT64_C(0xcbf29ce484222325)

static inline uint64_t fingerprint_bytes(uint64_t fingerprint, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++)
        fingerprint = (fingerprint ^ p[i]) * UINT64_C(0x100000001b3);
    return fingerprint;
}

static inline uint64_t fingerprint_number(uint64_t fingerprint, uint64_t number)
{
    return fingerprint_bytes(fingerprint, &number, sizeof number);
}

#endif
