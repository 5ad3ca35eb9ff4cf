/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The list of all settings: one row for each option of a job that makes sense as a text. Everything
 * else follows from it: reading, applying, `cairn help settings`, and the table in
 * docs/operations.md, which a test compares. To add a setting, add a row there and here.
 *
 * In options 0 stands for the default; a person who writes 0 means 0. So a row says what 0 becomes,
 * or that it is below the least value.
 */

#include "base/buffer.h"
#include "base/text.h"
#include "engine/settings/settings.h"
#include <ctype.h>
#include <string.h>

#define FIELD(member) offsetof(cairn_job_options, member), sizeof(((cairn_job_options *)0)->member)
#define ANY_TEXT 0, 0, 0, NULL
#define TRUTH 0, 1, 0, NULL
/* A million hours, so that nanoseconds fit into 64 bits. */
#define MAX_DURATION_MS UINT64_C(3600000000000)
#define DURATION(min) min, MAX_DURATION_MS, 0, NULL

static const struct crn_setting_word mode_words[] = {
    {"exactly-once", CAIRN_EXACTLY_ONCE}, {"at-least-once", CAIRN_AT_LEAST_ONCE}, {NULL, 0}};
static const struct crn_setting_word retention_words[] = {
    {"retain", CAIRN_RETAIN}, {"delete", CAIRN_DELETE}, {NULL, 0}};
static const struct crn_setting_word claim_words[] = {
    {"no-claim", CAIRN_NO_CLAIM}, {"claim", CAIRN_CLAIM}, {"legacy", CAIRN_LEGACY}, {NULL, 0}};
static const struct crn_setting_word level_words[] = {{"error", CAIRN_LOG_ERROR},
                                                      {"warning", CAIRN_LOG_WARNING},
                                                      {"info", CAIRN_LOG_INFO},
                                                      {"debug", CAIRN_LOG_DEBUG},
                                                      {NULL, 0}};
static const struct crn_setting_word failure_words[] = {
    {"any", 0}, {"none", CAIRN_TOLERATE_NONE}, {NULL, 0}};
static const struct crn_setting_word role_words[] = {{"alone", CAIRN_ALONE},
                                                     {"coordinator", CAIRN_COORDINATOR},
                                                     {"worker", CAIRN_WORKER},
                                                     {NULL, 0}};
static const struct crn_setting_word backend_words[] = {{"rocksdb", 0}, {"heap", 0}, {NULL, 0}};

