/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Proves what the layers above take for granted of base/: checksums match published vectors in any
 * division of the input; the reader refuses every truncated or malformed input without moving
 * (P11); text rules; errors exist even without memory and never lose the first story; the pool runs
 * by priority and to the end; mutexes die on a wrong order; file helpers are exact about what they
 * refuse. Method: known vectors, every truncation of small inputs, and threads.
 */

#include "tests/support/tap.h"

#include "base/buffer.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"
#include "base/thread.h"
#include "cairn/store.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

static char tmp[64];

static void make_tmp(void)
{
    const char *base = getenv("TMPDIR");
    ck_assert_int_lt(snprintf(tmp, sizeof(tmp), "%s/cairn-base-XXXXXX", base ? base : "/tmp"),
                     (int)sizeof(tmp));
    ck_assert_ptr_nonnull(mkdtemp(tmp));
}

static void drop_tmp(void)
{
    ck_assert_int_eq(crn_file_remove_tree(tmp, NULL), 0);
}

static char *in_tmp(const char *name)
{
    char *path;
    ck_assert_int_eq(crn_str_printf(&path, NULL, "%s/%s", tmp, name), 0);
    return path;
}

/* ---- hashes ---- */

START_TEST(crc32c_vectors)
{
    uint8_t bytes[32];
    ck_assert_uint_eq(crn_crc32c(0, "", 0), 0);
    ck_assert_uint_eq(crn_crc32c(0, "123456789", 9), 0xe3069283u);
    memset(bytes, 0, sizeof(bytes)); /* the vectors of RFC 3720, B.4 */
    ck_assert_uint_eq(crn_crc32c(0, bytes, 32), 0x8a9136aau);
    memset(bytes, 0xff, sizeof(bytes));
    ck_assert_uint_eq(crn_crc32c(0, bytes, 32), 0x62a8ab43u);
    for (uint8_t i = 0; i < 32; i++)
        bytes[i] = i;
    ck_assert_uint_eq(crn_crc32c(0, bytes, 32), 0x46dd794eu);
    for (size_t cut = 0; cut <= 32; cut++)
        ck_assert_uint_eq(crn_crc32c(crn_crc32c(0, bytes, cut), bytes + cut, 32 - cut),
                          0x46dd794eu);
}
END_TEST

START_TEST(xxh3_vectors)
{
    char text[33];
    struct crn_hash128 hash = crn_hash128_of("", 0);
    crn_hex(hash.bytes, sizeof(hash.bytes), text);
    ck_assert_str_eq(text, "99aa06d3014798d86001c324468d497f");
    ck_assert_uint_eq(crn_hash64_of("", 0), 0x2d06800538d394c2ull);
}
END_TEST

START_TEST(digest_equals_one_shot)
{
    size_t size = 300000;
    CRN_AUTO_FREE uint8_t *data = malloc(size);
    ck_assert_ptr_nonnull(data);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    struct crn_hash128 expected = crn_hash128_of(data, size);
    struct crn_digest *digest = crn_digest_new();
    ck_assert_ptr_nonnull(digest);
    static const size_t steps[] = {1, 7, 4096, 65536, 65537, 299999, 300000};
    for (size_t s = 0; s < CRN_COUNT(steps); s++) {
        crn_digest_reset(digest);
        for (size_t at = 0; at < size; at += steps[s])
            crn_digest_update(digest, data + at, size - at < steps[s] ? size - at : steps[s]);
        struct crn_hash128 got = crn_digest_hash128(digest);
        ck_assert_mem_eq(got.bytes, expected.bytes, 16);
        ck_assert_uint_eq(crn_digest_crc32c(digest), crn_crc32c(0, data, size));
        ck_assert_uint_eq(crn_digest_size(digest), size);
    }
    crn_digest_free(digest);
    crn_digest_free(NULL);
}
END_TEST

/* ---- buffers and readers ---- */

