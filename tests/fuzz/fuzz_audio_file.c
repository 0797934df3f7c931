/* tests/fuzz/fuzz_audio_file.c - any bytes as audio: refused, or some samples, all of them finite.
 */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "media/audio_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    float *samples;
    size_t n_samples;
    if (audio_file_decode(data, size, 100, &samples, &n_samples, NULL) != STATUS_OK)
        return 0;
    CHECK(n_samples > 0 && n_samples <= AUDIO_FILE_MAX_SAMPLES);
    for (size_t i = 0; i < n_samples; i++)
        CHECK(isfinite(samples[i]));
    free(samples);
    return 0;
}
