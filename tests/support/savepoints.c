/* SPDX-License-Identifier: Apache-2.0 */
/* Savepoints for tests of those who read them. */
#include "tests/support/savepoints.h"

#include "backends/storage/storage.h"
#include "engine/log/joblog.h"
#include "engine/savepoint/directory.h"

#include <string.h>

struct making {
    cairn_store *store;
    const char *job, *name;
    struct crn_record *record;
    uint64_t next;
};

/* Files of a pack get objects of their own. */
static void move_file(struct making *making, struct crn_file *file)
{
    CRN_AUTO_FREE char *from = NULL;
    CRN_AUTO_FREE char *to = NULL;
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    char object[CRN_KEY_MAX];
    const cairn_record_info *info = &making->record->info;
    file->info.checkpoint_id = info->id;
    file->info.epoch = info->epoch;
    if (file->info.object == NULL)
        return;
    ck_ok(crn_joblog_key(making->job, file->info.object, &from, reterr));
    crn_key_object(object, false, info->epoch, info->id, making->next++, file->info.name);
    ck_ok(crn_joblog_key(making->name, object, &to, reterr));
    ck_ok(crn_store_get_bytes(making->store, from, SIZE_MAX, &bytes, reterr));
    struct crn_bytes_source source;
    cairn_put_how how;
    crn_bytes_source_init(&source, bytes.data + file->info.object_offset, file->info.size);
    file->info.object_offset = file->info.object_size = 0;
    ck_ok(making->store->ops->put(making->store, to, &source.source, &how, reterr));
    ck_assert_int_eq(crn_record_set_text(&file->info.object, object), 0);
}

void savepoint_of_checkpoint(cairn_store *store, const char *job, const char *name)
{
    struct crn_joblog log = {0};
    const struct crn_record *from;
    ck_ok(crn_joblog_read(store, job, &log, reterr));
    ck_ok(crn_joblog_find(&log, 0, &from, reterr));
    struct making making = {.store = store, .job = job, .name = name, .record = crn_record_new()};
    struct crn_record *record = making.record;
    record->info.id = record->info.log_start = from->info.id;
    record->info.kind = CAIRN_RECORD_SAVEPOINT;
    record->info.format = CAIRN_NATIVE;
    record->info.epoch = from->info.epoch;
    crn_random_bytes(record->info.uuid, sizeof record->info.uuid);
    record->job = strdup(job);
    for (size_t o = 0; o < from->operator_count; o++) {
        struct crn_operator *op = crn_record_add_operator(record);
        ck_assert_int_eq(crn_operator_copy(op, &from->operators[o]), 0);
        for (size_t s = 0; s < op->subtask_count; s++)
            for (size_t i = 0; i < op->subtasks[s].file_count; i++)
                move_file(&making, &op->subtasks[s].files[i]);
    }
    crn_record_finish(record);
    ck_ok(crn_savepoint_publish(store, name, record, reterr));
    crn_record_free(record);
    crn_joblog_done(&log);
}
