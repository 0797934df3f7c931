// tests/media/test_decoder.c - files through real children: what comes out, what is refused, and
// what happens when a child dies, hangs or is fed bytes that are no file.
#include "media/decoder.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/media/decoder_fixture.h"

static struct media_wish wish_for(enum media_kind kind, const struct file *file)
{
    return (struct media_wish){.kind = kind, .bytes = file->bytes, .n_bytes = file->n_bytes};
}

static struct file read_image(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "data/goldens/dense/images/%s", name);
    struct file file;
    file.bytes = (unsigned char *)test_read_file(path, &file.n_bytes);
    return file;
}

static struct media *must_decode(struct media_decoder *decoder, const struct media_wish *wish)
{
    struct media *media;
    struct error err = {0};
    ASSERT_OK_ERR(media_decode(decoder, wish, &media, &err), err);
    return media;
}

static void must_refuse(struct media_decoder *decoder, const struct media_wish *wish,
                        const char *part)
{
    struct media *media;
    struct error err = {0};
    ASSERT_EQ(media_decode(decoder, wish, &media, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, part);
}

// Children of this process that are gemmad-media.
static uint32_t children(pid_t *out, uint32_t capacity)
{
    uint32_t n = 0;
    DIR *tasks = opendir("/proc/self/task");
    ASSERT(tasks);
    for (struct dirent *task; (task = readdir(tasks));) {
        if (task->d_name[0] == '.')
            continue;
        char list[300];
        snprintf(list, sizeof list, "/proc/self/task/%s/children", task->d_name);
        FILE *file = fopen(list, "re");
        int pid;
        while (file && n < capacity && fscanf(file, "%d", &pid) == 1)
            out[n++] = pid;
        if (file)
            fclose(file);
    }
    closedir(tasks);
    return n;
}

TEST(an_image_becomes_one_part)
{
    struct media_decoder_config config = default_config();
    struct media_decoder *decoder = new_decoder(&config);
    struct file file = read_image("exact.png");
    struct media_wish wish = wish_for(MEDIA_IMAGE, &file);
    wish.max_tokens = 70;
    struct media *media = must_decode(decoder, &wish);
    ASSERT_EQ(media->n_parts, 1);
    const struct media_part *part = &media->parts[0];
    ASSERT_EQ(part->n_tokens * MEDIA_TOKEN_PATCHES, part->grid_width * part->grid_height);
    ASSERT_EQ(part->n_bytes, (size_t)part->n_tokens * MEDIA_TOKEN_PATCHES * MEDIA_PATCH_BYTES);
    ASSERT_EQ(stats_of(decoder).n_decoded, 1);
    media_drop(media);
    media_decoder_destroy(decoder);
    free(file.bytes);
}

TEST(a_video_becomes_a_part_for_each_frame)
{
    struct media_decoder_config config = default_config();
    struct media_decoder *decoder = new_decoder(&config);
    struct file file = read_media("h264.mkv");
    struct media_wish wish = wish_for(MEDIA_VIDEO, &file);
    struct media *media = must_decode(decoder, &wish);
    media_decoder_destroy(decoder); // media outlive it
    ASSERT_EQ(media->n_parts, 32);
    for (uint32_t i = 0; i < 32; i++) {
        ASSERT_EQ(media->parts[i].timestamp_s, 2 * i);
        ASSERT(media->parts[i].n_tokens >= 1 && media->parts[i].n_tokens <= 70);
        ASSERT_EQ(media->parts[i].data[0] > 128, (2 * i) & 1); // bit 0 is the first square
        for (uint32_t j = 0; j < i; j++)
            ASSERT(media->parts[i].key[0] != media->parts[j].key[0]);
    }
    media_drop(media);
    free(file.bytes);
}

TEST(a_key_stands_for_content_and_budget)
{
    struct media_decoder_config config = default_config();
    struct media_decoder *decoder = new_decoder(&config);
    struct file file = read_image("exact.png");
    struct media_wish wish = wish_for(MEDIA_IMAGE, &file);
    struct media *first = must_decode(decoder, &wish);
    struct media *again = must_decode(decoder, &wish);
    wish.max_tokens = 70;
    struct media *smaller = must_decode(decoder, &wish);
    ASSERT(memcmp(first->parts[0].key, again->parts[0].key, sizeof first->parts[0].key) == 0);
    ASSERT(memcmp(first->parts[0].key, smaller->parts[0].key, sizeof first->parts[0].key) != 0);
    media_drop(first);
    media_drop(again);
    media_drop(smaller);
    media_decoder_destroy(decoder);
    free(file.bytes);
}

TEST(audio_becomes_mel_frames_or_raw_ones)
{
    struct media_decoder_config config = default_config();
    struct file file = read_media("tone.wav"); // 0.25 s
    struct media_wish wish = wish_for(MEDIA_AUDIO, &file);
    struct media_decoder *decoder = new_decoder(&config);
    struct media *media = must_decode(decoder, &wish);
    ASSERT(media->parts[0].n_frames >= 23 && media->parts[0].n_frames <= 25);
    ASSERT(media->parts[0].n_tokens >= 6 && media->parts[0].n_tokens <= 7);
    media_drop(media);
    media_decoder_destroy(decoder);
    config.audio = MEDIA_AUDIO_RAW;
    decoder = new_decoder(&config);
    media = must_decode(decoder, &wish);
    ASSERT_EQ(media->parts[0].n_frames, 7);
    ASSERT_EQ(media->parts[0].n_tokens, 7);
    ASSERT_EQ(media->parts[0].n_bytes, 7 * 640 * sizeof(float));
    media_drop(media);
    media_decoder_destroy(decoder);
    config.audio = MEDIA_AUDIO_NONE;
    decoder = new_decoder(&config);
    ASSERT_EQ(media_decode(decoder, &wish, &media, NULL), STATUS_UNIMPLEMENTED);
    media_decoder_destroy(decoder);
    free(file.bytes);
}

TEST(wrong_wishes_are_refused_in_words)
{
    struct media_decoder_config config = default_config();
    struct media_decoder *decoder = new_decoder(&config);
    struct file file = read_media("tone.wav");
    struct media_wish wish = wish_for(MEDIA_VIDEO, &file);
    must_refuse(decoder, &wish, "no video");
    wish.kind = MEDIA_AUDIO;
    wish.max_tokens = 70;
    must_refuse(decoder, &wish, "no budget");
    wish.kind = MEDIA_IMAGE;
    wish.max_tokens = 71;
    must_refuse(decoder, &wish, "70, 140");
    wish.max_tokens = 0;
    wish.n_bytes = 0;
    must_refuse(decoder, &wish, "empty");
    wish.n_bytes = config.max_file_bytes + 1;
    must_refuse(decoder, &wish, "beyond the limit");
    ASSERT_EQ(stats_of(decoder).n_rejected, 5);
    ASSERT_EQ(stats_of(decoder).n_child_deaths, 0);
    media_decoder_destroy(decoder);
    free(file.bytes);
}

TEST(a_program_that_is_none_is_not_waited_for)
{
    struct media_decoder_config config = default_config();
    struct media_decoder *decoder;
    struct error err = {0};
    config.program = "/nonexistent/gemmad-media";
    ASSERT_EQ(media_decoder_create(&config, &decoder, &err), STATUS_FAILED_PRECONDITION);
    config.program = "/bin/true";
    ASSERT_EQ(media_decoder_create(&config, &decoder, &err), STATUS_FAILED_PRECONDITION);
    config.timeout_ns = 0;
    ASSERT_EQ(media_decoder_create(&config, &decoder, &err), STATUS_INVALID_ARGUMENT);
}

TEST(every_codec_works_inside_the_sandbox)
{
    struct media_decoder_config config = default_config();
    struct media_decoder *decoder = new_decoder(&config);
    for (size_t s = 0; s < sizeof samples / sizeof *samples; s++) {
        struct file file = read_media(samples[s].name);
        struct media_wish wish = wish_for(samples[s].kind, &file);
        struct media *media;
        struct error err = {0};
        if (media_decode(decoder, &wish, &media, &err) != STATUS_OK)
            test_fail(__FILE__, __LINE__, "%s: %s", samples[s].name, err.message);
        media_drop(media);
        free(file.bytes);
    }
    ASSERT_EQ(stats_of(decoder).n_child_deaths, 0);
    media_decoder_destroy(decoder);
}

static size_t peak_bytes(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *file = fopen(path, "re");
    ASSERT(file);
    char line[256];
    size_t peak_kb = 0;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %zu", &peak_kb) == 1)
            break;
    fclose(file);
    return peak_kb * 1024;
}

TEST(a_bomb_takes_no_more_than_its_pixels)
{
    struct media_decoder_config config = default_config();
    config.n_children = 1;
    struct media_decoder *decoder = new_decoder(&config);
    pid_t pid;
    ASSERT_EQ(children(&pid, 1), 1);
    size_t before_bytes = peak_bytes(pid);
    struct file file = read_media("bomb.png"); // 64 million pixels of a few KB
    struct media_wish wish = wish_for(MEDIA_IMAGE, &file);
    media_drop(must_decode(decoder, &wish));
    ASSERT(peak_bytes(pid) - before_bytes < (size_t)64000000 * 4 + (64 << 20));
    ASSERT_EQ(stats_of(decoder).n_child_deaths, 0);
    media_decoder_destroy(decoder);
    free(file.bytes);
}

TEST(a_bomb_beyond_the_limit_of_pixels_is_refused_at_once)
{
    struct media_decoder_config config = default_config();
    config.max_pixels = 32 << 20;
    struct media_decoder *decoder = new_decoder(&config);
    struct file file = read_media("bomb.png");
    struct media_wish wish = wish_for(MEDIA_IMAGE, &file);
    uint64_t start_ns = clock_now_ns();
    must_refuse(decoder, &wish, "8000");
    ASSERT(clock_now_ns() - start_ns < 2 * NS_PER_S);
    ASSERT_EQ(stats_of(decoder).n_child_deaths, 0);
    media_decoder_destroy(decoder);
    free(file.bytes);
}

TEST(memory_that_a_child_lacks_is_a_refusal)
{
    struct media_decoder_config config = default_config();
    config.max_child_bytes = 48 << 20;
    struct media_decoder *decoder = new_decoder(&config);
    struct file file = read_media("bomb.png");
    struct media_wish wish = wish_for(MEDIA_IMAGE, &file);
    must_refuse(decoder, &wish, "");
    struct file small = read_image("exact.png");
    wish = wish_for(MEDIA_IMAGE, &small);
    media_drop(must_decode(decoder, &wish)); // and the next is served
    media_decoder_destroy(decoder);
    free(file.bytes);
    free(small.bytes);
}

struct caller {
    struct media_decoder *decoder;
    const struct file *file;
    atomic_bool *stop;
    int n_refused;
    pthread_t thread;
};

static void *call_again_and_again(void *argument)
{
    struct caller *caller = argument;
    while (!*caller->stop) {
        struct media_wish wish = wish_for(MEDIA_VIDEO, caller->file);
        struct media *media;
        enum status st = media_decode(caller->decoder, &wish, &media, NULL);
        if (st == STATUS_OK)
            media_drop(media);
        caller->n_refused += st == STATUS_INVALID_ARGUMENT;
        if (st != STATUS_OK && st != STATUS_INVALID_ARGUMENT)
            abort();
    }
    return NULL;
}

TEST(children_killed_at_random_cost_at_most_a_retry)
{
    struct media_decoder_config config = default_config();
    struct media_decoder *decoder = new_decoder(&config);
    struct file file = read_media("h264.mp4");
    atomic_bool stop = false;
    struct caller callers[3];
    for (int i = 0; i < 3; i++) {
        callers[i] = (struct caller){.decoder = decoder, .file = &file, .stop = &stop};
        pthread_create(&callers[i].thread, NULL, call_again_and_again, &callers[i]);
    }
    uint64_t random = 9;
    for (int i = 0; i < 12; i++) {
        struct timespec pause = {0, (long)test_random_in(&random, 50, 150) * 1000000};
        nanosleep(&pause, NULL);
        pid_t pids[8];
        uint32_t n = children(pids, 8);
        if (n > 0)
            kill(pids[test_random_in(&random, 0, n - 1)], SIGKILL);
    }
    uint64_t before = stats_of(decoder).n_decoded;
    uint64_t end_ns = clock_now_ns() + 60 * NS_PER_S;
    while (stats_of(decoder).n_decoded < before + 4 && clock_now_ns() < end_ns)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    ASSERT(stats_of(decoder).n_decoded >= before + 4);
    stop = true;
    int n_refused = 0;
    for (int i = 0; i < 3; i++) {
        pthread_join(callers[i].thread, NULL);
        n_refused += callers[i].n_refused;
    }
    ASSERT(stats_of(decoder).n_child_deaths >= 1);
    ASSERT(2 * (uint64_t)n_refused <= stats_of(decoder).n_child_deaths); // two in one file
    media_decoder_destroy(decoder);
    free(file.bytes);
    pid_t left[8];
    ASSERT_EQ(children(left, 8), 0);
}

TEST(a_child_that_takes_too_long_is_replaced)
{
    struct media_decoder_config config = default_config();
    config.timeout_ns = 200 * NS_PER_MS;
    config.n_children = 1;
    struct media_decoder *decoder = new_decoder(&config);
    pid_t pid;
    ASSERT_EQ(children(&pid, 1), 1);
    kill(pid, SIGSTOP);
    struct file file = read_media("tone_float.wav");
    struct media_wish wish = wish_for(MEDIA_AUDIO, &file);
    struct media *media = NULL;
    enum status st = media_decode(decoder, &wish, &media, NULL); // the retry may wait for a start
    ASSERT(st == STATUS_OK || st == STATUS_RESOURCE_EXHAUSTED);
    media_drop(media);
    ASSERT_EQ(stats_of(decoder).n_child_deaths, 1);
    media_decoder_destroy(decoder);
    free(file.bytes);
}
