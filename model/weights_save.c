/* model/weights_save.c - see weights_save.h. The file is written under another name, which its
 * writer has locked: what a killed process left behind is not locked and is written over.
 *
 * When the disk fails in the middle, pieces that were exchanged stay pages of a file that has no
 * name any more; they are right, and the room on the disk comes back when the process ends. */
#include "model/weights_save.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text_buffer.h"

#define PIECE_BYTES ((size_t)64 << 20)

enum { BACKGROUND_NICE = 10 };

struct weights_saving {
    struct weights_cache cache;
    struct model_load_options options; // its folders are copies
    struct device_buffer memory;
    char temporary[80];
    pthread_t thread;
    bool joined;
    atomic_bool stop;
};

static enum status failed(struct error *err, const char *what)
{
    return error_set(err, errno == ENOSPC ? STATUS_RESOURCE_EXHAUSTED : STATUS_UNAVAILABLE,
                     "%s: %s", what, strerror(errno));
}

// The folder and those above it that are not there.
static enum status make_folders(const char *path, struct error *err)
{
    char *copy = mem_strdup(path);
    bool made = true;
    for (char *slash = copy; made && slash; slash = strchr(slash + 1, '/')) {
        *slash = slash == copy ? '/' : '\0';
        made = slash == copy || mkdir(copy, 0755) == 0 || errno == EEXIST || errno == EROFS ||
               errno == EACCES; // said when the folder is opened, if it matters
        *slash = '/';
    }
    free(copy);
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        return failed(err, "making the folder");
    return STATUS_OK;
}

static enum status open_folder(const char *path, int *out, struct error *err)
{
    enum status st = make_folders(path, err);
    if (st != STATUS_OK)
        return st;
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat info;
    if (folder < 0 || fstat(folder, &info) != 0)
        st = failed(err, "opening the folder");
    else if (!weights_cache_trusts(&info))
        st = error_set(err, STATUS_PERMISSION_DENIED,
                       "the folder belongs to, or can be written by, somebody else");
    if (st == STATUS_OK)
        *out = folder;
    else if (folder >= 0)
        close(folder);
    return st;
}

