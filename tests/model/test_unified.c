/* tests/model/test_unified.c - what a unified model makes of pixels and samples, against the
 * reference (make_unified.py made data/unified). */
#include <math.h>

#include "model/safetensors.h"
#include "tests/model/encoder_group.h"
#include "tests/test.h"

enum { MAX_PATCHES = 9 * 1120, PATCH_BYTES = 768 };

struct expected {
    unsigned char *bytes;
    struct safetensors *arrays;
};

static struct expected expected_open(void)
{
    struct expected expected = {0};
    struct error err = {0};
    size_t n;
    expected.bytes = (unsigned char *)test_read_file("data/unified/expected.safetensors", &n);
    ASSERT_OK_ERR(safetensors_parse(expected.bytes, n, "expected", &expected.arrays, &err), err);
    return expected;
}

static void expected_close(struct expected *expected)
{
    safetensors_destroy(expected->arrays);
    free(expected->bytes);
}

static const void *array(const struct expected *expected, const char *name)
{
    const struct safetensors_tensor *tensor = safetensors_find(expected->arrays, name);
    ASSERT(tensor != NULL);
    return tensor->data;
}

static struct encoder_group *new_group(uint32_t world_size, enum compute compute)
{
    return encoder_group_create(&(struct encoder_group_config){
        .folder = "data/unified/checkpoint",
        .world_size = world_size,
        .compute = compute,
        .n_threads = 1,
        .max_patches = MAX_PATCHES,
        .max_frames = 3000,
        .max_parts = 40,
    });
}

static void compare(const char *name, const float *got, const float *want, size_t n, double bound)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - (double)want[i]) <= bound))
            test_fail(__FILE__, __LINE__, "%s[%zu]: %g, want %g", name, i, (double)got[i],
                      (double)want[i]);
}

static void get_parts(const struct expected *expected, struct encoder_part *image,
                      struct encoder_part *frame, struct encoder_part *clip)
{
    *image = (struct encoder_part){.kind = ENCODER_VISION,
                                   .grid_width = 6,
                                   .grid_height = 9,
                                   .data = array(expected, "image.pixels_u8")};
    *frame = (struct encoder_part){.kind = ENCODER_VISION,
                                   .is_frame = true,
                                   .grid_width = 12,
                                   .grid_height = 3,
                                   .data = array(expected, "frame.pixels_u8")};
    *clip = (struct encoder_part){
        .kind = ENCODER_AUDIO, .n_frames = 5, .data = array(expected, "clip.samples")};
}

static void check(enum compute compute, double bound)
{
    struct expected expected = expected_open();
    struct encoder_group *group = new_group(1, compute);
    const struct model_config *config = encoder_group_model(group);
    size_t dim = config->hidden_size;
    struct encoder_part parts[3];
    get_parts(&expected, &parts[0], &parts[1], &parts[2]);
    static const char *const names[] = {"image.soft_tokens", "frame.soft_tokens",
                                        "clip.soft_tokens"};
    static const uint32_t n_tokens[] = {6, 4, 5};
    for (size_t i = 0; i < 3; i++) {
        ASSERT_EQ(encoder_n_tokens(config, &parts[i]), n_tokens[i]);
        compare(names[i], encoder_group_run(group, &parts[i], 1, 1), array(&expected, names[i]),
                n_tokens[i] * dim, bound);
    }
    encoder_group_destroy(group);
    expected_close(&expected);
}

TEST(soft_tokens_are_the_references)
{
    check(COMPUTE_F32, 1e-3);
    check(COMPUTE_BF16, 0.1);
}

TEST(bits_depend_on_the_part_alone)
{
    struct expected expected = expected_open();
    struct encoder_group *alone = new_group(1, COMPUTE_BF16);
    size_t dim = encoder_group_model(alone)->hidden_size;
    struct encoder_part parts[40], clip;
    get_parts(&expected, &parts[0], &parts[1], &clip);
    float want[10 * 24];
    ASSERT_EQ(dim, 24);
    memcpy(want, encoder_group_run(alone, &parts[0], 1, 1), 6 * dim * sizeof *want);
    memcpy(want + 6 * dim, encoder_group_run(alone, &parts[1], 1, 1), 4 * dim * sizeof *want);
    encoder_group_destroy(alone);
    for (uint32_t i = 2; i < 40; i++)
        parts[i] = parts[i % 2];
    for (uint32_t world_size = 1; world_size <= 4; world_size *= 2) {
        struct encoder_group *group = new_group(world_size, COMPUTE_BF16);
        for (uint32_t units = 1; units <= 5; units += 4) {
            const float *got = encoder_group_run(group, parts, 40, units);
            for (size_t i = 0; i < 20; i++)
                ASSERT_EQ(memcmp(got + i * 10 * dim, want, sizeof want), 0);
        }
        encoder_group_destroy(group);
    }
    expected_close(&expected);
}

TEST(parts_that_the_model_cannot_place_have_no_soft_tokens)
{
    struct encoder_group *group = new_group(1, COMPUTE_F32);
    const struct model_config *config = encoder_group_model(group);
    struct encoder_part part = {.kind = ENCODER_VISION, .grid_width = 120, .grid_height = 3};
    ASSERT_EQ(encoder_n_tokens(config, &part), 40);
    part.grid_width = 123; // the table has 40 places
    ASSERT_EQ(encoder_n_tokens(config, &part), 0);
    part = (struct encoder_part){.kind = ENCODER_VISION, .grid_width = 4, .grid_height = 3};
    ASSERT_EQ(encoder_n_tokens(config, &part), 0);
    part = (struct encoder_part){.kind = ENCODER_AUDIO, .n_frames = 751};
    ASSERT_EQ(encoder_n_tokens(config, &part), 0);
    part.n_frames = 750;
    ASSERT_EQ(encoder_n_tokens(config, &part), 750);
    encoder_group_destroy(group);
}
