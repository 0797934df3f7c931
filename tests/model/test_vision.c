/* tests/model/test_vision.c - the vision tower against the reference, stage by stage and whole; and
 * that its bits depend on the image alone. */
#include "model/vision_job.h"

#include <math.h>

#include "base/mem.h"
#include "model/safetensors.h"
#include "tests/model/encoder_group.h"
#include "tests/test.h"

enum { MAX_IMAGES = 40, PATCH_BYTES = 768, MAX_PATCHES = 9 * 1120 };

struct image {
    char name[64]; // of the case
    struct encoder_part part;
    const float *soft_tokens; // [n_tokens, hidden_size]
    uint32_t n_tokens;
};

struct images {
    unsigned char *bytes;
    struct safetensors *arrays;
    uint32_t n;
    struct image all[MAX_IMAGES];
};

static const struct safetensors_tensor *find(const struct images *images, const char *name,
                                             const char *array)
{
    char full[128];
    snprintf(full, sizeof full, "%s.%s", name, array);
    return safetensors_find(images->arrays, full);
}

static int32_t position(const struct safetensors_tensor *positions, size_t patch, size_t axis)
{
    int32_t value;
    memcpy(&value, positions->data + (2 * patch + axis) * sizeof value, sizeof value);
    return value;
}

// A case's image, or the second frame of the clip.
static void add_image(struct images *images, const char *name, bool is_frame)
{
    const struct safetensors_tensor *pixels = find(images, name, "pixels_u8");
    const struct safetensors_tensor *positions = find(images, name, "position_ids");
    const struct safetensors_tensor *soft = is_frame ? find(images, "clip", "soft_tokens")
                                                     : find(images, name, "soft_tokens.0");
    ASSERT(pixels && positions && soft && images->n < MAX_IMAGES);
    size_t last = pixels->shape[0] - 1;
    struct image *image = &images->all[images->n++];
    snprintf(image->name, sizeof image->name, "%s", name);
    image->part = (struct encoder_part){.kind = ENCODER_VISION,
                                        .is_frame = is_frame,
                                        .grid_width = (uint32_t)position(positions, last, 0) + 1,
                                        .grid_height = (uint32_t)position(positions, last, 1) + 1,
                                        .data = pixels->data};
    image->n_tokens = image->part.grid_width * image->part.grid_height / TOKEN_ROWS;
    image->soft_tokens = (const float *)(const void *)soft->data;
    if (is_frame)
        image->soft_tokens += image->n_tokens * soft->shape[1];
}

static struct images images_open(const char *golden, const char *file)
{
    struct images images = {0};
    struct error err = {0};
    char path[128];
    size_t n;
    snprintf(path, sizeof path, "data/goldens/%s/%s.safetensors", golden, file);
    images.bytes = (unsigned char *)test_read_file(path, &n);
    ASSERT_OK_ERR(safetensors_parse(images.bytes, n, file, &images.arrays, &err), err);
    for (uint32_t i = 0; i < safetensors_n_tensors(images.arrays); i++) {
        const char *name = safetensors_at(images.arrays, i)->name;
        const char *end = strstr(name, ".pixels_u8");
        if (!end)
            continue;
        char of_case[64];
        snprintf(of_case, sizeof of_case, "%.*s", (int)(end - name), name);
        add_image(&images, of_case, strcmp(file, "video") == 0);
    }
    return images;
}

static void images_close(struct images *images)
{
    safetensors_destroy(images->arrays);
    free(images->bytes);
}

