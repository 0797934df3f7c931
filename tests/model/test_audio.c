/* tests/model/test_audio.c - the audio tower against the reference, stage by stage and whole; and
 * that its bits depend on the clip alone. */
#include <math.h>

#include "model/safetensors.h"
#include "tests/model/encoder_group.h"
#include "tests/test.h"

enum { N_CLIPS = 3, N_BINS = 128, MAX_PARTS = 4 };

static const char *const names[N_CLIPS] = {"second", "odd", "short"};
static const uint32_t n_frames[N_CLIPS] = {99, 237, 12}, n_tokens[N_CLIPS] = {25, 60, 3};

struct clips {
    unsigned char *bytes;
    struct safetensors *arrays;
    struct encoder_part parts[N_CLIPS];
};

static const float *find(const struct clips *clips, const char *name, const char *array,
                         size_t *out_n)
{
    char full[128];
    snprintf(full, sizeof full, "%s.%s", name, array);
    const struct safetensors_tensor *tensor = safetensors_find(clips->arrays, full);
    if (!tensor)
        test_fail(__FILE__, __LINE__, "no array %s", full);
    *out_n = tensor->n_bytes / sizeof(float);
    return (const float *)(const void *)tensor->data;
}

static struct clips clips_open(void)
{
    struct clips clips = {0};
    struct error err = {0};
    size_t n;
    clips.bytes = (unsigned char *)test_read_file("data/goldens/ple/audio.safetensors", &n);
    ASSERT_OK_ERR(safetensors_parse(clips.bytes, n, "audio", &clips.arrays, &err), err);
    for (int i = 0; i < N_CLIPS; i++) {
        clips.parts[i] = (struct encoder_part){.kind = ENCODER_AUDIO,
                                               .n_frames = n_frames[i],
                                               .data = find(&clips, names[i], "features", &n)};
        ASSERT(n >= (size_t)n_frames[i] * N_BINS);
    }
    return clips;
}

static void clips_close(struct clips *clips)
{
    safetensors_destroy(clips->arrays);
    free(clips->bytes);
}

static struct encoder_group *new_group(uint32_t world_size, enum compute compute)
{
    return encoder_group_create(&(struct encoder_group_config){
        .folder = "data/goldens/ple/checkpoint",
        .world_size = world_size,
        .compute = compute,
        .n_threads = world_size == 1 ? 2 : 1,
        .max_patches = 9 * 1120,
        .max_frames = 3000,
        .max_parts = MAX_PARTS,
    });
}

static void compare(const char *name, const float *got, const float *want, size_t n, double bound)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        double error = fabs((double)got[i] - (double)want[i]);
        worst = error > worst || isnan(error) ? error : worst;
    }
    if (!(worst <= bound))
        test_fail(__FILE__, __LINE__, "%s: off by %g, at most %g", name, worst, bound);
}

static void check_clips(enum compute compute, double bound)
{
    struct clips clips = clips_open();
    struct encoder_group *group = new_group(1, compute);
    for (int i = 0; i < N_CLIPS; i++) {
        size_t n;
        const float *want = find(&clips, names[i], "soft_tokens.0", &n);
        ASSERT_EQ(encoder_n_tokens(encoder_group_model(group), &clips.parts[i]), n_tokens[i]);
        compare(names[i], encoder_group_run(group, &clips.parts[i], 1, UINT32_MAX), want, n, bound);
    }
    encoder_group_destroy(group);
    clips_close(&clips);
}

TEST(soft_tokens_are_the_references)
{
    check_clips(COMPUTE_F32, 1e-3);
    check_clips(COMPUTE_BF16, 0.15);
}

struct stages {
    const struct clips *clips;
    uint32_t n_seen;
};

static void observe(void *context, const char *stage, uint32_t layer, const float *rows,
                    uint32_t n_rows, uint32_t dim)
{
    struct stages *stages = context;
    char array[64];
    size_t n;
    if (strcmp(stage, "layer") == 0)
        snprintf(array, sizeof array, "audio.layer%02u.out", layer);
    else
        snprintf(array, sizeof array, "audio.%s", stage);
    const float *want = find(stages->clips, "second", array, &n);
    ASSERT_EQ(n, (size_t)n_rows * dim);
    compare(array, rows, want, n, 1e-3);
    stages->n_seen++;
}

