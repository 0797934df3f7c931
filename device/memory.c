/* device/memory.c - anonymous mappings, aligned to a huge page so that the kernel can use one from
 * the first byte on. Pages are not touched here: whoever fills a buffer does it with the threads
 * that will read it, which also places it on their NUMA node. */
#include "device/memory.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t whole_pages(size_t bytes)
{
    size_t page = page_bytes();
    return bytes == 0 ? page : (bytes + page - 1) / page * page;
}

// Maps bytes (whole pages) so that the start is a multiple of alignment (whole pages too).
static void *map_aligned(size_t bytes, size_t alignment, int protection)
{
    size_t slack = alignment - page_bytes();
    if (bytes > SIZE_MAX - slack)
        return NULL;
    void *mapping = mmap(NULL, bytes + slack, protection,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED)
        return NULL;
    size_t before = (alignment - (uintptr_t)mapping % alignment) % alignment;
    unsigned char *data = (unsigned char *)mapping + before;
    if (before > 0)
        munmap(mapping, before);
    if (slack > before)
        munmap(data + bytes, slack - before);
    return data;
}

enum status device_buffer_create(size_t bytes, const char *what, struct device_buffer *out,
                                 struct error *err)
{
    size_t page = page_bytes();
    size_t length = 0;
    void *data = NULL;
    if (bytes <= SIZE_MAX - page) {
        length = whole_pages(bytes);
        data = map_aligned(length, length >= DEVICE_HUGE_PAGE_BYTES ? DEVICE_HUGE_PAGE_BYTES : page,
                           PROT_READ | PROT_WRITE);
    }
    if (!data)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "%s: no memory for %zu bytes", what,
                         bytes);
    if (length >= DEVICE_HUGE_PAGE_BYTES)
        madvise(data, length, MADV_HUGEPAGE); // a kernel without them changes speed alone
    *out = (struct device_buffer){.data = data, .bytes = bytes};
    return STATUS_OK;
}

void device_buffer_destroy(struct device_buffer *buffer)
{
    if (buffer->data)
        munmap(buffer->data, whole_pages(buffer->bytes));
    *buffer = (struct device_buffer){0};
}

// A file's large folios are mapped as huge pages only where address and offset agree. The advice
// makes the kernel read such folios, 2 MiB at a time; MADV_WILLNEED would bring single pages, which
// are read 5 % slower ever after.
enum status device_buffer_map(int fd, size_t offset, size_t bytes, const char *what,
                              struct device_buffer *out, struct error *err)
{
    size_t length = whole_pages(bytes);
    void *data = map_aligned(length, DEVICE_HUGE_PAGE_BYTES, PROT_NONE);
    if (data &&
        mmap(data, length, PROT_READ, MAP_SHARED | MAP_FIXED, fd, (off_t)offset) == MAP_FAILED) {
        munmap(data, length);
        data = NULL;
    }
    if (!data)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "%s: mapping %zu bytes: %s", what, bytes,
                         strerror(errno));
    madvise(data, length, MADV_HUGEPAGE);
    *out = (struct device_buffer){.data = data, .bytes = bytes};
    return STATUS_OK;
}

// The file is mapped and read elsewhere first: the move is one step for everybody who reads.
enum status device_buffer_exchange(const struct device_buffer *buffer, size_t begin, size_t bytes,
                                   int fd, size_t offset, struct error *err)
{
    CHECK(begin % DEVICE_HUGE_PAGE_BYTES == 0 && begin + bytes <= buffer->bytes);
    struct device_buffer piece;
    enum status st = device_buffer_map(fd, offset, bytes, "a piece", &piece, err);
    if (st != STATUS_OK)
        return st;
    device_pages_read(piece.data, bytes);
    size_t length = whole_pages(bytes);
    void *place = (unsigned char *)buffer->data + begin;
    if (mremap(piece.data, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, place) != MAP_FAILED)
        return STATUS_OK;
    st = error_set(err, STATUS_RESOURCE_EXHAUSTED, "moving a mapping: %s", strerror(errno));
    device_buffer_destroy(&piece);
    return st;
}

