/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Proves what the posix store adds to the contract of test_store.c: how it transfers, that it syncs
 * every directory that needs it and tells when that failed, that killed writers leave nothing
 * visible, that processes exclude each other, that nothing leads out of the root, and that a full
 * or forbidden disk is an ordinary error (P1, P6, P11). Method: real files, processes and signals;
 * fsync(2) and fdatasync(2) are replaced in this program, to see what is synced and to make it
 * fail.
 */

#include "tests/support/stores.h"

#include "base/file.h"
#include "base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static cairn_store *store;

/* ---- the disk's part, replaced ---- */

static struct {
    struct cairn_buffer synced; /* paths below the store's root, each with a final newline */
    int fail_fsync;             /* an errno */
    int fail_fdatasync;
    int fail_rename;
} disk;

int fsync(int fd);
int fdatasync(int fd);
int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned int flags);

int fsync(int fd)
{
    char link[64], path[4096];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof(path) - 1);
    path[n > 0 ? n : 0] = 0;
    if (disk.fail_fsync != 0) {
        errno = disk.fail_fsync;
        return -1;
    }
    const char *below = strstr(path, "/store");
    if (crn_buf_printf(&disk.synced, "%s\n", below != NULL ? below + 6 : path) < 0)
        abort();
    return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    if (disk.fail_fdatasync != 0) {
        errno = disk.fail_fdatasync;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned int flags)
{
    if (disk.fail_rename != 0) {
        errno = disk.fail_rename;
        return -1;
    }
    return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
}

/* What was synced since the last call. */
static void expect_synced(const char *expected)
{
    ck_assert_int_eq(crn_buf_append(&disk.synced, "", 0), 0);
    ck_assert_str_eq((char *)disk.synced.data, expected);
    crn_buf_done(&disk.synced);
}

START_TEST(flush_syncs_what_changed_and_above)
{
    store = stores_open(STORE_AUTO);
    ck_assert_int_eq(stores_put_text(store, "job/chk-1/a", "a"), 0);
    ck_assert_int_eq(stores_put_text(store, "job/chk-1/b", "b"), 0);
    ck_assert_int_eq(stores_put_text(store, "job/shared/c", "c"), 0);
    expect_synced("");
    ck_assert_int_eq(store->ops->flush(store, NULL), 0);
    expect_synced("\n/job\n/job/chk-1\n/job/shared\n");
    ck_assert_int_eq(store->ops->flush(store, NULL), 0);
    expect_synced("");
    ck_assert_int_eq(stores_put_text(store, "job/shared/d", "d"), 0);
    ck_assert_int_eq(store->ops->flush(store, NULL), 0);
    expect_synced("/job/shared\n");
    ck_assert_int_eq(store->ops->create(store, "job/MANIFEST-chk1", "m", 1, NULL), 0);
    expect_synced("\n/job\n");
    ck_assert_int_eq(stores_remove(store, "job/chk-1/a"), 0);
    ck_assert_int_eq(stores_remove(store, "job/chk-1/b"), 0);
    ck_assert_int_eq(store->ops->flush(store, NULL), 0);
    expect_synced("/job\n");
    /* The same name again is another directory. */
    ck_assert_int_eq(stores_put_text(store, "job/chk-1/a", "a"), 0);
    ck_assert_int_eq(store->ops->flush(store, NULL), 0);
    expect_synced("\n/job\n/job/chk-1\n");
    store->ops->close(store);
}
END_TEST

START_TEST(a_failed_sync_is_never_forgotten)
{
    store = stores_open(STORE_AUTO);
    ck_assert_int_eq(stores_put_text(store, "job/shared/a", "a"), 0);
    disk.fail_fsync = EIO;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    ck_assert_int_eq(store->ops->flush(store, &error), CAIRN_EIO);
    ck_assert_int_eq(cairn_error_errno(error), EIO);
    disk.fail_fsync = 0;
    ck_assert_int_eq(store->ops->flush(store, NULL), CAIRN_EIO);
    ck_assert_int_eq(store->ops->create(store, "job/MANIFEST-chk1", "m", 1, NULL), CAIRN_EIO);
    stores_expect_missing(store, "job/MANIFEST-chk1");
    stores_expect(store, "job/shared/a", "a", 1);
    store->ops->close(store);
    store = stores_open(STORE_AUTO);
    ck_assert_int_eq(store->ops->create(store, "job/MANIFEST-chk1", "m", 1, NULL), 0);
    crn_buf_done(&disk.synced);
    store->ops->close(store);
}
END_TEST