TEST(every_stage_of_the_tower_is_the_references)
{
    struct clips clips = clips_open();
    struct stages stages = {.clips = &clips};
    struct encoder_group *group = encoder_group_create(&(struct encoder_group_config){
        .folder = "data/goldens/ple/checkpoint",
        .world_size = 1,
        .n_threads = 1,
        .max_patches = 9 * 1120,
        .max_frames = 3000,
        .max_parts = 1,
        .observe = observe,
        .observe_context = &stages,
    });
    encoder_group_run(group, &clips.parts[0], 1, 1);
    ASSERT_EQ(stages.n_seen, encoder_group_model(group)->audio.num_hidden_layers + 2);
    encoder_group_destroy(group);
    clips_close(&clips);
}

// Seeded noise of any length.
static struct encoder_part noise(uint32_t n, float **out)
{
    uint64_t seed = n;
    *out = malloc((size_t)n * N_BINS * sizeof(float));
    ASSERT(*out != NULL);
    for (size_t i = 0; i < (size_t)n * N_BINS; i++)
        (*out)[i] = (float)(test_random(&seed) >> 40) * 0x1p-22F - 2;
    return (struct encoder_part){.kind = ENCODER_AUDIO, .n_frames = n, .data = *out};
}

// Clips of 1 to 275 tokens, alone and together, in units by threes and at once; with fewer rows
// than ranks, too.
static void check_bits(uint32_t world_size, enum compute compute)
{
    static const uint32_t lengths[MAX_PARTS] = {1, 500, 5, 1100};
    struct encoder_group *one = new_group(1, compute), *many = new_group(world_size, compute);
    uint32_t dim = encoder_group_model(one)->hidden_size, at = 0;
    struct encoder_part parts[MAX_PARTS];
    float *data[MAX_PARTS], *together = NULL;
    size_t n = 0;
    for (int i = 0; i < MAX_PARTS; i++) {
        parts[i] = noise(lengths[i], &data[i]);
        n += encoder_n_tokens(encoder_group_model(one), &parts[i]);
    }
    together = malloc(n * dim * sizeof *together);
    ASSERT(together != NULL);
    memcpy(together, encoder_group_run(many, parts, MAX_PARTS, 3), n * dim * sizeof *together);
    for (int i = 0; i < MAX_PARTS; i++) {
        uint32_t own = encoder_n_tokens(encoder_group_model(one), &parts[i]);
        const float *alone = encoder_group_run(one, &parts[i], 1, UINT32_MAX);
        size_t n_bytes = (size_t)own * dim * sizeof(float);
        ASSERT(memcmp(alone, together + (size_t)at * dim, n_bytes) == 0);
        ASSERT(memcmp(alone, encoder_group_run(many, &parts[i], 1, 1), n_bytes) == 0);
        at += own;
        free(data[i]);
    }
    free(together);
    encoder_group_destroy(one);
    encoder_group_destroy(many);
}

TEST(a_clips_bits_depend_on_it_alone)
{
    check_bits(1, COMPUTE_F32);
    check_bits(2, COMPUTE_BF16);
    check_bits(4, COMPUTE_F32);
    check_bits(8, COMPUTE_BF16);
}

TEST(lengths_are_limited)
{
    struct encoder_group *group = new_group(1, COMPUTE_F32);
    const struct model_config *model = encoder_group_model(group);
    static const uint32_t frames[] = {0, 1, 4, 5, 2999, 3001}, tokens[] = {0, 1, 1, 2, 750, 0};
    for (int i = 0; i < 6; i++) {
        struct encoder_part part = {.kind = ENCODER_AUDIO, .n_frames = frames[i]};
        ASSERT_EQ(encoder_n_tokens(model, &part), tokens[i]);
    }
    encoder_group_destroy(group);
}
