/* SPDX-License-Identifier: Apache-2.0 */

/* The verbs in one table, and the help that is made of it. To add a verb: write cli_<verb>() in a
 * file of its own, and add a row here and a section in docs/man/cairn.1. */

#include "tools/cli/cli.h"
#include <string.h>

/* Of verbs that ask a running job. */
#define RUNNING (CLI_JOB | CLI_RUN_DIR | CLI_TOKEN | CLI_JSON)

const struct cli_verb cli_verbs[] = {
    {"jobs", "STORE", 1, 1, CLI_JSON, cli_jobs, "list the jobs of a store",
     "For each job its newest complete checkpoint, how old it is, and how much it would restore.\n"
     "The exit status is not 0 if a job has no complete checkpoint, misses an object, or has a "
     "log\n"
     "that cannot be read as a whole.\n"},
    {"ls", "PATH", 1, 1, CLI_JOB | CLI_ALL | CLI_JSON, cli_ls, "list checkpoints and attempts",
     "Of one job, or of every job of the store.\n"
     "NEW is what a checkpoint added to the store, EXCLUSIVE what would be freed if it alone were\n"
     "gone; STALL is the longest time that a writer waited in its barrier.\n"},
    {"inspect", "PATH [ID]", 1, 2, CLI_JOB | CLI_FILES | CLI_JSON, cli_inspect,
     "show what a checkpoint holds",
     "Operators, their states, and their subtasks with sizes and times. ID is a number or latest\n"
     "(the default).\n"},
    {"du", "PATH", 1, 1, CLI_JOB | CLI_JSON, cli_du, "show what takes the space",
     "Per checkpoint, and for the job: live objects, dead ones that gc would remove, unresolved "
     "ones\n"
     "of a checkpoint in flight or of a crash, foreign ones, and missing ones. If a manifest "
     "cannot be\n"
     "read, the figures are still printed, and what it might need is unknown.\n"},
    {"diff", "PATH A B", 2, 3,
     CLI_JOB | CLI_ALL | CLI_ENTRIES | CLI_OPERATOR | CLI_STATE | CLI_LIMIT | CLI_JSON, cli_diff,
     "compare two checkpoints",
     "Which files came (+) and went (-) from A to B, and how much both share. With --entries: "
     "which\n"
     "entries came, went and changed (~); then two paths, of any snapshots, may stand in place of\n"
     "PATH A B.\n"},
    {"verify", "PATH [ID]", 1, 2, CLI_JOB | CLI_FULL | CLI_THREADS | CLI_JSON, cli_verify,
     "check that checkpoints can be restored",
     "Every retained checkpoint of one job or of all jobs of the store, or the one named: "
     "manifests\n"
     "are read and checked, objects must be there with the right size. With --full every byte is "
     "read\n"
     "and compared. Each problem is one line with the checkpoints that it affects; then those that "
     "are\n"
     "whole. The exit status is 0 only if there is no problem, and a checkpoint.\n"},
    {"explain", "PATH OBJECT", 2, 2, CLI_JOB | CLI_JSON, cli_explain, "tell who needs an object",
     "OBJECT as an error message names it: shared/e1-c2-7.sst, MANIFEST-chk3, with or without the\n"
     "job in front; or the file below PATH.\n"},
    {"cat", "PATH [ID]", 1, 2, CLI_JOB | CLI_OPERATOR | CLI_STATE | CLI_KEY | CLI_LIMIT | CLI_JSON,
     cli_cat, "print the entries of a checkpoint",
     "One line per entry: operator/state, key, @ namespace, [map key or position], = value. "
     "Expired\n"
     "entries are printed too. Files are fetched to $TMPDIR and verified on the way.\n"},
    {"gc", "PATH", 1, 1, CLI_JOB | CLI_DRY_RUN | CLI_KEEP_IN_FLIGHT | CLI_JSON, cli_gc,
     "remove what no checkpoint needs",
     "Safe beside a running job, which may lose the attempt that it has in flight: keep that with\n"
     "--keep-in-flight. Refuses to remove anything while a manifest cannot be read.\n"},
    {"restore", "PATH [ID]", 1, 2, CLI_JOB | CLI_TO | CLI_LINK | CLI_THREADS | CLI_JSON,
     cli_restore, "write a checkpoint's databases to a directory",
     "Each subtask becomes a plain RocksDB directory, DIR/<operator>-<subtask>, verified and "
     "synced.\n"
     "DIR appears whole or not at all.\n"},
    {"check", "PATH [ID]", 1, 2, CLI_JOB | CLI_OPERATORS | CLI_BACKEND | CLI_JSON, cli_check,
     "tell whether a service can start from a snapshot",
     "What of the snapshot its operators would get, what would be dropped, and what does not fit. "
     "The\n"
     "operators stand in a file, as `inspect --json` prints them, are those that another job or\n"
     "savepoint has stored, or those of a running job: its name, unix:/path or http://host:port.\n"
     "The exit status is 0 only if the service can start.\n"},
    {"export", "PATH [ID]", 1, 2,
     CLI_JOB | CLI_FORMAT | CLI_TO | CLI_OPERATOR | CLI_STATE | CLI_KEY | CLI_LIMIT, cli_export,
     "write the entries of a snapshot as JSON lines or CSV",
     "To standard output, or to a new file. What is written as jsonl can be imported.\n"},
    {"import", "FILE", 1, 1, CLI_JOB | CLI_TO | CLI_FORMAT | CLI_PARTIAL | CLI_JSON, cli_import,
     "make a savepoint from JSON lines",
     "FILE is as `export` writes it, or - for standard input. --job names the job whose savepoint "
     "it\n"
     "is to be.\n"},
    {"edit", "PATH [ID]", 1, 2,
     CLI_JOB | CLI_TO | CLI_FORMAT | CLI_RENAME | CLI_DROP_OPERATOR | CLI_DROP_STATE |
         CLI_MAX_PARALLELISM | CLI_JSON,
     cli_edit, "make a changed savepoint from a snapshot",
     "Rename operators, leave operators or states out, change the number of key groups. The "
     "options\n"
     "may be given several times; uids are those that are stored. PATH stays as it is.\n"},
    {"convert", "PATH [ID]", 1, 2, CLI_JOB | CLI_TO | CLI_FORMAT | CLI_JSON, cli_convert,
     "make a savepoint of another format from a snapshot",
     "A canonical one can be read by every state backend, a native one is opened without "
     "rewriting.\n"},
    {"dispose", "PATH", 1, 1, CLI_JOB | CLI_DRY_RUN | CLI_YES | CLI_FORCE | CLI_JSON, cli_dispose,
     "remove a savepoint",
     "Its manifest first, so that it is none any more, then its files and its directory. Run it "
     "again\n"
     "if it was interrupted. Refuses everything that is not a savepoint.\n"},
    {"store-test", "STORE [WAY [WAY]]", 1, 3, CLI_THREADS | CLI_LIMIT | CLI_JSON, cli_store_test,
     "try what Cairn needs of a store",
     "Each promise that a store must keep is tried on objects of the test's own, which are "
     "removed\n"
     "again; then many writers race to create the same keys, and one may win. The exit status is "
     "0\n"
     "only if all of it holds. Each WAY opens the same store in another way, such as by its other\n"
     "gateways: the writers take turns with them.\n"},
    {"run", "-- COMMAND ...", 0, 0, CLI_RUN, cli_run,
     "start a service, and start it again after a crash",
     "The service gets what to restore from in its environment: see `cairn help settings`. It ends "
     "with\n"
     "exit status 0, or when this command is told to (SIGTERM, SIGINT, which it gets, too). Any "
     "other\n"
     "end is a crash: it goes on from its newest checkpoint. The exit status is the service's.\n",
     true},
    {"list", "", 0, 0, CLI_RUN_DIR | CLI_TOKEN | CLI_JSON, cli_list,
     "list the jobs that run on this machine",
     "Those whose control endpoint is a socket in the run directory and answers.\n"},
    {"status", "[JOB]", 0, 1, RUNNING | CLI_LIMIT, cli_status, "show how a running job is",
     "Its state, its tasks, what is in flight and its latest checkpoints. JOB is a name, "
     "unix:/path or\n"
     "http://host:port, and may be left out if only one job runs.\n"},
    {"checkpoint", "[JOB]", 0, 1, RUNNING | CLI_FULL | CLI_DETACHED | CLI_TIMEOUT, cli_checkpoint,
     "let a running job take a checkpoint", "Waits for its end and tells what it cost.\n"},
    {"savepoint", "[TARGET]", 0, 1, RUNNING | CLI_TYPE | CLI_DETACHED | CLI_STATUS | CLI_TIMEOUT,
     cli_savepoint, "let a running job take a savepoint",
     "TARGET is the store in which its directory is made; without it the job's own setting "
     "counts.\n"
     "Prints where it is. The job is named by --job, if several run.\n"},
    {"stop", "[TARGET]", 0, 1, RUNNING | CLI_TYPE | CLI_DRAIN | CLI_DETACHED | CLI_TIMEOUT,
     cli_stop, "stop a running job with a savepoint",
     "Its tasks process nothing after the savepoint, and its sinks commit with it. The next start "
     "goes\n"
     "on from there. If the savepoint fails the job goes on.\n"},
    {"cancel", "[TARGET]", 0, 1, RUNNING | CLI_SAVEPOINT | CLI_TYPE | CLI_DETACHED | CLI_TIMEOUT,
     cli_cancel, "end a running job",
     "Without a checkpoint; what it keeps of the earlier ones is for its own settings to say.\n"},
    {"top", "[JOB]", 0, 1, (RUNNING & ~CLI_JSON) | CLI_INTERVAL | CLI_ONCE, cli_top,
     "watch a running job in the terminal",
     "Tasks with their throughput, what is in flight, the latest checkpoints. q ends it. Scripts "
     "ask\n"
     "`cairn status --json`.\n"},
};
const size_t cli_verb_count = CLI_COUNT(cli_verbs);