START_TEST(a_create_that_cannot_be_synced_is_unknown)
{
    store = stores_open(STORE_AUTO);
    disk.fail_fsync = EIO;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    ck_assert_int_eq(store->ops->create(store, "job/MANIFEST-chk1", "m", 1, &error),
                     CAIRN_EUNKNOWN);
    ck_assert_str_eq(cairn_error_object(error), "job/MANIFEST-chk1");
    stores_expect(store, "job/MANIFEST-chk1", "m", 1);
    store->ops->close(store);
}
END_TEST

/* A network file system can apply a rename after it gave up on it. Who then finds the object there
 * asks for a flush, and believes it. */
START_TEST(a_name_that_may_stand_is_synced_by_the_next_flush)
{
    store = stores_open(STORE_AUTO);
    disk.fail_rename = EIO;
    ck_assert_int_eq(store->ops->create(store, "job/MANIFEST-chk1", "m", 1, NULL), CAIRN_EUNKNOWN);
    disk.fail_rename = 0;
    ck_assert_int_eq(store->ops->flush(store, NULL), 0);
    expect_synced("\n/job\n");
    store->ops->close(store);
}
END_TEST

START_TEST(bytes_that_cannot_be_synced_get_no_name)
{
    store = stores_open(STORE_AUTO);
    disk.fail_fdatasync = ENOSPC;
    ck_assert_int_eq(stores_put_text(store, "job/shared/a", "a"), CAIRN_ENOSPC);
    ck_assert_int_eq(store->ops->create(store, "job/b", "b", 1, NULL), CAIRN_ENOSPC);
    disk.fail_fdatasync = 0;
    CRN_AUTO_FREE char *keys = stores_list(store, "");
    ck_assert_str_eq(keys, "");
    ck_assert_int_eq(stores_count_temps(), 0);
    ck_assert_int_eq(stores_put_text(store, "job/shared/a", "a"), 0);
    store->ops->close(store);
}
END_TEST

START_TEST(a_flush_that_could_not_look_is_repeated)
{
    struct rlimit before, none;
    store = stores_open(STORE_AUTO);
    ck_assert_int_eq(stores_put_text(store, "job/a", "a"), 0);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    int r = store->ops->flush(store, NULL);
    int put = stores_put_text(store, "job/b", "b");
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    ck_assert_int_eq(r, CAIRN_EUNAVAIL);
    ck_assert_int_eq(put, CAIRN_EUNAVAIL);
    ck_assert_int_eq(store->ops->flush(store, NULL), 0);
    expect_synced("\n/job\n");
    store->ops->close(store);
}
END_TEST

/* ---- transfer modes ---- */

static int never_read(cairn_source *source, uint64_t offset, void *data, size_t n,
                      cairn_error **reterr)
{
    (void)source;
    (void)offset;
    (void)data;
    (void)n;
    return cairn_error_set(reterr, CAIRN_EINTERNAL, NULL, 0, "read, where a link was possible");
}

static int put_file(const char *key, const char *path, bool may_read, cairn_put_how *how)
{
    struct crn_bytes_source source;
    crn_bytes_source_init(&source, "content", 7);
    if (!may_read)
        source.source.read = never_read;
    source.source.link_path = path;
    return store->ops->put(store, key, &source.source, how, NULL);
}

static ino_t inode(const char *path)
{
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    return st.st_ino;
}