START_TEST(buffer_grows_and_stays_text)
{
    CRN_AUTO_BUFFER struct cairn_buffer buffer = {0};
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(crn_buf_printf(&buffer, "%d,", i), 0);
    ck_assert_uint_eq(strlen((char *)buffer.data), buffer.size);
    ck_assert_int_eq(cairn_buffer_append(&buffer, "x\0y", 3), 0);
    ck_assert_uint_eq(buffer.data[buffer.size], 0);
    size_t before = buffer.size;
    ck_assert_int_eq(crn_buf_reserve(&buffer, SIZE_MAX), CAIRN_ENOMEM);
    ck_assert_int_eq(crn_buf_reserve(&buffer, SIZE_MAX - before), CAIRN_ENOMEM);
    ck_assert_uint_eq(buffer.size, before);
    char *text = crn_buf_take_text(&buffer);
    ck_assert_str_eq(text + before - 3, "x");
    free(text);
    ck_assert_ptr_null(buffer.data);
    text = crn_buf_take_text(&buffer);
    ck_assert_str_eq(text, "");
    free(text);
}
END_TEST

START_TEST(reader_reads_what_was_written)
{
    static const uint64_t values[] = {
        0, 1, 127, 128, 16383, 16384, 0xffffffff, 1ull << 62, UINT64_MAX - 1, UINT64_MAX};
    CRN_AUTO_BUFFER struct cairn_buffer buffer = {0};
    ck_assert_int_eq(crn_buf_append_u8(&buffer, 0xab), 0);
    ck_assert_int_eq(crn_buf_append_be16(&buffer, 0x1234), 0);
    ck_assert_int_eq(crn_buf_append_be64(&buffer, 0x0123456789abcdefull), 0);
    ck_assert_mem_eq(buffer.data, "\xab\x12\x34\x01\x23\x45\x67\x89\xab\xcd\xef", 11);
    for (size_t i = 0; i < CRN_COUNT(values); i++)
        ck_assert_int_eq(crn_buf_append_varint(&buffer, values[i]), 0);
    struct crn_reader reader = {.data = buffer.data, .size = buffer.size};
    uint8_t u8;
    uint16_t u16;
    uint64_t u64;
    ck_assert(crn_read_u8(&reader, &u8) && u8 == 0xab);
    ck_assert(crn_read_be16(&reader, &u16) && u16 == 0x1234);
    ck_assert(crn_read_be64(&reader, &u64) && u64 == 0x0123456789abcdefull);
    for (size_t i = 0; i < CRN_COUNT(values); i++)
        ck_assert(crn_read_varint(&reader, &u64) && u64 == values[i]);
    ck_assert_uint_eq(crn_reader_left(&reader), 0);
    reader = (struct crn_reader){.data = (const uint8_t *)"\x04\x03\x02\x01\0\0\0\x80", .size = 8};
    uint32_t u32;
    ck_assert(crn_read_le32(&reader, &u32) && u32 == 0x01020304);
}
END_TEST

START_TEST(reader_refuses_short_input_without_moving)
{
    static const uint8_t bytes[8] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80};
    for (size_t size = 0; size < 8; size++) {
        CRN_AUTO_FREE uint8_t *exact = malloc(size + 1); /* ASan sees a byte too many */
        ck_assert_ptr_nonnull(exact);
        memcpy(exact, bytes, size);
        struct crn_reader reader = {.data = exact, .size = size};
        uint8_t u8;
        uint16_t u16;
        uint32_t u32;
        uint64_t u64 = 42;
        const uint8_t *at;
        ck_assert(!crn_read_be64(&reader, &u64));
        ck_assert(!crn_read_varint(&reader, &u64));
        ck_assert(!crn_read_bytes(&reader, size + 1, &at));
        ck_assert(!crn_read_bytes(&reader, SIZE_MAX, &at));
        if (size < 4)
            ck_assert(!crn_read_le32(&reader, &u32));
        if (size < 2)
            ck_assert(!crn_read_be16(&reader, &u16));
        if (size < 1)
            ck_assert(!crn_read_u8(&reader, &u8));
        ck_assert_uint_eq(reader.position, 0);
        ck_assert_uint_eq(u64, 42);
    }
}
END_TEST