/* clang-format off */
const struct crn_setting crn_settings_table[] = {
    {{"store", "CAIRN_STORE", "text", "none",
      "Where snapshots live: a directory, or a store's URI."},
     CRN_SETTING_TEXT, FIELD(store_uri), ANY_TEXT},
    {{"local-dir", "CAIRN_LOCAL_DIR", "text", "none",
      "Where databases live; the job's alone, and emptied at its start."},
     CRN_SETTING_TEXT, FIELD(local_dir), ANY_TEXT},
    {{"checkpoint.interval", "CAIRN_CHECKPOINT_INTERVAL", "duration", "0",
      "Time from the start of one checkpoint to that of the next; 0: none by themselves."},
     CRN_SETTING_DURATION, FIELD(checkpoint_interval_ms), DURATION(0)},
    {{"checkpoint.timeout", "CAIRN_CHECKPOINT_TIMEOUT", "duration", "10min",
      "A checkpoint that takes longer is given up."},
     CRN_SETTING_DURATION, FIELD(checkpoint_timeout_ms), DURATION(1)},
    {{"checkpoint.min-pause", "CAIRN_CHECKPOINT_MIN_PAUSE", "duration", "0",
      "Least time from the end of one checkpoint to the start of the next."},
     CRN_SETTING_DURATION, FIELD(min_pause_ms), DURATION(0)},
    {{"checkpoint.max-concurrent", "CAIRN_CHECKPOINT_MAX_CONCURRENT", "number", "1",
      "Checkpoints in flight at once, 1 to 8; savepoints come on top."},
     CRN_SETTING_NUMBER, FIELD(max_concurrent), 1, 8, 0, NULL},
    {{"checkpoint.tolerable-failures", "CAIRN_CHECKPOINT_TOLERABLE_FAILURES", "number, any or none",
      "any", "Failed checkpoints in a row that the job survives; one more fails it."},
     CRN_SETTING_NUMBER, FIELD(tolerable_failures), 0, CAIRN_TOLERATE_NONE - 1, CAIRN_TOLERATE_NONE,
     failure_words},
    {{"checkpoint.mode", "CAIRN_CHECKPOINT_MODE", "exactly-once or at-least-once", "exactly-once",
      "Whether a channel whose barrier has come waits for the others."},
     CRN_SETTING_WORD, FIELD(checkpoint_mode), 0, 0, 0, mode_words},
    {{"checkpoint.unaligned", "CAIRN_CHECKPOINT_UNALIGNED", "true or false", "false",
      "Barriers overtake records that wait in channels; those become part of the checkpoint."},
     CRN_SETTING_TRUTH, FIELD(unaligned), TRUTH},
    {{"checkpoint.aligned-timeout", "CAIRN_CHECKPOINT_ALIGNED_TIMEOUT", "duration", "0",
      "With checkpoint.unaligned: overtake only when a barrier has waited so long; 0: at once."},
     CRN_SETTING_DURATION, FIELD(aligned_timeout_ms), DURATION(0)},
    {{"checkpoint.full-every", "CAIRN_CHECKPOINT_FULL_EVERY", "number", "0",
      "Every so many checkpoints one is a full one; 0: only when asked for."},
     CRN_SETTING_NUMBER, FIELD(full_every), 0, UINT32_MAX, 0, NULL},
    {{"checkpoint.retained", "CAIRN_CHECKPOINT_RETAINED", "number", "1",
      "Complete checkpoints that are kept."},
     CRN_SETTING_NUMBER, FIELD(num_retained), 1, UINT32_MAX, 0, NULL},
    {{"checkpoint.on-cancel", "CAIRN_CHECKPOINT_ON_CANCEL", "retain or delete", "retain",
      "What becomes of the checkpoints when the job is cancelled."},
     CRN_SETTING_WORD, FIELD(on_cancel), 0, 0, 0, retention_words},
    {{"checkpoint.on-failure", "CAIRN_CHECKPOINT_ON_FAILURE", "retain or delete", "retain",
      "What becomes of them when the job fails by checkpoint.tolerable-failures."},
     CRN_SETTING_WORD, FIELD(on_failure), 0, 0, 0, retention_words},
    {{"recovery.prefer-checkpoint", "CAIRN_RECOVERY_PREFER_CHECKPOINT", "true or false", "false",
      "After a stop with savepoint, go on from the newest checkpoint and not from that savepoint."},
     CRN_SETTING_TRUTH, FIELD(prefer_checkpoint), TRUTH},
    {{"restore.uri", "CAIRN_RESTORE_URI", "text", "none",
      "Start from this snapshot: a savepoint's or a job's directory, or a MANIFEST-chk in it."},
     CRN_SETTING_TEXT, FIELD(restore_uri), ANY_TEXT},
    {{"restore.checkpoint", "CAIRN_RESTORE_CHECKPOINT", "number", "the newest",
      "Start from the checkpoint with this id, of this job or at restore.uri."},
     CRN_SETTING_NUMBER, FIELD(restore_checkpoint_id), 1, UINT64_MAX, 0, NULL},
    {{"restore.claim-mode", "CAIRN_RESTORE_CLAIM_MODE", "no-claim, claim or legacy", "no-claim",
      "Who owns the snapshot at restore.uri then."},
     CRN_SETTING_WORD, FIELD(claim_mode), 0, 0, 0, claim_words},
    {{"restore.only-if-new", "CAIRN_RESTORE_ONLY_IF_NEW", "true or false", "false",
      "restore.uri counts only while the job has no complete checkpoint of its own."},
     CRN_SETTING_TRUTH, FIELD(restore_only_if_new), TRUTH},
    {{"restore.fallback", "CAIRN_RESTORE_FALLBACK", "true or false", "false",
      "Read the checkpoints in full, newest first, and take the first that is whole."},
     CRN_SETTING_TRUTH, FIELD(restore_fallback), TRUTH},
    {{"restore.empty", "CAIRN_RESTORE_EMPTY", "true or false", "false",
      "Start without state, whatever is stored."},
     CRN_SETTING_TRUTH, FIELD(start_empty), TRUTH},
    {{"restore.allow-non-restored", "CAIRN_RESTORE_ALLOW_NON_RESTORED", "true or false", "false",
      "Drop stored operators that the program has no longer."},
     CRN_SETTING_TRUTH, FIELD(allow_non_restored_state), TRUTH},
    {{"savepoint.uri", "CAIRN_SAVEPOINT_URI", "text", "none",
      "Where savepoints go that name no target."},
     CRN_SETTING_TEXT, FIELD(savepoint_uri), ANY_TEXT},
    {{"state.backend", "CAIRN_STATE_BACKEND", "rocksdb or heap", "rocksdb",
      "What keeps the state: databases on disk, or memory."},
     CRN_SETTING_TEXT_WORD, FIELD(state_backend), 0, 0, 0, backend_words},
    {{"state.memory", "CAIRN_STATE_MEMORY", "size", "256MiB",
      "Block cache and memtables of all databases together; 8MiB at least."},
     CRN_SETTING_SIZE, FIELD(state_memory_bytes), UINT64_C(8) << 20, UINT64_MAX, 0, NULL},
    {{"transfer.threads", "CAIRN_TRANSFER_THREADS", "number", "4",
      "Uploads and downloads at once, 1 to 256."},
     CRN_SETTING_NUMBER, FIELD(transfer_threads), 1, 256, 0, NULL},
    {{"transfer.inline-threshold", "CAIRN_TRANSFER_INLINE_THRESHOLD", "size", "16KiB",
      "Smaller files that are not tables go into the manifest; 1MiB at most, 0: none do."},
     CRN_SETTING_SIZE, FIELD(inline_threshold_bytes), 0, UINT64_C(1) << 20, 1, NULL},
    {{"transfer.upload-limit", "CAIRN_TRANSFER_UPLOAD_LIMIT", "size", "0",
      "Bytes per second of uploads that are copied; 0: no limit."},
     CRN_SETTING_SIZE, FIELD(upload_bytes_per_sec), 0, UINT64_MAX, 0, NULL},
    {{"transfer.download-limit", "CAIRN_TRANSFER_DOWNLOAD_LIMIT", "size", "0",
      "Bytes per second of what a restore downloads; 0: no limit."},
     CRN_SETTING_SIZE, FIELD(download_bytes_per_sec), 0, UINT64_MAX, 0, NULL},
    {{"transfer.pack-below", "CAIRN_TRANSFER_PACK_BELOW", "size", "1MiB",
      "Smaller new tables share an object in stores that take copies; 64MiB at most, 0: none do."},
     CRN_SETTING_SIZE, FIELD(pack_below_bytes), 0, UINT64_C(64) << 20, 1, NULL},
    {{"cluster.role", "CAIRN_CLUSTER_ROLE", "alone, coordinator or worker", "alone",
      "Which part of a job of several processes this one is."},
     CRN_SETTING_WORD, FIELD(role), 0, 0, 0, role_words},
    {{"cluster.workers", "CAIRN_CLUSTER_WORKERS", "number", "1",
      "Of a coordinator: worker processes that the job needs."},
     CRN_SETTING_NUMBER, FIELD(worker_count), 1, 32768, 0, NULL},
    {{"cluster.worker-name", "CAIRN_CLUSTER_WORKER_NAME", "text", "host and process id",
      "Of a worker: who it is, for people."},
     CRN_SETTING_TEXT, FIELD(worker_name), ANY_TEXT},
    {{"cluster.poll-interval", "CAIRN_CLUSTER_POLL_INTERVAL", "duration", "1s",
      "Time between two looks at the store for news."},
     CRN_SETTING_DURATION, FIELD(poll_interval_ms), DURATION(1)},
    {{"cluster.heartbeat", "CAIRN_CLUSTER_HEARTBEAT", "duration", "10s",
      "Of a worker: time between two signs of life."},
     CRN_SETTING_DURATION, FIELD(heartbeat_ms), DURATION(1)},
    {{"cluster.worker-timeout", "CAIRN_CLUSTER_WORKER_TIMEOUT", "duration", "50s",
      "A worker that is not heard of for so long is lost, and the job fails."},
     CRN_SETTING_DURATION, FIELD(worker_timeout_ms), DURATION(1)},
    {{"cluster.join-timeout", "CAIRN_CLUSTER_JOIN_TIMEOUT", "duration", "5min",
      "How long processes wait for one another at the start."},
     CRN_SETTING_DURATION, FIELD(join_timeout_ms), DURATION(1)},
    {{"cluster.requests-per-minute", "CAIRN_CLUSTER_REQUESTS_PER_MINUTE", "number", "0",
      "Budget for looks and signs of life; with less they get rarer; 0: none."},
     CRN_SETTING_NUMBER, FIELD(requests_per_minute), 0, UINT32_MAX, 0, NULL},
    {{"control.listen", "CAIRN_CONTROL_LISTEN", "text", "none",
      "Endpoint of the job: unix, unix:/path or tcp:127.0.0.1:PORT."},
     CRN_SETTING_TEXT, FIELD(control), ANY_TEXT},
    {{"control.token", "CAIRN_CONTROL_TOKEN", "text", "none",
      "What requests over tcp have to show: 16 to 256 visible ASCII characters."},
     CRN_SETTING_TOKEN, FIELD(control_token), ANY_TEXT},
    {{"control.token-file", "CAIRN_CONTROL_TOKEN_FILE", "text", "none",
      "The same from a file that others cannot read, so that no listing of processes shows it."},
     CRN_SETTING_TOKEN_FILE, FIELD(control_token), ANY_TEXT},
    {{"log.level", "CAIRN_LOG_LEVEL", "error, warning, info or debug", "info",
      "The least important lines that are logged."},
     CRN_SETTING_WORD, FIELD(log_level), 0, 0, 0, level_words},
};
/* clang-format on */
const size_t crn_settings_count = CRN_COUNT(crn_settings_table);