// ALREADY_EXISTS: another process writes the file, or has just finished.
static enum status open_locked(const struct weights_saving *saving, int folder, int *out,
                               struct error *err)
{
    int file = openat(folder, saving->temporary, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (file < 0)
        return failed(err, "making a file");
    struct stat info, named;
    enum status st = STATUS_OK;
    if (flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        st = STATUS_ALREADY_EXISTS;
    else if (fstat(file, &info) != 0 ||
             fstatat(folder, saving->temporary, &named, AT_SYMLINK_NOFOLLOW) != 0 ||
             info.st_ino != named.st_ino)
        st = STATUS_ALREADY_EXISTS; // it was given its name between the two calls above
    else if (!S_ISREG(info.st_mode) || !weights_cache_trusts(&info))
        st = error_set(err, STATUS_PERMISSION_DENIED, "%s belongs to somebody else",
                       saving->temporary);
    if (st == STATUS_OK)
        *out = file;
    else
        close(file);
    return st;
}

static enum status write_all(int file, const void *bytes, size_t n, size_t offset,
                             struct error *err)
{
    for (size_t at = 0; at < n;) {
        ssize_t written = pwrite(file, (const unsigned char *)bytes + at, n - at,
                                 (off_t)(offset + at));
        if (written < 0 && errno != EINTR)
            return failed(err, "writing");
        at += written > 0 ? (size_t)written : 0;
    }
    return STATUS_OK;
}

// Room is taken at once, where the file system can: a full disk shows before anything is written.
static enum status begin_file(const struct weights_saving *saving, int file, struct error *err)
{
    const struct weights_cache_header *header = &saving->cache.header;
    if (ftruncate(file, 0) != 0)
        return failed(err, "writing");
    if (fallocate(file, 0, 0, (off_t)(header->data_offset + header->data_bytes)) != 0 &&
        errno != EOPNOTSUPP && errno != ENOSYS)
        return failed(err, "writing");
    return write_all(file, header, sizeof *header, 0, err);
}

static enum status write_piece(const struct weights_saving *saving, int file, size_t begin,
                               struct error *err)
{
    size_t rest = saving->memory.bytes - begin, n = rest < PIECE_BYTES ? rest : PIECE_BYTES;
    size_t offset = saving->cache.header.data_offset + begin;
    enum status st = write_all(file, (const unsigned char *)saving->memory.data + begin, n, offset,
                               err);
    if (st == STATUS_OK && fdatasync(file) != 0)
        st = failed(err, "writing");
    if (st == STATUS_OK)
        st = device_buffer_exchange(&saving->memory, begin, n, file, offset, err);
    return st;
}

static enum status write_file(struct weights_saving *saving, int folder, int file,
                              struct error *err)
{
    enum status st = begin_file(saving, file, err);
    for (size_t at = 0; st == STATUS_OK && at < saving->memory.bytes; at += PIECE_BYTES) {
        st = write_piece(saving, file, at, err);
        if (st == STATUS_OK && atomic_load(&saving->stop))
            st = STATUS_CANCELLED;
    }
    if (st == STATUS_OK &&
        (fsync(file) != 0 || renameat(folder, saving->temporary, folder, saving->cache.name) != 0 ||
         fsync(folder) != 0))
        st = failed(err, "finishing the file");
    if (st != STATUS_OK)
        (void)unlinkat(folder, saving->temporary, 0);
    return st;
}

static enum status save_in(struct weights_saving *saving, const char *path, struct error *err)
{
    int folder = -1, file = -1;
    enum status st = open_folder(path, &folder, err);
    if (st != STATUS_OK)
        return st;
    st = open_locked(saving, folder, &file, err);
    if (st == STATUS_OK) {
        st = write_file(saving, folder, file, err);
        close(file);
    }
    close(folder);
    return st;
}

static void *save(void *context)
{
    struct weights_saving *saving = context;
    const struct model_load_options *options = &saving->options;
    const char *const *folders = options->cache_folders;
    struct text_buffer reasons = {0};
    enum status st = STATUS_UNAVAILABLE;
    uint64_t start = clock_now_ns();
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), BACKGROUND_NICE); // of this thread alone
    for (size_t i = 0; i < WEIGHTS_CACHE_FOLDERS && folders[i]; i++) {
        struct error err = {0};
        st = save_in(saving, folders[i], &err);
        if (st == STATUS_OK)
            weights_cache_note(
                options, false, "state=saved file=\"%s/%s\" bytes=%zu save_ms=%" PRIu64, folders[i],
                saving->cache.name, saving->memory.bytes, (clock_now_ns() - start) / NS_PER_MS);
        if (st == STATUS_ALREADY_EXISTS)
            weights_cache_note(options, false, "state=saved_by_another file=\"%s/%s\"", folders[i],
                               saving->cache.name);
        if (st == STATUS_OK || st == STATUS_ALREADY_EXISTS || st == STATUS_CANCELLED)
            break;
        text_buffer_append_format(&reasons, "%s%s: %s", i ? "; " : "", folders[i], err.message);
    }
    if (st != STATUS_OK && st != STATUS_ALREADY_EXISTS && st != STATUS_CANCELLED)
        weights_cache_note(options, true, "state=not_saved error=\"%s\"", reasons.data);
    text_buffer_finish(&reasons);
    return NULL;
}

struct weights_saving *weights_saving_create(const struct weights_cache *cache,
                                             const struct model_load_options *options,
                                             const struct device_buffer *memory)
{
    if (!options->cache_folders[0])
        return NULL;
    struct weights_saving *saving = mem_zeroed(1, sizeof *saving);
    saving->cache = *cache;
    saving->options = *options;
    saving->memory = *memory;
    for (size_t i = 0; i < WEIGHTS_CACHE_FOLDERS; i++)
        saving->options.cache_folders[i] = options->cache_folders[i]
                                               ? mem_strdup(options->cache_folders[i])
                                               : NULL;
    snprintf(saving->temporary, sizeof saving->temporary, "%s.new", cache->name);
    if (pthread_create(&saving->thread, NULL, save, saving) == 0)
        return saving;
    weights_cache_note(options, true, "state=not_saved error=\"cannot start a thread\"");
    saving->joined = true;
    weights_saving_destroy(saving);
    return NULL;
}

void weights_saving_wait(struct weights_saving *saving)
{
    if (saving->joined)
        return;
    pthread_join(saving->thread, NULL);
    saving->joined = true;
}

void weights_saving_destroy(struct weights_saving *saving)
{
    if (!saving)
        return;
    atomic_store(&saving->stop, true);
    weights_saving_wait(saving);
    for (size_t i = 0; i < WEIGHTS_CACHE_FOLDERS; i++)
        free((void *)(uintptr_t)saving->options.cache_folders[i]);
    free(saving);
}