START_TEST(reader_refuses_bad_varints)
{
    static const struct {
        const char *bytes;
        size_t size;
    } bad[] = {
        {"\x80\x00", 2},                                     /* over-long zero */
        {"\xff\x00", 2},                                     /* over-long 127 */
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10},    /* 65 bits */
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10},    /* 70 bits */
        {"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11} /* 11 bytes */
    };
    for (size_t i = 0; i < CRN_COUNT(bad); i++) {
        struct crn_reader reader = {.data = (const uint8_t *)bad[i].bytes, .size = bad[i].size};
        uint64_t value;
        ck_assert_msg(!crn_read_varint(&reader, &value), "bad varint %zu was accepted", i);
        ck_assert_uint_eq(reader.position, 0);
    }
}
END_TEST

/* ---- text ---- */

START_TEST(utf8_is_strict)
{
    static const char *const good[] = {
        "", "plain", "grüße", "日本語", "\xf0\x9f\x8e\x89", " ", "\u00a0", "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x01",
                                      "a\nb",
                                      "\x7f",
                                      "\xc2\x85",
                                      "\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xe0\x80\xaf",
                                      "\xf0\x80\x80\xaf",
                                      "\xed\xa0\x80",
                                      "\xed\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf8\x88\x80\x80\x80",
                                      "\xe2\x82",
                                      "\xe2(\xa1",
                                      "\xff"};
    for (size_t i = 0; i < CRN_COUNT(good); i++)
        ck_assert_msg(crn_text_is_clean(good[i], strlen(good[i])), "good %zu", i);
    for (size_t i = 0; i < CRN_COUNT(bad); i++)
        ck_assert_msg(!crn_text_is_clean(bad[i], strlen(bad[i])), "bad %zu", i);
    ck_assert(!crn_text_is_clean("a\0b", 3));
}
END_TEST

START_TEST(names_have_limits)
{
    char longest[258];
    memset(longest, 'x', sizeof(longest));
    longest[255] = 0;
    ck_assert(crn_text_is_name(longest) && !crn_text_is_job_name(longest));
    longest[255] = 'x';
    longest[256] = 0;
    ck_assert(!crn_text_is_name(longest));
    longest[128] = 0;
    ck_assert(crn_text_is_job_name(longest));
    longest[128] = 'x';
    longest[129] = 0;
    ck_assert(!crn_text_is_job_name(longest));
    static const char *const bad[] = {"", ".", "..", ".hidden", "a/b", "/", "a\tb"};
    for (size_t i = 0; i < CRN_COUNT(bad); i++)
        ck_assert_msg(!crn_text_is_job_name(bad[i]), "'%s'", bad[i]);
    ck_assert(!crn_text_is_job_name(NULL) && !crn_text_is_name(NULL) && !crn_text_is_name(""));
    ck_assert(crn_text_is_job_name("orders v2") && crn_text_is_name("a/b"));
}
END_TEST

/* ---- errors ---- */

START_TEST(error_tables)
{
    ck_assert_str_eq(cairn_error_name(CAIRN_ECORRUPT), "CAIRN_ECORRUPT");
    ck_assert_str_eq(cairn_error_name(0), "CAIRN_OK");
    ck_assert_str_eq(cairn_error_name(-9999), "CAIRN_E?");
    ck_assert_int_eq(CAIRN_ECORRUPT, -30);
    ck_assert_int_eq(cairn_error_class_of(CAIRN_ENOSPC), CAIRN_CLASS_LOCAL);
    ck_assert_int_eq(cairn_error_class_of(CAIRN_EUNAVAIL), CAIRN_CLASS_RETRY);
    ck_assert_int_eq(cairn_error_class_of(0), CAIRN_CLASS_NONE);
    ck_assert_int_eq(cairn_error_code(NULL), 0);
    ck_assert_str_eq(cairn_error_message(NULL), "");
    ck_assert_str_eq(cairn_error_object(NULL), "");
    ck_assert_int_eq(cairn_error_errno(NULL), 0);
    cairn_error_free(NULL);
}
END_TEST