const cairn_setting_info *cairn_setting_at(size_t i)
{
    return i < crn_settings_count ? &crn_settings_table[i].info : NULL;
}

bool crn_settings_is_group(const char *name, size_t n)
{
    for (size_t i = 0; i < crn_settings_count; i++) {
        const char *known = crn_settings_table[i].info.name;
        if (n > 0 && strncmp(known, name, n) == 0 && known[n] == '.')
            return true;
    }
    return false;
}

/* --- did you mean --- */

#define MAX_NAME 48

/* Letters in small, and one separator of words for all that people use. */
static size_t simplify(const char *name, char out[MAX_NAME])
{
    size_t n = 0;
    for (; name[n] != 0 && n < MAX_NAME; n++) {
        char c = (char)tolower((unsigned char)name[n]);
        out[n] = c == '_' || c == '.' || c == ' ' ? '-' : c;
    }
    return n;
}

/* How many letters are to be put in, left out or changed, or exchanged with their neighbour. */
static size_t distance(const char *a, size_t n, const char *b, size_t m)
{
    size_t rows[3][MAX_NAME + 1];
    size_t *before = rows[0], *last = rows[1], *row = rows[2];
    for (size_t j = 0; j <= m; j++)
        last[j] = j;
    for (size_t i = 1; i <= n; i++) {
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
        size_t *free_row = before;
        before = last;
        last = row;
        row = free_row;
    }
    return last[m];
}

