/* SPDX-License-Identifier: Apache-2.0 */
/* A service whose state exists before it first runs: writes a savepoint with a balance for each of
 * three accounts, as one would out of an old database, and starts a job from it. That is done once,
 * so the directory must be a new one. Usage: bootstrap DIRECTORY */
#include <cairn/writer.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const struct {
    const char *account;
    int64_t balance;
} accounts[] = {{"ada", 100}, {"grace", 250}, {"linus", 0}};
enum { ACCOUNTS = sizeof accounts / sizeof accounts[0] };

static int die(cairn_error *error)
{
    fprintf(stderr, "bootstrap: %s\n", cairn_error_message(error));
    cairn_error_free(error);
    return 1;
}

static int put_accounts(cairn_writer *writer, cairn_error **error)
{
    cairn_writer_operator bank = CAIRN_WRITER_OPERATOR_INIT;
    bank.key_type = CAIRN_STRING;
    cairn_state_info balance = {
        .name = "balance", .kind = CAIRN_KIND_VALUE, .value_type = CAIRN_INT64};
    int r = cairn_writer_add_operator(writer, "bank", &bank, error);
    if (r == 0)
        r = cairn_writer_add_state(writer, "bank", &balance, NULL, error);
    for (int i = 0; r == 0 && i < ACCOUNTS; i++) {
        uint8_t value[8];
        cairn_encode_int64(accounts[i].balance, value);
        cairn_entry entry = {.key = accounts[i].account,
                             .key_size = strlen(accounts[i].account),
                             .value = value,
                             .value_size = sizeof value};
        r = cairn_writer_put(writer, "bank", "balance", &entry, -1, error);
    }
    return r;
}

static int write_savepoint(cairn_store *store, char **ret_name, cairn_error **error)
{
    cairn_writer_options options = CAIRN_WRITER_OPTIONS_INIT;
    cairn_writer *writer;
    options.job = "bank";
    int r = cairn_writer_open(NULL, &options, &writer, error);
    if (r < 0)
        return r;
    r = put_accounts(writer, error);
    if (r == 0)
        r = cairn_writer_commit(writer, store, NULL, ret_name, error);
    cairn_writer_close(writer);
    return r;
}

static int run(cairn_task *task, cairn_value *balance, cairn_error **error)
{
    for (int i = 0; i < ACCOUNTS; i++) {
        int64_t amount = 0;
        const char *account = accounts[i].account;
        if (cairn_task_set_key(task, account, strlen(account)) < 0 ||
            cairn_value_get_int64(balance, &amount, error) < 0)
            return -1;
        printf("%s has %lld\n", account, (long long)amount);
    }
    return cairn_task_checkpoint(task, NULL, NULL,
                                 error); /* from now on nobody needs the savepoint */
}

int main(int argc, char **argv)
{
    char snapshots[512], local[512];
    if (argc != 2)
        return fprintf(stderr, "usage: bootstrap DIRECTORY\n"), 2;
    if (mkdir(argv[1], 0777) != 0) {
        fprintf(stderr, "bootstrap: '%s': %s; give a directory that does not exist yet\n", argv[1],
                strerror(errno));
        return 1;
    }
    snprintf(snapshots, sizeof snapshots, "%s/snapshots", argv[1]);
    snprintf(local, sizeof local, "%s/local", argv[1]);

    cairn_error *error = NULL;
    cairn_store *store;
    cairn_job *job;
    cairn_task *task;
    cairn_value *balance;
    char *name;
    if (cairn_store_open(snapshots, &store, &error) < 0 ||
        write_savepoint(store, &name, &error) < 0)
        return die(error);
    printf("wrote %s\n", name);

    cairn_job_options options = CAIRN_JOB_OPTIONS_INIT;
    options.store = store;
    options.restore_store = store;
    options.restore_name = name;
    options.local_dir = local;
    cairn_task_options bank = CAIRN_TASK_OPTIONS_INIT;
    bank.key_type = CAIRN_STRING;
    if (cairn_job_open("bank", &options, &job, &error) < 0 ||
        cairn_task_open(job, "bank", &bank, &task, &error) < 0 ||
        cairn_value_state(task, "balance", CAIRN_INT64, NULL, &balance, &error) < 0 ||
        cairn_job_start(job, &error) < 0 || run(task, balance, &error) < 0)
        return die(error);
    cairn_job_close(job);
    cairn_task_close(task);
    cairn_store_close(store);
    free(name);
    return 0;
}