static void *first_page(const void *data, size_t *bytes)
{
    size_t before = (uintptr_t)data % page_bytes();
    *bytes += before;
    return (void *)((uintptr_t)data - before);
}

void device_pages_read(const void *data, size_t bytes)
{
    unsigned char *begin = first_page(data, &bytes);
    if (bytes == 0 || madvise(begin, bytes, MADV_POPULATE_READ) == 0)
        return;
    for (size_t at = 0; at < bytes; at += page_bytes()) // a kernel before 5.14
        (void)*(volatile unsigned char *)(begin + at);
}

// The number behind "key" at the start of a line of the file ("" : the file's first word), or
// fallback when there is none; cgroup's "max" and v1's huge "unlimited" stay larger than any
// memory.
static uint64_t read_number(const char *path, const char *key, uint64_t fallback)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return fallback;
    uint64_t number = fallback;
    char line[256];
    while (fgets(line, sizeof line, file)) {
        size_t n = strlen(key);
        if (strncmp(line, key, n) != 0)
            continue;
        char *end;
        errno = 0;
        unsigned long long value = strtoull(line + n, &end, 10);
        if (end != line + n && errno == 0)
            number = value;
        break;
    }
    fclose(file);
    return number;
}

// What one cgroup folder still allows. Its file cache can be dropped, so it does not count as used:
// packed weights of the start before may be most of it.
static uint64_t cgroup_room(const char *folder, const char *limit_name, const char *usage_name,
                            const char *prefix)
{
    char path[PATH_MAX + 64], key[32];
    snprintf(path, sizeof path, "%s/%s", folder, limit_name);
    uint64_t limit = read_number(path, "", UINT64_MAX);
    if (limit == UINT64_MAX)
        return UINT64_MAX;
    snprintf(path, sizeof path, "%s/%s", folder, usage_name);
    uint64_t used = read_number(path, "", 0);
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    static const char *const lists[] = {"inactive_file ", "active_file "};
    for (int i = 0; i < 2; i++) {
        snprintf(key, sizeof key, "%s%s", prefix, lists[i]);
        uint64_t cache = read_number(path, key, 0);
        used -= cache < used ? cache : used;
    }
    return limit > used ? limit - used : 0;
}

// The least that this process's group and the groups around it allow. Inside a container the path
// may not exist below the mount: then only the mount itself, which is the container's own group.
static uint64_t hierarchy_room(const char *mount, const char *group, const char *limit_name,
                               const char *usage_name, const char *prefix)
{
    char folder[PATH_MAX];
    int n = snprintf(folder, sizeof folder, "%s%s", mount, group);
    if (n < 0 || (size_t)n >= sizeof folder)
        return UINT64_MAX;
    uint64_t room = UINT64_MAX;
    size_t mount_length = strlen(mount);
    for (;;) {
        uint64_t here = cgroup_room(folder, limit_name, usage_name, prefix);
        room = here < room ? here : room;
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < mount_length)
            return room;
        *slash = '\0';
    }
}

// Lines of /proc/self/cgroup are "number:controllers:path"; version 2 has "0::path".
static uint64_t cgroups_room(void)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (!file)
        return UINT64_MAX;
    uint64_t room = UINT64_MAX;
    char line[PATH_MAX];
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = '\0';
        controllers++;
        uint64_t here = UINT64_MAX;
        if (*controllers == '\0')
            here = hierarchy_room("/sys/fs/cgroup", group, "memory.max", "memory.current", "");
        else if (strcmp(controllers, "memory") == 0)
            here = hierarchy_room("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes",
                                  "memory.usage_in_bytes", "total_");
        room = here < room ? here : room;
    }
    fclose(file);
    return room;
}

size_t device_available_bytes(void)
{
    uint64_t kib = read_number("/proc/meminfo", "MemAvailable:", 0);
    uint64_t bytes = kib > UINT64_MAX / 1024 ? UINT64_MAX : kib * 1024;
    uint64_t room = cgroups_room();
    bytes = room < bytes ? room : bytes;
    return bytes > SIZE_MAX ? SIZE_MAX : (size_t)bytes;
}