const struct cli_verb *cli_verb_find(const char *name)
{
    for (size_t i = 0; i < cli_verb_count; i++) {
        if (strcmp(cli_verbs[i].name, name) == 0)
            return &cli_verbs[i];
    }
    return NULL;
}

/* The verbs that ask a running job, or the others. */
static void list_verbs(FILE *to, bool running)
{
    for (size_t i = 0; i < cli_verb_count; i++) {
        if (((cli_verbs[i].options & (CLI_RUN_DIR | CLI_RUN)) != 0) == running)
            fprintf(to, "  %-10s %-14s  %s\n", cli_verbs[i].name, cli_verbs[i].words,
                    cli_verbs[i].summary);
    }
}

void cli_help_all(FILE *to)
{
    fputs("usage: cairn VERB [options] PATH ...\n\nsnapshots in a store:\n", to);
    list_verbs(to, false);
    fputs("\nrunning jobs:\n", to);
    list_verbs(to, true);
    fputs("\n", to);
    fprintf(to, "  %-10s %-14s  %s\n", "help", "[VERB]", "show this, or all about a verb");
    fprintf(to, "  %-10s %-14s  %s\n", "help", "settings", "list the settings of services");
    fputs("\nPATH is a store (a directory, or file:///...), or the directory of one job or "
          "savepoint, or a\n"
          "MANIFEST-chk file in it. ID is the number of a checkpoint, or latest.\n"
          "JOB is the name of a job that runs on this machine, unix:/path or http://host:port; it\n"
          "may be left out if only one runs.\n"
          "With --json a verb prints a JSON document, but for run, top, and export, which has "
          "formats of its own.\n"
          "Exit status: 0 ok, 1 internal error, 2 usage, 3 not there or changed, 4 damaged data, 5 "
          "try again,\n"
          "6 this machine, 130 interrupted.\n",
          to);
}

void cli_help_help(FILE *to)
{
    fputs("usage: cairn help [VERB | settings]\n\n"
          "Show the verbs, or all about one, or the settings of services. `cairn VERB --help` does "
          "the same;\n"
          "`man cairn` has more.\n",
          to);
}

void cli_help_verb(const struct cli_verb *verb, FILE *to)
{
    fprintf(to, "usage: cairn %s [options]%s%s\n\n", verb->name, *verb->words ? " " : "",
            verb->words);
    fprintf(to, "%c%s.\n\n%s\n", verb->summary[0] - 'a' + 'A', verb->summary + 1, verb->details);
    cli_args_print_options(verb, to);
}
