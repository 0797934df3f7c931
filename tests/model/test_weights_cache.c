/* tests/model/test_weights_cache.c - packed weights in files: what is mapped is what was packed,
 * and whatever is not the file that is wanted is passed over and replaced. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/checkpoint.h"
#include "model/encoder_weights.h"
#include "model/weights.h"
#include "model/weights_cache.h"
#include "model/weights_save.h"
#include "tests/model/folder.h"
#include "tests/test.h"

struct loaded {
    struct checkpoint *checkpoint;
    struct device_stream *stream;
    struct model_weights *weights;
    char notes[2048]; // of both threads, one after the other
    bool trouble;
};

static void take_note(void *context, bool trouble, const char *text)
{
    struct loaded *l = context;
    size_t n = strlen(l->notes);
    snprintf(l->notes + n, sizeof l->notes - n, "%s\n", text);
    l->trouble |= trouble;
}

static void load(struct loaded *l, const char *path, const char *cache_folder,
                 const struct model_load_options *format)
{
    struct error err = {0};
    *l = (struct loaded){0};
    struct model_load_options options = *format;
    if (cache_folder)
        options.cache_folders[0] = cache_folder;
    options.cache_note = take_note;
    options.cache_context = l;
    ASSERT_OK_ERR(checkpoint_open(path, &l->checkpoint, &err), err);
    ASSERT_OK_ERR(
        device_stream_create(&(struct device_stream_config){.n_threads = 2}, &l->stream, &err),
        err);
    ASSERT_OK_ERR(model_weights_load(checkpoint_config(l->checkpoint), l->checkpoint, &options,
                                     l->stream, &l->weights, &err),
                  err);
}

static void unload(struct loaded *l)
{
    model_weights_destroy(l->weights);
    device_stream_destroy(l->stream);
    checkpoint_destroy(l->checkpoint);
}

// Loads, and waits until what is to be saved is.
static void load_and_save(struct loaded *l, const char *path, const char *cache_folder,
                          const struct model_load_options *format)
{
    load(l, path, cache_folder, format);
    if (l->weights->saving)
        weights_saving_wait(l->weights->saving);
}

static void expect_note(const struct loaded *l, const char *part)
{
    if (!strstr(l->notes, part))
        test_fail(__FILE__, __LINE__, "no \"%s\" in: %s", part, l->notes);
}

// A cache folder of its own for a test, and the only file in it.
static char *new_cache_folder(void)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/gemmad-cache-XXXXXX");
    ASSERT(mkdtemp(path));
    return path;
}

static void cache_file(char *out, size_t n, const char *folder, const struct loaded *l)
{
    const char *begin = strstr(l->notes, "file=\"");
    ASSERT(begin);
    begin += strlen("file=\"");
    snprintf(out, n, "%.*s", (int)strcspn(begin, "\""), begin);
    ASSERT(strncmp(out, folder, strlen(folder)) == 0);
}

static void remove_cache_folder(const char *folder)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ASSERT_EQ(system(command), 0);
}

static void expect_same_bytes(const struct loaded *a, const struct loaded *b)
{
    ASSERT_EQ(a->weights->memory.bytes, b->weights->memory.bytes);
    ASSERT(memcmp(a->weights->memory.data, b->weights->memory.data, a->weights->memory.bytes) == 0);
}

TEST(what_is_mapped_is_what_was_packed_in_every_format_and_world)
{
    static const char *const goldens[] = {"dense", "moe", "ple"};
    static const enum weights_format formats[] = {WEIGHTS_AUTO, WEIGHTS_BF16, WEIGHTS_INT8,
                                                  WEIGHTS_INT4};
    char *folder = new_cache_folder();
    for (uint32_t i = 0; i < 3 * 4 * 3; i++) {
        const char *path = golden_path(goldens[i % 3]);
        struct model_load_options format = {.weights = formats[i / 3 % 4],
                                            .world_size = 1U << i / 12,
                                            .compute = i % 2 ? COMPUTE_BF16 : COMPUTE_F32};
        for (format.rank = 0; format.rank < format.world_size; format.rank++) {
            struct loaded packed, saved, mapped;
            load(&packed, path, NULL, &format);
            load_and_save(&saved, path, folder, &format);
            load(&mapped, path, folder, &format);
            expect_note(&saved, "state=saved");
            expect_note(&mapped, "state=mapped");
            ASSERT(!mapped.weights->saving && !saved.trouble);
            expect_same_bytes(&packed, &saved); // now its own file's pages
            expect_same_bytes(&packed, &mapped);
            unload(&packed);
            unload(&saved);
            unload(&mapped);
        }
    }
    remove_cache_folder(folder);
}

TEST(a_changed_checkpoint_is_packed_anew)
{
    struct folder *model = folder_of_golden("dense");
    const char *path = folder_write(model, 1);
    char *folder = new_cache_folder(), file[256];
    struct model_load_options format = {.world_size = 1};
    struct loaded l;
    load_and_save(&l, path, folder, &format);
    unload(&l);
    snprintf(file, sizeof file, "%s/model.safetensors", path);
    struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    ASSERT_EQ(utimensat(AT_FDCWD, file, times, 0), 0);
    load_and_save(&l, path, folder, &format);
    expect_note(&l, "made from another state of the checkpoint");
    expect_note(&l, "state=saved");
    unload(&l);
    load(&l, path, folder, &format);
    expect_note(&l, "state=mapped");
    unload(&l);
    folder_destroy(model);
    remove_cache_folder(folder);
}

static void damage(const char *file, int way)
{
    struct stat info;
    ASSERT_EQ(stat(file, &info), 0);
    int fd = open(file, O_RDWR);
    ASSERT(fd >= 0);
    switch (way) {
    case 0:
        ASSERT_EQ(ftruncate(fd, info.st_size - 1), 0);
        break;
    case 1:
        ASSERT_EQ(ftruncate(fd, 10), 0);
        break;
    case 2:
        ASSERT_EQ(ftruncate(fd, info.st_size + 4096), 0);
        break;
    case 3:
        ASSERT_EQ(fchmod(fd, 0666), 0);
        break;
    case 4:
        ASSERT_EQ(pwrite(fd, "x", 1, 0), 1);
        break;
    default: // a byte of each of the header's numbers in turn
        ASSERT_EQ(pwrite(fd, "\xEE", 1, 8 + (way - 5) * 4), 1);
    }
    close(fd);
}

TEST(a_file_that_is_not_the_one_that_is_wanted_is_replaced)
{
    char *folder = new_cache_folder(), file[256];
    const char *path = golden_path("dense");
    struct model_load_options format = {.world_size = 1, .weights = WEIGHTS_INT4};
    struct loaded packed, l;
    load(&packed, path, NULL, &format);
    load_and_save(&l, path, folder, &format);
    cache_file(file, sizeof file, folder, &l);
    unload(&l);
    for (int way = 0; way < 17; way++) {
        damage(file, way);
        load_and_save(&l, path, folder, &format);
        expect_note(&l, "state=unfit");
        expect_note(&l, "state=saved");
        expect_same_bytes(&packed, &l);
        unload(&l);
    }
    load(&l, path, folder, &format);
    expect_note(&l, "state=mapped");
    unload(&l);
    unload(&packed);
    remove_cache_folder(folder);
}

TEST(a_folder_that_others_may_write_to_is_not_used)
{
    char *folder = new_cache_folder();
    ASSERT_EQ(chmod(folder, 0777), 0);
    struct model_load_options format = {.world_size = 1};
    struct loaded l;
    load_and_save(&l, golden_path("dense"), folder, &format);
    ASSERT(l.trouble);
    expect_note(&l, "state=not_saved");
    unload(&l);
    remove_cache_folder(folder);
}

TEST(a_file_or_folder_of_somebody_else_is_not_used)
{
    if (geteuid() != 0)
        return; // only root can give files away
    char *folder = new_cache_folder(), file[256];
    struct model_load_options format = {.world_size = 1};
    struct loaded l;
    load_and_save(&l, golden_path("dense"), folder, &format);
    cache_file(file, sizeof file, folder, &l);
    unload(&l);
    ASSERT_EQ(chown(file, 12345, 12345), 0);
    load_and_save(&l, golden_path("dense"), folder, &format);
    expect_note(&l, "it belongs to, or can be written by, somebody else");
    expect_note(&l, "state=saved");
    unload(&l);
    ASSERT_EQ(chown(folder, 12345, 12345), 0);
    load_and_save(&l, golden_path("dense"), folder, &format);
    expect_note(&l, "its folder belongs to, or can be written by, somebody else");
    expect_note(&l, "state=not_saved");
    unload(&l);
    remove_cache_folder(folder);
}

TEST(links_are_not_followed)
{
    char *folder = new_cache_folder(), file[256], link_to[300];
    struct model_load_options format = {.world_size = 1};
    struct loaded l;
    load_and_save(&l, golden_path("dense"), folder, &format);
    cache_file(file, sizeof file, folder, &l);
    unload(&l);
    snprintf(link_to, sizeof link_to, "%s.moved", file);
    ASSERT_EQ(rename(file, link_to), 0);
    ASSERT_EQ(symlink(link_to, file), 0);
    load_and_save(&l, golden_path("dense"), folder, &format);
    expect_note(&l, "cannot be opened");
    expect_note(&l, "state=saved");
    unload(&l);
    remove_cache_folder(folder);
}

TEST(where_the_first_folder_cannot_be_used_the_second_is)
{
    char *folder = new_cache_folder(), below[200];
    snprintf(below, sizeof below, "%s/new/and/deep", folder);
    struct model_load_options format = {.world_size = 1,
                                        .cache_folders = {"/proc/read-only", below}};
    struct loaded l;
    load_and_save(&l, golden_path("ple"), NULL, &format);
    expect_note(&l, "state=saved");
    expect_note(&l, below);
    ASSERT(!l.trouble);
    unload(&l);
    load(&l, golden_path("ple"), NULL, &format);
    expect_note(&l, "state=mapped");
    unload(&l);
    remove_cache_folder(folder);
}

TEST(what_a_killed_process_left_is_written_over)
{
    char *folder = new_cache_folder(), file[256], left[300], junk[100000];
    struct model_load_options format = {.world_size = 1};
    struct loaded packed, l;
    load(&packed, golden_path("dense"), NULL, &format);
    load_and_save(&l, golden_path("dense"), folder, &format);
    cache_file(file, sizeof file, folder, &l);
    unload(&l);
    snprintf(left, sizeof left, "%s.new", file);
    ASSERT_EQ(rename(file, left), 0);
    memset(junk, 0xEE, sizeof junk);
    int fd = open(left, O_WRONLY | O_APPEND);
    ASSERT(fd >= 0 && write(fd, junk, sizeof junk) == sizeof junk);
    close(fd);
    load_and_save(&l, golden_path("dense"), folder, &format);
    expect_note(&l, "state=saved");
    expect_same_bytes(&packed, &l);
    unload(&l);
    ASSERT(access(left, F_OK) != 0);
    load(&l, golden_path("dense"), folder, &format);
    expect_note(&l, "state=mapped");
    expect_same_bytes(&packed, &l);
    unload(&l);
    unload(&packed);
    remove_cache_folder(folder);
}

TEST(a_folder_that_cannot_be_made_leaves_weights_in_memory)
{
    struct model_load_options format = {.world_size = 1};
    struct loaded packed, l;
    load(&packed, golden_path("ple"), NULL, &format);
    load_and_save(&l, golden_path("ple"), "/dev/null/cache", &format);
    ASSERT(l.trouble);
    expect_note(&l, "state=not_saved");
    expect_same_bytes(&packed, &l);
    unload(&l);
    unload(&packed);
}

TEST(savings_at_the_same_time_leave_one_whole_file)
{
    char *folder = new_cache_folder();
    const char *path = golden_path("moe");
    struct model_load_options format = {.world_size = 1, .weights = WEIGHTS_INT8};
    enum { N = 6 };
    struct loaded all[N], packed, mapped;
    load(&packed, path, NULL, &format);
    for (int i = 0; i < N; i++)
        load(&all[i], path, folder, &format);
    for (int i = 0; i < N; i++) {
        if (all[i].weights->saving)
            weights_saving_wait(all[i].weights->saving);
        ASSERT(!all[i].trouble);
        expect_same_bytes(&packed, &all[i]);
    }
    load(&mapped, path, folder, &format);
    expect_note(&mapped, "state=mapped");
    expect_same_bytes(&packed, &mapped);
    for (int i = 0; i < N; i++)
        unload(&all[i]);
    unload(&mapped);
    unload(&packed);
    remove_cache_folder(folder);
}

static struct encoder_weights *load_encoders(struct loaded *l, const char *folder, uint32_t rank)
{
    struct error err = {0};
    struct encoder_weights *weights = NULL;
    const struct model_load_options options = {
        .rank = rank,
        .world_size = 2,
        .compute = COMPUTE_BF16,
        .weights = WEIGHTS_INT4, // encoders stay as they are
        .cache_folders = {folder},
        .cache_note = take_note,
        .cache_context = l,
    };
    ASSERT_OK_ERR(encoder_weights_load(l->checkpoint, &options, l->stream, &weights, &err), err);
    if (weights->saving)
        weights_saving_wait(weights->saving);
    return weights;
}

TEST(encoders_have_one_file_beside_the_texts_for_all_ranks)
{
    char *folder = new_cache_folder();
    struct model_load_options format = {.world_size = 1, .compute = COMPUTE_BF16};
    struct loaded text;
    load_and_save(&text, golden_path("ple"), folder, &format);
    struct encoder_weights *packed = load_encoders(&text, folder, 0);
    expect_note(&text, "encoders-compute-bf16.weights\" bytes=");
    text.notes[0] = '\0';
    struct encoder_weights *mapped = load_encoders(&text, folder, 1);
    expect_note(&text, "state=mapped");
    ASSERT_EQ(mapped->memory.bytes, packed->memory.bytes);
    ASSERT_EQ(encoder_weights_bytes(text.checkpoint, COMPUTE_BF16), packed->memory.bytes);
    ASSERT_EQ(memcmp(mapped->memory.data, packed->memory.data, packed->memory.bytes), 0);
    for (uint32_t i = 0; i < 2; i++) { // scalars are set either way
        const struct encoder_weights *w = i == 0 ? packed : mapped;
        ASSERT_EQ(w->vision.layers[2].down.matrix.dtype, DTYPE_BF16);
        ASSERT(w->vision.layers[2].down.input_min < 0 && w->vision.layers[2].down.output_max > 0);
        ASSERT(w->vision.layers[2].down.output_max < 1e6F);
    }
    struct loaded again;
    load(&again, golden_path("ple"), folder, &format);
    expect_note(&again, "state=mapped"); // the text's file is its own
    encoder_weights_destroy(packed);
    encoder_weights_destroy(mapped);
    unload(&again);
    unload(&text);
    remove_cache_folder(folder);
}
