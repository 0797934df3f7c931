/* tests/media/test_patches.c - sizes and pixels against the reference's, for the fixtures' images,
 * and what resizing does at its edges. tests/media/test_image_parity.py has the many. */
#include "media/patches.h"

#include "base/json.h"
#include "media/media.h"
#include "media/resize.h"
#include "media/resize_steps.h"
#include "model/safetensors.h"
#include "tests/test.h"

static const uint32_t budgets[] = {70, 140, 280, 560, 1120};

TEST(sizes_equal_the_references)
{
    struct json_document *document;
    ASSERT_OK(json_parse_file(test_path("data/goldens/dense/image.json"), NULL, &document, NULL));
    const struct json_value *sizes = json_get(json_root(document), "resize");
    ASSERT(sizes && sizes->n >= 10);
    for (uint32_t i = 0; i < sizes->n; i++) {
        int64_t width, height, want[3];
        ASSERT(json_int64(json_get(&sizes->items[i], "width"), &width));
        ASSERT(json_int64(json_get(&sizes->items[i], "height"), &height));
        for (size_t b = 0; b < sizeof budgets / sizeof *budgets; b++) {
            char key[16];
            snprintf(key, sizeof key, "%" PRIu32, budgets[b]);
            const struct json_value *size = json_get(&sizes->items[i], key);
            struct patches_plan plan;
            enum status st = patches_plan((uint32_t)width, (uint32_t)height, budgets[b], &plan,
                                          NULL);
            if (size->type != JSON_ARRAY) { // the reference's error
                ASSERT_EQ(st, STATUS_INVALID_ARGUMENT);
                continue;
            }
            ASSERT_OK(st);
            for (uint32_t k = 0; k < 3; k++)
                ASSERT(json_int64(&size->items[k], &want[k]));
            ASSERT_EQ(plan.width, want[0]);
            ASSERT_EQ(plan.height, want[1]);
            ASSERT_EQ(plan.n_tokens, want[2]);
            ASSERT_EQ(plan.n_bytes, (size_t)want[2] * 9 * MEDIA_PATCH_BYTES);
        }
    }
    json_document_destroy(document);
}

