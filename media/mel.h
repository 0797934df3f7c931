/* media/mel.h - the log-mel features that the audio encoder takes (gemma4-model.md section 5.5):
 * frames of 320 samples every 160, of which the first begins 160 samples before the audio; Hann
 * window, magnitudes of an FFT of 512, 128 triangular filters on the HTK scale from 0 to 8000 Hz,
 * log(mel + 0.001).
 *
 * Only frames that the reference holds valid are counted and written: a frame's 320 samples and the
 * one behind them are real audio. Thread: pure functions; the tables are made by the first call of
 * mel_features, which must not run beside another. */
#ifndef GEMMAD_MEDIA_MEL_H
#define GEMMAD_MEDIA_MEL_H

#include <stddef.h>
#include <stdint.h>

#define MEL_SAMPLE_RATE 16000
#define MEL_MAX_SAMPLES 480000 /* 30 s; longer audio is cut before */

/* Of n_samples, at most MEL_MAX_SAMPLES: at most 2999; 0: fewer than 161 samples. */
uint32_t mel_n_frames(size_t n_samples);
/* samples [n_samples] mono in [-1, 1]; out [mel_n_frames(n_samples), MEDIA_MEL_BINS]. */
void mel_features(const float *samples, size_t n_samples, float *out);

#endif