START_TEST(error_tells_the_first_story)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    ck_assert_int_eq(crn_err_fail(&error, CAIRN_ECORRUPT, "job/x", "'%s' is %s", "job/x", "bad\n"),
                     CAIRN_ECORRUPT);
    ck_assert_int_eq(crn_err_fail(&error, CAIRN_EIO, NULL, "later"), CAIRN_EIO);
    ck_assert_int_eq(crn_err_fail(NULL, CAIRN_EIO, NULL, "nobody listens"), CAIRN_EIO);
    crn_err_prefix(&error, "checkpoint %d", 7);
    ck_assert_int_eq(cairn_error_code(error), CAIRN_ECORRUPT);
    ck_assert_str_eq(cairn_error_message(error), "checkpoint 7: 'job/x' is bad?");
    ck_assert_str_eq(cairn_error_object(error), "job/x");
    CRN_AUTO_ERROR cairn_error *copy = crn_err_copy(error);
    ck_assert_str_eq(cairn_error_message(copy), cairn_error_message(error));
    ck_assert_ptr_ne(copy, error);
    CRN_AUTO_ERROR cairn_error *slot = NULL;
    ck_assert_int_eq(crn_err_move(&slot, &error, CAIRN_EIO), CAIRN_EIO);
    ck_assert_ptr_null(error);
    ck_assert_int_eq(crn_err_move(&slot, &copy, CAIRN_EIO), CAIRN_EIO);
    ck_assert_ptr_null(copy);
    ck_assert_int_eq(cairn_error_code(slot), CAIRN_ECORRUPT);
}
END_TEST

START_TEST(error_of_the_system)
{
    static const struct {
        int os_errno, code;
    } table[] = {{ENOSPC, CAIRN_ENOSPC}, {EDQUOT, CAIRN_ENOSPC}, {EACCES, CAIRN_EACCES},
                 {EPERM, CAIRN_EACCES},  {EROFS, CAIRN_EACCES},  {ENOMEM, CAIRN_ENOMEM},
                 {EIO, CAIRN_EIO},       {123456, CAIRN_EIO}};
    for (size_t i = 0; i < CRN_COUNT(table); i++) {
        CRN_AUTO_ERROR cairn_error *error = NULL;
        ck_assert_int_eq(crn_err_os(&error, table[i].os_errno, "f", "cannot do"), table[i].code);
        ck_assert_int_eq(cairn_error_errno(error), table[i].os_errno);
        ck_assert(strncmp(cairn_error_message(error), "cannot do: ", 11) == 0);
    }
    CRN_AUTO_ERROR cairn_error *error = NULL;
    ck_assert_int_eq(cairn_error_set(&error, CAIRN_EUNAVAIL, "k", EAGAIN, NULL), CAIRN_EUNAVAIL);
    ck_assert_str_eq(cairn_error_message(error), cairn_error_text(CAIRN_EUNAVAIL));
}
END_TEST

START_TEST(error_without_memory)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    ck_assert_int_eq(crn_err_nomem(&error), CAIRN_ENOMEM);
    cairn_error_free(error);
    cairn_error_free(error); /* static: no harm */
    ck_assert_str_eq(cairn_error_message(error), cairn_error_text(CAIRN_ENOMEM));
    error = NULL;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    return; /* their allocators do not obey the limit */
#endif
#endif
    /* In Check's forked child: nothing more to be had from the kernel, then use up what is left. */
    struct rlimit none = {0, 0};
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &none), 0);
    ck_assert_int_eq(setrlimit(RLIMIT_DATA, &none), 0);
    void *volatile kept; /* else a compiler may leave out allocations that nobody uses */
    for (size_t size = (size_t)1 << 20; size >= 16; size /= 2)
        do
            kept = malloc(size);
        while (kept != NULL);
    int code = crn_err_fail(&error, CAIRN_EFENCED, "k", "'%s'", "a message that needs memory");
    int stored = cairn_error_code(error);
    const char *message = cairn_error_message(error);
    if (code != CAIRN_EFENCED || stored != CAIRN_EFENCED ||
        strcmp(message, cairn_error_text(CAIRN_EFENCED)) != 0)
        _exit(1);
    _exit(0); /* Check itself could not report without memory */