TEST(other_budgets_and_impossible_shapes_are_refused)
{
    struct patches_plan plan;
    struct error err = {0};
    ASSERT_EQ(patches_plan(10, 10, 100, &plan, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, "70, 140, 280, 560 and 1120");
    ASSERT_EQ(patches_plan(10, 10, 0, &plan, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_EQ(patches_plan(0, 10, 70, &plan, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_EQ(patches_plan(10, IMAGE_MAX_SIDE + 1, 70, &plan, &err), STATUS_INVALID_ARGUMENT);
}

TEST(every_shape_has_a_plan_within_its_budget_or_is_refused)
{
    uint64_t random = 5;
    for (int i = 0; i < 100000; i++) {
        uint32_t width = (uint32_t)test_random_in(&random, 1, i % 2 ? 60 : IMAGE_MAX_SIDE);
        uint32_t height = (uint32_t)test_random_in(&random, 1, i % 3 ? IMAGE_MAX_SIDE : 60);
        uint32_t budget = budgets[i % 5];
        struct patches_plan plan;
        if (patches_plan(width, height, budget, &plan, NULL) != STATUS_OK)
            continue;
        ASSERT(plan.n_tokens >= 1 && plan.n_tokens <= budget);
        ASSERT_EQ(plan.width % 48, 0);
        ASSERT_EQ(plan.height % 48, 0);
        ASSERT_EQ((uint64_t)plan.width * plan.height, (uint64_t)plan.n_tokens * 48 * 48);
    }
}

// At most 2 levels off in at most 1 % of the values, as the fixtures' README allows.
static void compare_with_golden(const struct safetensors *arrays, const char *name)
{
    char path[128];
    size_t n_file;
    snprintf(path, sizeof path, "data/goldens/dense/images/%s.png", name);
    unsigned char *bytes = (unsigned char *)test_read_file(path, &n_file);
    struct image image;
    struct patches_plan plan;
    struct error err = {0};
    ASSERT_OK_ERR(image_decode(bytes, n_file, 1 << 24, &image, &err), err);
    ASSERT_OK(patches_plan(image.width, image.height, 70, &plan, NULL));
    unsigned char *patches = malloc(plan.n_bytes);
    patches_write(&image, &plan, patches);
    snprintf(path, sizeof path, "%s.pixels_u8", name);
    const struct safetensors_tensor *want = safetensors_find(arrays, path);
    ASSERT_EQ(plan.n_bytes, want->n_bytes);
    size_t n_different = 0;
    for (size_t i = 0; i < plan.n_bytes; i++) {
        int difference = abs((int)patches[i] - (int)want->data[i]);
        if (difference > 2)
            test_fail(__FILE__, __LINE__, "%s: value %zu is %d, want %d", name, i, patches[i],
                      want->data[i]);
        n_different += difference > 0;
    }
    printf("%s: %zu of %zu values are 1 or 2 levels off\n", name, n_different, plan.n_bytes);
    ASSERT(n_different * 100 <= plan.n_bytes);
    free(patches);
    image_finish(&image);
    free(bytes);
}

TEST(pixels_equal_the_references_within_its_tolerance)
{
    size_t n_bytes;
    char *bytes = test_read_file("data/goldens/dense/image.safetensors", &n_bytes);
    struct safetensors *arrays;
    ASSERT_OK(safetensors_parse((unsigned char *)bytes, n_bytes, "image", &arrays, NULL));
    static const char *const names[] = {"exact", "wide", "strip", "large"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        compare_with_golden(arrays, names[i]);
    safetensors_destroy(arrays);
    free(bytes);
}

TEST(one_colour_stays_itself_at_any_size)
{
    uint64_t random = 9;
    for (int i = 0; i < 60; i++) {
        struct image image = {(uint32_t)test_random_in(&random, 1, 90),
                              (uint32_t)test_random_in(&random, 1, 90), NULL};
        uint32_t width = (uint32_t)test_random_in(&random, 1, 90);
        uint32_t height = (uint32_t)test_random_in(&random, 1, 90);
        unsigned char colour = (unsigned char)test_random(&random);
        image.pixels = malloc((size_t)image.width * image.height * 3);
        memset(image.pixels, colour, (size_t)image.width * image.height * 3);
        unsigned char *out = malloc((size_t)width * height * 3);
        resize_bicubic(&image, width, height, out);
        for (size_t k = 0; k < (size_t)width * height * 3; k++)
            ASSERT_EQ(out[k], colour);
        free(out);
        image_finish(&image);
    }
}

TEST(vectors_resize_as_the_plain_steps_do)
{
    if (!__builtin_cpu_supports("avx2"))
        test_skip("no AVX2 here");
    uint64_t random = 11;
    for (int i = 0; i < 150; i++) {
        uint64_t most = i % 10 == 0 ? 3000 : 70;
        struct image image = {(uint32_t)test_random_in(&random, 1, most),
                              (uint32_t)test_random_in(&random, 1, 70), NULL};
        uint32_t width = (uint32_t)test_random_in(&random, 1, 120);
        uint32_t height = (uint32_t)test_random_in(&random, 1, 120);
        size_t n_in = (size_t)image.width * image.height * 3, n_out = (size_t)width * height * 3;
        image.pixels = malloc(n_in);
        for (size_t k = 0; k < n_in; k++) // half of the images: black and white alone
            image.pixels[k] = (unsigned char)(i % 2 ? test_random(&random)
                                                    : 255 * (test_random(&random) & 1));
        unsigned char *want = malloc(n_out), *got = malloc(n_out);
        resize_with(&resize_steps_plain, &image, width, height, want);
        resize_with(&resize_steps_avx2, &image, width, height, got);
        for (size_t k = 0; k < n_out; k++)
            if (got[k] != want[k])
                test_fail(__FILE__, __LINE__, "%ux%u to %ux%u: value %zu is %d, want %d",
                          image.width, image.height, width, height, k, got[k], want[k]);
        free(want);
        free(got);
        image_finish(&image);
    }
}