START_TEST(link_and_copy)
{
    CRN_AUTO_FREE char *file = stores_path("file");
    CRN_AUTO_FREE char *object = stores_path("store/j/x");
    CRN_AUTO_FREE char *out = stores_path("out");
    CRN_AUTO_FREE uint8_t *data = NULL;
    size_t size;
    cairn_put_how how = CAIRN_PUT_CLONED;
    ck_assert_int_eq(crn_file_write_new(file, "content", 7, false, NULL), 0);
    store = stores_open(_i);
    ck_assert_int_eq(put_file("j/x", file, _i == STORE_COPY, &how), 0);
    ck_assert_int_eq(how, _i == STORE_COPY ? CAIRN_PUT_COPIED : CAIRN_PUT_LINKED);
    ck_assert_int_eq(inode(file) == inode(object), _i != STORE_COPY);
    ck_assert_int_eq(put_file("j/x", file, _i == STORE_COPY, &how), 0); /* its reply got lost */
    ck_assert_int_eq(stores_put_text(store, "j/mem", "no file"), 0);
    int r = store->ops->link_out(store, "j/x", out, &how, NULL);
    if (_i == STORE_COPY) {
        ck_assert_int_eq(r, CAIRN_EUNSUPPORTED);
    } else {
        ck_assert_int_eq(r, 0);
        ck_assert_int_eq(how, CAIRN_PUT_LINKED);
        ck_assert_int_eq(crn_file_read_all(out, 99, &data, &size, NULL), 0);
        ck_assert_str_eq((char *)data, "content");
        ck_assert_int_eq(store->ops->link_out(store, "j/x", out, &how, NULL), CAIRN_EEXIST);
        ck_assert_int_eq(store->ops->link_out(store, "j/y", out, &how, NULL), CAIRN_ENOTFOUND);
    }
    /* A file that is not what it was said to be is not linked. */
    ck_assert_int_eq(truncate(file, 3), 0);
    r = put_file("j/z", file, false, &how);
    ck_assert_int_eq(r, _i == STORE_COPY ? CAIRN_EINTERNAL : CAIRN_ECORRUPT);
    stores_expect_missing(store, "j/z");
    store->ops->close(store);
}
END_TEST

START_TEST(other_file_systems_are_copied_to)
{
    char file[] = "/dev/shm/cairn-test-XXXXXX";
    int fd = mkstemp(file);
    struct stat there, here;
    ck_assert_int_eq(stat(stores_dir, &here), 0);
    if (fd < 0 || fstat(fd, &there) < 0 || there.st_dev == here.st_dev) {
        (void)fprintf(stderr, "# skipped: /dev/shm is no other file system\n");
        return;
    }
    ck_assert_int_eq(crn_file_pwrite_all(fd, "content", 7, 0, file, NULL), 0);
    ck_assert_int_eq(close(fd), 0);
    cairn_put_how how = CAIRN_PUT_LINKED;
    store = stores_open(STORE_AUTO);
    int copied = put_file("j/x", file, true, &how);
    store->ops->close(store);
    store = stores_open(STORE_LINK);
    int linked = put_file("j/y", file, true, &how);
    stores_expect(store, "j/x", "content", 7);
    stores_expect_missing(store, "j/y");
    store->ops->close(store);
    ck_assert_int_eq(unlink(file), 0);
    ck_assert_int_eq(copied, 0);
    ck_assert_int_eq(how, CAIRN_PUT_COPIED);
    ck_assert_int_eq(linked, CAIRN_EUNSUPPORTED);
}
END_TEST

START_TEST(reflink_or_an_error)
{
    CRN_AUTO_FREE char *file = stores_path("file");
    CRN_AUTO_FREE char *root = stores_path("store");
    cairn_put_how how = CAIRN_PUT_COPIED;
    ck_assert_int_eq(crn_file_write_new(file, "content", 7, false, NULL), 0);
    ck_assert_int_eq(crn_posix_store_open(root, CRN_TRANSFER_REFLINK, true, &store, NULL), 0);
    int r = put_file("j/x", file, false, &how);
    if (r == 0) {
        ck_assert_int_eq(how, CAIRN_PUT_CLONED);
        stores_expect(store, "j/x", "content", 7);
    } else {
        ck_assert_int_eq(r, CAIRN_EUNSUPPORTED);
        stores_expect_missing(store, "j/x");
    }
    ck_assert_int_eq(stores_count_temps(), 0);
    ck_assert_int_eq(stores_put_text(store, "j/y", "from memory"), 0);
    store->ops->close(store);
}
END_TEST

/* ---- processes ---- */

enum { PROCESSES = 4, ROUNDS = 50 };

static int create_all(void *context)
{
    const int *start = context;
    char go;
    int won = 0;
    cairn_store *mine = stores_open(STORE_AUTO);
    if (read(start[0], &go, 1) != 0) /* until the parent closes its end */
        return 255;
    for (int round = 0; round < ROUNDS; round++) {
        char key[32];
        (void)snprintf(key, sizeof(key), "job/MANIFEST-chk%d", round);
        int r = mine->ops->create(mine, key, &round, sizeof(round), NULL);
        if (r != 0 && r != CAIRN_EEXIST)
            return 254;
        won += r == 0;
    }
    mine->ops->close(mine);
    return won;
}

