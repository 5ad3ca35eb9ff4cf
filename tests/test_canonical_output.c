/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a canonical file gets to the disk (backends/state/canonical_pack.c, canonical_output.c).
 *
 * Proves: the file is the same, byte for byte, whether the kernel writes past the page cache,
 * refuses to, writes less than it was asked to or is interrupted, on a disk or in memory, with a
 * thread or without; and so for sizes around the pieces that are written. Whichever write fails for
 * good, and if the sync fails, the caller is told, no file stays, and what comes after fails, too.
 * Giving up in the middle works. Method: this program's own pwrite(), fcntl(), fdatasync() and
 * pthread_create(), which misbehave on demand; what the disk must look like is what a reader says.
 */
#include "base/hash.h"
#include "tests/support/canonical.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/syscall.h>

enum mood {
    PLAIN,
    FLAGS_REFUSED,  /* open or fcntl with O_DIRECT: EINVAL, as on some file systems */
    DIRECT_REFUSED, /* the write itself: EINVAL, as on others */
    DIRECT_SHORT,   /* an odd part is written, and no more */
    INTERRUPTED,    /* each second write: EINTR */
    NO_THREAD,      /* pthread_create(): EAGAIN */
    MOODS
};
static _Atomic enum mood mood;
static atomic_long writes_left = -1; /* then ENOSPC for good; negative: never */
static atomic_bool sync_fails;
static atomic_uint writes, direct_writes, threads;

static bool is_direct(int fd)
{
    return (syscall(SYS_fcntl, fd, F_GETFL) & O_DIRECT) != 0;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    bool direct = is_direct(fd);
    unsigned int number = atomic_fetch_add(&writes, 1);
    if (atomic_load(&writes_left) >= 0 && atomic_fetch_sub(&writes_left, 1) <= 0) {
        atomic_store(&writes_left, 0);
        errno = ENOSPC;
        return -1;
    }
    if (atomic_load(&mood) == INTERRUPTED && number % 2 == 0) {
        errno = EINTR;
        return -1;
    }
    if (direct && atomic_load(&mood) == DIRECT_REFUSED) {
        errno = EINVAL;
        return -1;
    }
    if (direct && atomic_load(&mood) == DIRECT_SHORT && size > 8192) {
        /* As if the disk had been left in the middle of a block. */
        uint8_t *copy = malloc(5000);
        memcpy(copy, data, 5000);
        (void)syscall(SYS_fcntl, fd, F_SETFL, syscall(SYS_fcntl, fd, F_GETFL) & ~O_DIRECT);
        long n = syscall(SYS_pwrite64, fd, copy, (size_t)5000, offset);
        (void)syscall(SYS_fcntl, fd, F_SETFL, syscall(SYS_fcntl, fd, F_GETFL) | O_DIRECT);
        free(copy);
        return n;
    }
    long n = syscall(SYS_pwrite64, fd, data, size, offset);
    atomic_fetch_add(&direct_writes, direct && n > 0);
    return n;
}

int fcntl(int fd, int command, ...)
{
    va_list args;
    va_start(args, command);
    long value = va_arg(args, long);
    va_end(args);
    if (command == F_SETFL && (value & O_DIRECT) && atomic_load(&mood) == FLAGS_REFUSED) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_fcntl, fd, command, value);
}