#endif
}
END_TEST

/* ---- logs ---- */

struct seen {
    int lines;
    char last[2048];
};

static void remember(void *context, const cairn_log_line *line)
{
    struct seen *seen = context;
    seen->lines++;
    (void)snprintf(seen->last, sizeof(seen->last), "%s", line->message);
}

START_TEST(log_filters_and_cuts)
{
    struct seen seen = {0};
    struct crn_log log = {.fn = remember, .context = &seen, .level = CAIRN_LOG_INFO};
    crn_log_write(&log, CAIRN_LOG_DEBUG, "test", "not wanted");
    ck_assert_int_eq(seen.lines, 0);
    crn_log_write(&log, CAIRN_LOG_WARNING, "test", "two\nlines");
    ck_assert_str_eq(seen.last, "two?lines");
    crn_log_write(&log, CAIRN_LOG_ERROR, "test", "%5000d", 1);
    ck_assert_int_eq(seen.lines, 2);
    ck_assert_uint_lt(strlen(seen.last), 2000);
    crn_log_write(NULL, CAIRN_LOG_ERROR, "test", "nowhere");
}
END_TEST

/* ---- threads ---- */

START_TEST(wrong_lock_order_dies)
{
    struct crn_mutex low, high;
    crn_mutex_init(&low, CRN_RANK_JOB);
    crn_mutex_init(&high, CRN_RANK_LEAF);
    crn_mutex_lock(&high);
    crn_mutex_lock(&low);
}
END_TEST

START_TEST(locks_may_be_released_in_any_order)
{
    struct crn_mutex a, b, c;
    crn_mutex_init(&a, CRN_RANK_JOB);
    crn_mutex_init(&b, CRN_RANK_STATE);
    crn_mutex_init(&c, CRN_RANK_LEAF);
    crn_mutex_lock(&a);
    crn_mutex_lock(&b);
    crn_mutex_unlock(&a);
    crn_mutex_lock(&c);
    crn_mutex_assert_held(&b);
    crn_mutex_unlock(&b);
    crn_mutex_unlock(&c);
    crn_mutex_done(&a);
    crn_mutex_done(&b);
    crn_mutex_done(&c);
}
END_TEST

START_TEST(waiting_ends_at_the_deadline)
{
    struct crn_mutex mutex;
    struct crn_cond cond;
    crn_mutex_init(&mutex, CRN_RANK_LEAF);
    crn_cond_init(&cond);
    crn_mutex_lock(&mutex);
    uint64_t start = crn_now_us(), deadline = start + 20000;
    while (crn_cond_wait_until(&cond, &mutex, deadline))
        continue;
    ck_assert_uint_ge(crn_now_us(), deadline);
    ck_assert(!crn_cond_wait_until(&cond, &mutex, 0));
    crn_mutex_unlock(&mutex);
    crn_cond_done(&cond);
    crn_mutex_done(&mutex);
}
END_TEST

static void *look_at_signals(void *arg)
{
    sigset_t mask;
    int *result = arg;
    *result = pthread_sigmask(SIG_SETMASK, NULL, &mask) == 0 && sigismember(&mask, SIGTERM) == 1 &&
              sigismember(&mask, SIGCHLD) == 1 && sigismember(&mask, SIGSEGV) == 0;
    return NULL;
}