START_TEST(of_many_processes_one_creates)
{
    int start[2], total = 0;
    pid_t children[PROCESSES];
    ck_assert_int_eq(pipe(start), 0);
    for (int i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        ck_assert_int_ge(children[i], 0);
        if (children[i] == 0) {
            (void)close(start[1]);
            _exit(create_all(start));
        }
    }
    ck_assert_int_eq(close(start[1]), 0);
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        ck_assert_int_eq(waitpid(children[i], &status, 0), children[i]);
        ck_assert(WIFEXITED(status) && WEXITSTATUS(status) <= ROUNDS);
        total += WEXITSTATUS(status);
    }
    ck_assert_int_eq(close(start[0]), 0);
    ck_assert_int_eq(total, ROUNDS);
    store = stores_open(STORE_AUTO);
    for (int round = 0; round < ROUNDS; round++) {
        char key[32];
        (void)snprintf(key, sizeof(key), "job/MANIFEST-chk%d", round);
        stores_expect(store, key, &round, sizeof(round));
    }
    ck_assert_int_eq(stores_count_temps(), 0);
    store->ops->close(store);
}
END_TEST

struct stuck_source {
    cairn_source source;
    int report; /* told when the put is half-way */
    int wait;   /* read until its other end is closed */
};

static int read_and_stick(cairn_source *base, uint64_t offset, void *data, size_t n,
                          cairn_error **reterr)
{
    struct stuck_source *source = (struct stuck_source *)base;
    char byte = 'x';
    (void)reterr;
    memset(data, 's', n);
    if (offset > 0 && (write(source->report, &byte, 1) != 1 || read(source->wait, &byte, 1) != 0))
        return CAIRN_EIO;
    return 0;
}

static void *put_stuck(void *arg)
{
    cairn_put_how how;
    struct stuck_source *source = arg;
    int r = store->ops->put(store, "job/chk-7/big", &source->source, &how, NULL);
    return r == 0 ? arg : NULL;
}

START_TEST(a_killed_put_leaves_nothing_visible)
{
    int report[2], wait[2], status;
    char byte;
    ck_assert_int_eq(pipe(report), 0);
    ck_assert_int_eq(pipe(wait), 0);
    store = stores_open(STORE_COPY);
    ck_assert_int_eq(stores_put_text(store, "job/shared/kept", "kept"), 0);
    struct stuck_source source = {
        .source = {.size = 2 << 20, .read = read_and_stick}, .report = report[1], .wait = wait[0]};
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        _exit(put_stuck(&source) != NULL);
    ck_assert_int_eq(read(report[0], &byte, 1), 1);
    ck_assert_int_eq(stores_count_temps(), 1);
    uint64_t reaped = 99;
    ck_assert_int_eq(store->ops->reap(store, "", 0, &reaped, NULL), 0);
    ck_assert_uint_eq(reaped, 0); /* its writer lives */
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status));

    CRN_AUTO_FREE char *keys = stores_list(store, "");
    ck_assert_str_eq(keys, "job/shared/kept\n");
    CRN_AUTO_FREE char *segments = stores_list_segments(store, "job/");
    ck_assert_str_eq(segments, "shared/\n");
    stores_expect_missing(store, "job/chk-7/big");
    ck_assert_int_eq(stores_count_temps(), 1);
    ck_assert_int_eq(store->ops->reap(store, "job/", 3600000, &reaped, NULL), 0);
    ck_assert_uint_eq(reaped, 0); /* too young */
    ck_assert_int_eq(store->ops->reap(store, "other/", 0, &reaped, NULL), 0);
    ck_assert_uint_eq(reaped, 0);
    ck_assert_int_eq(store->ops->reap(store, "job/", 0, &reaped, NULL), 0);
    ck_assert_uint_eq(reaped, 1);
    ck_assert_int_eq(stores_count_temps(), 0);
    CRN_AUTO_FREE char *dir = stores_path("store/job/chk-7");
    ck_assert(!crn_file_is_dir(dir)); /* its directory held nothing else */
    stores_expect(store, "job/shared/kept", "kept", 4);
    store->ops->close(store);
}
END_TEST