static struct encoder_group *new_group(const char *golden, uint32_t world_size,
                                       enum compute compute)
{
    char folder[128];
    snprintf(folder, sizeof folder, "data/goldens/%s/checkpoint", golden);
    return encoder_group_create(&(struct encoder_group_config){
        .folder = folder,
        .world_size = world_size,
        .compute = compute,
        .n_threads = world_size == 1 ? 2 : 1,
        .max_patches = MAX_PATCHES,
        .max_frames = 3000,
        .max_parts = MAX_IMAGES,
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

static void check_images(const char *golden, const char *file, enum compute compute, double bound)
{
    struct images images = images_open(golden, file);
    struct encoder_group *group = new_group(golden, 1, compute);
    uint32_t dim = encoder_group_model(group)->hidden_size;
    ASSERT(images.n > 0);
    for (uint32_t i = 0; i < images.n; i++) {
        const struct image *image = &images.all[i];
        ASSERT_EQ(encoder_n_tokens(encoder_group_model(group), &image->part), image->n_tokens);
        compare(image->name, encoder_group_run(group, &image->part, 1, UINT32_MAX),
                image->soft_tokens, (size_t)image->n_tokens * dim, bound);
    }
    encoder_group_destroy(group);
    images_close(&images);
}

TEST(soft_tokens_are_the_references)
{
    static const char *const goldens[] = {"dense", "moe", "ple"};
    for (size_t i = 0; i < 3; i++) {
        check_images(goldens[i], "image", COMPUTE_F32, 1e-3);
        check_images(goldens[i], "image", COMPUTE_BF16, 0.1);
    }
}

TEST(soft_tokens_of_frames_are_the_references)
{
    check_images("dense", "video", COMPUTE_F32, 1e-3);
    check_images("ple", "video", COMPUTE_F32, 1e-3);
    check_images("ple", "video", COMPUTE_BF16, 0.1);
}

struct stages {
    const struct images *images;
    const struct image *image;
    uint32_t n_seen;
};

static void observe(void *context, const char *stage, uint32_t layer, const float *rows,
                    uint32_t n_rows, uint32_t dim)
{
    struct stages *stages = context;
    if (!stages->image)
        return;
    char array[64];
    bool pooled = strcmp(stage, "pooled") == 0;
    if (strcmp(stage, "out") == 0)
        snprintf(array, sizeof array, "vision.layer%02u.out", layer);
    else
        snprintf(array, sizeof array, "vision.%s", stage);
    const struct safetensors_tensor *want = find(stages->images, "strip", array);
    ASSERT(want && want->shape[0] == n_rows && want->shape[1] == dim);
    const float *values = (const float *)(const void *)want->data;
    for (uint32_t row = 0; row < n_rows; row++) {
        uint32_t x, y;
        vision_patch_of(&stages->image->part, row, &x, &y);
        size_t at = pooled ? row : (size_t)y * stages->image->part.grid_width + x;
        compare(array, rows + (size_t)row * dim, values + at * dim, dim, 1e-3);
    }
    stages->n_seen++;
}

TEST(every_stage_of_the_tower_is_the_references)
{
    static const char *const goldens[] = {"dense", "moe", "ple"};
    for (size_t g = 0; g < 3; g++) {
        struct images images = images_open(goldens[g], "image");
        struct stages stages = {.images = &images};
        for (uint32_t i = 0; i < images.n; i++)
            if (strcmp(images.all[i].name, "strip") == 0)
                stages.image = &images.all[i];
        ASSERT(stages.image != NULL);
        char folder[128];
        snprintf(folder, sizeof folder, "data/goldens/%s/checkpoint", goldens[g]);
        struct encoder_group *group = encoder_group_create(&(struct encoder_group_config){
            .folder = folder,
            .world_size = 1,
            .n_threads = 1,
            .max_patches = MAX_PATCHES,
            .max_frames = 3000,
            .max_parts = 1,
            .observe = observe,
            .observe_context = &stages,
        });
        encoder_group_run(group, &stages.image->part, 1, UINT32_MAX);
        ASSERT_EQ(stages.n_seen, 2 + encoder_group_model(group)->vision.num_hidden_layers);
        encoder_group_destroy(group);
        images_close(&images);
    }
}

TEST(bits_depend_on_the_image_alone)
{
    for (enum compute compute = COMPUTE_F32; compute <= COMPUTE_BF16; compute++) {
        struct images images = images_open("ple", "image");
        struct encoder_part parts[MAX_IMAGES];
        size_t first[MAX_IMAGES + 1] = {0};
        struct encoder_group *alone = new_group("ple", 1, compute);
        uint32_t dim = encoder_group_model(alone)->hidden_size;
        for (uint32_t i = 0; i < images.n; i++) {
            parts[i] = images.all[i].part;
            first[i + 1] = first[i] + (size_t)images.all[i].n_tokens * dim;
        }
        float *want = mem_zeroed(first[images.n], sizeof *want);
        for (uint32_t i = 0; i < images.n; i++)
            memcpy(want + first[i], encoder_group_run(alone, &parts[i], 1, UINT32_MAX),
                   (first[i + 1] - first[i]) * sizeof *want);
        encoder_group_destroy(alone);
        for (uint32_t world_size = 1; world_size <= 8; world_size *= 2) {
            struct encoder_group *group = new_group("ple", world_size, compute);
            for (uint32_t units = 1; units < 100; units = 5 * units + 2) { // 1, 7, 37
                const float *got = encoder_group_run(group, parts, images.n, units);
                ASSERT_EQ(memcmp(got, want, first[images.n] * sizeof *want), 0);
            }
            encoder_group_destroy(group);
        }
        free(want);
        images_close(&images);
    }
}

TEST(grids_that_the_model_cannot_place_have_no_soft_tokens)
{
    struct encoder_group *group = new_group("dense", 1, COMPUTE_F32);
    const struct model_config *config = encoder_group_model(group);
    static const struct {
        uint32_t width, height, n_tokens;
    } cases[] = {
        {3, 3, 1},     {1023, 3, 341}, {3, 1023, 341},     {1026, 3, 0},       {3, 1026, 0},
        {0, 3, 0},     {4, 3, 0},      {3, 5, 0},          {3, 0, 0},          {120, 84, 1120},
        {102, 102, 0}, {99, 99, 1089}, {UINT32_MAX, 3, 0}, {3, UINT32_MAX, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct encoder_part part = {
            .kind = ENCODER_VISION, .grid_width = cases[i].width, .grid_height = cases[i].height};
        ASSERT_EQ(encoder_n_tokens(config, &part), cases[i].n_tokens);
    }
    struct encoder_part clip = {.kind = ENCODER_AUDIO, .n_frames = 100};
    ASSERT_EQ(encoder_n_tokens(config, &clip), 0); // the model has no ears
    encoder_group_destroy(group);
}