/* The setting whose name looks most like this one, or ends with it; NULL: none does. */
static const char *find_similar(const char *name)
{
    char wanted[MAX_NAME], known[MAX_NAME];
    size_t n = simplify(name, wanted), best = n / 4 + 2;
    const char *similar = NULL;
    for (size_t i = 0; i < crn_settings_count && n > 0; i++) {
        const char *candidate = crn_settings_table[i].info.name;
        size_t m = simplify(candidate, known);
        size_t d = distance(wanted, n, known, m);
        if (n < m && known[m - n - 1] == '-' && memcmp(known + m - n, wanted, n) == 0)
            d = 1;
        if (d < best) {
            best = d;
            similar = candidate;
        }
    }
    return similar;
}

int crn_settings_find(const char *name, size_t *ret_i, cairn_error **reterr)
{
    for (size_t i = 0; i < crn_settings_count; i++) {
        if (strcmp(crn_settings_table[i].info.name, name) == 0) {
            *ret_i = i;
            return 0;
        }
    }
    size_t n = strnlen(name, MAX_NAME + 1);
    if (n > MAX_NAME || !crn_text_is_clean(name, n))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "there is no setting of that name; `cairn help settings` lists them");
    if (crn_settings_is_group(name, n))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "'%s' is a group of settings and has no value of its own", name);
    const char *similar = find_similar(name);
    if (similar != NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "there is no setting '%s'; did you mean '%s'?", name, similar);
    return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                        "there is no setting '%s'; `cairn help settings` lists them", name);
}