START_TEST(a_put_survives_reaping_and_removal_around_it)
{
    int report[2], wait[2];
    char byte;
    ck_assert_int_eq(pipe(report), 0);
    ck_assert_int_eq(pipe(wait), 0);
    store = stores_open(STORE_COPY);
    struct stuck_source source = {
        .source = {.size = 2 << 20, .read = read_and_stick}, .report = report[1], .wait = wait[0]};
    ck_assert_int_eq(stores_put_text(store, "job/chk-7/other", "x"), 0);
    pthread_t thread;
    ck_assert_int_eq(crn_thread_start(&thread, "put", put_stuck, &source, NULL), 0);
    ck_assert_int_eq(read(report[0], &byte, 1), 1);
    ck_assert_int_eq(stores_remove(store, "job/chk-7/other"), 0);
    ck_assert_int_eq(store->ops->reap(store, "", 0, NULL, NULL), 0);
    /* Somebody who does not ask takes the temporary file away: the put begins again. */
    CRN_AUTO_FREE char *dir = stores_path("store/job/chk-7");
    ck_assert_int_eq(crn_file_remove_tree(dir, NULL), 0);
    ck_assert_int_eq(close(wait[1]), 0);
    void *result;
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    ck_assert_ptr_nonnull(result);
    CRN_AUTO_FREE char *keys = stores_list(store, "");
    ck_assert_str_eq(keys, "job/chk-7/big\n");
    ck_assert_int_eq(stores_count_temps(), 0);
    store->ops->close(store);
}
END_TEST

START_TEST(emptied_directories_go)
{
    static const char *const keys[] = {"job/chk-1/a", "job/chk-1/b", "job/shared/c", "job/x"};
    CRN_AUTO_FREE char *root = stores_path("store");
    CRN_AUTO_FREE char *job = stores_path("store/job");
    CRN_AUTO_FREE char *chk = stores_path("store/job/chk-1");
    CRN_AUTO_FREE char *shared = stores_path("store/job/shared");
    store = stores_open(STORE_AUTO);
    for (size_t i = 0; i < CRN_COUNT(keys); i++)
        ck_assert_int_eq(stores_put_text(store, keys[i], "x"), 0);
    ck_assert_int_eq(store->ops->remove(store, keys, 1, NULL), 0);
    ck_assert(crn_file_is_dir(chk));
    ck_assert_int_eq(store->ops->remove(store, keys, 3, NULL), 0);
    ck_assert(!crn_file_is_dir(chk));
    ck_assert(crn_file_is_dir(shared)); /* the job is there, and will need it */
    ck_assert_int_eq(store->ops->remove(store, keys, CRN_COUNT(keys), NULL), 0);
    ck_assert(!crn_file_is_dir(job));
    ck_assert(crn_file_is_dir(root));

    /* The last object may be deep, and a file of somebody else's keeps its directories. */
    ck_assert_int_eq(stores_put_text(store, "a/b/c/d", "d"), 0);
    ck_assert_int_eq(stores_put_text(store, "a/b/theirs", "t"), 0);
    ck_assert_int_eq(stores_remove(store, "a/b/c/d"), 0);
    stores_expect(store, "a/b/theirs", "t", 1);
    ck_assert_int_eq(stores_remove(store, "a/b/theirs"), 0);
    CRN_AUTO_FREE char *top = stores_path("store/a");
    ck_assert(!crn_file_is_dir(top));
    store->ops->close(store);
}
END_TEST

/* ---- foreign and hostile things in the directory ---- */