int fdatasync(int fd)
{
    if (atomic_load(&sync_fails)) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

int pthread_create(pthread_t *ret, const pthread_attr_t *attributes, void *(*fn)(void *), void *arg)
{
    typedef int create_fn(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    create_fn *real;
    *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    if (atomic_load(&mood) == NO_THREAD)
        return EAGAIN;
    atomic_fetch_add(&threads, 1);
    return real(ret, attributes, fn, arg);
}

/* ---- files ---- */

#define KEY_GROUP 7u

/* Entries whose packed size is about so many bytes, and any change of which shows. */
static void fill(struct entries *entries, size_t bytes, size_t value_size)
{
    CRN_AUTO_BUFFER struct cairn_buffer key = {0};
    CRN_AUTO_BUFFER struct cairn_buffer value = {0};
    for (uint32_t i = (uint32_t)entries->count; entries->raw_bytes + 6 < bytes; i++) {
        size_t size = bytes - entries->raw_bytes - 6;
        size = size < value_size ? size : value_size;
        crn_buf_clear(&key);
        crn_buf_clear(&value);
        ck_assert_int_eq(crn_buf_append_u8(&key, KEY_GROUP), 0);
        ck_assert_int_eq(crn_buf_append_u8(&key, (uint8_t)(i >> 24)), 0);
        ck_assert_int_eq(crn_buf_append_u8(&key, (uint8_t)(i >> 16)), 0);
        ck_assert_int_eq(crn_buf_append_be16(&key, (uint16_t)i), 0);
        ck_assert_int_eq(crn_buf_reserve(&value, size + 8), 0);
        for (size_t k = 0; k < size; k += 8) {
            uint64_t word = test_random();
            memcpy(value.data + k, &word, sizeof(word));
        }
        value.size = size;
        entries_add(entries, 0, KEY_GROUP, &key, &value);
    }
}

/* Written and read back, sums and all; always as the same file. */
static struct memory_file write_and_check(const char *path, const struct entries *entries)
{
    struct crn_canonical_header header = header_new(1);
    header.has_identity = true;
    struct crn_canonical_summary summary = write_file(path, &header, entries);
    struct memory_file file = load_file(path);
    struct crn_hash128 hash = crn_hash128_of(file.data, file.input.size);
    ck_assert_uint_eq(summary.size, file.input.size);
    ck_assert_uint_eq(summary.entry_count, entries->count);
    ck_assert_uint_eq(summary.crc32c, crn_crc32c(0, file.data, file.input.size));
    ck_assert_mem_eq(&summary.xxh3, &hash, sizeof(hash));
    ck_assert_int_eq(read_whole(&file, entries), 0);
    header_free(&header);
    return file;
}

static void assert_same(const struct memory_file *a, const struct memory_file *b)
{
    ck_assert_uint_eq(a->input.size, b->input.size);
    ck_assert(memcmp(a->data, b->data, a->input.size) == 0);
}

/* A huge value moves the output's buffer to where a direct write cannot take it. */
START_TEST(in_every_mood)
{
    char path[300];
    struct entries entries = {0};
    fill(&entries, (size_t)5 << 20, 1000);
    fill(&entries, (size_t)23 << 20, (size_t)18 << 20);
    fill(&entries, (size_t)27 << 20, 1000);
    temp_path(path, sizeof(path));
    struct memory_file expected = write_and_check(path, &entries);
    ck_assert_uint_gt(atomic_load(&threads), 0);
    bool has_direct = atomic_load(&direct_writes) > 0; /* this disk */
    for (int m = PLAIN + 1; m < MOODS; m++) {
        ck_assert_int_eq(unlink(path), 0);
        atomic_store(&mood, m);
        atomic_store(&direct_writes, 0);
        atomic_store(&threads, 0);
        struct memory_file file = write_and_check(path, &entries);
        atomic_store(&mood, PLAIN);
        assert_same(&file, &expected);
        file_free(&file);
        ck_assert(has_direct == (atomic_load(&direct_writes) > 0) || m == FLAGS_REFUSED ||
                  m == DIRECT_REFUSED || m == DIRECT_SHORT);
        ck_assert_uint_eq(atomic_load(&threads), m == NO_THREAD ? 0 : 1);
    }
    entries_free(&entries);
    file_free(&expected);
    temp_remove(path);
}
END_TEST

START_TEST(in_memory)
{
    char path[300], shared[] = "/dev/shm/cairn-canonical-XXXXXX";
    if (!mkdtemp(shared))
        return; /* there is none */
    struct entries entries = {0};
    fill(&entries, (size_t)4 << 20, 3000);
    temp_path(path, sizeof(path));
    struct memory_file expected = write_and_check(path, &entries);
    temp_remove(path);
    (void)snprintf(path, sizeof(path), "%s/file", shared);
    struct memory_file file = write_and_check(path, &entries);
    assert_same(&file, &expected);
    file_free(&file);
    file_free(&expected);
    entries_free(&entries);
    temp_remove(path);
}
END_TEST

/* Around one and two pieces of a megabyte, and around the blocks of the disk. */
START_TEST(of_every_size)
{
    static const long around[] = {-4097, -4096, -150, -100, -1, 0, 1, 100, 4095, 4096};
    char path[300];
    for (size_t pieces = 0; pieces < 3; pieces++)
        for (size_t i = 0; i < CRN_COUNT(around); i++) {
            long size = (long)(pieces << 20) + around[i];
            struct entries entries = {0};
            if (size < 0)
                continue;
            fill(&entries, (size_t)size, 60000);
            temp_path(path, sizeof(path));
            struct memory_file file = write_and_check(path, &entries);
            file_free(&file);
            entries_free(&entries);
            temp_remove(path);
        }
}
END_TEST

/* ---- failures ---- */

/* Writes a file that fails. What is reported, and by which call. */
static int write_badly(const char *path, const struct entries *entries, cairn_error **ret_error)
{
    struct crn_canonical_header header = header_new(1);
    struct crn_canonical_writer *writer = NULL;
    struct crn_canonical_summary summary = {.size = 77};
    ck_ok(crn_canonical_create(path, &header, &writer, reterr));
    int r = put_entries(writer, entries, ret_error);
    if (r < 0) { /* for good */
        const char *key = "\7\377later";
        ck_fails(crn_canonical_put(writer, 0, key, 7, "v", 1, reterr), r, path);
        ck_fails(crn_canonical_finish(writer, &summary, reterr), r, path);
    } else {
        r = crn_canonical_finish(writer, &summary, ret_error);
    }
    if (r < 0) {
        ck_assert_uint_eq(summary.size, 77); /* untouched */
        ck_assert_int_ne(access(path, F_OK), 0);
    }
    header_free(&header);
    return r;
}

/* _i: with a thread, or without. */
START_TEST(when_the_disk_is_full)
{
    char path[300];
    struct entries entries = {0};
    fill(&entries, (size_t)7 << 20, 5000);
    temp_path(path, sizeof(path));
    atomic_store(&mood, _i ? NO_THREAD : PLAIN);
    for (long n = 0;; n++) {
        cairn_error *error = NULL;
        atomic_store(&writes_left, n);
        int r = write_badly(path, &entries, &error);
        bool fired = atomic_load(&writes_left) == 0 && r < 0;
        atomic_store(&writes_left, -1);
        if (r == 0) {
            ck_assert_int_ge(n, 7); /* a write for each piece */
            break;
        }
        ck_assert(fired);
        ck_assert_int_eq(r, CAIRN_ENOSPC);
        ck_assert_int_eq(cairn_error_code(error), CAIRN_ENOSPC);
        ck_assert_ptr_nonnull(strstr(cairn_error_message(error), path));
        cairn_error_free(error);
    }
    atomic_store(&mood, PLAIN);
    entries_free(&entries);
    temp_remove(path);
}
END_TEST

/* The kernel's own failure, from the first byte on and in the middle of a piece. */
START_TEST(at_a_limit)
{
    const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
    char path[300];
    struct entries entries = {0};
    fill(&entries, (size_t)3 << 20, 5000);
    temp_path(path, sizeof(path));
    ck_assert(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    for (rlim_t limit = 0; limit < (rlim_t)3 << 20; limit += 300001) {
        const struct rlimit low = {limit, RLIM_INFINITY};
        cairn_error *error = NULL;
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &low), 0);
        int r = write_badly(path, &entries, &error);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
        ck_assert_int_lt(r, 0);
        ck_assert_int_eq(cairn_error_code(error), r);
        ck_assert_ptr_nonnull(strstr(cairn_error_message(error), path));
        cairn_error_free(error);
    }
    atomic_store(&sync_fails, true);
    cairn_error *error = NULL;
    ck_assert_int_eq(write_badly(path, &entries, &error), CAIRN_EIO);
    ck_assert_ptr_nonnull(strstr(cairn_error_message(error), "sync"));
    cairn_error_free(error);
    atomic_store(&sync_fails, false);
    ck_assert_int_eq(write_badly(path, &entries, NULL), 0); /* now well */
    entries_free(&entries);
    temp_remove(path);
}
END_TEST

START_TEST(given_up_in_the_middle)
{
    struct crn_canonical_header header = header_new(1);
    char path[300];
    struct entries entries = {0};
    fill(&entries, (size_t)5 << 20, 5000);
    temp_path(path, sizeof(path));
    for (size_t count = 1; count < entries.count; count += entries.count / 7) {
        const struct entries part = {.items = entries.items, .count = count};
        struct crn_canonical_writer *writer = NULL;
        ck_ok(crn_canonical_create(path, &header, &writer, reterr));
        ck_ok(put_entries(writer, &part, reterr));
        ck_ok(crn_canonical_finish(writer, NULL, reterr));
        ck_assert_int_ne(access(path, F_OK), 0);
    }
    header_free(&header);
    entries_free(&entries);
    temp_remove(path);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("canonical_output");
    TCase *c = tcase_create("written");
    tcase_set_timeout(c, 60);
    tcase_add_test(c, in_every_mood);
    tcase_add_test(c, in_memory);
    tcase_add_test(c, of_every_size);
    tcase_add_loop_test(c, when_the_disk_is_full, 0, 2);
    tcase_add_test(c, at_a_limit);
    tcase_add_test(c, given_up_in_the_middle);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return crn_test_run(suite());
}