START_TEST(threads_leave_signals_to_others)
{
    pthread_t thread;
    int blocked = 0;
    ck_assert_int_eq(
        crn_thread_start(&thread, "a-very-long-thread-name", look_at_signals, &blocked, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert(blocked);
    sigset_t mask;
    ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    ck_assert_int_eq(sigismember(&mask, SIGTERM), 0);
}
END_TEST

static struct {
    struct crn_mutex lock;
    struct crn_cond changed;
    bool open;
    int order[64];
    int count;
} gate;

static void wait_at_gate(void *arg)
{
    (void)arg;
    crn_mutex_lock(&gate.lock);
    while (!gate.open)
        crn_cond_wait(&gate.changed, &gate.lock);
    crn_mutex_unlock(&gate.lock);
}

static void note_order(void *arg)
{
    gate.order[gate.count++] = *(const int *)arg; /* one pool thread */
}

START_TEST(pool_runs_by_priority_then_age)
{
    static const uint64_t priorities[] = {5, 1, 9, 5, 0, 9, 5};
    static const int expected[] = {2, 5, 0, 3, 6, 1, 4};
    int numbers[CRN_COUNT(priorities)];
    struct crn_pool *pool;
    crn_mutex_init(&gate.lock, CRN_RANK_LEAF);
    crn_cond_init(&gate.changed);
    ck_assert_int_eq(crn_pool_new(1, "test", &pool, NULL), 0);
    ck_assert_int_eq(crn_pool_submit(pool, UINT64_MAX, wait_at_gate, NULL), 0);
    for (int i = 0; i < (int)CRN_COUNT(priorities); i++) {
        numbers[i] = i;
        ck_assert_int_eq(crn_pool_submit(pool, priorities[i], note_order, &numbers[i]), 0);
    }
    crn_mutex_lock(&gate.lock);
    gate.open = true;
    crn_cond_broadcast(&gate.changed);
    crn_mutex_unlock(&gate.lock);
    crn_pool_free(pool);
    ck_assert_int_eq(gate.count, (int)CRN_COUNT(expected));
    for (int i = 0; i < gate.count; i++)
        ck_assert_int_eq(gate.order[i], expected[i]);
}
END_TEST

struct tree {
    struct crn_pool *pool;
    atomic_int *ran;
    int depth;
};

static void grow(void *arg)
{
    struct tree *tree = arg;
    atomic_fetch_add(tree->ran, 1);
    for (int i = 0; i < 2 && tree->depth > 0; i++) {
        struct tree *child = malloc(sizeof(*child));
        if (child == NULL)
            abort();
        *child = *tree;
        child->depth--;
        if (crn_pool_submit(tree->pool, (uint64_t)child->depth, grow, child) < 0)
            abort();
    }
    free(tree);
}

START_TEST(pool_runs_everything_before_it_ends)
{
    atomic_int ran = 0;
    struct crn_pool *pool;
    ck_assert_int_eq(crn_pool_new(4, "test", &pool, NULL), 0);
    struct tree *root = malloc(sizeof(*root));
    ck_assert_ptr_nonnull(root);
    *root = (struct tree){.pool = pool, .ran = &ran, .depth = 9};
    ck_assert_int_eq(crn_pool_submit(pool, 0, grow, root), 0);
    crn_pool_free(pool); /* while jobs submit more */
    ck_assert_int_eq(atomic_load(&ran), 1023);
    crn_pool_free(NULL);
    ck_assert_int_eq(crn_pool_new(0, "test", &pool, NULL), CAIRN_EINVAL);
}
END_TEST

/* ---- files ---- */

START_TEST(files_round_trip)
{
    CRN_AUTO_FREE char *dir = in_tmp("a/b/c");
    CRN_AUTO_FREE char *path = in_tmp("a/b/c/file");
    CRN_AUTO_FREE uint8_t *data = NULL;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    size_t size;
    uint64_t file_size;
    ck_assert_int_eq(crn_file_make_dirs(dir, NULL), 0);
    ck_assert_int_eq(crn_file_make_dirs(dir, NULL), 0);
    ck_assert(crn_file_is_dir(dir) && !crn_file_is_dir(path));
    ck_assert_int_eq(crn_file_write_new(path, "hello", 5, true, NULL), 0);
    ck_assert_int_lt(crn_file_write_new(path, "other", 5, false, &error), 0);
    ck_assert_int_eq(cairn_error_errno(error), EEXIST);
    ck_assert_str_eq(cairn_error_object(error), path);
    ck_assert_int_eq(crn_file_read_all(path, 4, &data, &size, NULL), CAIRN_EINVAL);
    ck_assert_int_eq(crn_file_read_all(path, 5, &data, &size, NULL), 0);
    ck_assert_uint_eq(size, 5);
    ck_assert_str_eq((char *)data, "hello");
    ck_assert_int_eq(crn_file_size(path, &file_size, NULL), 0);
    ck_assert_uint_eq(file_size, 5);
    ck_assert_int_eq(crn_file_sync_dir(dir, NULL), 0);
    CRN_AUTO_FREE char *below_file = in_tmp("a/b/c/file/x/y");
    ck_assert_int_lt(crn_file_make_dirs(below_file, NULL), 0);
}
END_TEST

START_TEST(files_of_unknown_size_are_read_whole)
{
    CRN_AUTO_FREE uint8_t *data = NULL;
    size_t size;
    ck_assert_int_eq(crn_file_read_all("/proc/self/maps", 1 << 22, &data, &size, NULL), 0);
    ck_assert_uint_gt(size, 100);
    ck_assert_uint_eq(strlen((char *)data), size);
}
END_TEST

START_TEST(remove_tree_does_not_follow_links)
{
    CRN_AUTO_FREE char *keep = in_tmp("keep");
    CRN_AUTO_FREE char *kept_file = in_tmp("keep/file");
    CRN_AUTO_FREE char *victim = in_tmp("victim");
    CRN_AUTO_FREE char *deep = in_tmp("victim/1/2/3/4");
    CRN_AUTO_FREE char *link_path = in_tmp("victim/1/link");
    ck_assert_int_eq(crn_file_make_dirs(keep, NULL), 0);
    ck_assert_int_eq(crn_file_write_new(kept_file, "x", 1, false, NULL), 0);
    ck_assert_int_eq(crn_file_make_dirs(deep, NULL), 0);
    ck_assert_int_eq(symlink(keep, link_path), 0);
    ck_assert_int_eq(crn_file_remove_tree(victim, NULL), 0);
    ck_assert(!crn_file_is_dir(victim));
    ck_assert_int_eq(access(kept_file, F_OK), 0);
    ck_assert_int_eq(crn_file_remove_tree(victim, NULL), 0);
    ck_assert_int_eq(symlink(keep, victim), 0);
    ck_assert_int_eq(crn_file_remove_tree(victim, NULL), 0);
    ck_assert_int_eq(access(kept_file, F_OK), 0);
}
END_TEST

START_TEST(directories_list_sorted)
{
    static const char *const names[] = {"b", "a", "B", "a-b", ".x", "\xff"};
    static const char *const expected[] = {".x", "B", "a", "a-b", "b", "\xff"};
    for (size_t i = 0; i < CRN_COUNT(names); i++) {
        CRN_AUTO_FREE char *path = in_tmp(names[i]);
        ck_assert_int_eq(crn_file_write_new(path, "", 0, false, NULL), 0);
    }
    char **list;
    size_t count;
    ck_assert_int_eq(crn_file_list_dir(tmp, &list, &count, NULL), 0);
    ck_assert_uint_eq(count, CRN_COUNT(expected));
    for (size_t i = 0; i < count; i++)
        ck_assert_str_eq(list[i], expected[i]);
    crn_file_free_names(list, count);
    CRN_AUTO_FREE char *missing = in_tmp("missing");
    ck_assert_int_lt(crn_file_list_dir(missing, &list, &count, NULL), 0);
}
END_TEST

START_TEST(file_lock_excludes_other_handles)
{
    CRN_AUTO_FREE char *path = in_tmp("LOCK");
    CRN_AUTO_FD int second = -1;
    int first = -1;
    ck_assert_int_eq(crn_file_lock(path, &first, NULL), 0);
    ck_assert_int_eq(crn_file_lock(path, &second, NULL), CAIRN_EBUSY);
    ck_assert_int_eq(close(first), 0);
    ck_assert_int_eq(crn_file_lock(path, &second, NULL), 0);
}
END_TEST

START_TEST(positional_io_is_whole_or_fails)
{
    CRN_AUTO_FREE char *path = in_tmp("file");
    CRN_AUTO_FREE char *missing = in_tmp("nope");
    CRN_AUTO_ERROR cairn_error *error = NULL;
    ck_assert_int_eq(crn_file_write_new(path, "0123456789", 10, false, NULL), 0);
    FILE *file = fopen(path, "r+");
    ck_assert_ptr_nonnull(file);
    char data[10];
    ck_assert_int_eq(crn_file_pread_all(fileno(file), data, 4, 6, path, NULL), 0);
    ck_assert_mem_eq(data, "6789", 4);
    ck_assert_int_eq(crn_file_pread_all(fileno(file), data, 5, 6, path, &error), CAIRN_EIO);
    ck_assert_ptr_nonnull(strstr(cairn_error_message(error), path));
    ck_assert_int_eq(crn_file_pwrite_all(fileno(file), "ab", 2, 9, path, NULL), 0);
    ck_assert_int_eq(crn_file_pread_all(fileno(file), data, 2, 9, path, NULL), 0);
    ck_assert_mem_eq(data, "ab", 2);
    ck_assert_int_eq(fclose(file), 0);
    uint64_t size;
    ck_assert_int_lt(crn_file_size(missing, &size, NULL), 0);
    FILE *full = fopen("/dev/full", "w");
    ck_assert_ptr_nonnull(full);
    ck_assert_int_eq(crn_file_pwrite_all(fileno(full), "x", 1, 0, "/dev/full", NULL), CAIRN_ENOSPC);
    ck_assert_int_eq(fclose(full), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base");
    TCase *memory = tcase_create("memory");
    tcase_set_timeout(memory, 60);
    tcase_add_test(memory, crc32c_vectors);
    tcase_add_test(memory, xxh3_vectors);
    tcase_add_test(memory, digest_equals_one_shot);
    tcase_add_test(memory, buffer_grows_and_stays_text);
    tcase_add_test(memory, reader_reads_what_was_written);
    tcase_add_test(memory, reader_refuses_short_input_without_moving);
    tcase_add_test(memory, reader_refuses_bad_varints);
    tcase_add_test(memory, utf8_is_strict);
    tcase_add_test(memory, names_have_limits);
    tcase_add_test(memory, error_tables);
    tcase_add_test(memory, error_tells_the_first_story);
    tcase_add_test(memory, error_of_the_system);
    tcase_add_test(memory, error_without_memory);
    tcase_add_test(memory, log_filters_and_cuts);
    suite_add_tcase(suite, memory);

    TCase *threads = tcase_create("threads");
    tcase_set_timeout(threads, 60);
    tcase_add_test_raise_signal(threads, wrong_lock_order_dies, SIGABRT);
    tcase_add_test(threads, locks_may_be_released_in_any_order);
    tcase_add_test(threads, waiting_ends_at_the_deadline);
    tcase_add_test(threads, threads_leave_signals_to_others);
    tcase_add_test(threads, pool_runs_by_priority_then_age);
    tcase_add_test(threads, pool_runs_everything_before_it_ends);
    suite_add_tcase(suite, threads);

    TCase *files = tcase_create("files");
    tcase_set_timeout(files, 60);
    tcase_add_checked_fixture(files, make_tmp, drop_tmp);
    tcase_add_test(files, files_round_trip);
    tcase_add_test(files, files_of_unknown_size_are_read_whole);
    tcase_add_test(files, remove_tree_does_not_follow_links);
    tcase_add_test(files, directories_list_sorted);
    tcase_add_test(files, file_lock_excludes_other_handles);
    tcase_add_test(files, positional_io_is_whole_or_fails);
    suite_add_tcase(suite, files);
    return crn_test_run(suite);
}