START_TEST(nothing_leads_out_of_the_root)
{
    CRN_AUTO_FREE char *outside = stores_path("outside");
    CRN_AUTO_FREE char *secret = stores_path("outside/secret");
    CRN_AUTO_FREE char *planted = stores_path("outside/planted");
    CRN_AUTO_FREE char *dir_link = stores_path("store/job/link");
    CRN_AUTO_FREE char *file_link = stores_path("store/job/file");
    CRN_AUTO_FREE char *pipe_path = stores_path("store/job/pipe");
    CRN_AUTO_BUFFER struct cairn_buffer out = {0};
    store = stores_open(STORE_AUTO);
    ck_assert_int_eq(stores_put_text(store, "job/a", "a"), 0);
    ck_assert_int_eq(crn_file_make_dirs(outside, NULL), 0);
    ck_assert_int_eq(crn_file_write_new(secret, "s", 1, false, NULL), 0);
    ck_assert_int_eq(symlink(outside, dir_link), 0);
    ck_assert_int_eq(symlink(secret, file_link), 0);
    ck_assert_int_eq(mkfifo(pipe_path, 0600), 0);
    ck_assert_int_eq(crn_store_get_bytes(store, "job/link/secret", 9, &out, NULL), CAIRN_EACCES);
    ck_assert_int_eq(crn_store_get_bytes(store, "job/file", 9, &out, NULL), CAIRN_EACCES);
    ck_assert_int_eq(crn_store_get_bytes(store, "job/pipe", 9, &out, NULL), CAIRN_ENOTFOUND);
    stores_expect_missing(store, "job");
    stores_expect_missing(store, "job/a/b");
    ck_assert_int_lt(stores_put_text(store, "job/link/planted", "x"), 0);
    ck_assert_int_lt(stores_put_text(store, "job/link/new/planted", "x"), 0);
    ck_assert_int_lt(store->ops->create(store, "job/link/planted", "x", 1, NULL), 0);
    ck_assert_int_lt(stores_put_text(store, "job/file", "x"), 0);
    ck_assert_int_lt(stores_put_text(store, "job/a/b", "below an object"), 0);
    ck_assert_int_lt(stores_remove(store, "job/link/secret"), 0);
    ck_assert_int_ne(access(planted, F_OK), 0);
    ck_assert_int_eq(access(secret, F_OK), 0);
    CRN_AUTO_FREE char *keys = stores_list(store, "");
    ck_assert_str_eq(keys, "job/a\n");
    CRN_AUTO_FREE char *segments = stores_list_segments(store, "job/");
    ck_assert_str_eq(segments, "a\n");
    store->ops->close(store);
}
END_TEST

START_TEST(a_store_must_be_a_directory)
{
    CRN_AUTO_FREE char *file = stores_path("file");
    CRN_AUTO_FREE char *below = stores_path("file/store");
    CRN_AUTO_FREE char *missing = stores_path("missing/store");
    CRN_AUTO_ERROR cairn_error *error = NULL;
    ck_assert_int_eq(crn_file_write_new(file, "x", 1, false, NULL), 0);
    ck_assert_int_eq(crn_posix_store_open(file, CRN_TRANSFER_AUTO, true, &store, &error),
                     CAIRN_EINVAL);
    ck_assert_ptr_nonnull(strstr(cairn_error_message(error), "is not a directory"));
    ck_assert_int_eq(crn_posix_store_open(file, CRN_TRANSFER_AUTO, false, &store, NULL),
                     CAIRN_EINVAL);
    ck_assert_int_eq(crn_posix_store_open(below, CRN_TRANSFER_AUTO, true, &store, NULL),
                     CAIRN_EINVAL);
    ck_assert_int_eq(crn_posix_store_open("relative", CRN_TRANSFER_AUTO, true, &store, NULL),
                     CAIRN_EINVAL);
    ck_assert_int_eq(crn_posix_store_open(missing, CRN_TRANSFER_AUTO, false, &store, NULL),
                     CAIRN_ENOTFOUND);
    ck_assert(!crn_file_is_dir(missing));
    ck_assert_int_eq(crn_posix_store_open(missing, CRN_TRANSFER_AUTO, true, &store, NULL), 0);
    ck_assert_int_eq(stores_put_text(store, "k", "v"), 0);
    store->ops->close(store);
}
END_TEST

/* ---- full and forbidden disks ---- */

enum { DONE = 0, SKIPPED = 77 };

static int write_without_permission(void *context)
{
    const char *root = context;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    CRN_AUTO_BUFFER struct cairn_buffer out = {0};
    if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
        return SKIPPED;
    if (crn_posix_store_open(root, CRN_TRANSFER_AUTO, true, &store, NULL) < 0)
        return 1;
    if (stores_put_text(store, "job/x", "x") != CAIRN_EACCES ||
        stores_put_text(store, "new/x", "x") != CAIRN_EACCES)
        return 2;
    if (store->ops->create(store, "job/y", "y", 1, &error) != CAIRN_EACCES ||
        strcmp(cairn_error_object(error), "job/y") != 0)
        return 3;
    if (stores_remove(store, "job/old") != CAIRN_EACCES || stores_remove(store, "job/no") != 0)
        return 4;
    return crn_store_get_bytes(store, "job/old", 9, &out, NULL) == 0 ? DONE : 5;
}

