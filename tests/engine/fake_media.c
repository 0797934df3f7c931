/* tests/engine/fake_media.c - units are so few per part that jobs end in all phases of a test. */
#include "tests/engine/fake_media.h"

#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"

struct media *fake_media(enum media_kind kind, uint64_t key, uint32_t n_parts, uint32_t n_tokens)
{
    bool audio = kind == MEDIA_AUDIO;
    size_t part_bytes = (size_t)n_tokens * (audio ? 4 * MEDIA_MEL_BINS * sizeof(float)
                                                  : MEDIA_TOKEN_PATCHES * MEDIA_PATCH_BYTES);
    unsigned char *memory = mmap(NULL, n_parts * part_bytes, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    struct media *media = media_create(kind, memory, n_parts * part_bytes);
    media->n_parts = n_parts;
    for (uint32_t i = 0; i < n_parts; i++) {
        unsigned char *data = memory + i * part_bytes;
        uint64_t part_key = key + i;
        memcpy(data, &part_key, sizeof part_key);
        memcpy(data + part_bytes - sizeof part_key, &part_key, sizeof part_key);
        media->parts[i] = (struct media_part){
            .key = {part_key, 7},
            .n_tokens = n_tokens,
            .grid_width = audio ? 0 : 3 * n_tokens,
            .grid_height = audio ? 0 : 3,
            .n_frames = audio ? 4 * n_tokens : 0,
            .data = data,
            .n_bytes = part_bytes,
        };
    }
    return media;
}

static uint32_t n_tokens(const struct model_config *model, const struct encoder_part *part)
{
    (void)model;
    if (part->kind == ENCODER_AUDIO)
        return part->n_frames / 4;
    return part->grid_width / 3 * (part->grid_height / 3);
}

static uint32_t count_units(const struct model_config *model, const struct encoder_part *parts,
                            uint32_t n_parts)
{
    uint32_t n = 1;
    for (uint32_t i = 0; i < n_parts; i++)
        n += n_tokens(model, &parts[i]) / 2;
    return n;
}

struct scheduler_encoders fake_encoders(bool bidirectional_images)
{
    return (struct scheduler_encoders){.n_tokens = n_tokens,
                                       .count_units = count_units,
                                       .bidirectional_images = bidirectional_images};
}

uint64_t fake_media_key(const unsigned char *data, size_t n_bytes)
{
    uint64_t first;
    uint64_t last;
    memcpy(&first, data, sizeof first);
    memcpy(&last, data + n_bytes - sizeof last, sizeof last);
    return first == last ? first : 0;
}

uint32_t fake_soft_token(uint64_t key, uint32_t i)
{
    return (uint32_t)((key * 1000003 + i + 1) * UINT64_C(0x9E3779B97F4A7C15) >> 32);
}

uint32_t fake_block_token(uint32_t soft, uint32_t position, uint32_t n_rows)
{
    return soft ^ (position * 2654435761U + n_rows * 40503U);
}
