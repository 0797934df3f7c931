/* tests/model/test_media.c - from pixels and mel features to tokens through executors: the
 * reference's continuations and prompt logprobs, in any cut of the encoding, any chunks of the
 * prompt and at any world size; and that executors refuse steps that no coordinator would send. */
#include "base/json.h"
#include "model/encoder.h"
#include "tests/model/feed.h"
#include "tests/model/goldens.h"
#include "tests/model/series.h"
#include "tests/test.h"

enum { MAX_POSITIONS = 512, PAGE_TOKENS = 16 };

// A case's parts, with what their data point to.
struct media_case {
    const struct golden_case *c;
    struct series_part parts[SERIES_MAX_PARTS];
    uint32_t n_parts;
};

static bool is_placeholder(const struct model_config *model, uint32_t id)
{
    return id == model->image_token_id || id == model->video_token_id ||
           id == model->audio_token_id;
}

// The next run of placeholders from `at` on.
static uint32_t find_run(const struct model_config *model, const struct golden_case *c, uint32_t at,
                         uint32_t *out_n)
{
    while (at < c->n_prompt && !is_placeholder(model, c->prompt[at]))
        at++;
    uint32_t end = at;
    while (end < c->n_prompt && c->prompt[end] == c->prompt[at])
        end++;
    *out_n = end - at;
    return at;
}

static void add_image(const struct goldens *images, const char *name, uint32_t width,
                      struct series_part *out)
{
    char array[64];
    size_t n;
    snprintf(array, sizeof array, "%s.pixels_u8", name);
    out->data = goldens_bytes(images->arrays, array, &n);
    out->part = (struct step_encode_part){
        .kind = ENCODER_VISION,
        .grid_width = width,
        .grid_height = (uint32_t)(n / 768) / width,
        .data_bytes = n,
    };
}

static void add_clip(const struct goldens *clips, const char *name, uint32_t n_frames,
                     struct series_part *out)
{
    char array[64];
    size_t n;
    snprintf(array, sizeof array, "%s.features", name);
    out->data = goldens_array(clips->arrays, array, true, &n);
    out->part = (struct step_encode_part){
        .kind = ENCODER_AUDIO,
        .n_frames = n_frames,
        .data_bytes = (uint64_t)n_frames * 128 * sizeof(float),
    };
}

static const struct json_value *golden_json(const struct goldens *goldens, uint32_t i)
{
    return &json_get(json_root(goldens->json), "cases")->items[i];
}

static uint32_t number(const struct json_value *value)
{
    int64_t n;
    ASSERT(json_int64(value, &n));
    return (uint32_t)n;
}

// False: the goldens have not the pixels of one of its images.
static bool read_media(const struct model_config *model, const struct goldens *goldens,
                       const struct goldens *images, uint32_t i, struct media_case *out)
{
    static const char *const with_pixels[] = {"exact", "wide", "strip", "large"};
    const struct json_value *json = golden_json(goldens, i);
    const struct json_value *names = json_get(json, "images");
    const struct json_value *clips = json_get(json, "audio");
    *out = (struct media_case){.c = &goldens->cases[i]};
    uint32_t at = 0, n_images = 0, n_clips = 0, n;
    for (at = find_run(model, out->c, 0, &n); n > 0; at = find_run(model, out->c, at + n, &n)) {
        struct series_part *part = &out->parts[out->n_parts++];
        if (out->c->prompt[at] == model->audio_token_id) {
            const struct json_value *clip = &json_get(json, "per_clip")->items[n_clips];
            add_clip(goldens, clips->items[n_clips++].text,
                     number(json_get(clip, "n_valid_frames")), part);
        } else {
            const char *name = names->items[n_images].text;
            const struct json_value *per_image = json_get(json, "per_image");
            bool known = false;
            for (size_t k = 0; k < sizeof with_pixels / sizeof *with_pixels; k++)
                known |= strcmp(name, with_pixels[k]) == 0;
            if (!known || json_get(json, "max_soft_tokens"))
                return false;
            uint32_t width = 177; // strip's, which audio.json does not say
            if (per_image)
                width = number(&json_get(&per_image->items[n_images], "patch_grid")->items[0]);
            add_image(images, name, width, part);
            n_images++;
        }
        part->first = at;
        part->n_tokens = n;
    }
    return true;
}

static void check_case(struct rank_group *group, const struct goldens *goldens,
                       const struct media_case *media, uint32_t max_units, uint32_t chunk)
{
    static struct series_result result;
    const struct golden_case *c = media->c;
    struct series_options options = {
        .n_new = c->n_tokens,
        .chunk = chunk,
        .n_logprobs = GOLDEN_TOP,
        .prompt_logprobs = true,
        .parts = media->parts,
        .n_parts = media->n_parts,
        .max_units = max_units,
    };
    series_run(group, c->prompt, c->n_prompt, &options, &result);
    for (uint32_t t = 0; t < c->n_tokens; t++) {
        if (result.tokens[t] != c->tokens[t])
            test_fail(__FILE__, __LINE__, "%s %s: token %u is %u, want %u (margin %g)",
                      goldens->folder, c->name, t, result.tokens[t], c->tokens[t], c->margin[t]);
        for (uint32_t i = 0; i < GOLDEN_TOP; i++)
            ASSERT_NEAR((double)result.logprobs[t][1 + i].logprob, c->top_logprobs[t][i], 2e-3);
    }
    char name[64];
    size_t n;
    snprintf(name, sizeof name, "%s.prompt_logprobs", c->name);
    const float *want = goldens_array(goldens->arrays, name, true, &n);
    ASSERT_EQ(result.n_prompt_logprobs, c->n_prompt - 1);
    for (uint32_t i = 0; i < n; i++)
        ASSERT_NEAR((double)result.prompt_logprobs[i], (double)want[i], 2e-3);
}

static void check_set(const char *fixture, const char *kind, uint32_t world)
{
    char folder[600], checkpoint[700];
    snprintf(folder, sizeof folder, "%s/%s", test_path("data/goldens"), fixture);
    snprintf(checkpoint, sizeof checkpoint, "%s/checkpoint", folder);
    struct goldens *goldens = goldens_open_media(folder, kind);
    struct goldens *images = goldens_open_media(folder, "image");
    struct rank_group *group = series_media_group(checkpoint, world, COMPUTE_F32, MAX_POSITIONS,
                                                  PAGE_TOKENS);
    uint32_t n_checked = 0;
    for (uint32_t i = 0; i < goldens->n_cases; i++) {
        struct media_case media;
        if (!read_media(rank_group_model(group), goldens, images, i, &media))
            continue;
        static const uint32_t units[] = {0, 1, 5}, chunks[] = {128, 17, 128};
        check_case(group, goldens, &media, units[n_checked % 3], chunks[n_checked % 3]);
        n_checked++;
    }
    ASSERT(n_checked >= 3);
    rank_group_destroy(group);
    goldens_close(images);
    goldens_close(goldens);
}

TEST(images_continue_as_the_reference_does_at_every_world_size)
{
    for (uint32_t world = 1; world <= 4; world *= 2) {
        check_set("dense", "image", world);
        check_set("moe", "image", world);
        check_set("ple", "image", world);
    }
}

TEST(clips_continue_as_the_reference_does_at_every_world_size)
{
    for (uint32_t world = 1; world <= 4; world *= 2)
        check_set("ple", "audio", world);
}