START_TEST(a_forbidden_directory_is_eacces)
{
    CRN_AUTO_FREE char *root = stores_path("store");
    CRN_AUTO_FREE char *job = stores_path("store/job");
    store = stores_open(STORE_AUTO);
    ck_assert_int_eq(stores_put_text(store, "job/old", "old"), 0);
    store->ops->close(store);
    ck_assert_int_eq(chmod(stores_dir, 0755), 0);
    ck_assert_int_eq(chmod(root, 0555), 0);
    ck_assert_int_eq(chmod(job, 0555), 0);
    int status = stores_in_child(write_without_permission, root);
    ck_assert_int_eq(chmod(root, 0755), 0);
    ck_assert_int_eq(chmod(job, 0755), 0);
    if (status == SKIPPED)
        (void)fprintf(stderr, "# skipped: cannot become another user\n");
    else
        ck_assert_int_eq(status, DONE);
}
END_TEST

static int fill_the_disk(void *context)
{
    const char *root = context;
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", root, "tmpfs", 0, "size=1m") < 0)
        return SKIPPED;
    store = stores_open(STORE_AUTO);
    CRN_AUTO_FREE uint8_t *data = stores_bytes(700000, 1);
    CRN_AUTO_ERROR cairn_error *error = NULL;
    if (stores_put(store, "job/shared/1", data, 700000) != 0)
        return 1;
    if (stores_put(store, "job/shared/2", data, 700000) != CAIRN_ENOSPC)
        return 2;
    if (store->ops->create(store, "job/big", data, 700000, &error) != CAIRN_ENOSPC ||
        strcmp(cairn_error_object(error), "job/big") != 0)
        return 3;
    CRN_AUTO_FREE char *keys = stores_list(store, "");
    if (strcmp(keys, "job/shared/1\n") != 0 || stores_count_temps() != 0)
        return 4;
    if (stores_remove(store, "job/shared/1") != 0 ||
        stores_put(store, "job/shared/2", data, 700000) != 0)
        return 5;
    store->ops->close(store);
    return DONE;
}

START_TEST(a_full_disk_is_enospc)
{
    CRN_AUTO_FREE char *root = stores_path("store");
    ck_assert_int_eq(crn_file_make_dirs(root, NULL), 0);
    int status = stores_in_child(fill_the_disk, root);
    if (status == SKIPPED)
        (void)fprintf(stderr, "# skipped: cannot mount a small file system\n");
    else
        ck_assert_int_eq(status, DONE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store posix");
    TCase *sync_case = tcase_create("sync");
    tcase_set_timeout(sync_case, 60);
    tcase_add_checked_fixture(sync_case, stores_make_dir, stores_drop_dir);
    tcase_add_test(sync_case, flush_syncs_what_changed_and_above);
    tcase_add_test(sync_case, a_failed_sync_is_never_forgotten);
    tcase_add_test(sync_case, a_create_that_cannot_be_synced_is_unknown);
    tcase_add_test(sync_case, a_name_that_may_stand_is_synced_by_the_next_flush);
    tcase_add_test(sync_case, bytes_that_cannot_be_synced_get_no_name);
    tcase_add_test(sync_case, a_flush_that_could_not_look_is_repeated);
    suite_add_tcase(suite, sync_case);

    TCase *transfer = tcase_create("transfer");
    tcase_set_timeout(transfer, 60);
    tcase_add_checked_fixture(transfer, stores_make_dir, stores_drop_dir);
    tcase_add_loop_test(transfer, link_and_copy, STORE_AUTO, STORE_COPY + 1);
    tcase_add_test(transfer, other_file_systems_are_copied_to);
    tcase_add_test(transfer, reflink_or_an_error);
    suite_add_tcase(suite, transfer);

    TCase *processes = tcase_create("processes");
    tcase_set_timeout(processes, 60);
    tcase_add_checked_fixture(processes, stores_make_dir, stores_drop_dir);
    tcase_add_test(processes, of_many_processes_one_creates);
    tcase_add_test(processes, a_killed_put_leaves_nothing_visible);
    tcase_add_test(processes, a_put_survives_reaping_and_removal_around_it);
    tcase_add_test(processes, emptied_directories_go);
    suite_add_tcase(suite, processes);

    TCase *hostile = tcase_create("hostile");
    tcase_set_timeout(hostile, 60);
    tcase_add_checked_fixture(hostile, stores_make_dir, stores_drop_dir);
    tcase_add_test(hostile, nothing_leads_out_of_the_root);
    tcase_add_test(hostile, a_store_must_be_a_directory);
    tcase_add_test(hostile, a_forbidden_directory_is_eacces);
    tcase_add_test(hostile, a_full_disk_is_enospc);
    suite_add_tcase(suite, hostile);
    return crn_test_run(suite);
}
