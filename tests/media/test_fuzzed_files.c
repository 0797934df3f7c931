// tests/media/test_fuzzed_files.c - files that are wrong somewhere, through real children. The
// build says how many of each format: N_FUZZED.
#include "tests/media/decoder_fixture.h"

// Decodes or refuses it; anything else fails the test. Returns 1 if it decodes.
static int try_bytes(struct media_decoder *decoder, enum media_kind kind, const char *name,
                     const unsigned char *bytes, size_t n_bytes)
{
    struct media_wish wish = {.kind = kind, .bytes = bytes, .n_bytes = n_bytes};
    struct media *media;
    struct error err = {0};
    enum status st = media_decode(decoder, &wish, &media, &err);
    if (st == STATUS_OK)
        media_drop(media);
    else if (st != STATUS_INVALID_ARGUMENT || strstr(err.message, " /")) // no paths
        test_fail(__FILE__, __LINE__, "%s: %s: %s", name, status_name(st), err.message);
    return st == STATUS_OK;
}

TEST(fuzzed_files_are_refused_or_decoded)
{
    struct media_decoder_config config = default_config();
    struct media_decoder *decoder = new_decoder(&config);
    uint64_t random = 6;
    for (size_t s = 0; s < sizeof samples / sizeof *samples; s++) {
        struct file file = read_media(samples[s].name);
        uint64_t deaths = stats_of(decoder).n_child_deaths;
        int n_decoded = 0;
        for (int i = 0; i < N_FUZZED; i++) {
            unsigned char *copy = copy_of(file.bytes, file.n_bytes);
            uint64_t n_flips = test_random_in(&random, 1, 8);
            for (uint64_t flip = 0; flip < n_flips; flip++) {
                uint64_t last = i % 2 && file.n_bytes > 256 ? 255 : file.n_bytes - 1;
                copy[test_random_in(&random, 0, last)] = (unsigned char)test_random(&random);
            }
            n_decoded += try_bytes(decoder, samples[s].kind, samples[s].name, copy, file.n_bytes);
            free(copy);
        }
        printf("%s: %d of %d fuzzed files decode, %" PRIu64 " children died\n", samples[s].name,
               n_decoded, N_FUZZED, stats_of(decoder).n_child_deaths - deaths);
        free(file.bytes);
    }
    media_decoder_destroy(decoder);
}

TEST(files_cut_short_are_refused_or_decoded)
{
    struct media_decoder_config config = default_config();
    struct media_decoder *decoder = new_decoder(&config);
    for (size_t s = 0; s < sizeof samples / sizeof *samples; s++) {
        struct file file = read_media(samples[s].name);
        for (size_t n = 1; n < file.n_bytes; n += 1 + file.n_bytes / (N_FUZZED / 4)) {
            unsigned char *copy = copy_of(file.bytes, n);
            try_bytes(decoder, samples[s].kind, samples[s].name, copy, n);
            free(copy);
        }
        free(file.bytes);
    }
    ASSERT_EQ(stats_of(decoder).n_child_deaths, 0);
    media_decoder_destroy(decoder);
}
