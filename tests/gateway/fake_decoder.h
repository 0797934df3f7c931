/* tests/gateway/fake_decoder.h - a decoder without children, linked in the place of
 * media/decoder.c: a "file" says in words what it becomes. "64": 64 soft tokens; a video "63 0 20
 * 40": frames of 63 at these seconds; what begins with no digit is refused as "bad". */
#ifndef GEMMAD_TESTS_GATEWAY_FAKE_DECODER_H
#define GEMMAD_TESTS_GATEWAY_FAKE_DECODER_H

#include "media/decoder.h"

struct media_decoder {
    unsigned n_decoded;
    struct media_wish last; /* its bytes are gone */
};

#endif
